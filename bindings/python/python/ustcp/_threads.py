"""Threads of a network: those that its tasks start, and what waits in `threading`, `queue` and `concurrent.futures`.

All of these wait at locks, which they make when they are made, or when they wait (`Condition`). So it is enough that the
locks that a task makes are waited for in the network's time.
"""

from __future__ import annotations

import logging
import queue
import threading
from asyncio import base_events
from collections.abc import Callable
from typing import Any, cast

from ._schedule import NetworkClosed, Task, current, outside
from ._socket import here

_start, _join, _is_alive = threading.Thread.start, threading.Thread.join, threading.Thread.is_alive
_is_set = threading.Event.is_set
_native_lock, _native_rlock = cast(Any, threading)._allocate_lock, threading.RLock
_native_simple_queue = queue.SimpleQueue
_log_of_pools = logging.getLogger("concurrent.futures")
_run_in_executor = base_events.BaseEventLoop.run_in_executor


# ---- threads


def _start_in_turn(thread: threading.Thread) -> None:
    """A thread that a task starts is a task of the same host."""
    parent = current()
    if parent is not None and not hasattr(thread, "_ustcp_task"):
        _become_task(thread, parent)
    with outside():  # until it runs, which needs no turn
        _start(thread)


def _become_task(thread: threading.Thread, parent: Task[Any]) -> None:
    schedule, run = parent._schedule, thread.run
    task: Task[Any] = Task(schedule, parent.network, parent.host, thread.name)
    schedule.enter(task, thread)
    stack = here.stack

    def in_turn() -> None:
        here.stack, here.is_in_network = stack, True
        run()

    def carried() -> None:
        schedule.carry(task, in_turn)
        if task.error is not None:
            raise task.error  # threading.excepthook has it, as of any thread

    thread.run = carried  # type: ignore[method-assign]


def _join_in_turn(thread: threading.Thread, timeout: float | None = None) -> None:
    task = getattr(thread, "_ustcp_task", None)
    waiting = current()
    if task is None or waiting is None:
        return _join(thread, timeout)
    if not task.ended:
        waiting.network.wait(lambda: task.ended, timeout)
    if task.ended:
        task.told = True
        _join(thread)
    return None


def _is_alive_in_turn(thread: threading.Thread) -> bool:
    """Not from the end of the task on, whenever the system ends the thread."""
    task = getattr(thread, "_ustcp_task", None)
    is_alive = _is_alive(thread) and not (task is not None and task.ended)
    if is_alive:
        _look()
    return is_alive


# ---- locks and events


def _look() -> None:
    """Whoever asks in a loop and does not wait lets the others run."""
    task = current()
    if task is not None:
        task._schedule.look()


def _is_set_in_turn(event: threading.Event) -> bool:
    is_set = _is_set(event)
    if not is_set:
        _look()
    return is_set


class Lock:
    """`threading.Lock` that a task makes. Whoever is no task, or no longer, waits at it as at any other."""

    __slots__ = ("__weakref__", "_native")

    def __new__(cls) -> Any:
        return _native_lock() if current() is None else super().__new__(cls)

    def __init__(self) -> None:
        self._native = _native_lock()

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        task = current()
        if task is None or timeout != -1 and (not blocking or timeout < 0):
            return bool(self._native.acquire(blocking, timeout))
        if self._native.acquire(False):
            return True
        if not blocking:
            _look()
            return False
        return task._schedule.wait_for_lock(self._native, None if timeout == -1 else timeout)

    def release(self) -> None:
        self._native.release()

    def locked(self) -> bool:
        return bool(self._native.locked())

    def _is_owned(self) -> bool:
        """`Condition` asks, who would try to acquire it."""
        return self.locked()

    def _at_fork_reinit(self) -> None:
        self._native._at_fork_reinit()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *error: object) -> None:
        self.release()

    def __repr__(self) -> str:
        return f"<ustcp lock {'held' if self.locked() else 'free'} at {id(self):#x}>"


def _rlock_in_turn() -> Any:
    """The one in Python, which makes a lock of ours."""
    return _native_rlock() if current() is None else cast(Any, threading)._RLock()


class SimpleQueue(queue._PySimpleQueue):  # type: ignore[name-defined,misc]
    """`queue.SimpleQueue` that a task makes: the one in Python, which waits at a semaphore."""

    def __new__(cls) -> Any:
        return _native_simple_queue() if current() is None else super().__new__(cls)


# ---- pools


def _is_worth_telling(record: logging.LogRecord) -> bool:
    """Not that a pool which nobody shut down has ended with its network."""
    return not (record.exc_info and isinstance(record.exc_info[1], NetworkClosed))


# ---- asyncio's threads


def _run_in_executor_in_turn(
    loop: base_events.BaseEventLoop, executor: Any, function: Callable[..., Any], *arguments: Any
) -> Any:
    """The default executor of a task's loop, which resolves names and serves `asyncio.to_thread`, is one more task for
    each call: the threads of a pool would still wait for work when the network ends."""
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


def places() -> list[tuple[Any, str, Any]]:
    """Which names of the standard library are to be what."""
    return [
        (threading.Thread, "start", _start_in_turn),
        (threading.Thread, "join", _join_in_turn),
        (threading.Thread, "is_alive", _is_alive_in_turn),
        (threading.Event, "is_set", _is_set_in_turn),
        (threading, "Lock", Lock),
        (threading, "_allocate_lock", Lock),
        (threading, "RLock", _rlock_in_turn),
        (queue, "SimpleQueue", SimpleQueue),
        (_log_of_pools, "filters", [*_log_of_pools.filters, _is_worth_telling]),
        (base_events.BaseEventLoop, "run_in_executor", _run_in_executor_in_turn),
    ]
