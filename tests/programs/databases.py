"""Stores of data and messages, and their clients."""

from __future__ import annotations

import signal

from .catalogue import BOTH, CLIENT, SERVER, program
from .stage import Running, Stage

REDIS = program(
    "redis-server, redis-cli, redis-benchmark", "redis-server redis-tools", "redis-server --version",
    "1 MiB in and out, 20 clients with and without pipelining, a background save (fork) among them, 2 I/O threads",
)  # fmt: skip
MEMCACHED = program("memcached", "memcached libmemcached-tools", "memcached --version", "2 threads as memcache: files of 900 KB in and out by memccp and memccat, 10 clients at once")
POSTGRES = program(
    "postgres, psql, pgbench", "postgresql", "psql --version",
    "a process for each client, as postgres; pgbench with 8 clients, 100,000 rows in by COPY and out again, a cancelled query",
)  # fmt: skip
MOSQUITTO = program("mosquitto", "mosquitto mosquitto-clients", "mosquitto -h", "4 subscribers, 500 messages of quality 1")

ZOOKEEPER = program(
    "zookeeper (Java)", "zookeeper openjdk-17-jre-headless", "dpkg-query -W zookeeper",
    "NIO of both sides, and the threads of a JVM: 4 clients at once put 100 KB each and take it back",
)  # fmt: skip


@REDIS.scenario(SERVER, CLIENT, BOTH)
def redis(stage: Stage) -> None:
    words = "--port 6379 --protected-mode no --io-threads 2 --bind 0.0.0.0".split()
    words += ["--save", "", "--dir", str(stage.directory)]
    server = stage.server.start("redis-server", *words, ready="Ready to accept connections")
    cli = ("redis-cli", "-h", stage.server.host)
    stage.client.run(*cli, "-x", "set", "sample", input=stage.sample(1))
    stage.same(stage.client.run(*cli, "--raw", "get", "sample").out[:-1], stage.sample(1), "the value")
    benchmark = ("redis-benchmark", "-h", stage.server.host, "-q", "-c", 20, "-t", "set,get,lpush,lrange_100")
    stage.client.run(*benchmark, "-n", 1000)
    load = stage.client.start(*benchmark, "-n", 4000, "-P", 8)
    stage.holds("started" in stage.client.run(*cli, "bgsave").text, "a background save begins")
    load.ends()
    server.says("Background saving terminated with success")
    stage.client.run("redis-cli", "-h", stage.server.host, "-p", 9, "ping", code=1)
    stage.client.run(*cli, "shutdown", "nosave")
    server.ends()


@MEMCACHED.scenario(SERVER, CLIENT, BOTH)
def memcached(stage: Stage) -> None:
    server = stage.server.start("memcached", "-u", "memcache", "-t", 2, "-p", 11211, "-U", 0, "-vv").says("server listening", 2)  # for IPv6 too, perhaps first
    servers = f"--servers={stage.server.host}:11211"

    def store(number: int) -> None:
        value = stage.sample(1).read_bytes()[number : 900_000 + number]
        file = stage.directory / f"value-{number}"
        file.write_bytes(value)
        stage.client.run("memccp", servers, file)
        stage.same(stage.client.run("memccat", servers, file.name).out[:-1], value[:], "a value")

    for number in range(3):
        store(number)
    stage.together(lambda _: stage.client.run("memccat", servers, "value-1"), 10)
    server.stop(signal.SIGINT)


def postgres_cluster(stage: Stage) -> Running:
    place, programs = stage.directory / "data", "/usr/lib/postgresql"
    version = stage.here("sh", "-c", f"ls {programs} | sort -n | tail -1").strip()
    stage.here(f"{programs}/{version}/bin/initdb", "--no-sync", "-A", "trust", "-D", place, user="postgres")
    with (place / "pg_hba.conf").open("a") as access:
        access.write("host all all all trust\n")
    settings = {"listen_addresses": "*", "fsync": "off", "unix_socket_directories": stage.directory, "shared_buffers": "32MB"}
    words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    return stage.server.start(
        f"{programs}/{version}/bin/postgres", "-D", place, *words, user="postgres", ready="ready to accept connections"
    )


@POSTGRES.scenario(SERVER, CLIENT, BOTH)
def postgres(stage: Stage) -> None:
    server = postgres_cluster(stage)
    where = ("-h", stage.server.host, "-U", "postgres", "-d", "postgres")
    stage.client.run("pgbench", *where, "-q", "-i", "-s", 1)
    told = stage.client.run("pgbench", *where, "-n", "-c", 8, "-j", 2, "-t", 25).text
    stage.holds("200/200" in told, told)
    psql = ("psql", *where, "-X", "-q", "-v", "ON_ERROR_STOP=1")
    rows = "".join(f"{number}\t{number * number}\n" for number in range(100_000)).encode()
    stage.client.run(*psql, "-c", "create table squares (n bigint, square bigint)")
    stage.client.run(*psql, "-c", "copy squares from stdin", input=rows)
    stage.same(stage.client.run(*psql, "-c", "copy (select * from squares order by n) to stdout").out, rows, "the rows")
    slow = stage.client.start(*psql, "-c", "select pg_sleep(600) /* to be cancelled */")
    cancel = "select count(pg_cancel_backend(pid)) from pg_stat_activity where query like '%to be cancelled%' and pid <> pg_backend_pid()"
    stage.until(lambda: stage.client.run(*psql, "-At", "-c", cancel, fact=False).text == "1\n", "there is a query to cancel")
    slow.ends(expected=1)
    stage.client.run("psql", "-h", stage.server.host, "-p", 9, "-U", "postgres", code=2)
    server.stop(signal.SIGINT, expected=0)


@MOSQUITTO.scenario(SERVER, CLIENT, BOTH)
def mosquitto(stage: Stage) -> None:
    configuration = stage.file("mosquitto.conf", "listener 1883\nallow_anonymous true\nmax_queued_messages 0\nuser mosquitto\nlog_type all\n")
    server = stage.server.start("mosquitto", "-c", configuration, ready="running")
    where = ("-h", stage.server.host, "-q", 1, "-t", "scenario")
    subscribers = [stage.client.start("mosquitto_sub", *where, "-C", 500) for _ in range(4)]
    server.says("Sending SUBACK", 4)
    messages = [f"message {number}" for number in range(500)]
    stage.client.run("mosquitto_pub", *where, "-l", input="".join(f"{m}\n" for m in messages).encode())
    for subscriber in subscribers:
        subscriber.ends()
        stage.holds(subscriber.lines == messages, f"all messages in order, not {subscriber.lines[:3]}")
    server.stop()


@ZOOKEEPER.scenario(SERVER, BOTH)
def zookeeper(stage: Stage) -> None:
    java = ("java", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData", "-Dzookeeper.admin.enableServer=false", "-cp", "/usr/share/java/zookeeper.jar")
    server = stage.server.start(*java, "org.apache.zookeeper.server.ZooKeeperServerMain", 2181, stage.directory / "data")
    stage.client.answers(2181, server)
    asked = ("nc", "-w", 2, stage.server.host, 2181)
    # It accepts, and turns away whom it accepted, before it serves.
    stage.until(lambda: "Mode: standalone" in stage.client.run(*asked, input=b"srvr", code=None, fact=False).text, "it serves")
    shell = (*java, "org.apache.zookeeper.ZooKeeperMain", "-server", f"{stage.server.host}:2181", "-timeout", 60_000)

    def store(number: int) -> None:
        text = stage.sample(1).read_bytes()[number : 50_000 + number].hex()
        told = stage.client.run(*shell, input=f"create /{number} {text}\nget /{number}\n".encode()).text
        stage.holds(text in told.splitlines(), "what was put comes back")

    stage.together(store, 4)
    server.stop()
