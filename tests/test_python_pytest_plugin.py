"""The pytest plugin: what a failing test leaves."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SUITE = """
import pytest

def talk(net):
    client, server = net.host("client"), net.host("server")

    @server.run
    def serve():
        with server.create_server(("", 80)) as listener:
            sock, _ = listener.accept()
            with sock:
                sock.sendall(sock.recv(100).upper())

    with client.create_connection(("server", 80)) as sock:
        sock.sendall(b"hello")
        return sock.recv(100)

def test_passes(ustcp_net):
    assert talk(ustcp_net) == b"HELLO"

def test_fails(ustcp_net):
    assert talk(ustcp_net) == b"hello", ustcp_net.seed

def test_is_stuck(ustcp_net):
    with ustcp_net.host("alone").create_server(("", 80)) as listener:
        listener.accept()

def test_without():
    assert False
"""


@pytest.fixture
def run(tmp_path: Path):
    def run(*arguments: str) -> str:
        (tmp_path / "test_suite.py").write_text(SUITE)
        (tmp_path / "pytest.ini").write_text("[pytest]\n")
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False)
        assert done.returncode in (1, 4), done.stdout + done.stderr
        return done.stdout + done.stderr

    return run


def test_a_failure_leaves_seed_diagram_and_capture(run, tmp_path):
    output = run("--ustcp-seed=42", "--ustcp-weather=delay=20ms,loss=1%")
    assert "3 failed, 1 passed" in output
    assert "seed 42" in output and "--ustcp-seed=42 --ustcp-weather=delay=20ms,loss=1%" in output.replace("'", "")
    assert "SYN+ACK seq 0 ack 1" in output and "nothing is left to happen" in output
    left = sorted(path.name for path in (tmp_path / "ustcp-failures").iterdir())
    stems = ("test_suite.py-test_fails", "test_suite.py-test_is_stuck")
    assert left == [f"{stem}.{kind}" for stem in stems for kind in ("mermaid", "pcapng", "svg", "txt")]


def test_beside_the_report_or_where_told(run, tmp_path):
    run("--junitxml=reports/it.xml")
    assert (tmp_path / "reports/test_suite.py-test_fails.pcapng").exists()
    assert '<property name="ustcp-seed" value="0"' in (tmp_path / "reports/it.xml").read_text()
    run("--ustcp-output=there")
    assert (tmp_path / "there/test_suite.py-test_fails.svg").exists()


def test_malformed_weather_is_told(run):
    output = run("--ustcp-weather=rain", "-k", "without")
    assert "rain" in output and "Traceback" not in output


def test_the_line_to_run_it_again_is_one_for_the_shell(run):
    text = "loss=1%, delay=10ms"
    assert f"'--ustcp-weather={text}'" in run(f"--ustcp-weather={text}", "-k", "fails")
