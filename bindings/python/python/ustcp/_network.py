"""`ustcp.Network`: hosts in one process, links with weather between them, and a clock that jumps from event to event."""

from __future__ import annotations

import hashlib
import socket as _host
import threading
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Optional, TypeVar, Union, cast

from . import _patch, _schedule, _socket, _ustcp, _virtual
from ._manual import ManualStack
from ._schedule import Task
from ._timeline import Arrival, NetworkPacket, Timeline
from ._watchdog import Watchdog

if TYPE_CHECKING:
    from typing_extensions import ParamSpec, Self

    P = ParamSpec("P")

T = TypeVar("T")
_Kind = Optional[type[BaseException]]
Hook = Callable[[NetworkPacket], Union[bytes, bool, None]]

_ONE_WAY = "delay=1ms"
_SUBNET = "10.77.0."
# Seconds of the real clock.
_PATIENCE = 10.0
# Packets that one host may hand out at one instant before it is held to be a loop.
_FLOOD = 100_000
_KINDS = ("SYN", "SYN-ACK", "ACK", "DATA", "FIN", "RST")
_FATES = ("script", "chance", "full queue")


class Host:
    """A host of a `Network`: a stack, and functions that run on it.

        with host:                              # sockets made in here are the host's
            urllib.request.urlopen("http://server/")
    """

    def __init__(self, network: Network, name: str, address: str, stack: ManualStack) -> None:
        """For the network: use `Network.host`."""
        self.network = network
        self.name = name
        self.address = address
        self.stack = stack
        self._before: list[Any] = []

    def socket(self, family: int = -1, type: int = -1, proto: int = -1) -> _socket.socket:
        """A new TCP socket of this host. Its calls wait in the network's time."""
        return _socket.socket(family, type, proto, stack=self.stack)

    def create_connection(
        self,
        address: _socket.RemoteAddress,
        timeout: float | None = _socket.DEFAULT_TIMEOUT,
        source_address: _socket.Address | None = None,
        *,
        all_errors: bool = False,
    ) -> _socket.socket:
        """As `ustcp.create_connection`, from this host."""
        return _socket.create_connection(address, timeout, source_address, all_errors=all_errors, stack=self.stack)

    def create_server(
        self,
        address: _socket.Address,
        *,
        family: int = _host.AF_INET,
        backlog: int | None = None,
        reuse_port: bool = False,
        dualstack_ipv6: bool = False,
    ) -> _socket.socket:
        """As `ustcp.create_server`, on this host."""
        return _socket.create_server(
            address,
            family=family,
            backlog=backlog,
            reuse_port=reuse_port,
            dualstack_ipv6=dualstack_ipv6,
            stack=self.stack,
        )

    def run(self, function: Callable[P, T], /, *arguments: P.args, **options: P.kwargs) -> Task[T]:
        """Starts a function on this host, in a thread that takes turns with the others; `join` of the task gives what it
        returns. As a decorator: `@host.run`."""
        name = getattr(_called(function), "__name__", "task")
        return self.network._run(self, lambda: function(*arguments, **options), name)

    def __enter__(self) -> Self:
        self._before.append(_socket.here.stack)
        _socket.here.stack = self.stack
        return self

    def __exit__(self, kind: _Kind, value: BaseException | None, traceback: TracebackType | None) -> None:
        _socket.here.stack = self._before.pop()

    def __repr__(self) -> str:
        return f"<ustcp.Host {self.name} {self.address}>"


class _Way:
    """One direction of a link."""

    def __init__(self, source: Host, destination: Host, weather: str, seed: int) -> None:
        self.source, self.destination, self.seed = source, destination, seed
        self.line = _ustcp.Link(weather, seed)
        self.cut = False
        self.under_way: list[NetworkPacket] = []

    def send(self, packet: NetworkPacket, now: int) -> None:
        before = self.line.counters()
        self.line.send(packet.data, now)
        _, _, scripted, lost, overflowed, duplicated, corrupted, reordered, _ = (
            after - was for after, was in zip(self.line.counters(), before)
        )
        for happened, fate in zip((scripted, lost, overflowed), _FATES):
            if happened:
                packet.lost = fate
                return
        packet.duplicated, packet.corrupted, packet.reordered = bool(duplicated), bool(corrupted), bool(reordered)
        self.under_way += [packet] * (2 if duplicated else 1)

    def arrived(self, data: bytes) -> NetworkPacket:
        """Which packet it was that came out: a damaged one is one of those that were damaged."""
        for packet in self.under_way:
            if packet.data == data:
                break
        else:
            packet = next(packet for packet in self.under_way if _resembles(packet.data, data))
        self.under_way.remove(packet)
        return packet


def _resembles(sent: bytes, arrived: bytes) -> bool:
    """Whether they differ by a flipped bit, or by a mark of congestion and its checksum."""
    return len(sent) == len(arrived) and sum(a != b for a, b in zip(sent, arrived)) <= 4


class _Drop:
    """Loses the packets of a kind, by number."""

    def __init__(self, kind: str, nth: set[int], source: Host | None, destination: Host | None) -> None:
        self.kind, self.nth, self.source, self.destination = kind, nth, source, destination
        self.seen = 0

    def takes(self, packet: NetworkPacket) -> bool:
        wrong_way = self.source not in (None, packet.source) or self.destination not in (None, packet.destination)
        if wrong_way or self.kind not in packet.kinds:
            return False
        self.seen += 1
        return self.seen in self.nth


class Network:
    """A network of hosts in this process, under virtual time.

        with ustcp.Network(seed=7, weather="loss=1%,delay=10ms") as net:
            client, server = net.host("client"), net.host("server")

            @server.run
            def serve():
                with server.create_server(("", 80)) as listener:
                    sock, _ = listener.accept()
                    with sock:
                        sock.sendall(sock.recv(100).upper())

            with client.create_connection(("server", 80)) as sock:
                sock.sendall(b"hello")
                assert sock.recv(100) == b"HELLO"

    Code that blocks works as it is: of the threads of a network exactly one runs at a time, and when all wait the clock
    jumps to the next thing that happens. So a run depends on the seed and on nothing else. Inside the `with` statement
    `socket.socket` of a host's threads makes sockets of that host, and `time`, `select`, `threading` and `queue` go by the
    network.

    Every two hosts are joined by a link of their own, each way with `weather` and draws of its own from `seed`.
    """

    def __init__(self, *, seed: int = 0, weather: str = _ONE_WAY, patience: float | None = _PATIENCE) -> None:
        """`ValueError` for weather that is malformed. `patience`: seconds of the real clock after which a task that waits at
        a lock that was made outside of the network, which no other can release, is `Stuck`; `None`: never."""
        self.seed = seed
        self.now_ns = 0
        self.hosts: dict[str, Host] = {}
        self.timeline = Timeline()
        self._weather = weather
        self._ways: dict[tuple[str, str], _Way] = {}
        self._drops: list[_Drop] = []
        self._hooks: list[Hook] = []
        self._schedule = _schedule.Schedule(_World(self))
        self._tasks: list[Task[Any]] = []
        self._main: Task[Any] | None = None
        self._patience = patience
        self._watchdog: Watchdog | None = None
        _ustcp.Link(weather, 0)  # malformed weather is told here

    # Hosts and time.

    def host(
        self, name: str, address: str | Iterable[str] | None = None, **knobs: str | int | Iterable[str]
    ) -> Host:
        """A new host. Its address is the next of 10.77.0.0/24 unless told ("192.0.2.1/24", or IPv6, or several);
        `knobs` are those of `ManualStack`. Other hosts find it by its name.

        `ValueError` for a name or an address that another host has; `OSError` EINVAL for an address or the value of a knob
        that is malformed, ENOENT for a knob that there is not."""
        if not isinstance(name, str) or not name:
            raise ValueError(f"a host is called by its name, a text: not {name!r}")
        if name in self.hosts:
            raise ValueError(f"there is a host {name!r} already")
        address = address or self._free_address()
        address = address if isinstance(address, str) else ",".join(address)
        stack = ManualStack(seed=self._draw("host", name), address=address, trace=True, **knobs)
        stack.advance(self.now_ns)
        host = Host(self, name, address.split(",")[0].split("/")[0], stack)
        for taken in _addresses(host):
            if self._owner(taken) is not None:
                raise ValueError(f"{taken} is the address of {self._owner(taken)!r}")
        stack._set_waiter(lambda handle, events, deadline: self._wait_for(stack, handle, events, deadline))
        self.hosts[name] = host
        self.timeline.hosts.append(name)
        return host

    @property
    def now(self) -> float:
        """The time, in seconds since the network began."""
        self._schedule.look()
        return self.now_ns / 1e9

    def sleep(self, seconds: float) -> None:
        """Lets time pass; `ValueError` for less than none, as `time.sleep`."""
        if seconds < 0:
            raise ValueError("sleep length must be non-negative")
        self._schedule.wait(lambda: False, self._schedule.after(seconds))

    def wait(self, ready: Callable[[], Any], timeout: float | None = None) -> bool:
        """Lets time pass until `ready()` is true, which is asked after everything that happens: whether it came true
        within so many seconds."""
        return self._schedule.wait(ready, self._schedule.after(timeout))

    def run_until_idle(self, limit: float = 86_400.0) -> None:
        """Lets time pass until nothing is left to happen: no packet on the way, no timer. `TimeoutError` when something
        is after `limit` seconds."""
        if not self.wait(lambda: _World(self).next_instant() is None, limit):
            raise TimeoutError(f"something is left to happen after {limit} s")

    # Weather and faults.

    def weather(self, text: str, source: Host | str | None = None, destination: Host | str | None = None) -> None:
        """Other weather from now on: everywhere, or from `source`, or to `destination`, or from the one to the other.
        Here and below a host is told by itself or by its name; `ValueError` for one that is not of this network."""
        _ustcp.Link(text, 0)
        source, destination = self._one_or_any(source), self._one_or_any(destination)
        if source is None and destination is None:
            self._weather = text
        for a in self.hosts.values():
            for b in self.hosts.values():
                if a is not b and source in (None, a) and destination in (None, b):
                    way = self._way(a, b)
                    way.line.change(text, way.seed)

    def partition(self, *groups: Host | str | Iterable[Host | str]) -> None:
        """Cuts every link between hosts of different groups; hosts that are in none are one more group."""
        lists = [self._group(group) for group in groups]
        lists.append([host for host in self.hosts.values() if not any(host in some for some in lists)])
        for a, b in self._pairs():
            together = any(a in some and b in some for some in lists)
            self._way(a, b).cut = not together

    def cut(self, a: Host | str, b: Host | str) -> None:
        """Cuts the link between two hosts: packets sent from now on are lost."""
        a, b = self._one(a), self._one(b)
        if a is b:
            raise ValueError(f"{a!r} has no link to itself")
        self._way(a, b).cut = self._way(b, a).cut = True

    def mend(self, a: Host | str | None = None, b: Host | str | None = None) -> None:
        """Joins two hosts again, or one with all, or all."""
        told = {host for host in (self._one_or_any(a), self._one_or_any(b)) if host is not None}
        for one, other in self._pairs():
            if told <= {one, other}:
                self._way(one, other).cut = False

    def drop(
        self,
        kind: str,
        nth: int | Iterable[int] = 1,
        *,
        source: Host | str | None = None,
        destination: Host | str | None = None,
    ) -> None:
        """Loses a packet: the `nth` of its kind from now on, counted from 1, repetitions like any other; or several of
        them. Kinds are "SYN", "SYN-ACK", "ACK", "DATA", "FIN" and "RST"."""
        kind = kind.upper()
        if kind not in _KINDS:
            raise ValueError(f"there is no kind of packet {kind!r}: it is one of {', '.join(_KINDS)}")
        numbers = {nth} if isinstance(nth, int) else set(nth)
        if not numbers or min(numbers) < 1:
            raise ValueError(f"packets are counted from 1: {nth!r}")
        self._drops.append(_Drop(kind, numbers, self._one_or_any(source), self._one_or_any(destination)))

    def hook(self, function: Hook) -> Hook:
        """Has `function` see every packet before it is on the link: it returns `None` to let it go, bytes to send in its
        place (checksums are its own matter), or `False` to lose it; any other is a `TypeError`. It must not wait. As a
        decorator: `@net.hook`."""
        self._hooks.append(_called(function))
        return function

    # The beginning and the end.

    def __enter__(self) -> Self:
        if self._main is not None:
            raise RuntimeError("a network is entered once")
        if _schedule.current() is not None:
            raise RuntimeError("this thread belongs to another network")
        if self._patience is not None:
            self._watchdog = Watchdog(self._schedule, self._patience)
            self._watchdog.start()
        self._main = self._schedule.open(self)
        _socket.here.is_in_network = True
        with _patch.standing.lock:
            _patch.standing.enter()
        _virtual.enter()
        return self

    def __exit__(self, kind: _Kind, value: BaseException | None, traceback: TracebackType | None) -> None:
        """Ends what still runs; raises the first exception that a task ended with and nobody joined. Any further one, and
        all where the `with` statement ends by another, is for `threading.excepthook`, as of any thread."""
        assert self._main is not None, "entered"
        if self._watchdog is not None:
            self._watchdog.stop()
        try:
            self._schedule.close(self._main)
        finally:
            _socket.here.is_in_network = False
            _virtual.leave()
            with _patch.standing.lock:
                _patch.standing.leave()
            for host in self.hosts.values():
                host.stack._set_waiter(None)
        untold = [task for task in self._tasks if task.error is not None and not task.told]
        for task in untold[kind is None :]:
            if task.error is not (value and value.__cause__):
                _tell(task)
        if kind is None and untold:
            raise cast(BaseException, untold[0].error)

    # How.

    def _run(self, host: Host, function: Callable[[], T], name: str) -> Task[T]:
        task: Task[T] = Task(self._schedule, self, host, name)

        def begin() -> T:
            with host:
                return function()

        self._tasks.append(task)
        self._schedule.start(task, begin)
        return task

    def _wait_for(self, stack: ManualStack, handle: int, events: int, deadline: int | None) -> bool:
        return self._schedule.wait(lambda: stack._poll(handle, events), deadline)

    def poll_place(self, number: int, events: int) -> int | None:
        """What poll(2) would say of a descriptor of one of the hosts; `None` for any other."""
        for host in self.hosts.values():
            mask = host.stack._poll_place(number, events)
            if mask is not None:
                return mask
        return None

    def address_of(self, name: Any) -> str | None:
        """The address of a host by its name."""
        if isinstance(name, (bytes, bytearray)):
            name = name.decode("ascii", "replace")
        host = self.hosts.get(name) if isinstance(name, str) else None
        return host.address if host is not None else None

    def _free_address(self) -> str:
        """The next; one that another host was told to have is passed over."""
        following = len(self.hosts) + 1
        for number in (*range(following, 255), *range(1, min(following, 255))):
            if self._owner(f"{_SUBNET}{number}") is None:
                return f"{_SUBNET}{number}/24"
        raise ValueError(f"no address is free in {_SUBNET}0/24")

    def _one(self, who: Host | str) -> Host:
        if not isinstance(who, (Host, str)):
            raise TypeError(f"a host is told by itself or by its name, not by {who!r}")
        host = self.hosts.get(who if isinstance(who, str) else who.name)
        if host is None or who not in (host, host.name):
            raise ValueError(f"{who!r} is no host of this network")
        return host

    def _one_or_any(self, who: Host | str | None) -> Host | None:
        return None if who is None else self._one(who)

    def _group(self, group: Host | str | Iterable[Host | str]) -> list[Host]:
        return [self._one(who) for who in ((group,) if isinstance(group, (Host, str)) else group)]

    def _draw(self, *what: str) -> int:
        """A seed for a part of the network, by its name: another host moves no draw of this one."""
        text = "/".join((str(self.seed), *what))
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")

    def _pairs(self) -> Iterator[tuple[Host, Host]]:
        hosts = list(self.hosts.values())
        return ((a, b) for a in hosts for b in hosts if a is not b)

    def _way(self, source: Host, destination: Host) -> _Way:
        key = (source.name, destination.name)
        if key not in self._ways:
            self._ways[key] = _Way(source, destination, self._weather, self._draw("link", *key))
        return self._ways[key]

    def _owner(self, address: str | None) -> Host | None:
        for host in self.hosts.values():
            if address is not None and address in _addresses(host):
                return host
        return None

    def _send(self, source: Host, data: bytes, state: str | None, retransmission: bool) -> None:
        destination = self._owner(_ustcp.destination(data))
        packet = self.timeline.sent(self.now, source, destination, data, state, retransmission)
        packet.lost = self._doom(packet)
        if packet.lost is None and destination is not None:
            self._way(source, destination).send(packet, self.now_ns)
        if packet.lost is not None:
            self.timeline.lost(packet)

    def _doom(self, packet: NetworkPacket) -> str | None:
        if packet.destination is None:
            return "no route"
        if self._way(packet.source, packet.destination).cut:
            return "partition"
        # All of them count it.
        if [drop for drop in self._drops if drop.takes(packet)]:
            return "script"
        for hook in self._hooks:
            verdict = hook(packet)
            if verdict is False:
                return "hook"
            if isinstance(verdict, (bytes, bytearray, memoryview)):
                packet.data = bytes(verdict)
            elif verdict is not None:
                raise TypeError(f"a hook returns None, bytes or False, not {verdict!r}")
        return None


def _called(function: T) -> T:
    """`TypeError` here, and not only where it is called."""
    if not callable(function):
        raise TypeError(f"a function is wanted, not {function!r}")
    return function


def _tell(task: Task[Any]) -> None:
    error = cast(BaseException, task.error)
    threading.excepthook(threading.ExceptHookArgs((type(error), error, error.__traceback__, task.thread)))


def _addresses(host: Host) -> list[str]:
    return [cidr.split("/")[0] for cidr in host.stack.get("address").split(",")]


class _World:
    """The network as its schedule sees it."""

    def __init__(self, network: Network) -> None:
        self._network = network

    @property
    def now(self) -> int:
        return self._network.now_ns

    def settle(self) -> None:
        """Puts on the links what the stacks have to send."""
        network = self._network
        for host in list(network.hosts.values()):
            network.timeline.note(host, None)
            for count, packet in enumerate(host.stack.packets()):
                if count > _FLOOD:
                    raise RuntimeError(f"{host.name} sends without end")
                sending = network.timeline.sending(host, packet.data)
                network._send(host, packet.data, *sending)

    def next_instant(self) -> int | None:
        network = self._network
        lines = (way.line.deadline() for way in network._ways.values() if way.under_way)
        timers = (host.stack.deadline() for host in network.hosts.values())
        return min((due for source in (lines, timers) for due in source if due is not None), default=None)

    def advance(self, to: int) -> None:
        """Moves the clock, delivers what is due, and runs the timers."""
        network = self._network
        network.now_ns = max(to, network.now_ns)
        for way in list(network._ways.values()):
            while way.under_way and (data := way.line.poll(network.now_ns)) is not None:
                packet = way.arrived(data)
                way.destination.stack.input(data, network.now_ns)
                network.timeline.note(way.destination, Arrival(network.now, packet))
        for host in network.hosts.values():
            host.stack.advance(network.now_ns)
            network.timeline.note(host, None)
