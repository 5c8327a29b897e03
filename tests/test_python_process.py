"""The beginning and the end of a process's stack, and what the package is made of."""

from __future__ import annotations

import errno
import json
import os
import socket
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
import ustcp

from harness.netns import DEVICE, OURS, PEER


def test_one_stack_at_a_time(stack):
    with pytest.raises(OSError) as twice:
        ustcp.init(tun=DEVICE)
    assert twice.value.errno == errno.EALREADY


def test_the_end_ends_its_sockets_and_another_may_begin(namespace):
    for _ in range(2):
        ustcp.init(tun=DEVICE, address=f"{OURS}/24", peer=PEER)
        with ustcp.socket() as sock, ustcp.create_server(("", 0)) as listener:
            ustcp.fini()
            for call in (lambda: sock.connect((PEER, 1)), listener.accept, lambda: sock.recv(1)):
                with pytest.raises(OSError) as down:
                    call()
                assert down.value.errno in (errno.ENETDOWN, errno.EBADF)
        ustcp.fini()


def test_the_end_waits_for_what_is_not_acknowledged(namespace):
    ustcp.init(tun=DEVICE, address=f"{OURS}/24", peer=PEER, exit_wait=20)
    with socket.create_server((PEER, 0)) as listener:
        with ustcp.create_connection(listener.getsockname()) as sock:
            connection, _ = listener.accept()
            sock.sendall(bytes(100_000))
        ustcp.fini()
        with connection:
            received = 0
            while data := connection.recv(65536):
                received += len(data)
            assert received == 100_000


@pytest.mark.parametrize(
    ("setting", "allowed"),
    [
        ({"tun": "a/b"}, "] tun=a/b is malformed: "),
        ({"address": "10.77.0.2"}, "10.77.0.2/24"),
        ({"address": ["10.77.0.2/24", "nonsense"]}, "] address=10.77.0.2/24,nonsense is malformed: "),
        ({"peer": "nobody"}, "] peer=nobody is malformed: "),
        ({"offload": "perhaps"}, "auto, on or off"),
        ({"mtu": 3}, "] mtu=3 is malformed: 128 to 65535"),
        ({"time_wait": -1}, "seconds"),
        ({"exit_wait": "never"}, "closed"),
        ({"weather": "sunny"}, "] weather=sunny is malformed: "),
        ({"pcap": ("file", 1)}, "64 to 65535"),
        ({"congestion": "vegas"}, "cubic, reno, bbr"),
        ({"sysctl": {"tcp_sack": 2}}, "] sysctl=tcp_sack=2 is malformed: tcp_sack takes 0 or 1"),
        ({"sysctl": "tcp_sacks=1"}, 'there is no "tcp_sacks", but ip_default_ttl, '),
    ],
)
def test_a_malformed_setting_is_einval_and_says_what_is_allowed(setting, allowed):
    with pytest.raises(OSError, match=allowed) as malformed:
        ustcp.init(**setting)
    assert malformed.value.errno == errno.EINVAL


@pytest.mark.parametrize("setting", [{"device": "ustcp0"}, {"mtu": 1500, "snaplen": 3}])
def test_an_unknown_setting_is_a_type_error(setting):
    with pytest.raises(TypeError):
        ustcp.init(**setting)


def test_every_setting_arrives(namespace, tmp_path):
    log, pcap = tmp_path / "events.jsonl", tmp_path / "packets.pcapng"
    ustcp.init(
        tun="named7",
        address=[f"{OURS}/24", "10.77.0.9/24"],
        peer=PEER,
        offload=False,
        mtu=1400,
        time_wait=0.01,
        exit_wait="closed",
        weather="delay=1ms,seed=1",
        log=log,
        pcap=(pcap, 96),
    )
    try:
        with socket.create_server((PEER, 0)) as listener:
            with ustcp.create_connection(listener.getsockname(), source_address=("10.77.0.9", 0)) as sock:
                connection, (host, _) = listener.accept()
                with connection:
                    assert host == "10.77.0.9"
                    assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG) <= 1360
                assert sock.recv(1) == b""
        assert namespace.links("named7")["mtu"] == 1400
    finally:
        ustcp.fini()
    kinds = [json.loads(line)["kind"] for line in log.read_text().splitlines()]
    transitions = [kind["Transition"] for kind in kinds if isinstance(kind, dict) and "Transition" in kind]
    assert transitions[0]["to"] == "SynSent" and transitions[-1]["to"] == "Closed"
    assert pcap.stat().st_size > 0


def run_inside(namespace, program: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        namespace.command(sys.executable, "-c", program),
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_first_socket_starts_the_stack_from_the_environment(namespace):
    program = "import ustcp; s = ustcp.create_server(('10.77.0.7', 80)); print(s.getsockname()); s.close()"
    done = run_inside(namespace, program, USTCP_TUN="other0", USTCP_ADDRESS="10.77.0.7/24")
    assert (done.stdout, done.stderr, done.returncode) == ("('10.77.0.7', 80)\n", "", 0)


def test_what_the_program_says_goes_over_the_environment(namespace):
    program = "import ustcp; ustcp.init(address='10.77.0.8/24'); s = ustcp.create_server(('10.77.0.8', 80)); s.close()"
    done = run_inside(namespace, program, USTCP_ADDRESS="10.77.0.7/24", USTCP_TUN="other0")
    assert (done.stderr, done.returncode) == ("", 0)


CHILD_WITH_ITS_OWN = """
import os, ustcp
theirs = ustcp.create_server(("", 0))
if os.fork() == 0:
    ustcp.init(tun="ustcp1", address="10.78.0.2/24")
    ours = []
    while len(ours) < 16 and theirs.fileno() not in [sock.fileno() for sock in ours]:
        ours.append(ustcp.create_server(("", 0)))
    theirs.close()
    os._exit(all(sock.getsockname()[1] > 0 for sock in ours))
_, status = os.wait()
print(os.waitstatus_to_exitcode(status))
theirs.close()
"""


def test_a_child_that_forgets_does_not_close_what_it_made_itself(namespace):
    done = run_inside(namespace, CHILD_WITH_ITS_OWN, USTCP_TUN=DEVICE)
    assert (done.stdout, done.stderr) == ("1\n", "")


def test_a_device_in_use_is_ebusy_and_says_what_to_do(stack, namespace):
    program = "import ustcp\ntry: ustcp.init()\nexcept OSError as e: print(e.errno, str(e).count(chr(10)), e.strerror)"
    done = run_inside(namespace, program, USTCP_TUN=DEVICE)
    number, lines, text = done.stdout.split(" ", 2)
    assert (int(number), int(lines)) == (errno.EBUSY, 0), done.stdout + done.stderr
    assert DEVICE in text


def test_and_so_does_the_first_socket(stack, namespace):
    program = "import ustcp\ntry: ustcp.socket()\nexcept OSError as e: print(e.errno, e.strerror)"
    done = run_inside(namespace, program, USTCP_TUN=DEVICE)
    assert done.stdout.startswith(f"{errno.EBUSY} ") and DEVICE in done.stdout and done.stderr == ""


def test_importing_touches_nothing():
    program = "import os, ustcp; before = os.listdir('/proc/self/fd'); ustcp.fini(); print(len(before))"
    plain = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert int(plain.stdout) <= 4, "standard streams, and the directory itself"


def test_the_package_says_what_it_is():
    assert metadata.version("ustcp")
    assert Path(ustcp.__file__).with_name("py.typed").exists()
    assert issubclass(ustcp.timeout, OSError) and ustcp.error is OSError
    for name in ustcp.__all__:
        assert getattr(ustcp, name) is not None
        if name.isupper():
            assert getattr(ustcp, name) == getattr(socket, name)


def test_free_threaded_python_is_refused_with_a_word():
    program = "import sys; sys._is_gil_enabled = lambda: False; import ustcp"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert "ImportError: ustcp does not support free-threaded Python yet" in done.stderr
