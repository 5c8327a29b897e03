"""Servers of the web, and what stands before them; curl and ab on the other side."""

from __future__ import annotations

import re
import signal
from pathlib import Path

from . import nginx
from .catalogue import BOTH, SERVER, program
from .stage import Running, Side, Stage
from .web_clients import downloads, load, url

NGINX = program(
    "nginx", "nginx-light curl apache2-utils", "nginx -v",
    "2 forked workers as www-data: 40 downloads in parallel by sendfile and by writev, proxy_pass to the other side, "
    "reloaded three times under load, graceful end",
)  # fmt: skip
APACHE = program("apache2", "apache2 curl apache2-utils", "apache2 -v", "2 forked processes of threads as www-data: 20 downloads in parallel, keep-alive, graceful restart under load")
LIGHTTPD = program("lighttpd", "lighttpd curl apache2-utils", "lighttpd -v", "20 downloads in parallel, keep-alive, graceful end")
HAPROXY = program("haproxy", "haproxy curl apache2-utils", "haproxy -v", "master and worker with 2 threads between curl and a server of the kernel's side: 20 downloads in parallel, reloaded under load")
STUNNEL = program("stunnel", "stunnel4 openssl curl", "stunnel -version", "TLS before a server of the kernel's side: 10 downloads in parallel")

SQUID = program(
    "squid", "squid curl", "squid --version", "between curl and a server of the kernel's side: 10 downloads in parallel, twice, the second time from its cache; a refused server",
    "as its own user from the start: a worker that root's master starts after it has become `proxy` by half is one whose `LD_PRELOAD` the dynamic linker ignores",
)  # fmt: skip


def behind(stage: Stage, side: Side) -> Running:
    """A plain server of the samples at port 8000 of this side."""
    words = ("/usr/bin/python3", "-u", "-m", "http.server", "8000", "--directory", stage.shared)
    return side.start(*words, ready="Serving HTTP")


def under_load(stage: Stage, deed) -> None:
    """Does `deed` three times while clients come and go; not one of them notices."""
    words = ("ab", "-q", "-s", 100, "-n", 3000, "-c", 10, url(stage, "small"))
    clients = stage.client.start(*words)
    for _ in range(3):
        deed()
    clients.ends()
    told = "\n".join(clients.lines)
    stage.holds(re.search("Failed requests: *0", told) and "Non-2xx" not in told, told)


@NGINX.scenario(SERVER, BOTH)
def nginx_serves(stage: Stage) -> None:
    upstream = behind(stage, stage.client)
    server = nginx.start(stage, stage.server, f"{stage.client.host}:8000")
    downloads(stage, stage.client, 40)
    downloads(stage, stage.client, 10, "copy/sample-2")
    downloads(stage, stage.client, 10, "proxy/sample-2")

    seen = 2

    def reload() -> None:
        nonlocal seen
        nginx.tell(stage, stage.server, "reload")
        seen += 2
        server.says("start worker process [0-9]", seen)

    under_load(stage, reload)
    downloads(stage, stage.client, 10)
    nginx.tell(stage, stage.server, "quit")
    server.ends()
    upstream.stop()


APACHE_CONFIGURATION = """
ServerRoot {directory}
ServerName scenario
DefaultRuntimeDir {directory}
PidFile {directory}/apache.pid
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
Listen {port}
User www-data
Group www-data
StartServers 2
ServerLimit 2
ThreadsPerChild 50
MaxRequestWorkers 100
KeepAliveTimeout 100
ErrorLog /dev/stderr
LogLevel notice
DocumentRoot {shared}
<Directory {shared}>
    Require all granted
</Directory>
"""


@APACHE.scenario(SERVER, BOTH)
def apache(stage: Stage) -> None:
    text = APACHE_CONFIGURATION.format(
        directory=stage.directory, shared=stage.shared, modules="/usr/lib/apache2/modules", port=nginx.PORT
    )
    configuration = stage.file("apache.conf", text)
    server = stage.server.start("apache2", "-D", "FOREGROUND", "-f", configuration, ready="resuming normal operations")
    downloads(stage, stage.client, 20)
    load(stage, stage.client, "-k")
    seen = 1

    def restart() -> None:
        nonlocal seen
        server.signal(signal.SIGUSR1)
        seen += 1
        server.says("resuming normal operations", seen)

    under_load(stage, restart)
    server.stop(signal.SIGWINCH)


@LIGHTTPD.scenario(SERVER, BOTH)
def lighttpd(stage: Stage) -> None:
    text = f'server.document-root = "{stage.shared}"\nserver.port = {nginx.PORT}\nserver.username = "www-data"\nserver.max-keep-alive-idle = 100\n'
    server = stage.server.start("lighttpd", "-D", "-f", stage.file("lighttpd.conf", text), ready="server started")
    downloads(stage, stage.client, 20)
    load(stage, stage.client)
    load(stage, stage.client, "-k")
    server.stop(signal.SIGINT)


HAPROXY_CONFIGURATION = """
global
    nbthread 2
    user haproxy
    group haproxy
defaults
    mode http
    timeout connect 100s
    timeout client 100s
    timeout server 100s
frontend front
    bind :{port}
    default_backend back
backend back
    server one {upstream}:8000
"""


@HAPROXY.scenario(SERVER, BOTH)
def haproxy(stage: Stage) -> None:
    upstream = behind(stage, stage.client)
    text = HAPROXY_CONFIGURATION.format(port=nginx.PORT, upstream=stage.client.host)
    server = stage.server.start("haproxy", "-W", "-db", "-f", stage.file("haproxy.conf", text), ready="Loading success")
    downloads(stage, stage.client, 20)
    load(stage, stage.client, "-k", requests=500)
    # Each time it has said so it begins anew by exec, and has handlers only then.
    server.catches(signal.SIGUSR2).signal(signal.SIGUSR2)
    server.says("Loading success", 2)
    downloads(stage, stage.client, 10)
    server.catches(signal.SIGUSR2).stop()
    upstream.stop()


@STUNNEL.scenario(SERVER, BOTH)
def stunnel(stage: Stage) -> None:
    upstream = behind(stage, stage.client)
    certificate(stage)
    text = f"foreground = yes\nsyslog = no\npid =\n[scenario]\naccept = 8443\nconnect = {stage.client.host}:8000\nTIMEOUTconnect = 100\ncert = {stage.directory}/both.pem\n"
    server = stage.server.start("stunnel", stage.file("stunnel.conf", text), ready="Configuration successful")
    outputs = [stage.directory / f"download-{number}" for number in range(10)]
    words = [word for output in outputs for word in ("-o", output, f"https://{stage.server.host}:8443/sample-2")]
    stage.client.run("curl", "-sSfk", "-Z", "--parallel-immediate", "--parallel-max", 10, *words)
    for output in outputs:
        stage.same(output, stage.sample(2), "a download")
    server.stop()
    upstream.stop()


SQUID_CONFIGURATION = """
http_port 3128
http_access allow all
cache_dir ufs {directory}/cache 100 16 16
maximum_object_size 8 MB
pid_filename {directory}/squid.pid
access_log none
cache_log /dev/null
coredump_dir {directory}
netdb_filename none
pinger_enable off
shutdown_lifetime 1 second
visible_hostname scenario
"""


@SQUID.scenario(SERVER, BOTH)
def squid(stage: Stage) -> None:
    upstream = behind(stage, stage.client)
    configuration = stage.file("squid.conf", SQUID_CONFIGURATION.format(directory=stage.directory))
    stage.here("squid", "-f", configuration, "-z", "--foreground", user="proxy")
    server = stage.server.start("squid", "-f", configuration, "--foreground", "-d1", user="proxy", ready="Accepting HTTP")
    stage.client.answers(3128, server)
    through = ("-x", f"http://{stage.server.host}:3128")
    outputs = [stage.directory / f"download-{number}" for number in range(10)]
    words = [word for output in outputs for word in ("-o", output, f"http://{stage.client.host}:8000/sample-2")]
    for _ in range(2):
        stage.client.run("curl", "-sSf", *through, "-Z", "--parallel-immediate", "--parallel-max", 10, *words)
        for output in outputs:
            stage.same(output, stage.sample(2), "a download")
    refused = stage.client.run("curl", "-sS", *through, "-o", "page", "-w", "%{http_code}", f"http://{stage.client.host}:9/").text
    stage.holds(refused == "503", refused)
    server.stop()
    upstream.stop()


def certificate(stage: Stage) -> Path:
    """A key and a certificate of this run alone: key.pem, cert.pem, and both.pem with the two in it."""
    key, cert, both = (stage.directory / name for name in ("key.pem", "cert.pem", "both.pem"))
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=scenario".split()
    stage.here("openssl", *words, "-keyout", key, "-out", cert)
    both.write_text(key.read_text() + cert.read_text())
    return both
