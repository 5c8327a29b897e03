"""CPython's own tests of `socket`, `asyncio`, TLS and the clients and servers over them, with ustcp in place of `socket`,
inside one stack: that of the process, and an engine's.

`cpython/passes.txt` is the list of those that pass; `cpython/excluded*.txt` those that are not run, each with its reason."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from cpython.run import exclusions
from harness.netns import Namespace
from harness.shim import Engine

HERE = Path(__file__).parent / "cpython"
RECORDED = (3, 11, 7)  # whose tests passes.txt lists: another release of 3.11 has others

LOOPBACK = ("--loopback", "ustcp")
SECONDS = 240  # for a share, on a machine that has more to do

# What runs side by side: each in a namespace of its own. Most of the time they wait for a clock. The longest come first.
SHARES = {
    "ssl threads": ("test.test_ssl", "ThreadedTests"),
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


# How many run side by side: more, and what they do within a time of the clock's would not be through.
AT_ONCE = 8


def play(module: str, classes: str, directory: Path, at_engine: bool) -> str:
    """Runs a share to its end: what it printed."""
    net = Namespace("cpython")
    net.create()
    output = directory / "output.txt"
    command = net.command(sys.executable, "-W", "ignore", str(HERE / "run.py"), module, *classes.split())
    try:
        engine = Engine(net, directory / "engine", options=LOOPBACK, USTCP_TIME_WAIT="0.2") if at_engine else None
        own = {"USTCP_TIME_WAIT": "0.2", "USTCP_TUN": "ustcp0"}
        environment = {**os.environ, **(engine.named if engine else own)}
        try:
            with output.open("w") as into:
                subprocess.run(command, stdout=into, stderr=into, env=environment, cwd=directory, timeout=SECONDS, check=False)
        finally:
            if engine:
                engine.close()
    finally:
        net.remove()
    return output.read_text()


def verdicts(output: str) -> dict[str, str]:
    lines = [line.split() for line in output.splitlines() if line.startswith("test_")]
    return {line[0]: line[1] for line in lines if len(line) == 2}


@pytest.fixture(scope="module")
def shares(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], dict[str, Future[str]]]]:
    """Those of one place, which begin when the first of them is asked for."""
    started: dict[str, dict[str, Future[str]]] = {}
    pool = ThreadPoolExecutor(AT_ONCE)

    def of(place: str) -> dict[str, Future[str]]:
        if place not in started:
            at_engine = place == "at an engine"
            started[place] = {
                name: pool.submit(play, module, classes, tmp_path_factory.mktemp("cpython"), at_engine)
                for name, (module, classes) in (AT_ENGINE if at_engine else SHARES).items()
            }
        return started[place]

    try:
        yield of
    finally:
        pool.shutdown(cancel_futures=True)


@pytest.fixture
def with_tests() -> None:
    try:
        import test.test_socket  # noqa: F401
    except ImportError as error:
        reason = f"the interpreter's own tests are not installed ({error})"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)


def passes() -> set[str]:
    return set((HERE / "passes.txt").read_text().split())


@pytest.mark.timeout(SECONDS + 60)
@pytest.mark.parametrize(("place", "name"), PLAYED)
def test_cpythons_own_tests_pass(network, with_tests, shares, place, name):
    output = shares(place)[name].result()
    told = verdicts(output)
    wrong = {test: verdict for test, verdict in told.items() if verdict not in ("ok", "skipped")}
    assert told and not wrong, output
    if sys.version_info[:3] == RECORDED:
        passed = {test for test, verdict in told.items() if verdict == "ok"}
        module, classes = AT_ENGINE[name]
        mine = tuple(f"{module.removeprefix('test.')}.{one}." for one in classes.split())
        patterns = exclusions(place == "at an engine")
        expected = {test for test in passes() if test.startswith(mine)}
        assert passed == {test for test in expected if not any(fnmatchcase(test, pattern) for pattern in patterns)}


@pytest.mark.parametrize("at_engine", [False, True])
def test_every_exclusion_has_its_reason(at_engine):
    assert all(len(reason) > 10 for reason in exclusions(at_engine).values())
