"""The test's own process on the stage: its ustcp at 10.77.0.2, its kernel sockets at 10.77.0.1. And, to judge the
scenario itself, kernel sockets at both ends."""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from .netns import CLONE_NEWNET, DEVICE, OURS, PEER, Namespace

PATIENCE = 20.0  # of the kernel's sockets: a red test ends, too


@dataclass(frozen=True)
class Side:
    """Whose sockets a scenario uses, and where they live."""

    socket: Callable[..., socket.socket]
    host: str
    on_kernel: bool

    def server(self) -> socket.socket:
        listener = self.socket()
        listener.bind((self.host, 0))
        listener.listen()
        return listener

    def connect(self) -> tuple[socket.socket, socket.socket]:
        """A connection that we opened: our socket, the peer's."""
        with socket.create_server((PEER, 0)) as listener:
            listener.settimeout(PATIENCE)
            ours = self.socket()
            ours.connect(listener.getsockname())
            theirs, _ = listener.accept()
            theirs.settimeout(PATIENCE)
            return ours, theirs

    def accept(self) -> tuple[socket.socket, socket.socket]:
        """A connection that the peer opened: our socket, the peer's."""
        with self.server() as listener:
            theirs = socket.create_connection(listener.getsockname(), PATIENCE)
            ours, _ = listener.accept()
            return ours, theirs


@contextlib.contextmanager
def entered(namespace: Namespace) -> Iterator[None]:
    """This thread, and those it starts, inside the namespace."""
    libc = ctypes.CDLL(None, use_errno=True)

    def enter(path: int) -> None:
        if libc.setns(path, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")

    with open("/proc/thread-self/ns/net", "rb") as home, open(f"/run/netns/{namespace.name}", "rb") as there:
        enter(there.fileno())
        try:
            yield
        finally:
            enter(home.fileno())


@pytest.fixture
def namespace(network: None) -> Iterator[Namespace]:
    """The test's thread inside a namespace of its own."""
    namespace = Namespace("python")
    try:
        namespace.create()
        with entered(namespace):
            yield namespace
    finally:
        namespace.remove()


@pytest.fixture
def stack(namespace: Namespace) -> Iterator[Side]:
    """ustcp in the test's own process."""
    import ustcp

    ustcp.init(tun=DEVICE, address=f"{OURS}/24", peer=PEER, time_wait=0.5)
    try:
        yield Side(ustcp.socket, OURS, on_kernel=False)
    finally:
        ustcp.fini()


@pytest.fixture
def patched(stack: Side) -> Iterator[None]:
    """And whoever uses `socket` is on it."""
    import ustcp

    ustcp.patch()
    try:
        yield
    finally:
        ustcp.unpatch()


@pytest.fixture(params=["ustcp", "kernel"])
def ours(request: pytest.FixtureRequest, namespace: Namespace) -> Side:
    """Our side: ustcp, and then the kernel, which must say the same."""
    if request.param == "ustcp":
        return request.getfixturevalue("stack")
    namespace.ip("addr", "add", f"{PEER}/24", "dev", "lo")
    namespace.ip("link", "set", "lo", "up")
    return Side(socket.socket, PEER, on_kernel=True)


def in_child(action: Callable[[], object]) -> int:
    """The exit code of a forked child that does `action`: 0 when it returned something true."""
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if action() else 1)
        except BaseException:
            os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
