"""`--nat`: the Internet, here a second namespace that knows nothing of the stack's network, is reached by our TCP."""

from __future__ import annotations

import fcntl
import os
import pty
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness.command import ASK, USTCP, Host, Teller, read_until, wait_until
from harness.netns import Namespace, run

PYTHON = sys.executable
US, INTERNET = "198.51.100.1", "198.51.100.2"
FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")


@pytest.fixture
def internet(network: None):
    namespace = Namespace("internet")
    namespace.create()
    yield namespace
    namespace.remove()


@pytest.fixture
def host(internet: Namespace, tmp_path: Path):
    with Host.alone("nat", tmp_path) as host:
        net = host.net
        run("ip", "link", "add", "eth0", "netns", net.name, "type", "veth", "peer", "name", "eth0", "netns", internet.name)
        net.ip("addr", "add", f"{US}/24", "dev", "eth0")
        internet.ip("addr", "add", f"{INTERNET}/24", "dev", "eth0")
        for each in (net, internet):
            each.ip("link", "set", "eth0", "up")
        net.sysctl("net.ipv4.ip_forward", 0)
        yield host


def test_a_terminal_that_hangs_up_ends_it(host: Host) -> None:
    """The kernel tells the leader of its session alone."""
    leader, fd = pty.fork()
    if leader == 0:
        command = host.net.command(USTCP, "up", "--nat")
        os.execvpe(command[0], command, {**os.environ, **host.environment})
    try:
        read_until(fd, b"is up")
        os.close(fd)
        wait_until(lambda: not host.is_up() and is_clean(host))
    finally:
        if host.is_up():
            os.kill(leader, signal.SIGTERM)
        _, status = os.waitpid(leader, 0)
    assert os.waitstatus_to_exitcode(status) == 0


def forwards(host: Host) -> bool:
    return host.net.inside(lambda: FORWARDING.read_text().strip()) == "1"


def masquerades(host: Host) -> bool:
    return "ustcp_" in run(*host.net.command("nft", "list", "tables"))


def is_clean(host: Host) -> bool:
    return not forwards(host) and not masquerades(host) and not (host.directory / "engine/nat").exists()


def ask(host: Host) -> str:
    done = host.run("--", PYTHON, "-c", ASK, INTERNET)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_internet_is_reached_by_our_tcp_and_all_is_taken_back(host: Host, internet: Namespace) -> None:
    assert is_clean(host)
    host.up("--nat")
    with Teller(internet, INTERNET):
        assert ask(host) == US
        # It was our TCP: the engine's, in whose list it stands.
        done = host.run("--explain", "--", PYTHON, "-c", ASK, INTERNET)
        assert f"-> {INTERNET}:80" in done.stderr and "on ustcp" in done.stderr, done.stderr
    assert forwards(host) and masquerades(host)
    assert host.ustcp("down").returncode == 0
    assert is_clean(host)


def test_without_it_the_kernel_goes_there_and_the_engine_relays(host: Host, internet: Namespace) -> None:
    host.up()
    with Teller(internet, INTERNET):
        done = host.run("--explain", "--", PYTHON, "-c", ASK, INTERNET)
    assert done.stdout == f"{US}\n", done.stderr
    assert f"-> {INTERNET}:80  no route\n" in done.stderr and "relayed to the kernel's TCP" in done.stderr, done.stderr
    assert is_clean(host)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_takes_it_back_too(host: Host, number: signal.Signals) -> None:
    with host.popen("up", "--nat") as engine:
        assert "is up" in engine.stderr.readline()
        assert forwards(host) and masquerades(host)
        engine.send_signal(number)
        assert engine.wait(30) == 0
    assert is_clean(host) and not host.is_up()


def test_an_engine_that_is_started_for_a_program_takes_it_back_after_it(host: Host, internet: Namespace) -> None:
    with Teller(internet, INTERNET):
        done = host.run("--nat", "--", PYTHON, "-c", ASK, INTERNET)
    assert (done.returncode, done.stdout) == (0, f"{US}\n"), done.stderr
    wait_until(lambda: is_clean(host) and not host.is_up())


def test_after_the_engine_is_killed_it_is_taken_back(host: Host) -> None:
    host.up("--nat")
    os.kill(pid(host), signal.SIGKILL)
    wait_until(lambda: is_clean(host) and not host.is_up())


def pid(host: Host) -> int:
    return int((host.directory / "engine/engine").read_text().split()[4])


def kill_both(host: Host) -> None:
    with host.popen("up", "--nat") as guard:
        assert "is up" in guard.stderr.readline()
        engine = pid(host)
        guard.kill()
        guard.wait(30)
        os.kill(engine, signal.SIGKILL)
    host.wait_for_end()
    assert forwards(host) and masquerades(host)


def test_after_both_are_killed_down_takes_it_back(host: Host) -> None:
    kill_both(host)
    done = host.ustcp("down")
    assert (done.returncode, done.stderr) == (
        0,
        "ustcp: no engine was up; the forwarding that it left behind is taken back\n",
    )
    assert is_clean(host)


def test_down_waits_for_who_takes_it_back_whatever_process_that_is(host: Host) -> None:
    """The lock of the note is what it waits for: the number of a process that is gone may be another's by now."""
    kill_both(host)
    with (host.directory / "engine/nat").open() as note:
        fcntl.flock(note, fcntl.LOCK_EX)
        down = host.popen("down")
        waits = f"-> FLOCK  ADVISORY  WRITE {down.pid} "
        wait_until(lambda: waits in Path("/proc/locks").read_text())
        assert down.poll() is None and masquerades(host)
    assert down.wait(30) == 0
    down.communicate()
    assert is_clean(host)


def test_down_leaves_alone_what_the_next_engine_has_set_up(host: Host) -> None:
    kill_both(host)
    path = host.directory / "engine/nat"
    with path.open() as note:
        fcntl.flock(note, fcntl.LOCK_EX)
        down = host.popen("down")
        waits = f"-> FLOCK  ADVISORY  WRITE {down.pid} "
        wait_until(lambda: waits in Path("/proc/locks").read_text())
        # Who held it has gone, and the next engine's note says the same.
        text = path.read_text()
        path.unlink()
        path.write_text(text)
    assert down.wait(30) == 0
    down.communicate()
    assert forwards(host) and masquerades(host) and path.read_text() == text
    assert host.ustcp("down").returncode == 0
    assert is_clean(host)


def test_the_next_engine_takes_it_back_and_has_none_itself(host: Host) -> None:
    kill_both(host)
    with host.popen("up") as engine:
        assert engine.stderr.readline() == "ustcp: the forwarding that an engine before has left behind is taken back\n"
        assert "is up" in engine.stderr.readline()
        assert is_clean(host)
        done = host.run("--nat", "--", "true")
        assert done.returncode == 125 and "without --nat" in done.stderr, done.stderr
        engine.terminate()


def tools(tmp_path: Path, nft: str) -> tuple[str, Path]:
    """A PATH with iproute2 and what stands for nft; and what there is once nft is not to work."""
    directory, broken = tmp_path / "tools", tmp_path / "broken"
    directory.mkdir()
    (directory / "ip").symlink_to(shutil.which("ip"))
    script = directory / "nft"
    script.write_text(f"#!/bin/sh\n[ -e {broken} ] && {{ echo broken >&2; exit 1; }}\nexec {nft} \"$@\"\n")
    script.chmod(0o755)
    return str(directory), broken


def test_where_rules_cannot_be_added_forwarding_goes_off_again(host: Host, tmp_path: Path) -> None:
    path, broken = tools(tmp_path, shutil.which("nft"))
    broken.touch()
    done = host.ustcp("up", "--detach", "--nat", PATH=path)
    assert (done.returncode, done.stderr) == (1, "ustcp: --nat: nft: broken\n")
    wait_until(lambda: is_clean(host) and not host.is_up())


def test_iptables_where_nft_does_not_work(host: Host, tmp_path: Path) -> None:
    path, broken = tools(tmp_path, shutil.which("nft"))
    (Path(path) / "iptables").symlink_to(shutil.which("iptables"))
    broken.touch()
    host.up("--nat", PATH=path)
    assert "-j MASQUERADE" in run(*host.net.command("iptables", "-t", "nat", "-S", "POSTROUTING"))
    assert host.ustcp("down", PATH=path).returncode == 0
    wait_until(lambda: not forwards(host))


def test_rules_that_cannot_be_removed_keep_no_forwarding_and_are_tried_again(host: Host, tmp_path: Path) -> None:
    path, broken = tools(tmp_path, shutil.which("nft"))
    host.up("--nat", PATH=path)
    broken.touch()
    os.kill(pid(host), signal.SIGKILL)
    host.wait_for_end()
    wait_until(lambda: not forwards(host))
    assert masquerades(host) and (host.directory / "engine/nat").exists()
    # What is switched on meanwhile is not ours any more.
    host.net.sysctl("net.ipv4.ip_forward", 1)
    assert host.ustcp("down").returncode == 0
    assert forwards(host) and not masquerades(host)


def test_forwarding_that_was_on_stays_on(host: Host) -> None:
    host.net.sysctl("net.ipv4.ip_forward", 1)
    host.up("--nat")
    host.ustcp("down")
    assert forwards(host) and not masquerades(host)


def test_the_last_of_two_switches_forwarding_off(host: Host) -> None:
    other = str(host.directory / "other")
    host.up("--nat")
    host.up("--nat", "--engine", other, "--tun", "ustcp1", "--address", "10.78.0.2/24")
    host.ustcp("down")
    assert forwards(host) and masquerades(host)
    host.ustcp("down", "--engine", other)
    assert is_clean(host)


def test_iptables_where_there_is_no_nft_and_words_where_there_is_neither(host: Host, internet: Namespace, tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in ("ip", "iptables"):
        (tools / tool).symlink_to(shutil.which(tool))
    host.up("--nat", PATH=str(tools))
    rules = ["iptables", "-t", "nat", "-S", "POSTROUTING"]
    assert "-j MASQUERADE" in run(*host.net.command(*rules))
    with Teller(internet, INTERNET):
        assert ask(host) == US
    assert host.ustcp("down", PATH=str(tools)).returncode == 0
    wait_until(lambda: not forwards(host))
    assert "-j MASQUERADE" not in run(*host.net.command(*rules))
    (tools / "iptables").unlink()
    done = host.ustcp("up", "--detach", "--nat", PATH=str(tools))
    assert (done.returncode, done.stderr) == (
        1,
        "ustcp: --nat needs nft or iptables, and neither is here: sudo apt-get install nftables\n",
    )
    wait_until(lambda: is_clean(host) and not host.is_up())


def test_a_stack_of_ipv6_alone_is_refused(host: Host) -> None:
    host.net.allow_ipv6()
    done = host.ustcp("up", "--detach", "--nat", "--address", "fd77::2/64")
    assert (done.returncode, done.stderr) == (1, "ustcp: --nat is for IPv4, and the stack has no address of it\n")
    wait_until(lambda: not host.is_up())
