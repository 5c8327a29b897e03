"""TLS sockets of an engine, where they are not connected: the standard library's own looks at such a one before it wraps it.

Each test is a program of its own, as in `test_python_engine.py`."""

from __future__ import annotations

import pytest

from harness import certificate
from test_python_engine import play

PREAMBLE = """
from harness import certificate
certificate.files = lambda: (sys.argv[1], sys.argv[1].replace("certificate.pem", "key.pem"))
ustcp.patch()
server, client = certificate.of_server(), certificate.of_client()
"""


@pytest.fixture
def program(engine):
    return lambda script: play(engine, PREAMBLE + script, str(certificate.files()[0]))


def test_a_server_that_is_wrapped_when_it_is_bound(program):
    """And one that has an option set, or nothing at all: not every one is known to the engine."""
    program("""
preparations = [
    lambda sock: sock.bind((OURS, 0)),
    lambda sock: sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    lambda sock: None,
]
for prepare in preparations:
    sock = ustcp.socket()
    prepare(sock)
    with server.wrap_socket(sock, server_side=True) as tls:
        fails("ENOTCONN", tls.recv, 1)
""")


def test_a_listener_that_is_wrapped_while_connections_wait(program):
    program("""
sock = ustcp.create_server((OURS, 0))
clients = [KERNEL() for _ in range(3)]
for one in clients:
    one.settimeout(SECONDS)
    one.connect(sock.getsockname())
assert select.select([sock], [], [], SECONDS)[0]
with server.wrap_socket(sock, server_side=True) as listener:
    fails("ENOTCONN", listener.recv, 1)
    for one in clients:
        answers = []
        def talk():
            with client.wrap_socket(one, server_hostname=OURS) as tls:
                tls.sendall(b"hello")
                answers.append(tls.recv(100))
        thread = threading.Thread(target=talk)
        thread.start()
        accepted, _ = listener.accept()
        with accepted:
            accepted.sendall(accepted.recv(100).upper())
        thread.join()
        assert answers == [b"HELLO"]
""")


def test_a_call_that_fails_leaves_no_cycle(program):
    """A socket without a name is gone at once, whatever was raised for it."""
    program("""
import gc, weakref
gc.disable()
sock = ustcp.socket()
fails("ENOTCONN", sock.recv, 1)
gone = weakref.ref(sock)
sock.close()
del sock
assert gone() is None
""")
