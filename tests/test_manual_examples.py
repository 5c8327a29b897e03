"""The model programs of the manual port, as their users run them."""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator

import pytest

from conftest import BUILD, ROOT
from harness.netns import PEER, PEER_V6, Namespace

TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000
DEVICE = "tunnel0"
LINK = {
    "c": [str(BUILD / "examples/manual_link")],
    "python": [sys.executable, str(ROOT / "examples/manual_link.py")],
}
PLACES = [
    ("203.0.113.9", 443),
    ("203.0.113.9", 1),
    ("198.51.100.7", 443),
    ("10.77.0.200", 65535),
    ("2001:db8::1", 8080),
]


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


@pytest.mark.parametrize("language", LINK)
def test_manual_link_shows_a_handshake_and_a_close(language: str):
    output = run(*LINK[language])
    packets = [line.split("ms", 1)[1].split() for line in output.splitlines() if "-->" in line or "<--" in line]
    assert [" ".join(words) for words in packets] == [
        "SYN-SENT client --> SYN LISTEN, now SYN-RECEIVED",
        "SYN-RECEIVED <-- server SYN+ACK SYN-SENT, now ESTABLISHED",
        "ESTABLISHED client --> ACK SYN-RECEIVED, now ESTABLISHED",
        "ESTABLISHED client --> PSH+ACK, 5 bytes ESTABLISHED",
        "ESTABLISHED <-- server ACK ESTABLISHED",
        "FIN-WAIT-1 client --> FIN+ACK ESTABLISHED, now CLOSE-WAIT",
        "CLOSE-WAIT <-- server ACK FIN-WAIT-1, now FIN-WAIT-2",
        "LAST-ACK <-- server FIN+ACK FIN-WAIT-2, now TIME-WAIT",
        "TIME-WAIT client --> ACK LAST-ACK, now CLOSED",
    ]
    assert "60080.0 ms  TIME-WAIT, now CLOSED (TwoMslPassed)" in output
    assert run(*LINK[language], "1") == output


@pytest.fixture
def net(network: None) -> Iterator[Namespace]:
    """A namespace whose road to everywhere is a TUN device with nobody behind it yet."""
    namespace = Namespace("tunnel")
    try:
        namespace.create()
        namespace.allow_ipv6()
        namespace.ip("tuntap", "add", "dev", DEVICE, "mode", "tun")
        namespace.ip("addr", "add", f"{PEER}/24", "dev", DEVICE)
        namespace.ip("addr", "add", f"{PEER_V6}/64", "dev", DEVICE, "nodad")
        namespace.ip("link", "set", DEVICE, "up")
        for network_beyond in ["203.0.113.0/24", "198.51.100.0/24", "2001:db8::/32"]:
            namespace.ip("route", "add", network_beyond, "dev", DEVICE)
        yield namespace
    finally:
        namespace.remove()


def open_tun() -> int:
    fd = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", DEVICE.encode(), IFF_TUN | IFF_NO_PI))
    return fd


@pytest.fixture(params=["a descriptor", "a device"])
def tunnel(request: pytest.FixtureRequest, net: Namespace) -> Iterator[subprocess.Popen]:
    program = str(BUILD / "examples/tunnel_sockets")
    if request.param == "a device":
        command, inherited = net.command(program, "--tun", DEVICE), []
    else:
        inherited = [net.inside(open_tun)]
        command = [program, str(inherited[0])]
    process = subprocess.Popen(command, pass_fds=inherited, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for fd in inherited:
        os.close(fd)
    yield process
    process.terminate()
    process.communicate(timeout=30)


def connect(place: tuple[str, int]) -> socket.socket:
    connection = socket.create_connection(place, timeout=30)
    connection.settimeout(30)
    return connection


def test_tunnel_sockets_accepts_connections_to_any_place(net: Namespace, tunnel: subprocess.Popen):
    """The kernel's TCP on the near side: for every address and port there is a socket that knows which it is."""
    data = bytes(range(256)) * 200
    connections = [net.inside(lambda place=place: connect(place)) for place in PLACES]
    for (host, port), connection in zip(PLACES, connections):
        stream = connection.makefile("rb")
        assert stream.readline() == f"{host} {port}\n".encode()
        connection.sendall(data)
        assert stream.read(len(data)) == data
    for connection in connections:
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1) == b""
        connection.close()
    told = sorted(tunnel.stdout.readline() for _ in PLACES)
    assert told == sorted(f"a connection to {host} {port}\n" for host, port in PLACES)
    assert tunnel.poll() is None


def test_tunnel_sockets_says_how_it_is_used():
    program = str(BUILD / "examples/tunnel_sockets")
    done = subprocess.run([program], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (2, "usage: tunnel_sockets FD | --tun NAME\n")
