"""What an engine may do once its device is open: nothing that its programs could have it do for them."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
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


# As user UID: what is said to `Stop`, at once.
STOPS = r"""
import os, socket, struct, sys
name, token, uid = sys.argv[1:]
os.setuid(int(uid))
control = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
control.connect(f"\0ustcp-{name}-control")
control.send(struct.pack("=IHH16sQII", 0x75737463, 1, 17, bytes.fromhex(token), 0, 1, 0))
print(struct.unpack("=Ii", control.recv(8))[1])
"""


def test_only_its_own_user_ends_it_whoever_has_the_token(engine):
    _, _, name, token, _ = (engine.directory / "engine").read_text().split()

    def stops(uid: int) -> int:
        command = engine.net.command(sys.executable, "-c", STOPS, name, token, str(uid))
        return int(subprocess.run(command, capture_output=True, check=True, timeout=30).stdout)

    assert stops(65534) == errno.EACCES
    assert (engine.directory / "engine").exists()
    assert stops(0) == 0
    assert engine.process.wait(30) == 0


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
