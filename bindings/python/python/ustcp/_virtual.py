"""What blocks besides sockets, in a network's time: sleep and the clocks, select, poll, epoll; `_threads` has the rest.

While a network is entered these names of the standard library ask whose thread calls. A task of a network gets that
network's time and sockets; any other thread what it always got.
"""

from __future__ import annotations

import queue
import select
import selectors
import socket as _host
import socketserver
import threading
import time
from collections.abc import Callable
from typing import Any

from . import _threads
from ._schedule import Task, current

# Seconds since 1970 when a network begins: the first of January 2000, on every machine.
EPOCH = 946_684_800

_CLOCKS: dict[str, Callable[[int], Any]] = {
    "time": lambda now: EPOCH + now / 1e9,
    "time_ns": lambda now: EPOCH * 1_000_000_000 + now,
    "monotonic": lambda now: now / 1e9,
    "monotonic_ns": lambda now: now,
    "perf_counter": lambda now: now / 1e9,
    "perf_counter_ns": lambda now: now,
}
# Where the standard library has `time.monotonic` by a name of its own, for the timeouts of its waits.
_COPIES = ((threading, "_time"), (queue, "time"), (socketserver, "time"))
_EVENTS = select.POLLIN | select.POLLPRI | select.POLLOUT | select.POLLRDHUP


def _clock(name: str) -> Callable[[], Any]:
    native, ours = getattr(time, name), _CLOCKS[name]

    def clock() -> Any:
        task = current()
        if task is None:
            return native()
        task._schedule.look()
        return ours(task.network.now_ns)

    return clock


_sleep = time.sleep


def _sleep_in_turn(seconds: float) -> None:
    task = current()
    if task is None:
        return _sleep(seconds)
    task.network.sleep(seconds)
    return None


# ---- select, poll and epoll

_native_poll, _native_epoll, _native_select = select.poll, select.epoll, select.select


def _state_of(task: Task[Any], fd: int, events: int) -> int:
    """What poll(2) says of a descriptor: of the task's network, or of the system's, without waiting."""
    ours = task.network.poll_place(fd, events & _EVENTS)
    if ours is not None:
        return int(ours)
    native = _native_poll()
    native.register(fd, events & _EVENTS)
    return sum(mask for _, mask in native.poll(0))


def _wait(task: Task[Any], look: Callable[[], bool], seconds: float | None) -> None:
    if seconds == 0:
        task._schedule.look()
    else:
        task.network.wait(look, seconds)


def _number(place: Any) -> int:
    return place if isinstance(place, int) else int(place.fileno())


class _Poll:
    """`select.poll` and `select.epoll` of a task: the units of `poll` tell them apart."""

    def __init__(self, unit: float) -> None:
        self._unit = unit
        self._asked: dict[int, int] = {}
        self.closed = False

    def register(self, place: Any, eventmask: int = select.POLLIN | select.POLLPRI | select.POLLOUT) -> None:
        self._asked[_number(place)] = eventmask

    def modify(self, place: Any, eventmask: int) -> None:
        if _number(place) not in self._asked:
            raise FileNotFoundError(2, "No such file or directory")
        self._asked[_number(place)] = eventmask

    def unregister(self, place: Any) -> None:
        del self._asked[_number(place)]

    def poll(self, timeout: float | None = None, maxevents: int = -1) -> list[tuple[int, int]]:
        found: list[tuple[int, int]] = []
        task = current()
        assert task is not None, "made by a task, used by none"

        def look() -> bool:
            masks = [(fd, _state_of(task, fd, events)) for fd, events in self._asked.items()]
            found[:] = [(fd, mask) for fd, mask in masks if mask]
            return bool(found)

        seconds = None if timeout is None or timeout < 0 else timeout * self._unit
        if not look():
            _wait(task, look, seconds)
        return found if maxevents < 0 else found[:maxevents]

    def fileno(self) -> int:
        return -1

    def close(self) -> None:
        self.closed = True

    def __enter__(self) -> _Poll:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _poll_in_turn() -> Any:
    return _native_poll() if current() is None else _Poll(1e-3)


class _EpollInTurn:
    """Stands for `select.epoll`."""

    fromfd = _native_epoll.fromfd

    def __new__(cls, sizehint: int = -1, flags: int = 0) -> Any:
        return _native_epoll(sizehint, flags) if current() is None else _Poll(1.0)


def _select_in_turn(rlist: Any, wlist: Any, xlist: Any, timeout: float | None = None) -> tuple[list[Any], ...]:
    task = current()
    if task is None:
        return _native_select(rlist, wlist, xlist, timeout)
    ends = select.POLLHUP | select.POLLERR
    asked = [(rlist, select.POLLIN | ends), (wlist, select.POLLOUT | select.POLLERR), (xlist, select.POLLPRI)]
    asked = [(list(places), mask) for places, mask in asked]
    found: list[list[Any]] = [[], [], []]

    def look() -> bool:
        for which, (places, mask) in enumerate(asked):
            found[which] = [place for place in places if _state_of(task, _number(place), mask) & mask]
        return any(found)

    if not look():
        _wait(task, look, timeout)
    return tuple(found)


# ---- names

_getaddrinfo, _gethostbyname = _host.getaddrinfo, _host.gethostbyname


def _getaddrinfo_in_turn(host: Any, port: Any, *arguments: Any, **options: Any) -> Any:
    task = current()
    known = task.network.address_of(host) if task is not None else None
    return _getaddrinfo(known or host, port, *arguments, **options)


def _gethostbyname_in_turn(host: str) -> str:
    task = current()
    known = task.network.address_of(host) if task is not None else None
    return known or _gethostbyname(host)


def _places() -> list[tuple[Any, str, Any]]:
    clocks: list[tuple[Any, str, Any]] = [(time, name, _clock(name)) for name in _CLOCKS]
    copies: list[tuple[Any, str, Any]] = [(place, name, _clock("monotonic")) for place, name in _COPIES]
    return [
        *clocks,
        *copies,
        (time, "sleep", _sleep_in_turn),
        (select, "select", _select_in_turn),
        (select, "poll", _poll_in_turn),
        (select, "epoll", _EpollInTurn),
        (selectors.PollSelector, "_selector_cls", staticmethod(_poll_in_turn)),
        (selectors.EpollSelector, "_selector_cls", _EpollInTurn),
        (selectors.SelectSelector, "_select", staticmethod(_select_in_turn)),
        *_threads.places(),
        (_host, "getaddrinfo", _getaddrinfo_in_turn),
        (_host, "gethostbyname", _gethostbyname_in_turn),
    ]


_lock = threading.Lock()
_users = 0
_before: list[tuple[Any, str, Any]] = []


def enter() -> None:
    """The names ask whose thread calls, from now on."""
    global _users, _before
    with _lock:
        _users += 1
        if _users == 1:
            places = _places()
            _before = [(place, name, vars(place)[name]) for place, name, _ in places]
            for place, name, value in places:
                setattr(place, name, value)


def leave() -> None:
    """And no longer, once every network that entered has left."""
    global _users
    with _lock:
        _users -= 1
        if _users == 0:
            for place, name, value in _before:
                setattr(place, name, value)
