"""Clients of the web: nginx on the other side."""

from __future__ import annotations

import re

from . import nginx
from .catalogue import BOTH, CLIENT, SERVER, program
from .stage import Side, Stage

CURL = program("curl", "curl nginx-light", "curl --version", "8 MiB down and up, 20 downloads in parallel, ranges, a refused port")
WGET = program("wget", "wget nginx-light", "wget --version", "8 MiB down, a list of files over one connection, a refused port")
WRK = program("wrk", "wrk nginx-light", "wrk -v", "20 connections from 2 threads for a second, no socket errors")
AB = program("ab", "apache2-utils nginx-light", "ab -V", "2,000 requests by 20 clients, with and without keep-alive")

HTTP2 = program("nghttpd, h2load, curl", "nghttp2-server nghttp2-client curl", "h2load --version", "HTTP/2 without TLS: 1,000 requests by 20 clients with 10 streams each, 2 MiB by 4 clients at once, curl")


def url(stage: Stage, path: str) -> str:
    return f"http://{stage.server.host}:{nginx.PORT}/{path}"


def downloads(stage: Stage, side: Side, count: int, path: str = "sample-2") -> None:
    """That many at once, each by its own connection, each compared."""
    outputs = [stage.directory / f"download-{number}" for number in range(count)]
    words = [word for output in outputs for word in ("-o", output, url(stage, path))]
    side.run("curl", "-sSf", "-Z", "--parallel-immediate", "--parallel-max", count, *words)
    for output in outputs:
        stage.same(output, stage.sample(2), "a parallel download")
        output.unlink()


@CURL.scenario(CLIENT, BOTH)
def curl(stage: Stage) -> None:
    server = nginx.start(stage, stage.server)
    client = stage.client
    client.run("curl", "-sSf", "-o", "down", url(stage, "sample-8"))
    stage.same(stage.directory / "down", stage.sample(8), "the download")
    client.run("curl", "-sSf", "-T", stage.sample(8), url(stage, "put/up"))
    stage.same(stage.directory / "put/up", stage.sample(8), "the upload")
    part = client.run("curl", "-sSf", "-r", "1000-2999", url(stage, "sample-1"))
    stage.same(part.out, stage.sample(1).read_bytes()[1000:3000], "the range")
    downloads(stage, client, 20)
    client.run("curl", "-sS", f"http://{stage.server.host}:9/", code=7)
    client.run("curl", "-sSf", url(stage, "nowhere"), code=22)
    nginx.tell(stage, stage.server, "quit")
    server.ends()


@WGET.scenario(CLIENT)
def wget(stage: Stage) -> None:
    server = nginx.start(stage, stage.server)
    stage.client.run("wget", "-nv", "-O", "down", url(stage, "sample-8"))
    stage.same(stage.directory / "down", stage.sample(8), "the download")
    listed = stage.file("list", "\n".join(url(stage, "sample-1") for _ in range(5)) + "\n")
    stage.client.run("wget", "-nv", "-i", listed, "-O", "five")
    stage.same(stage.directory / "five", stage.sample(1).read_bytes() * 5, "five files")
    stage.client.run("wget", "-nv", "-t", "1", f"http://{stage.server.host}:9/", code=4)
    server.stop()


@WRK.scenario(CLIENT)
def wrk(stage: Stage) -> None:
    server = nginx.start(stage, stage.server)

    def served() -> bool:
        told = stage.client.run("wrk", "-t2", "-c20", "-d1s", "--timeout", "100s", url(stage, "small"), fact=False).text
        stage.holds("Socket errors" not in told and "Non-2xx" not in told, told)
        return int(re.search(r"(\d+) requests in", told)[1]) > 0

    # nginx may stand still in the one second that wrk takes.
    stage.until(served, "a second in which something is served")
    server.stop()


@AB.scenario(CLIENT)
def ab(stage: Stage) -> None:
    server = nginx.start(stage, stage.server)
    for keep_alive in ([], ["-k"]):
        load(stage, stage.client, *keep_alive)
    server.stop()


def load(stage: Stage, side: Side, *words: object, requests: int = 2000) -> None:
    told = side.run("ab", "-q", "-s", 100, "-n", requests, "-c", 20, *words, url(stage, "small")).text
    for line in (f"Complete requests: *{requests}", "Failed requests: *0"):
        stage.holds(re.search(line, told), told)
    stage.holds("Non-2xx" not in told, told)


@HTTP2.scenario(SERVER, CLIENT, BOTH)
def http2(stage: Stage) -> None:
    server = stage.server.start("nghttpd", "--no-tls", "-n", 2, "-d", stage.shared, nginx.PORT)
    stage.client.answers(nginx.PORT, server)
    for requests, words in ((1000, ("-c", 20, "-m", 10, "-t", 2, url(stage, "small"))), (20, ("-c", 4, "-m", 4, url(stage, "sample-2")))):
        told = stage.client.run("h2load", "-n", requests, *words).text
        stage.holds(f"{requests} succeeded, 0 failed" in told, told)
    stage.same(stage.client.run("curl", "-sSf", "--http2-prior-knowledge", url(stage, "sample-2")).out, stage.sample(2), "the page")
    server.stop()
