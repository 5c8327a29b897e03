"""Servers that are written in a language's own framework, each with an event loop or processes of its own."""

from __future__ import annotations

import signal

from .catalogue import BOTH, CLIENT, SERVER, program
from .stage import SCRIPTS, Running, Stage, digest
from .web_clients import downloads, load, url

PYTHON = "/usr/bin/python3"

GUNICORN = program(
    "gunicorn (gevent), uvicorn (uvloop)", "gunicorn python3-gevent uvicorn python3-uvloop python3-httptools curl apache2-utils", "gunicorn --version",
    "2 processes each: 20 downloads in parallel, 2 MiB up and the sum down by 5 clients at once, keep-alive, reloaded",
)  # fmt: skip
PUMA = program("puma (Ruby)", "puma curl apache2-utils", "ruby --version", "2 forked workers of threads: 20 downloads in parallel, 2 MiB up and the sum down by 5 clients at once, keep-alive")
ERLANG = program(
    "erlang", "erlang-base erlang-crypto erlang-inets", "dpkg-query -W erlang-base",
    "gen_tcp and the module socket: 1 MiB up, half-close and the sum down by 20 processes at once; a refused port by both",
)  # fmt: skip


def sums(stage: Stage) -> None:
    def ask(_: int) -> None:
        words = ("curl", "-sSf", "-H", "Content-Type: application/octet-stream", "--data-binary", f"@{stage.sample(2)}", url(stage, "sum"))
        told = stage.client.run(*words).text
        stage.holds(told == digest(stage.sample(2)), told)

    stage.together(ask, 5)


def exercised(stage: Stage) -> None:
    downloads(stage, stage.client, 20)
    sums(stage)
    load(stage, stage.client, "-k", requests=300)


@GUNICORN.scenario(SERVER, BOTH)
def gunicorn(stage: Stage) -> None:
    stage.here("cp", SCRIPTS / "web_app.py", stage.directory)
    environment = {"SHARED": str(stage.shared)}

    def begun(*words: object, ready: str) -> Running:
        server = stage.server.start(*words, env=environment)
        server.says(ready, 2)
        stage.client.answers(8080, server)
        return server

    words = ("-c", SCRIPTS / "gunicorn_settings.py", "-k", "gevent", "-w", 2, "-b", "0.0.0.0:8080", "--log-level=info")
    server = begun("gunicorn", *words, "web_app:wsgi", ready="Worker handles signals")
    exercised(stage)
    server.signal(signal.SIGHUP)
    server.says("Worker handles signals", 4)
    downloads(stage, stage.client, 10)
    server.stop()
    words = ("--loop", "uvloop", "--http", "httptools", "--timeout-keep-alive", 100, "--workers", 2, "--host", "0.0.0.0", "--port", 8080)
    server = begun(PYTHON, "-m", "uvicorn", *words, "web_app:asgi", ready="Application startup complete")
    exercised(stage)
    server.stop()


@PUMA.scenario(SERVER, BOTH)
def puma(stage: Stage) -> None:
    stage.here("cp", SCRIPTS / "config.ru", stage.directory)
    words = ("puma", "-C", SCRIPTS / "puma_settings.rb", "-w", 2, "-t", "2:2", "-b", "tcp://0.0.0.0:8080", "-e", "production", "config.ru")
    server = stage.server.start(*words, env={"SHARED": str(stage.shared)}).says("Worker . .*booted", 2)
    exercised(stage)
    server.stop()


@ERLANG.scenario(SERVER, CLIENT, BOTH)
def erlang(stage: Stage) -> None:
    stage.here("erlc", SCRIPTS / "sums.erl")
    words = ("erl", "-noinput", "-noshell", "-s", "sums")
    server = stage.server.start(*words, "serve", ready="serving")
    told = stage.client.run(*words, "ask", stage.server.host, stage.sample(1)).text
    stage.holds(told == f"{digest(stage.sample(1)).upper()}\n" * 21 + "{error,econnrefused}\n" * 2, told)
    server.stop()
