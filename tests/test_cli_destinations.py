"""Where a connection goes: `--route`, `--loopback`, `--publish`."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import random
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.command import ASK, Host, Teller, wait_until
from harness.netns import OURS, PEER, run

PYTHON = sys.executable
ELSEWHERE = "192.0.2.1"

# Connects to each address and prints which errno that gave.
CONNECT = """
import errno, socket, sys
for host in sys.argv[2:]:
    s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    error = s.connect_ex((host, int(sys.argv[1])))
    print(host, errno.errorcode.get(error, "connected"))
"""

# Listens at an address and answers one connection with where it came from.
SERVE = """
import socket, sys
v6 = ":" in sys.argv[1]
family = socket.AF_INET6 if v6 else socket.AF_INET
listener = socket.create_server((sys.argv[1], 8080), family=family, dualstack_ipv6=v6)
print("up", flush=True)
connection, peer = listener.accept()
connection.sendall(peer[0].encode())
connection.shutdown(socket.SHUT_WR)
connection.recv(1)
"""


@pytest.fixture
def host(network: None, tmp_path: Path):
    with Host.alone("destinations", tmp_path) as host:
        host.net.allow_ipv6()
        host.net.ip("addr", "add", f"{ELSEWHERE}/32", "dev", "lo")
        yield host


def connects(host: Host, port: int, *hosts: str) -> dict[str, str]:
    done = host.run("--", PYTHON, "-c", CONNECT, str(port), *hosts)
    assert done.returncode == 0, done.stderr
    return dict(line.split(" ") for line in done.stdout.splitlines())


@contextlib.contextmanager
def serving(host: Host, address: str) -> Iterator[subprocess.Popen]:
    """A server of the shim's on port 8080 that ends well after one connection."""
    with host.popen("run", "--", PYTHON, "-c", SERVE, address) as server:
        try:
            assert server.stdout.readline() == "up\n", server.stderr.read()
            yield server
            assert server.wait(30) == 0, server.stderr.read()
        finally:
            server.kill()


def kernel_connects(host: Host, address: str, port: int) -> str:
    """What the kernel's own program hears there, or why it hears nothing."""

    def connect() -> str:
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as client:
            client.settimeout(20)
            error = client.connect_ex((address, port))
            return errno.errorcode[error] if error else client.recv(100).decode()

    return host.net.inside(connect)


def test_loopback_and_this_hosts_addresses_are_relayed(host: Host) -> None:
    host.up()
    for address in ("127.0.0.1", ELSEWHERE):
        with Teller(host.net, address):
            done = host.run("--explain", "--", PYTHON, "-c", ASK, address)
        assert (done.returncode, done.stdout) == (0, f"{address}\n"), done.stderr
        why = "loopback" if address == "127.0.0.1" else "host"
        assert f"-> {address}:80  {why}\n" in done.stderr and "relayed to the kernel's TCP" in done.stderr, done.stderr
    with Teller(host.net, PEER):
        assert host.run("--", PYTHON, "-c", ASK, PEER).stdout == f"{OURS}\n"


# Sends what it reads from standard input, says that it is done, and prints the digest of what comes back, and the errno.
EXCHANGE = """
import errno, hashlib, socket, sys, threading
s = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET)
s.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"reno")
s.connect((sys.argv[1], int(sys.argv[2])))
s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
s.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
print(s.getsockname()[:2], s.getpeername()[:2], flush=True)
def send():
    s.sendall(sys.stdin.buffer.read())
    s.shutdown(socket.SHUT_WR)
threading.Thread(target=send).start()
digest = hashlib.sha256()
try:
    while data := s.recv(65536):
        digest.update(data)
    print(digest.hexdigest())
except OSError as error:
    print(errno.errorcode[error.errno], flush=True)
"""


def kernel_listener(host: Host, address: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = host.net.inside(lambda: socket.create_server((address, 0), family=family))
    listener.settimeout(30)
    return listener


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_what_is_relayed_comes_byte_for_byte_with_its_ends_names_and_options(host: Host, address: str) -> None:
    host.up()
    there, back = (random.Random(seed).randbytes(5 << 20) for seed in (1, 2))
    with kernel_listener(host, address) as listener:
        port = listener.getsockname()[1]
        command = ("run", "--", PYTHON, "-c", EXCHANGE, address, str(port))
        with host.popen(*command, stdin=subprocess.PIPE, text=False) as program:
            peer, name = listener.accept()
            peer.settimeout(30)
            assert program.stdout.readline().decode() == f"{name[:2]} {(address, port)}\n"
            shown = run(*host.net.command("ss", "-tnoi", f"dport = :{port}"))
            assert "timer:(keepalive" in shown and " reno " in shown, shown
            threading.Thread(target=lambda: (program.stdin.write(there), program.stdin.close())).start()
            got = b"".join(iter(lambda: peer.recv(1 << 16), b""))
            assert got == there
            peer.sendall(back)  # the program's direction has ended, the other has not
            peer.close()
            assert program.stdout.read().decode() == f"{hashlib.sha256(back).hexdigest()}\n"
            assert program.wait(30) == 0, program.stderr.read()


def test_a_reset_is_relayed_to_the_program(host: Host) -> None:
    host.up()
    with kernel_listener(host, "127.0.0.1") as listener:
        port = str(listener.getsockname()[1])
        with host.popen("run", "--", PYTHON, "-c", EXCHANGE, "127.0.0.1", port, stdin=subprocess.PIPE) as program:
            peer, _ = listener.accept()
            program.stdout.readline()
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            peer.close()
            # The program writes no more only after it has heard: its own end is not what is looked at here.
            assert program.stdout.readline() == "ECONNRESET\n"
            program.stdin.close()


def test_a_reset_is_relayed_to_the_kernels_peer(host: Host) -> None:
    host.up()
    script = "import socket, struct, sys; s = socket.create_connection(('127.0.0.1', int(sys.argv[1]))); \
s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0)); s.close()"
    with kernel_listener(host, "127.0.0.1") as listener:
        done = host.run("--", PYTHON, "-c", script, str(listener.getsockname()[1]))
        assert done.returncode == 0, done.stderr
        peer, _ = listener.accept()
        with peer, pytest.raises(ConnectionResetError):
            peer.settimeout(30)
            peer.recv(1)


def test_loopback_is_the_stacks_own(host: Host) -> None:
    host.net.ip("link", "set", "lo", "down")
    host.up("--loopback", "ustcp")
    for where, there in [("127.0.0.1", "127.0.0.1"), ("::1", "::1"), ("localhost", "127.0.0.1"), ("::", "::1")]:
        with serving(host, where):
            script = "import socket; s = socket.create_connection(('%s', 8080), 20); print(s.recv(100).decode())"
            done = host.run("--explain", "--", PYTHON, "-c", script % there)
            assert done.stdout == f"{there}\n", done.stderr
            assert "on ustcp" in done.stderr and "relayed" not in done.stderr


def test_loopback_is_refused(host: Host) -> None:
    host.up("--loopback", "refuse")
    with Teller(host.net, "0.0.0.0"):
        assert connects(host, 80, "127.0.0.1", ELSEWHERE, PEER) == {
            "127.0.0.1": "ECONNREFUSED",
            ELSEWHERE: "ECONNREFUSED",
            PEER: "connected",
        }


@pytest.mark.parametrize("wildcard", ["0.0.0.0", "::"])
def test_who_listens_on_the_wildcard_address_is_reached_over_the_device_only(host: Host, wildcard: str) -> None:
    host.up()
    with serving(host, wildcard):
        for address in ("127.0.0.1", "::1", ELSEWHERE):
            assert kernel_connects(host, address, 8080) == "ECONNREFUSED"
        assert kernel_connects(host, OURS, 8080).removeprefix("::ffff:") == PEER


@pytest.mark.parametrize("wildcard", ["0.0.0.0", "::"])
def test_who_is_published_is_reached_by_the_kernels_own_addresses_too(host: Host, wildcard: str) -> None:
    host.up("--publish")
    addresses = ["127.0.0.1", ELSEWHERE, OURS, *(["::1"] if wildcard == "::" else [])]
    for address in addresses:
        with serving(host, wildcard):
            from_there = PEER if address == OURS else address
            assert kernel_connects(host, address, 8080).removeprefix("::ffff:") == from_there


def test_what_is_routed_leaves_by_the_device_and_the_rest_by_the_kernel(host: Host) -> None:
    host.up("--route", "198.51.100.0/24", "--route", "203.0.113.7/32")
    script = "import socket, sys, os; s = socket.socket(); s.setblocking(False); s.connect_ex((sys.argv[1], 80)); \
print(s.getsockname()[0], flush=True); os.read(0, 1)"
    for address, ours in [("198.51.100.9", OURS), ("203.0.113.7", OURS)]:
        with host.popen("run", "--", PYTHON, "-c", script, address, stdin=subprocess.PIPE) as program:
            assert program.stdout.readline() == f"{ours}\n"
            assert f"SYN-SENT 0 0 {ours}" in " ".join(host.ustcp("ss", "-tan").stdout.split())
            program.stdin.close()
    # The kernel has no route to the rest and says so.
    assert connects(host, 80, "203.0.113.8", "2001:db8::1") == {
        "203.0.113.8": "ENETUNREACH",
        "2001:db8::1": "ENETUNREACH",
    }


def test_one_who_joins_is_told_what_the_engine_does_otherwise(host: Host) -> None:
    host.up("--loopback", "ustcp", "--route", "198.51.100.7/24")
    agreed = host.run("--loopback", "ustcp", "--route", "198.51.100.0/24", "--", "true")
    assert (agreed.returncode, agreed.stderr) == (0, "")
    for said, differs in [
        (["--loopback", "relay"], "with --loopback ustcp, not relay"),
        (["--route", "0.0.0.0/0"], "with --route 198.51.100.0/24, not 0.0.0.0/0"),
        (["--publish"], "without --publish"),
        (["--nat"], "without --nat"),
    ]:
        done = host.run(*said, "--", "true")
        assert done.returncode == 125 and f" runs {differs}: end it" in done.stderr, done.stderr


def test_what_the_options_may_not_say(host: Host) -> None:
    for option, value, allowed in [
        ("--route", "10.0.0.1", "a network, with the length of its prefix"),
        ("--route", "10.0.0.0/33", "a network, with the length of its prefix"),
        ("--loopback", "maybe", "relay, ustcp, refuse"),
    ]:
        done = host.ustcp("up", option, value)
        assert done.returncode == 2
        assert f"invalid value '{value}' for '{option}" in done.stderr and allowed in done.stderr, done.stderr


def test_an_engine_that_is_started_for_a_program_has_what_it_was_told(host: Host) -> None:
    with Teller(host.net, "127.0.0.1"):
        done = host.run("--loopback", "refuse", "--", PYTHON, "-c", CONNECT, "80", "127.0.0.1")
        assert done.stdout == "127.0.0.1 ECONNREFUSED\n", done.stderr
        wait_until(lambda: not host.is_up())
        done = host.run("--", PYTHON, "-c", CONNECT, "80", "127.0.0.1")
        assert done.stdout == "127.0.0.1 connected\n", done.stderr


def test_connections_that_failed_are_in_the_table_too(host: Host) -> None:
    host.net.ip("route", "add", "unreachable", "203.0.113.0/24")
    host.up()
    done = host.run("--explain", "--", PYTHON, "-c", CONNECT, "81", PEER, "127.0.0.1", "203.0.113.8")
    assert done.stdout == f"{PEER} ECONNREFUSED\n127.0.0.1 ECONNREFUSED\n203.0.113.8 EHOSTUNREACH\n", done.stderr
    table = [" ".join(line.split()) for line in done.stderr.splitlines()]
    for way, address, why in [
        ("on ustcp", PEER, "Connection refused"),
        ("relayed to the kernel's TCP", "127.0.0.1", "loopback: Connection refused"),
        ("relayed to the kernel's TCP", "203.0.113.8", "no route: No route to host"),
    ]:
        assert any(line.startswith(way) and f"-> {address}:81 {why}" in line for line in table), done.stderr


def test_a_socket_that_found_no_way_by_the_kernel_goes_by_the_stack_next(host: Host) -> None:
    host.up()
    script = "import socket, sys; s = socket.socket(); assert s.connect_ex(('203.0.113.8', 80)) == 101; \
s.connect((sys.argv[1], 80)); print(s.recv(100).decode().strip())"
    with Teller(host.net, PEER):
        done = host.run("--", PYTHON, "-c", script, PEER)
    assert (done.returncode, done.stdout) == (0, f"{OURS}\n"), done.stderr
