"""`ustcp ss` beside ss(8): the same sockets of the kernel's, shown by both, must look the same."""

from __future__ import annotations

import json
import os
import re
import socket
import struct
from pathlib import Path

import pytest

from harness.command import Puppet, ustcp, wait_until
from harness.netns import Namespace, run

ENGINE = {"engine": {"pid": os.getpid(), "lifetime": "stopped", "variables": {"USTCP_TUN": "ustcp0"}}}
STATES = {1: "ESTABLISHED", 5: "FIN-WAIT-2", 8: "CLOSE-WAIT", 10: "LISTEN"}
BACKLOG = 7
# What changes between two looks.
TIMES = ("lastsnd", "lastrcv", "lastack", "busy")


def line(sock: socket.socket, **more: object) -> dict:
    """What an engine would say of a socket of the kernel's."""
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    is_listener = state(sock) == "LISTEN"
    return {
        "run": 0,
        "place": "ustcp",
        "family": 6 if sock.family == socket.AF_INET6 else 4,
        "state": state(sock),
        "local": text(sock.getsockname()),
        "peer": None if is_listener else text(sock.getpeername()),
        "recv_q": 0,
        "send_q": BACKLOG if is_listener else 0,
        "congestion": "reno",
        "tcp_info": info.hex(),
        **more,
    }


def state(sock: socket.socket) -> str:
    return STATES.get(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)[0], "")


def is_quiet(sock: socket.socket) -> bool:
    """Whether everything it sent is acknowledged: nothing changes any more but times. tcpi_unacked."""
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    return state(sock) == "LISTEN" or struct.unpack_from("=I", info, 24)[0] == 0


def text(address: tuple) -> str:
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def words(table: str) -> tuple[list[str], list[list[str]]]:
    """Head and rows, sorted; a second line belongs to the one before it."""
    head, *rows = table.replace("\n\t", " ").replace("PortProcess", "Port Process").splitlines()
    return head.split(), sorted(row.split() for row in rows)


@pytest.fixture
def net(network: None):
    namespace = Namespace("ss")
    namespace.create()
    namespace.ip("link", "set", "lo", "up")
    yield namespace
    namespace.remove()


@pytest.fixture
def sockets(net: Namespace):
    """A listener, two connections, one of which has been half closed, all of reno: ss shows more of other algorithms."""

    def make() -> list[socket.socket]:
        listener = socket.socket()
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"reno")
        listener.bind(("127.0.0.1", 0))
        listener.listen(BACKLOG)
        made = [listener]
        for _ in range(2):
            client = socket.socket()
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"reno")
            client.connect(listener.getsockname())
            server, _ = listener.accept()
            client.sendall(b"x" * 10000)
            assert len(server.recv(10000, socket.MSG_WAITALL)) == 10000
            made += [client, server]
        made[3].shutdown(socket.SHUT_WR)
        assert made[4].recv(1) == b""
        wait_until(lambda: all(is_quiet(each) for each in made) and state(made[3]) == "FIN-WAIT-2")
        return made

    made = net.inside(make)
    yield made
    for each in made:
        each.close()


@pytest.mark.parametrize("options", ["-tan", "-tn", "-tln", "-ta"])
def test_the_table_is_that_of_ss(net: Namespace, sockets: list, options: str, tmp_path: Path) -> None:
    with Puppet(tmp_path / "engine", [ENGINE, *map(line, sockets)]):
        shown = ustcp("ss", options, "--engine", str(tmp_path / "engine"))
    assert shown.returncode == 0, shown.stderr
    theirs = run(*net.command("ss", options))
    # A CLOSE-WAIT has its FIN in Recv-Q there.
    assert words(shown.stdout) == words(re.sub(r"CLOSE-WAIT 1 ", "CLOSE-WAIT 0 ", theirs))


@pytest.mark.parametrize("options", ["-tanio", "-taio"])
def test_what_tcp_knows_is_said_in_the_words_of_ss(net: Namespace, sockets: list, options: str, tmp_path: Path) -> None:
    with Puppet(tmp_path / "engine", [ENGINE, *map(line, sockets)]):
        shown = ustcp("ss", options, "--engine", str(tmp_path / "engine"))
    assert shown.returncode == 0, shown.stderr

    def comparable(table: str) -> list[list[str]]:
        table = re.sub(r"CLOSE-WAIT 1 ", "CLOSE-WAIT 0 ", table)
        table = re.sub(rf" ({'|'.join(TIMES)}):\S+", "", table)
        table = re.sub(r" timer:\(\S*\)", "", table)
        return words(table)[1]

    ours, theirs = comparable(shown.stdout), comparable(run(*net.command("ss", options)))
    assert ours == theirs
    assert any("wscale:" in word for row in ours for word in row)
    assert any(word.endswith("bps") for row in ours for word in row)


def test_timers_and_processes_as_ss_has_them(net: Namespace, sockets: list, tmp_path: Path) -> None:
    client = sockets[1]
    client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 7200)
    engines, programs = socket.socketpair()
    with engines, programs:
        said = line(
            client,
            inode=os.fstat(engines.fileno()).st_ino,
            timer={"name": "keepalive", "milliseconds": 7_199_000, "count": 0},
        )
        with Puppet(tmp_path / "engine", [ENGINE, said]):
            shown = ustcp("ss", "-tnop", "--engine", str(tmp_path / "engine"))
        fd = programs.fileno()
    assert shown.returncode == 0, shown.stderr
    own = [row for row in run(*net.command("ss", "-tnop")).splitlines() if "timer:(keepalive" in row]
    assert len(own) == 1
    expected = re.sub(r"fd=\d+", f"fd={fd}", own[0])
    assert shown.stdout.splitlines()[1].split() == expected.split()


@pytest.mark.parametrize(
    ("name", "shown_as"),
    [(b"\x1b[2Jcleared\n", "\ufffd[2Jcleared\ufffd"), (b"f\xc3\xbcnf\x9b zehn\xc3", "fünf\ufffd zehn\ufffd")],
    ids=("what a terminal obeys", "no UTF-8"),
)
def test_a_process_says_nothing_to_the_terminal_by_its_name(name: bytes, shown_as: str, tmp_path: Path) -> None:
    """It gives itself one, of 15 bytes at most."""
    own = Path("/proc/self/comm")
    before = own.read_bytes()
    engines, programs = socket.socketpair()
    with engines, programs, socket.create_server(("127.0.0.1", 0)) as listener:
        said, holder = line(listener, inode=os.fstat(engines.fileno()).st_ino), programs.fileno()
        own.write_bytes(name)
        try:
            with Puppet(tmp_path / "engine", [ENGINE, said]):
                shown = ustcp("ss", "-lp", "--engine", str(tmp_path / "engine"))
        finally:
            own.write_bytes(before)
    assert shown.returncode == 0, shown.stderr
    assert f'users:(("{shown_as}",pid={os.getpid()},fd={holder}))' in shown.stdout


def test_what_is_not_asked_for_is_not_shown(sockets: list, tmp_path: Path) -> None:
    said = [
        line(sockets[0]),
        line(sockets[1]),
        line(sockets[1], state="TIME-WAIT"),
        line(sockets[1], state="CLOSED", local=None),
        line(sockets[1], family=6, local="[fd77::2]:80", peer="[fd77::1]:5"),
        line(sockets[1], place="relay", why="loopback"),
    ]

    def states(*options: str) -> list[str]:
        shown = ustcp("ss", "-n", *options, "--engine", str(tmp_path / "engine"))
        assert shown.returncode == 0, shown.stderr
        return [row.split()[0] for row in shown.stdout.splitlines()[1:]]

    with Puppet(tmp_path / "engine", [ENGINE, *said]):
        assert states() == ["ESTAB", "ESTAB"]
        assert states("-a") == ["LISTEN", "ESTAB", "TIME-WAIT", "UNCONN", "ESTAB"]
        assert states("-l") == ["LISTEN", "UNCONN"]
        assert states("-4") == ["ESTAB"] and states("-6") == ["ESTAB"]
        # As ss has it: of these two the last counts, of those both, and once is as good as twice.
        assert states("-al") == states("-l") and states("-la") == states("-a")
        assert states("-46") == states() and states("-tt") == states()
        everything = ustcp("ss", "-a", "--json", "--engine", str(tmp_path / "engine"))
        with_processes = ustcp("ss", "-ap", "--json", "--engine", str(tmp_path / "engine"))
    objects = json.loads(everything.stdout)
    assert [each["place"] for each in objects] == ["ustcp"] * 5 + ["relay"]
    assert objects[1]["tcp_info"]["bytes_sent"] == 10000
    # Nobody has looked for them, which is not to find none.
    assert "processes" not in objects[1]
    assert all(each["processes"] == [] for each in json.loads(with_processes.stdout))
    assert objects[1]["local"] == text(sockets[1].getsockname())


def test_where_no_engine_is_one_line_says_so(tmp_path: Path) -> None:
    shown = ustcp("ss", "--engine", str(tmp_path / "nowhere"))
    assert (shown.returncode, shown.stdout) == (1, "")
    assert shown.stderr == f"ustcp: no engine runs in {tmp_path}/nowhere\n"


def test_an_engine_that_ends_before_it_answers_is_none(tmp_path: Path) -> None:
    class Ending(Puppet):
        def _answer(self, connection: socket.socket, packet: bytes) -> None:
            connection.shutdown(socket.SHUT_RDWR)

    with Ending(tmp_path / "engine", []):
        shown = ustcp("ss", "--engine", str(tmp_path / "engine"))
    assert (shown.returncode, shown.stdout) == (1, "")
    assert shown.stderr == f"ustcp: no engine runs in {tmp_path}/engine\n"
