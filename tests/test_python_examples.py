"""The model programs in Python, as their users run them."""

from __future__ import annotations

import hashlib
import http.server
import os
import re
import selectors
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from harness.netns import DEVICE, OURS, PEER

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
ENVIRONMENT = {**os.environ, "USTCP_TUN": DEVICE, "USTCP_ADDRESS": f"{OURS}/24", "USTCP_PEER": PEER}
PAGE = bytes(range(256)) * 4096


class Pages(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        status = 200 if self.path in ("/page", "/endless") else 404
        self.send_response(status)
        if self.path != "/endless":
            self.send_header("Content-Length", str(len(PAGE)))
        self.end_headers()
        self.wfile.write(PAGE)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def pages(namespace):
    """A server on the kernel's TCP; its port."""
    server = http.server.ThreadingHTTPServer(("0.0.0.0", 0), Pages)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def http_get(namespace, *arguments: str) -> subprocess.CompletedProcess:
    command = namespace.command(sys.executable, str(EXAMPLES / "http_get.py"), *arguments)
    return subprocess.run(command, env=ENVIRONMENT, capture_output=True, timeout=60, check=False)


@pytest.mark.parametrize("path", ["page", "endless"])
def test_http_get_fetches_a_page(namespace, pages, path):
    done = http_get(namespace, f"http://{PEER}:{pages}/{path}")
    assert (done.stderr, done.returncode) == (b"", 0)
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(PAGE).digest()


def test_http_get_says_what_went_wrong(namespace, pages):
    missing = http_get(namespace, f"http://{PEER}:{pages}/missing")
    assert missing.returncode == 1 and b"status 404" in missing.stderr
    refused = http_get(namespace, f"http://{PEER}:1/")
    assert refused.returncode == 1 and b"refused" in refused.stderr
    for arguments in ([], ["ftp://10.77.0.1/"], ["http://"], ["a", "b"]):
        assert http_get(namespace, *arguments).returncode == 2


@pytest.fixture
def echo_server(request, namespace):
    """The program, and its address. With a parameter: under that limit of descriptors."""
    limit = ["prlimit", f"--nofile={request.param}"] if hasattr(request, "param") else []
    command = namespace.command(*limit, sys.executable, str(EXAMPLES / "echo_server.py"), "0")
    server = subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        port = int(re.fullmatch(r"listening on 0\.0\.0\.0:(\d+)\n", server.stdout.readline())[1])
        yield server, (OURS, port)
    finally:
        server.kill()
        server.communicate()


def test_echo_server_serves_many_clients_at_once(echo_server):
    server, address = echo_server

    def descriptors_with_one_client() -> int:
        with socket.create_connection(address, 20) as client:
            client.sendall(b"x")
            assert client.recv(1) == b"x"
            return len(os.listdir(f"/proc/{server.pid}/fd"))

    before = descriptors_with_one_client()
    clients = [socket.create_connection(address, 20) for _ in range(200)]
    for turn in range(3):
        for number, client in enumerate(clients):
            client.sendall(f"{number}/{turn}".encode())
        for number, client in enumerate(clients):
            word = f"{number}/{turn}".encode()
            assert client.recv(100) == word
    assert len(os.listdir(f"/proc/{server.pid}/fd")) > 200
    for client in clients:
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""
        client.close()
    assert descriptors_with_one_client() == before


@pytest.mark.parametrize("echo_server", [64], indirect=True)
def test_echo_server_without_descriptors_lets_clients_wait(echo_server):
    _, address = echo_server
    clients = [socket.create_connection(address, 20) for _ in range(200)]
    for number, client in enumerate(clients):
        with client:
            client.sendall(b"%d" % number)
            assert client.recv(100) == b"%d" % number


def test_echo_server_is_not_stopped_by_one_that_does_not_read(echo_server):
    _, address = echo_server
    with socket.create_connection(address, 20) as deaf, socket.create_connection(address, 20) as other:
        deaf.setblocking(False)
        with selectors.DefaultSelector() as selector:
            selector.register(deaf, selectors.EVENT_WRITE)
            sent = 0
            while selector.select(0.5):
                sent += deaf.send(bytes(65536))
        assert sent > 65536
        other.sendall(b"still here")
        assert other.recv(100) == b"still here"
        deaf.settimeout(20)
        while sent:
            sent -= len(deaf.recv(1 << 20))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_echo_server_ends_by_a_signal(echo_server, number):
    server, address = echo_server
    with socket.create_connection(address, 20) as client:
        client.sendall(b"x")
        assert client.recv(1) == b"x"
        server.send_signal(number)
        assert client.recv(1) == b""
        assert (server.wait(60), server.stderr.read()) == (0, "")
