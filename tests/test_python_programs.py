"""What uses `socket` uses ustcp after `ustcp.patch()`: clients and servers of HTTP and TLS, the peers on the kernel's TCP."""

from __future__ import annotations

import asyncio
import http.client
import http.server
import importlib.util
import os
import socket
import ssl
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator

import pytest
import ustcp

from harness import certificate
from harness.netns import OURS, PEER

PAGE = bytes(range(256)) * 2000
SECONDS = 20


class Pages(http.server.BaseHTTPRequestHandler):
    """A page by GET, which says who asked; by POST what was sent."""

    protocol_version = "HTTP/1.1"
    callers: list[str] = []

    def do_GET(self):
        self.callers.append(self.client_address[0])
        self.answer(PAGE)

    def do_POST(self):
        self.answer(self.rfile.read(int(self.headers["Content-Length"])))

    def answer(self, body: bytes):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


def serve(host: str, context: ssl.SSLContext | None) -> tuple[http.server.ThreadingHTTPServer, Callable[[], None]]:
    server = http.server.ThreadingHTTPServer((host, 0), Pages)
    server.daemon_threads = False
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()

    def end():
        server.shutdown()
        thread.join()
        server.server_close()

    return server, end


@pytest.fixture(params=["http", "https"])
def kernels_pages(request, stack) -> Iterator[str]:
    """The address of a server on the kernel's TCP."""
    Pages.callers = []
    server, end = serve(PEER, certificate.of_server() if request.param == "https" else None)
    yield f"{request.param}://{PEER}:{server.server_port}/"
    end()


def by_http_client(url: str) -> bytes:
    scheme, _, rest = url.partition("://")
    host = rest.rstrip("/")
    if scheme == "https":
        connection = http.client.HTTPSConnection(host, timeout=SECONDS, context=certificate.of_client())
    else:
        connection = http.client.HTTPConnection(host, timeout=SECONDS)
    connection.request("POST", "/", body=PAGE)
    assert connection.getresponse().read() == PAGE
    assert isinstance(connection.sock, ustcp.socket)
    connection.request("GET", "/")  # the same connection once more
    page = connection.getresponse().read()
    connection.close()
    return page


def by_urllib(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=SECONDS, context=certificate.of_client()) as answer:
        return answer.read()


def by_requests(url: str) -> bytes:
    import requests

    with requests.Session() as session:
        session.trust_env = False
        session.verify = str(certificate.files()[0])
        assert session.post(url, data=PAGE, timeout=SECONDS).content == PAGE
        return session.get(url, timeout=SECONDS).content


def by_urllib3(url: str) -> bytes:
    import urllib3

    with urllib3.PoolManager(ca_certs=str(certificate.files()[0]), timeout=SECONDS) as pool:
        assert pool.request("POST", url, body=PAGE).data == PAGE
        return pool.request("GET", url).data


def by_aiohttp(url: str) -> bytes:
    import aiohttp

    async def fetch() -> bytes:
        async with aiohttp.ClientSession() as session:
            async with session.get(url, ssl=certificate.of_client()) as answer:
                return await answer.read()

    return asyncio.run(fetch())


@pytest.mark.parametrize("fetch", [by_http_client, by_urllib, by_requests, by_urllib3, by_aiohttp])
def test_clients(kernels_pages, patched, fetch):
    assert fetch(kernels_pages) == PAGE
    assert Pages.callers == [OURS]


# ---- servers of ours; the client is another process, on the kernel's TCP

CLIENT = """
import ssl, sys, urllib.request
context = ssl.create_default_context(cafile=sys.argv[2])
for body in (None, bytes(range(256)) * 2000):
    with urllib.request.urlopen(sys.argv[1], data=body, timeout=20, context=context) as answer:
        sys.stdout.buffer.write(answer.read())
"""


def fetch_by_kernel(url: str) -> bytes:
    command = [sys.executable, "-c", CLIENT, url, str(certificate.files()[0])]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_http_server(patched, scheme):
    Pages.callers = []
    server, end = serve(OURS, certificate.of_server() if scheme == "https" else None)
    try:
        assert isinstance(server.socket, ustcp.socket)
        assert fetch_by_kernel(f"{scheme}://{OURS}:{server.server_port}/") == 2 * PAGE
    finally:
        end()
    assert Pages.callers == [PEER]


async def application(scope, receive, send):
    """What ASGI asks for: a page, or back what was sent."""
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body or PAGE})


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_uvicorn(patched, scheme):
    import uvicorn

    tls = {}
    if scheme == "https":
        cert, key = certificate.files()
        tls = {"ssl_certfile": str(cert), "ssl_keyfile": str(key)}
    config = uvicorn.Config(application, host=OURS, port=8000, log_level="warning", lifespan="on", **tls)
    server = uvicorn.Server(config)
    began = threading.Event()
    startup = server.startup

    async def start(*arguments, **options):
        await startup(*arguments, **options)
        began.set()

    server.startup = start
    thread = threading.Thread(target=server.run)
    thread.start()
    assert began.wait(SECONDS)
    try:
        assert fetch_by_kernel(f"{scheme}://{OURS}:8000/") == 2 * PAGE
        assert type(server.servers[0].sockets[0]._sock).__mro__[-2].__module__ == "ustcp._ustcp"
    finally:
        server.should_exit = True
        thread.join()


def test_a_server_of_aiohttp(patched):
    from aiohttp import web

    async def answer(request):
        return web.Response(body=await request.read() or PAGE)

    async def scenario():
        app = web.Application(client_max_size=1 << 22)
        app.router.add_route("*", "/", answer)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, OURS, 8001, ssl_context=certificate.of_server())
        await site.start()
        loop = asyncio.get_running_loop()
        page = await loop.run_in_executor(None, fetch_by_kernel, f"https://{OURS}:8001/")
        await runner.cleanup()
        return page

    assert asyncio.run(scenario()) == 2 * PAGE


# ---- what patch leaves alone, and what it refuses


def test_only_tcp_is_ours(patched):
    with socket.socket() as sock, socket.socket(socket.AF_UNIX) as other, socket.socket(type=socket.SOCK_DGRAM) as udp:
        assert isinstance(sock, ustcp.socket) and isinstance(sock, socket.socket)
        for foreign in (other, udp):
            assert not isinstance(foreign, ustcp.socket) and isinstance(foreign, socket.socket)
    one, two = socket.socketpair()
    with one, two:
        assert not isinstance(one, ustcp.socket)
        assert one.send(b"x") == 1 and two.recv(1) == b"x"

    class Derived(socket.socket):
        pass

    with Derived() as derived:
        assert isinstance(derived, ustcp.socket) and issubclass(Derived, socket.socket)


def test_unpatch_undoes_it(stack):
    places = [(socket, "socket"), (socket, "SocketType"), (socket, "fromfd"), (socket, "close"), (os, "sendfile")]
    places.append((ssl.SSLContext, "sslsocket_class"))
    before = [getattr(place, name) for place, name in places]
    finders = list(sys.meta_path)
    for _ in range(2):
        ustcp.patch()
        ustcp.patch()
        assert all(getattr(place, name) is not was for (place, name), was in zip(places, before))
        ustcp.unpatch()
        ustcp.unpatch()
        assert [getattr(place, name) for place, name in places] == before
        assert sys.meta_path == finders


def test_what_needs_a_native_descriptor_says_so(patched, tmp_path):
    file = tmp_path / "file"
    file.write_bytes(PAGE)
    with ustcp.create_server(("", 0)) as listener, file.open("rb") as source:
        with ustcp.create_connection(("localhost", listener.getsockname()[1])) as sock:
            with pytest.raises(OSError, match="USTCP_ENGINE"):
                os.sendfile(sock.fileno(), source.fileno(), 0, 100)
            accepted, _ = listener.accept()
            with accepted:
                assert sock.sendfile(source) == len(PAGE)
                sock.shutdown(socket.SHUT_WR)
                assert accepted.makefile("rb").read() == PAGE
    with pytest.raises(ImportError, match="USTCP_ENGINE"):
        import uvloop  # noqa: F401


def test_connections_of_multiprocessing_say_that_they_need_one(patched):
    from multiprocessing.connection import Client, Listener

    with Listener(("", 0), family="AF_INET") as listener:
        for attempt in (lambda: Client(("localhost", listener.address[1])), listener.accept):
            with pytest.raises(OSError, match="multiprocessing.*AF_UNIX.*USTCP_ENGINE"):
                attempt()
    with Listener(family="AF_UNIX") as listener:
        ends = []
        thread = threading.Thread(target=lambda: ends.append(listener.accept()))
        thread.start()
        with Client(listener.address) as client:
            thread.join()
            client.send("as ever")
            assert ends[0].recv() == "as ever"
        ends[0].close()


def test_whoever_looks_for_uvloop_finds_it(patched):
    """What is there is there; only its import is an error. What is not there is not, and what is turned off stays that."""
    for name in ("uvloop", "uvloop.loop"):
        spec = importlib.util.find_spec("uvloop")
        assert spec is not None and spec.origin and spec.origin.endswith("__init__.py")
        with pytest.raises(ImportError, match="USTCP_ENGINE"):
            importlib.import_module(name)
    assert "uvloop" not in sys.modules
    path = sys.path
    sys.path = []
    importlib.invalidate_caches()
    try:
        assert importlib.util.find_spec("uvloop") is None
        with pytest.raises(ModuleNotFoundError, match="No module named 'uvloop'"):
            importlib.import_module("uvloop")
    finally:
        sys.path = path


def test_uvloop_that_is_turned_off_hinders_nothing(stack, monkeypatch):
    monkeypatch.setitem(sys.modules, "uvloop", None)
    ustcp.patch()
    try:
        assert importlib.util.find_spec("uvloop") is None
        with ustcp.create_server((OURS, 0)):
            asyncio.run(asyncio.sleep(0))
    finally:
        ustcp.unpatch()


def test_ssl_never_takes_the_descriptor_unasked(stack):
    with ustcp.socket() as sock, pytest.raises(OSError, match=r"sslsocket_class.*USTCP_ENGINE"):
        certificate.of_server().wrap_socket(sock, server_side=True)


def test_a_context_of_ones_own_without_patch(stack):
    """`sslsocket_class` is how ssl itself lets another class in; sockets of the system's go on as ever."""
    context = certificate.of_client()
    context.sslsocket_class = ustcp.SSLSocket
    server, end = serve(PEER, certificate.of_server())
    try:
        with ustcp.create_connection((PEER, server.server_port)) as sock:
            with context.wrap_socket(sock, server_hostname=PEER) as tls:
                assert isinstance(tls, ustcp.SSLSocket) and tls.version() == "TLSv1.3"
        with socket.socket() as sock:
            assert isinstance(context.wrap_socket(sock, server_hostname=PEER), ssl.SSLSocket)
    finally:
        end()
