"""Takes an engine's abstract names once it has ended, as some user, and counts what it is told.

    python3 impostor.py UID ID
            says `ready`; at the end of its standard input how many have connected, and how many bytes they sent
    python3 impostor.py UID ID full
            the same, but its queues are full and it takes nobody
"""

from __future__ import annotations

import os
import selectors
import socket
import sys


def main(user: int, engine: str, *full: str) -> None:
    os.setresuid(user, user, user)
    selector = selectors.DefaultSelector()
    for kind, name in ((socket.SOCK_STREAM, "streams"), (socket.SOCK_SEQPACKET, "control")):
        listener = socket.socket(socket.AF_UNIX, kind)
        listener.bind(f"\0ustcp-{engine}-{name}")
        listener.listen(0 if full else 128)
        if full:
            fill(listener, kind)
        else:
            selector.register(listener, selectors.EVENT_READ)
    selector.register(sys.stdin, selectors.EVENT_READ)
    print("ready", flush=True)
    connections = told = 0
    while True:
        for key, _ in selector.select():
            if key.fileobj is sys.stdin:
                print(connections, told)
                return
            client, _ = key.fileobj.accept()
            connections += 1
            with client:
                told += heard(client)


def fill(listener: socket.socket, kind: int) -> None:
    """Nobody else finds room in its queue, for as long as it lives."""
    try:
        while True:
            client = socket.socket(socket.AF_UNIX, kind | socket.SOCK_NONBLOCK)
            client.connect(listener.getsockname())
            client.detach()
    except BlockingIOError:
        listener.detach()


def heard(client: socket.socket) -> int:
    """One message, if there comes one before the end."""
    try:
        return len(client.recv(100))
    except OSError:
        return 0


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
