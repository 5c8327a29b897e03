"""Who looks, from outside of a network's time, whether the task that has the turn waits for what only another could do.

Exactly one task runs. If it waits at a lock of the process, one that no task has made, nobody else has a turn to release it,
and the network's time stands still: that is an error, not a wait.
"""

from __future__ import annotations

import platform
import signal
import sys
import threading
import traceback
from pathlib import Path
from types import FrameType
from typing import Any

from ._schedule import Schedule, Stuck, Task

# The system call in which a thread waits at a lock of Python's, by machine.
_FUTEX = {"x86_64": "202", "aarch64": "98", "riscv64": "98"}.get(platform.machine())
# Looks in the time of the real clock that a lock may take.
_LOOKS = 10
# Ignored by who does not ask for it; it only ends the main thread's wait.
_BELL = signal.SIGURG


class Watchdog:
    """Of one network, from its beginning to its end. `patience`: seconds of the real clock."""

    def __init__(self, schedule: Schedule, patience: float) -> None:
        self._schedule = schedule
        self._patience = patience
        self._over = threading.Event()
        self._error: Stuck | None = None
        self._before: Any = None
        self._is_armed = threading.current_thread() is threading.main_thread()
        self._thread = threading.Thread(target=self._watch, name="ustcp watchdog", daemon=True)

    def start(self) -> None:
        """Called by the thread that enters the network."""
        if self._is_armed:
            self._before = signal.signal(_BELL, self._ring)
        self._thread.start()

    def stop(self) -> None:
        """Called by the same thread, before the tasks that are left are ended."""
        self._over.set()
        self._thread.join()
        if self._is_armed:
            signal.signal(_BELL, self._before)

    def _watch(self) -> None:
        seen, times = None, 0
        while not self._over.wait(self._patience / _LOOKS):
            looked = self._look()
            times = times + 1 if looked is not None and looked == seen else 0
            seen = looked
            if times >= _LOOKS and looked is not None:
                self._tell(looked[0])
                seen, times = None, 0

    def _look(self) -> tuple[Task[Any], int, str] | None:
        """Who has the turn, which one, and how often it has slept so far, if it is at a lock. Who has not slept anew in all
        that time has not been woken at all: it neither computes nor waits for the interpreter."""
        task, turn = self._schedule.running, self._schedule.turn
        if task is None or task.thread is None or task.is_outside:
            return None
        place = Path(f"/proc/self/task/{task.thread.native_id}")
        try:
            call, status = (place / "syscall").read_text(), (place / "status").read_text()
        except OSError:
            return None
        if _FUTEX is None or call.split(maxsplit=1)[0] != _FUTEX:
            return None
        return task, turn, next(line for line in status.splitlines() if line.startswith("voluntary"))

    def _tell(self, task: Task[Any]) -> None:
        error = Stuck(
            f"{task!r} waits at a lock, outside of the network's time, and no other task has a turn to release it:\n"
            f"{_place(task)}\nA lock or queue made by a task, inside of the network, is waited for in the network's time."
        )
        if task.host is not None:
            self._schedule.abandon(task, error)
        elif self._is_armed:
            self._error = error
            signal.pthread_kill(threading.main_thread().ident or 0, _BELL)
        else:
            print(f"ustcp: {error}", file=sys.stderr)
            self._over.set()

    def _ring(self, number: int, frame: FrameType | None) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error
        if callable(self._before):
            self._before(number, frame)


def _place(task: Task[Any]) -> str:
    """The innermost calls of its thread."""
    frame = sys._current_frames().get((task.thread and task.thread.ident) or 0)
    return "".join(traceback.format_stack(frame)[-3:]).rstrip() if frame else "  (unknown)"
