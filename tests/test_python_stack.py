"""`ustcp.Stack`: further stacks in one process, each on a device of its own."""

from __future__ import annotations

import errno
import os
import socket
import threading
from pathlib import Path

import pytest
import ustcp

from harness.netns import DEVICE, PEER
from harness.python import in_child

NETWORKS = [("ust1", "10.9.1.2", "10.9.1.1"), ("ust2", "10.9.2.2", "10.9.2.1")]


@pytest.fixture
def stacks(namespace):
    made = [ustcp.Stack(f"{ours}/24", tun=tun, peer=peer, time_wait=0.2) for tun, ours, peer in NETWORKS]
    yield made
    for stack in made:
        stack.close()


def test_several_at_once_and_the_process_has_its_own_as_well(stacks, stack, namespace):
    def answer(listener):
        for _ in range(3):
            connection, (host, _) = listener.accept()
            with connection:
                connection.sendall(host.encode())

    with socket.create_server(("0.0.0.0", 0)) as listener:
        port = listener.getsockname()[1]
        thread = threading.Thread(target=answer, args=(listener,))
        thread.start()
        makers = [*(made.create_connection for made in stacks), ustcp.create_connection]
        for make, peer in zip(makers, [*(peer for _, _, peer in NETWORKS), PEER]):
            with make((peer, port), timeout=20) as sock:
                assert sock.recv(100).decode() == sock.getsockname()[0]
        thread.join()
    assert all(name in namespace.ip("link") for name in (DEVICE, "ust1", "ust2"))


def test_a_server_on_one_of_them_and_a_client_on_the_other(stacks):
    """The kernel routes between their networks."""
    one, other = stacks
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    with one.create_server((NETWORKS[0][1], 80)) as listener:
        with other.create_connection((NETWORKS[0][1], 80), timeout=20) as sock:
            accepted, (host, _) = listener.accept()
            with accepted:
                assert host == NETWORKS[1][1]
                sock.sendall(b"from stack to stack")
                assert accepted.recv(100) == b"from stack to stack"


def test_the_end_of_one_touches_no_other(stacks):
    one, other = stacks
    with one.socket() as orphan, other.create_server(("", 80)) as listener:
        one.close()
        one.close()
        with pytest.raises(OSError) as down:
            orphan.connect((NETWORKS[0][2], 1))
        assert down.value.errno == errno.ENETDOWN
        with other.create_connection(("localhost", 80)) as sock:
            listener.accept()[0].close()
            assert sock.recv(1) == b""
    with pytest.raises(OSError) as down:
        one.socket()
    assert down.value.errno == errno.ENETDOWN


def test_a_stack_that_is_forgotten_ends(namespace):
    with ustcp.Stack("10.9.1.2/24", tun="ust1") as stack:
        assert "ust1" in namespace.ip("link")
        stack.create_server(("", 80)).close()
    del stack
    assert "ust1" not in namespace.ip("link")
    ustcp.Stack("10.9.1.2/24", tun="ust1")
    assert "ust1" not in namespace.ip("link")


def test_settings_are_told_by_keyword(namespace):
    for settings, said in (({"mtu": 3}, "mtu=3 is malformed"), ({"address": "nowhere"}, "address=nowhere is malformed")):
        with pytest.raises(OSError, match=said) as malformed:
            ustcp.Stack(**settings)
        assert malformed.value.errno == errno.EINVAL
    with pytest.raises(TypeError):
        ustcp.Stack("10.9.1.2/24", device="ust1")
    with ustcp.Stack("10.9.1.2/24", tun="ust1"), pytest.raises(OSError) as busy:
        ustcp.Stack("10.9.3.2/24", tun="ust1")
    assert busy.value.errno == errno.EBUSY
    assert busy.value.strerror == "ust1 is in use by another stack of this process: end that, or name another device by tun"
    with pytest.raises(OSError, match="pcap=.* is malformed: the snap length") as malformed:
        ustcp.Stack("10.9.1.2/24", tun="ust1", pcap=("capture", -1))
    assert malformed.value.errno == errno.EINVAL


def test_a_network_is_one_devices(namespace):
    with ustcp.Stack("10.9.1.2/24", tun="ust1"):
        with pytest.raises(OSError, match="10.9.1.0/24 is ust1's already.* by address") as taken:
            ustcp.Stack("10.9.1.3/24", tun="ust2")
        assert taken.value.errno == errno.EADDRINUSE
        assert "ust2" not in namespace.ip("link")
        ustcp.Stack("10.9.1.3/25", tun="ust2").close()  # a part of it is another network: the kernel looks for the longest


@pytest.mark.parametrize("start", [ustcp.Stack, ustcp.init])
def test_a_file_that_cannot_be_written_is_told_with_its_name(start, tmp_path, namespace):
    os.mkfifo(tmp_path / "pipe")
    wrong = [
        (tmp_path / "none" / "file", errno.ENOENT), (tmp_path, errno.EISDIR), (tmp_path / "pipe", errno.EINVAL),
    ]  # fmt: skip
    for path, number in wrong:
        for setting in ({"log": path}, {"pcap": path}, {"pcap": (path, 96)}, {"pcap": f"{path}:96"}):
            with pytest.raises(OSError) as refused:
                start(address="10.9.1.2/24", tun="ust1", **setting)
            assert (refused.value.errno, refused.value.filename) == (number, str(path)), setting
    assert "ust1" not in namespace.ip("link")


def test_what_does_not_start_leaves_no_file(stack, tmp_path):
    log, pcap, kept = tmp_path / "log", tmp_path / "a.pcapng", tmp_path / "kept"
    kept.write_text("of before")
    wrong = [
        (ustcp.init, {"tun": DEVICE, "log": log, "pcap": pcap}, errno.EALREADY),
        (ustcp.Stack, {"tun": DEVICE, "log": log, "pcap": pcap}, errno.EBUSY),
        (ustcp.Stack, {"tun": DEVICE, "log": kept, "pcap": pcap}, errno.EBUSY),
        (ustcp.Stack, {"tun": "ust1", "mtu": 3, "log": log, "pcap": pcap}, errno.EINVAL),
        (ustcp.Stack, {"tun": "ust1", "log": log, "pcap": tmp_path}, errno.EISDIR),
    ]
    for start, settings, number in wrong:
        with pytest.raises(OSError) as refused:
            start(**settings)
        assert (refused.value.errno, list(tmp_path.iterdir()), kept.read_text()) == (number, [kept], "of before")


def test_the_files_of_a_stack_are_its_owners_alone(namespace, tmp_path):
    log, pcap = tmp_path / "log", tmp_path / "a.pcapng"
    with ustcp.Stack("10.9.1.2/24", tun="ust1", log=log, pcap=f"{pcap}:96") as stack:
        stack.create_server(("", 80)).close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.pcapng", "log"]
    assert {path.stat().st_mode & 0o777 for path in (log, pcap)} == {0o600} and pcap.stat().st_size > 0


def test_a_stack_by_hand_gives_the_same_kind_of_socket():
    with ustcp.ManualStack(seed=1, address="10.0.0.1/24") as stack:
        with stack.socket() as sock:
            assert isinstance(sock, ustcp.socket) and sock.state == "CLOSED"
            with pytest.raises(BlockingIOError):
                sock.connect(("10.0.0.2", 80))
            assert sock.state == "SYN-SENT"
            with sock.dup() as other:
                assert other.getsockname() == sock.getsockname()
            number = sock.detach()
            with ustcp.socket(fileno=number, stack=stack) as again:
                assert again.state == "SYN-SENT"
    with pytest.raises(TypeError, match="Stack"):
        ustcp.socket(stack=object())


def test_what_a_child_of_fork_is_told(stack):
    with ustcp.create_server(("", 0)) as listener:

        def try_it():
            try:
                listener.getsockname()
            except OSError as error:
                return error.errno == errno.EBADF and "parent" in str(error) and "USTCP_ENGINE" in str(error)

        assert in_child(try_it) == 0
