#!/usr/bin/env python3
"""A server of HTTP/1.1 in asyncio streams over ustcp: "/" greets, "/connections" tells of whom it serves.

    asyncio_http.py [PORT [ADDRESS]]

SIGINT and SIGTERM end it.
"""

from __future__ import annotations

import asyncio
import signal
import sys

import ustcp


class Server:
    def __init__(self) -> None:
        self.serving: dict[asyncio.StreamWriter, str] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, which may ask several times."""
        self.serving[writer] = "%s:%d" % writer.get_extra_info("peername")[:2]
        try:
            while await self.answer(reader, writer):
                await writer.drain()
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            pass  # gone, or no HTTP
        finally:
            del self.serving[writer]
            writer.close()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request: whether another may follow."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        request, *headers = head.split("\r\n")
        method, _, rest = request.partition(" ")
        path, _, version = rest.partition(" ")
        goes_on = version == "HTTP/1.1" and "connection: close" not in (header.lower() for header in headers)
        status, body = self.page(method, path)
        writer.write(
            f"HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n"
            f"Connection: {'keep-alive' if goes_on else 'close'}\r\n\r\n".encode() + body
        )
        return goes_on

    def page(self, method: str, path: str) -> tuple[str, bytes]:
        if method != "GET":
            return "405 Method Not Allowed", b"only GET is\n"
        if path == "/":
            return "200 OK", b"hello over ustcp\n"
        if path == "/connections":
            return "200 OK", "".join(f"{peer}\n" for peer in self.serving.values()).encode()
        return "404 Not Found", b"there is / and /connections\n"


async def main(port: str = "80", address: str = "") -> None:
    listener = ustcp.create_server((address, int(port)), backlog=ustcp.SOMAXCONN)
    listener.setblocking(False)
    server = await asyncio.start_server(Server().serve, sock=listener)
    end = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, end.set)
    print("listening on %s:%d" % listener.getsockname(), flush=True)
    async with server:
        await end.wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
