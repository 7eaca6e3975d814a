// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
//
// cgroup.bpf.c for Linux 6.1 to 6.15.
#include "bpf/slot.bpf.h"

extern void cgroup_rstat_flush(struct cgroup* cgroup) __ksym;
#define OPTIPOD_FLUSH(group) cgroup_rstat_flush(group)

#include "bpf/cgroup.bpf.c"
