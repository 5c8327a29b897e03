"""One run of one scenario, in namespaces of its own: network, mounts and processes.

    worker.py SCENARIO PLACEMENT DIRECTORY SHARED VERDICT [--without-shim]

It is the first process of its process namespace: when it ends, the kernel ends whatever the programs have left, and the
network, DIRECTORY (in memory) and what was in /run go with them. What remains is the file VERDICT.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from harness.netns import OURS, PEER, Namespace, join_by_veth, run  # noqa: E402
from programs import everything, stage  # noqa: E402
from programs.catalogue import BOTH, CLIENT, KERNEL, SERVER, scenarios  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
PREFIX = ROOT / "build/prefix"
UNSHARE = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")


def command(scenario: str, placement: str, places: tuple[Path, Path, Path], without_shim: bool) -> list[str]:
    words = [*UNSHARE, sys.executable, __file__, scenario, placement, *map(str, places)]
    return words + (["--without-shim"] if without_shim else [])


def install(shared: Path) -> None:
    """The command and its library where every user may read: a clone may lie where none but its owner may enter."""
    for part in ("bin", "lib/ustcp"):
        shutil.copytree(PREFIX / part, shared / "prefix" / part)


def installed(shared: Path) -> Path:
    return shared / "prefix/bin/ustcp"


class Engine:
    """`ustcp up` beside the kernel at 10.77.0.1; `lo` is down, so that nothing else connects two programs here."""

    def __init__(self, command: Path, *options: str) -> None:
        self.command = command
        self.environment = {"USTCP_SECRET": "none"}  # tests leave no keys on the machine
        self.ustcp("up", "--detach", "--time-wait", "1", *options)

    def ustcp(self, *words: str) -> str:
        done = subprocess.run(
            [self.command, *words], env={**os.environ, **self.environment}, capture_output=True, text=True, timeout=stage.HANGS, check=False
        )
        if done.returncode != 0:
            raise stage.Failed(f"ustcp {' '.join(words)} ended with {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout

    def is_idle(self) -> None:
        """Soon nothing of the programs is left in the engine but what waits out its time; then it ends at our word."""
        limit = time.monotonic() + stage.HANGS
        while left := [line for line in self.ustcp("ss", "-tan").splitlines()[1:] if not line.startswith("TIME-WAIT")]:
            if time.monotonic() > limit:
                raise stage.Failed("left in the engine:\n" + "\n".join(left))
        self.ustcp("down")


def on_kernel(place: stage.Stage) -> None:
    """The baseline: two namespaces and a veth pair, with the names and addresses of the TUN."""
    far, near = Namespace("peer"), Namespace("ours")
    for namespace in (far, near):
        namespace.create()
        namespace.ip("link", "set", "lo", "up")
    join_by_veth(far, near)
    place.server = stage.Side(place, OURS, near.command())
    place.client = stage.Side(place, PEER, far.command())


def on_ustcp(place: stage.Stage, placement: str, engine: Engine, with_shim: bool) -> None:
    shimmed = stage.Side(place, OURS, [str(engine.command), "run", "--"] if with_shim else [], engine.environment)
    kernel = stage.Side(place, PEER)
    place.server = shimmed if placement in (SERVER, BOTH) else kernel
    place.client = shimmed if placement in (CLIENT, BOTH) else kernel


def private_places(directory: Path) -> None:
    """The run's own files, and what programs insist on below /run."""
    run("mount", "-t", "tmpfs", "-o", "mode=777", "tmpfs", str(directory))
    run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")
    for name in ("/run/sshd", "/run/lock", "/run/vsftpd/empty"):
        Path(name).mkdir(parents=True)


def connect_gives_up_soon() -> None:
    """A kernel's connect that goes nowhere ends after 3 s instead of two minutes."""
    for name, value in (("tcp_syn_retries", 1), ("tcp_syn_linear_timeouts", 0)):
        path = Path(f"/proc/sys/net/ipv4/{name}")
        if path.exists():
            path.write_text(f"{value}\n")


def play(name: str, placement: str, directory: Path, shared: Path, with_shim: bool) -> dict:
    scenario = scenarios()[name]
    place = stage.Stage(directory, shared, patience=stage.HANGS if with_shim else 8)
    verdict: dict[str, object] = {"facts": place.facts}
    try:
        private_places(directory)
        if placement == KERNEL:
            on_kernel(place)
            scenario.play(place)
        else:
            if not with_shim:
                connect_gives_up_soon()
            engine = Engine(installed(shared))
            on_ustcp(place, placement, engine, with_shim)
            scenario.play(place)
            engine.is_idle()
    except stage.Failed as failed:
        verdict["failed"] = str(failed)
    except Exception:
        verdict["broken"] = traceback.format_exc()
    verdict["output"] = {f"{n}-{r.label}": r.lines[-100:] for n, r in enumerate(place.running)}
    return verdict


def main() -> None:
    name, placement = sys.argv[1:3]
    directory, shared, written = map(Path, sys.argv[3:6])
    everything.load()
    verdict = play(name, placement, directory, shared, "--without-shim" not in sys.argv)
    written.write_text(json.dumps(verdict))


if __name__ == "__main__":
    main()
