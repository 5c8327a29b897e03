"""How ustcp's calls wait: timeouts, non-blocking sockets, other threads, signals."""

from __future__ import annotations

import errno
import os
import select
import signal
import socket
import subprocess
import sys
import threading

import pytest
import ustcp

from harness.netns import DEVICE, OURS, PEER, STRANGER
from harness.python import Side

SHORT = 0.05


@pytest.fixture
def pair(ours: Side):
    a, b = ours.connect()
    with a, b:
        yield a, b


def fill(sock) -> None:
    """Until neither buffer nor the peer's window takes another byte: there may be room that select does not tell."""
    size = 65536
    while size:
        try:
            sock.send(bytes(size), socket.MSG_DONTWAIT)
        except BlockingIOError:
            if not select.select([], [sock.fileno()], [], 0.3)[1]:
                size //= 16


def test_recv_times_out(pair):
    a, b = pair
    a.settimeout(SHORT)
    with pytest.raises(ustcp.timeout) as over:
        a.recv(1)
    assert str(over.value) == "timed out" and over.value.errno is None
    with pytest.raises(ustcp.timeout):
        a.recv_into(bytearray(1))
    b.sendall(b"x")
    assert a.recv(1) == b"x"


def test_accept_times_out(ours):
    with ours.server() as listener:
        listener.settimeout(SHORT)
        with pytest.raises(ustcp.timeout):
            listener.accept()


def test_send_times_out_when_nobody_reads(pair):
    a, _ = pair
    fill(a)
    a.settimeout(SHORT)
    with pytest.raises(ustcp.timeout):
        a.send(b"x")
    with pytest.raises(ustcp.timeout):
        a.sendall(bytes(1 << 20))


def test_connect_times_out_where_nobody_answers(stack):
    with ustcp.socket() as sock:
        sock.settimeout(SHORT)
        with pytest.raises(ustcp.timeout):
            sock.connect((STRANGER, 80))
    with ustcp.socket() as sock:
        sock.settimeout(SHORT)
        assert sock.connect_ex((STRANGER, 80)) == errno.EAGAIN
    with pytest.raises(ustcp.timeout):
        ustcp.create_connection((STRANGER, 80), timeout=SHORT)


def test_a_timeout_of_the_option_is_eagain(pair):
    a, _ = pair
    a.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, (0).to_bytes(8, "little") + (50_000).to_bytes(8, "little"))
    with pytest.raises(BlockingIOError):
        a.recv(1)


def test_a_timeout_is_told_as_it_was_set(ours):
    with ours.socket() as sock:
        assert sock.gettimeout() is None and sock.getblocking()
        sock.settimeout(1.5)
        assert sock.gettimeout() == 1.5 and sock.getblocking()
        sock.settimeout(0)
        assert sock.gettimeout() == 0 and not sock.getblocking()
        sock.setblocking(True)
        assert sock.gettimeout() is None
        sock.setblocking(False)
        assert sock.gettimeout() == 0
        for bad in (-1, float("nan")):
            with pytest.raises(ValueError):
                sock.settimeout(bad)
        with pytest.raises(OverflowError):
            sock.settimeout(1e30)
        with pytest.raises(TypeError):
            sock.settimeout("1")
        assert sock.gettimeout() == 0


def test_a_non_blocking_socket_never_waits(ours):
    with ours.server() as listener:
        listener.setblocking(False)
        with pytest.raises(BlockingIOError) as again:
            listener.accept()
        assert again.value.errno == errno.EAGAIN
    a, _b = ours.connect()
    with a, _b:
        a.setblocking(False)
        with pytest.raises(BlockingIOError):
            a.recv(1)
        fill(a)
        with pytest.raises(BlockingIOError):
            a.send(b"x")


def test_a_non_blocking_connect_is_finished_by_select(ours):
    with socket.create_server((PEER, 0)) as listener, ours.socket() as sock:
        sock.setblocking(False)
        if ours.on_kernel:  # its loopback has connected before connect returns
            assert sock.connect_ex(listener.getsockname()) in (0, errno.EINPROGRESS)
        else:
            with pytest.raises(BlockingIOError) as begun:
                sock.connect(listener.getsockname())
            assert begun.value.errno == errno.EINPROGRESS
        assert select.select([], [sock.fileno()], [])[1] == [sock.fileno()]
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
        assert sock.getpeername() == listener.getsockname()


def test_a_refused_non_blocking_connect_leaves_its_error(stack):
    with ustcp.socket() as sock:
        sock.setblocking(False)
        assert sock.connect_ex((PEER, 1)) == errno.EINPROGRESS
        select.select([], [sock.fileno()], [])
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNREFUSED
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0


@pytest.mark.parametrize("wait", ["recv", "accept", "send", "connect"])
def test_another_thread_runs_while_one_waits(stack, wait):
    """The wait is ended by Python code of another thread: with the GIL held it would never end."""
    a, b = stack.connect()
    with a, b, stack.server() as listener, ustcp.socket() as other:
        waits, ends = {
            "recv": (lambda: a.recv(1), lambda: b.send(b"x")),
            "accept": (lambda: listener.accept()[0].close(), lambda: knock(listener)),
            "send": (lambda: a.sendall(bytes(16 << 20)), lambda: read(b, 16 << 20)),
            "connect": (lambda: other.connect((STRANGER, 1)), lambda: other.close()),
        }[wait]
        begun = threading.Event()

        def end():
            begun.wait()
            ends()

        thread = threading.Thread(target=end)
        thread.start()
        begun.set()
        if wait == "connect":
            with pytest.raises(OSError) as closed:
                waits()
            assert closed.value.errno == errno.EBADF
        else:
            waits()
        thread.join()


def knock(listener) -> None:
    socket.create_connection(listener.getsockname()).close()


def read(sock, size: int) -> None:
    while size:
        size -= len(sock.recv(1 << 20))


def test_close_ends_the_wait_of_another_thread(stack):
    a, b = stack.connect()
    with b:
        numbers = []

        def wait():
            try:
                a.recv(1)
            except OSError as error:
                numbers.append(error.errno)

        thread = threading.Thread(target=wait)
        thread.start()
        a.close()
        thread.join()
        assert numbers == [errno.EBADF]


def test_many_threads_on_one_stack(stack):
    """Each echoes its own words over its own connection, all at once."""
    with stack.server() as listener:

        def serve():
            connection, _ = listener.accept()
            with connection:
                while data := connection.recv(100):
                    connection.sendall(data)

        def ask(number, answers):
            with socket.create_connection(listener.getsockname(), 20) as sock:
                for turn in range(50):
                    word = f"{number}/{turn};".encode()
                    sock.sendall(word)
                    answers.append(sock.recv(100) == word)

        answers: list[bool] = []
        threads = [threading.Thread(target=serve) for _ in range(8)]
        threads += [threading.Thread(target=ask, args=(number, answers)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert answers == [True] * 400


# ---- signals

WAITS = {
    "recv": "s = ustcp.create_connection(('{peer}', {port})); ready(); s.recv(1)",
    "recv_into": "s = ustcp.create_connection(('{peer}', {port})); ready(); s.recv_into(bytearray(1))",
    "whole": "s = ustcp.create_connection(('{peer}', {port})); ready(); s.recv(9, ustcp.MSG_WAITALL)",
    "timeout": "s = ustcp.create_connection(('{peer}', {port}), timeout=3600); ready(); s.recv(1)",
    "sendall": "s = ustcp.create_connection(('{peer}', {port})); ready(); s.sendall(bytes(1 << 28))",
    "accept": "s = ustcp.create_server(('', 0)); ready(); s.accept()",
    "connect": "s = ustcp.socket(); ready(); s.connect(('{stranger}', 80))",
}
PROGRAM = """
import os, signal, sys, threading, ustcp
{before}
def ready():
    print("ready", flush=True)
try:
    {wait}
except KeyboardInterrupt:
    print("interrupted", flush=True)
    os._exit(0)
"""
# Another thread takes the signal: the main thread is not woken by it, and must look for itself.
ELSEWHERE = """
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
def take():
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    threading.Event().wait()
threading.Thread(target=take, daemon=True).start()
"""


def interrupted(namespace, program: str) -> str:
    """What the program says when it has been interrupted in its wait."""
    environment = {**os.environ, "USTCP_TUN": DEVICE, "USTCP_ADDRESS": f"{OURS}/24", "USTCP_PEER": PEER}
    child = subprocess.Popen(
        namespace.command(sys.executable, "-c", program), stdout=subprocess.PIPE, text=True, env=environment
    )
    try:
        assert child.stdout.readline() == "ready\n"
        # It may still be on its way into the call: either way it must come out.
        child.send_signal(signal.SIGINT)
        return child.communicate(timeout=60)[0]
    finally:
        child.kill()
        child.wait()


@pytest.mark.parametrize("wait", WAITS)
def test_ctrl_c_ends_a_wait(namespace, wait):
    # The stack of the program makes the device and gives the kernel its address, so the server waits for no address.
    with socket.create_server(("0.0.0.0", 0)) as listener:
        text = WAITS[wait].format(peer=PEER, stranger=STRANGER, port=listener.getsockname()[1])
        assert interrupted(namespace, PROGRAM.format(before="", wait=text)) == "interrupted\n"


@pytest.mark.parametrize("wait", [name for name in WAITS if name != "whole"])
def test_ctrl_c_ends_a_wait_when_another_thread_takes_the_signal(namespace, wait):
    with socket.create_server(("0.0.0.0", 0)) as listener:
        text = WAITS[wait].format(peer=PEER, stranger=STRANGER, port=listener.getsockname()[1])
        assert interrupted(namespace, PROGRAM.format(before=ELSEWHERE, wait=text)) == "interrupted\n"


def test_a_handler_that_returns_does_not_end_the_wait(pair):
    a, b = pair

    def handler(number, frame):
        b.sendall(b"from the handler")

    before = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        assert a.recv(100) == b"from the handler"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_a_handler_may_receive_on_the_very_socket(pair):
    a, b = pair
    seen = []

    def handler(number, frame):
        b.sendall(b"12")
        seen.append(a.recv(1))

    before = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        assert a.recv(100) == b"2"
        assert seen == [b"1"]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
