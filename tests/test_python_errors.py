"""Which exception, and which number: ustcp.socket and the kernel's sockets by one table."""

from __future__ import annotations

import errno
import os
import socket
import sys

import pytest
import ustcp

from harness.netns import PEER


def closed(ours):
    sock = ours.socket()
    sock.close()
    return sock


def listening(ours):
    return ours.server()


def fresh(ours):
    return ours.socket()


def connected(ours):
    sock, peer = ours.connect()
    connected.peers.append(peer)
    return sock


connected.peers = []


@pytest.fixture(autouse=True)
def peers():
    yield
    while connected.peers:
        connected.peers.pop().close()


TABLE = [
    # state, call, errno
    (closed, lambda s: s.recv(1), errno.EBADF),
    (closed, lambda s: s.recv_into(bytearray(1)), errno.EBADF),
    (closed, lambda s: s.send(b"x"), errno.EBADF),
    (closed, lambda s: s.sendall(b"x"), errno.EBADF),
    (closed, lambda s: s.bind(("", 0)), errno.EBADF),
    (closed, lambda s: s.listen(), errno.EBADF),
    (closed, lambda s: s.accept(), errno.EBADF),
    (closed, lambda s: s.connect((PEER, 1)), errno.EBADF),
    (closed, lambda s: s.shutdown(socket.SHUT_RDWR), errno.EBADF),
    (closed, lambda s: s.getsockname(), errno.EBADF),
    (closed, lambda s: s.getpeername(), errno.EBADF),
    (closed, lambda s: s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), errno.EBADF),
    (closed, lambda s: s.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1), errno.EBADF),
    (fresh, lambda s: s.connect((PEER, 1)), errno.ECONNREFUSED),
    (fresh, lambda s: s.recv(1), errno.ENOTCONN),
    (fresh, lambda s: s.send(b"x"), errno.EPIPE),
    (fresh, lambda s: s.shutdown(socket.SHUT_WR), errno.ENOTCONN),
    (fresh, lambda s: s.getpeername(), errno.ENOTCONN),
    (fresh, lambda s: s.accept(), errno.EINVAL),
    (fresh, lambda s: s.bind(("192.0.2.1", 0)), errno.EADDRNOTAVAIL),
    (fresh, lambda s: s.setsockopt(socket.SOL_SOCKET, 9999, 1), errno.ENOPROTOOPT),
    (fresh, lambda s: s.getsockopt(socket.IPPROTO_TCP, 9999), errno.ENOPROTOOPT),
    (fresh, lambda s: s.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 0), errno.EINVAL),
    (fresh, lambda s: s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"1234"), errno.EINVAL),
    (listening, lambda s: s.recv(1), errno.ENOTCONN),
    (listening, lambda s: s.send(b"x"), errno.EPIPE),
    (listening, lambda s: s.connect((PEER, 1)), errno.EISCONN),
    (listening, lambda s: s.bind(("", 0)), errno.EINVAL),
    (connected, lambda s: s.connect((PEER, 1)), errno.EISCONN),
    (connected, lambda s: s.listen(), errno.EINVAL),
    (connected, lambda s: s.accept(), errno.EINVAL),
    (connected, lambda s: s.bind(("", 0)), errno.EINVAL),
    (connected, lambda s: s.shutdown(9), errno.EINVAL),
]


@pytest.mark.parametrize(("state", "call", "number"), TABLE)
def test_error_numbers(ours, state, call, number):
    with state(ours) as sock:
        with pytest.raises(OSError) as raised:
            call(sock)
        assert errno.errorcode[raised.value.errno] == errno.errorcode[number]
        assert type(raised.value) is type(OSError(number, ""))
        assert raised.value.strerror == os.strerror(number)


WRONG = [
    (lambda s: s.send("text"), TypeError),
    (lambda s: s.sendall(7), TypeError),
    (lambda s: s.sendall(None), TypeError),
    (lambda s: s.recv("1"), TypeError),
    (lambda s: s.recv(-1), ValueError),
    (lambda s: s.recv_into(b"read only"), (TypeError, BufferError)),
    (lambda s: s.recv_into(bytearray(3), 4), ValueError),
    (lambda s: s.recv_into(bytearray(3), -1), ValueError),
    (lambda s: s.recv_into("text"), TypeError),
    (lambda s: s.connect("10.77.0.1:80"), TypeError),
    (lambda s: s.connect(["10.77.0.1", 80]), TypeError),
    (lambda s: s.connect(("10.77.0.1",)), TypeError),
    (lambda s: s.connect(("10.77.0.1", 80, 0)), TypeError),
    (lambda s: s.connect((80, "10.77.0.1")), TypeError),
    (lambda s: s.connect(("10.77.0.1", "80")), TypeError),
    (lambda s: s.bind(("10.77.0.1", 65536)), OverflowError),
    (lambda s: s.bind(("10.77.0.1", -1)), OverflowError),
    (lambda s: s.setsockopt(1, 2, "1"), TypeError),
    (lambda s: s.setsockopt(1, 2, 1.5), TypeError),
    (lambda s: s.setsockopt(1, 2, 1 << 40), (OverflowError, TypeError)),
    (lambda s: s.getsockopt(1, 2, -1), OSError),
    (lambda s: s.getsockopt(1, 2, 1025), OSError),
    (lambda s: s.listen("many"), TypeError),
    (lambda s: s.shutdown(None), TypeError),
    (lambda s: s.connect(("::1", 80)), socket.gaierror),
]


@pytest.mark.parametrize(("call", "kind"), WRONG)
def test_wrong_arguments(ours, call, kind):
    with ours.socket() as sock, pytest.raises(kind):
        call(sock)


@pytest.mark.parametrize(
    ("arguments", "number"),
    [
        ((socket.AF_UNIX, socket.SOCK_STREAM), errno.EAFNOSUPPORT),
        ((socket.AF_INET, socket.SOCK_DGRAM), errno.ESOCKTNOSUPPORT),
        ((socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_UDP), errno.EPROTONOSUPPORT),
    ],
)
def test_only_tcp_sockets_are_made(stack, arguments, number):
    with pytest.raises(OSError) as refused:
        ustcp.socket(*arguments)
    assert refused.value.errno == number


def test_an_address_in_use(ours):
    with ours.server() as listener, ours.socket() as other, pytest.raises(OSError) as refused:
        other.bind(listener.getsockname())
    assert refused.value.errno == errno.EADDRINUSE


def test_a_reset_is_told_once(ours):
    a, b = ours.connect()
    with a:
        b.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, (1).to_bytes(4, "little") + bytes(4))
        b.close()
        with pytest.raises(ConnectionResetError):
            a.recv(1)
        assert a.recv(1) == b""
        with pytest.raises(BrokenPipeError):
            a.send(b"x")


def test_a_refused_connect_by_number(ours):
    with ours.socket() as sock:
        assert sock.connect_ex((PEER, 1)) == errno.ECONNREFUSED


@pytest.mark.parametrize("value", [object(), "1", b"1", [], float("nan"), -1, -0.5])
def test_a_timeout_that_is_none_is_refused_as_by_the_system(stack, value):
    texts = []
    for module in (ustcp, socket):
        with module.socket() as sock, pytest.raises((TypeError, ValueError)) as refused:
            sock.settimeout(value)
        texts.append((refused.type, str(refused.value)))
    # An older Python has other words for what is no number.
    assert texts[0] == texts[1] or (sys.version_info < (3, 10) and texts[0][0] is texts[1][0] is TypeError)
