"""Programs that move files: ssh and scp, git, rsync, FTP."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

from .catalogue import BOTH, CLIENT, SERVER, program
from .stage import Running, Stage, digest
from .web_servers import behind

SSH = program(
    "sshd, ssh, scp", "openssh-server openssh-client", "ssh -V",
    "scp of 100 MiB to the server and 8 MiB from it, a command and its exit code, a refused port; re-exec, privilege "
    "separation and seccomp as Debian has them",
)  # fmt: skip
TUNNELS = program(
    "ssh -L, -R, -D", "openssh-server openssh-client curl", "ssh -V", "6 downloads of 2 MiB at once through each: a port of the client's forwarded, one of the server's, and SOCKS; a refused port by SOCKS",
)  # fmt: skip
GIT = program("git daemon, git clone", "git", "git --version", "4 commits with files of 2 MiB cloned by 3 clients at once, fsck, push; exec with the connection as descriptors 0 and 1")
RSYNC = program("rsync", "rsync", "rsync --version", "a daemon in a chroot: a tree down, changed, and up again; a refused port")
VSFTPD = program(
    "vsftpd, curl", "vsftpd curl", "dpkg-query -W vsftpd", "8 MiB down and up by passive and by active connections; descriptors passed between processes; chroot",
    "needs `isolate_network=NO`: otherwise its sessions are in another network namespace and in another root, where the engine is not to be found",
)  # fmt: skip


def sshd(stage: Stage) -> tuple[Running, list[object]]:
    """The server, and what a client has to say to come in."""
    key, host_key = stage.directory / "id", stage.directory / "host_key"
    for file in (key, host_key):
        stage.here("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", file)
    stage.file("authorized", key.with_suffix(".pub").read_text())
    settings = [
        "Port 2222", f"HostKey {host_key}", f"AuthorizedKeysFile {stage.directory}/authorized", "StrictModes no", "GatewayPorts yes",
        "PermitRootLogin yes", "PidFile none", "UsePAM no", "Subsystem sftp /usr/lib/openssh/sftp-server",
    ]  # fmt: skip
    configuration = stage.file("sshd_config", "\n".join(settings) + "\n")
    server = stage.server.start("/usr/sbin/sshd", "-D", "-e", "-f", configuration, ready="Server listening on 0.0.0.0")
    options = [
        "-F", "none", "-i", key, "-o", "StrictHostKeyChecking=no", "-o", f"UserKnownHostsFile={stage.directory}/known",
        "-o", "BatchMode=yes", "-o", "ConnectTimeout=100",
    ]  # fmt: skip
    return server, options


@SSH.scenario(SERVER, CLIENT, BOTH)
def ssh(stage: Stage) -> None:
    server, options = sshd(stage)
    there = f"root@{stage.server.host}"
    stage.client.run("scp", "-P", 2222, *options, stage.sample(100), f"{there}:{stage.directory}/up")
    stage.same(stage.directory / "up", stage.sample(100), "100 MiB up")
    (stage.directory / "up").unlink()
    stage.client.run("scp", "-P", 2222, *options, f"{there}:{stage.sample(8)}", stage.directory / "down")
    stage.same(stage.directory / "down", stage.sample(8), "8 MiB down")
    ssh = ("ssh", "-p", 2222, *options, there)
    done = stage.client.run(*ssh, "sha256sum; exit 7", input=stage.sample(2), code=7)
    stage.holds(done.text == f"{digest(stage.sample(2))}  -\n", done.everything)
    stage.client.run("ssh", "-p", 9, *options, there, "true", code=255)
    server.stop()


@TUNNELS.scenario(BOTH)
def tunnels(stage: Stage) -> None:
    upstream = behind(stage, stage.server)
    server, options = sshd(stage)
    ours, theirs = stage.client.host, stage.server.host
    forwards = ("-L", f"0.0.0.0:9001:{theirs}:8000", "-D", "0.0.0.0:9002", "-R", f"0.0.0.0:9003:{theirs}:8000")
    words = ("ssh", "-N", "-v", "-p", 2222, *options, "-o", "ExitOnForwardFailure=yes", "-g", *forwards, f"root@{theirs}")
    client = stage.client.start(*words, ready="remote forward success")
    outputs = [stage.directory / f"download-{number}" for number in range(6)]
    for side, way, address in (
        (stage.server, (), f"{ours}:9001"),
        (stage.client, (), f"{theirs}:9003"),
        (stage.server, ("--socks5", f"{ours}:9002"), f"{theirs}:8000"),
    ):
        fetch = [word for output in outputs for word in ("-o", output, f"http://{address}/sample-2")]
        side.run("curl", "-sSf", "-Z", "--parallel-immediate", *way, *fetch)
        for output in outputs:
            stage.same(output, stage.sample(2), "a download")
    stage.server.run("curl", "-sS", "--socks5", f"{ours}:9002", f"http://{theirs}:9/", code=97)
    client.stop()
    server.stop()
    upstream.stop()


@GIT.scenario(SERVER, CLIENT, BOTH)
def git(stage: Stage) -> None:
    identity = ("-c", "user.name=scenario", "-c", "user.email=scenario@example.org", "-c", "safe.directory=*")
    origin = stage.directory / "base/origin"
    origin.parent.mkdir()
    stage.here("git", "init", "-q", "-b", "main", origin)
    data = stage.sample(2).read_bytes()
    for number in range(4):
        (origin / f"file-{number}").write_bytes(data[number:])
        stage.here("git", "add", ".", cwd=origin)
        stage.here("git", *identity, "commit", "-q", "-m", f"commit {number}", cwd=origin)
    stage.here("git", "init", "-q", "--bare", stage.directory / "base/pushed")
    head = stage.here("git", "rev-parse", "HEAD", cwd=origin)
    words = ("--verbose", "--export-all", "--enable=receive-pack", "--reuseaddr", f"--base-path={origin.parent}")
    server = stage.server.start("git", "daemon", *words, origin.parent, ready="Ready to rumble")
    address = f"git://{stage.server.host}"

    def clone(number: int) -> None:
        there = stage.directory / f"clone-{number}"
        stage.client.run("git", "clone", "-q", f"{address}/origin", there)
        stage.here("git", "fsck", "--full", cwd=there)
        stage.holds(stage.here("git", "rev-parse", "HEAD", cwd=there) == head, "the clone's head is the origin's")

    stage.together(clone, 3)
    stage.client.run("git", "push", "-q", f"{address}/pushed", "main", cwd=stage.directory / "clone-0")
    stage.holds(stage.here("git", "rev-parse", "main", cwd=stage.directory / "base/pushed") == head, "the pushed head is there")
    stage.client.run("git", "clone", "-q", f"{address}:9/origin", stage.directory / "none", code=128)
    server.stop()


@RSYNC.scenario(SERVER, CLIENT, BOTH)
def rsync(stage: Stage) -> None:
    module = stage.directory / "module"
    module.mkdir(mode=0o777)
    for number in range(20):
        (module / f"file-{number}").write_bytes(stage.sample(1).read_bytes()[number * 1000 :])
    settings = ["use chroot = yes", "uid = root", "gid = root", "log file = /dev/stdout", "[tree]", f"path = {module}", "read only = no"]
    configuration = stage.file("rsyncd.conf", "\n".join(settings) + "\n")
    server = stage.server.start("rsync", "--daemon", "--no-detach", f"--config={configuration}", "--port=8730")
    stage.client.answers(8730, server)  # it says that it listens before it does
    address = f"rsync://{stage.server.host}:8730/tree/"
    copy = stage.directory / "copy"
    stage.client.run("rsync", "-a", address, copy)
    same_tree(stage, module, copy, "the tree down")
    (copy / "file-3").write_bytes(stage.sample(2).read_bytes())
    (copy / "file-4").unlink()
    stage.client.run("rsync", "-a", "--delete", "--ignore-times", f"{copy}/", address)
    same_tree(stage, copy, module, "the tree up")
    stage.client.run("rsync", f"rsync://{stage.server.host}:9/tree/", code=10)
    server.stop()


def same_tree(stage: Stage, wanted: Path, got: Path, what: str) -> None:
    names = sorted(file.name for file in wanted.iterdir())
    stage.holds(names == sorted(file.name for file in got.iterdir()), f"{what}: the names")
    for name in names:
        stage.same(got / name, wanted / name, f"{what}: {name}")


@VSFTPD.scenario(SERVER, BOTH)
def vsftpd(stage: Stage) -> None:
    root = stage.directory / "ftp"
    (root / "in").mkdir(parents=True)
    owner = pwd.getpwnam("ftp")
    os.chown(root / "in", owner.pw_uid, owner.pw_gid)
    (root / "sample").write_bytes(stage.sample(8).read_bytes())
    settings = {
        "listen": "YES", "background": "NO", "anonymous_enable": "YES", "anon_root": root, "no_anon_password": "YES",
        "write_enable": "YES", "anon_upload_enable": "YES", "anon_umask": "022", "listen_port": 2121,
        "secure_chroot_dir": "/run/vsftpd/empty", "connect_from_port_20": "YES", "pasv_min_port": 40000, "pasv_max_port": 40100,
        "isolate_network": "NO",
    }  # fmt: skip
    configuration = stage.file("vsftpd.conf", "".join(f"{name}={value}\n" for name, value in settings.items()))
    server = stage.server.start("vsftpd", configuration)
    stage.client.answers(2121, server)
    address = f"ftp://{stage.server.host}:2121"
    for name, how in (("passive", ["--disable-epsv"]), ("extended passive", []), ("active", ["-P", "-"])):
        file = stage.directory / f"down {name}"
        stage.client.run("curl", "-sSf", *how, "-o", file, f"{address}/sample")
        stage.same(file, stage.sample(8), f"{name}: the download")
        target = name.replace(" ", "-")
        stage.client.run("curl", "-sSf", *how, "-T", stage.sample(8), f"{address}/in/{target}")
        stage.same(root / "in" / target, stage.sample(8), f"{name}: the upload")
    server.stop()
