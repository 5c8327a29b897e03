"""A client of an engine that says what no client should, by a seed; it runs as a program of its own.

    python3 hostile.py DIRECTORY TOKEN SEED MESSAGES
            sends so many, each another kind of wrong
    python3 hostile.py DIRECTORY TOKEN hold STREAMS CONTROLS EXPECTED
            connects and says nothing; prints what it is told
"""

from __future__ import annotations

import array
import errno
import os
import random
import select
import socket
import struct
import sys
import time

MAGIC, VERSION = 0x75737463, 1
STOP, OPERATIONS, PAYLOAD_MAX = 17, 17, 4096
STREAM, SEQPACKET = socket.SOCK_STREAM, socket.SOCK_SEQPACKET


def greeting(token: bytes, number: int, version: int = VERSION) -> bytes:
    return struct.pack("=IHH16sQI4x", MAGIC, version, 0, token, number, 0)


def request(token: bytes, operation: int, number: int = 0, a: int = 0, b: int = 0, version: int = VERSION) -> bytes:
    return struct.pack("=IHH16sQII", MAGIC, version, operation, token, number, a, b)


class Hostile:
    def __init__(self, directory: str, token: bytes, seed: int) -> None:
        self.directory, self.token = directory, token
        self.random = random.Random(seed)
        self.kept: list[socket.socket] = []

    def connect(self, kind: int) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, kind)
        sock.connect(f"{self.directory}/{'streams' if kind == STREAM else 'control'}")
        sock.setblocking(False)
        return sock

    def say(self) -> None:
        """One message, and perhaps what comes after it."""
        kind = self.random.choice((STREAM, SEQPACKET))
        sock = self.connect(kind)
        words = self.greeting() if kind == STREAM else self.request()
        damage = self.random.choice((self.none, self.none, self.cut, self.flip, self.noise, self.longer))
        words = damage(words)
        if not means_stop(words):
            self.send(sock, words)
        if self.random.random() < 0.05:
            self.kept.append(sock)
        else:
            sock.close()
        if len(self.kept) > 100:
            self.kept.pop(self.random.randrange(100)).close()

    def greeting(self) -> bytes:
        """Right, or almost; a socket of this greeting is asked about by whoever draws the same number."""
        token = self.random.choice((self.token, self.token, self.random.randbytes(16)))
        return greeting(token, self.random.randrange(40), self.random.choice((VERSION, VERSION, 2, 0xFFFF)))

    def request(self) -> bytes:
        token = self.random.choice((self.token, self.token, self.token, self.random.randbytes(16)))
        operation = self.random.randrange(OPERATIONS + 2)
        number = self.random.randrange(40)
        a, b = (self.random.choice((0, 1, 2, 6, 41, self.random.getrandbits(32))) for _ in range(2))
        version = self.random.choice((VERSION, VERSION, VERSION, 0))
        return request(token, operation, number, a, b, version) + self.payload()

    def payload(self) -> bytes:
        address = struct.pack("=HHI16sI", 4, self.random.randrange(65536), 0, self.random.choice(
            (bytes((10, 77, 0, 1)), bytes((127, 0, 0, 1)), bytes(4), self.random.randbytes(4))), 0)
        length = self.random.choice((0, 1, 4, 28, 300, PAYLOAD_MAX, PAYLOAD_MAX + 1))
        return self.random.choice((address, self.random.randbytes(length)))

    def none(self, words: bytes) -> bytes:
        return words

    def cut(self, words: bytes) -> bytes:
        return words[: self.random.randrange(len(words))]

    def flip(self, words: bytes) -> bytes:
        flipped = bytearray(words)
        for _ in range(self.random.randrange(1, 4)):
            flipped[self.random.randrange(min(len(flipped), 48))] ^= 1 << self.random.randrange(8)
        return bytes(flipped)

    def noise(self, _: bytes) -> bytes:
        return self.random.randbytes(self.random.randrange(1, 200))

    def longer(self, words: bytes) -> bytes:
        return words + self.random.randbytes(self.random.randrange(1, 70_000))

    def send(self, sock: socket.socket, words: bytes) -> None:
        beside = []
        if self.random.random() < 0.1:
            reader, writer = os.pipe()
            beside = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [reader, writer]))]
        try:
            sock.sendmsg([words], beside)
        except PermissionError:
            assert beside  # the kernel refuses them (Linux 6.16)
        except OSError as error:
            if error.errno not in (errno.EPIPE, errno.ECONNRESET, errno.EAGAIN, errno.EMSGSIZE, errno.ENOBUFS):
                raise
        if beside:
            os.close(reader)
            os.close(writer)


def means_stop(words: bytes) -> bool:
    return len(words) >= 8 and struct.unpack_from("=H", words, 6)[0] == STOP


def hold(hostile: Hostile, streams: int, controls: int, expected: int) -> None:
    """Holds connections that say nothing until standard input ends. Says how many were not turned away, once they are
    as many as expected or time is over, and what those were told that were for control."""
    held = [hostile.connect(kind) for kind, count in ((STREAM, streams), (SEQPACKET, controls)) for _ in range(count)]
    deadline = time.monotonic() + 10
    while (taken := sum(not is_told(sock) for sock in held)) > expected and time.monotonic() < deadline:
        time.sleep(0.01)
    told = {errno.errorcode[struct.unpack_from("=Ii", words)[1]] for sock in held if (words := said(sock))}
    print(taken, *sorted(told), flush=True)
    sys.stdin.read()


def is_told(sock: socket.socket) -> bool:
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))


def said(sock: socket.socket) -> bytes:
    """What it was told, if anything; an error of the end comes first."""
    for _ in range(2):
        try:
            return sock.recv(100)
        except BlockingIOError:
            return b""
        except OSError:
            pass
    return b""


def main(directory: str, token: str, what: str, *numbers: str) -> None:
    hostile = Hostile(directory, bytes.fromhex(token), 0 if what == "hold" else int(what))
    if what == "hold":
        hold(hostile, *map(int, numbers))
        return
    for _ in range(int(numbers[0])):
        hostile.say()


if __name__ == "__main__":
    main(*sys.argv[1:])
