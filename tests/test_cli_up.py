"""`ustcp up` and `ustcp down`: an engine's life, and what is said where it cannot begin."""

from __future__ import annotations

import os
import resource
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.command import ASK, Host, Teller, wait_until
from harness.netns import OURS, PEER

PYTHON = sys.executable


@pytest.fixture
def host(network: None, tmp_path: Path):
    with Host.alone("up", tmp_path) as host:
        yield host


def test_in_the_foreground_until_a_signal(host: Host) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        with host.popen("up") as engine:
            assert engine.stderr.readline() == f"ustcp: the engine {host.directory}/engine is up; Ctrl-C ends it\n"
            assert host.devices() == ["lo", "ustcp0"]
            engine.send_signal(number)
            assert engine.wait(30) == 0
            assert engine.stderr.read() == "" and engine.stdout.read() == ""
        assert host.devices() == ["lo"]
        assert not host.is_up()


@pytest.mark.parametrize("nat", [[], ["--nat"]], ids=["alone", "with-nat"])
def test_a_signal_that_was_ignored_at_its_start_does_not_end_it(host: Host, nat: list[str]) -> None:
    """As by nohup(1), and by a shell for what it starts in the background."""
    ignored = (signal.SIGHUP, signal.SIGINT)

    def ignore() -> None:
        for number in (*ignored, signal.SIGTERM):  # which ends it all the same
            signal.signal(number, signal.SIG_IGN)

    with host.popen("up", *nat, preexec_fn=ignore) as engine:
        assert engine.stderr.readline().endswith("is up; Ctrl-C ends it\n")
        for number in ignored:
            engine.send_signal(number)
        assert host.run("--", "true").returncode == 0
        engine.send_signal(signal.SIGTERM)
        assert engine.wait(30) == 0


def test_a_file_that_may_not_grow_ends_the_capture_alone(host: Host, tmp_path: Path) -> None:
    capture, limit = tmp_path / "capture.pcapng", 4096
    engine = host.popen("up", "--pcap", str(capture), preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
    try:
        assert "is up" in engine.stderr.readline()
        with Teller(host.net, PEER):
            while capture.stat().st_size < limit:
                assert host.run("--", PYTHON, "-c", ASK, PEER).stdout == f"{OURS}\n"
            assert engine.stderr.readline() == f"ustcp: {capture} ends here: File too large (os error 27)\n"
            assert host.run("--", PYTHON, "-c", ASK, PEER).stdout == f"{OURS}\n"
    finally:
        engine.terminate()
        engine.communicate(timeout=30)
    assert engine.returncode == 0


def test_an_engine_in_the_background_holds_no_directory_of_its_starter(host: Host, tmp_path: Path) -> None:
    done = host.popen("up", "--detach", "--pcap", "capture.pcapng", cwd=tmp_path)
    assert done.communicate(timeout=60) == ("", "")
    pid = int((host.directory / "engine/engine").read_text().split()[4])
    assert os.readlink(f"/proc/{pid}/cwd") == "/"
    assert host.ustcp("down").returncode == 0
    assert (tmp_path / "capture.pcapng").stat().st_size > 0


def test_an_engine_in_the_background_starts_where_children_are_not_waited_for(host: Host) -> None:
    with host.popen("up", "--detach", preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN)) as starter:
        assert starter.communicate(timeout=60) == ("", "") and starter.returncode == 0
    assert host.is_up()
    assert host.ustcp("down").returncode == 0


def test_in_the_background_it_is_ready_and_of_its_own_session(host: Host) -> None:
    done = host.ustcp("up", "--detach")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    pid = int((host.directory / "engine/engine").read_text().split()[4])
    assert os.getsid(pid) == pid or os.getsid(pid) != os.getsid(0)
    descriptors = {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in ("0", "1")}
    assert descriptors == {"/dev/null"}
    assert os.readlink(f"/proc/{pid}/fd/2") == str(host.directory / "engine/log")
    with Teller(host.net, PEER):
        assert host.run("--", PYTHON, "-c", ASK, PEER).stdout == f"{OURS}\n"
    done = host.ustcp("down")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert host.devices() == ["lo"] and not host.is_up()


def assert_refused(host: Host, told: str) -> None:
    """A second engine cannot be, in the foreground or behind."""
    for how in ([], ["--detach"]):
        done = host.ustcp("up", *how)
        assert (done.returncode, done.stdout, done.stderr) == (1, "", told)


def test_a_second_one_is_told_of_the_first(host: Host) -> None:
    host.up()
    pid = (host.directory / "engine/engine").read_text().split()[4]
    assert_refused(
        host,
        f"ustcp: the engine {host.directory}/engine is up already (pid {pid}); ustcp down --engine {host.directory}/engine "
        "ends it, --engine NAME starts another\n",
    )


def test_one_of_a_run_is_no_permanent_one(host: Host) -> None:
    hold = "import os; print('up', flush=True); os.read(0, 1)"
    with host.popen("run", "--", PYTHON, "-c", hold, stdin=subprocess.PIPE) as program:
        assert program.stdout.readline() == "up\n"
        pid = (host.directory / "engine/engine").read_text().split()[4]
        name = Path(f"/proc/{program.pid}/comm").read_text().strip()
        assert_refused(
            host,
            f"ustcp: the engine {host.directory}/engine (pid {pid}) is one that ustcp run has started, and ends by itself when "
            f"its programs and connections are gone: {name} (pid {program.pid}); ustcp down --engine {host.directory}/engine "
            "--now ends it at once, --engine NAME starts another\n",
        )
        program.stdin.close()


def test_one_of_a_run_that_lingers_for_time_wait_makes_way(host: Host) -> None:
    with Teller(host.net, "0.0.0.0"):
        assert host.run("--time-wait", "600", "--", PYTHON, "-c", ASK, PEER).stdout == f"{OURS}\n"
    pid = (host.directory / "engine/engine").read_text().split()[4]
    wait_until(lambda: "TIME-WAIT" in host.ustcp("ss", "-tan").stdout)
    host.up("--mtu", "1400")
    assert (host.directory / "engine/engine").read_text().split()[4] != pid
    assert host.ustcp("down").returncode == 0
    assert os.listdir(host.directory / "engine") == []


def test_one_of_a_run_that_lingers_for_time_wait_makes_way_for_a_run_with_other_options(host: Host) -> None:
    with Teller(host.net, "0.0.0.0"):
        for seconds in ("600", "500"):
            done = host.run("--time-wait", seconds, "--", PYTHON, "-c", ASK, PEER)
            assert (done.returncode, done.stdout, done.stderr) == (0, f"{OURS}\n", "")
        # With the same ones, or none, it is joined.
        for options in (["--time-wait", "500"], []):
            pid = (host.directory / "engine/engine").read_text().split()[4]
            assert host.run(*options, "--", "true").returncode == 0
            assert (host.directory / "engine/engine").read_text().split()[4] == pid
        # For one that cannot be it stays.
        done = host.run("--pcap", "/nonexistent/file", "--", "true")
        assert done.returncode == 125 and "/nonexistent/file" in done.stderr
        assert "TIME-WAIT" in host.ustcp("ss", "-tan").stdout
    assert host.ustcp("down", "--now").returncode == 0


def test_one_of_a_run_that_is_used_makes_no_way_for_a_run_with_other_options(host: Host) -> None:
    hold = "import os; print('up', flush=True); os.read(0, 1)"
    with host.popen("run", "--", PYTHON, "-c", hold, stdin=subprocess.PIPE) as program:
        assert program.stdout.readline() == "up\n"
        done = host.run("--time-wait", "7", "--", "true")
        assert done.returncode == 125 and "runs with --time-wait 0.1, not 7: end it" in done.stderr
        program.stdin.close()


def test_one_of_a_run_that_is_just_ending_is_waited_for(host: Host) -> None:
    for _ in range(15):
        assert host.run("--", "true").returncode == 0
        host.up()
        assert host.ustcp("down").returncode == 0


@pytest.mark.parametrize("how", [[], ["--detach"]], ids=["in the foreground", "in the background"])
def test_it_does_not_make_way_for_one_that_cannot_be(host: Host, how: list[str]) -> None:
    with Teller(host.net, "0.0.0.0"):
        assert host.run("--time-wait", "600", "--", PYTHON, "-c", ASK, PEER).stdout == f"{OURS}\n"
    wait_until(lambda: "TIME-WAIT" in host.ustcp("ss", "-tan").stdout)
    done = host.ustcp("up", *how, "--pcap", "/nonexistent/file")
    assert done.returncode == 2 and "/nonexistent/file" in done.stderr
    assert "TIME-WAIT" in host.ustcp("ss", "-tan").stdout
    assert host.ustcp("down", "--now").returncode == 0


def test_whoever_keeps_one_of_a_run_is_named(host: Host) -> None:
    """A process that its program has left behind, and one that has a socket of it by another way."""
    script = """
import os, socket, subprocess, sys
held = socket.create_server(('10.77.0.2', 8080))
taken = subprocess.Popen(['env', '-u', 'USTCP_TOKEN', 'sleep', '600'], pass_fds=[held.fileno()])
left = subprocess.Popen(['tail', '-f', '/dev/null'])
print(taken.pid, left.pid, flush=True)
"""
    done = host.popen("run", "--", PYTHON, "-c", script)
    taken, left = map(int, done.stdout.readline().split())
    try:
        assert done.wait(60) == 0
        wait_until(lambda: Path(f"/proc/{taken}/comm").read_text() == "sleep\n")  # and env no more
        refused = host.ustcp("up")
        assert refused.returncode == 1
        assert f" connections are gone: sleep (pid {taken}), tail (pid {left}); ustcp down " in refused.stderr, refused.stderr
    finally:
        for pid in (taken, left):
            os.kill(pid, signal.SIGKILL)
        done.communicate()
    host.wait_for_end()


def test_a_log_without_a_word_goes_with_its_engine(host: Host) -> None:
    log = host.directory / "engine/log"
    host.up()
    assert log.exists()
    assert host.ustcp("down").returncode == 0
    assert not log.exists()
    # One that has something to say is kept, and so is that of one that was killed.
    host.up(USTCP_PCAP="/nonexistent/packets")
    said = log.read_text()
    assert host.ustcp("down").returncode == 0
    assert said and log.read_text() == said
    log.unlink()
    host.up()
    os.kill(int((host.directory / "engine/engine").read_text().split()[4]), signal.SIGKILL)
    host.wait_for_end()
    assert log.exists()


def test_what_an_engine_says_is_in_the_log_that_is_there(host: Host, tmp_path: Path) -> None:
    """The one that it was started with has been taken away by another that ended just then."""
    directory, taken = host.directory / "engine", tmp_path / "taken"
    with taken.open("w") as stderr, host.popen("up", "--report", "--engine", str(directory), stderr=stderr) as engine:
        taken.unlink()
        assert engine.stdout.readline() == "ready\n"
        assert os.readlink(f"/proc/{engine.pid}/fd/2") == str(directory / "log")
        # Its last word too, which comes when an empty log has gone.
        host.net.ip("link", "del", "ustcp0")
        assert engine.wait(30) == 1
    assert "its device is gone" in (directory / "log").read_text()


def test_ps_shows_what_it_is_and_which(host: Host) -> None:
    host.up()
    pid = (host.directory / "engine/engine").read_text().split()[4]
    assert Path(f"/proc/{pid}/comm").read_text() == "ustcp\n"
    words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    assert words[:2] == ["ustcp", "up"] and words[words.index("--engine") + 1] == f"{host.directory}/engine"


def test_two_engines_side_by_side(host: Host) -> None:
    host.up()
    other = str(host.directory / "other")
    clash = host.ustcp("up", "--detach", "--engine", other)
    pid = (host.directory / "engine/engine").read_text().split()[4]
    assert (clash.returncode, clash.stderr) == (
        1,
        f"ustcp: ustcp0 is in use by the engine {host.directory}/engine (pid {pid}): ustcp down --engine "
        f"{host.directory}/engine ends it, or name another device by --tun\n",
    )
    host.up("--engine", other, "--tun", "ustcp1", "--address", "10.78.0.2/24")
    with Teller(host.net, "0.0.0.0"):
        assert host.run("--", PYTHON, "-c", ASK, PEER).stdout == f"{OURS}\n"
        assert host.run("--engine", other, "--", PYTHON, "-c", ASK, "10.78.0.1").stdout == "10.78.0.2\n"
    assert host.ustcp("down", "--engine", other).returncode == 0
    assert host.is_up()


def test_options_that_a_running_engine_does_not_have_are_an_error(host: Host) -> None:
    host.up("--mtu", "1400")
    pid = (host.directory / "engine/engine").read_text().split()[4]
    done = host.run("--mtu", "1400", "--time-wait", "0.10", "--", "true")
    assert done.returncode == 0, done.stderr
    done = host.run("--mtu", "9000", "--", "true")
    assert (done.returncode, done.stderr) == (
        125,
        f"ustcp: the engine {host.directory}/engine (pid {pid}) runs with --mtu 1400, not 9000: end it (ustcp down --engine "
        f"{host.directory}/engine), or name another (--engine NAME)\n",
    )


def test_what_an_option_may_not_say(host: Host) -> None:
    for option, value, allowed in [
        ("--mtu", "100", "128 to 65535 bytes"),
        ("--time-wait", "soon", "0 to 3600 seconds, fractions allowed"),
        ("--offload", "maybe", "auto, on or off"),
    ]:
        for command in (["up"], ["run", "--", "true"]):
            done = host.ustcp(command[0], option, value, *command[1:])
            assert done.returncode == 2
            assert f"invalid value '{value}' for '{option}" in done.stderr and allowed in done.stderr


def test_a_variable_whose_name_is_nearly_ours_is_told(host: Host) -> None:
    told = "ustcp: USTCP_ADRESS means nothing to ustcp; is USTCP_ADDRESS meant?\n"
    done = host.ustcp("up", "--detach", USTCP_ADRESS="10.9.0.2/24", USTCP_TEST="1")
    assert (done.returncode, done.stderr) == (0, told)
    done = host.ustcp("run", "--", "true", USTCP_ADRESS="10.9.0.2/24")
    assert (done.returncode, done.stderr) == (0, told)


def test_a_variable_that_is_ignored_is_told_once(host: Host) -> None:
    told = "ustcp: USTCP_MTU=9 is malformed: 128 to 65535 bytes; it is ignored\n"
    for command in (["run", "--", "true"], ["up", "--detach"]):
        done = host.ustcp(*command, USTCP_MTU="9")
        assert (done.returncode, done.stderr) == (0, told)
        host.ustcp("down", "--now")


def test_down_waits_for_programs_and_now_does_not(host: Host) -> None:
    hold = "import socket, os; s = socket.create_connection(('10.77.0.1', 80)); print('up', flush=True); os.read(0, 1)"
    for now in (False, True):
        host.up()
        with Teller(host.net, PEER), host.popen("run", "--", PYTHON, "-c", hold, stdin=subprocess.PIPE) as program:
            assert program.stdout.readline() == "up\n"
            with host.popen("down", *(["--now"] if now else [])) as down:
                if not now:
                    # It is no longer found, but is there.
                    wait_until(lambda: not (host.directory / "engine/engine").exists())
                    assert down.poll() is None and host.is_up()
                    program.stdin.close()
                assert down.wait(30) == 0, down.stderr.read()
            assert not host.is_up()
            program.stdin.close()


def test_an_engine_that_is_ending_is_still_reached(host: Host) -> None:
    host.up()
    pid = (host.directory / "engine/engine").read_text().split()[4]
    hold = "import socket, os; s = socket.create_connection(('10.77.0.1', 80)); l = socket.create_server(('10.77.0.2', 8080)); \
print('up', flush=True); os.read(0, 1)"
    with Teller(host.net, PEER), host.popen("run", "--", PYTHON, "-c", hold, stdin=subprocess.PIPE) as program:
        assert program.stdout.readline() == "up\n"
        with host.popen("down") as down, ended_after(program):
            assert next_line(down) == (
                f"ustcp: waiting for 1 listener, 1 connection; ustcp down --engine {host.directory}/engine --now ends them\n"
            )
            ending = (
                f"the engine {host.directory}/engine (pid {pid}) is ending, and waits for its connections; ustcp down --engine "
                f"{host.directory}/engine --now ends it at once\n"
            )
            shown = host.ustcp("ss", "-tan")
            assert shown.returncode == 0 and "10.77.0.1:80" in shown.stdout, shown
            for how in ([], ["--detach"]):
                done = host.ustcp("up", *how)
                assert (done.returncode, done.stdout, done.stderr) == (1, "", f"ustcp: {ending}")
            with host.popen("run", "--", "true") as late, ended_after(program):
                assert next_line(late) == f"ustcp: waiting: {ending}"
                done = host.ustcp("down", "--now")
                assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
                assert late.wait(30) == 0
            assert down.wait(30) == 0


@contextmanager
def a_peer_that_does_not_close(host: Host) -> Iterator[socket.socket]:
    """Its program has ended: what waits for the end of all connections waits for this peer."""
    with host.net.inside(lambda: socket.create_server((PEER, 80))) as listener:
        connect = f"import socket; socket.create_connection(('{PEER}', 80))"
        assert host.run("--", PYTHON, "-c", connect).returncode == 0
        listener.settimeout(20)
        with listener.accept()[0] as peer:
            yield peer


def test_a_run_that_finds_one_as_it_closes_waits_for_its_end(host: Host) -> None:
    """It has read the file just before that was taken away."""
    host.up(USTCP_EXIT_WAIT="closed")
    file = host.directory / "engine/engine"
    found = file.read_bytes()
    with a_peer_that_does_not_close(host) as peer, host.popen("down", "--now") as down:
        wait_until(lambda: not file.exists())
        file.touch(0o600)
        file.write_bytes(found)
        with host.popen("run", "--", "true") as run:
            assert "waiting: " in next_line(run)
            peer.close()
            assert (run.wait(30), down.wait(30)) == (0, 0), run.stderr.read()
    host.wait_for_end()


def test_a_second_down_waits_with_the_first(host: Host) -> None:
    """With what is closing: an engine that waits for its peers hears nobody."""
    host.up(USTCP_EXIT_WAIT="closed")
    with a_peer_that_does_not_close(host) as peer, host.popen("down", "--now") as first:
        wait_until(lambda: (host.directory / "engine/ending").exists())
        with host.popen("down", "--now") as second:
            wait_until(lambda: looks_at_a_process(second.pid))
            assert first.poll() is None
            peer.close()
            assert (second.wait(30), second.stderr.read()) == (0, "")
            assert first.wait(30) == 0
    assert not host.is_up()


def looks_at_a_process(pid: int) -> bool:
    """By a pidfd: when that one ends, this one knows."""
    try:
        return any("pidfd" in os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir())
    except FileNotFoundError:  # one that it has just closed
        return False


def next_line(process: subprocess.Popen) -> str:
    """Of its standard error, which may never come."""
    readable, _, _ = select.select([process.stderr], [], [], 20)
    assert readable, "it says nothing"
    return process.stderr.readline()


@contextmanager
def ended_after(program: subprocess.Popen) -> Iterator[None]:
    """Has the program end, whatever happened: what waits for its connections would wait for ever."""
    try:
        yield
    finally:
        program.stdin.close()


def test_a_directory_that_cannot_be_made_is_named_once(host: Host) -> None:
    for command in (["up"], ["up", "--detach"], ["run", "--", "true"]):
        done = host.ustcp(command[0], "--engine", "/nonexistent/engine", *command[1:])
        assert done.stderr == "ustcp: /nonexistent/engine: No such file or directory (os error 2)\n"


def test_down_where_nobody_is(host: Host) -> None:
    done = host.ustcp("down")
    assert (done.returncode, done.stderr) == (1, f"ustcp: no engine runs in {host.directory}/engine\n")


def test_after_one_that_was_killed_another_takes_its_place(host: Host) -> None:
    host.up()
    os.kill(int((host.directory / "engine/engine").read_text().split()[4]), signal.SIGKILL)
    host.wait_for_end()
    assert host.ustcp("down").returncode == 1
    host.up()
    assert host.ustcp("ss", "-a").returncode == 0


@pytest.mark.parametrize("options", [["--detach"], ["--detach", "--nat"], ["--nat"]], ids=" ".join)
def test_a_failure_in_the_background_is_told_in_the_foreground(host: Host, options: list[str]) -> None:
    host.net.ip("tuntap", "add", "dev", "ustcp0", "mode", "tap")
    done = host.ustcp("up", *options)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1), done.stderr
    assert "ustcp0 is not a TUN device" in done.stderr


def test_captures_and_logs_are_where_they_were_named(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    host.up("--pcap", "packets", "--log", "events")
    with Teller(host.net, PEER):
        host.run("--", PYTHON, "-c", ASK, PEER)
    host.ustcp("down")
    for name in ("packets", "events"):
        assert (tmp_path / name).stat().st_size > 0


def test_a_file_that_cannot_be_written_is_told_before_anything_starts(host: Host, tmp_path: Path) -> None:
    for option, file, why in (
        ("--pcap", tmp_path / "none/packets", "No such file or directory"),
        ("--log", tmp_path, "Is a directory"),
    ):
        for words, status in ((("up",), 2), (("up", "--detach"), 2), (("run", "--", "true"), 125)):
            done = host.ustcp(words[0], f"{option}={file}", *words[1:])
            assert (done.returncode, done.stdout) == (status, "")
            assert done.stderr.startswith(f"ustcp: {option}={file}: {why}") and done.stderr.count("\n") == 1, done.stderr
            assert host.devices() == ["lo"] and not host.is_up()


def test_a_file_of_the_environment_that_cannot_be_written_is_done_without(host: Host, tmp_path: Path) -> None:
    host.up(USTCP_PCAP=f"{tmp_path}/none/packets")
    assert f"no capture: {tmp_path}/none/packets: No such file or directory" in (host.directory / "engine/log").read_text()


def test_ss_shows_who_holds_what(host: Host) -> None:
    host.up()
    program = "import socket, os; l = socket.create_server(('10.77.0.2', 8080), backlog=9); \
s = socket.create_connection(('10.77.0.1', 80)); s.recv(9); print('up', flush=True); os.read(0, 1)"
    with Teller(host.net, PEER), host.popen("run", "--", PYTHON, "-c", program, stdin=subprocess.PIPE) as child:
        assert child.stdout.readline() == "up\n"
        shown = host.ustcp("ss", "-tanpi").stdout.splitlines()
        name = Path(f"/proc/{child.pid}/comm").read_text().strip()
        child.stdin.close()
    listener, connection, detail = shown[1].split(), shown[3].split(), shown[4].split()
    if listener[0] != "LISTEN":
        listener, connection, detail = shown[3].split(), shown[1].split(), shown[2].split()
    assert listener[:5] == ["LISTEN", "0", "9", f"{OURS}:8080", "0.0.0.0:*"]
    assert connection[:3] == ["ESTAB", "0", "0"] and connection[4] == f"{PEER}:80"
    for row in (listener, connection):
        assert row[5].startswith(f'users:(("{name}",pid={child.pid},fd='), shown
    assert "cubic" in detail and "bytes_received:10" in detail
