"""Clients that try again, on `ustcp.Network`: written as its documentation says, with nothing of its inside."""

from __future__ import annotations

import concurrent.futures
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest
import ustcp


def connect(address: tuple[str, int], attempts: int = 3, timeout: float = 0.5) -> socket.socket:
    """The plain kind: again after a rest, and each rest is longer."""
    for attempt in range(attempts):
        try:
            return socket.create_connection(address, timeout)
        except OSError:
            if attempt == attempts - 1:
                raise
            time.sleep(0.1 * 2**attempt)
    raise AssertionError("no attempt at all")


class Client:
    """The kind with threads: requests through a queue, answers as futures, a rest that `close` cuts short, a timer for the
    whole of a request, and a condition for who waits until it is idle."""

    def __init__(self, address: tuple[str, int], timeout: float = 0.5, limit: float = 10.0) -> None:
        self._address, self._timeout, self._limit = address, timeout, limit
        self._requests: queue.Queue[tuple[bytes, concurrent.futures.Future[bytes]] | None] = queue.Queue(10)
        self._changed, self._open = threading.Condition(), 0
        self._closed = threading.Event()
        self.attempts: list[float] = []
        self._worker = threading.Thread(target=self._work)
        self._worker.start()

    def request(self, word: bytes) -> concurrent.futures.Future[bytes]:
        answer: concurrent.futures.Future[bytes] = concurrent.futures.Future()
        timer = threading.Timer(self._limit, self._give_up, (answer,))
        timer.start()
        answer.add_done_callback(lambda _: (timer.cancel(), self._count(-1)))
        self._count(1)
        self._requests.put((word, answer), timeout=1)
        return answer

    def wait_idle(self, timeout: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self._open == 0, timeout)

    def close(self) -> None:
        self._closed.set()
        self._requests.put(None)
        self._worker.join()

    def _count(self, change: int) -> None:
        with self._changed:
            self._open += change
            self._changed.notify_all()

    def _give_up(self, answer: concurrent.futures.Future[bytes]) -> None:
        answer.set_exception(TimeoutError("the limit of the request"))

    def _work(self) -> None:
        while (job := self._requests.get()) is not None:
            word, answer = job
            rest = 0.1
            while not answer.done() and not self._closed.is_set():
                self.attempts.append(time.monotonic())
                try:
                    with socket.create_connection(self._address, self._timeout) as sock:
                        sock.sendall(word)
                        reply = sock.recv(100)
                    if not answer.done():
                        answer.set_result(reply)
                except OSError:
                    self._closed.wait(rest)
                    rest *= 2


def serve(server: ustcp.Host, port: int) -> None:
    with server.create_server(("", port)) as listener:
        while True:
            sock, _ = listener.accept()
            with sock:
                sock.sendall(sock.recv(100).upper())


@pytest.fixture
def hosts(ustcp_net: ustcp.Network) -> Iterator[tuple[ustcp.Host, ustcp.Host]]:
    client, server = ustcp_net.host("client"), ustcp_net.host("server")
    server.run(serve, server, 80)
    with client:
        yield client, server


def syns(net: ustcp.Network) -> list[float]:
    return [packet.time for packet in net.timeline.packets if packet.name == "SYN"]


def test_a_lost_syn_ack_costs_an_attempt(ustcp_net, hosts):
    ustcp_net.drop("SYN-ACK")
    with connect(("server", 80)) as sock:
        sock.sendall(b"hello")
        assert sock.recv(100) == b"HELLO"
    assert syns(ustcp_net) == pytest.approx([0, 0.6])
    assert [packet.name for packet in ustcp_net.timeline.packets if packet.lost] == ["SYN+ACK"]


def test_all_lost_is_the_error_of_the_last_attempt(ustcp_net, hosts):
    ustcp_net.drop("SYN-ACK", nth=range(1, 100))
    with pytest.raises(socket.timeout):
        connect(("server", 80))
    assert syns(ustcp_net) == pytest.approx([0, 0.6, 1.3])
    assert ustcp_net.now == pytest.approx(1.8)


@pytest.fixture
def library(hosts: tuple[ustcp.Host, ustcp.Host]) -> Iterator[Callable[..., Client]]:
    made: list[Client] = []

    def make(**options: float) -> Client:
        made.append(Client(("server", 80), **options))
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.mark.timeout(30)
def test_a_library_with_threads_tries_again(ustcp_net, library):
    ustcp_net.drop("SYN-ACK", nth={1, 2})
    client = library()
    answers = [client.request(word) for word in (b"one", b"two")]
    assert not client.wait_idle(timeout=1)
    assert [answer.result(timeout=5) for answer in answers] == [b"ONE", b"TWO"]
    assert client.wait_idle(timeout=0)
    assert client.attempts == pytest.approx([0, 0.6, 1.3, 1.304], abs=0.01)


@pytest.mark.timeout(30)
def test_its_limit_is_kept_and_close_cuts_a_rest_short(ustcp_net, hosts, library):
    ustcp_net.cut(*hosts)
    client = library(limit=3600.0)
    answer = client.request(b"nobody hears it")
    with pytest.raises(concurrent.futures.TimeoutError):
        answer.result(timeout=1800)
    with pytest.raises(TimeoutError, match="the limit"):
        answer.result()
    assert ustcp_net.now == pytest.approx(3600)
    second = library()
    second.request(b"neither")
    ustcp_net.sleep(1)
    second.close()
    assert ustcp_net.now < 3602
