"""The Python surface under arbitrary arguments: an exception of Python's, or an answer; never a crash, a panic, or a
SystemError."""

from __future__ import annotations

import contextlib
import inspect
import re
import select
import socket
from pathlib import Path
from typing import Any

import pytest
import ustcp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

# Whatever is raised, it is one of these: a panic of ours would be a BaseException, an error of the binding a SystemError.
POLITE = (OSError, TypeError, ValueError, OverflowError, MemoryError, AttributeError, NotImplementedError, BufferError)
SETTINGS = settings(
    max_examples=150, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
)

numbers = st.integers(-3, 70) | st.integers(-(2**70), 2**70) | st.sampled_from([0xFFFF, 0x10000, 2**31, -(2**31)])
buffers = (
    st.binary(max_size=200)
    | st.binary(max_size=200).map(bytearray)
    | st.binary(max_size=200).map(memoryview)
    | st.builds(lambda: memoryview(b"abcdef")[::2])
    | st.builds(lambda: memoryview(bytearray(8)).cast("I"))
)
hosts = st.sampled_from(["", "10.0.0.1", "10.0.0.2", "127.0.0.1", "::1", "localhost", "\0", "\udc80"])
addresses = (
    st.tuples(hosts, st.integers(-1, 70000))
    | st.tuples(hosts, st.integers(0, 100), st.integers(-1, 2**33), st.integers(-1, 5))
    | st.tuples()
    | st.tuples(st.binary(max_size=4), st.integers(0, 9))
)
anything = numbers | buffers | addresses | hosts | st.none() | st.booleans() | st.floats() | st.lists(buffers, max_size=5)
flags = st.sampled_from([0, socket.MSG_PEEK, socket.MSG_DONTWAIT, socket.MSG_TRUNC, socket.MSG_OOB, socket.MSG_ERRQUEUE, -1])
CALLS = [
    "accept", "bind", "close", "connect", "connect_ex", "detach", "dup", "fileno", "get_inheritable", "getblocking",
    "getpeername", "getsockname", "getsockopt", "gettimeout", "ioctl", "listen", "makefile", "poll", "recv", "recv_into",
    "recvfrom", "recvfrom_into", "recvmsg", "recvmsg_into", "send", "sendall", "sendmsg", "sendto", "setblocking",
    "setsockopt", "settimeout", "shutdown",
]  # fmt: skip
sensible = st.one_of(
    st.tuples(st.just("bind"), st.tuples(addresses)),
    st.tuples(st.just("connect"), st.tuples(addresses)),
    st.tuples(st.just("listen"), st.tuples(numbers)),
    st.tuples(st.sampled_from(["send", "sendall"]), st.tuples(buffers, flags)),
    st.tuples(st.sampled_from(["recv", "recvfrom", "recvmsg"]), st.tuples(st.integers(-2, 1 << 18), flags)),
    st.tuples(st.just("recv_into"), st.tuples(buffers, numbers, flags)),
    st.tuples(st.just("recvmsg_into"), st.tuples(st.lists(buffers, max_size=4), numbers, flags)),
    st.tuples(st.just("sendmsg"), st.tuples(st.lists(buffers, max_size=4), st.lists(anything, max_size=2), flags)),
    st.tuples(st.just("setsockopt"), st.tuples(numbers, numbers, numbers | buffers)),
    st.tuples(st.just("getsockopt"), st.tuples(numbers, numbers, numbers)),
)
calls = st.lists(
    st.tuples(st.integers(0, 2), sensible | st.tuples(st.sampled_from(CALLS), st.lists(anything, max_size=4).map(tuple))),
    max_size=25,
)


def drive(made: list[Any], script: list[Any]) -> None:
    for which, (name, arguments) in script:
        sock = made[which % len(made)]
        with contextlib.suppress(*POLITE):
            result = getattr(sock, name)(*arguments)
            if isinstance(result, ustcp.socket):
                result.settimeout(0)
                made.append(result)
        assert sock.proto in (0, socket.IPPROTO_TCP) and repr(sock) and sock.state
        with contextlib.suppress(OSError):
            sock.settimeout(0)  # nothing may wait here


def close(made: list[Any]) -> None:
    for sock in made:
        sock._io_refs = 0
        sock.close()


@SETTINGS
@given(calls)
def test_sockets_of_a_stack_by_hand(script):
    stack = ustcp.ManualStack(seed=1, address="10.0.0.1/24,fd00::1/64")
    made = [stack.socket(), stack.socket(socket.AF_INET6), stack.socket()]
    with contextlib.suppress(OSError):
        made[2].connect(("127.0.0.1", 7))
    drive(made, script)
    close(made)


def test_sockets_of_a_device(stack):
    with ustcp.create_server(("", 7)) as listener:
        listener.settimeout(0)

        @SETTINGS
        @given(calls)
        def play(script):
            made = [ustcp.socket(), ustcp.create_connection(("127.0.0.1", 7)), ustcp.socket(socket.AF_INET6)]
            for sock in made:
                sock.settimeout(0)
            drive(made, script)
            close(made)
            with contextlib.suppress(BlockingIOError):
                while True:
                    listener.accept()[0].close()

        play()


@SETTINGS
@given(st.lists(st.tuples(st.sampled_from(["input", "advance", "set", "get", "socket", "output", "_poll"]), st.lists(anything, max_size=3)), max_size=15))
def test_a_stack_by_hand(script):
    stack = ustcp.ManualStack(seed=1, address="10.0.0.1/24")
    for name, arguments in script:
        with contextlib.suppress(*POLITE):
            result = getattr(stack, name)(*arguments)
            if isinstance(result, ustcp.socket):
                result.close()
    assert stack.now >= 0


@SETTINGS
@given(st.dictionaries(st.sampled_from(["family", "type", "proto", "fileno", "stack"]), anything, min_size=1))
def test_constructors(arguments):
    if arguments.get("stack") is None:  # never the process's own, which would make a device of this machine
        arguments["stack"] = ustcp.ManualStack(seed=1)
    with contextlib.suppress(*POLITE):
        ustcp.socket(**arguments).close()


# ---- the plain cases, by name

WRONG = [
    lambda s: s.send("text"), lambda s: s.send(None), lambda s: s.sendall(1), lambda s: s.recv("1"), lambda s: s.recv(None),
    lambda s: s.recv_into(b"read-only"), lambda s: s.recv_into("text"), lambda s: s.bind("10.0.0.1"), lambda s: s.bind((1, 2)),
    lambda s: s.connect(None), lambda s: s.connect(("10.0.0.1",)), lambda s: s.connect(("10.0.0.1", "80")),
    lambda s: s.settimeout("1"), lambda s: s.setsockopt(1, 2), lambda s: s.setsockopt(1, 2, "x"), lambda s: s.getsockopt(1),
    lambda s: s.sendmsg(b"x"), lambda s: s.sendmsg([1]), lambda s: s.recvmsg_into([b"read-only"]), lambda s: s.listen("x"),
    lambda s: s.shutdown(None), lambda s: s.makefile(mode=3), lambda s: s.sendto(b"x"), lambda s: s.poll(None),
]  # fmt: skip


@pytest.mark.parametrize("call", WRONG)
def test_wrong_types_are_a_type_error(call):
    with ustcp.ManualStack(seed=1, address="10.0.0.1/24").socket() as sock, pytest.raises(TypeError):
        call(sock)


def test_a_closed_socket_is_ebadf_in_every_call():
    calls = {
        "accept": (), "bind": (("", 0),), "connect": (("10.0.0.2", 1),), "dup": (), "getpeername": (), "getsockname": (),
        "getsockopt": (1, 3), "ioctl": (0x541B,), "listen": (), "recv": (1,), "recv_into": (bytearray(1),), "recvfrom": (1,),
        "recvmsg": (1,), "recvmsg_into": ([bytearray(1)],), "send": (b"x",), "sendall": (b"x",), "sendmsg": ([b"x"],),
        "sendto": (b"x", ("10.0.0.2", 1)), "setblocking": (True,), "setsockopt": (1, 9, 1), "settimeout": (1,), "shutdown": (2,),
    }  # fmt: skip
    sock = ustcp.ManualStack(seed=1, address="10.0.0.1/24").socket()
    sock.close()
    for name, arguments in calls.items():
        with pytest.raises(OSError) as closed:
            getattr(sock, name)(*arguments)
        assert closed.value.errno == 9, name
    assert (sock.fileno(), sock.state, sock.poll(select.POLLIN), sock.detach()) == (-1, "CLOSED", select.POLLNVAL, -1)


def test_the_package_has_every_constant_that_a_socket_of_tcp_takes():
    """Of the options and flags that the table for C lists, those that the module `socket` of Python 3.9 names."""
    later = {
        "IP_BIND_ADDRESS_NO_PORT", "IP_PKTINFO", "IP_RECVTOS", "NI_IDN", "SO_BINDTOIFINDEX", "SO_INCOMING_CPU", "TCP_CC_INFO",
        "TCP_FASTOPEN_KEY", "TCP_INQ", "TCP_MD5SIG", "TCP_REPAIR", "TCP_REPAIR_QUEUE", "TCP_THIN_DUPACK",
        "TCP_THIN_LINEAR_TIMEOUTS", "TCP_TIMESTAMP", "TCP_TX_DELAY", "TCP_ULP", "TCP_ZEROCOPY_RECEIVE",
    }  # fmt: skip
    table = (Path(__file__).parent.parent / "docs" / "c-api.md").read_text()
    names = set(re.findall(r"`((?:SO|SOL|IP|IPV6|TCP|MSG)_[A-Z0-9_]+)`", table)) - later
    names |= {name for name in dir(socket) if name.startswith(("AI_", "NI_"))} - later
    ours = {name for name in names if getattr(ustcp, name, None) == getattr(socket, name, None)}
    assert names - ours == set() and {"SO_PRIORITY", "AI_ALL"} <= ours


@pytest.mark.parametrize("kind", ["socket", "SSLSocket", "Stack", "ManualStack"])
def test_every_public_name_says_what_it_is(kind):
    """And what it takes, tells and raises; in the class or in what it is made of."""
    made = getattr(ustcp, kind)
    silent = [name for name in dir(made) if not name.startswith("_") and not inspect.getdoc(getattr(made, name))]
    assert made.__doc__ and silent == []


@pytest.mark.parametrize("name", [name for name in ustcp.__all__ if inspect.isfunction(getattr(ustcp, name))])
def test_every_function_says_what_it_does(name):
    assert getattr(ustcp, name).__doc__
