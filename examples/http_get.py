#!/usr/bin/env python3
"""Fetches a page over ustcp and writes its body to standard output.

    http_get.py http://10.77.0.1:8080/index.html

A name is resolved by the host's own resolver, which does not speak through this stack.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from urllib.parse import SplitResult, urlsplit

import ustcp

BLOCK = 65536


def request(url: SplitResult) -> bytes:
    """HTTP/1.0, so that the body comes as it is and never in chunks; kept alive, so that a server which agrees leaves
    it to us to close first, and TIME-WAIT is ours."""
    path = (url.path or "/") + (f"?{url.query}" if url.query else "")
    return f"GET {path} HTTP/1.0\r\nHost: {url.netloc}\r\nConnection: keep-alive\r\n\r\n".encode("ascii")


def read_head(sock: ustcp.socket) -> tuple[str, bytes]:
    """The head of the answer, and what came of the body with it."""
    answer = b""
    while b"\r\n\r\n" not in answer:
        data = sock.recv(BLOCK)
        if not data or len(answer) > BLOCK:
            raise ValueError("the answer is not HTTP")
        answer += data
    head, _, body = answer.partition(b"\r\n\r\n")
    return head.decode("latin-1"), body


def content_length(head: str) -> int | None:
    """What the head announces; None when the body goes on to the end of the connection."""
    for line in head.split("\r\n")[1:]:
        name, _, value = line.partition(":")
        if name.lower() == "content-length":
            return int(value)
    return None


def read_body(sock: ustcp.socket, data: bytes, announced: int | None) -> Iterator[bytes]:
    """The body, to its announced length or to the end of the connection."""
    left = announced
    while True:
        data = data[:left]
        yield data
        if left is not None:
            left -= len(data)
            if left == 0:
                return
        data = sock.recv(BLOCK)
        if not data:
            if left:
                raise ValueError(f"the connection ended {left} bytes early")
            return


def fetch(url: SplitResult) -> int:
    """Writes the body to standard output. The status of the answer."""
    with ustcp.create_connection((url.hostname or "", url.port or 80)) as sock:
        sock.sendall(request(url))
        head, beginning = read_head(sock)
        for data in read_body(sock, beginning, content_length(head)):
            sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
    return int(head.split()[1])


def main() -> int:
    url = urlsplit(sys.argv[1]) if len(sys.argv) == 2 else None
    if url is None or url.scheme != "http" or not url.hostname:
        print("usage: http_get.py http://HOST[:PORT][/PATH]", file=sys.stderr)
        return 2
    try:
        status = fetch(url)
    except (OSError, ValueError) as error:
        print(f"http_get.py: {error}", file=sys.stderr)
        return 1
    if not 200 <= status <= 299:
        print(f"http_get.py: the server answered with status {status}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
