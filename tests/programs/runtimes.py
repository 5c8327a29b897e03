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
NODE = program("node http", "nodejs", "node --version", "20 downloads at once over 8 connections that are kept, 8 MiB up")
CLUSTER = program("node cluster", "nodejs curl", "node --version", "2 workers that share a port: connections handed out by the primary, and accepted by the workers")


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
