"""Programs that carry plain streams: nc, socat, iperf3, and openssl over them."""

from __future__ import annotations

import json
import signal

from .catalogue import BOTH, CLIENT, SERVER, program
from .stage import Stage, digest
from .web_servers import certificate

EVERYWHERE = (SERVER, CLIENT, BOTH)

NC = program("nc (OpenBSD)", "netcat-openbsd", "dpkg-query -W netcat-openbsd", "8 MiB each way, half-close, a refused port")
SOCAT = program("socat", "socat", "socat -V", "fork for each of 10 clients at once; exec with the connection as standard input and output")
IPERF3 = program("iperf3", "iperf3", "iperf3 --version", "32 MiB to the server, from it, and by 4 streams in parallel each way; both ways at once")
OPENSSL = program("openssl", "openssl", "openssl version", "s_server and s_client: 2 MiB by -WWW, 2 MiB the other way, a refused port")


@NC.scenario(*EVERYWHERE)
def nc(stage: Stage) -> None:
    server = stage.server.start("sh", "-c", f"exec nc -n -v -N -l 7000 < {stage.sample(8)}", ready="Listening")
    stage.same(stage.client.run("nc", "-d", stage.server.host, 7000).out, stage.sample(8), "what comes down")
    server.ends()
    server = stage.server.start("sh", "-c", "exec nc -n -v -d -l 7000 > up", ready="Listening")
    stage.client.run("nc", "-N", stage.server.host, 7000, input=stage.sample(8))
    server.ends()
    stage.same(stage.directory / "up", stage.sample(8), "what goes up")
    stage.client.run("nc", "-z", stage.server.host, 9, code=1)


@SOCAT.scenario(*EVERYWHERE)
def socat(stage: Stage) -> None:
    wanted = f"{digest(stage.sample(2))}  -\n"
    for port, how in ((7000, ""), (7001, ",nofork")):
        # Its child has as long to answer what has ended: half a second otherwise.
        words = ("socat", "-d", "-d", "-t", 100, f"TCP-LISTEN:{port},fork,reuseaddr", f"EXEC:sha256sum{how}")
        server = stage.server.start(*words, ready="listening on")

        def ask(_: int, port: int = port) -> None:
            # A client ends its writing with FIN and then reads the sum.
            done = stage.client.run("socat", "-t", 100, "-", f"TCP:{stage.server.host}:{port}", input=stage.sample(2))
            stage.holds(done.text == wanted, f"{done.text} is {wanted}")

        stage.together(ask, 10)
        server.stop()


@IPERF3.scenario(*EVERYWHERE)
def iperf3(stage: Stage) -> None:
    server = stage.server.start("iperf3", "-s", "--forceflush", ready="Server listening")
    for number, words in enumerate(("-n 32M", "-n 32M -R", "-n 32M -P 4", "-n 32M -P 4 -R", "-t 1 --bidir")):
        told = json.loads(stage.client.run("iperf3", "-c", stage.server.host, "--json", *words.split()).text)
        stage.holds("error" not in told, told.get("error"))
        if words.startswith("-n"):
            stage.holds(told["end"]["sum_sent"]["bytes"] >= 32 << 20, f"{words}: {told['end']['sum_sent']}")
        else:
            both = (told["end"]["sum_received"], told["end"]["sum_received_bidir_reverse"])
            stage.holds(all(one["bytes"] > 0 for one in both), both)
        server.says("Server listening", number + 2)
    server.stop(signal.SIGINT)


@OPENSSL.scenario(*EVERYWHERE)
def openssl(stage: Stage) -> None:
    certificate(stage)
    keys = ("-key", stage.directory / "key.pem", "-cert", stage.directory / "cert.pem")
    server = stage.server.start("openssl", "s_server", "-accept", 4433, "-WWW", *keys, cwd=stage.shared, ready="ACCEPT")
    where = ("-connect", f"{stage.server.host}:4433")
    page = stage.client.run("openssl", "s_client", "-quiet", *where, input=b"GET /sample-2 HTTP/1.0\r\n\r\n").out
    stage.same(page.split(b"\r\n\r\n", 1)[-1], stage.sample(2), "the page")
    server.stop()
    words = ("openssl", "s_server", "-accept", 4433, "-naccept", 1, *keys)
    server = stage.server.start("sh", "-c", f"{' '.join(map(str, words))} | tee up", ready="ACCEPT")
    text = stage.text(2)
    stage.client.run("openssl", "s_client", "-quiet", "-no_ign_eof", *where, input=text)
    server.ends()
    came, line = (stage.directory / "up").read_bytes(), text.read_bytes()[:93]
    start = came.find(line)
    stage.same(came[start : start + text.stat().st_size], text, "what goes up")
    stage.client.run("openssl", "s_client", "-connect", f"{stage.server.host}:9", code=1)
