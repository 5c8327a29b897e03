"""The puppet of puppet.c in Python: the same requests and answers over ustcp.socket, or socket.socket with --kernel."""

from __future__ import annotations

import errno
import hashlib
import select
import socket
import struct
import sys
import threading

BLOCK = 65536
MSG_NOSIGNAL = socket.MSG_NOSIGNAL

if "--kernel" in sys.argv:
    Socket = socket.socket
else:
    import ustcp

    Socket = ustcp.socket

sockets: dict[int, object] = {}
epolls: dict[int, select.epoll] = {}


def keep(sock) -> int:
    sockets[sock.fileno()] = sock
    return sock.fileno()


def pattern(seed: int) -> bytearray:
    x, block = seed, bytearray(BLOCK)
    for i in range(BLOCK):
        x = (x * 6364136223846793005 + 1442695040888963407) % 2**64
        block[i] = x >> 56
    return block


def blocks(total: int, seed: int):
    block = pattern(seed)
    for sent in range(0, total, BLOCK):
        block[:8] = (sent // BLOCK).to_bytes(8, "little")
        yield memoryview(block)[: min(BLOCK, total - sent)]


def pour(sock, total: str, seed: str):
    digest = hashlib.sha256()
    for block in blocks(int(total), int(seed)):
        sock.sendall(block)
        digest.update(block)
    return int(total), digest.hexdigest()


def drain(sock, most: str | None = None):
    digest, got, buffer = hashlib.sha256(), 0, bytearray(BLOCK)
    left = int(most) if most else sys.maxsize
    while left and (n := sock.recv_into(buffer, min(BLOCK, left))):
        digest.update(memoryview(buffer)[:n])
        got += n
        left -= n
    return got, digest.hexdigest()


def echo(sock):
    total = 0
    while data := sock.recv(BLOCK):
        sock.sendall(data)
        total += len(data)
    sock.close()
    return total


def accept(sock):
    connection, (host, port, *_) = sock.accept()
    return keep(connection), host, port


def recv(sock, most: str, flags: str = "0"):
    data = sock.recv(min(int(most), BLOCK), int(flags, 0))
    return len(data), data.hex()


def send(sock, text: str, flags: str = "0"):
    return sock.send(b"" if text == "-" else bytes.fromhex(text), int(flags, 0) | MSG_NOSIGNAL)


def close(sock):
    del sockets[sock.fileno()]
    sock.close()


def poll(sock, events: str, milliseconds: str):
    poller = select.poll()
    poller.register(sock.fileno(), int(events, 0))
    return dict(poller.poll(int(milliseconds))).get(sock.fileno(), 0)


def select_(sock):
    fds = [sock.fileno()]
    readable, writable, odd = select.select(fds, fds, fds, 0)
    return bool(readable) | bool(writable) << 1 | bool(odd) << 2


def watch(sock, events: str):
    epoll = select.epoll()
    epolls[epoll.fileno()] = epoll
    epoll.register(sock.fileno(), int(events, 0))
    return epoll.fileno()


def events(number: str, milliseconds: str):
    ready = epolls[int(number)].poll(int(milliseconds) / 1000, 1)
    return ready[0][1] if ready else 0


CALLS = {
    "bind": lambda s, host, port: s.bind((host, int(port))),
    "listen": lambda s, backlog: s.listen(int(backlog)),
    "accept": accept,
    "connect": lambda s, host, port: s.connect((host, int(port))),
    "send": send,
    "recv": recv,
    "pour": pour,
    "drain": drain,
    "echo": echo,
    "shutdown": lambda s, how: s.shutdown(int(how)),
    "close": close,
    "sockname": lambda s: (0, *s.getsockname()[:2]),
    "peername": lambda s: (0, *s.getpeername()[:2]),
    "setsockopt": lambda s, level, name, value: s.setsockopt(int(level), int(name), int(value)),
    "getsockopt": lambda s, level, name: s.getsockopt(int(level), int(name)),
    "linger": lambda s, t: s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, int(t))),
    "timeout": lambda s, name, ms: s.setsockopt(
        socket.SOL_SOCKET, int(name), struct.pack("ll", int(ms) // 1000, int(ms) % 1000 * 1000)
    ),
    "state": lambda s: s.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)[0],
    "nonblock": lambda s, on: s.setblocking(on == "0"),
    "poll": poll,
    "select": select_,
    "watch": watch,
}


def act(command: str, words: list[str]):
    if command == "socket":
        family = int(words[1]) if len(words) > 1 else socket.AF_INET
        return keep(Socket(family, socket.SOCK_STREAM))
    if command == "start":
        return Socket(socket.AF_INET, socket.SOCK_STREAM).close()  # the first socket starts the stack
    if command == "events":
        return events(*words)
    if command == "unwatch":
        return epolls.pop(int(words[0])).close()
    sock = sockets.get(int(words[0]))
    if sock is None:
        raise OSError(errno.EBADF, command)
    return CALLS[command](sock, *words[1:])


lock = threading.Lock()


def answer(tag: str, command: str, words: list[str]) -> None:
    try:
        result = act(command, words)
        values = result if isinstance(result, tuple) else (int(result or 0),)
        line = " ".join(map(str, (tag, "ok", *values)))
    except OSError as error:
        line = f"{tag} err {errno.errorcode.get(error.errno, '0')}"
    with lock:
        print(line, flush=True)


for request in sys.stdin:
    tag, command, *words = request.split()
    if command == "&":
        threading.Thread(target=answer, args=(tag, words[0], words[1:]), daemon=True).start()
    else:
        answer(tag, command, words)
