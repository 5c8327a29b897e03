"""Threads that take turns: of the tasks of a network exactly one runs at a time, and time passes when none can."""

from __future__ import annotations

import concurrent.futures._base
import contextlib
import queue
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Generic, Optional, Protocol, TypeVar, cast

T = TypeVar("T")
_OURS = Path(__file__).parent
_WAITS = (threading.__file__, queue.__file__, concurrent.futures._base.__file__)
# Of our own threads, and never waited for in a network's time.
_allocate_lock = cast(Any, threading)._allocate_lock
# Turns at one instant before it is held to be a loop.
_TURNS = 10_000
# Looks in a row, which change nothing, that take a millisecond.
_LOOKS, _MILLISECOND = 100, 1_000_000
# Seconds of the real clock that a task has to end in once the network is closed.
_FAREWELL = 5.0


class World(Protocol):
    """What changes while nobody runs."""

    @property
    def now(self) -> int: ...
    def settle(self) -> None: ...
    def next_instant(self) -> int | None: ...
    def advance(self, to: int) -> None: ...


class NetworkClosed(BaseException):
    """Raised in what still waits when its network is closed: it ends the task."""


class Stuck(RuntimeError):
    """Every task waits, and nothing is left that could happen."""


class Task(Generic[T]):
    """A function that runs on a host, in turns with the others."""

    def __init__(self, schedule: Schedule, network: Any, host: Any, name: str) -> None:
        self._schedule = schedule
        self.network = network
        self.host = host
        self.name = name
        self.ready: Optional[Callable[[], Any]] = None
        self.deadline: int | None = None
        self.looks = 0
        self.is_at_lock = False
        self.is_outside = False
        self.gate = _allocate_lock()
        self.gate.acquire()
        self.ended = False
        self.woken = True
        self.result: T | None = None
        self.error: BaseException | None = None
        self.told = False
        self.abandoned = False
        self.thread: threading.Thread | None = None

    def join(self, timeout: float | None = None) -> T:
        """Waits until it has ended, in the network's time: what the function returned, or its exception."""
        if not self.ended and not self._schedule.wait(lambda: self.ended, self._schedule.after(timeout)):
            raise TimeoutError(f"{self!r} has not ended")
        self.told = True
        if self.error is not None:
            raise self.error
        return cast(T, self.result)

    def __repr__(self) -> str:
        # The main task is on whichever host its `with` names, and on none in between.
        return f"<ustcp task {self.name}{f' on {self.host.name}' if self.host else ''}>"


class _This(threading.local):
    """The task that this thread is."""

    task: Task[Any] | None = None


_this = _This()


def current() -> Task[Any] | None:
    """The task that calls; `None` for a thread of no network."""
    return _this.task


@contextlib.contextmanager
def outside() -> Iterator[None]:
    """What waits in here waits outside of the network's time."""
    task, _this.task = _this.task, None
    if task is not None:
        task.is_outside = True
    try:
        yield
    finally:
        _this.task = task
        if task is not None:
            task.is_outside = False


class Schedule:
    """Who runs: the task that was ready first, the longest waiting before others; else time goes on to the next thing
    that happens."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.tasks: list[Task[Any]] = []
        self._closing = False
        self._failed: list[BaseException] = []
        self.running: Task[Any] | None = None  # who has the turn
        self.turn = 0  # which one it is

    def open(self, network: Any) -> Task[Any]:
        """The calling thread becomes the first task."""
        task: Task[Any] = Task(self, network, None, "main")
        task.thread = threading.current_thread()
        _this.task = self.running = task
        self.tasks.append(task)
        return task

    def start(self, task: Task[Any], function: Callable[[], Any]) -> None:
        """A thread for a new task, which has its turn when somebody waits."""
        thread = threading.Thread(target=self.carry, args=(task, function), name=task.name, daemon=True)
        self.enter(task, thread)
        thread.start()

    def enter(self, task: Task[Any], thread: threading.Thread) -> None:
        task.thread = thread
        cast(Any, thread)._ustcp_task = task
        self.tasks.append(task)

    def carry(self, task: Task[Any], function: Callable[[], Any]) -> None:
        """The life of a task, in its thread."""
        self._come_to_turn(task)
        _this.task = task
        try:
            if not self._closing:
                task.result = function()
        except NetworkClosed:
            pass
        except BaseException as error:
            task.error = error
            self._failed.append(error)
        task.ended = True
        if task.abandoned:
            return
        self.tasks.remove(task)
        chosen, _this.task = self._choose(), None
        _wake(chosen)

    def after(self, seconds: float | None) -> int | None:
        """When so many seconds have passed; never now, unless they are none."""
        return None if seconds is None else self._world.now + max(round(seconds * 1e9), int(seconds > 0))

    def wait(self, ready: Callable[[], Any], deadline: int | None = None) -> bool:
        """Lets others run until `ready()`, or until the deadline: whether it is ready. `NetworkClosed` when the network
        is closed meanwhile."""
        me = _this.task
        if me is None or me._schedule is not self:
            raise RuntimeError("only the tasks of a network can wait in its time: start them by Host.run")
        if me.ready is not None:
            raise RuntimeError("a hook, or a condition that is waited for, must not wait itself")
        if not me.abandoned:
            self._regain(me)
        if deadline is not None and deadline <= self._world.now:
            self.look()
        else:
            me.looks = 0
        if self._closing or me.abandoned:
            raise NetworkClosed
        me.ready, me.deadline = ready, deadline
        try:
            chosen = self._choose()
            if chosen is not me:
                _wake(chosen)
                self._come_to_turn(me)
        finally:
            me.ready = me.deadline = None
        if self._closing:
            raise NetworkClosed
        if me.error is not None:
            error, me.error = me.error, None
            raise error
        return me.woken

    def _come_to_turn(self, me: Task[Any], patience: float = -1) -> bool:
        """Waits until the task has the turn, for so many seconds of the real clock: whether it has. Its gate may be open
        once too often."""
        while self.running is not me:
            if not me.gate.acquire(timeout=patience):
                return False
        return True

    def _regain(self, me: Task[Any], patience: float = -1) -> bool:
        """The same where Ctrl-C, or what else a handler of signals raised, ended the wait at any point of it: who has the
        turn since may not know yet."""
        if self.running is not me and self.running is not None:
            _wake(self.running)
        return self._come_to_turn(me, patience)

    def wait_for_lock(self, lock: Any, timeout: float | None) -> bool:
        """Waits until the calling task has the lock: whether it has."""
        me = _this.task
        assert me is not None, "a task"
        has = given_up = False
        guard = _allocate_lock()

        def take() -> bool:
            nonlocal has
            with guard:
                has = has or (not given_up and lock.acquire(False))
            return has

        me.is_at_lock = True
        try:
            return self.wait(take, self.after(timeout))
        except BaseException:
            # Whoever gave the turn away may have taken it for us before Ctrl-C ended the wait, or be about to.
            with guard:
                given_up = True
            if has:
                lock.release()
            raise
        finally:
            me.is_at_lock = False

    def look(self) -> None:
        """The calling task looks at the clock, or asks without a wait. Time stands still while a task runs, so one that
        does nothing else would never see it go on: many looks in a row take time."""
        me = _this.task
        if me is None or me._schedule is not self or me.ready is not None or me.ended:
            return
        me.looks += 1
        if me.looks >= _LOOKS:
            self.wait(lambda: False, self._world.now + _MILLISECOND)

    def _choose(self) -> Task[Any]:
        """The next to run. Where nobody ever will, or the world fails, it is the main task, with an error."""
        try:
            chosen = self._next()
        except Exception as error:
            chosen = self._fail(error)
        self.running, self.turn = chosen, self.turn + 1
        return chosen

    def abandon(self, task: Task[Any], error: Exception) -> None:
        """Takes the turn from a task that does not come back, and gives it to the main task, with an error."""
        task.abandoned = task.told = True
        self.tasks.remove(task)
        self.running, self.turn = self._fail(error), self.turn + 1
        _wake(self.running)

    def _next(self) -> Task[Any]:
        turns, instant = 0, self._world.now
        while True:
            self._world.settle()
            task = self._able()
            if task is not None:
                # Behind all others from now on.
                self.tasks.remove(task)
                self.tasks.append(task)
                return task
            following = self._next_instant()
            turns = turns + 1 if following == instant else 0
            if following is None or turns > _TURNS:
                raise self._stuck(following) from next(iter(self._failed), None)
            self._world.advance(following)
            instant = following

    def _able(self) -> Task[Any] | None:
        for task in self.tasks:
            if self._closing or task.ready is None or task.ready():
                task.woken = True
                return task
        for task in self.tasks:
            if task.deadline is not None and task.deadline <= self._world.now:
                task.woken = False
                return task
        return None

    def _next_instant(self) -> int | None:
        instants = [task.deadline for task in self.tasks if task.deadline is not None]
        world = self._world.next_instant()
        if world is not None:
            instants.append(world)
        return max(min(instants), self._world.now) if instants else None

    def _stuck(self, following: int | None) -> Stuck:
        what = "nothing is left to happen" if following is None else f"{_TURNS} turns while time stood still"
        waiting = "".join(f"\n{task!r}{_place(task)}" for task in self.tasks)
        if any(task.is_at_lock for task in self.tasks):
            waiting += "\nOnly a task can end a wait at a lock, event or queue, no thread that was started outside of the network."
        return Stuck(f"{what} after {self._world.now / 1e9:.6f} s, and these wait:{waiting}")

    def _fail(self, error: Exception) -> Task[Any]:
        main = next(task for task in self.tasks if task.host is None)
        main.error = error
        return main

    def close(self, main: Task[Any]) -> None:
        """Ends the tasks that are left; the calling one is the main task."""
        self._closing = True
        if not self._regain(main, _FAREWELL) and self.running is not None:
            self._leave_behind(self.running)
        # Those at locks last, when who holds these has given them up.
        others = sorted((task for task in self.tasks if task is not main), key=lambda task: task.is_at_lock)
        self.tasks = [main]
        for task in others:
            self.tasks.append(task)
            self.running = task
            _wake(task)
            # It comes back here when it has ended; a task that hangs outside of the network is left behind.
            if not self._come_to_turn(main, _FAREWELL):
                self._leave_behind(task)
        _this.task = None

    def _leave_behind(self, task: Task[Any]) -> None:
        task.abandoned = True
        self.tasks.remove(task)


def _wake(task: Task[Any]) -> None:
    with contextlib.suppress(RuntimeError):  # open already
        task.gate.release()


def _place(task: Task[Any]) -> str:
    """Where it waits: the innermost call that is neither ours nor of those that wait in the standard library."""
    frame = sys._current_frames().get((task.thread and task.thread.ident) or 0)
    calls = traceback.extract_stack(frame) if frame is not None else []
    told = [call for call in calls if call.filename not in _WAITS and Path(call.filename).parent != _OURS]
    return f" in {told[-1].name}, {told[-1].filename}:{told[-1].lineno}: {told[-1].line}" if told else ""
