"""asyncio on ustcp's sockets: the standard library's event loop takes them as they are, and after `ustcp.patch()` makes
them. trio does too."""

from __future__ import annotations

import asyncio
import selectors
import socket
import ssl
import subprocess
import sys
import threading

import pytest
import ustcp

from harness import certificate
from harness.netns import OURS, PEER

SIZE = 4 << 20
CROWD = 500


class KernelLoop:
    """An event loop of the kernel's sockets in a thread of its own, made before anything is patched."""

    def __init__(self, server_of, host=PEER, **options):
        self._made = threading.Event()
        self._server_of, self._options = server_of, options
        self.thread = threading.Thread(target=lambda: asyncio.run(self.main()))
        self.listener = socket.create_server((host, 0), backlog=CROWD)
        self.address = self.listener.getsockname()

    async def main(self):
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._server_of, sock=self.listener, **self._options)
        self._made.set()
        await self._end.wait()
        server.close()

    def __enter__(self):
        self.thread.start()
        assert self._made.wait(20)
        return self

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self._end.set)
        self.thread.join()


async def echo(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


def test_streams_both_ways(ours):
    """A server and a client of asyncio on our sockets, the peers in threads on the kernel's."""

    async def scenario(listener, connection):
        server = await asyncio.start_server(echo, sock=listener)
        reader, writer = await asyncio.open_connection(sock=connection)
        writer.writelines([bytes(SIZE), b"the end"])
        writer.write_eof()
        received = await reader.read()
        writer.close()
        await writer.wait_closed()
        await asyncio.get_running_loop().run_in_executor(None, ask, server.sockets[0].getsockname())
        server.close()
        await server.wait_closed()
        return received

    def ask(address):
        with socket.create_connection(address, 20) as sock:
            for turn in range(20):
                sock.sendall(b"%d" % turn)
                assert sock.recv(100) == b"%d" % turn

    def kernel_echo(sock):
        with sock:
            while data := sock.recv(65536):
                sock.sendall(data)

    connection, theirs = ours.connect()
    listener = ours.server()
    for sock in (connection, listener):
        sock.setblocking(False)
    thread = threading.Thread(target=kernel_echo, args=(theirs,))
    thread.start()
    received = asyncio.run(scenario(listener, connection))
    thread.join()
    assert received == bytes(SIZE) + b"the end"


def test_the_loops_own_socket_calls(stack):
    async def scenario(address):
        loop = asyncio.get_running_loop()
        with ustcp.socket() as sock:
            sock.setblocking(False)
            await loop.sock_connect(sock, address)
            await loop.sock_sendall(sock, b"hello")
            return await loop.sock_recv(sock, 100)

    with socket.create_server((PEER, 0)) as listener:

        def answer():
            connection, _ = listener.accept()
            with connection:
                connection.sendall(connection.recv(100).upper())

        thread = threading.Thread(target=answer)
        thread.start()
        assert asyncio.run(scenario(listener.getsockname())) == b"HELLO"
        thread.join()


def test_five_hundred_connections_at_once(stack):
    async def talk(address, number, all_there):
        reader, writer = await asyncio.open_connection(*address)
        assert writer.get_extra_info("sockname")[0] == OURS
        await all_there.wait()
        for turn in range(3):
            word = b"%d/%d" % (number, turn)
            writer.write(word)
            assert await reader.readexactly(len(word)) == word
        writer.close()
        await writer.wait_closed()

    async def scenario(address):
        all_there = asyncio.Barrier(CROWD) if hasattr(asyncio, "Barrier") else asyncio.Event()
        if isinstance(all_there, asyncio.Event):
            all_there.set()
        await asyncio.gather(*(talk(address, number, all_there) for number in range(CROWD)))

    with KernelLoop(echo) as peer:
        ustcp.patch()
        try:
            asyncio.run(scenario(peer.address))
        finally:
            ustcp.unpatch()


@pytest.mark.parametrize("side", ["client", "server"])
def test_tls(stack, side):
    """TLS of asyncio over our sockets, the other end over the kernel's."""

    async def ask(address, **options):
        reader, writer = await asyncio.open_connection(*address, ssl=certificate.of_client(), **options)
        writer.write(bytes(SIZE))
        received = await reader.readexactly(SIZE)
        writer.close()
        await writer.wait_closed()
        return received

    async def serve():
        server = await asyncio.start_server(echo, OURS, 0, ssl=certificate.of_server())
        address = server.sockets[0].getsockname()
        loop = asyncio.get_running_loop()
        async with server:
            return await loop.run_in_executor(None, by_kernel, address)

    system = socket.socket

    def by_kernel(address):
        with system() as sock:
            sock.settimeout(20)
            sock.connect(address)
            context = certificate.of_client()
            context.sslsocket_class = ssl.SSLSocket
            with context.wrap_socket(sock, server_hostname=address[0]) as tls:
                return certificate.exchange(tls, bytes(SIZE), SIZE)

    if side == "server":
        ustcp.patch()
        try:
            assert asyncio.run(serve()) == bytes(SIZE)
        finally:
            ustcp.unpatch()
        return
    with KernelLoop(echo, ssl=certificate.of_server()) as peer:
        ustcp.patch()
        try:
            assert asyncio.run(ask(peer.address)) == bytes(SIZE)
        finally:
            ustcp.unpatch()


@pytest.mark.parametrize("patch", [False, True])
def test_sendfile(stack, tmp_path, patch):
    """The loop's sendfile finds that the native one declines, and sends by itself."""
    file = tmp_path / "file"
    file.write_bytes(bytes(range(256)) * 4096)

    async def scenario(address):
        loop = asyncio.get_running_loop()
        sock = ustcp.create_connection(address)
        sock.setblocking(False)
        with file.open("rb") as source:
            reader, writer = await asyncio.open_connection(sock=sock)
            sent = await loop.sendfile(writer.transport, source)
            writer.write_eof()
            received = await reader.read()
            writer.close()
            await writer.wait_closed()
            return sent, received

    with KernelLoop(echo) as peer:
        if patch:
            ustcp.patch()
        try:
            sent, received = asyncio.run(scenario(peer.address))
        finally:
            ustcp.unpatch()
    assert sent == len(received) and received == file.read_bytes()


@pytest.mark.parametrize(
    "selector", [selectors.SelectSelector, selectors.PollSelector, selectors.EpollSelector], ids=lambda kind: kind.__name__
)
def test_every_selector_carries_a_loop(patched, selector):
    async def scenario():
        server = await asyncio.start_server(echo, "localhost", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
        writer.write(bytes(SIZE))
        received = await reader.readexactly(SIZE)
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()
        return received

    loop = asyncio.SelectorEventLoop(selector())
    try:
        assert loop.run_until_complete(scenario()) == bytes(SIZE)
    finally:
        loop.close()


TRIO = """
import sys
from functools import partial
import ustcp
ustcp.patch()
import trio

SIZE = 4 << 20

async def serve(stream):
    async for data in stream:
        await stream.send_all(data)

async def main():
    async with trio.open_nursery() as nursery:
        stream = await trio.open_tcp_stream("10.77.0.1", int(sys.argv[1]))
        print(stream.socket.getsockname()[0])
        nursery.start_soon(stream.send_all, bytes(SIZE))
        received = 0
        while received < SIZE:
            received += len(await stream.receive_some())
        await stream.aclose()
        listeners = await nursery.start(partial(trio.serve_tcp, serve, 0, host="127.0.0.1"))
        port = listeners[0].socket.getsockname()[1]
        async with await trio.open_tcp_stream("127.0.0.1", port) as inner:
            await inner.send_all(b"inside the stack")
            print(await inner.receive_some())
        nursery.cancel_scope.cancel()

trio.run(main)
"""


def test_trio(namespace):
    """trio takes the methods of `socket.socket` when it is imported, so that is after `patch`."""
    with KernelLoop(echo, host="0.0.0.0") as peer:
        command = namespace.command(sys.executable, "-c", TRIO, str(peer.address[1]))
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert not done.stderr, done.stderr
    assert done.stdout == f"{OURS}\nb'inside the stack'\n"
