"""Network namespaces that a test makes and removes, and what it does inside them."""

from __future__ import annotations

import ctypes
import itertools
import json
import os
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
CLONE_NEWNET = 0x40000000
DEVICE = "ustcp0"
OURS, PEER, STRANGER = "10.77.0.2", "10.77.0.1", "10.77.0.3"
OURS_V6, PEER_V6 = "fd77::2", "fd77::1"

_numbers = itertools.count()
_libc = ctypes.CDLL(None, use_errno=True)


def missing() -> str | None:
    """Why network tests cannot run here, or None."""
    if os.geteuid() != 0:
        return "network tests need root: they make network namespaces"
    if not Path("/dev/net/tun").exists():
        return "/dev/net/tun is not there"
    try:
        with open("/dev/net/tun", "rb+", buffering=0):
            pass
    except OSError as error:
        return f"/dev/net/tun: {error.strerror}"
    probe = Namespace("probe")
    try:
        probe.create()
    except subprocess.CalledProcessError as error:
        return f"cannot make a network namespace: {error.stderr.strip()}"
    finally:
        probe.remove()
    return None


def run(*command: str) -> str:
    """Output of a command; CalledProcessError with its stderr when it fails."""
    done = subprocess.run(command, check=True, text=True, capture_output=True, timeout=30)
    return done.stdout


class Namespace:
    """One network namespace, by a name no other test has."""

    def __init__(self, what: str) -> None:
        self.name = f"ustcp-{os.getpid()}-{next(_numbers)}-{what}"

    def create(self) -> None:
        run("ip", "netns", "add", self.name)
        self.sysctl("net.ipv6.conf.all.disable_ipv6", 1)
        self.sysctl("net.ipv6.conf.default.disable_ipv6", 1)
        self.sysctl("net.ipv4.tcp_no_metrics_save", 1)

    def allow_ipv6(self) -> None:
        """IPv6 is off unless a test wants it: the kernel greets its neighbours, and every capture would have that."""
        self.sysctl("net.ipv6.conf.all.disable_ipv6", 0)
        self.sysctl("net.ipv6.conf.default.disable_ipv6", 0)

    def speaks_ipv6(self) -> bool:
        path = Path("/proc/sys/net/ipv6/conf/default/disable_ipv6")
        return self.inside(lambda: path.exists() and path.read_text().strip() == "0")

    def remove(self) -> None:
        subprocess.run(["ip", "netns", "del", self.name], capture_output=True, timeout=30, check=False)

    def ip(self, *arguments: str) -> str:
        return run("ip", "-n", self.name, *arguments)

    def links(self, device: str) -> dict:
        """`ip -s link` of one device, as JSON."""
        return json.loads(self.ip("-s", "-j", "link", "show", "dev", device))[0]

    def sysctl(self, name: str, value: object) -> None:
        path = Path("/proc/sys") / name.replace(".", "/")
        self.inside(lambda: path.write_text(f"{value}\n") if path.exists() else None)

    def command(self, *command: str) -> list[str]:
        """The command line that runs `command` inside; the process keeps its id through `ip netns exec`."""
        return ["ip", "netns", "exec", self.name, *command]

    def inside(self, action: Callable[[], T]) -> T:
        """Does `action` in a thread inside the namespace. Sockets made there belong to it for good."""
        results: list[T] = []
        errors: list[BaseException] = []

        def body() -> None:
            try:
                with open(f"/run/netns/{self.name}", "rb") as handle:
                    if _libc.setns(handle.fileno(), CLONE_NEWNET) != 0:
                        raise OSError(ctypes.get_errno(), "setns")
                results.append(action())
            except BaseException as error:  # handed to the caller below
                errors.append(error)

        thread = threading.Thread(target=body)
        thread.start()
        thread.join()
        if errors:
            raise errors[0]
        return results[0]


def join_by_veth(peer: Namespace, ours: Namespace) -> None:
    """Where the kernel plays our part: a veth pair with the same names and addresses as the TUN has."""
    run("ip", "link", "add", DEVICE, "netns", peer.name, "type", "veth", "peer", "name", "eth0", "netns", ours.name)
    peer.ip("addr", "add", f"{PEER}/24", "dev", DEVICE)
    ours.ip("addr", "add", f"{OURS}/24", "dev", "eth0")
    peer.ip("link", "set", DEVICE, "up")
    ours.ip("link", "set", "eth0", "up")
    # The stranger is an address that only forged packets have; our part must be able to answer it.
    ours.ip("neigh", "add", STRANGER, "lladdr", peer.links(DEVICE)["address"], "dev", "eth0")
    if peer.speaks_ipv6():
        peer.ip("addr", "add", f"{PEER_V6}/64", "dev", DEVICE, "nodad")
        ours.ip("addr", "add", f"{OURS_V6}/64", "dev", "eth0", "nodad")
    # Known neighbours, or the first packet of a capture would wait for ARP.
    peer.ip("neigh", "add", OURS, "lladdr", ours.links("eth0")["address"], "dev", DEVICE)
    ours.ip("neigh", "add", PEER, "lladdr", peer.links(DEVICE)["address"], "dev", "eth0")
