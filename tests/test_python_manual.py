"""`ustcp.ManualStack`: stacks as values, driven in virtual time."""

from __future__ import annotations

import errno
import os
import re
import select
import socket
import struct
import termios

import pytest

import ustcp

MS = 1_000_000
SIOCATMARK = 0x8905  # which no module of Python has
SERVER = ("10.0.0.2", 80)


class Link:
    """Two stacks and a wire of 1 ms between them."""

    def __init__(self, seed: int = 1, **knobs) -> None:
        self.now = 0
        self.client = ustcp.ManualStack(seed=seed, address="10.0.0.1/24", **knobs)
        self.server = ustcp.ManualStack(seed=seed + 1, address="10.0.0.2/24", **knobs)
        self.packets: list[ustcp.Packet] = []

    def carry(self) -> None:
        """Until both are silent."""
        while True:
            there, back = list(self.client.packets()), list(self.server.packets())
            if not there and not back:
                return
            self.packets += there + back
            self.now += MS
            for packet in there:
                self.server.input(packet.data, self.now, checksum_good=packet.checksum_start != 0)
            for packet in back:
                self.client.input(packet.data, self.now, checksum_good=packet.checksum_start != 0)
            self.client.advance(self.now)
            self.server.advance(self.now)

    def connect(self) -> tuple[ustcp.socket, ustcp.ManualSocket]:
        listener = self.server.socket()
        listener.bind(SERVER)
        listener.listen()
        client = self.client.socket()
        with pytest.raises(BlockingIOError) as begun:
            client.connect(SERVER)
        assert begun.value.errno == errno.EINPROGRESS
        with pytest.raises(BlockingIOError):
            listener.accept()
        self.carry()
        client.connect(SERVER)
        server, peer = listener.accept()
        assert peer == client.getsockname()
        return client, server


def test_a_handshake_and_a_close_with_the_states_beside_the_packets():
    link = Link(trace=True)
    client, server = link.connect()
    client.close()
    link.carry()
    assert server.recv(1) == b""
    server.close()
    link.carry()
    link.client.advance(link.client.deadline())
    steps = [(event.kind, event.before, event.after) for event in link.client.events() if event.kind != "expired"]
    assert steps == [
        ("transition", "CLOSED", "SYN-SENT"),
        ("sent", "SYN-SENT", "SYN-SENT"),
        ("transition", "SYN-SENT", "ESTABLISHED"),
        ("received", "SYN-SENT", "ESTABLISHED"),
        ("sent", "ESTABLISHED", "ESTABLISHED"),
        ("transition", "ESTABLISHED", "FIN-WAIT-1"),
        ("sent", "FIN-WAIT-1", "FIN-WAIT-1"),
        ("transition", "FIN-WAIT-1", "FIN-WAIT-2"),
        ("received", "FIN-WAIT-1", "FIN-WAIT-2"),
        ("transition", "FIN-WAIT-2", "TIME-WAIT"),
        ("received", "FIN-WAIT-2", "TIME-WAIT"),
        ("sent", "TIME-WAIT", "TIME-WAIT"),
        ("transition", "TIME-WAIT", "CLOSED"),
    ]
    assert (link.client.event(), link.client.deadline()) == (None, None)


def conversation(seed: int) -> list[ustcp.Packet]:
    link = Link(seed)
    client, server = link.connect()
    data, sent, received = bytes(range(256)) * 1000, 0, b""
    while len(received) < len(data):
        try:
            sent += client.send(data[sent:])
        except BlockingIOError:
            pass
        link.carry()
        received += server.recv(1 << 20)
    assert received == data
    return link.packets


def test_equal_seeds_and_calls_give_equal_packets():
    assert conversation(5) == conversation(5)
    assert conversation(5) != conversation(6)
    assert ustcp.ManualStack().now == 0


def test_sends_and_recvs_and_their_flags():
    link = Link()
    client, server = link.connect()
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    assert client.sendmsg([b"ab", bytearray(b"cd")]) == 4
    assert client.sendto(b"ef", SERVER) == 2
    assert client.sendto(memoryview(b"gh"), 0, SERVER) == 2
    link.carry()
    assert server.recv(3, socket.MSG_PEEK) == b"abc"
    assert server.recv(2, socket.MSG_TRUNC) == b"\0\0"
    room = bytearray(2)
    assert (server.recv_into(room), room) == (2, b"cd")
    assert server.recvfrom(1) == (b"e", None)
    assert server.recvmsg(9, 0, socket.MSG_WAITALL) == (b"fgh", [], 0, None)
    with pytest.raises(BlockingIOError):
        server.recv(1)
    client.send(b"xy!", socket.MSG_OOB)
    link.carry()
    assert server.poll(select.POLLPRI) == select.POLLPRI
    assert server.recvmsg(9, 0, socket.MSG_OOB) == (b"!", [], socket.MSG_OOB, None)
    assert (server.recv(9), server.ioctl(SIOCATMARK)) == (b"xy", 1)
    with pytest.raises(BlockingIOError):
        server.recv(9)  # past the mark, or close would find something unread
    client.send(b"!", socket.MSG_OOB)
    client.send(b"more")
    link.carry()
    assert (server.recv(9), server.ioctl(SIOCATMARK)) == (b"more", 0)  # all that is behind the mark
    server.shutdown(socket.SHUT_WR)
    link.carry()
    assert client.recv(1) == b""
    server.close()
    link.carry()
    client.send(b"x")
    link.carry()
    with pytest.raises(BrokenPipeError):
        client.send(b"x")
    assert client.state == "CLOSED"


def test_options_queues_and_poll():
    link = Link()
    client, server = link.connect()
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    assert client.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
    linger = struct.pack("ii", 1, 5)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    assert client.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8) == linger
    timeout = struct.pack("ll", 1, 500_000)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeout)
    assert client.getsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, 16) == timeout
    assert client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1) == b"\1"
    with pytest.raises(OSError) as unknown:
        client.setsockopt(socket.IPPROTO_TCP, 999, 1)
    assert unknown.value.errno == errno.ENOPROTOOPT
    assert client.poll(select.POLLIN | select.POLLOUT) == select.POLLOUT
    client.send(b"hello")
    assert client.ioctl(termios.TIOCOUTQ) == 5
    link.carry()
    assert (client.ioctl(termios.TIOCOUTQ), server.ioctl(termios.FIONREAD)) == (0, 5)
    assert server.poll(select.POLLIN) == select.POLLIN
    named = []
    while (number := link.server.ready()) is not None:
        named.append(number)
    assert server.fileno() in named
    number = server.fileno()
    server.close()
    server.close()
    assert (server.fileno(), server.poll(select.POLLIN)) == (-1, select.POLLNVAL)
    with pytest.raises(OSError) as closed:
        server.recv(1)
    assert closed.value.errno == errno.EBADF
    assert link.server.socket().fileno() > number
    client.close()


def test_time_knobs_and_deadlines():
    stack = ustcp.ManualStack(seed=1, address=["10.0.0.1/24", "fd00::1/64"], tcp_syn_retries=1)
    assert (stack.get("address"), stack.get("tcp_syn_retries")) == ("10.0.0.1/24,fd00::1/64", "1")
    sock = stack.socket()
    assert sock.connect_ex(SERVER) == errno.EINPROGRESS
    times = []
    while (due := stack.deadline()) is not None:
        stack.advance(due)
        times += [packet.time for packet in stack.packets()]
        assert len(times) < 10
    assert times == [0, 1000 * MS]
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ETIMEDOUT
    with pytest.raises(OSError) as backwards:
        stack.advance(0)
    assert backwards.value.errno == errno.EINVAL
    with pytest.raises(OSError, match="mtu=1: ") as refused:
        stack.set("mtu", 1)
    assert refused.value.errno == errno.EINVAL
    for call in (lambda: stack.set("no_such_knob", 1), lambda: stack.get("no_such_knob")):
        with pytest.raises(OSError, match='there is no "no_such_knob", but .*tcp_sack') as unknown:
            call()
        assert unknown.value.errno == errno.ENOENT
    with pytest.raises(OverflowError):
        stack.advance(-1)


def test_a_keyword_that_is_no_knob_is_a_mistake_of_the_call():
    with pytest.raises(TypeError, match="unexpected keyword argument 'tcp_sak': there is no \"tcp_sak\", but .*tcp_sack"):
        ustcp.ManualStack(tcp_sak=1)
    for value in (None, 1.5, [1]):
        with pytest.raises(TypeError, match=f"mtu={re.escape(repr(value))}: a knob takes an int, a str, or several str"):
            ustcp.ManualStack(mtu=value)


def test_one_listener_for_every_destination():
    link = Link(any_address=True)
    listener = link.server.socket()
    listener.setsockopt(socket.SOL_IP, 19, 1)  # IP_TRANSPARENT
    listener.bind(("0.0.0.0", 0))
    listener.listen()
    for place in [("192.0.2.7", 443), ("8.8.8.8", 53), ("10.0.0.2", 80)]:
        client = link.client.socket()
        client.connect_ex(place)
        link.carry()
        accepted, peer = listener.accept()
        assert (accepted.getsockname(), peer) == (place, client.getsockname())
        accepted.send(b"hello from everywhere")
        link.carry()
        assert client.recv(99) == b"hello from everywhere"


def test_super_segments_and_ipv6():
    link = Link()
    for stack, address in [(link.client, "fd00::1/64"), (link.server, "fd00::2/64")]:
        stack.set("address", address)
        stack.set("tso", 65535)
    place = ("fd00::2", 80, 0, 0)
    listener = link.server.socket(socket.AF_INET6)
    listener.bind(place)
    listener.listen()
    client = link.client.socket(socket.AF_INET6)
    client.connect_ex(place)
    link.carry()
    server, _ = listener.accept()
    assert (server.family, server.getsockname()) == (socket.AF_INET6, place)
    client.send(bytes(10_000))
    packet = link.client.output()
    headers = 1500 - packet.segment_size
    assert (len(packet.data), packet.checksum_start) == (headers + 10_000, 40)
    link.server.input(packet.data, link.now, checksum_good=True)
    assert server.recv(20_000) == bytes(10_000)


def test_hostile_packets_and_a_panic_leave_python_alive(capfd):
    stack = ustcp.ManualStack(seed=1, address="10.0.0.1/24", trace=True)
    for packet in [b"", b"\x45", bytes(20), b"\x45" + bytes(60), b"\x60" * 1000, bytearray(65535)]:
        stack.input(packet, 0)
    assert {event.kind for event in stack.events()} == {"dropped"}
    with pytest.raises(TypeError):
        stack.input("text", 0)
    for _ in range(2):
        with pytest.raises(OSError) as dead:
            stack._plant_panic()
        assert dead.value.errno == errno.ENETDOWN
    assert capfd.readouterr().err.count("planted") == 1


def test_a_class_derived_from_socket_has_a_constructor_of_its_own():
    class OfSix(ustcp.socket):
        def __init__(self, name, *, stack):
            super().__init__(ustcp.AF_INET6, stack=stack)
            self.name = name

    stack = ustcp.ManualStack(seed=1, address="fd77::2/64")
    with OfSix("of six", stack=stack) as sock:
        assert (sock.family, sock.name) == (ustcp.AF_INET6, "of six")
        sock.bind(("fd77::2", 80))
    unopened = ustcp.socket.__new__(ustcp.socket)
    assert unopened.fileno() == -1
    with pytest.raises(OSError):
        unopened.listen()
    unopened.close()


def test_a_socket_that_is_opened_again_closes_what_it_was():
    stack = ustcp.ManualStack(seed=1, address="10.77.0.2/24")
    with ustcp.socket(stack=stack) as sock:
        sock.bind(("10.77.0.2", 80))
        sock.listen()
        sock.__init__(stack=stack)
        with ustcp.socket(stack=stack) as other:
            other.bind(("10.77.0.2", 80))
            other.listen()


def test_a_number_is_never_that_of_a_descriptor():
    """Or who writes to "the socket's descriptor" would write to standard output."""
    stack = ustcp.ManualStack(seed=1, address="10.0.0.1/24")
    for _ in range(3):
        with stack.socket() as sock, pytest.raises(OSError) as none:
            os.fstat(sock.fileno())
        assert none.value.errno == errno.EBADF
    with stack.socket() as sock:
        sock.bind(("", 80))
        number = sock.detach()
        with ustcp.socket(fileno=number, stack=stack) as again:
            assert again.fileno() == number and again.getsockname() == ("0.0.0.0", 80)


@pytest.mark.parametrize("host", [b"10.0.0.1", bytearray(b"10.0.0.1"), "10.0.0.1"])
def test_a_host_is_text_or_bytes(host):
    with ustcp.ManualStack(seed=1, address="10.0.0.1/24").socket() as sock:
        sock.bind((host, 80))
        assert sock.getsockname() == ("10.0.0.1", 80)
        with pytest.raises(UnicodeError):
            sock.connect((b"\xff", 80))


def test_a_timeout_is_rounded_up():
    with ustcp.ManualStack(seed=1).socket() as sock:
        for seconds in (1e-10, 5e-324):
            sock.settimeout(seconds)
            assert sock.getblocking() and sock.gettimeout() == 1e-9
        for seconds in (0, 0.0, -0.0):
            sock.settimeout(seconds)
            assert not sock.getblocking() and sock.gettimeout() == 0
