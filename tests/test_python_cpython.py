"""CPython's own tests of `socket`, `asyncio`, TLS and the clients and servers over them, with ustcp in place of `socket`,
inside one stack: that of the process, and an engine's.

`cpython/passes.txt` is the list of those that pass; `cpython/excluded*.txt` those that are not run, each with its reason."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from cpython.run import exclusions
from harness.netns import Namespace
from harness.shim import Engine

HERE = Path(__file__).parent / "cpython"
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"

# What runs side by side: each in a namespace of its own. Most of the time they wait for a clock.
SHARES = {
    "tcp": (
        "test.test_socket",
        "BasicTCPTest BasicTCPTest2 NetworkConnectionAttributesTest NetworkConnectionBehaviourTest TCPTimeoutTest "
        "ContextManagersTest CreateServerTest CreateServerFunctionalTest NetworkConnectionNoServer TCPCloserTest",
    ),
    "blocking": ("test.test_socket", "NonBlockingTCPTests TestExceptions InheritanceTest NonblockConstantTest"),
    "files": (
        "test.test_socket",
        "FileObjectClassTestCase UnbufferedFileObjectClassTestCase LineBufferedFileObjectClassTestCase "
        "SmallBufferedFileObjectClassTestCase UnicodeReadFileObjectClassTestCase UnicodeWriteFileObjectClassTestCase "
        "UnicodeReadWriteFileObjectClassTestCase",
    ),
    "buffers": (
        "test.test_socket",
        "BufferIOTest SendmsgTCPTest RecvmsgTCPTest RecvmsgIntoTCPTest SendfileUsingSendTest GeneralModuleTests",
    ),
    "streams": ("test.test_asyncio.test_streams", "StreamTests"),
    "low level": ("test.test_asyncio.test_sock_lowlevel", "SelectEventLoopTests EPollEventLoopTests"),
    "sendfile": ("test.test_asyncio.test_sendfile", "SelectEventLoopTests EPollEventLoopTests"),
    "events": ("test.test_asyncio.test_events", "EPollEventLoopTests TestServer"),
    "poll": ("test.test_asyncio.test_events", "PollEventLoopTests"),
    "server": ("test.test_asyncio.test_server", "SelectorStartServerTests"),
    "buffered": ("test.test_asyncio.test_buffered_proto", "BufferedProtocolSelectorTests"),
    "start tls": ("test.test_asyncio.test_sslproto", "SelectorStartTLSTests"),
    "tls": ("test.test_asyncio.test_ssl", "TestSSL"),
    "ssl": (
        "test.test_ssl",
        "BasicSocketTests SimpleBackgroundTests TestPostHandshakeAuth TestSSLDebug TestPreHandshakeClose",
    ),
    "ssl threads": ("test.test_ssl", "ThreadedTests"),
    "ftp": (
        "test.test_ftplib",
        "TestFTPClass TestIPv6Environment TestTLS_FTPClassMixin TestTLS_FTPClass TestTimeouts",
    ),
    "pop3": ("test.test_poplib", "TestPOP3Class TestPOP3_SSLClass TestPOP3_TLSClass TestTimeouts"),
    "smtp": (
        "test.test_smtplib",
        "DebuggingServerTests NonConnectingTests BadHELOServerTests SMTPSimTests SMTPUTF8SimTests "
        "SMTPAUTHInitialResponseSimTests",
    ),
    "http": ("test.test_httplib", "SourceAddressTest TimeoutTest HTTPSTest"),
    "http server": ("test.test_httpservers", "BaseHTTPServerTestCase SimpleHTTPServerTestCase"),
    "urllib": ("test.test_urllib2_localnet", "BasicAuthTests ProxyAuthTests TestUrlopen"),
    "socketserver": ("test.test_socketserver", "SocketServerTest ErrorHandlerTest SocketWriterTest MiscTestCase"),
    "transports": (
        "test.test_asyncio.test_selector_events",
        "BaseSelectorEventLoopTests SelectorTransportTests SelectorSocketTransportTests "
        "SelectorSocketTransportBufferedProtocolTests",
    ),
}


# What needs native descriptors.
AT_ENGINE = {**SHARES, "native sendfile": ("test.test_socket", "SendfileUsingSendfileTest")}
PLAYED = [("in the process", name) for name in SHARES] + [("at an engine", name) for name in AT_ENGINE]


class Share:
    def __init__(self, module: str, classes: str, directory: Path, at_engine: bool) -> None:
        self.net = Namespace("cpython")
        self.net.create()
        self.engine = None
        if at_engine:
            loopback = ("--loopback", "ustcp")
            self.engine = Engine(self.net, directory / "engine", options=loopback, USTCP_TIME_WAIT="0.2")
        self.output = directory / "output.txt"
        command = [sys.executable, "-W", "ignore", str(HERE / "run.py"), module, *classes.split()]
        own = {"USTCP_TIME_WAIT": "0.2", "USTCP_TUN": "ustcp0"}
        environment = {**os.environ, **(self.engine.named if self.engine else own)}
        with self.output.open("w") as output:
            self.process = subprocess.Popen(
                self.net.command(*command), stdout=output, stderr=output, env=environment, cwd=directory
            )

    def verdicts(self) -> dict[str, str]:
        self.process.wait(timeout=250)
        lines = [line.split() for line in self.output.read_text().splitlines() if line.startswith("test_")]
        return {line[0]: line[1] for line in lines if len(line) == 2}

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        if self.engine:
            self.engine.close()
        self.net.remove()


@pytest.fixture(scope="module")
def shares(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], dict[str, Share]]]:
    """Those of one place, which run together when the first of them is asked for."""
    started: dict[str, dict[str, Share]] = {}

    def of(place: str) -> dict[str, Share]:
        if place not in started:
            mine = started[place] = {}
            for name, (module, classes) in (AT_ENGINE if place == "at an engine" else SHARES).items():
                directory = tmp_path_factory.mktemp("cpython")
                mine[name] = Share(module, classes, directory, place == "at an engine")
        return started[place]

    try:
        yield of
    finally:
        for mine in started.values():
            for share in mine.values():
                share.end()


@pytest.fixture
def with_tests() -> None:
    try:
        import test.test_socket  # noqa: F401
    except ImportError as error:
        reason = f"the interpreter's own tests are not installed ({error})"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)


def passes() -> set[str]:
    return set((HERE / "passes.txt").read_text().split())


@pytest.mark.timeout(300)  # the first of a place waits for all that start with it
@pytest.mark.parametrize(("place", "name"), PLAYED)
def test_cpythons_own_tests_pass(network, with_tests, shares, place, name):
    share = shares(place)[name]
    verdicts = share.verdicts()
    wrong = {test: verdict for test, verdict in verdicts.items() if verdict not in ("ok", "skipped")}
    assert verdicts and not wrong, share.output.read_text()
    if VERSION == "3.11":
        passed = {test for test, verdict in verdicts.items() if verdict == "ok"}
        module, classes = AT_ENGINE[name]
        mine = tuple(f"{module.removeprefix('test.')}.{one}." for one in classes.split())
        patterns = exclusions(place == "at an engine")
        expected = {test for test in passes() if test.startswith(mine)}
        assert passed == {test for test in expected if not any(fnmatchcase(test, pattern) for pattern in patterns)}


@pytest.mark.parametrize("at_engine", [False, True])
def test_every_exclusion_has_its_reason(at_engine):
    assert all(len(reason) > 10 for reason in exclusions(at_engine).values())
