"""ustcp.socket, call by call, against the kernel's TCP; kernel sockets in its place must pass the same tests."""

from __future__ import annotations

import array
import contextlib
import errno
import gc
import hashlib
import os
import select
import selectors
import socket
import struct
import sys
import threading
import time
import warnings

import pytest
import ustcp

from harness.netns import OURS, PEER
from harness.python import Side, in_child

MEBIBYTE = 1 << 20
ESTABLISHED, CLOSE, LISTEN = 1, 7, 10
TCP_SAVE_SYN, TCP_SAVED_SYN = 27, 28  # of <linux/tcp.h>; the standard library has no names for them


@pytest.fixture(params=["we connect", "we accept"])
def pair(request, ours: Side):
    a, b = ours.connect() if request.param == "we connect" else ours.accept()
    with a, b:
        yield a, b


def test_a_word_each_way_and_the_end(pair):
    a, b = pair
    assert a.send(b"hello") == 5
    assert b.recv(100) == b"hello"
    b.sendall(b"hi")
    assert a.recv(100) == b"hi"
    b.close()
    assert a.recv(100) == b""


def test_both_ends_agree_on_their_names(pair):
    a, b = pair
    assert a.getsockname() == b.getpeername()
    assert a.getpeername() == b.getsockname()


def test_accept_tells_who_it_is(ours):
    with ours.server() as listener, socket.create_connection(listener.getsockname()) as peer:
        connection, address = listener.accept()
        with connection:
            assert address == peer.getsockname() == connection.getpeername()
            assert type(connection) is ours.socket
            assert connection.gettimeout() is None


def pour(sock, size: int, make):
    digest = hashlib.sha256()
    block = os.urandom(MEBIBYTE)
    for _ in range(size // MEBIBYTE):
        sock.sendall(make(block))
        digest.update(block)
    sock.shutdown(socket.SHUT_WR)
    return digest.hexdigest()


def drain(sock):
    digest = hashlib.sha256()
    while data := sock.recv(MEBIBYTE):
        digest.update(data)
    return digest.hexdigest()


def drain_into(sock):
    digest, buffer = hashlib.sha256(), bytearray(MEBIBYTE)
    while count := sock.recv_into(buffer):
        digest.update(memoryview(buffer)[:count])
    return digest.hexdigest()


def in_threads(*actions):
    """Their results, when all have ended."""
    results: list = [None] * len(actions)

    def run(index):
        results[index] = actions[index]()

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(actions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


@pytest.mark.parametrize("make", [bytes, bytearray, memoryview, lambda b: array.array("I", b)])
@pytest.mark.parametrize("receive", [drain, drain_into])
def test_16_mib_both_ways_at_once_arrive_whole(ours, make, receive):
    a, b = ours.connect()
    with a, b:
        sent, returned, got_there, got_here = in_threads(
            lambda: pour(a, 16 * MEBIBYTE, make),
            lambda: pour(b, 16 * MEBIBYTE, bytes),
            lambda: drain(b),
            lambda: receive(a),
        )
    assert sent == got_there and returned == got_here


def test_the_other_half_lives_on_after_shutdown(pair):
    a, b = pair
    a.shutdown(socket.SHUT_WR)
    assert b.recv(10) == b""
    b.sendall(b"still here")
    assert a.recv(100) == b"still here"
    with pytest.raises(BrokenPipeError):
        a.send(b"x")


def test_recv_into_fills_what_it_is_given(pair):
    a, b = pair
    b.sendall(b"abcdefgh")
    select.select([a.fileno()], [], [])
    buffer = bytearray(b"........")
    assert a.recv_into(buffer, 3) == 3
    assert buffer == b"abc....."
    words = array.array("H", [0, 0])
    assert a.recv_into(words) == 4
    assert words.tobytes() == b"defg"
    assert a.recv_into(memoryview(buffer)[7:]) == 1
    assert buffer == b"abc....h"


def test_flags(pair):
    a, b = pair
    with pytest.raises(BlockingIOError):
        a.recv(1, socket.MSG_DONTWAIT)
    b.sendall(b"abc")
    assert a.recv(3, socket.MSG_PEEK | socket.MSG_WAITALL) == b"abc"
    sender = threading.Timer(0.05, b.sendall, [b"def"])
    sender.start()
    assert a.recv(6, socket.MSG_WAITALL) == b"abcdef"
    sender.join()
    assert a.send(b"x", socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL) == 1


def test_all_that_was_asked_for_or_all_that_came(pair):
    a, b = pair
    data = os.urandom(MEBIBYTE)
    sender = threading.Thread(target=lambda: (b.sendall(data + data), b.shutdown(socket.SHUT_WR)))
    sender.start()
    assert a.recv(MEBIBYTE, socket.MSG_WAITALL) == data
    assert a.recv(2 * MEBIBYTE, socket.MSG_WAITALL) == data
    sender.join()


def test_memory_is_taken_as_bytes_come_and_not_as_they_are_asked_for(stack):
    a, b = stack.connect()
    with a, b:
        b.sendall(b"few")
        b.shutdown(socket.SHUT_WR)
        assert a.recv(1 << 40, socket.MSG_WAITALL) == b"few"


def test_empty_is_allowed(pair):
    a, b = pair
    assert a.send(b"") == 0
    a.sendall(b"")
    a.sendall(bytearray())
    assert a.recv(0) == b""
    b.sendall(b"x")
    assert a.recv(1) == b"x"


def receive(sock, size: int) -> bytes:
    received = b""
    while len(received) < size:
        received += sock.recv(size - len(received))
    return received


def test_sendmsg_sends_several_buffers_as_one(pair):
    a, b = pair
    assert a.sendmsg([b"one ", bytearray(b"two "), memoryview(b"three")]) == 13
    assert receive(b, 13) == b"one two three"
    assert a.sendmsg([]) == 0
    for wrong in (7, ["text"]):
        with pytest.raises(TypeError):
            a.sendmsg(wrong)
    blocks = [os.urandom(300_000), os.urandom(10)]
    sent = a.sendmsg(blocks)
    assert receive(b, sent) == b"".join(blocks)[:sent]


def test_a_with_statement_closes(ours):
    a, b = ours.connect()
    with b:
        with a as same:
            assert same is a and a.fileno() >= 0
        assert a.fileno() == -1
        assert b.recv(1) == b""
        a.close()


def test_a_socket_that_is_forgotten_is_closed_with_a_warning(ours):
    a, b = ours.connect()
    with b, pytest.warns(ResourceWarning, match="unclosed"):
        del a
        gc.collect()
        assert b.recv(1) == b""


def test_and_closed_too_where_the_warning_is_an_error(ours):
    """As by `python -W error`: Python tells of the exception and goes on, and the connection ends."""
    a, b = ours.connect()
    with b, warnings.catch_warnings(), pytest.MonkeyPatch.context() as patched:
        told = []
        patched.setattr(sys, "unraisablehook", lambda unraisable: told.append(unraisable.exc_type))
        warnings.simplefilter("error", ResourceWarning)
        del a
        gc.collect()
        assert told == [ResourceWarning]
        b.settimeout(20)
        assert b.recv(1) == b""


def test_what_a_socket_says_of_itself(ours):
    with ours.socket() as sock:
        assert (sock.family, sock.type, sock.proto & ~socket.IPPROTO_TCP) == (socket.AF_INET, socket.SOCK_STREAM, 0)
        assert sock.timeout is None
        sock.bind((ours.host, 0))
        assert f"laddr={sock.getsockname()}" in repr(sock) and f"fd={sock.fileno()}" in repr(sock)
    assert "[closed]" in repr(sock)


@pytest.mark.parametrize(
    ("level", "name", "value", "told"),
    [
        (socket.SOL_SOCKET, socket.SO_REUSEADDR, 1, 1),
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 7, 1),
        (socket.SOL_SOCKET, socket.SO_RCVBUF, 50_000, 100_000),
        (socket.SOL_SOCKET, socket.SO_SNDBUF, 50_000, 100_000),
        (socket.SOL_SOCKET, socket.SO_RCVBUF, 0, 2304),
        (socket.SOL_SOCKET, socket.SO_SNDBUF, 0, 4608),
        (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1, 1),
        (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 99, 99),
        (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 98, 98),
        (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 97, 97),
        (socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1000, 1000),
    ],
)
def test_an_option_is_told_as_it_was_set(ours, level, name, value, told):
    with ours.socket() as sock:
        sock.setsockopt(level, name, value)
        assert sock.getsockopt(level, name) == told
        assert sock.getsockopt(level, name, 4) == struct.pack("i", told)
        sock.setsockopt(level, name, struct.pack("i", value))
        assert sock.getsockopt(level, name) == told


def test_options_with_a_struct(ours):
    with ours.socket() as sock:
        for name, value in [
            (socket.SO_LINGER, struct.pack("ii", 1, 5)),
            (socket.SO_RCVTIMEO, struct.pack("ll", 1, 500_000)),
            (socket.SO_SNDTIMEO, struct.pack("ll", 2, 0)),
        ]:
            sock.setsockopt(socket.SOL_SOCKET, name, value)
            assert sock.getsockopt(socket.SOL_SOCKET, name, 16) == value


def test_options_that_are_only_told(ours):
    with ours.server() as listener:
        for name, told in [
            (socket.SO_TYPE, socket.SOCK_STREAM),
            (socket.SO_DOMAIN, socket.AF_INET),
            (socket.SO_PROTOCOL, socket.IPPROTO_TCP),
            (socket.SO_ACCEPTCONN, 1),
            (socket.SO_ERROR, 0),
        ]:
            assert listener.getsockopt(socket.SOL_SOCKET, name) == told
            with pytest.raises(OSError) as refused:
                listener.setsockopt(socket.SOL_SOCKET, name, 1)
            assert refused.value.errno == errno.ENOPROTOOPT


def test_the_syn_of_an_accepted_connection(ours):
    with ours.server() as listener:
        listener.setsockopt(socket.IPPROTO_TCP, TCP_SAVE_SYN, 1)
        with socket.create_connection(listener.getsockname()) as peer, listener.accept()[0] as connection:
            with pytest.raises(OSError) as refused:
                connection.getsockopt(socket.IPPROTO_TCP, TCP_SAVED_SYN, 20)
            assert refused.value.errno == errno.EINVAL
            syn = connection.getsockopt(socket.IPPROTO_TCP, TCP_SAVED_SYN, 256)
            tcp = syn[(syn[0] & 15) * 4 :]
            assert struct.unpack_from("!HH", tcp) == (peer.getsockname()[1], listener.getsockname()[1])
            assert len(tcp) == (tcp[12] >> 4) * 4
            assert connection.getsockopt(socket.IPPROTO_TCP, TCP_SAVED_SYN, 256) == b""


def test_tcp_info_counts_what_went(pair):
    a, b = pair
    a.sendall(bytes(5000))
    receive(b, 5000)
    b.sendall(bytes(300))
    receive(a, 300)
    info = a.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 240)
    assert len(info) == 240
    assert info[0] == ESTABLISHED
    snd_mss = struct.unpack_from("I", info, 16)[0]
    assert 500 < snd_mss <= 65535
    bytes_acked, bytes_received = struct.unpack_from("QQ", info, 120)
    assert bytes_received == 300
    assert bytes_acked in (5000, 5001), "Linux counts our SYN when we connected"


def test_tcp_info_of_no_connection(ours):
    with ours.socket() as fresh, ours.server() as listener:
        info = fresh.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
        assert info[0] == CLOSE
        assert struct.unpack_from("I", info, 8) == (1_000_000,), "retransmission timeout in microseconds"
        assert struct.unpack_from("I", info, 16) == (536,), "segment size"
        assert struct.unpack_from("II", info, 76) == (0x7FFFFFFF, 10), "slow-start threshold, congestion window"
        assert listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)[0] == LISTEN
        for sock in (fresh, listener):
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG) == 536


def test_tcp_info_of_a_listener_has_its_queue_and_its_backlog(ours):
    """tcpi_unacked and tcpi_sacked there, as php-fpm and others read them."""
    with ours.server() as listener:
        listener.listen(5)
        waiting = [socket.create_connection(listener.getsockname()) for _ in range(2)]
        deadline = time.monotonic() + 20
        while queue(listener) != (2, 5):
            assert time.monotonic() < deadline, queue(listener)
        listener.accept()[0].close()
        assert queue(listener) == (1, 5)
        for peer in waiting:
            peer.close()


def queue(listener):
    return struct.unpack_from("II", listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104), 24)


def test_linger_0_resets(pair):
    a, b = pair
    a.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    a.close()
    with pytest.raises(ConnectionResetError):
        b.recv(1)


def test_selectors_see_every_turn(ours):
    with ours.server() as listener, selectors.EpollSelector() as selector:
        listener.setblocking(False)
        selector.register(listener, selectors.EVENT_READ)
        assert selector.select(0) == []
        with socket.create_connection(listener.getsockname()) as peer:
            assert [key.fileobj for key, _ in selector.select()] == [listener]
            connection, _ = listener.accept()
            with connection:
                selector.register(connection, selectors.EVENT_READ | selectors.EVENT_WRITE)
                assert dict((k.fileobj, e) for k, e in selector.select()) == {connection: selectors.EVENT_WRITE}
                selector.modify(connection, selectors.EVENT_READ)
                peer.sendall(b"x")
                assert [key.fileobj for key, _ in selector.select()] == [connection]
                assert connection.recv(10) == b"x"
                assert selector.select(0) == []
                peer.shutdown(socket.SHUT_WR)
                assert [key.fileobj for key, _ in selector.select()] == [connection]
                assert connection.recv(10) == b""
                selector.unregister(connection)


def test_a_child_has_no_part_in_the_parents_sockets(stack):
    a, b = stack.connect()
    with a, b:
        for call in (
            lambda: a.send(b"x"),
            lambda: a.recv(1),
            lambda: a.getsockname(),
            lambda: a.shutdown(socket.SHUT_RDWR),
            lambda: a.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR),
            lambda: a.connect((PEER, 1)),
        ):
            assert in_child(lambda call=call: number_of(call) == errno.EBADF) == 0
        assert in_child(lambda: (a.close(), a.close(), a.fileno()) == (None, None, -1)) == 0

        def leave_it() -> bool:
            with a:
                return a.fileno() >= 0

        assert in_child(leave_it) == 0
        assert in_child(lambda: f"parent, process {os.getppid()}" in text_of(lambda: a.recv(1))) == 0
        a.sendall(b"unharmed")
        assert b.recv(100) == b"unharmed"


def test_a_child_may_have_a_stack_of_its_own(stack):
    with socket.create_server((PEER, 0)) as listener:
        port = listener.getsockname()[1]

        def child() -> bool:
            ustcp.init(tun="ustcp1", address="10.77.0.6/30", peer="10.77.0.5")
            with ustcp.create_server(("10.77.0.6", 0)) as own, ustcp.create_connection(own.getsockname()) as sock:
                ustcp_side, _ = own.accept()
                with ustcp_side:
                    sock.sendall(b"child")
                    return ustcp_side.recv(10) == b"child"

        assert in_child(child) == 0
        with ustcp.create_connection((PEER, port)) as sock:
            connection, _ = listener.accept()
            with connection:
                sock.sendall(b"parent")
                assert connection.recv(10) == b"parent"


def text_of(call) -> str:
    try:
        call()
    except OSError as error:
        return str(error)
    return ""


def number_of(call) -> int | None:
    try:
        call()
    except OSError as error:
        return error.errno
    return None


def test_localhost_is_the_stack_itself(stack):
    with ustcp.create_server(("localhost", 0)) as listener:
        host, port = listener.getsockname()
        assert host == "127.0.0.1"
        with ustcp.create_connection(("localhost", port), timeout=20) as sock:
            connection, (peer, _) = listener.accept()
            with connection:
                assert peer == "127.0.0.1"
                sock.sendall(b"inside")
                assert connection.recv(100) == b"inside"


def test_an_empty_host_is_every_address(stack):
    with ustcp.create_server(("", 0)) as listener:
        host, port = listener.getsockname()
        assert host == "0.0.0.0"
        for address in (OURS, "127.0.0.1"):
            with ustcp.create_connection((address, port)):
                connection, _ = listener.accept()
                connection.close()


def test_names_are_resolved_by_the_host_and_each_answer_is_tried(stack, monkeypatch):
    def getaddrinfo(host, port, family=0, type=0):
        assert (host, type) == ("peer.example", socket.SOCK_STREAM)
        answers = [(socket.AF_INET6, "fd77::1"), (socket.AF_INET, "10.77.0.2"), (socket.AF_INET, PEER)]
        return [(of, type, 6, "", (address, port or 0)) for of, address in answers if family in (0, of)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with socket.create_server((PEER, 0)) as listener:
        port = listener.getsockname()[1]
        with ustcp.create_connection(("peer.example", port), timeout=20) as sock:
            assert sock.getpeername() == (PEER, port)
            assert sock.gettimeout() == 20
    with ustcp.socket() as sock:
        sock.bind(("peer.example", 0))
        assert sock.getsockname()[0] == OURS


def test_source_address(stack):
    with socket.create_server((PEER, 0)) as listener:
        with ustcp.create_connection(listener.getsockname(), source_address=(OURS, 5555)) as sock:
            assert sock.getsockname() == (OURS, 5555)


def test_a_foreign_descriptor_is_no_socket_of_ours(stack):
    with open(os.devnull) as other, pytest.raises(OSError) as refused:
        ustcp.socket(fileno=other.fileno())
    assert refused.value.errno == errno.ENOTSOCK


def test_no_descriptor_is_left_over(stack):
    def turn():
        a, b = stack.connect()
        with a, b, stack.server(), contextlib.suppress(ConnectionRefusedError):
            ustcp.create_connection((PEER, 1))

    turn()
    before = os.listdir("/proc/self/fd")
    for _ in range(20):
        turn()
    assert os.listdir("/proc/self/fd") == before
