"""`ustcp run`: the program is as it would be without it, and its TCP is ours."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from conftest import BUILD
from harness.command import ASK, ROOT, USTCP, Host, Teller, read_until, wait_until
from harness.netns import OURS, PEER
from harness.shim import PRELOAD

PYTHON = sys.executable
# In the program's place, and as its parent.
WAYS = pytest.mark.parametrize("way", [[], ["--strict"]], ids=["in place", "watched"])


@pytest.fixture
def host(network: None, tmp_path: Path):
    with Host.alone("run", tmp_path) as host:
        yield host


@pytest.fixture
def up(host: Host) -> Host:
    host.up()
    return host


@WAYS
def test_the_program_is_on_our_tcp_and_so_are_its_children(up: Host, way: list[str]) -> None:
    with Teller(up.net, PEER):
        done = up.run(*way, "--", PYTHON, "-c", ASK, PEER)
        assert (done.returncode, done.stdout) == (0, f"{OURS}\n"), done.stderr
        done = up.run(*way, "--", "sh", "-c", f"{PYTHON} -c '{ASK}' {PEER}; exit 7")
        assert (done.returncode, done.stdout) == (7, f"{OURS}\n"), done.stderr
        # Nor would there be anything else: without the library it is the kernel's.
        done = up.run(*way, "--", "env", "-u", "LD_PRELOAD", PYTHON, "-c", ASK, PEER)
        assert (done.returncode, done.stdout) == (0, f"{PEER}\n"), done.stderr


STARTS = (PYTHON, str(ROOT / "tests/preload/starts.py"))
# What tests/preload/starts.py has.
FUNCTIONS = [
    "execve", "execv", "execvp", "execvpe", "execl", "execle", "execlp", "found", "fexecve", "fexecve of a path", "execveat",
    "execveat of a descriptor", "posix_spawn", "posix_spawnp",
]  # fmt: skip


@pytest.mark.parametrize("how", FUNCTIONS)
def test_a_child_without_an_environment_is_on_our_tcp(up: Host, how: str) -> None:
    with Teller(up.net, PEER):
        # As few words as registers hold, and more.
        for options in ((), ("-E", "-B", "-u", "-s", "-I")):
            done = up.run("--", *STARTS, how, PYTHON, *options, "-c", ASK, PEER)
            assert (done.returncode, done.stdout) == (0, f"{OURS}\n"), done.stderr
        # Outside of a run nothing is put in.
        done = up.net.inside(lambda: subprocess.run([*STARTS, how, "/usr/bin/env"], env=preloaded(up), capture_output=True, text=True))
        assert (done.returncode, done.stdout) == (0, "PATH=/usr/bin\n" if how == "found" else ""), done.stderr


def preloaded(host: Host) -> dict[str, str]:
    """The environment of a program that has the library, and no run."""
    return {**os.environ, **host.environment, "LD_PRELOAD": str(PRELOAD)}


@pytest.mark.parametrize("how", ["execve", "execvp"])
def test_a_program_is_started_by_a_handler_on_a_small_stack(up: Host, how: str) -> None:
    with Teller(up.net, PEER):
        done = up.run("--", str(BUILD / "preload/frugal"), how, PYTHON, "-c", ASK, PEER)
        assert (done.returncode, done.stdout) == (0, f"{OURS}\n"), done.stderr


def test_a_child_of_vfork_with_an_environment_of_its_own_is_on_our_tcp(up: Host) -> None:
    script = f"import subprocess, sys; subprocess.run([{PYTHON!r}, '-c', *sys.argv[1:]], env={{'OTHER': '1'}}, check=True)"
    with Teller(up.net, PEER):
        done = up.run("--", PYTHON, "-c", script, ASK, PEER)
        assert (done.returncode, done.stdout) == (0, f"{OURS}\n"), done.stderr


def test_what_cannot_be_started_fails_as_without_us(up: Host, tmp_path: Path) -> None:
    denied = tmp_path / "denied"
    denied.write_text("")
    for how in FUNCTIONS:
        for path in (denied, tmp_path) if how.startswith("fexecve") or "descriptor" in how else (denied, tmp_path / "none"):
            words = [*STARTS, how, str(path)]
            ours = up.run("--", *words)
            theirs = subprocess.run(words, capture_output=True, text=True)
            assert (ours.returncode, ours.stderr) == (theirs.returncode, theirs.stderr), (how, path)
            assert ours.returncode == 1


def test_another_library_is_asked_first_and_passes_on_to_ours(up: Host) -> None:
    """One of the program's own, and one of a child's: it is there to stand before what it passes on to, as a SOCKS client is."""
    front = str(BUILD / "preload/front.so")
    with Teller(up.net, PEER):
        for way, more in (
            ([], {"LD_PRELOAD": front}),
            (["env", f"LD_PRELOAD={front}"], {}),
            (["env", "-i", f"LD_PRELOAD={front}"], {}),
            (["env", f"LD_PRELOAD={front}"], {"LD_PRELOAD": "libm.so.6"}),
        ):
            done = up.run("--", *way, PYTHON, "-c", ASK, PEER, **more)
            assert (done.returncode, done.stdout, done.stderr) == (0, f"{OURS}\n", "connects\n"), way
        # An empty one is meant.
        done = up.run("--", "env", "LD_PRELOAD=", PYTHON, "-c", ASK, PEER)
        assert (done.returncode, done.stdout) == (0, f"{PEER}\n"), done.stderr


@pytest.mark.parametrize("child", [[], ["env", "-i"]], ids=["the program", "a child"])
def test_a_program_that_looks_after_its_addresses_has_its_library_first(up: Host, tmp_path: Path, child: list[str]) -> None:
    """AddressSanitizer ends who preloads another before its own."""
    program = tmp_path / "program"
    source = '#include <stdio.h>\nint main(void) { puts("runs"); return 0; }'
    subprocess.run(["cc", "-fsanitize=address", "-x", "c", "-", "-o", program], input=source, text=True, check=True, timeout=60)
    library = subprocess.run(["cc", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True, timeout=60)
    word = f"LD_PRELOAD={os.path.realpath(library.stdout.strip())}"
    words = ["env", word, str(USTCP), "run", "--"] if not child else [str(USTCP), "run", "--", *child, word]
    ours = {**os.environ, **up.environment}
    done = up.net.inside(lambda: subprocess.run([*words, str(program)], env=ours, capture_output=True, text=True, timeout=60))
    assert (done.returncode, done.stdout) == (0, "runs\n"), done.stderr


def test_a_run_within_a_run_names_the_library_once(up: Host) -> None:
    done = up.run("--", "env", "LD_PRELOAD=libm.so.6", USTCP, "run", "--", "sh", "-c", "echo $LD_PRELOAD")
    names = [Path(name).name for name in done.stdout.strip().split(":")]
    assert names == ["libm.so.6", "libustcp_preload.so"], done.stderr


@WAYS
def test_the_status_is_the_programs(up: Host, way: list[str]) -> None:
    def status(*program: str) -> int:
        # As a shell sees it.
        words = [USTCP, "run", *way, "--", *program]
        command = up.net.command("sh", "-c", '"$@"; echo $?', "sh", *words)
        done = subprocess.run(command, env={**os.environ, **up.environment}, capture_output=True, text=True, timeout=60)
        return int(done.stdout.splitlines()[-1])

    assert status("true") == 0
    assert status("sh", "-c", "exit 42") == 42
    assert status("sh", "-c", "kill -KILL $$") == 128 + signal.SIGKILL
    assert status("sh", "-c", "kill -TERM $$") == 128 + signal.SIGTERM
    if not way:
        assert status("/nonexistent/program") == 127
        assert status("nonexistent-program") == 127
        assert status("/etc/passwd") == 126


def test_a_program_that_cannot_be_run_says_why(up: Host, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/nonexistent/interpreter\n")
    script.chmod(0o755)
    for program, status, why in [
        ("nonexistent-program", 127, "not found in PATH"),
        ("/nonexistent/program", 127, "No such file"),
        ("/etc/passwd", 126, "Permission denied"),
        (str(script), 126, "its interpreter is not there"),
    ]:
        done = up.run("--", program)
        assert (done.returncode, done.stderr.count("\n")) == (status, 1), done.stderr
        assert done.stderr.startswith(f"ustcp: cannot run {program}: {why}"), done.stderr


@WAYS
def test_the_program_is_the_first_word_that_is_no_option(up: Host, way: list[str]) -> None:
    """As it is for env, sudo and strace; and all that follows is the program's."""
    words = ["%s ", "--", "--nat", "-h", "--engine=none"]
    for before in ([], ["--"]):
        done = up.run(*way, *before, "printf", *words)
        assert (done.returncode, done.stdout) == (0, "-- --nat -h --engine=none "), done.stderr
    done = up.run(*way, "--no-such-option", "true")
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    # Two dashes that are meant stay: the first end our options.
    assert up.run(*way, "--", "--", "true").returncode == (125 if way else 127)


def test_in_its_place_it_has_nothing_that_it_would_not_have(up: Host) -> None:
    """Process id, children, descriptors, signals: as without us."""
    look = """
import os, re
status = open('/proc/self/status').read()
print(os.getpid(), sorted(os.listdir('/proc/self/fd')), re.findall(r'Sig(?:Blk|Ign|Cgt):.*', status), os.getsid(0), os.getpgrp())
try:
    print(os.wait())
except ChildProcessError:
    print('no child')
"""
    start = "import signal, os, sys; signal.signal(signal.SIGINT, signal.SIG_IGN); \
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1]); os.execvp(sys.argv[1], sys.argv[1:])"

    def seen(*before: str) -> list[str]:
        command = up.net.command(PYTHON, "-c", start, *before, PYTHON, "-c", look)
        child = subprocess.Popen(command, env={**os.environ, **up.environment}, stdout=subprocess.PIPE, text=True)
        out = child.communicate(timeout=60)[0].splitlines()
        return [out[0].removeprefix(f"{child.pid} "), *out[1:]]

    assert seen(USTCP, "run", "--") == seen()


@WAYS
def test_what_is_ignored_and_closed_from_the_start_stays_so(up: Host, way: list[str]) -> None:
    """An ignored SIGCHLD leaves no child to wait for, an ignored SIGPIPE and closed descriptors are mended by Rust's runtime."""
    start = "import os, signal, sys; os.close(0); \
[signal.signal(each, signal.SIG_IGN) for each in (signal.SIGCHLD, signal.SIGPIPE, signal.SIGHUP)]; os.execvp(sys.argv[1], sys.argv[1:])"
    look = 'grep -E "Sig(Blk|Ign|Cgt)" /proc/self/status; ls -l /proc/self/fd/0 2> /dev/null | grep null; exit 3'

    def seen(*before: str) -> tuple[int, str, str]:
        command = up.net.command(PYTHON, "-c", start, *before, "sh", "-c", look)
        done = subprocess.run(command, env={**os.environ, **up.environment}, capture_output=True, text=True, timeout=60, check=False)
        return done.returncode, done.stdout, done.stderr

    assert seen(USTCP, "run", *way, "--") == seen()


def test_the_end_of_its_output_is_seen_while_it_goes_on(up: Host) -> None:
    """Nobody of ours holds the program's descriptors: whoever waits for its output to end waits for it alone."""
    child = up.popen("run", "--", PYTHON, "-c", "import os, time; os.close(1); os.close(2); os.read(0, 1)", stdin=subprocess.PIPE)
    with child:
        assert child.stdout.read() == "" and child.stderr.read() == ""
        assert child.poll() is None
        child.stdin.close()
    assert child.returncode == 0


def test_standard_input_is_the_programs(up: Host) -> None:
    for way in ([], ["--strict"]):
        child = up.popen("run", *way, "--", "cat", stdin=subprocess.PIPE)
        assert child.communicate("one\ntwo\n", timeout=60)[0] == "one\ntwo\n"


TRAPS = """
import os, signal, sys
def told(number, frame):
    os.write(1, (signal.Signals(number).name + '\\n').encode())
    if number == signal.SIGTERM:
        sys.exit(5)
for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGINT, signal.SIGRTMIN, signal.SIGCONT):
    signal.signal(number, told)
# A signal between two looks is in the pipe; signal.pause() would sleep over it.
looks, wakes = os.pipe()
os.set_blocking(wakes, False)
signal.set_wakeup_fd(wakes)
print('ready', flush=True)
while True:
    os.read(looks, 1)
"""


@WAYS
def test_signals_are_the_programs(up: Host, way: list[str]) -> None:
    with up.popen("run", *way, "--", PYTHON, "-c", TRAPS) as child:
        assert child.stdout.readline() == "ready\n"
        for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGINT, signal.SIGRTMIN, signal.SIGTERM):
            child.send_signal(number)
            assert child.stdout.readline() == f"{signal.Signals(number).name}\n"
    assert child.returncode == 5, child.stderr


@WAYS
def test_whoever_stops_us_stops_the_program(up: Host, way: list[str]) -> None:
    with up.popen("run", *way, "--", PYTHON, "-c", TRAPS, process_group=0) as child:
        assert child.stdout.readline() == "ready\n"
        child.send_signal(signal.SIGTSTP)
        assert os.WIFSTOPPED(os.waitpid(child.pid, os.WUNTRACED)[1])
        child.send_signal(signal.SIGCONT)
        assert child.stdout.readline() == "SIGCONT\n"
        child.send_signal(signal.SIGTERM)
        assert child.stdout.read() == "SIGTERM\n"
    assert child.returncode == 5


@pytest.mark.parametrize(
    ("way", "program"),
    [
        ([], TRAPS),
        (["--strict"], TRAPS),
        # timeout(1) makes itself a group of its own, and whoever interrupts what is in the foreground means it too.
        (["--strict"], "import os; os.setpgid(0, 0)\n" + TRAPS),
    ],
    ids=["in place", "watched", "watched, with a group of its own"],
)
def test_a_signal_for_the_whole_group_comes_once(up: Host, way: list[str], program: str) -> None:
    with up.popen("run", *way, "--", PYTHON, "-c", program, process_group=0) as child:
        assert child.stdout.readline() == "ready\n"
        for number in (signal.SIGUSR1, signal.SIGHUP, signal.SIGUSR1):
            os.killpg(child.pid, number)
            assert child.stdout.readline() == f"{signal.Signals(number).name}\n"
        os.killpg(child.pid, signal.SIGTERM)
        assert child.stdout.read() == "SIGTERM\n"
    assert child.returncode == 5


@WAYS
def test_signals_for_the_whole_group_that_come_together_come_once(up: Host, way: list[str]) -> None:
    together = [signal.SIGHUP, signal.SIGINT, signal.SIGUSR1]
    with up.popen("run", *way, "--", PYTHON, "-c", TRAPS, process_group=0) as child:
        assert child.stdout.readline() == "ready\n"
        for _ in range(3):
            for number in together:
                os.killpg(child.pid, number)
            assert sorted(child.stdout.readline() for _ in together) == [f"{number.name}\n" for number in together]
        os.killpg(child.pid, signal.SIGTERM)
        assert child.stdout.read() == "SIGTERM\n"
    assert child.returncode == 5


def test_a_signal_for_the_process_beside_us_is_the_programs_too(up: Host) -> None:
    """Who looks for `ustcp run` may find that one."""
    with up.popen("run", "--strict", "--", PYTHON, "-c", TRAPS) as child:
        assert child.stdout.readline() == "ready\n"
        for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGTERM):
            beside = witness_of(child.pid)
            assert Path(f"/proc/{beside}/comm").read_text() == "witness\n"
            os.kill(beside, number)
            assert child.stdout.readline() == f"{number.name}\n"
            if number != signal.SIGTERM:
                child.send_signal(number)  # and none that comes later is hidden by it
                assert child.stdout.readline() == f"{number.name}\n"
    assert child.returncode == 5


def test_a_signal_for_the_whole_group_comes_once_on_a_machine_that_stands_still(up: Host) -> None:
    """As long as the one beside us takes to see that nobody asks it."""
    with up.popen("run", "--strict", "--", PYTHON, "-c", TRAPS, process_group=0) as child:
        assert child.stdout.readline() == "ready\n"
        beside = witness_of(child.pid)
        child.send_signal(signal.SIGSTOP)
        os.killpg(child.pid, signal.SIGHUP)
        assert child.stdout.readline() == "SIGHUP\n"
        os.kill(beside, signal.SIGUSR1)
        wait_until(lambda: signal.SIGUSR1 in signals(child.pid, "ShdPnd"))  # it has looked, at the one before too
        child.send_signal(signal.SIGCONT)
        assert child.stdout.readline() == "SIGUSR1\n"
        os.killpg(child.pid, signal.SIGTERM)
        assert child.stdout.read() == "SIGTERM\n"
    assert child.returncode == 5


def signals(pid: int, which: str) -> set[int]:
    """A mask of proc(5): ShdPnd, those that are pending for the process; SigBlk, those that its first thread holds."""
    [mask] = re.findall(rf"{which}:\s*(\w+)", Path(f"/proc/{pid}/status").read_text())
    return {number for number in range(1, 65) if int(mask, 16) >> (number - 1) & 1}


def witness_of(pid: int) -> int:
    children = map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
    [witness] = [child for child in children if b"--strict" in Path(f"/proc/{child}/cmdline").read_bytes()]
    return witness


def test_whoever_kills_us_kills_the_program(up: Host) -> None:
    with up.popen("run", "--strict", "--", PYTHON, "-c", "import os; print(os.getpid(), flush=True); os.read(0, 1)", stdin=subprocess.PIPE) as child:
        program = int(child.stdout.readline())
        child.kill()
        child.wait(20)
        wait_until(lambda: not Path(f"/proc/{program}").exists() or state_of(program) == "Z")


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]


class Terminal:
    """An interactive shell on a terminal of its own: job control is its business."""

    def __init__(self, host: Host) -> None:
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            command = host.net.command("bash", "--norc", "--noprofile", "-i")
            os.execvpe(command[0], command, {**os.environ, **host.environment, "PS1": "", "HISTFILE": "/dev/null"})
        settings = termios.tcgetattr(self.fd)
        settings[3] &= ~termios.ECHO
        termios.tcsetattr(self.fd, termios.TCSANOW, settings)
        self._text = b""

    def expect(self, word: str) -> str:
        """What was written before `word`."""
        deadline = time.monotonic() + 60
        while word.encode() not in self._text:
            ready, _, _ = select.select([self.fd], [], [], max(deadline - time.monotonic(), 0))
            assert ready, f"no {word!r} in {self._text!r}"
            self._text += os.read(self.fd, 4096)
        before, _, self._text = self._text.partition(word.encode())
        return before.decode()

    def type(self, text: str) -> None:
        os.write(self.fd, text.encode())

    def close(self) -> None:
        os.close(self.fd)  # hangs up: the shell ends, and its jobs
        os.waitpid(self.pid, 0)


@contextmanager
def traps_on_a_terminal(up: Host, way: list[str], directory: Path) -> Iterator[Terminal]:
    """The program that tells its signals, in the foreground; the shell goes with it, whatever happened."""
    program = directory / "traps.py"
    program.write_text(TRAPS)
    terminal = Terminal(up)
    try:
        terminal.type(" ".join([USTCP, "run", *way, "--", PYTHON, str(program), "\n"]))
        terminal.expect("ready")
        yield terminal
    finally:
        terminal.close()


@WAYS
def test_job_control_is_as_without_us(up: Host, way: list[str], tmp_path: Path) -> None:
    with traps_on_a_terminal(up, way, tmp_path) as terminal:
        terminal.type("\x03")
        terminal.expect("SIGINT")
        terminal.type("\x1a")
        terminal.expect("Stopped")
        terminal.type("fg\n")
        between = terminal.expect("SIGCONT")
        assert "SIGINT" not in between
        terminal.type("\x03")
        assert "SIG" not in terminal.expect("SIGINT")  # each once
        terminal.type("\x1a")
        terminal.expect("Stopped")
        terminal.type("bg\n")
        terminal.expect("SIGCONT")
        terminal.type("kill %1; wait %1; echo ended=$?\n")
        terminal.expect("SIGTERM")
        terminal.expect("ended=5")


@WAYS
def test_a_signal_of_the_terminal_hides_none_that_comes_later(up: Host, way: list[str], tmp_path: Path) -> None:
    with traps_on_a_terminal(up, way, tmp_path) as terminal:
        terminal.type("\x03")
        terminal.expect("SIGINT")
        leader = os.tcgetpgrp(terminal.fd)
        wait_until(lambda: not signals(leader, "ShdPnd"))  # two at once are one
        os.kill(leader, signal.SIGINT)
        terminal.expect("SIGINT")


@WAYS
def test_a_terminal_that_hangs_up_ends_the_program(up: Host, way: list[str]) -> None:
    """The kernel tells the leader of its session alone, which is us where nobody else has the terminal."""
    leader, fd = pty.fork()
    if leader == 0:
        command = up.net.command(USTCP, "run", *way, "--", "sh", "-c", "echo ready; exec sleep 600")
        os.execvpe(command[0], command, {**os.environ, **up.environment})
    try:
        read_until(fd, b"ready")
        os.close(fd)
        wait_until(lambda: state_of(leader) == "Z")
    finally:
        os.kill(leader, signal.SIGKILL)
        _, status = os.waitpid(leader, 0)
    assert os.waitstatus_to_exitcode(status) == (128 + signal.SIGHUP if way else -signal.SIGHUP)


def test_the_environment_lets_it_in_and_keeps_what_was_there(up: Host) -> None:
    done = up.run("--", "env", LD_PRELOAD="/lib/other.so", KEPT="yes")
    environment = dict(line.split("=", 1) for line in done.stdout.splitlines())
    other, library = environment["LD_PRELOAD"].split(":")
    assert Path(library).name == "libustcp_preload.so" and other == "/lib/other.so"
    assert environment["USTCP_ENGINE"] == str(up.directory / "engine")
    _, name, token, _ = (up.directory / "engine/engine").read_text().split(maxsplit=4)[1:]
    assert environment["USTCP_TOKEN"] == f"{name}:{token}:{os.geteuid()}" and int(environment["USTCP_RUN"]) > 0
    assert environment["KEPT"] == "yes"
    elsewhere = up.run("--", "true", USTCP_PRELOAD_LIBRARY="/nonexistent.so")
    assert elsewhere.returncode == 125
    assert elsewhere.stderr == "ustcp: /nonexistent.so is not there (USTCP_PRELOAD_LIBRARY)\n"


def test_an_engine_is_started_for_it_and_goes_after_it(host: Host) -> None:
    with Teller(host.net, "0.0.0.0"):
        done = host.run("--", PYTHON, "-c", ASK, PEER)
    assert (done.returncode, done.stdout) == (0, f"{OURS}\n"), done.stderr
    host.wait_for_end()
    assert host.devices() == ["lo"]


def test_an_engine_stays_as_long_as_its_program_however_that_ends(host: Host) -> None:
    child = host.popen("run", "--", PYTHON, "-c", "print('up', flush=True); import os; os.read(0, 1)", stdin=subprocess.PIPE)
    with child:
        assert child.stdout.readline() == "up\n"
        assert host.is_up()
        child.kill()
    host.wait_for_end()


# A daemon: its first process ends before there is a socket.
DAEMON = f"""
import os
if os.fork(): os._exit(5)
os.setsid()
os.read(0, 1)
{ASK}
"""


@WAYS
def test_an_engine_stays_for_what_its_program_leaves_behind(host: Host, way: list[str]) -> None:
    with Teller(host.net, "0.0.0.0"), host.popen("run", *way, "--", PYTHON, "-c", DAEMON, PEER, stdin=subprocess.PIPE) as child:
        assert child.wait(60) == 5
        for _ in range(10):
            assert host.ustcp("ss").returncode == 0
        child.stdin.close()
        assert child.stdout.read() == f"{OURS}\n", child.stderr.read()
    host.wait_for_end()


def test_what_cannot_be_told_changes_no_status(host: Host) -> None:
    """Standard error on a full disk, or in a pipe that nobody reads."""
    reader, writer = os.pipe()
    os.close(reader)
    with open("/dev/full", "w") as full, os.fdopen(writer, "w") as unread:
        for stderr in (full, unread):
            host.popen("up", "--detach", stderr=stderr).communicate(timeout=60)
            assert host.is_up()
            run = host.popen("run", "--explain", "--", "sh", "-c", "exit 3", stderr=stderr)
            assert (run.wait(60), run.stdout.read()) == (3, "")
            assert host.ustcp("down").returncode == 0
            up = host.popen("up", stderr=stderr)
            wait_until(lambda: host.ustcp("ss").returncode == 0)
            assert host.ustcp("down").returncode == 0
            assert up.wait(60) == 0
            for child in (run, up):
                child.stdout.close()


# Its process is just becoming another program, or has handed over to one more.
LEAVES = {
    "in exec": f"""
import os, sys
if os.fork(): os._exit(5)
os.execv(sys.executable, [sys.executable, "-c", {"import os; os.read(0, 1); " + ASK!r}, *sys.argv[1:]])
""",
    "forked twice": f"""
import os
if os.fork(): os._exit(5)
os.setsid()
if os.fork(): os._exit(0)
os.read(0, 1)
{ASK}
""",
}


@WAYS
@pytest.mark.parametrize("daemon", LEAVES.values(), ids=LEAVES.keys())
def test_and_for_one_that_cannot_be_seen_at_every_moment(host: Host, way: list[str], daemon: str) -> None:
    with Teller(host.net, "0.0.0.0"), host.popen("run", *way, "--", PYTHON, "-c", daemon, PEER, stdin=subprocess.PIPE) as child:
        assert child.wait(60) == 5
        for _ in range(10):
            assert host.ustcp("ss").returncode == 0
        child.stdin.close()
        assert child.stdout.read() == f"{OURS}\n", child.stderr.read()
    host.wait_for_end()


def holders(host: Host) -> list[Path]:
    """Processes of a run of this host's that have nothing open but the lease and a pidfd."""

    def holds(process: Path) -> bool:
        try:
            if f"USTCP_ENGINE={host.directory}/engine".encode() not in (process / "environ").read_bytes().split(b"\0"):
                return False
            links = [os.readlink(link) for link in (process / "fd").iterdir()]
        except OSError:  # it has ended
            return False
        return len(links) == 2 and any("pidfd" in link for link in links)

    return [process for process in Path("/proc").iterdir() if process.name.isdigit() and holds(process)]


@WAYS
def test_the_lease_of_what_is_left_behind_is_held_by_one_that_a_signal_ends(host: Host, way: list[str]) -> None:
    with host.popen("run", *way, "--", PYTHON, "-c", DAEMON, PEER, stdin=subprocess.PIPE) as child:
        assert child.wait(60) == 5
        wait_until(lambda: len(holders(host)) == 1)
        [holder] = holders(host)
        wait_until(lambda: not signals(int(holder.name), "SigBlk"))  # it has just been born
        os.kill(int(holder.name), signal.SIGTERM)
        wait_until(lambda: not holders(host))
        child.stdin.close()
        child.stdout.read()
    host.wait_for_end()


def test_many_at_once_share_one_engine(host: Host) -> None:
    children = [host.popen("run", "--", PYTHON, "-c", "print('up', flush=True); import os; os.read(0, 1)", stdin=subprocess.PIPE) for _ in range(6)]
    assert [child.stdout.readline() for child in children] == ["up\n"] * 6
    tuns = [name for name in host.devices() if name != "lo"]
    for child in children:
        child.stdin.close()
        assert child.wait(60) == 0, child.stderr.read()
        child.stdout.close()
        child.stderr.close()
    assert tuns == ["ustcp0"]
    host.wait_for_end()


def test_an_engine_that_is_just_ending_is_no_error(host: Host) -> None:
    with Teller(host.net, "0.0.0.0"):
        for _ in range(15):
            done = host.run("--", PYTHON, "-c", ASK, PEER, USTCP_TIME_WAIT="0")
            assert (done.returncode, done.stdout) == (0, f"{OURS}\n"), done.stderr


def test_the_engine_holds_nothing_of_whoever_started_it(host: Host) -> None:
    """A pipe that is not close-on-exec is the program's, and ends with it."""
    reader, writer = os.pipe()
    command = host.net.command(USTCP, "run", "--", "true")
    child = subprocess.Popen(command, env={**os.environ, **host.environment, "USTCP_TIME_WAIT": "3"}, pass_fds=[writer])
    os.close(writer)
    assert child.wait(60) == 0
    assert os.read(reader, 1) == b""
    os.close(reader)


def test_without_an_engine_and_a_device_the_failure_is_told(host: Host) -> None:
    host.net.ip("tuntap", "add", "dev", "ustcp0", "mode", "tap")
    done = host.run("--", "true")
    assert (done.returncode, done.stdout) == (125, "")
    assert "ustcp0 is not a TUN device" in done.stderr, done.stderr


def test_the_build_tree_and_an_installation_are_found(up: Host) -> None:
    assert Path(USTCP).is_relative_to(ROOT)
    done = up.run("--", "sh", "-c", "echo $LD_PRELOAD")
    assert Path(done.stdout.strip()).is_file()
