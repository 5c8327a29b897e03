"""The Python examples over what uses `socket`, and over networks in one process, as users run them."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.netns import OURS, PEER
from test_python_examples import ENVIRONMENT, PAGE, pages  # noqa: F401

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


@contextlib.contextmanager
def running(namespace, example: str) -> Iterator[tuple[subprocess.Popen, tuple[str, int]]]:
    """A server, and its address; ended by a signal it ends well."""
    command = namespace.command(sys.executable, str(EXAMPLES / example), "0")
    server = subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        port = int(re.fullmatch(r"listening on 0\.0\.0\.0:(\d+)\n", server.stdout.readline())[1])
        yield server, (OURS, port)
        server.send_signal(signal.SIGTERM)
        assert (server.wait(60), server.stderr.read()) == (0, "")
    finally:
        server.kill()
        server.communicate()


def test_echo_with_threads(namespace):
    with running(namespace, "echo_threads.py") as (_, address):
        clients = [socket.create_connection(address, 20) for _ in range(50)]
        for number, client in enumerate(clients):
            client.sendall(b"%d" % number)
        for number, client in enumerate(clients):
            with client:
                assert client.recv(100) == b"%d" % number


def test_asyncio_http_server(namespace):
    with running(namespace, "asyncio_http.py") as (_, address):
        connection = http.client.HTTPConnection(*address, timeout=20)
        expected = {"/": (200, b"hello over ustcp\n"), "/nowhere": (404, b"there is / and /connections\n")}
        for path, answer in expected.items():
            connection.request("GET", path)
            got = connection.getresponse()
            assert (got.status, got.read()) == answer
        connection.request("GET", "/connections")
        assert connection.getresponse().read() == b"%s:%d\n" % (PEER.encode(), connection.sock.getsockname()[1])
        connection.request("POST", "/", headers={"Connection": "close"})
        got = connection.getresponse()
        assert got.status == 405 and got.read() == b"only GET is\n"
        assert connection.sock is None
        with socket.create_connection(address, 20) as rude:
            rude.sendall(b"no HTTP at all\r\n")
            rude.shutdown(socket.SHUT_WR)
            assert rude.recv(100) == b""


def test_requests_over_ustcp(namespace, pages, tmp_path):  # noqa: F811
    capture = tmp_path / "pages.pcapng"
    urls = [f"http://{PEER}:{pages}/page", f"http://{PEER}:1/"]
    command = namespace.command(sys.executable, str(EXAMPLES / "requests_get.py"), *urls)
    environment = {**ENVIRONMENT, "USTCP_PCAP": str(capture), "NO_PROXY": "*"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1 and "refused" in done.stderr
    assert re.match(rf"200 {len(PAGE)} bytes in [\d.]+ ms: {re.escape(urls[0])}", done.stdout)
    assert capture.stat().st_size > len(PAGE)


@pytest.mark.parametrize("weather", ["delay=1ms", "delay=50ms,loss=20%"])
def test_the_example_of_tests_passes(tmp_path, weather):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(EXAMPLES / "test_retries.py")]
    if "loss" in weather:
        command += ["-k", "away"]
    command += [f"--ustcp-weather={weather}", "--ustcp-seed=7", f"--ustcp-output={tmp_path}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout


def example(*arguments: str) -> str:
    command = [sys.executable, str(EXAMPLES / "handshake_and_close.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


def test_handshake_and_close_shows_every_state(tmp_path):
    told = example("--out", str(tmp_path))
    assert "client: CLOSED, SYN-SENT, ESTABLISHED, FIN-WAIT-1, FIN-WAIT-2, TIME-WAIT, CLOSED" in told
    assert "server: CLOSED, LISTEN, SYN-RECEIVED, ESTABLISHED, CLOSED, CLOSE-WAIT, LAST-ACK, CLOSED" in told
    assert "11 packets, 0 lost, 0 repeated; 60." in told
    assert sorted(os.listdir(tmp_path)) == [f"timeline.{kind}" for kind in ("mermaid", "pcapng", "svg", "txt")]
    assert "CLOSING, TIME-WAIT, CLOSED" in example("--simultaneous")


@pytest.mark.parametrize("kind", ["SYN", "SYN-ACK", "ACK", "DATA", "FIN"])
def test_handshake_and_close_whatever_is_lost(kind):
    told = example("--lose", kind)
    assert "lost: script" in told and "1 lost" in told and "TIME-WAIT, CLOSED" in told
    assert example("--lose", kind) == told


def test_handshake_and_close_without_the_servers_fin():
    told = example("--lose", "fin#2")
    [lost] = [line for line in told.splitlines() if "lost: script" in line]
    assert lost.split()[1:4] == ["server", "LAST-ACK", "FIN+ACK"] and "2 lost" not in told
