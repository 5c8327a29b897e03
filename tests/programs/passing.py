"""Programs that pass on: connections to processes of theirs, listeners to themselves, calls to the library behind theirs."""

from __future__ import annotations

from . import nginx
from .catalogue import BOTH, CLIENT, SERVER, program
from .frameworks import sums
from .stage import SCRIPTS, Stage
from .web_clients import downloads
from .web_servers import behind

KAMAILIO = program(
    "kamailio", "kamailio python3", "kamailio -v",
    "SIP: 10 clients at once with 20 requests each; one process accepts, and hands the connection to another for what comes on it",
)  # fmt: skip
UWSGI = program(
    "uwsgi", "uwsgi-core uwsgi-plugin-python3 curl", "uwsgi_python3 --version",
    "2 forked processes: 10 downloads in parallel, 2 MiB up and the sum down by 5 clients at once; reloaded: it executes itself, and knows its listener again by its address",
)  # fmt: skip
PROXYCHAINS = program(
    "tinyproxy, proxychains, curl", "tinyproxy-bin proxychains4 curl", "dpkg-query -W proxychains4",
    "10 downloads in parallel by a proxy that curl knows nothing of: proxychains is before our library, by itself and by `env LD_PRELOAD=...`; a refused server",
)  # fmt: skip

KAMAILIO_CONFIGURATION = """
log_stderror = yes
children = 1
tcp_children = 4
listen = tcp:0.0.0.0:5060
mpath = "/usr/lib/{machine}/kamailio/modules/"
loadmodule "pv.so"
loadmodule "sl.so"
request_route {{
    sl_send_reply("200", "OK");
}}
"""


@KAMAILIO.scenario(SERVER, CLIENT, BOTH)
def kamailio(stage: Stage) -> None:
    machine = stage.here("sh", "-c", "cd /usr/lib && ls -d */kamailio").split("/")[0]
    configuration = stage.file("kamailio.cfg", KAMAILIO_CONFIGURATION.format(machine=machine))
    server = stage.server.start("kamailio", "-f", configuration, "-DD", "-E", "-Y", stage.directory, "-P", stage.directory / "pid")
    stage.client.answers(5060, server)

    def ask(number: int) -> None:
        told = stage.client.run("/usr/bin/python3", SCRIPTS / "options.py", stage.server.host, 5060, number, 20).text
        stage.holds(told == "20 of 20\n", told)

    stage.together(ask, 10)
    server.stop()


@UWSGI.scenario(SERVER, BOTH)
def uwsgi(stage: Stage) -> None:
    stage.here("cp", SCRIPTS / "web_app.py", stage.directory)
    orders = stage.directory / "orders"
    words = ("--plugin", "python3", "--http-socket", f"0.0.0.0:{nginx.PORT}", "--master", "--processes", 2, "--wsgi-file", "web_app.py")
    server = stage.server.start(
        "uwsgi_python3", *words, "--callable", "wsgi", "--master-fifo", orders, ready="spawned uWSGI worker 2", env={"SHARED": str(stage.shared)}
    )
    exercised(stage)
    orders.write_text("r")
    server.says("inherited INET address").says("spawned uWSGI worker 2", 2)
    exercised(stage)
    orders.write_text("Q")
    server.ends()


def exercised(stage: Stage) -> None:
    downloads(stage, stage.client, 10)
    sums(stage)


@PROXYCHAINS.scenario(SERVER, CLIENT, BOTH)
def proxychains(stage: Stage) -> None:
    upstream = behind(stage, stage.client)
    proxy = stage.server.start("tinyproxy", "-d", "-c", stage.file("tinyproxy.conf", "Port 8888\nListen 0.0.0.0\nTimeout 100\nMaxClients 50\nLogLevel Info\n"))
    stage.client.answers(8888, proxy)
    chain = stage.file("chain.conf", f"strict_chain\n[ProxyList]\nhttp {stage.server.host} 8888\n")
    library = stage.here("sh", "-c", "ls /usr/lib/*/libproxychains.so.4").strip()
    outputs = [stage.directory / f"download-{number}" for number in range(10)]
    fetch = [word for output in outputs for word in ("-o", output, f"http://{stage.client.host}:8000/sample-2")]
    asked = 0
    for way in (
        ("proxychains4", "-q", "-f", chain),
        ("env", f"LD_PRELOAD={library}", f"PROXYCHAINS_CONF_FILE={chain}", "PROXYCHAINS_QUIET_MODE=1"),
    ):
        stage.client.run(*way, "curl", "-sSf", "-Z", "--parallel-immediate", *fetch)
        for output in outputs:
            stage.same(output, stage.sample(2), "a download by the proxy")
            output.unlink()
        asked += len(outputs)
        proxy.says("Established connection to host", asked)
        stage.client.run(*way, "curl", "-sS", f"http://{stage.client.host}:9/", code=7)
    proxy.stop()
    upstream.stop()
