"""Masters that hand what they listen on to children, some with an environment of their own making; and wrappers of programs."""

from __future__ import annotations

import signal
from pathlib import Path

from . import nginx
from .catalogue import BOTH, CLIENT, SERVER, program
from .stage import Stage, digest
from .web_clients import url

INETD = program(
    "tcpserver, systemd-socket-activate", "ucspi-tcp systemd netcat-openbsd", "dpkg-query -W ucspi-tcp",
    "the connection as standard input and output of a program for each of 6 clients at once; socket activation (`LISTEN_FDS`) of Python by a master that clears the environment",
)  # fmt: skip
DOVECOT = program(
    "dovecot, curl", "dovecot-imapd curl", "dovecot --version",
    "4 users at once put a message of 1 MiB and take it back; the login processes are chrooted, have listeners from a master that clears the environment, and hand connections on; a wrong password",
)  # fmt: skip
PHP = program(
    "php-fpm, nginx", "php-fpm nginx-light curl", "php --version",
    "FastCGI to 2 workers that listen on descriptor 0: 2 MiB up and the sum down by 6 clients at once, the page of the listener's queue (`TCP_INFO`), reloaded",
)  # fmt: skip
WRAPPERS = program(
    "strace, gdb, jemalloc, faketime", "strace gdb libjemalloc2 faketime curl nginx-light", "strace --version",
    "curl under each of them, and with another `LD_PRELOAD`, and with none (`env -i`)",
)  # fmt: skip


@INETD.scenario(SERVER, BOTH)
def inetd(stage: Stage) -> None:
    server = stage.server.start("tcpserver", "-v", "-RHl0", "0.0.0.0", 7000, "sha256sum", ready="status: 0/")

    def ask(_: int) -> None:
        told = stage.client.run("nc", "-N", stage.server.host, 7000, input=stage.sample(1)).text
        stage.holds(told == f"{digest(stage.sample(1))}  -\n", told)

    stage.together(ask, 6)
    server.stop()
    script = (
        "import os, socket; assert os.environ['LISTEN_FDS'] == '1'; listener = socket.socket(fileno=3)\n"
        "for _ in range(3): connection, peer = listener.accept(); connection.sendall(peer[0].encode()); connection.close()\n"
    )
    words = ("systemd-socket-activate", "-l", "0.0.0.0:7001", "/usr/bin/python3", stage.file("activated.py", script))
    server = stage.server.start(*words, ready="Listening")
    for _ in range(3):
        told = stage.client.run("nc", "-d", stage.server.host, 7001).text
        stage.holds(told == stage.client.host, told)
    server.ends()


DOVECOT_CONFIGURATION = """
protocols = imap
base_dir = {directory}/run
state_dir = {directory}/state
log_path = /dev/stderr
ssl = no
disable_plaintext_auth = no
mail_location = maildir:~/mail
first_valid_uid = 1
service imap-login {{
  inet_listener imap {{
    port = 1143
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
passdb {{
  driver = static
  args = password=word
}}
userdb {{
  driver = static
  args = uid=nobody gid=nogroup home={directory}/mail/%u
}}
"""


@DOVECOT.scenario(SERVER, BOTH)
def dovecot(stage: Stage) -> None:
    (stage.directory / "mail").mkdir(mode=0o777)
    (stage.directory / "mail").chmod(0o777)
    configuration = stage.file("dovecot.conf", DOVECOT_CONFIGURATION.format(directory=stage.directory))
    server = stage.server.start("dovecot", "-F", "-c", configuration, ready="starting up")
    message = stage.directory / "message"
    message.write_bytes(b"Subject: a sample\r\n\r\n" + stage.text(1).read_bytes().replace(b"\n", b"\r\n") + b"\r\n")
    inbox = f"imap://{stage.server.host}:1143/INBOX"

    def mail(number: int) -> None:
        login = ("curl", "-sS", "-u", f"user{number}:word")
        stage.client.run(*login, "-T", message, inbox)
        stage.same(stage.client.run(*login, f"{inbox};MAILINDEX=1").out, message, "the message")

    stage.together(mail, 4)
    stage.client.run("curl", "-sS", "-u", "user0:none", inbox, code=67)
    server.stop()


FPM_CONFIGURATION = """
[global]
error_log = /dev/stderr
daemonize = no
[scenario]
user = www-data
group = www-data
listen = 0.0.0.0:9000
listen.backlog = 100
pm = static
pm.max_children = 2
pm.status_path = /status
"""


@PHP.scenario(SERVER, BOTH)
def php_fpm(stage: Stage) -> None:
    name = Path(stage.here("sh", "-c", "ls /usr/sbin/php-fpm*").split()[0]).name
    script = stage.file("sum.php", '<?php echo hash("sha256", file_get_contents("php://input"));')
    server = stage.server.start(name, "-F", "-n", "-y", stage.file("fpm.conf", FPM_CONFIGURATION), ready="ready to handle connections")
    places = f"location /sum {{ {fastcgi(stage, script)} }} location /status {{ {fastcgi(stage, '/status')} }}"
    front = nginx.start(stage, stage.client, places=places)
    address = f"http://{stage.client.host}:{nginx.PORT}"
    post = ("curl", "-sSf", "-H", "Content-Type: application/octet-stream", "--data-binary", f"@{stage.sample(2)}", f"{address}/sum")

    def ask(_: int) -> None:
        # nginx is asked by the other side: the kernel reaches itself by `lo`, which is down.
        told = stage.server.run(*post).text
        stage.holds(told == digest(stage.sample(2)), told)

    stage.together(ask, 6)
    told = stage.server.run("curl", "-sSf", f"{address}/status").text
    stage.fact("queue", [line.split() for line in told.splitlines() if line.startswith("listen queue len")])
    stage.holds("listen queue len:     100" in told, told)
    server.signal(signal.SIGUSR2)
    server.says("ready to handle connections", 2)
    stage.together(ask, 2)
    front.stop()
    server.stop(signal.SIGQUIT)


def fastcgi(stage: Stage, script: object) -> str:
    return f"include /etc/nginx/fastcgi_params; fastcgi_param SCRIPT_NAME {script}; fastcgi_param SCRIPT_FILENAME {script}; fastcgi_pass {stage.server.host}:9000;"


@WRAPPERS.scenario(CLIENT, BOTH)
def wrappers(stage: Stage) -> None:
    server = nginx.start(stage, stage.server)
    out = stage.directory / "out"
    fetch = ("curl", "-sSf", "-o", out, url(stage, "sample-2"))
    for wrapper in (
        ("strace", "-f", "-o", stage.directory / "calls"),
        ("gdb", "-batch", "-ex", "run", "--args"),
        ("faketime", "2020-01-01"),
        ("env", "LD_PRELOAD=libjemalloc.so.2"),
        ("env", "-i"),
    ):
        stage.client.run(*wrapper, *fetch)
        stage.same(out, stage.sample(2), f"under {wrapper[0]}")
        out.unlink()
    server.stop()
