# SPDX-License-Identifier: Apache-2.0
"""Makes a running program call the kernel, as what broke into it would: stops it with ptrace(2), lets it
run one system call with the arguments given, and lets it go on as if nothing had been. x86-64."""

import ctypes
import os
import time

ATTACH, DETACH, PEEKTEXT, GETREGS, SETREGS, SINGLESTEP = 16, 17, 1, 12, 13, 9
SYSCALL = 0x050F  # the instruction, as two little-endian bytes
REGISTERS = ("r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax rip cs eflags rsp ss "
             "fs_base gs_base ds es fs gs").split()
ARGUMENTS = ("rdi", "rsi", "rdx", "r10", "r8", "r9")


class Registers(ctypes.Structure):
    _fields_ = [(name, ctypes.c_ulonglong) for name in REGISTERS]


_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.ptrace.restype = ctypes.c_long
_LIBC.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


def _ptrace(request, pid, address=0, data=0):
    ctypes.set_errno(0)
    result = _LIBC.ptrace(request, pid, address, data)
    if ctypes.get_errno():
        raise OSError(ctypes.get_errno(), f"ptrace request {request}: {os.strerror(ctypes.get_errno())}")
    return result


def _one_call(pid, number, arguments):
    """The result, or None when the program was not waiting in the kernel."""
    before = Registers()
    _ptrace(GETREGS, pid, 0, ctypes.addressof(before))
    if _ptrace(PEEKTEXT, pid, before.rip - 2) & 0xFFFF != SYSCALL:
        return None
    call = Registers.from_buffer_copy(before)
    call.rip, call.rax, call.orig_rax = before.rip - 2, number, 2**64 - 1
    for register, value in zip(ARGUMENTS, (*arguments, 0, 0, 0, 0, 0, 0)):
        setattr(call, register, value % 2**64)
    _ptrace(SETREGS, pid, 0, ctypes.addressof(call))
    _ptrace(SINGLESTEP, pid)
    os.waitpid(pid, 0x40000000)
    _ptrace(GETREGS, pid, 0, ctypes.addressof(call))
    _ptrace(SETREGS, pid, 0, ctypes.addressof(before))
    return ctypes.c_longlong(call.rax).value


def call(pid, number, *arguments):
    """What system call `number` gives in the program's main thread: a value, or -errno."""
    for _ in range(200):
        _ptrace(ATTACH, pid)
        try:
            os.waitpid(pid, 0x40000000)   # __WALL
            result = _one_call(pid, number, arguments)
        finally:
            _ptrace(DETACH, pid)
        if result is not None:
            return result
        time.sleep(0.02)
    raise AssertionError(f"process {pid} was never found waiting")
