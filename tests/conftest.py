"""The stage of every scenario: our side at 10.77.0.2, the kernel's TCP at 10.77.0.1, a capture on the device between.

Our side is, in turn, a C program on libustcp, a Python program on `import ustcp`, both as the clients of an engine
(USTCP_ENGINE), a program of the kernel's sockets on an engine under libustcp_preload.so, and (to judge the scenario itself)
the kernel's own TCP in a second namespace.
"""

from __future__ import annotations

import functools
import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import tshark
from harness.capture import Conversation, Dump, Wire
from harness.netns import OURS, OURS_V6, PEER, PEER_V6, STRANGER, Namespace, join_by_veth, missing
from harness.puppet import Puppet, Sock, events
from harness.scripted import Scripted
from harness.shim import Engine

pytest_plugins = ["harness.python"]

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
ENGINE = ("c-engine", "python-engine", "shim")  # whose stack is an engine
# There is one list of scenarios: each is played by every front end of a group.
GROUPS = {"ours": ("c", "python", *ENGINE), "engine": ENGINE, "kernel": ("kernel",)}
COMMANDS = {
    "c": [str(BUILD / "tests/puppet-ustcp")],
    "python": [sys.executable, str(ROOT / "tests/puppet/puppet.py")],
    "python-engine": [sys.executable, str(ROOT / "tests/puppet/puppet.py")],
    "c-engine": [str(BUILD / "tests/puppet-ustcp")],
    "shim": [str(BUILD / "tests/puppet-kernel")],
    "kernel": [str(BUILD / "tests/puppet-kernel")],
}


def pytest_configure(config: pytest.Config) -> None:
    os.environ.setdefault("USTCP_SECRET", "none")  # tests leave no keys on the machine
    # Ignored where a shell has started us in the background, or nohup; programs would inherit that, and not be interrupted.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    for line in (
        f"stacks(*groups): who plays our side, of the groups {', '.join(GROUPS)}; default ours and kernel",
        "environment(**variables): USTCP_ variables of our side",
        "flags(*names): what tshark's TCP analysis may raise because of what the test does",
        "ipv6: both sides have an address of IPv6 too, and connect and accept by it",
        "no_wire: the test makes its own capture, or none",
    ):
        config.addinivalue_line("markers", line)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "stage" in metafunc.fixturenames:
        marker = metafunc.definition.get_closest_marker("stacks")
        groups = marker.args if marker else ("ours", "kernel")
        metafunc.parametrize("stage", [name for group in groups for name in GROUPS[group]], indirect=True)


@functools.cache
def network_missing() -> str | None:
    return missing()


@pytest.fixture
def network() -> None:
    """Skips where there can be no network tests; in CI that is a failure."""
    reason = network_missing()
    if reason and os.environ.get("CI"):
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)


@pytest.fixture
def engine(network: None, tmp_path: Path) -> Iterator[Engine]:
    """An engine whose own loopback is, where `lo` is down: what falls through to the kernel fails."""
    net = Namespace("engine")
    net.create()
    try:
        engine = Engine(net, tmp_path / "engine", options=("--loopback", "ustcp"), USTCP_TIME_WAIT="1")
        yield engine
        wrong = engine.close() if engine.process.returncode is None else []
    finally:
        net.remove()
    assert not wrong, wrong


class Stage:
    """Both sides, and the wire between them."""

    def __init__(self, stack: str, directory: Path, environment: dict[str, str], wire: bool, ipv6: bool) -> None:
        self.stack, self.directory, self.environment = stack, directory, environment
        self._with_wire, self._ipv6 = wire, ipv6
        self.family, self.our_host, self.peer_host = socket.AF_INET, OURS, PEER
        if ipv6:
            self.family, self.our_host, self.peer_host = socket.AF_INET6, OURS_V6, PEER_V6
            self.environment.setdefault("USTCP_ADDRESS", f"{OURS}/24,{OURS_V6}/64")
        self.net = Namespace("peer")
        self.far = Namespace("ours") if stack == "kernel" else None
        self.engine: Engine | None = None
        self.wire: Wire | None = None
        self._dumps: list[Dump] = []
        self._puppets: list[Puppet] = []

    @property
    def on_kernel(self) -> bool:
        return self.stack == "kernel"

    @property
    def on_engine(self) -> bool:
        return self.stack in ENGINE

    def set_up(self) -> None:
        for namespace in filter(None, (self.net, self.far)):
            namespace.create()
            if self._ipv6:
                namespace.allow_ipv6()
        if self.far:
            join_by_veth(self.net, self.far)
        if self.on_engine:
            self.engine = Engine(self.net, self.directory / "engine", self._new_log(), **self.environment)
        self.ours = self.start_ours()
        self.ours.call("start")
        self.peer = Puppet(COMMANDS["kernel"], self.net)
        self._puppets.append(self.peer)
        if self._with_wire:
            self.wire = Wire(self.net, self.directory / "wire.pcap")

    def start_ours(self) -> Puppet:
        """Another program of the kind that plays our side."""
        if self.engine:
            preload = self.stack == "shim"
            environment = self.engine.environment if preload else self.engine.named
            ours = Puppet(COMMANDS[self.stack], self.net, **environment)
            ours.log = self._log
        else:
            log = None if self.on_kernel else self._new_log()
            ours = Puppet(COMMANDS[self.stack], self.far or self.net, log, **self.environment)
        self._puppets.insert(0, ours)
        return ours

    def _new_log(self) -> Path | None:
        """Where a stack's events go. Nowhere where megabytes run: a line for every packet would be most of the work."""
        self._log = self.directory / f"events-{len(self._puppets)}.jsonl" if self._with_wire else None
        return self._log

    def dump(self) -> Dump:
        """A capture for large runs."""
        self._dumps.append(Dump(self.net, self.directory / f"dump-{len(self._dumps)}.pcapng"))
        return self._dumps[-1]

    def tear_down(self) -> list[str]:
        """Ends everything, whatever happened. Returns what was wrong with the end."""
        wrong: list[str] = []
        for puppet in self._puppets:
            killed = puppet.process.poll() not in (None, 0)
            try:
                code = puppet.close()
                if code != 0 and not killed:
                    wrong.append(f"{puppet.process.args} ended with {code}")
            except Exception as error:  # the namespaces must go all the same
                wrong.append(str(error))
            wrong += [line for line in puppet.errors if "panic" in line.lower()]
        try:
            wrong += self.engine.close() if self.engine else []
        except Exception as error:
            wrong.append(str(error))
        for capture in [self.wire, *self._dumps]:
            try:
                if capture:
                    capture.close()
            except Exception as error:
                wrong.append(str(error))
        for namespace in filter(None, (self.net, self.far)):
            namespace.remove()
        return wrong

    def captures(self) -> list[Path]:
        return [c.file for c in [self.wire, *self._dumps] if c]

    # ---- what most scenarios begin with ----

    def we_connect(self, port: int = 7000, our_port: int = 0) -> tuple[Sock, Sock]:
        """A connection that we opened: our socket, the peer's."""
        listener = self.peer.socket(self.family)
        listener.bind(self.peer_host, port)
        listener.listen()
        ours = self.ours.socket(self.family)
        if our_port:
            ours.bind(self.our_host, our_port)
        ours.connect(self.peer_host, port)
        theirs = listener.accept()
        listener.close()
        return ours, theirs

    def we_connect_by_script(self, port: int = 7100) -> tuple[Sock, Scripted]:
        """A connection that we opened to a peer that sends only what the test says."""
        far = Scripted(self.wire, port)
        ours = self.ours.socket()
        connecting = ours.start("connect", STRANGER, port)
        far.accept()
        connecting.result()
        return ours, far

    def we_accept(self, port: int = 7000) -> tuple[Sock, Sock]:
        """A connection that the peer opened: our socket, the peer's."""
        listener = self.ours.socket(self.family)
        listener.bind(self.our_host, port)
        listener.listen()
        theirs = self.peer.socket(self.family)
        theirs.connect(self.our_host, port)
        ours = listener.accept()
        listener.close()
        return ours, theirs

    def pair(self, role: str) -> tuple[Sock, Sock]:
        return self.we_connect() if role == "we connect" else self.we_accept()

    def conversation(self, ours: Sock) -> Conversation:
        return Conversation(self.wire, ours.sockname()[1])

    def transitions(self, port: int) -> list[tuple[str, str]]:
        """From the library's own log: the states of the connections at our `port`, in order."""
        found = []
        for event in events(self.ours.log):
            flow, kind = event.get("flow"), event.get("kind")
            if isinstance(kind, dict) and "Transition" in kind and flow and flow["local"].endswith(f":{port}"):
                found.append((kind["Transition"]["from"], kind["Transition"]["to"]))
        return found


@pytest.fixture
def stage(request: pytest.FixtureRequest, tmp_path: Path, network: None):
    environment: dict[str, str] = {}
    for marker in reversed(list(request.node.iter_markers("environment"))):
        environment.update(marker.kwargs)
    wire = request.node.get_closest_marker("no_wire") is None
    ipv6 = request.node.get_closest_marker("ipv6") is not None
    stage = Stage(request.param, tmp_path, environment, wire, ipv6)
    try:
        stage.set_up()
        yield stage
    finally:
        wrong = stage.tear_down()
    assert not wrong, wrong
    allowed = {name for marker in request.node.iter_markers("flags") for name in marker.args}
    for capture in stage.captures() if request.param != "kernel" else []:
        tshark.check(capture, allowed)


@pytest.fixture(params=["we connect", "we accept"])
def role(request: pytest.FixtureRequest) -> str:
    return request.param
