"""Recorded answers: one file a theme and a kernel version, compact enough to be read and committed."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator
from pathlib import Path

from .notation import Script

RECORDED = Path(__file__).resolve().parent / "recorded"


def running() -> str:
    """The kernel's version, as directories here are named: 6.18."""
    return ".".join(platform.release().split(".")[:2])


def newest() -> Path:
    """The recording that counts: of the newest kernel that anyone has recorded."""
    versions = [path for path in RECORDED.iterdir() if path.is_dir()]
    return max(versions, key=lambda path: [int(part) for part in path.name.split(".")])


def theme(script: Script) -> str:
    return script.name.partition("/")[0]


def write(version: str, scripts: Iterable[Script], answers: dict[str, list[str]]) -> None:
    """Writes the files of all themes that have a script here; other themes stay."""
    files: dict[str, list[str]] = {}
    for script in scripts:
        lines = files.setdefault(theme(script), [])
        lines.append(f"== {script.name.partition('/')[2]} {script.digest}")
        lines += answers[script.name]
    (RECORDED / version).mkdir(parents=True, exist_ok=True)
    for name, lines in files.items():
        (RECORDED / version / f"{name}.txt").write_text("\n".join(lines) + "\n")


def read(directory: Path) -> dict[str, tuple[str, list[str]]]:
    """By script: its digest when it was recorded, and the kernel's answers."""
    return {name: (digest, lines) for path in sorted(directory.glob("*.txt")) for name, digest, lines in blocks(path)}


def blocks(path: Path) -> Iterator[tuple[str, str, list[str]]]:
    name, digest, lines = "", "", []
    for line in path.read_text().splitlines():
        if line.startswith("== "):
            if name:
                yield name, digest, lines
            _, heading, digest = line.split(" ")
            name, lines = f"{path.stem}/{heading}", []
        else:
            lines.append(line)
    if name:
        yield name, digest, lines
