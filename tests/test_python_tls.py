"""`ustcp.SSLSocket`: TLS over our sockets, its records moved by hand; the peer is `ssl.SSLSocket` on the kernel's TCP."""

from __future__ import annotations

import contextlib
import errno
import select
import socket
import ssl
import struct
import threading

import pytest
import ustcp

from harness import certificate
from harness.netns import PEER

SIZE = 8 << 20
SECONDS = 20


def ours_to(theirs_side: bool) -> ssl.SSLContext:
    context = certificate.of_server() if theirs_side else certificate.of_client()
    context.sslsocket_class = ustcp.SSLSocket
    return context


@contextlib.contextmanager
def connected(we_serve: bool, **options):
    """Our end and the kernel's, their handshake done."""
    with socket.create_server((PEER, 0)) as listener:
        plain = ustcp.create_connection(listener.getsockname(), SECONDS)
        theirs, _ = listener.accept()
        theirs.settimeout(SECONDS)
    found = []

    def shake():
        context = certificate.of_client() if we_serve else certificate.of_server()
        name = PEER if we_serve else None
        found.append(context.wrap_socket(theirs, server_side=not we_serve, server_hostname=name))

    thread = threading.Thread(target=shake)
    thread.start()
    name = None if we_serve else PEER
    ours = ours_to(we_serve).wrap_socket(plain, server_side=we_serve, server_hostname=name, **options)
    thread.join()
    with ours, found[0]:
        yield ours, found[0]


@pytest.fixture(params=["client", "server"])
def pair(request, stack):
    with connected(request.param == "server") as both:
        yield both


def test_both_ways_at_once(pair):
    """One thread of ours reads while another writes."""
    ours, theirs = pair
    text = bytes(range(256)) * (SIZE // 256)
    received = {}

    def receive():
        heard = bytearray()
        while len(heard) < SIZE:
            heard += ours.recv(1 << 16)
        received["ours"] = bytes(heard)

    def talk():
        received["theirs"] = certificate.exchange(theirs, text, SIZE)

    threads = [threading.Thread(target=receive), threading.Thread(target=talk)]
    threads.append(threading.Thread(target=ours.sendall, args=(text,)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert received == {"ours": text, "theirs": text}


def test_what_it_tells_is_what_the_other_end_tells(pair):
    ours, theirs = pair
    assert isinstance(ours, ustcp.SSLSocket) and isinstance(theirs, ssl.SSLSocket)
    assert ours.version() == theirs.version() and ours.cipher() == theirs.cipher()
    assert ours.getpeername() == theirs.getsockname()
    assert bool(ours.getpeercert()) is not bool(theirs.getpeercert())
    assert ours.get_channel_binding("tls-unique") == theirs.get_channel_binding("tls-unique")
    assert ours.pending() == 0 and ours.compression() is None and ours.selected_alpn_protocol() is None
    assert ours.fileno() >= 0 and ours.session_reused in (True, False)


def test_files_sendfile_and_recv_into(pair, tmp_path):
    ours, theirs = pair
    path = tmp_path / "file"
    path.write_bytes(bytes(100_000))
    with path.open("rb") as file:
        assert ours.sendfile(file) == 100_000
    with theirs.makefile("rb") as heard:
        assert heard.read(100_000) == bytes(100_000)
    theirs.sendall(b"one line\nand more")
    with ours.makefile("rb", buffering=0) as heard:
        assert heard.readline() == b"one line\n"
    buffer = bytearray(20)
    assert ours.recv_into(buffer) == 8 and buffer[:8] == b"and more"


def test_the_end_of_tls_is_the_end_of_the_stream(pair):
    ours, theirs = pair
    thread = threading.Thread(target=lambda: theirs.unwrap())
    thread.start()
    assert ours.recv(10) == b""
    plain = ours.unwrap()
    thread.join()
    assert plain is ours and ours.version() is None
    with pytest.raises(ValueError, match="No SSL wrapper"):
        ours.unwrap()


def test_what_follows_tls_in_the_clear_is_there(pair):
    """The peer's first words in the clear come with its last record in one segment: not one byte of them is lost."""
    ours, theirs = pair

    def end_and_go_on():
        plain = theirs.unwrap()
        plain.sendall(b"in the clear")
        theirs_plain.append(plain)

    theirs_plain = []
    thread = threading.Thread(target=end_and_go_on)
    thread.start()
    plain = ours.unwrap()
    with plain:
        assert plain.recv(100) == b"in the clear"
    thread.join()
    theirs_plain[0].close()


def test_an_end_without_a_word(stack):
    # SSL_OP_IGNORE_UNEXPECTED_EOF: older Pythons have OpenSSL take it for an ordinary end.
    taken_for_an_end = certificate.of_client().options & 0x80
    for ragged in (True,) if taken_for_an_end else (True, False):
        with connected(False, suppress_ragged_eofs=ragged) as (ours, theirs):
            socket.socket.close(theirs)
            if ragged:
                assert ours.recv(10) == b""
            else:
                with pytest.raises(ssl.SSLEOFError):
                    ours.recv(10)


def test_a_timeout(pair):
    ours, _ = pair
    ours.settimeout(0.05)
    with pytest.raises(ustcp.timeout):
        ours.recv(1)


def test_non_blocking(stack):
    """Every call that would wait says for what; after a write that could not go, the same write is repeated."""
    with connected(False) as (ours, theirs):
        ours.setblocking(False)
        with pytest.raises(ssl.SSLWantReadError):
            ours.recv(1)
        pieces = [bytes([number % 256]) * 16384 for number in range(2000)]
        heard, sent, refused = bytearray(), 0, 0

        def read():
            while len(heard) < 2000 * 16384 and (piece := theirs.recv(1 << 20)):
                heard.extend(piece)

        reader = threading.Thread(target=read)
        while sent < len(pieces):
            try:
                assert ours.send(pieces[sent]) == 16384
                sent += 1
            except ssl.SSLWantWriteError:
                if not refused:
                    reader.start()
                refused += 1
                assert select.select([], [ours], [], SECONDS)[1]
        assert refused
        reader.join()
        assert heard == b"".join(pieces)
        theirs.sendall(b"x")
        assert waited(ours, lambda: ours.recv(1)) == b"x"


def waited(sock, call):
    while True:
        try:
            return call()
        except ssl.SSLWantReadError:
            assert select.select([sock], [], [], SECONDS)[0]


def test_a_non_blocking_handshake(stack):
    with socket.create_server((PEER, 0)) as listener:
        plain = ustcp.create_connection(listener.getsockname(), SECONDS)
        theirs, _ = listener.accept()
    thread = threading.Thread(target=lambda: certificate.of_server().wrap_socket(theirs, server_side=True).close())
    thread.start()
    plain.setblocking(False)
    context = ours_to(False)
    with pytest.raises(ValueError, match="non-blocking"):
        context.wrap_socket(plain, server_hostname=PEER)
    with context.wrap_socket(plain, server_hostname=PEER, do_handshake_on_connect=False) as ours:
        waited(ours, ours.do_handshake)
        assert ours.version()
    thread.join()


def test_a_connect_that_is_not_over_yet_sends_nothing_in_the_clear(stack):
    with socket.create_server((PEER, 0)) as listener:
        address = listener.getsockname()
        with ours_to(False).wrap_socket(ustcp.socket(), server_hostname=PEER) as ours:
            ours.setblocking(False)
            assert ours.connect_ex(address) == errno.EINPROGRESS
            with pytest.raises((ssl.SSLWantReadError, ssl.SSLWantWriteError)):
                ours.send(b"secret")
            assert select.select([], [ours], [], SECONDS)[1]
            theirs, _ = listener.accept()
            thread = threading.Thread(target=answer_capitals, args=(theirs,))
            thread.start()
            waited(ours, ours.do_handshake)
            assert ours.send(b"secret") == 6
            assert waited(ours, lambda: ours.recv(100)) == b"SECRET"
            with pytest.raises(ValueError, match="already-connected"):
                ours.connect(address)
            thread.join()


def answer_capitals(sock):
    with certificate.of_server().wrap_socket(sock, server_side=True) as sock:
        sock.sendall(sock.recv(100).upper())


def test_nor_does_one_that_ran_out_of_time():
    with ustcp.Network(weather="delay=1s") as net:
        client, server = net.host("client"), net.host("server")

        @server.run
        def first():
            with server.create_server(("", 443)) as listener, listener.accept()[0] as sock:
                return sock.recv(1)

        with ours_to(False).wrap_socket(client.socket(), server_hostname="server") as ours:
            ours.settimeout(0.5)
            with pytest.raises(ustcp.timeout):
                ours.connect(("server", 443))
            net.sleep(5)
            with pytest.raises(OSError):
                ours.send(b"secret")
        assert first.join() in (b"", b"\x16")


def test_a_reader_is_not_held_up_by_a_writer(stack):
    """The peer reads nothing while it sends: were a read to wait for the thread that writes, both ends would stand."""
    size = 60 << 20
    with connected(False) as (ours, theirs):

        def echo():
            while heard := theirs.recv(1 << 16):
                theirs.sendall(heard)

        threads = [threading.Thread(target=echo), threading.Thread(target=ours.sendall, args=(bytes(size),))]
        for thread in threads:
            thread.start()
        left = size
        while left:
            left -= len(ours.recv(1 << 16))
        threads[1].join()
        ours.shutdown(socket.SHUT_RDWR)
        threads[0].join()


def test_a_write_that_ran_out_of_time_is_not_another(stack):
    """What the TLS object has taken is sent once: by the same write again, or by sendall of the same."""
    with connected(False) as (ours, theirs):
        ours.settimeout(0.05)
        whole = bytearray()
        while True:
            piece = bytes([len(whole) >> 14 & 255]) * 16384
            try:
                whole += piece[: ours.send(piece)]
            except ustcp.timeout:
                break
        with pytest.raises(ssl.SSLError, match="bad write retry"):
            ours.send(b"another")
        ours.settimeout(SECONDS)
        whole += piece + b"end"
        thread = threading.Thread(target=ours.sendall, args=(piece + b"end",))
        thread.start()
        heard = bytearray()
        while len(heard) < len(whole):
            heard += theirs.recv(1 << 20)
        thread.join()
        ours.shutdown(socket.SHUT_RDWR)
        assert heard == whole


def test_a_certificate_that_is_not_trusted_ends_it(stack):
    with socket.create_server((PEER, 0)) as listener:
        plain = ustcp.create_connection(listener.getsockname(), SECONDS)
        theirs, _ = listener.accept()
    told = []

    def serve():
        try:
            certificate.of_server().wrap_socket(theirs, server_side=True)
        except ssl.SSLError as error:
            told.append(error.reason)

    thread = threading.Thread(target=serve)
    thread.start()
    context = ssl.create_default_context()
    context.sslsocket_class = ustcp.SSLSocket
    with pytest.raises(ssl.SSLCertVerificationError):
        context.wrap_socket(plain, server_hostname=PEER)
    thread.join()
    theirs.close()
    assert told == ["TLSV1_ALERT_UNKNOWN_CA"] and plain.fileno() == -1


def test_listeners_and_connect(stack):
    context = ours_to(True)
    with context.wrap_socket(ustcp.create_server(("", 0)), server_side=True) as listener:
        port = listener.getsockname()[1]

        def serve():
            sock, _ = listener.accept()
            with sock:
                assert isinstance(sock, ustcp.SSLSocket)
                sock.sendall(sock.recv(100).upper())

        thread = threading.Thread(target=serve)
        thread.start()
        with ours_to(False).wrap_socket(ustcp.socket(), server_hostname="localhost") as client:
            client.connect(("localhost", port))
            client.sendall(b"inside")
            assert client.recv(100) == b"INSIDE"
            with pytest.raises(ValueError):
                client.connect(("localhost", port))
        thread.join()
        with pytest.raises(ValueError):
            listener.connect(("localhost", port))


def test_what_is_not_of_tls(pair):
    ours, _ = pair
    for call in (lambda: ours.recv(1, socket.MSG_PEEK), lambda: ours.send(b"x", socket.MSG_OOB), lambda: ours.sendto(b"x", ("", 1))):
        with pytest.raises(ValueError):
            call()
    for call in (ours.dup, lambda: ours.recvmsg(1), lambda: ours.sendmsg([b"x"])):
        with pytest.raises(NotImplementedError):
            call()
    with pytest.raises(TypeError):
        ustcp.SSLSocket()
    with ustcp.socket() as sock:
        with pytest.raises(ValueError, match="server_hostname"):
            ours_to(False).wrap_socket(sock)


def test_it_is_taken_for_what_the_standard_library_has(pair):
    """By `ftplib`, `http.client`, `asyncio` and others, which ask for the class, and for what is not public of it."""
    ours, theirs = pair
    assert isinstance(ours, ssl.SSLSocket) and isinstance(ours, socket.socket)
    assert type(ours) is ustcp.SSLSocket and repr(ours).startswith("<ustcp.SSLSocket ")
    assert type(ours._sslobj) is type(theirs._sslobj) and ours._sslobj.version() == theirs.version()
    missing = {name for name in dir(theirs) if not hasattr(ours, name)}
    assert {name for name in missing if not name.startswith("_")} <= {"sendmsg_afalg"}  # of AF_ALG
    ours.shutdown(socket.SHUT_RDWR)
    assert ours._sslobj is None


def test_callbacks_of_the_context_are_handed_the_socket(stack):
    """A server that changes the context by the name that is asked for, as `sni_callback` is for."""
    first, second = ours_to(True), ours_to(True)
    asked = []

    def choose(sock, name, context):
        asked.append((type(sock), name, context is first))
        sock.context = second

    first.sni_callback = choose
    with socket.create_server((PEER, 0)) as listener:
        plain = ustcp.create_connection(listener.getsockname(), SECONDS)
        theirs, _ = listener.accept()
    context = certificate.of_client()
    thread = threading.Thread(target=lambda: context.wrap_socket(theirs, server_hostname="localhost").close())
    thread.start()
    with first.wrap_socket(plain, server_side=True) as ours:
        assert asked == [(ustcp.SSLSocket, "localhost", True)]
        assert ours.context is second and ours._sslobj.context is second
    thread.join()


def test_words_before_tls_of_a_peer_that_is_gone_are_not_taken_for_its_own(stack):
    """CVE-2023-40217: without this they would come out of a socket that says it is of TLS."""
    with socket.create_server((PEER, 0)) as listener:
        plain = ustcp.create_connection(listener.getsockname(), SECONDS)
        theirs, _ = listener.accept()
    with theirs:
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        theirs.sendall(b"in the clear")
        assert select.select([plain], [], [], SECONDS)[0]
    poller = select.poll()
    poller.register(plain, select.POLLHUP)
    assert poller.poll(SECONDS * 1000)
    with pytest.raises(ssl.SSLError, match="before TLS handshake with data"):
        ours_to(False).wrap_socket(plain, server_hostname=PEER)
    assert plain.fileno() == -1


def test_tls_inside_of_tls_is_refused(pair):
    """A second layer by wrap_socket would go past the first, in the clear for the peer."""
    ours, theirs = pair
    with pytest.raises(ValueError, match="TLS inside of TLS"):
        ours_to(False).wrap_socket(ours, server_hostname=PEER)
    ours.sendall(b"still TLS")
    assert theirs.recv(100) == b"still TLS"


def test_before_tls_has_begun(stack):
    calls = [
        lambda sock: sock.recv(1), lambda sock: sock.recv_into(bytearray(1)), lambda sock: sock.recvfrom(1),
        lambda sock: sock.recvfrom_into(bytearray(1)), lambda sock: sock.send(b"x"), lambda sock: sock.sendall(b"x"),
        lambda sock: sock.sendto(b"x", (PEER, 1)), lambda sock: sock.do_handshake(), lambda sock: sock.getpeercert(),
    ]  # fmt: skip
    context = ours_to(False)
    with context.wrap_socket(ustcp.socket(), server_hostname="k\u00f6nig.example") as ours:
        assert ours.server_hostname == "xn--knig-5qa.example" and ours._sslobj is None
        ours.context = context
        for call in calls:
            with pytest.raises(OSError) as caught:
                call(ours)
            assert caught.value.errno == errno.ENOTCONN
