"""What an engine may do once its device is open: nothing that its programs could have it do for them."""

from __future__ import annotations

import os
from pathlib import Path

from harness.netns import Namespace
from harness.puppet import until
from harness.shim import Engine

NET_BIND_SERVICE = 1 << 10
SETS = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")


def rights(task: Path) -> dict[str, int]:
    """Of one thread: its capabilities, and whether exec can give it others."""
    lines = (line.split(":") for line in (task / "status").read_text().splitlines())
    status = {name: value.strip() for name, value in lines if name in (*SETS, "NoNewPrivs")}
    return {name: int(value, 16) for name, value in status.items()}


def test_an_engine_of_roots_keeps_nothing_but_ports(engine):
    assert rights(Path("/proc/self"))["CapEff"] & ~NET_BIND_SERVICE, "nothing to give up here"
    threads = list(Path(f"/proc/{engine.process.pid}/task").iterdir())
    assert threads
    for thread in threads:
        left = rights(thread)
        assert left.pop("NoNewPrivs") == 1
        assert not {name: bits for name, bits in left.items() if bits & ~NET_BIND_SERVICE}
        assert left["CapInh"] == left["CapAmb"] == 0


def test_it_still_leaves_no_device_and_no_file_behind(engine):
    assert "ustcp0" in engine.net.ip("link")
    assert engine.close() == []
    assert "ustcp0" not in engine.net.ip("link")
    assert os.listdir(engine.directory) == []


def test_one_with_a_masquerade_takes_it_back(network, tmp_path):
    """Its rights stay with a process beside it, which serves nobody."""
    net = Namespace("nat")
    net.create()
    try:
        engine = Engine(net, tmp_path / "engine", options=("--nat",))
        until(lambda: forwards(net), lambda: "it does not forward")
        pid = int((engine.directory / "engine").read_text().split()[4])
        assert pid != engine.process.pid
        assert not rights(Path(f"/proc/{pid}"))["CapEff"] & ~NET_BIND_SERVICE
        assert engine.close() == []
        assert not forwards(net)
        until(lambda: not Path(f"/proc/{pid}").exists(), lambda: "the engine is there still")
    finally:
        net.remove()


def forwards(net: Namespace) -> bool:
    return net.inside(Path("/proc/sys/net/ipv4/ip_forward").read_text) == "1\n"
