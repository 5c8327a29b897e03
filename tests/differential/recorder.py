"""Plays scripts to the kernel, many at a time, each in a network namespace of its own, and keeps what it always answers."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from multiprocessing import get_context

from .kernel import Kernel
from .notation import Script
from .player import Player

# How many scripts run beside each other, round by round. Most of a script is waiting, so many run on few processors.
AT_ONCE = (24, 8, 4)
TIMES = 3


def play(script: Script) -> tuple[str, list[str]]:
    """One run, in the process of a worker: its namespace, its TUN, its sockets."""
    kernel = Kernel(script.ipv6)
    player = Player(script, kernel)
    try:
        return script.name, player.play()
    except Exception as error:
        raise RuntimeError(f"{script.name}: {type(error).__name__}: {error}") from error
    finally:
        player.sockets.close_all()
        kernel.close()


def urgent() -> None:
    """A worker that is late gives a wrong answer, so it goes before whatever else the machine does."""
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    except OSError as error:
        print(f"recording at ordinary priority: {error.strerror}", file=sys.stderr)


def record(scripts: list[Script]) -> tuple[dict[str, list[str]], dict[str, list[list[str]]]]:
    """The answers of the stable scripts, and all answers of the others. Those that the load of the machine has shaken get
    another chance with less beside them; only those whose every run of a round agrees count as stable."""
    stable: dict[str, list[str]] = {}
    unstable: dict[str, list[list[str]]] = {}
    for at_once in AT_ONCE:
        left = [script for script in scripts if script.name not in stable]
        unstable = {}
        for name, answers in several_times(left, at_once).items():
            if all(answer == answers[0] for answer in answers):
                stable[name] = answers[0]
            else:
                unstable[name] = answers
    return stable, unstable


def several_times(scripts: list[Script], at_once: int) -> dict[str, list[list[str]]]:
    """Long scripts begin first."""
    runs: dict[str, list[list[str]]] = {script.name: [] for script in scripts}
    ordered = sorted(scripts, key=lambda script: -script.duration)
    with get_context("fork").Pool(at_once, urgent) as pool:
        for _ in range(TIMES if scripts else 0):
            for name, answer in pool.imap_unordered(play, ordered):
                runs[name].append(answer)
    return runs


def told(unstable: dict[str, list[list[str]]]) -> Iterable[str]:
    """For each unstable script the first lines that differ between its runs."""
    for name, answers in sorted(unstable.items()):
        yield f"{name} is not stable:"
        depth = next(i for i in range(max(map(len, answers)) + 1) if len({tuple(answer[: i + 1]) for answer in answers}) > 1)
        yield from sorted({f"    {answer[depth] if depth < len(answer) else '(nothing more)'}" for answer in answers})
