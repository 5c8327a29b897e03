"""What blocks besides sockets, in a network's time: sleep and the clocks, select, poll, epoll, and threads.

While a network is entered these names of the standard library ask whose thread calls. A task of a network gets that
network's time and sockets; any other thread what it always got.
"""

from __future__ import annotations

import select
import selectors
import socket as _host
import threading
import time
from asyncio import base_events
from collections.abc import Callable
from typing import Any

from ._schedule import Task, current
from ._socket import here

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
_EVENTS = select.POLLIN | select.POLLPRI | select.POLLOUT | select.POLLRDHUP


def _clock(name: str) -> Callable[[], Any]:
    native, ours = getattr(time, name), _CLOCKS[name]

    def clock() -> Any:
        task = current()
        return native() if task is None else ours(task.network.now_ns)

    return clock


_sleep = time.sleep


def _sleep_in_turn(seconds: float) -> None:
    task = current()
    if task is None:
        return _sleep(seconds)
    if seconds < 0:
        raise ValueError("sleep length must be non-negative")
    task.network.sleep(seconds)
    return None


# ---- select, poll and epoll

_native_poll, _native_epoll, _native_select = select.poll, select.epoll, select.select


def _state_of(task: Task, fd: int, events: int) -> int:
    """What poll(2) says of a descriptor: of the task's network, or of the system's, without waiting."""
    ours = task.network.poll_place(fd, events & _EVENTS)
    if ours is not None:
        return int(ours)
    native = _native_poll()
    native.register(fd, events & _EVENTS)
    return sum(mask for _, mask in native.poll(0))


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
        if not look() and seconds != 0:
            task.network.wait(look, seconds)
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

    if not look() and timeout != 0:
        task.network.wait(look, timeout)
    return tuple(found)


# ---- threads

_start, _join = threading.Thread.start, threading.Thread.join


def _start_in_turn(thread: threading.Thread) -> None:
    """A thread that a task starts is a task of the same host."""
    parent = current()
    if parent is None or hasattr(thread, "_ustcp_task"):
        return _start(thread)
    schedule, run = parent._schedule, thread.run
    task = Task(schedule, parent.network, parent.host, thread.name)
    schedule.enter(task, thread)
    stack = here.stack

    def in_turn() -> None:
        here.stack = stack
        run()

    def carried() -> None:
        schedule.carry(task, in_turn)
        if task.error is not None:
            raise task.error  # threading.excepthook has it, as of any thread

    thread.run = carried  # type: ignore[method-assign]
    return _start(thread)


def _join_in_turn(thread: threading.Thread, timeout: float | None = None) -> None:
    task = getattr(thread, "_ustcp_task", None)
    waiting = current()
    if task is not None and waiting is not None and not task.ended:
        waiting.network.wait(lambda: task.ended, timeout)
        if not task.ended:
            return
        task.told = True
    _join(thread, timeout)


# ---- asyncio's threads

_run_in_executor = base_events.BaseEventLoop.run_in_executor


def _run_in_executor_in_turn(
    loop: base_events.BaseEventLoop, executor: Any, function: Callable[..., Any], *arguments: Any
) -> Any:
    """The default executor of a task's loop, which resolves names and serves `asyncio.to_thread`, is one more task for
    each call: threads that wait for work at a lock would never have their turn."""
    if current() is None or executor is not None:
        return _run_in_executor(loop, executor, function, *arguments)
    future = loop.create_future()

    def settle(result: Any, error: BaseException | None) -> None:
        if future.cancelled():
            return
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)

    def work() -> None:
        result, failure = None, None
        try:
            result = function(*arguments)
        except Exception as error:
            failure = error
        loop.call_soon_threadsafe(settle, result, failure)

    threading.Thread(target=work, daemon=True).start()
    return future


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
    return [
        *clocks,
        (time, "sleep", _sleep_in_turn),
        (select, "select", _select_in_turn),
        (select, "poll", _poll_in_turn),
        (select, "epoll", _EpollInTurn),
        (selectors.PollSelector, "_selector_cls", staticmethod(_poll_in_turn)),
        (selectors.EpollSelector, "_selector_cls", _EpollInTurn),
        (selectors.SelectSelector, "_select", staticmethod(_select_in_turn)),
        (threading.Thread, "start", _start_in_turn),
        (threading.Thread, "join", _join_in_turn),
        (base_events.BaseEventLoop, "run_in_executor", _run_in_executor_in_turn),
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
