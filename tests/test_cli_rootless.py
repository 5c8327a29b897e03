"""Without root: a network namespace of the user's own where /dev/net/tun is open to it, else what an administrator has to
do once."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from harness.command import ASK, ROOT, USTCP, wait_until
from harness.netns import OURS, PEER, Namespace

USER = 61234
PYTHON = "/usr/bin/python3"
# A server on the kernel's TCP in the same namespace, then a client on ours. A low port is not for this user.
SERVE = "import socket; s = socket.create_server(('10.77.0.1', 8080)); print('up', flush=True); c, a = s.accept(); \
c.sendall(a[0].encode() + b'\\n'); c.recv(1)"
CLIENT = ASK.replace("80", "8080")
BOTH = f'(LD_PRELOAD= {PYTHON} -c "{SERVE}" | (read up; {PYTHON} -c "{CLIENT}" {PEER}))'


class Nobody:
    """A user without rights, in a network namespace and a mount namespace of its own."""

    def __init__(self, open_tun: bool, user: int = USER) -> None:
        self.net = Namespace("rootless")
        self.net.create()
        self.net.ip("link", "set", "lo", "up")
        self.home = Path(tempfile.mkdtemp(prefix="ustcp-rootless-"))
        self.home.chmod(0o755)
        for name in (USTCP, Path(USTCP).parent / "libustcp_preload.so", ROOT / "build/prefix/lib/ustcp/libustcp_preload.so"):
            if Path(name).is_file():
                shutil.copy(name, self.home)
        self.own = self.home / "own"
        self.own.mkdir(0o700)
        os.chown(self.own, user, user)
        self.open_tun, self.user = open_tun, user

    def ustcp(self, *arguments: str, how: str = "") -> subprocess.CompletedProcess:
        tun = self.home / "tun"
        mode = "0666" if self.open_tun else "0600"
        prepare = f"{how}\nrm -f {tun}; mknod {tun} c 10 200 && chmod {mode} {tun} && mount --bind {tun} /dev/net/tun && exec \"$@\""
        command = self.net.command(
            "unshare", "--mount", "sh", "-c", prepare, "sh",
            "setpriv", f"--reuid={self.user}", f"--regid={self.user}", "--clear-groups", f"{self.home}/ustcp", *arguments,
        )  # fmt: skip
        environment = {
            "PATH": os.environ["PATH"],
            "XDG_RUNTIME_DIR": str(self.own),
            "USTCP_TIME_WAIT": "0.1",
            "USTCP_SECRET": "none",
        }
        return subprocess.run(
            command, env=environment, cwd="/", stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False
        )

    def is_over(self) -> bool:
        return not (self.own / "ustcp/default/engine").exists()

    def remove(self) -> None:
        wait_until(self.is_over)
        self.net.remove()
        shutil.rmtree(self.home)


def namespaces_missing() -> str | None:
    """Why a user without rights can have no namespaces here."""
    probe = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "unshare", "-Urn", "true"]
    done = subprocess.run(probe, capture_output=True, text=True, check=False)
    return None if done.returncode == 0 else f"no user namespaces for users without rights: {done.stderr.strip()}"


@pytest.fixture
def nobody(network: None, request: pytest.FixtureRequest):
    reason = namespaces_missing()
    if reason:
        pytest.skip(reason)
    nobody = Nobody(open_tun=True)
    yield nobody
    nobody.remove()


def test_a_network_of_its_own_with_a_device_inside(nobody: Nobody) -> None:
    done = nobody.ustcp("run", "--rootless", "--", "sh", "-c", BOTH)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{OURS}\n", "")


def test_the_program_is_who_it_was_and_has_no_rights(nobody: Nobody) -> None:
    look = "id -u; id -g; grep CapEff /proc/self/status; ip link add x type dummy 2>&1"
    done = nobody.ustcp("run", "--rootless", "--", "sh", "-c", look)
    lines = done.stdout.splitlines()
    assert lines[:3] == [str(USER), str(USER), "CapEff:\t0000000000000000"]
    assert "Operation not permitted" in lines[3]


def test_it_is_done_without_being_asked_where_there_is_no_other_way(nobody: Nobody) -> None:
    done = nobody.ustcp("run", "--", "sh", "-c", BOTH)
    assert (done.returncode, done.stdout) == (0, f"{OURS}\n"), done.stderr
    lines = done.stderr.splitlines()
    assert lines[0] == "ustcp: no permission to make ustcp0; prepare it for this user once:"
    assert lines[1] == f"sudo ip tuntap add dev ustcp0 mode tun user {USER} vnet_hdr"
    assert lines[2] == f"sudo sh -c 'ip addr add {PEER}/24 dev ustcp0 && ip link set ustcp0 txqueuelen 5000 up'"
    assert lines[3] == "ustcp: until then it runs in a network namespace of its own, as by --rootless"


def test_a_user_that_cannot_be_told_from_others_there_has_none(nobody: Nobody) -> None:
    """65534 is whoever has no number in a user namespace: no program could tell the engine from an impostor."""
    other = Nobody(open_tun=True, user=65534)
    try:
        done = other.ustcp("run", "--rootless", "--", "true")
        why = "no network namespace of this user's own can be had: in one, user 65534 is whoever has no number there"
        assert (done.returncode, done.stdout, done.stderr) == (125, "", f"ustcp: {why}\n")
        done = other.ustcp("run", "--", "true")
        assert done.returncode == 125 and "tun user 65534 vnet_hdr\n" in done.stderr and "until then" not in done.stderr
    finally:
        other.remove()


def test_a_prepared_device_needs_no_namespace(nobody: Nobody) -> None:
    """The two commands, and then the same in the host's own network."""
    prepare = f"ip tuntap add dev ustcp0 mode tun user {USER} vnet_hdr; ip addr add {PEER}/24 dev ustcp0; ip link set ustcp0 up"
    done = nobody.ustcp("run", "--", "sh", "-c", BOTH + "; readlink /proc/self/ns/user", how=prepare)
    ours = os.readlink("/proc/self/ns/user")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{OURS}\n{ours}\n", "")


def test_where_the_device_is_closed_the_commands_are_told(network: None) -> None:
    nobody = Nobody(open_tun=False)
    try:
        done = nobody.ustcp("run", "--", "true")
        assert (done.returncode, done.stdout) == (125, "")
        assert done.stderr.splitlines() == [
            "ustcp: /dev/net/tun is closed to this user: sudo chmod 0666 /dev/net/tun",
            f"sudo ip tuntap add dev ustcp0 mode tun user {USER} vnet_hdr",
            f"sudo sh -c 'ip addr add {PEER}/24 dev ustcp0 && ip link set ustcp0 txqueuelen 5000 up'",
        ]
        done = nobody.ustcp("run", "--rootless", "--", "true")
        assert done.returncode == 125
        assert done.stderr.startswith("ustcp: no network namespace of this user's own can be had: /dev/net/tun: Permission")
    finally:
        nobody.remove()
