"""Starting where it cannot be: the error number, and a line that says what to do, which is then done."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest

from conftest import COMMANDS
from harness.netns import DEVICE, OURS, PEER, Namespace
from harness.puppet import Puppet

NOBODY = 65534
LIBRARY = Path(__file__).resolve().parents[1] / "build/prefix/lib/libustcp.so.0"


@pytest.fixture
def net(network: None):
    namespace = Namespace("start")
    namespace.create()
    yield namespace
    namespace.remove()


@pytest.fixture
def programs():
    """Ends the programs that a test appends."""
    started: list[Puppet] = []
    yield started
    for program in started:
        program.close()


def as_nobody(program: Path, device_mode: str) -> list[str]:
    """The program as nobody, in a mount namespace of its own whose /dev/net/tun has these permissions."""
    node = "mount -t tmpfs none /dev/net && mknod /dev/net/tun c 10 200"
    script = f"{node} && chmod {device_mode} /dev/net/tun && exec setpriv --reuid={NOBODY} --regid={NOBODY} --clear-groups \"$@\""
    command = ["env", f"LD_LIBRARY_PATH={program.parent}", str(program)]
    return ["unshare", "-m", "sh", "-ec", script, "sh", *command]


def test_a_device_in_use_is_ebusy_and_says_by_whom(net, programs):
    first, second = (Puppet(COMMANDS["c"], net) for _ in range(2))
    programs += [first, second]
    first.call("start")
    with pytest.raises(OSError, match="EBUSY"):
        second.call("start")
    second.close()
    assert len(second.errors) == 1, second.errors
    assert DEVICE in second.errors[0] and "USTCP_TUN" in second.errors[0]
    # What it says is right: another name works, with other addresses.
    third = Puppet(COMMANDS["c"], net, USTCP_TUN="ustcp1", USTCP_ADDRESS="10.77.1.2/24", USTCP_PEER="10.77.1.1")
    programs.append(third)
    third.call("start")


@pytest.mark.parametrize("mode", ["0600", "0666"])
def test_no_permission_is_eperm_and_its_two_commands_help(net, programs, mode, tmp_path):
    program = tmp_path / "puppet"
    readable_copy(program)
    command = as_nobody(program, mode)
    denied = Puppet(command, net)
    programs.append(denied)
    with pytest.raises(OSError, match="EPERM"):
        denied.call("start")
    denied.close()
    commands = [line for line in denied.errors if line.startswith("sudo ")]
    assert len(commands) == 2, denied.errors
    for line in commands:
        words = shlex.split(line)
        subprocess.run(net.command(*words[1:]), check=True, timeout=30)
    allowed = Puppet(as_nobody(program, "0666"), net)
    peer = Puppet(COMMANDS["kernel"], net)
    programs += [allowed, peer]
    allowed.call("start")
    listener = allowed.socket()
    listener.bind(OURS, 7000)
    listener.listen()
    theirs = peer.socket()
    theirs.connect(OURS, 7000)
    listener.accept().send(b"without privilege")
    assert theirs.recv() == b"without privilege"
    allowed.close()
    assert PEER in net.ip("addr", "show", "dev", DEVICE), "the device stays for the next time"


def readable_copy(program) -> None:
    """Our test program, with its library beside it, where nobody may run it: the checkout may be out of his reach."""
    for source, copy in (COMMANDS["c"][0], program), (LIBRARY, program.parent / LIBRARY.name):
        copy.write_bytes(Path(source).read_bytes())
        copy.chmod(0o755)
    for directory in program.parents:
        if directory.owner() == "root" and str(directory).startswith("/tmp/"):
            directory.chmod(directory.stat().st_mode | 0o055)


def test_no_tun_at_all_is_enodev(net, programs):
    command = ["unshare", "-m", "sh", "-ec", 'mount -t tmpfs none /dev/net && exec "$@"', "sh", *COMMANDS["c"]]
    program = Puppet(command, net)
    programs.append(program)
    with pytest.raises(OSError, match="ENODEV"):
        program.call("start")
    program.close()
    assert "/dev/net/tun" in program.errors[0] and "modprobe tun" in program.errors[0]


@pytest.mark.parametrize(
    "variable",
    ["USTCP_ADDRESS=10.77.0.2/33", "USTCP_OFFLOAD=perhaps", "USTCP_MTU=12", "USTCP_TIME_WAIT=soon", "USTCP_WEATHER=rain", "USTCP_SYSCTL=tcp_sack=2"],
)
def test_a_malformed_variable_is_named_on_one_line(net, programs, variable):
    name, value = variable.split("=", 1)
    program = Puppet(COMMANDS["c"], net, **{name: value})
    programs.append(program)
    # A library does not end its program over a variable: it says so and goes on with the default.
    program.call("start")
    program.close()
    assert [line for line in program.errors if variable in line], program.errors


@pytest.mark.parametrize("vnet_hdr", [[], ["vnet_hdr"]], ids=["plain", "vnet_hdr"])
@pytest.mark.parametrize("offload", ["auto", "off"])
def test_a_persistent_device_is_taken_as_it_is(net, programs, vnet_hdr, offload):
    net.ip("tuntap", "add", "dev", DEVICE, "mode", "tun", *vnet_hdr)
    net.ip("addr", "add", f"{PEER}/24", "dev", DEVICE)
    net.ip("link", "set", DEVICE, "mtu", "1400", "up")
    ours, peer = Puppet(COMMANDS["c"], net, USTCP_OFFLOAD=offload), Puppet(COMMANDS["kernel"], net)
    programs += [ours, peer]
    ours.call("start")
    listener = peer.socket()
    listener.bind(PEER, 7000)
    listener.listen()
    sock = ours.socket()
    sock.connect(PEER, 7000)
    far = listener.accept()
    pouring = sock.start("pour", 1 << 20, 5)
    assert far.call("drain", 1 << 20) == pouring.result()
    assert net.links(DEVICE)["mtu"] == 1400
    ours.close()
    assert DEVICE in net.ip("link", "show"), "it was not ours to remove"


def test_a_device_we_made_goes_with_us(net, programs):
    program = Puppet(COMMANDS["c"], net)
    programs.append(program)
    program.call("start")
    assert net.links(DEVICE)["mtu"] == 1500
    program.close()
    assert DEVICE not in net.ip("link", "show")
