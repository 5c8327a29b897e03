"""Clients of the standard library that begin TLS in the middle of a connection, after `ustcp.patch()`: FTP, SMTP and POP3.
The servers are on the kernel's TCP. Each was imported before the patch, as any program may have done."""

from __future__ import annotations

import ftplib
import io
import poplib
import smtplib
import socket
import threading
from collections.abc import Callable, Iterator

import pytest
import ustcp

from harness import certificate
from harness.netns import PEER

KERNELS = socket.socket  # as it is before the patch
SECONDS = 20
LETTER = b"From: a@example\r\nTo: b@example\r\n\r\n" + b"a line of text\r\n" * 5000


class Lines:
    """A server's end of a connection: a line is asked for, answers are lines."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._open()

    def _open(self) -> None:
        self.heard = self.sock.makefile("rb", 0)  # unbuffered: nothing of TLS is read in the clear

    def say(self, *lines: str) -> None:
        self.sock.sendall("".join(f"{line}\r\n" for line in lines).encode())

    def command(self) -> str:
        return self.heard.readline().decode().strip()

    def answer(self, command: str, *lines: str) -> None:
        heard = self.command()
        assert heard.upper().startswith(command), heard
        self.say(*lines)

    def begin_tls(self) -> None:
        self.heard.close()
        self.sock = certificate.of_server().wrap_socket(self.sock, server_side=True)
        self._open()

    def end_tls(self) -> None:
        self.heard.close()
        self.sock = self.sock.unwrap()
        self._open()


@pytest.fixture
def served() -> Iterator[Callable[[Callable[[Lines], None]], int]]:
    """Plays a server's part to one client: the port. What goes wrong in it is told at the end."""
    threads, wrong = [], []

    def start(play: Callable[[Lines], None]) -> int:
        listener = KERNELS()
        listener.bind((PEER, 0))
        listener.listen()

        def run() -> None:
            try:
                with listener:
                    listener.settimeout(SECONDS)
                    sock, _ = listener.accept()
                sock.settimeout(SECONDS)
                lines = Lines(sock)
                play(lines)
                lines.heard.close()
                lines.sock.close()
            except BaseException as error:
                wrong.append(error)

        threads.append(threading.Thread(target=run))
        threads[-1].start()
        return listener.getsockname()[1]

    yield start
    for thread in threads:
        thread.join()
    assert not wrong, wrong


def test_smtp(patched, served):
    letters = []

    def play(lines: Lines) -> None:
        lines.say("220 here")
        lines.answer("EHLO", "250-here", "250 STARTTLS")
        lines.answer("STARTTLS", "220 go on")
        lines.begin_tls()
        lines.answer("EHLO", "250 here")
        lines.answer("MAIL", "250 yes")
        lines.answer("RCPT", "250 yes")
        lines.answer("DATA", "354 go on")
        letter = b""
        while not letter.endswith(b"\r\n.\r\n"):
            letter += lines.heard.readline()
        letters.append(letter)
        lines.say("250 taken")
        lines.answer("QUIT", "221 bye")

    with smtplib.SMTP(PEER, served(play), timeout=SECONDS) as client:
        client.starttls(context=certificate.of_client())
        assert type(client.sock) is ustcp.SSLSocket
        client.sendmail("a@example", ["b@example"], LETTER)
    assert letters == [LETTER + b".\r\n"]


def test_pop3(patched, served):
    def play(lines: Lines) -> None:
        lines.say("+OK here")
        lines.answer("CAPA", "+OK", "STLS", ".")
        lines.answer("STLS", "+OK")
        lines.begin_tls()
        lines.answer("STAT", "+OK 3 4000")
        lines.answer("QUIT", "+OK")

    client = poplib.POP3(PEER, served(play), timeout=SECONDS)
    client.stls(context=certificate.of_client())
    assert type(client.sock) is ustcp.SSLSocket and client.stat() == (3, 4000)
    client.quit()


def test_ftp(patched, served):
    """Its data connections are of TLS too; it asks whether a socket is one of `ssl`, to end TLS before the connection."""
    stored, over = [], threading.Event()

    def take(lines: Lines) -> None:
        lines.begin_tls()
        stored.append(lines.heard.read())
        over.set()
        lines.end_tls()

    def play(lines: Lines) -> None:
        lines.say("220 here")
        lines.answer("AUTH TLS", "234 go on")
        lines.begin_tls()
        lines.answer("USER", "331 and?")
        lines.answer("PASS", "230 in")
        lines.answer("PBSZ", "200 yes")
        lines.answer("PROT P", "200 yes")
        lines.answer("TYPE", "200 yes")
        port = served(take)
        lines.answer("PASV", f"227 ({PEER.replace('.', ',')},{port >> 8},{port & 255})")
        lines.answer("STOR", "150 go on")
        assert over.wait(SECONDS)
        lines.say("226 taken")
        lines.answer("CCC", "200 in the clear")
        lines.end_tls()
        lines.answer("QUIT", "221 bye")

    with ftplib.FTP_TLS(context=certificate.of_client(), timeout=SECONDS) as client:
        client.connect(PEER, served(play))
        client.login("a", "b")
        assert type(client.sock) is ustcp.SSLSocket
        with pytest.raises(ValueError, match="Already using TLS"):
            client.auth()
        client.prot_p()
        assert client.storbinary("STOR letter", io.BytesIO(LETTER)) == "226 taken"
        client.ccc()
        assert client.sock.version() is None
        assert client.quit() == "221 bye"
    assert stored == [LETTER]
