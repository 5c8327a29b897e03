"""`import ustcp` as the client of an engine (USTCP_ENGINE): native descriptors, which the kernel, children of fork and exec, and
other event loops use as any other.

Each test is a program of its own, as its mode is decided once; its peer is the kernel's TCP at 10.77.0.1. `lo` is down, so
what went past the engine would fail."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from harness import certificate
from harness.netns import OURS, PEER
from harness.shim import Engine

TESTS = str(Path(__file__).parent)

BEGINNING = f"""
import errno, os, select, signal, socket, ssl, subprocess, sys, threading, time
from pathlib import Path
import ustcp

OURS, PEER, SECONDS = "{OURS}", "{PEER}", 20
KERNEL = socket.socket

def served(work):
    "What the kernel's side does with the connection that it takes, beside what follows; where."
    listener = KERNEL()
    listener.bind((PEER, 0))
    listener.listen()
    listener.settimeout(SECONDS)
    def serve():
        sock, _ = listener.accept()
        listener.close()
        with sock:
            sock.settimeout(SECONDS)
            work(sock)
    threading.Thread(target=serve, daemon=True).start()
    return listener.getsockname()

def echo(sock):
    while data := sock.recv(65536):
        sock.sendall(data)

def asked(address, data):
    "The kernel's side: what comes back for it."
    with KERNEL() as sock:
        sock.settimeout(SECONDS)
        sock.connect(address)
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: sock.recv(65536), b""))

def fails(number, call, *arguments):
    try:
        call(*arguments)
    except OSError as error:
        assert error.errno == getattr(errno, number), (number, error)
        return error
    raise AssertionError(f"{{call}} did not fail with {{number}}")
"""


def play(engine: Engine, script: str, *arguments: str, **environment: str) -> str:
    """Runs a program on `import ustcp` at the engine; what it printed."""
    done = subprocess.run(
        engine.net.command(sys.executable, "-W", "error", "-c", BEGINNING + script, *arguments),
        env={**os.environ, **engine.named, "PYTHONPATH": TESTS, **environment},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    return done.stdout


# ---- native descriptors ----


def test_the_kernels_own_calls_work_on_a_descriptor(engine, tmp_path):
    file = tmp_path / "file"
    file.write_bytes(bytes(range(256)) * 1000)
    play(
        engine,
        """
content = Path(sys.argv[1]).read_bytes()
with ustcp.create_connection(served(echo)) as sock, open(sys.argv[1], "rb") as file:
    assert isinstance(sock, ustcp.socket) and isinstance(sock, socket.socket)
    assert sock.getsockname()[0] == OURS and sock.family == socket.AF_INET and sock.type == socket.SOCK_STREAM
    os.write(sock.fileno(), b"written")
    assert os.read(sock.fileno(), 7) == b"written"
    assert os.sendfile(sock.fileno(), file.fileno(), 0, 50_000) == 50_000
    assert sock.recv(50_000, socket.MSG_WAITALL) == content[:50_000]
    assert sock._sendfile_use_sendfile(file, 0, 1000) == 1000     # by os.sendfile, or an error
    assert sock.recv(1000, socket.MSG_WAITALL) == content[:1000]
    copy = os.dup(sock.fileno())
    other = ustcp.socket(fileno=copy)
    assert other.getpeername() == sock.getpeername() and other.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE) == 1
    third = other.dup()
    other.close()
    third.sendall(b"a copy")
    assert sock.recv(6, socket.MSG_WAITALL) == b"a copy"
    third.close()
    with sock.makefile("rwb") as lines:
        lines.write(b"a line\\n")
        lines.flush()
        assert lines.readline() == b"a line\\n"
    poller = select.epoll()
    poller.register(sock.fileno(), select.EPOLLIN | select.EPOLLOUT)
    assert poller.poll(0) == [(sock.fileno(), select.EPOLLOUT)]
    assert select.select([sock], [sock], [], 0) == ([], [sock], [])
    sock.sendall(b"x")
    assert select.select([sock], [], [], SECONDS)[0] and sock.state == "ESTABLISHED"
    assert sock.ioctl(0x541b) == 1 and sock.poll(select.POLLIN) == select.POLLIN
    assert sock.recv(1) == b"x"     # else close resets, which the other end would tell of
""",
        str(file),
    )


def test_a_child_that_is_executed_has_the_connection(engine):
    play(
        engine,
        """
with ustcp.create_connection(served(echo)) as sock:
    fd = sock.fileno()
    assert not os.get_inheritable(fd)
    done = subprocess.run(["sh", "-c", f"echo from a child >&{fd}"], pass_fds=[fd], timeout=SECONDS)
    assert done.returncode == 0
    assert sock.recv(13, socket.MSG_WAITALL) == b"from a child\\n"
    program = f"import ustcp; s = ustcp.socket(fileno={fd}); s.sendall(repr(s.getpeername()).encode()); s.detach()"
    done = subprocess.run([sys.executable, "-c", program], pass_fds=[fd], timeout=SECONDS)
    assert done.returncode == 0
    told = repr(sock.getpeername()).encode()
    assert sock.recv(len(told), socket.MSG_WAITALL) == told
    child = subprocess.Popen(["cat"], stdin=sock, stdout=subprocess.PIPE)
    sock.sendall(b"as standard input")
    sock.shutdown(socket.SHUT_WR)
    out, _ = child.communicate(timeout=SECONDS)
    assert out == b"as standard input"
""",
    )


def test_tcp_info_of_a_listener_has_its_queue_and_its_backlog(engine):
    """Those that its programs were offered and have not taken wait as well."""
    play(
        engine,
        """
import struct
def queue():
    info = listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
    return struct.unpack_from("II", info, 24)     # tcpi_unacked, tcpi_sacked
with ustcp.create_server((OURS, 0), backlog=5) as listener:
    peers = [KERNEL() for _ in range(3)]
    for peer in peers:
        peer.connect(listener.getsockname())
    deadline = time.monotonic() + SECONDS
    while queue() != (3, 5):
        assert time.monotonic() < deadline, queue()
    listener.accept()[0].close()
    while queue() != (2, 5):
        assert time.monotonic() < deadline, queue()
    for peer in peers:
        peer.close()
""",
    )


def test_a_server_that_forks(engine):
    """`socketserver.ForkingTCPServer`, each connection in a child of its own."""
    play(
        engine,
        """
import socketserver
ustcp.patch()

class Echo(socketserver.StreamRequestHandler):
    def handle(self):
        self.wfile.write(b"%d " % os.getpid() + self.rfile.read())

class Server(socketserver.ForkingTCPServer):
    allow_reuse_address = True

server = Server((OURS, 0), Echo)
assert isinstance(server.socket, ustcp.socket)
answers = []
def ask():
    for number in range(20):
        answers.append(asked(server.server_address, b"%d" % number))
    server.shutdown()
thread = threading.Thread(target=ask)
thread.start()
server.serve_forever(poll_interval=0.01)
thread.join()
server.server_close()
children = {answer.split()[0] for answer in answers}
assert [answer.split()[1] for answer in answers] == [b"%d" % number for number in range(20)], answers
assert len(children) == 20 and b"%d" % os.getpid() not in children
""",
    )


def test_a_child_of_fork_makes_sockets_of_its_own(engine):
    play(
        engine,
        """
listener = ustcp.create_server((OURS, 0))
parent = ustcp.create_connection(served(echo))
child = os.fork()
if child == 0:
    with ustcp.create_connection(served(echo)) as own:
        own.sendall(b"own")
        assert own.recv(3, socket.MSG_WAITALL) == b"own"
    parent.sendall(b"inherited")
    accepted, _ = listener.accept()
    accepted.sendall(accepted.recv(100))
    accepted.close()
    os._exit(0)
assert asked(listener.getsockname(), b"by the child") == b"by the child"
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert parent.recv(9, socket.MSG_WAITALL) == b"inherited"     # the child's end was no end of the connection
listener.close()
parent.close()
""",
    )


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_multiprocessing_hands_sockets_on(engine, method, tmp_path):
    module = tmp_path / "worker.py"
    module.write_text("""
def answer(connection, sock):
    with sock:
        sock.sendall(b"from a process")
    with connection.recv() as other:
        other.sendall(b"through a pipe")
        connection.send(other.getpeername())
""")
    play(
        engine,
        """
import multiprocessing, worker
if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    first, second = ustcp.create_connection(served(echo)), ustcp.create_connection(served(echo))
    here, there = context.Pipe()
    process = context.Process(target=worker.answer, args=(there, first))
    process.start()
    here.send(second)
    assert here.recv() == second.getpeername()
    process.join(SECONDS)
    assert process.exitcode == 0
    assert first.recv(14, socket.MSG_WAITALL) == b"from a process"
    assert second.recv(14, socket.MSG_WAITALL) == b"through a pipe"
    first.close()
    second.close()
""",
        method,
        PYTHONPATH=f"{TESTS}:{tmp_path}",
    )


def test_what_is_not_connected_is_not_waited_for(engine):
    play(
        engine,
        """
signal.alarm(SECONDS)
bound, listener = ustcp.socket(), ustcp.create_server((OURS, 0))
fails("ENOTCONN", bound.recv, 1)
bound.bind((OURS, 0))
for sock, timeouts in ((bound, (None, 0, 5)), (listener, (None, 0))):
    for timeout in timeouts:
        sock.settimeout(timeout)
        for flags in (0, socket.MSG_PEEK, socket.MSG_TRUNC):
            fails("ENOTCONN", sock.recv, 1, flags)
        fails("ENOTCONN", sock.recv_into, bytearray(1))
        fails("ENOTCONN", sock.recvmsg, 1)
        fails("EPIPE", sock.send, b"x")
        fails("EPIPE", sock.send, b"x", socket.MSG_OOB)
        fails("EPIPE", sock.sendall, bytes(1 << 20))
        fails("EPIPE", sock.sendmsg, [b"x"])
bound.settimeout(SECONDS)
bound.connect(served(echo))
bound.sendall(b"hello")
assert bound.recv(5, socket.MSG_WAITALL) == b"hello"
""",
    )


# ---- event loops ----

LOOPS = """
import asyncio
patched = sys.argv[2] == "patched"
if patched:
    ustcp.patch()
if sys.argv[1] == "uvloop":
    import uvloop
    new_loop = uvloop.new_event_loop
else:
    new_loop = asyncio.new_event_loop

def run(main):
    loop = new_loop()
    try:
        return loop.run_until_complete(asyncio.wait_for(main, 60))
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
"""


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_an_echo_of_an_event_loop(engine, loop):
    """asyncio takes sockets of ours as they are. uvloop's transports read and write the descriptor themselves, and want to set
    options on it, unless it is told what the descriptor is to the kernel: a stream of AF_UNIX."""
    play(
        engine,
        LOOPS
        + """
class Echo(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport
    def data_received(self, data):
        self.transport.write(data)

def stream(sock):
    return KERNEL(fileno=sock.detach()) if sys.argv[1] == "uvloop" else sock

async def serve(listener, count):
    loop = asyncio.get_running_loop()
    for _ in range(count):
        sock, _ = await loop.sock_accept(listener)
        await loop.connect_accepted_socket(Echo, stream(sock))

async def main():
    loop = asyncio.get_running_loop()
    listener = ustcp.create_server((OURS, 0))
    listener.setblocking(False)
    serving = asyncio.ensure_future(serve(listener, 10))
    data = bytes(range(256)) * 1000
    answers = await asyncio.gather(
        *(loop.run_in_executor(None, asked, listener.getsockname(), data) for _ in range(10))
    )
    assert all(answer == data for answer in answers)
    await serving
    listener.close()

    sock = ustcp.socket()
    sock.setblocking(False)
    await loop.sock_connect(sock, served(echo))
    connect = asyncio.open_unix_connection if sys.argv[1] == "uvloop" else asyncio.open_connection
    reader, writer = await connect(sock=stream(sock))
    writer.write(data)
    assert await reader.readexactly(len(data)) == data
    writer.write_eof()
    assert await reader.read() == b""
    writer.close()

run(main())
""",
        loop,
        "plain",
    )


def test_streams_of_uvloop(engine):
    """Server and clients, by what the documentation has for both."""
    documentation = (Path(TESTS).parent / "docs/python.md").read_text()
    (code,) = re.findall(r"### Streams of uvloop\n\n```python\n(.*?)```", documentation, re.DOTALL)
    play(
        engine,
        LOOPS
        + code
        + """
async def echo_back(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()

async def ask(address, data):
    reader, writer = await connect(address)
    writer.write(data)
    writer.write_eof()
    heard = await reader.read()
    writer.close()
    await writer.wait_closed()
    return heard

async def main():
    listener = ustcp.create_server((OURS, 0))
    listener.setblocking(False)
    address = listener.getsockname()
    serving = asyncio.ensure_future(serve(listener, echo_back))
    words = [bytes([number]) * 300_000 for number in range(20)]
    assert await asyncio.gather(*(ask(address, word) for word in words)) == words
    assert await asyncio.get_running_loop().run_in_executor(None, asked, address, words[1]) == words[1]
    assert await ask(served(echo), words[2]) == words[2]
    serving.cancel()
    listener.close()

run(main())
""",
        "uvloop",
        "plain",
    )


def test_asyncio_with_500_connections(engine):
    out = play(
        engine,
        LOOPS
        + """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))

served = []

async def echo_back(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()
    await writer.wait_closed()
    served.append(writer)
    if len(served) == 500:
        all_served.set_result(None)

async def one(address, number):
    reader, writer = await asyncio.open_connection(*address)
    data = number.to_bytes(4, "big") * 1000
    for _ in range(3):
        writer.write(data)
        assert await reader.readexactly(len(data)) == data
    mine = writer.get_extra_info("sockname")
    writer.close()
    await writer.wait_closed()
    return mine[0]

async def main():
    global all_served
    all_served = asyncio.get_running_loop().create_future()
    server = await asyncio.start_server(echo_back, OURS, 0, backlog=1000)
    address = server.sockets[0].getsockname()
    hosts = await asyncio.gather(*(one(address, number) for number in range(500)))
    assert set(hosts) == {OURS}
    await all_served  # the clients are through before the server has seen the last end
    server.close()
    return len(hosts)

print(run(main()))
""",
        "asyncio",
        "patched",
    )
    assert out == "500\n"


def test_the_event_loops_own_sendfile(engine, tmp_path):
    file = tmp_path / "file"
    file.write_bytes(bytes(range(256)) * 4000)
    play(
        engine,
        LOOPS
        + """
async def main():
    loop = asyncio.get_running_loop()
    whole = []
    address = served(lambda sock: whole.append(b"".join(iter(lambda: sock.recv(65536), b""))))
    reader, writer = await asyncio.open_connection(*address)
    with open(sys.argv[3], "rb") as file:
        sent = await loop.sendfile(writer.transport, file, fallback=False)
    writer.write_eof()
    assert await reader.read() == b""
    writer.close()
    assert whole == [Path(sys.argv[3]).read_bytes()] and sent == len(whole[0])

run(main())
""",
        "asyncio",
        "patched",
        str(file),
    )


def test_a_write_that_waits_ends_with_its_connection(engine):
    """Also where the program has not read all that came before the reset, and reads it afterwards."""
    play(
        engine,
        """
import struct
sent, filled, over = [], threading.Event(), threading.Event()
def fill(sock):
    "More than the stream to the program holds, then a reset."
    sock.setblocking(False)
    count = 0
    while select.select([], [sock], [], 1)[1]:
        count += sock.send(bytes(65536))
    sent.append(count)
    filled.set()
    assert over.wait(SECONDS)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

with ustcp.create_connection(served(fill)) as sock:
    sock.setblocking(False)
    while select.select([], [sock], [], 1)[1]:
        try:
            sock.send(bytes(65536))
        except BlockingIOError:
            pass
    sock.setblocking(True)
    raised = []
    def write():
        try:
            sock.sendall(bytes(1 << 20))
        except OSError as error:
            raised.append(error.errno)
    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    assert filled.wait(SECONDS)
    over.set()
    thread.join(SECONDS)
    assert not thread.is_alive() and raised[0] in (errno.EPIPE, errno.ECONNRESET), raised
    heard = 0
    try:
        while piece := sock.recv(65536):
            heard += len(piece)
    except ConnectionResetError:
        pass
    assert 0 < heard <= sent[0]
""",
    )


# ---- the module, and who uses it ----


def test_connections_of_multiprocessing(engine):
    play(
        engine,
        """
from multiprocessing.connection import Client, Listener
ustcp.patch()
with Listener((OURS, 0)) as listener:
    ends = []
    thread = threading.Thread(target=lambda: ends.append(listener.accept()))
    thread.start()
    with Client(listener.address) as client:
        thread.join()
        client.send(list(range(100)))
        assert ends[0].recv() == list(range(100)) and listener.last_accepted[0] == OURS
        ends[0].send_bytes(bytes(100_000))
        assert client.recv_bytes() == bytes(100_000)
    ends[0].close()
""",
    )



def test_programs_that_use_socket(engine):
    play(
        engine,
        """
import http.client, http.server, urllib.request
import requests
ustcp.patch()
assert issubclass(socket.socket, ustcp.socket)
with socket.socket() as made:
    assert isinstance(made, ustcp.socket)
for kernels in socket.socket(socket.AF_INET, socket.SOCK_DGRAM), *socket.socketpair():
    assert type(kernels) is KERNEL and isinstance(kernels, socket.socket)
    kernels.close()

class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(repr((self.client_address[0], type(self.connection) is socket.socket)).encode())
    def log_message(self, *arguments):
        pass

server = http.server.ThreadingHTTPServer((OURS, 0), Page)
threading.Thread(target=server.serve_forever, args=(0.01,)).start()
url = "http://%s:%d/" % server.server_address
told = repr((OURS, True))
assert urllib.request.urlopen(url).read().decode() == requests.get(url, headers={"Connection": "close"}).text == told
server.shutdown()
server.server_close()
ustcp.unpatch()
assert socket.socket is KERNEL
""",
    )


@pytest.mark.parametrize("how", ["patched", "class", "plain"])
def test_tls(engine, how):
    """The standard library's own `SSLSocket`, on the descriptor."""
    certificate_file, _ = certificate.files()
    play(
        engine,
        """
from harness import certificate
certificate.files = lambda: (sys.argv[2], sys.argv[2].replace("certificate.pem", "key.pem"))
def talk(sock):
    with certificate.of_server().wrap_socket(sock, server_side=True) as tls:
        echo(tls)
address = served(talk)
client, server = certificate.of_client(), certificate.of_server()
if sys.argv[1] == "patched":
    ustcp.patch()
elif sys.argv[1] == "class":
    client.sslsocket_class = server.sslsocket_class = ustcp.SSLSocket

data = bytes(range(256)) * 400
with ustcp.create_connection(address) as sock:
    with client.wrap_socket(sock, server_hostname=PEER) as tls:
        assert isinstance(tls, ssl.SSLSocket) and sock.fileno() == -1
        assert (sys.argv[1] == "plain") != isinstance(tls, ustcp.socket)
        tls.sendall(data)
        got = b""
        while len(got) < len(data):
            got += tls.recv(65536)
        assert got == data and tls.version() == "TLSv1.3"
        if sys.argv[1] != "plain":
            assert tls.getpeername() == address and tls.getsockname()[0] == OURS

with ustcp.create_server((OURS, 0)) as listener:
    answers = []
    def ask():
        with KERNEL() as sock:
            sock.settimeout(SECONDS)
            sock.connect(listener.getsockname())
            with kernels.wrap_socket(sock, server_hostname=OURS) as tls:
                tls.sendall(b"hello")
                answers.append(tls.recv(100))
    kernels = certificate.of_client()
    ustcp.unpatch()
    thread = threading.Thread(target=ask)
    thread.start()
    accepted, _ = listener.accept()
    with server.wrap_socket(accepted, server_side=True) as tls:
        tls.sendall(tls.recv(100).upper())
        assert tls.recv(1) == b""
    thread.join()
    assert answers == [b"HELLO"]
""",
        how,
        str(certificate_file),
    )


def test_errors_are_those_of_the_system(engine):
    play(
        engine,
        """
sock = ustcp.socket()
fails("ENOTCONN", sock.recv, 1)
fails("ENOTCONN", sock.getpeername)
fails("ENOTCONN", sock.shutdown, socket.SHUT_RDWR)
fails("EPIPE", sock.send, b"x")
fails("EINVAL", sock.accept)
fails("EADDRNOTAVAIL", sock.bind, ("192.0.2.1", 0))
fails("ENOPROTOOPT", sock.setsockopt, socket.IPPROTO_TCP, 9999, 1)
assert isinstance(fails("ECONNREFUSED", sock.connect, (PEER, 1)), ConnectionRefusedError)
assert sock.connect_ex((PEER, 1)) == errno.ECONNREFUSED
sock.close()
fails("EBADF", sock.recv, 1)
fails("EBADF", sock.bind, (OURS, 0))
fails("EBADF", ustcp.socket, -1, -1, -1, 0)
fails("EAFNOSUPPORT", ustcp.socket, socket.AF_UNIX)
fails("ESOCKTNOSUPPORT", ustcp.socket, socket.AF_INET, socket.SOCK_DGRAM)
fails("EPROTONOSUPPORT", ustcp.socket, socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_UDP)

with ustcp.create_server((OURS, 0)) as listener:
    fails("EADDRINUSE", ustcp.create_server, listener.getsockname())
    listener.settimeout(0)
    fails("EAGAIN", listener.accept)

def reset(sock):
    sock.recv(1)    # a reset before the end of connect would be that one's error
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\\1\\0\\0\\0\\0\\0\\0\\0")
with ustcp.create_connection(served(reset)) as sock:
    sock.sendall(b"x")
    fails("ECONNRESET", sock.recv, 1)
    fails("EPIPE", sock.send, b"x")

with ustcp.create_connection(served(echo)) as sock:
    fails("EISCONN", sock.connect, (PEER, 1))
    sock.settimeout(0.05)
    try:
        sock.recv(1)
        raise AssertionError("nothing was to come")
    except socket.timeout as error:
        assert error.errno is None
    sock.setblocking(False)
    fails("EAGAIN", sock.recv, 1)
""",
    )


def test_waits_end_as_timeouts_and_signals_say(engine):
    """PEP 475: a handler that returns lets a wait go on with the time that is left; one that raises ends it."""
    play(
        engine,
        """
SILENT = ("10.77.0.9", 80)     # nobody there answers
with ustcp.socket() as sock:
    sock.settimeout(0.2)
    before = time.monotonic()
    try:
        sock.connect(SILENT)
        raise AssertionError("nobody is there")
    except socket.timeout:
        assert time.monotonic() - before > 0.15
with ustcp.socket() as sock:
    sock.setblocking(False)
    assert sock.connect_ex(SILENT) == errno.EINPROGRESS
    assert sock.connect_ex(SILENT) == errno.EALREADY

rings = []
signal.signal(signal.SIGALRM, lambda *_: rings.append(time.monotonic()))
with ustcp.create_server((OURS, 0)) as listener:
    signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
    listener.settimeout(0.4)
    while len(rings) < 3:    # to a program that gets no time many are one
        before = time.monotonic()
        try:
            listener.accept()
            raise AssertionError("nobody asked")
        except socket.timeout:
            assert time.monotonic() - before > 0.35
    listener.settimeout(None)
    came = []
    def ask():
        while len(rings) < 12:
            time.sleep(0.01)
        came.append(asked(listener.getsockname(), b""))
    thread = threading.Thread(target=ask)
    thread.start()
    accepted, _ = listener.accept()
    accepted.close()
    thread.join()
    assert len(rings) >= 12 and came == [b""]
    signal.setitimer(signal.ITIMER_REAL, 0)

    class Rung(Exception):
        pass
    def ring(*_):
        raise Rung
    signal.signal(signal.SIGALRM, ring)
    for wait in listener.accept, lambda: sock.connect(SILENT):
        with ustcp.socket() as sock:
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.1)
                wait()
                raise AssertionError("it did not end")
            except Rung:
                pass
""",
    )


def test_urgent_data_and_options(engine):
    play(
        engine,
        """
got = []
def take(sock):
    sock.sendall(b"ab")
    sock.send(b"!", socket.MSG_OOB)
    while data := sock.recv(100):
        got.append(data)
with ustcp.create_connection(served(take)) as sock:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).rstrip(b"\\0") == b"cubic"
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, b"\\1" + bytes(15))
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, 16) == b"\\1" + bytes(15)
    assert select.select([], [], [sock], SECONDS)[2] == [sock]
    assert sock.recv(100) == b"ab" and sock.recv(1, socket.MSG_OOB) == b"!"
    assert sock.sendmsg([b"one ", b"two"]) == 7
    fails("EOPNOTSUPP", sock.sendmsg, [b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, b"1234")])
    assert sock.sendto(b" three", (PEER, 1)) == 6     # a connection has one peer
    sock.send(b"?", socket.MSG_OOB)
    sock.shutdown(socket.SHUT_WR)
    assert sock.recv(1) == b""
assert b"".join(got) == b"one two three", got      # the urgent byte is beside the stream

with ustcp.create_connection(served(echo)) as sock:
    sock.sendall(b"dropped, kept")
    assert sock.recv(9, socket.MSG_TRUNC | socket.MSG_WAITALL) == bytes(9)
    assert sock.recvmsg(100)[0] == b"kept"
    sock.sendall(b"again")
    assert sock.recvfrom(100) == (b"again", None)
""",
    )


# ---- which stack ----


def test_an_engine_by_its_name(engine):
    """Without USTCP_ENGINE, beside whatever the process has itself."""
    play(
        engine,
        """
stack = ustcp.Stack(engine=sys.argv[1])
with stack, stack.create_connection(served(echo)) as sock, stack.create_server((OURS, 0)) as listener:
    os.write(sock.fileno(), b"native")
    assert os.read(sock.fileno(), 10) == b"native" and sock.dup().detach() > 2
    thread = threading.Thread(target=lambda: asked(listener.getsockname(), b"x"))
    thread.start()
    accepted, _ = listener.accept()
    assert accepted.recv(1) == b"x" and accepted.getpeername()[0] == PEER
    accepted.close()
    thread.join()
assert stack.socket(socket.AF_INET6).detach() > 2
try:
    ustcp.Stack("10.9.0.2/24", engine=sys.argv[1])
    raise AssertionError("an engine has its own address")
except TypeError as error:
    assert str(error).endswith(": address"), error
error = fails("ENETDOWN", lambda: ustcp.Stack(engine=sys.argv[1] + "-none"))
assert f"engine={sys.argv[1]}-none: no engine runs there" in str(error), error
""",
        str(engine.directory),
        USTCP_ENGINE="",
    )


def test_other_stacks_beside_the_engine(engine):
    """Networks and stacks by hand stay inside the process."""
    play(
        engine,
        """
with ustcp.Network() as net:
    client, server = net.host("client"), net.host("server")
    @server.run
    def serve():
        with socket.create_server(("", 80)) as listener:
            sock, _ = listener.accept()
            with sock:
                sock.sendall(sock.recv(100).upper())
    with client, socket.create_connection(("server", 80)) as sock:
        sock.sendall(b"hello")
        assert sock.recv(100) == b"HELLO"
        assert not isinstance(sock, KERNEL)
with ustcp.ManualStack(seed=1, address="10.0.0.1/24").socket() as sock:
    assert sock.connect_ex(("10.0.0.2", 80)) == errno.EINPROGRESS
with ustcp.create_connection(served(echo)) as sock:
    assert isinstance(sock, KERNEL)
""",
    )


def test_the_engine_has_its_own_settings(engine):
    play(
        engine,
        """
ustcp.init()
error = fails("EOPNOTSUPP", lambda: ustcp.init(mtu=1400, tun="ust9"))
assert str(error).endswith(": mtu, tun"), error
ustcp.fini()
ustcp.create_server((OURS, 0)).close()
""",
    )


def test_without_its_engine_a_program_is_told(network, tmp_path):
    script = "import ustcp\ntry:\n    ustcp.socket()\nexcept OSError as error:\n    print(error)"
    for place, why in (("none", "no engine runs there"), ("..", "an engine's name is a file's name or an absolute directory, without control characters")):
        where = str(tmp_path / place) if place == "none" else place
        done = subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "USTCP_ENGINE": where},
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert f"USTCP_ENGINE={where}: {why}" in done.stdout, done.stdout + done.stderr


def test_the_end_of_the_engine_is_a_reset(engine):
    play(
        engine,
        """
import signal
with ustcp.create_connection(served(echo)) as sock:
    pid = int(Path(sys.argv[1]).read_text().split()[4])
    os.kill(pid, signal.SIGKILL)
    fails("ECONNRESET", sock.recv, 1)
    fails("ENETDOWN", lambda: ustcp.create_connection((PEER, 1)))
""",
        str(engine.directory / "engine"),
    )
    engine.kill()


def test_uvloop_is_refused_where_it_would_pass_by(engine):
    """After patch() it would connect and listen on the kernel's TCP, without a word."""
    play(
        engine,
        """
ustcp.patch()
try:
    import uvloop
    raise AssertionError("it was let in")
except ImportError as error:
    assert "ustcp run" in str(error)
""",
    )
