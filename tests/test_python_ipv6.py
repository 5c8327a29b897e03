"""ustcp.socket over IPv6, and with both families, against the kernel's TCP."""

from __future__ import annotations

import errno
import hashlib
import os
import socket
import threading

import pytest
import ustcp

from harness.netns import OURS, OURS_V6, PEER, PEER_V6, Namespace

PATIENCE = 20.0
SIZE = 8 << 20


@pytest.fixture
def both(namespace: Namespace):
    """A stack with an address of either family."""
    namespace.allow_ipv6()
    ustcp.init(address=[f"{OURS}/24", f"{OURS_V6}/64"], time_wait=0.2)
    try:
        yield
    finally:
        ustcp.fini()


def talk(ours, theirs) -> None:
    """A transfer each way at once, compared by SHA-256."""
    data = os.urandom(SIZE)
    digests = []

    def drain(sock):
        digest = hashlib.sha256()
        while piece := sock.recv(65536):
            digest.update(piece)
        digests.append(digest.hexdigest())

    def pour(sock):
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)

    threads = [threading.Thread(target=act, args=(sock,)) for act in (drain, pour) for sock in (ours, theirs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert digests == [hashlib.sha256(data).hexdigest()] * 2


def test_a_transfer_each_way_on_a_connection_that_we_opened(both):
    with socket.create_server((PEER_V6, 0), family=socket.AF_INET6) as listener:
        with ustcp.create_connection(listener.getsockname(), timeout=PATIENCE) as ours:
            theirs, address = listener.accept()
            with theirs:
                assert ours.family == socket.AF_INET6
                assert ours.getsockname() == address
                assert ours.getpeername() == listener.getsockname() and len(address) == 4
                theirs.settimeout(PATIENCE)
                talk(ours, theirs)


def test_a_transfer_each_way_on_a_connection_that_we_accepted(both):
    with ustcp.create_server(("", 0), family=ustcp.AF_INET6) as listener:
        port = listener.getsockname()[1]
        assert listener.getsockname() == ("::", port, 0, 0)
        with socket.create_connection((OURS_V6, port), PATIENCE) as theirs:
            ours, address = listener.accept()
            with ours:
                assert address == theirs.getsockname()
                talk(ours, theirs)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((OURS, port), PATIENCE)


def test_one_server_for_both_families(both):
    with ustcp.create_server(("", 0), family=ustcp.AF_INET6, dualstack_ipv6=True) as listener:
        port = listener.getsockname()[1]
        for host, seen in ((OURS, f"::ffff:{PEER}"), (OURS_V6, PEER_V6)):
            with socket.create_connection((host, port), PATIENCE) as theirs:
                ours, address = listener.accept()
                with ours:
                    assert address == (seen, theirs.getsockname()[1], 0, 0)
    with pytest.raises(ValueError):
        ustcp.create_server(("", 0), dualstack_ipv6=True)


def test_ipv6_alone_is_asked_for_before_bind(both):
    with ustcp.socket(ustcp.AF_INET6) as sock:
        sock.setsockopt(ustcp.IPPROTO_IPV6, ustcp.IPV6_V6ONLY, 1)
        assert sock.getsockopt(ustcp.IPPROTO_IPV6, ustcp.IPV6_V6ONLY) == 1
        with pytest.raises(OSError) as refused:
            sock.connect((f"::ffff:{PEER}", 9))
        assert refused.value.errno == errno.ENETUNREACH
        sock.bind(("::", 0, 0, 0))
        with pytest.raises(OSError) as late:
            sock.setsockopt(ustcp.IPPROTO_IPV6, ustcp.IPV6_V6ONLY, 0)
        assert late.value.errno == errno.EINVAL


def test_addresses_are_tuples_of_two_to_four(both):
    with ustcp.socket(ustcp.AF_INET6) as sock:
        for address in (("::1",), ("::1", 1, 0, 0, 0), ("::1", 1, "flow"), "::1"):
            with pytest.raises(TypeError):
                sock.bind(address)
        with pytest.raises(socket.gaierror):
            sock.bind((OURS, 0))
        sock.bind(("localhost", 0, 0))
        assert sock.getsockname()[0] == "::1"


def test_localhost_is_the_stack_itself_in_either_family(both):
    with ustcp.create_server(("localhost", 0), family=ustcp.AF_INET6) as listener:
        port = listener.getsockname()[1]
        with ustcp.create_connection(("localhost", port)) as sock:
            assert sock.getpeername() == ("::1", port, 0, 0)
