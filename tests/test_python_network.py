"""`ustcp.Network`: hosts, weather and faults under virtual time, and code that blocks on it."""

from __future__ import annotations

import _thread
import asyncio
import errno
import hashlib
import http.client
import http.server
import os
import queue
import random
import select
import selectors
import smtplib
import socket
import socketserver
import struct
import subprocess
import sys
import threading
import time
import urllib.request
import xml.etree.ElementTree
from pathlib import Path
from select import select as select_of_the_system
from time import perf_counter as real_clock
from typing import Any

import pytest
import ustcp

from harness import certificate

SIZE = 300_000


@pytest.fixture
def net():
    with ustcp.Network(seed=1) as network:
        yield network


def pair(net: ustcp.Network) -> tuple[ustcp.Host, ustcp.Host]:
    return net.host("client"), net.host("server")


def echo(server: ustcp.Host, port: int = 80, times: int = 1) -> ustcp.Task:
    def serve() -> int:
        total = 0
        with server.create_server(("", port)) as listener:
            for _ in range(times):
                sock, _ = listener.accept()
                with sock:
                    while data := sock.recv(65536):
                        sock.sendall(data)
                        total += len(data)
        return total

    return server.run(serve)


def transfer(seed: int, weather: str) -> ustcp.Network:
    """Bytes there and back, whatever the weather, and both ends closed to the end of TIME-WAIT."""
    text = random.Random(seed).randbytes(SIZE)
    with ustcp.Network(seed=seed, weather=weather) as net:
        client, server = pair(net)
        task = echo(server)

        def send(sock: ustcp.socket) -> None:
            sock.sendall(text)
            sock.shutdown(socket.SHUT_WR)

        with client.create_connection(("server", 80)) as sock:
            sender = client.run(send, sock)
            received = bytearray()
            while data := sock.recv(65536):
                received += data
            sender.join()
        assert received == text and task.join() == SIZE
        net.run_until_idle()
    return net


def digest(net: ustcp.Network) -> str:
    sums = hashlib.sha256()
    for packet in net.timeline.packets:
        sums.update(struct.pack("<d", packet.time) + packet.data)
        for arrival in packet.arrivals:
            sums.update(struct.pack("<d", arrival.time))
    return sums.hexdigest()[:16]


FOUL = "loss=3%,reorder=2%,duplicate=1%,corrupt=1%,delay=5ms,jitter=2ms,rate=20mbit,queue=50"


def test_every_fault_at_once_and_the_bytes_arrive():
    net = transfer(7, FOUL)
    fates = {packet.lost for packet in net.timeline.packets}
    assert "chance" in fates
    for what in ("duplicated", "corrupted", "reordered", "retransmission"):
        assert any(getattr(packet, what) for packet in net.timeline.packets), what
    damaged = [arrival for packet in net.timeline.packets if packet.corrupted for arrival in packet.arrivals]
    assert any(arrival.dropped for arrival in damaged)


def test_a_seed_is_the_same_packets_on_every_run():
    """In another process, too, with other hashes and a thread that takes processor time away at any moment. What chance
    draws is integers, and held to published numbers by the tests of the simulation: the same on every machine."""
    program = (
        "import threading, sys; sys.path.insert(0, sys.argv[1]); from test_python_network import *\n"
        "busy = threading.Thread(target=lambda: [i * i for i in iter(int, 1)], daemon=True); busy.start()\n"
        "sys.setswitchinterval(1e-4); print(digest(transfer(7, FOUL)))"
    )
    command = [sys.executable, "-c", program, str(Path(__file__).parent)]
    environment = {**os.environ, "PYTHONHASHSEED": "77"}
    other = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100, check=True).stdout.strip()
    assert digest(transfer(7, FOUL)) == other
    assert digest(transfer(8, FOUL)) != other


def test_the_packets_of_a_seed_are_those_that_are_committed():
    """On every machine. Who changes what the stack or the weather does finds the new digest in the failure."""
    assert digest(transfer(7, FOUL)) == "c5a16dfb0f069a95"


def test_sixty_seconds_of_time_wait_pass_at_once(net):
    client, server = pair(net)
    echo(server)
    client.create_connection(("server", 80)).close()
    net.run_until_idle()
    assert net.timeline.states(client)[-2:] == ["TIME-WAIT", "CLOSED"]
    assert net.now > 60


def test_ten_minutes_of_retransmission(net):
    client, server = pair(net)
    echo(server)
    sock = client.create_connection(("server", 80))
    net.partition(client, server)
    sock.sendall(b"into the void")
    with pytest.raises(OSError) as given_up:
        sock.recv(1)
    assert given_up.value.errno == errno.ETIMEDOUT
    assert net.now > 600
    again = [packet for packet in net.timeline.between("client", "server") if packet.retransmission]
    assert len(again) > 10 and {packet.lost for packet in again} == {"partition"}
    sock.close()


def test_a_lost_syn_ack_is_asked_for_again(net):
    client, server = pair(net)
    echo(server)
    net.drop("SYN-ACK")
    client.create_connection(("server", 80)).close()
    assert 1 <= net.now < 1.1
    lost = [entry for entry in net.timeline if entry.kind == "lost"]
    assert [(entry.host, entry.cause, entry.packet.name) for entry in lost] == [("server", "script", "SYN+ACK")]


def test_drops_count_from_now_on_by_kind_number_and_way(net):
    client, server = pair(net)
    echo(server, times=2)
    with client.create_connection(("server", 80)) as sock:
        net.drop("data", nth={2, 3}, source=server)
        for word in (b"one", b"two", b"three"):
            sock.sendall(word)
            assert sock.recv(10) == word
    lost = [packet for packet in net.timeline.packets if packet.lost]
    assert [packet.source.name for packet in lost] == ["server"] * 2
    with pytest.raises(ValueError, match="PING"):
        net.drop("ping")


def test_a_hook_sees_changes_and_loses(net):
    client, server = pair(net)
    echo(server)
    seen: list[Any] = []

    @net.hook
    def look(packet):
        seen.append((packet.source.name, packet.name))
        if packet.name == "SYN" and len(seen) == 1:
            return False
        if packet.length and not packet.retransmission:
            return packet.data[:-1] + bytes([packet.data[-1] ^ 1])  # its checksum is wrong now
        return None

    with client.create_connection(("server", 80)) as sock:
        sock.sendall(b"hello")
        assert sock.recv(10) == b"hello"
    assert seen[0] == ("client", "SYN") and net.timeline.packets[0].lost == "hook"
    changed = [packet for packet in net.timeline.packets if packet.length and not packet.retransmission]
    assert [packet.arrivals[0].dropped for packet in changed] == ["Checksum"] * len(changed)


def test_weather_changes_and_links_are_cut_and_mended(net):
    client, server = pair(net)
    echo(server)
    with client.create_connection(("server", 80)) as sock:
        for weather, least in (("delay=1s", 2.0), ("delay=1ms", 0.002)):
            net.weather(weather)
            begun = net.now
            sock.sendall(b"x")
            assert sock.recv(1) == b"x"
            assert net.now - begun == pytest.approx(least)
        net.cut(client, server)
        sock.settimeout(5)
        sock.sendall(b"y")
        with pytest.raises(ustcp.timeout):
            sock.recv(1)
        net.mend()
        assert sock.recv(1) == b"y"
    with pytest.raises(ValueError):
        net.weather("rain")
    with pytest.raises(ValueError):
        ustcp.Network(weather="rain")
    for weather in ("drop=in:FIN#1", "delay=1ms, drop = out:syn"):
        with pytest.raises(ValueError, match="drop=.*: a link between hosts .* net.drop"):
            ustcp.Network(weather=weather)


@pytest.mark.parametrize("weather", ["loss=50%,seed=5", "loss=50%, seed = 5"])
def test_a_seed_told_with_the_weather_goes_before_the_networks(weather):
    def survivors(seed: int) -> list[bytes]:
        link = ustcp._ustcp.Link(weather, seed)
        for number in range(64):
            link.send(bytes([number]), 0)
        return list(iter(lambda: link.poll(1_000_000), None))

    assert survivors(1) == survivors(2)
    assert 0 < len(survivors(1)) < 64


def test_partitions_by_group(net):
    a, b, c = (net.host(name) for name in "abc")
    for host in (a, b, c):
        echo(host, times=2)
    net.partition([a, b])
    a.create_connection(("b", 80)).close()
    with pytest.raises(ustcp.timeout):
        a.create_connection(("c", 80), timeout=2)
    net.mend(a, c)
    a.create_connection(("c", 80)).close()


# ---- code that knows nothing of it


class Pages(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = f"{self.client_address[0]} {self.path}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


def pages(tls: bool) -> None:
    server = http.server.ThreadingHTTPServer(("", 443 if tls else 80), Pages)
    if tls:
        server.socket = certificate.of_server().wrap_socket(server.socket, server_side=True)
    server.serve_forever()


def test_http_server_urllib_and_requests(net):
    import requests

    client, server = pair(net)
    server.run(pages, False)
    with client:
        assert urllib.request.urlopen("http://server/one").read() == b"10.77.0.1 /one"
        with requests.Session() as session:
            session.trust_env = False
            assert [session.get(f"http://server/{n}").text for n in range(3)] == [f"10.77.0.1 /{n}" for n in range(3)]
    assert 0 < net.now < 1


def test_tls_over_a_bad_line():
    certificate.files()  # by another program, which a task cannot wait for
    with ustcp.Network(seed=3, weather="loss=10%,delay=10ms") as net:
        client, server = pair(net)
        server.run(pages, True)
        with client:
            connection = http.client.HTTPSConnection("server", context=certificate.of_client())
            for turn in range(5):
                connection.request("GET", f"/{turn}")
                assert connection.getresponse().read() == f"10.77.0.1 /{turn}".encode()
            assert isinstance(connection.sock, ustcp.SSLSocket)
            connection.close()


def test_sleep_and_the_clocks_are_the_networks(net):
    before = (time.time(), time.monotonic(), time.perf_counter(), time.monotonic_ns())
    time.sleep(3600)
    after = (time.time(), time.monotonic(), time.perf_counter(), time.monotonic_ns())
    assert [b - a for a, b in zip(before, after)] == [3600, 3600, 3600, 3600 * 10**9]
    assert net.now == 3600


def test_a_threads_threads_are_of_its_host(net):
    client, server = pair(net)
    echo(server, times=3)
    found = []

    def ask(number):
        sock = socket.create_connection(("server", 80))
        sock.sendall(b"%d" % number)
        found.append((sock.getsockname()[0], sock.recv(10)))
        sock.close()

    with client:
        threads = [threading.Thread(target=ask, args=(number,)) for number in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(found) == [("10.77.0.1", b"%d" % number) for number in range(3)]


@pytest.mark.parametrize("kind", [selectors.SelectSelector, selectors.PollSelector, selectors.EpollSelector])
def test_selectors_wait_in_the_networks_time(net, kind):
    client, server = pair(net)
    echo(server)
    sock = client.create_connection(("server", 80))
    with sock, kind() as selector:
        selector.register(sock, selectors.EVENT_READ)
        begun = net.now
        assert selector.select(10) == [] and net.now - begun == pytest.approx(10)
        sock.sendall(b"x")
        [(key, events)] = selector.select(10)
        assert key.fileobj is sock and events == selectors.EVENT_READ
        assert sock.recv(1) == b"x"
        selector.modify(sock, selectors.EVENT_WRITE)
        assert [events for _, events in selector.select()] == [selectors.EVENT_WRITE]
    assert select.select([], [], [], 0) == ([], [], [])


def test_asyncio_in_a_task(net):
    client, server = pair(net)

    async def serve():
        async def answer(reader, writer):
            writer.write((await reader.readline()).upper())
            await writer.drain()
            writer.close()

        async with await asyncio.start_server(answer, "0.0.0.0", 80) as listening:
            await listening.serve_forever()

    async def ask(number):
        reader, writer = await asyncio.open_connection(server.address, 80)
        await asyncio.sleep(100 - number)
        writer.write(b"word %d\n" % number)
        line = await reader.readline()
        writer.close()
        await writer.wait_closed()
        return line

    async def ask_all():
        return await asyncio.gather(*(ask(number) for number in range(50)))

    server.run(lambda: asyncio.run(serve()))
    assert client.run(lambda: asyncio.run(ask_all())).join() == [b"WORD %d\n" % number for number in range(50)]
    assert 100 < net.now < 101


def test_an_error_in_a_threads_thread_is_told_as_ever(net, monkeypatch):
    told = []
    monkeypatch.setattr(threading, "excepthook", lambda what: told.append(what.exc_type))
    thread = threading.Thread(target=lambda: 1 // 0)
    thread.start()
    thread.join()
    assert told == [ZeroDivisionError] and not thread.is_alive()


def test_hosts_of_either_family_and_their_knobs():
    with ustcp.Network(seed=1) as net:
        client = net.host("client", "fd77::1/64,10.1.0.1/24")
        server = net.host("server", "fd77::2/64,10.1.0.2/24", tcp_syn_retries=2)
        assert server.stack.get("tcp_syn_retries") == "2" and server.address == "fd77::2"
        with server.create_server(("", 80), family=socket.AF_INET6, dualstack_ipv6=True) as listener:
            for host, seen in (("server", "fd77::1"), ("10.1.0.2", "::ffff:10.1.0.1")):
                with client.create_connection((host, 80)) as sock:
                    accepted, peer = listener.accept()
                    accepted.close()
                    assert peer[0] == seen and sock.recv(1) == b""
        begun = net.now
        with pytest.raises(OSError) as given_up:
            server.create_connection(("10.1.0.9", 80))
        assert given_up.value.errno == errno.ETIMEDOUT and net.now - begun < 10
        assert net.timeline.packets[-1].lost == "no route"
    with pytest.raises(ValueError, match="already"), ustcp.Network() as net:
        net.host("one"), net.host("one")


def test_asyncio_resolves_names_and_has_its_threads(net):
    client, server = pair(net)
    echo(server, times=2)

    def block(word):
        with socket.create_connection(("server", 80)) as sock:
            sock.sendall(word)
            time.sleep(5)
            return sock.recv(100)

    def fail():
        raise LookupError("in a thread")

    async def scenario():
        reader, writer = await asyncio.open_connection("server", 80)
        writer.write(b"by name")
        heard = await reader.read(100)
        writer.close()
        with pytest.raises(LookupError):
            await asyncio.to_thread(fail)
        return heard, await asyncio.to_thread(block, b"in a thread")

    assert client.run(lambda: asyncio.run(scenario())).join() == (b"by name", b"in a thread")
    assert net.now == pytest.approx(5, abs=0.1)


class Mail(socketserver.StreamRequestHandler):
    """As much of SMTP as a letter takes, TLS in the middle of it included."""

    letters: list[bytes] = []

    def handle(self):
        self.say("220 server")
        while word := self.rfile.readline().split():
            command = word[0].upper()
            if command == b"EHLO":
                self.say("250-server", "250 STARTTLS")
            elif command == b"STARTTLS":
                self.say("220 go ahead")
                self.request = certificate.of_server().wrap_socket(self.request, server_side=True)
                self.rfile, self.wfile = self.request.makefile("rb"), self.request.makefile("wb", buffering=0)
            elif command == b"DATA":
                self.say("354 end with a dot")
                self.letters.append(b"".join(iter(self.rfile.readline, b".\r\n")))
                self.say("250 taken")
            else:
                self.say("221 bye" if command == b"QUIT" else "250 well")

    def say(self, *lines):
        self.wfile.write("".join(f"{line}\r\n" for line in lines).encode())


def test_smtplib_with_tls_from_the_middle_on(net):
    certificate.files()
    client, server = pair(net)
    Mail.letters = []
    server.run(lambda: socketserver.TCPServer(("", 25), Mail).serve_forever())
    with client, smtplib.SMTP("server", 25) as smtp:
        smtp.starttls(context=certificate.of_client())
        assert isinstance(smtp.sock, ustcp.SSLSocket)
        smtp.sendmail("a@client", ["b@server"], "Subject: hello\r\n\r\nover ustcp\r\n")
    assert Mail.letters == [b"Subject: hello\r\n\r\nover ustcp\r\n"]


def test_aiohttp_in_a_task(net):
    import aiohttp

    client, server = pair(net)
    server.run(pages, False)

    async def fetch():
        async with aiohttp.ClientSession() as session:
            async with session.get("http://server/page") as answer:
                return await answer.text()

    assert client.run(lambda: asyncio.run(fetch())).join() == "10.77.0.1 /page"


# ---- tasks


def test_a_tasks_exception_is_its_joiners(net):
    client = net.host("client")

    def fail():
        net.sleep(1)
        raise KeyError("lost")

    with pytest.raises(KeyError, match="lost"):
        client.run(fail).join()
    with pytest.raises(TimeoutError):
        client.run(net.sleep, 10).join(timeout=5)


def test_a_tasks_exception_that_nobody_joined_is_raised_at_the_end():
    with pytest.raises(ZeroDivisionError), ustcp.Network() as net:
        net.host("client").run(lambda: 1 // 0)
        net.sleep(1)


def test_what_still_waits_is_ended():
    ended = []
    with ustcp.Network() as net:
        client, server = pair(net)

        @server.run
        def serve():
            try:
                with server.create_server(("", 80)) as listener:
                    while True:
                        try:
                            listener.accept()
                        except Exception:
                            pass
            finally:
                ended.append("server")

        client.create_connection(("server", 80)).close()
    assert ended == ["server"]
    assert threading.active_count() == 1 or all("serve" not in thread.name for thread in threading.enumerate())


def test_waiting_for_what_never_comes_is_told(net):
    client, server = pair(net)
    echo(server)
    client.create_connection(("server", 80), timeout=None).close()
    net.run_until_idle()
    listener = client.create_server(("", 80))
    with listener, pytest.raises(ustcp.Stuck, match=r"nothing is left to happen after 60\.\d+ s"):
        listener.accept()


def test_what_waits_is_told_with_the_error_before_it(net):
    client, server = pair(net)

    @server.run
    def serve():
        with server.create_server(("", 80)) as listener, listener.accept()[0]:
            raise KeyError("why it waits for ever")

    listener = client.create_server(("", 80))
    client.create_connection(("server", 80)).close()
    with listener, pytest.raises(ustcp.Stuck, match=r"task main> in test_.*listener\.accept\(\)") as stuck:
        listener.accept()
    assert isinstance(stuck.value.__cause__, KeyError)
    with pytest.raises(KeyError):
        serve.join()


def test_no_error_of_a_task_is_lost(monkeypatch):
    told = []
    monkeypatch.setattr(threading, "excepthook", lambda hook: told.append(str(hook.exc_value)))

    def fail(text):
        raise ValueError(text)

    with pytest.raises(ValueError, match="first"), ustcp.Network() as net:
        for text in ("first", "second"):
            net.host(text).run(fail, text)
        net.sleep(1)
    with pytest.raises(KeyError), ustcp.Network() as net:
        net.host("third").run(fail, "third")
        net.sleep(1)
        raise KeyError
    assert told == ["second", "third"]


def test_hosts_are_told_by_name_too(net):
    client, server = pair(net)
    echo(server)

    def refused():
        with pytest.raises(OSError):
            client.create_connection(("server", 80), timeout=2)

    for cut in (lambda: net.partition("client", "server"), lambda: net.cut("server", client), lambda: net.partition(["client"])):
        cut()
        refused()
        net.mend("client")
    net.weather("loss=100%", "client", "server")
    refused()
    net.weather("delay=1ms")
    net.drop("SYN", source="client", destination=server)
    begin = net.now
    client.create_connection(("server", 80)).close()
    assert net.now - begin >= 1
    assert list(net.timeline.between(client, "server")) == list(net.timeline.between("client", server)) != []
    assert net.timeline.states("client") == net.timeline.states(client) != []


def test_what_is_no_host_of_the_network_is_an_error(net):
    client, _ = pair(net)
    stranger = ustcp.Network().host("client")
    for who, kind in (("clinet", ValueError), (stranger, ValueError), (7, TypeError)):
        for call in (
            lambda who=who: net.partition([who]),
            lambda who=who: net.cut(client, who),
            lambda who=who: net.mend(who),
            lambda who=who: net.weather("delay=1ms", who),
            lambda who=who: net.drop("SYN", source=who),
        ):
            with pytest.raises(kind):
                call()
    for call in (lambda: net.timeline.states("clinet"), lambda: net.timeline.between("clinet", client), lambda: net.cut(client, client)):
        with pytest.raises(ValueError):
            call()
    for nth in (0, set(), {1, -1}):
        with pytest.raises(ValueError, match="from 1"):
            net.drop("SYN", nth)


@pytest.mark.parametrize(
    "told, number, error",
    [
        ({"tcp_sack": "x"}, errno.EINVAL, "tcp_sack='x': tcp_sack takes 0 or 1"),
        ({"mtu": 67}, errno.EINVAL, "mtu=67: mtu takes 128 to 65535"),
        ({"address": "10.1.2.4"}, errno.EINVAL, "'10.1.2.4': address takes addresses .* prefix, as 10.77.0.2/24"),
    ],
)
def test_a_host_that_cannot_be_says_what_is_allowed(net, told, number, error):
    with pytest.raises(OSError, match=error) as refused:
        net.host("client", **told)
    assert refused.value.errno == number and not net.hosts


def test_a_keyword_of_a_host_that_is_no_knob_says_which_there_are(net):
    with pytest.raises(TypeError, match='tcp_sak.*: there is no "tcp_sak", but ip_default_ttl, .*tcp_sack, .*tso'):
        net.host("client", tcp_sak=1)
    assert not net.hosts


def test_a_host_has_the_addresses_that_it_is_told(net):
    host = net.host("both", ["192.0.2.1/24", "fd00::1/64"])
    assert host.address == "192.0.2.1" and host.stack.get("address") == "192.0.2.1/24,fd00::1/64"


@pytest.mark.parametrize("name", ["", None, 5])
def test_a_host_is_called_by_a_name(net, name):
    with pytest.raises(ValueError, match="called by its name"):
        net.host(name)


def test_what_is_no_function_is_told_at_once(net):
    for take in (net.host("client").run, net.hook):
        with pytest.raises(TypeError, match="a function is wanted, not 5"):
            take(5)


def test_no_sleep_is_shorter_than_none(net):
    for sleep in (net.sleep, time.sleep):
        with pytest.raises(ValueError, match="non-negative"):
            sleep(-1)
    assert net.now == 0


@pytest.mark.parametrize("verdict", [True, "text", 0])
def test_what_a_hook_must_not_return(net, verdict):
    client, _ = pair(net)
    net.hook(lambda packet: verdict)
    with pytest.raises(TypeError, match="a hook returns"):
        client.create_connection(("server", 80))


def test_no_two_hosts_have_an_address(net):
    net.host("told", "10.77.0.2/24")
    assert net.host("next").address == "10.77.0.3"
    for taken in ("10.77.0.2/24", "10.77.0.9/24,10.77.0.3/24"):
        with pytest.raises(ValueError, match="is the address of"):
            net.host("other", taken)
    assert net.host("other").address == "10.77.0.4"


@pytest.mark.timeout(30)
@pytest.mark.parametrize("who", ["a task", "the main task"])
@pytest.mark.parametrize("what", ["lock", "simple queue"])
def test_a_wait_outside_of_the_networks_time_is_an_error(what, who):
    """At what was made before the network: by the main task, and by one whose host has others that could run."""
    lock = threading.Lock()
    lock.acquire()
    native = queue.SimpleQueue()

    def wait() -> object:
        return lock.acquire() if what == "lock" else native.get()

    with ustcp.Network(patience=0.2) as net, pytest.raises(ustcp.Stuck, match="waits at a lock, .*") as stuck:
        host = net.host("host")
        if who == "a task":
            host.run(wait).join()
        else:
            host.run(net.sleep, 1000)
            wait()
    assert Path(__file__).name in str(stuck.value) and "native.get()" in str(stuck.value)


def test_who_computes_or_takes_time_of_the_system_is_left_alone():
    """More of the real clock than the patience, busy and asleep, beside a thread that wants the interpreter all the time."""
    over = threading.Event()
    busy = threading.Thread(target=lambda: [None for _ in iter(over.is_set, True)])
    busy.start()
    try:
        with ustcp.Network(patience=0.1) as net:
            host = net.host("host")

            def work() -> int:
                end = real_clock() + 0.5
                while real_clock() < end:
                    pass
                select_of_the_system([], [], [], 0.5)
                return 7

            assert host.run(work).join() == 7
    finally:
        over.set()
        busy.join()


class SlowThread(threading.Thread):
    """Has not begun for more of the real clock than the patience, as on a machine without a processor to spare."""

    def _bootstrap(self) -> None:
        time.sleep(0.5)
        super()._bootstrap()


@pytest.mark.parametrize("who", ["a task", "the main task"])
def test_who_waits_until_a_thread_has_begun_is_left_alone(who):
    with ustcp.Network(patience=0.1) as net:
        start = SlowThread(target=net.sleep, args=(5,)).start
        start() if who == "the main task" else net.host("host").run(start).join()
        net.run_until_idle()


def test_a_network_goes_on_without_the_task_that_was_stuck():
    lock = threading.Lock()
    lock.acquire()
    with ustcp.Network(patience=0.2) as other:
        stuck = other.host("host").run(lock.acquire)
        with pytest.raises(ustcp.Stuck):
            stuck.join()
        assert other.host("second").run(other.sleep, 5).join() is None and other.now == 5.0
        lock.release()


def test_an_error_of_a_hook_is_the_tests(net):
    client, server = pair(net)

    @net.hook
    def fails(packet):
        raise LookupError("of the hook")

    with pytest.raises(LookupError, match="of the hook"):
        client.create_connection(("server", 80))
    net._hooks.clear()


def test_other_threads_cannot_wait_on_it(net):
    client, _ = pair(net)
    sock = client.create_server(("", 80))
    found = []

    def foreign():
        try:
            sock.accept()
        except RuntimeError as error:
            found.append(str(error))

    done = _thread.allocate_lock()
    done.acquire()
    _thread.start_new_thread(lambda: (foreign(), done.release()), ())
    done.acquire()
    assert "only the tasks of a network" in found[0]
    sock.close()


def test_names_are_as_before_once_it_is_closed():
    def names() -> list[object]:
        clocks = [getattr(time, name) for name in ("time", "monotonic", "perf_counter", "sleep")]
        waits = [select.select, select.poll, select.epoll, threading.Thread.start, threading.Thread.join]
        waits += [vars(selectors.EpollSelector)["_selector_cls"], vars(selectors.SelectSelector)["_select"]]
        return [*clocks, *waits, socket.socket, socket.getaddrinfo]

    before = names()
    with ustcp.Network():
        assert all(now is not was for now, was in zip(names(), before))
    assert names() == before
    with pytest.raises(RuntimeError), ustcp.Network() as net, net:
        pass


# ---- sockets and where they are made


@pytest.mark.parametrize(
    "make",
    [
        lambda: socket.socket(),
        lambda: socket.create_connection(("127.0.0.1", 9)),
        lambda: socket.create_server(("127.0.0.1", 0)),
        lambda: urllib.request.urlopen("http://server/"),
        lambda: ustcp.socket(),
        lambda: ustcp.create_connection(("server", 80)),
        lambda: asyncio.run(asyncio.open_connection("127.0.0.1", 9)),
    ],
)
def test_a_socket_of_no_host_is_an_error_and_none_of_the_real_network(net, make):
    pair(net)
    with pytest.raises(RuntimeError, match="with host:"):
        make()
    found: list[BaseException] = []

    def caught() -> None:
        try:
            make()
        except RuntimeError as error:
            found.append(error)

    thread = threading.Thread(target=caught)
    thread.start()
    thread.join()
    assert "with host:" in str(found)


def test_what_is_no_socket_of_the_real_network_may_be_made(net):
    host = net.host("host")
    socket.socket(socket.AF_UNIX).close()
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close()
    ustcp.ManualStack(seed=1).socket().close()
    with host:
        sock = socket.socket()
        sock.bind(("", 80))
        with socket.socket(fileno=sock.detach()) as again:
            assert again.getsockname() == ("0.0.0.0", 80)
    made = []
    done = _thread.allocate_lock()
    done.acquire()
    _thread.start_new_thread(lambda: (made.append(socket.socket()), done.release()), ())
    done.acquire()
    made[0].close()


def test_the_arguments_of_create_connection_are_those_of_the_standard_library(net):
    client, server = pair(net)
    echo(server, times=4)
    with client.create_connection(("server", 80), 5, (client.address, 7000)) as sock:
        assert sock.gettimeout() == 5 and sock.getsockname() == (client.address, 7000)
    for address in ((b"server", 80), ("server", "80"), (b"server", b"http")):
        with client.create_connection(address) as sock:
            assert sock.getpeername() == (server.address, 80)
    with client.create_server(("", 81)), client.create_connection((None, "81")) as sock:
        assert sock.getpeername() == ("127.0.0.1", 81)
    with pytest.raises(ustcp.gaierror):
        client.create_connection(("server", "no such service"))
    with pytest.raises(OverflowError):
        client.create_connection(("server", 70_000))


def test_the_typed_program_runs():
    """`make check-python` has its types checked."""
    program = Path(__file__).parent / "python_types" / "network.py"
    subprocess.run([sys.executable, str(program)], timeout=100, check=True)


def test_the_package_lists_what_it_has():
    assert set(ustcp.__all__) <= set(dir(ustcp))
    for name in ustcp.__all__:
        assert getattr(ustcp, name) is not None
    with pytest.raises(AttributeError, match="no_such_name"):
        ustcp.no_such_name


# ---- what is left to look at


def conversation() -> ustcp.Network:
    with ustcp.Network(seed=5, weather="delay=10ms") as net:
        client, server = pair(net)
        echo(server)
        net.drop("FIN")
        with client.create_connection(("server", 80)) as sock:
            sock.sendall(b"hello")
            assert sock.recv(10) == b"hello"
        net.run_until_idle()
    return net


def test_the_timeline_tells_times_states_and_causes():
    timeline = conversation().timeline
    received = [entry for entry in timeline if entry.kind == "received" and entry.packet.name == "SYN"]
    [syn] = received
    assert (syn.time, syn.host, syn.before, syn.after) == (0.01, "server", "LISTEN", "SYN-RECEIVED")
    assert syn.local == ("10.77.0.2", 80) and syn.remote[0] == "10.77.0.1"
    closing = [entry for entry in timeline if entry.cause == "UserClosed" and entry.host == "client"]
    assert [(entry.before, entry.after) for entry in closing] == [("ESTABLISHED", "FIN-WAIT-1")]
    assert closing[0].packet is None
    caused = [entry for entry in timeline if entry.kind == "transition" and entry.after == "CLOSE-WAIT"]
    assert caused[0].packet.name == "FIN+ACK" and caused[0].packet.retransmission
    assert [timeline.relative(packet)[0] for packet in timeline.between("client", "server")][:3] == [0, 1, 1]


def test_pictures_of_it(tmp_path):
    timeline = conversation().timeline
    text = timeline.text()
    assert "FIN+ACK seq 6 ack 6" in text and "lost: script" in text and "LISTEN, now SYN-RECEIVED" in text
    assert "TIME-WAIT, now CLOSED" in text.splitlines()[-1]
    mermaid = timeline.mermaid()
    assert mermaid.startswith("sequenceDiagram\n    participant h0 as client\n") and "h0-xh1: FIN+ACK" in mermaid
    svg = xml.etree.ElementTree.fromstring(timeline.svg())
    lines = [line.get("class") for line in svg.iter("{http://www.w3.org/2000/svg}line")]
    arrived = sum(len(packet.arrivals) for packet in timeline.packets)
    assert lines.count("way") == arrived and lines.count("lost") == 1 and lines.count("lane") == 2
    names = timeline.save(tmp_path, "it")
    assert [name.rpartition(".")[2] for name in names] == ["txt", "mermaid", "svg", "pcapng"]


def test_the_capture_has_an_interface_for_each_host():
    timeline = conversation().timeline
    blocks = list(blocks_of(timeline.pcapng()))
    assert [kind for kind, _ in blocks[:3]] == [0x0A0D0D0A, 1, 1]
    packets = [body for kind, body in blocks if kind == 6]
    arrived = sum(len(packet.arrivals) for packet in timeline.packets)
    assert len(packets) == len(timeline.packets) + arrived
    place, high, low, captured, length = struct.unpack("<IIIII", packets[0][:20])
    assert (place, (high << 32) + low, captured, length) == (0, 946_684_800 * 10**9, length, captured)
    assert packets[0][20 : 20 + length] == timeline.packets[0].data


def blocks_of(capture: bytes):
    while capture:
        kind, length = struct.unpack("<II", capture[:8])
        assert struct.unpack("<I", capture[length - 4 : length]) == (length,)
        yield kind, capture[8 : length - 4]
        capture = capture[length:]
