#!/usr/bin/env python3
"""Sends back whatever comes in, with a thread for each client and nothing but `socketserver`, which is put on ustcp.

    echo_threads.py [PORT [ADDRESS]]

SIGINT and SIGTERM end it.
"""

from __future__ import annotations

import signal
import sys

import ustcp

ustcp.patch()

import socketserver  # noqa: E402


class Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        while data := self.request.recv(65536):
            self.request.sendall(data)


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = ustcp.SOMAXCONN


def main(port: str = "7", address: str = "0.0.0.0") -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    with Server((address, int(port)), Echo) as server:
        print("listening on %s:%d" % server.socket.getsockname(), flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            pass


if __name__ == "__main__":
    main(*sys.argv[1:])
