"""sink :7001, source :7002 and echo :7003 on the Python package with plain blocking calls, one thread a connection; blocks
of 1 MiB by recv_into and sendall."""

from __future__ import annotations

import contextlib
import threading

import ustcp

BLOCK = 1 << 20


def sink(sock: ustcp.socket) -> None:
    block = bytearray(BLOCK)
    while sock.recv_into(block):
        pass


def source(sock: ustcp.socket) -> None:
    block = bytes(BLOCK)
    while True:
        sock.sendall(block)


def echo(sock: ustcp.socket) -> None:
    block = memoryview(bytearray(BLOCK))
    while count := sock.recv_into(block):
        sock.sendall(block[:count])


def serve_one(sock, serve) -> None:
    with sock, contextlib.suppress(ConnectionError):
        serve(sock)


def serve_port(listener, serve) -> None:
    while True:
        sock, _ = listener.accept()
        threading.Thread(target=serve_one, args=(sock, serve), daemon=True).start()


if __name__ == "__main__":
    for port, serve in ((7001, sink), (7002, source), (7003, echo)):
        listener = ustcp.create_server(("", port))
        listener.setsockopt(ustcp.IPPROTO_TCP, ustcp.TCP_NODELAY, 1)
        threading.Thread(target=serve_port, args=(listener, serve), daemon=True).start()
    print("up", flush=True)
    threading.Event().wait()
