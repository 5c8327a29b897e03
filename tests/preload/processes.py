"""Programs that hand sockets from process to process, as tests/test_preload_processes.py runs them on an engine. Nothing in
here knows of ustcp.

    processes.py NAME WORD...
"""

from __future__ import annotations

import errno
import hashlib
import os
import resource
import socket
import subprocess
import sys
import threading

HOST = "10.77.0.2"


def listening(port: int = 0) -> socket.socket:
    listener = socket.create_server((HOST, port), backlog=64)
    listener.settimeout(60)
    return listener


def pair() -> tuple[socket.socket, socket.socket]:
    with listening() as listener:
        client = socket.create_connection(listener.getsockname())
        return client, listener.accept()[0]


def receive_all(sock: socket.socket) -> bytes:
    text = b""
    while data := sock.recv(65536):
        text += data
    return text


def forks(count: str) -> None:
    """Children come and go, by fork, vfork and posix_spawn, while bytes flow in other threads."""
    client, server = pair()
    over = threading.Event()
    sent, received = hashlib.sha256(), hashlib.sha256()

    def send() -> None:
        while not over.is_set():
            block = os.urandom(20_000)
            sent.update(block)
            client.sendall(block)
        client.shutdown(socket.SHUT_WR)

    def receive() -> None:
        while data := server.recv(65536):
            received.update(data)

    threads = [threading.Thread(target=send), threading.Thread(target=receive)]
    for thread in threads:
        thread.start()
    name = client.getsockname()
    for number in range(int(count)):
        if number % 20 == 0:
            subprocess.run(["true"], check=True, close_fds=number % 40 == 0)  # vfork
        elif number % 20 == 1:
            os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0)
        else:
            child = os.fork()
            if child == 0:
                fine = client.getsockname() == name and server.getpeername() == name
                with socket.socket() as fresh:
                    fresh.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                os._exit(0 if fine else 1)
            assert os.waitpid(child, 0)[1] == 0
    over.set()
    for thread in threads:
        thread.join(60)
    assert sent.digest() == received.digest()
    print("the same")


def executes() -> None:
    """A program that knows nothing of sockets has one as its standard input and output."""
    client, server = pair()
    cat = subprocess.Popen(["cat"], stdin=server, stdout=server)
    server.close()
    client.sendall(b"through another program")
    client.shutdown(socket.SHUT_WR)
    print(receive_all(client).decode())
    assert cat.wait(60) == 0


def passes() -> None:
    """A connection and a listener go to a process that was there before them."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    other = subprocess.Popen([sys.executable, __file__, "takes", str(theirs.fileno())], pass_fds=[theirs.fileno()])
    theirs.close()
    client, server = pair()
    listener = listening()
    port = listener.getsockname()[1]
    socket.send_fds(ours, [b"two"], [server.fileno(), listener.fileno()])
    server.close()
    listener.close()
    assert ours.recv(16) == b"have them"  # nobody else does
    client.sendall(b"by a connection")
    client.shutdown(socket.SHUT_WR)
    print(receive_all(client).decode())
    with socket.create_connection((HOST, port)) as second:
        second.sendall(b"by a listener")
        second.shutdown(socket.SHUT_WR)
        print(receive_all(second).decode())
    assert other.wait(60) == 0


def takes(number: str) -> None:
    channel = socket.socket(fileno=int(number))
    _, descriptors, _, _ = socket.recv_fds(channel, 16, 2)
    server, listener = (socket.socket(fileno=descriptor) for descriptor in descriptors)
    channel.send(b"have them")
    assert listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1
    listener.setblocking(True)  # O_NONBLOCK came with it
    server.sendall(receive_all(server)[::-1])
    server.close()
    accepted, _ = listener.accept()
    accepted.sendall(receive_all(accepted)[::-1])
    accepted.close()


def exhausts(count: str) -> None:
    """Two threads accept with few descriptor numbers left; what they cannot take waits until they can."""
    listener = listening(7000)
    print("listens", flush=True)
    sys.stdin.readline()  # all have connected
    room = 8
    highest = max(int(name) for name in os.listdir("/proc/self/fd")) + 1
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + room, highest + room))
    seen: set[int] = set()
    full = 0
    held: list[socket.socket] = []
    lock = threading.Lock()

    def let_go() -> None:
        while held:
            with held.pop() as connection:
                seen.add(int(connection.recv(16)))

    def work() -> None:
        nonlocal full
        while True:
            try:
                connection, _ = listener.accept()
            except OSError as error:
                if error.errno == errno.EINVAL:  # the other has the last one
                    return
                assert error.errno == errno.EMFILE, error
                with lock:
                    full += 1
                    let_go()
                continue
            with lock:
                held.append(connection)
                if len(seen) + len(held) == int(count):
                    listener.shutdown(socket.SHUT_RD)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    let_go()
    assert full > 0, "the limit was never met"
    print(sorted(seen) == list(range(int(count))), len(seen))


def closes() -> None:
    """close_range takes every descriptor, and the peers learn of it."""
    client, server = pair()
    os.closerange(client.fileno(), client.fileno() + 1)
    print(receive_all(server) == b"")


if __name__ == "__main__":
    {f.__name__: f for f in (forks, executes, passes, takes, exhausts, closes)}[sys.argv[1]](*sys.argv[2:])
