"""asyncio on ustcp's sockets: the standard library's event loop takes them as they are."""

from __future__ import annotations

import asyncio
import socket
import threading

import ustcp

from harness.netns import PEER

SIZE = 4 << 20


def test_streams_both_ways(ours):
    """A server and a client of asyncio on our sockets, the peers in threads on the kernel's."""

    async def echo(reader, writer):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()

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
