# SPDX-License-Identifier: Apache-2.0
"""A process of exporters, good and bad, on one loopback port: the path says which. Prints its port.

/good/… answers; /hang/… says nothing; /reset/… resets; /garbage/… answers bytes that are no HTTP; /endless/…
never ends its body; /huge/… announces 10 GB; /slow/… gives its head a byte at a time; /lies/… gives half a page;
/headers/…, /informs/…, /extends/… and /trails/… never end their headers, their interim replies, a chunk's extension
and their trailers; /sends_on/… redirects to a good one.
"""

import asyncio
import socket
import struct
import sys
import time

START = time.time()
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\n"


def page():
    now = time.time()
    return (f"optipod_agent_up 1\noptipod_sample_timestamp_seconds {now:.3f}\noptipod_node_cpus 1\n"
            f"optipod_node_cpu_usage_seconds_total {(now - START) / 2:.6f}\n").encode()


async def good(_reader, writer):
    body = page()
    writer.write(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    await writer.drain()
    return True


async def hang(reader, _writer):
    await reader.read()


async def reset(_reader, writer):
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def garbage(_reader, writer):
    writer.write(bytes(range(256)) * 16)


async def endless(_reader, writer):
    writer.write(HEAD + b"\r\n")
    piece = b"# more and more of it\n" * 3000
    while True:
        writer.write(piece)
        await writer.drain()


async def huge(_reader, writer):
    writer.write(HEAD + b"Content-Length: 10000000000\r\n\r\n")
    piece = b"a 1\n" * 16000
    while True:
        writer.write(piece)
        await writer.drain()


async def slow(_reader, writer):
    for byte in HEAD * 1000:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.05)


async def lies(_reader, writer):
    body = page()
    writer.write(HEAD + b"Content-Length: %d\r\n\r\n" % (2 * len(body)) + body)


async def repeat(writer, piece):
    while True:
        writer.write(piece * 1000)
        await writer.drain()


async def headers(_reader, writer):
    writer.write(HEAD)
    await repeat(writer, b"X-More: and more\r\n")


async def informs(_reader, writer):
    await repeat(writer, b"HTTP/1.1 100 Continue\r\n\r\n")


async def extends(_reader, writer):
    writer.write(HEAD + b"Transfer-Encoding: chunked\r\n\r\n1;")
    await repeat(writer, b"extension")


async def trails(_reader, writer):
    body = page()
    writer.write(HEAD + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n" % (len(body), body))
    await repeat(writer, b"X-More: and more\r\n")


async def sends_on(_reader, writer):
    writer.write(b"HTTP/1.1 302 Found\r\nLocation: /good/0\r\nContent-Length: 0\r\n\r\n")
    await writer.drain()
    return True


KINDS = {f.__name__: f for f in (good, hang, reset, garbage, endless, huge, slow, lies, headers, informs, extends, trails,
                               sends_on)}


async def serve(reader, writer):
    try:
        more = True
        while more:  # one connection may be for several targets
            request = await reader.readuntil(b"\r\n\r\n")
            more = await KINDS[request.split()[1].decode().split("/")[1]](reader, writer)
    except (OSError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


async def main():
    server = await asyncio.start_server(serve, sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
