#!/usr/bin/env python3
"""Sends back whatever comes in, to as many clients as there are descriptors, from one thread.

    echo_server.py [PORT [ADDRESS]]

The sockets of ustcp wait in an ordinary selector. SIGINT and SIGTERM end it.
"""

from __future__ import annotations

import errno
import selectors
import signal
import sys

import ustcp

BLOCK = 65536
READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
# No descriptor or no memory is left: the next client waits in the queue until one that is served goes.
EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class Server:
    def __init__(self, address: tuple[str, int]) -> None:
        self.selector = selectors.DefaultSelector()
        self.listener = ustcp.create_server(address, backlog=ustcp.SOMAXCONN)
        self.listener.setblocking(False)
        # Accepted sockets have it from here: an echo is answered at once.
        self.listener.setsockopt(ustcp.IPPROTO_TCP, ustcp.TCP_NODELAY, 1)
        self.selector.register(self.listener, READ)
        # What waits to be sent, for each client. One that does not read its echo is not heard meanwhile.
        self.waiting: dict[ustcp.socket, memoryview] = {}

    def serve_forever(self) -> None:
        while True:
            for key, _ in self.selector.select():
                if key.fileobj is self.listener:
                    self.accept()
                else:
                    self.serve(key.fileobj)

    def accept(self) -> None:
        """Takes one of those who wait; the selector tells again of the others, after the clients had their turn."""
        try:
            client, _ = self.listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError as error:
            if error.errno not in EXHAUSTED or not self.waiting:
                raise
            self.selector.unregister(self.listener)
            return
        client.setblocking(False)
        self.waiting[client] = memoryview(b"")
        self.selector.register(client, READ)

    def serve(self, client: ustcp.socket) -> None:
        """One turn: send what waits; when nothing does, read once and send that."""
        rest = self.waiting[client]
        try:
            if not rest:
                rest = memoryview(client.recv(BLOCK))
                if not rest:
                    self.drop(client)
                    return
            rest = rest[client.send(rest) :]
        except BlockingIOError:
            pass
        except OSError:  # the connection is gone, and takes what waits with it
            self.drop(client)
            return
        self.waiting[client] = rest
        self.selector.modify(client, WRITE if rest else READ)

    def drop(self, client: ustcp.socket) -> None:
        self.selector.unregister(client)
        del self.waiting[client]
        client.close()
        if self.listener not in self.selector.get_map():
            self.selector.register(self.listener, READ)

    def close(self) -> None:
        self.listener.close()
        for client in self.waiting:
            client.close()
        self.selector.close()
        ustcp.fini()


def main() -> int:
    try:
        port, address = int((sys.argv[1:2] or ["7"])[0]), (sys.argv[2:3] or ["0.0.0.0"])[0]
        if len(sys.argv) > 3 or not 0 <= port <= 65535:
            raise ValueError
    except ValueError:
        print("usage: echo_server.py [PORT [ADDRESS]]", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    server = Server((address, port))
    try:
        host, port = server.listener.getsockname()
        print(f"listening on {host}:{port}", flush=True)
        server.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        server.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
