"""The pytest plugin: a network in a fixture, and what is left of it when the test fails.

`--ustcp-seed` and `--ustcp-weather` are those of the fixture `ustcp_net`; a failing test leaves the seed in its report, and
a diagram and a capture in the directory of `--ustcp-output`.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from ._network import Network

_LINES = 200
_KEY: pytest.StashKey[Network] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("ustcp", "networks of ustcp")
    group.addoption("--ustcp-seed", type=int, default=0, metavar="N", help="seed of the networks of ustcp_net (0)")
    group.addoption(
        "--ustcp-weather",
        default="delay=1ms",
        metavar="FAULTS",
        help="weather of their links, each way: loss=3%%,reorder=1%%,delay=10ms ... (delay=1ms)",
    )
    group.addoption(
        "--ustcp-output",
        default=None,
        metavar="DIR",
        help="where a failing test leaves diagram and capture: beside the report of --junitxml, or ustcp-failures",
    )


def pytest_configure(config: pytest.Config) -> None:
    from ._ustcp import Link

    try:
        Link(config.getoption("--ustcp-weather"), 0)
    except ValueError as error:
        raise pytest.UsageError(f"--ustcp-weather: {error}") from None


@pytest.fixture
def ustcp_net(request: pytest.FixtureRequest) -> Iterator[Network]:
    """A `ustcp.Network` for one test; its seed and weather are those of the command line."""
    from ._network import Network

    config = request.config
    net = Network(seed=config.getoption("--ustcp-seed"), weather=config.getoption("--ustcp-weather"))
    request.node.stash[_KEY] = net
    with net:
        yield net


@pytest.hookimpl(hookwrapper=True)  # as older pluggy knows it too
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, None]:
    report = (yield).get_result()
    net = item.stash.get(_KEY, None)
    if net is not None and report.failed:
        report.sections.append(("ustcp network", _leave(item, net)))
        item.user_properties.append(("ustcp-seed", str(net.seed)))  # of all reports from now on


def _leave(item: pytest.Item, net: Network) -> str:
    """Writes what there is to see: what to tell the reader."""
    stem = re.sub(r"[^\w.-]+", "-", item.nodeid).strip("-")[-150:]
    files = net.timeline.save(_directory(item.config), stem)
    lines = net.timeline.text().splitlines()
    if len(lines) > _LINES:
        lines[_LINES // 2 : -_LINES // 2] = [f"... {len(lines) - _LINES} lines, see {files[0]} ..."]
    settings = [f"--ustcp-seed={net.seed}", f"--ustcp-weather={item.config.getoption('--ustcp-weather')}"]
    again = shlex.join(["pytest", item.nodeid, *settings])
    return "\n".join([f"seed {net.seed}, {net.now:.6f} s; again by: {again}", *files, "", *lines])


def _directory(config: pytest.Config) -> Path:
    told = config.getoption("--ustcp-output")
    if told is not None:
        return Path(told)
    report = config.getoption("xmlpath", None)
    return Path(report).parent if report else Path(config.rootpath) / "ustcp-failures"
