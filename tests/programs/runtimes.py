"""Language runtimes: Python, node, and Go, which the shim cannot reach."""

from __future__ import annotations

import re

from . import nginx
from .catalogue import BOTH, CLIENT, SERVER, program
from .stage import SCRIPTS, Stage, digest
from .web_clients import url
from .web_servers import behind

PYTHON = "/usr/bin/python3"

HTTP_SERVER = program("python3 http.server, urllib", "python3 curl", f"{PYTHON} --version", "10 downloads of 2 MiB at once from http.server; urllib as the client; a refused port")
ASYNCIO = program("python3 asyncio", "python3", f"{PYTHON} --version", "a server with 200 connections open at once; 200 KB up each, half-close, the sum down")
NODE = program("node http", "nodejs curl", "node --version", "20 downloads at once over 8 connections that are kept, 8 MiB up")
CLUSTER = program("node cluster", "nodejs curl", "node --version", "2 workers that share a port: connections handed out by the primary, and accepted by the workers")
PERL = program("perl", "perl", "perl --version", "IO::Socket: fork for each of 10 clients at once; 2 MiB up through buffered output, half-close, the sum down; a refused port")
BASH = program("bash, cat", "bash nginx-light", "bash --version", "2 MiB over /dev/tcp: the connection as a redirection, inherited by `cat`; a refused port")
GO = program(
    "hey (Go)", "hey nginx-light", "dpkg-query -W hey", "200 requests by 5 clients, to nginx on ustcp; named by `--explain`",
    "Go makes its system calls itself: it runs unharmed, and stays on the kernel's TCP",
)  # fmt: skip


@HTTP_SERVER.scenario(SERVER, CLIENT, BOTH)
def python_http(stage: Stage) -> None:
    server = behind(stage, stage.server)
    address = f"http://{stage.server.host}:8000/sample-2"

    def fetch(_: int) -> None:
        stage.same(stage.client.run("curl", "-sSf", address).out, stage.sample(2), "a download")

    stage.together(fetch, 10)
    sums = stage.client.run(PYTHON, SCRIPTS / "urls.py", *[address] * 5).text
    stage.holds(sums == f"{digest(stage.sample(2))}\n" * 5, sums)
    stage.client.run(PYTHON, SCRIPTS / "urls.py", f"http://{stage.server.host}:9/", code=1)
    server.stop()


@ASYNCIO.scenario(SERVER, CLIENT, BOTH)
def python_asyncio(stage: Stage) -> None:
    script = SCRIPTS / "asyncio_sums.py"
    server = stage.server.start(PYTHON, script, "serve", stage.server.host, 7000, ready="serving")
    told = stage.client.run(PYTHON, script, "ask", stage.server.host, 7000, 200).text
    stage.holds(told == "200 of 200\n", told)
    server.stop(expected=0)


@NODE.scenario(SERVER, CLIENT, BOTH)
def node_http(stage: Stage) -> None:
    server = stage.server.start("node", SCRIPTS / "http_server.js", 7000, stage.shared, ready="serving")
    address = f"http://{stage.server.host}:7000/sample-2"
    told = stage.client.run("node", SCRIPTS / "http_client.js", address, 20, digest(stage.sample(2))).text
    stage.holds(told == "20 of 20\n", told)
    put = stage.client.run("curl", "-sSf", "-T", stage.sample(8), f"http://{stage.server.host}:7000/put").text
    stage.holds(put == digest(stage.sample(8)), put)
    stage.client.run("node", SCRIPTS / "http_client.js", f"http://{stage.server.host}:9/", 1, "none", code=2)
    server.stop(expected=0)


@CLUSTER.scenario(SERVER, BOTH)
def node_cluster(stage: Stage) -> None:
    for port, how in ((7000, "rr"), (7001, "none")):
        server = stage.server.start("node", SCRIPTS / "cluster.js", port, how, ready="serving")
        address = f"http://{stage.server.host}:{port}/"
        told = stage.client.run("curl", "-sSf", "-Z", "--parallel-max", 20, *[address] * 60).text
        answers = re.findall(r"worker \d", told)
        stage.holds(len(answers) == 60 and set(answers) <= {"worker 1", "worker 2"}, told)
        if how == "rr":
            stage.holds(len(set(answers)) == 2, "both workers are given connections")
        server.stop(expected=0)


@PERL.scenario(SERVER, CLIENT, BOTH)
def perl(stage: Stage) -> None:
    server = stage.server.start("perl", SCRIPTS / "sums.pl", 7000, ready="serving")

    def ask(_: int) -> None:
        told = stage.client.run("perl", SCRIPTS / "ask.pl", stage.server.host, 7000, stage.sample(2)).text
        stage.holds(told == f"{digest(stage.sample(2))}\n", told)

    stage.together(ask, 10)
    stage.client.run("perl", SCRIPTS / "ask.pl", stage.server.host, 9, stage.sample(2), code=111)
    server.stop()


@BASH.scenario(CLIENT)
def bash(stage: Stage) -> None:
    server = nginx.start(stage, stage.server)
    fetch = ("bash", SCRIPTS / "fetch.sh", stage.server.host)
    stage.same(stage.client.run(*fetch, nginx.PORT, "/sample-2").out, stage.sample(2), "the page")
    stage.client.run(*fetch, 9, "/sample-2", code=3)
    server.stop()


@GO.scenario(BOTH)
def go(stage: Stage) -> None:
    server = nginx.start(stage, stage.server)
    done = stage.client.run("hey", "-t", 0, "-n", 200, "-c", 5, url(stage, "small"), explain=True)
    stage.holds(re.search(r"\[200\]\s+200 responses", done.text), done.text)
    if stage.client.shimmed:
        stage.holds(re.search(r"\bGo\b", done.err.decode()), f"--explain says that it is a Go program: {done.err.decode()}")
    server.stop()
