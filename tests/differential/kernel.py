"""The kernel's TCP as a `Side`: a TUN in a network namespace that this process alone is in."""

from __future__ import annotations

import ctypes
import fcntl
import os
import select
import socket
import struct
import time
from pathlib import Path
from typing import Any

from harness.netns import CLONE_NEWNET

from .wire import OURS, OURS_V6

DEVICE = b"wire0"
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
SIOCSIFADDR, SIOCSIFNETMASK, SIOCSIFFLAGS, SIOCGIFINDEX, SIOCSIFTXQLEN = 0x8916, 0x891C, 0x8914, 0x8933, 0x8943
RTM_NEWLINK, NLM_F_REQUEST, NLM_F_ACK, IFLA_GSO_MAX_SEGS = 16, 1, 4, 40
IFF_UP, IFF_RUNNING, IFA_F_TENTATIVE = 0x1, 0x40, 0x40

# The same on every machine, whatever its administrator has set: the kernel's own defaults, and no memory of earlier peers.
SYSCTLS = {
    "net.ipv4.tcp_no_metrics_save": "1",
    "net.ipv4.tcp_rmem": "4096 131072 6291456",
    "net.ipv4.tcp_wmem": "4096 16384 4194304",
    "net.ipv4.tcp_max_syn_backlog": "256",
    "net.ipv4.tcp_syn_linear_timeouts": "0",  # RFC 6298 (5.5) has no linear ones, and so neither do we by default
    "net.ipv4.tcp_ecn": "2",
    "net.ipv4.tcp_fastopen": "1",
    "net.ipv4.tcp_timestamps": "1",
    "net.ipv4.tcp_sack": "1",
    "net.ipv4.tcp_window_scaling": "1",
    "net.ipv4.tcp_syncookies": "1",
    "net.ipv6.conf.default.dad_transmits": "0",
    "net.ipv6.conf.default.router_solicitation_delay": "0",
    "net.ipv6.conf.default.router_solicitations": "0",
    "net.ipv6.conf.all.disable_ipv6": "1",
}

_libc = ctypes.CDLL(None, use_errno=True)


class Kernel:
    """Enters a new namespace: the one before is gone with its last socket."""

    def __init__(self, ipv6: bool) -> None:
        if _libc.unshare(CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "unshare")
        for name, value in SYSCTLS.items():
            self.sysctl(name, value)
        self.tun = open_device()
        configure(ipv6)
        self.poller = select.poll()
        self.poller.register(self.tun, select.POLLIN)
        self.waiting: list[bytes] = []
        socket.setdefaulttimeout(0)  # what is accepted does not wait either
        self.time = time.monotonic()

    def close(self) -> None:
        os.close(self.tun)

    def inject(self, packet: bytes) -> None:
        os.write(self.tun, packet)

    def collect(self) -> list[bytes]:
        packets, self.waiting = self.waiting, []
        return packets

    def sleep(self, seconds: float) -> None:
        """Until the moment of the script, however long the steps before have taken."""
        self.time = max(self.time + seconds, time.monotonic() + min(seconds, 0.0015))
        while (left := self.time - time.monotonic()) > 0:
            if self.poller.poll(left * 1000):
                self.read()
        self.read()

    def read(self) -> None:
        while True:
            try:
                self.waiting.append(os.read(self.tun, 65536))
            except BlockingIOError:
                return

    def sysctl(self, name: str, value: str) -> None:
        (Path("/proc/sys") / name.replace(".", "/")).write_text(f"{value}\n")

    def socket(self, ipv6: bool) -> socket.socket:
        made = socket.socket(socket.AF_INET6 if ipv6 else socket.AF_INET, socket.SOCK_STREAM)
        # A namespace cannot make it the default, and a listener hands it on to what it accepts.
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"cubic")
        return made

    def poll(self, sock: Any) -> int:
        poller = select.poll()
        poller.register(sock, select.POLLIN | select.POLLPRI | select.POLLOUT | select.POLLRDHUP)
        return dict(poller.poll(0)).get(sock.fileno(), 0)

    def ioctl(self, sock: Any, request: int) -> int:
        return struct.unpack("i", fcntl.ioctl(sock, request, bytes(4)))[0]


def open_device() -> int:
    tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", DEVICE, IFF_TUN | IFF_NO_PI))
    return tun


def configure(ipv6: bool) -> None:
    """Addresses and routes as `ip` would set them, without a process for each."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:

        def request(number: int, payload: bytes, name: bytes = DEVICE) -> bytes:
            return fcntl.ioctl(control, number, struct.pack("16s24s", name, payload))

        def address(host: str) -> bytes:
            return struct.pack("HH4s", socket.AF_INET, 0, socket.inet_aton(host))

        if ipv6:
            Path("/proc/sys/net/ipv6/conf/all/disable_ipv6").write_text("0\n")
        request(SIOCSIFFLAGS, struct.pack("H", IFF_UP | IFF_RUNNING), b"lo")
        request(SIOCSIFADDR, address(OURS))
        request(SIOCSIFNETMASK, address("255.255.255.0"))
        request(SIOCSIFFLAGS, struct.pack("H", IFF_UP | IFF_RUNNING))
        index = struct.unpack_from("i", request(SIOCGIFINDEX, b""), 16)[0]
    one_segment_at_a_time(index)
    if ipv6:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as control:
            fcntl.ioctl(control, SIOCSIFADDR, struct.pack("16sIi", socket.inet_pton(socket.AF_INET6, OURS_V6), 64, index))
        await_address()


def one_segment_at_a_time(index: int) -> None:
    """No super-segments inside the kernel, as ours makes none without offload: each of them would end with a PSH, and how
    many segments it has would depend on pacing."""
    attribute = struct.pack("=HHI", 8, IFLA_GSO_MAX_SEGS, 1)
    body = struct.pack("=BxHiII", socket.AF_UNSPEC, 0, index, 0, 0) + attribute
    header = struct.pack("=IHHII", 16 + len(body), RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as control:
        control.setblocking(True)
        control.send(header + body)
        error = struct.unpack_from("=i", control.recv(4096), 16)[0]
        if error:
            raise OSError(-error, "gso_max_segs")


def await_address() -> None:
    """Even without duplicate address detection a worker of the kernel's has to say that the address is good."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        lines = Path("/proc/thread-self/net/if_inet6").read_text().splitlines()
        flags = [int(line.split()[4], 16) for line in lines if line.split()[-1] == DEVICE.decode()]
        if flags and not any(flag & IFA_F_TENTATIVE for flag in flags):
            return
        time.sleep(0.005)
    raise TimeoutError("the address of IPv6 stays tentative")
