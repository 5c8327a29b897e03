"""The calls of a script, made on sockets that are named by letters."""

from __future__ import annotations

import errno
import select
import socket
import struct
import termios
from typing import TYPE_CHECKING, Any

from .notation import Call, Wrong
from .wire import LISTENING, OURS_CALLING, Wire, spell, text

if TYPE_CHECKING:
    from .player import Side

SIOCATMARK, SIOCOUTQNSD = 0x8905, 0x894B
REQUESTS = {"SIOCINQ": termios.FIONREAD, "SIOCOUTQ": termios.TIOCOUTQ, "SIOCATMARK": SIOCATMARK, "SIOCOUTQNSD": SIOCOUTQNSD}
STATES = " ESTABLISHED SYN-SENT SYN-RECEIVED FIN-WAIT-1 FIN-WAIT-2 TIME-WAIT CLOSED CLOSE-WAIT LAST-ACK LISTEN CLOSING".split(" ")
HOW = {"rd": socket.SHUT_RD, "wr": socket.SHUT_WR, "rdwr": socket.SHUT_RDWR}
MSG = {"MSG_FASTOPEN": 0x20000000, "MSG_EOR": socket.MSG_EOR, "MSG_MORE": socket.MSG_MORE}
# Options that this Python has no name for.
NUMBERS = {"TCP_FASTOPEN_CONNECT": 30, "TCP_INQ": 36, "TCP_FASTOPEN_NO_COOKIE": 34, "IP_RECVERR": 11}
POLLED = ("IN", "PRI", "OUT", "RDHUP", "ERR", "HUP", "NVAL")
# Calls that need no socket to be there.
MAKING = ("family", "socket", "listen", "connect", "sendto")
# TCP_INFO: where a number stands, and how it is packed.
INFO = {"state": (0, "B"), "retransmits": (2, "B"), "probes": (3, "B"), "backoff": (4, "B"), "options": (5, "B"),
        "snd_mss": (16, "I"), "rcv_mss": (20, "I"), "unacked": (24, "I"), "sacked": (28, "I"), "lost": (32, "I"),
        "pmtu": (60, "I"), "snd_ssthresh": (76, "I"), "snd_cwnd": (80, "I"), "advmss": (84, "I"),
        "total_retrans": (100, "I")}  # fmt: skip


def flows_called(step: Call) -> list[str]:
    """The flows that this call opens from our side."""
    match step:
        case Call("connect", (_, *flow)) | Call("sendto", (_, _, _, *flow)):
            return [flow[0] if flow else "1"]
    return []


def number(name: str) -> int:
    """A constant by its name in the headers, several joined by `|`, or a number itself."""
    if name.lstrip("-").isdigit():
        return int(name)
    total = 0
    for part in name.split("|"):
        total |= MSG.get(part) or NUMBERS.get(part) or getattr(socket, part)
    return total


def level(option: str) -> int:
    for prefix, value in {"SO_": socket.SOL_SOCKET, "IP_": socket.IPPROTO_IP, "IPV6_": socket.IPPROTO_IPV6}.items():
        if option.startswith(prefix):
            return value
    return socket.IPPROTO_TCP


class NoSocket(Exception):
    """The call that should have made this socket has failed, or the script never made one."""


class Sockets:
    """The sockets of one script and how far each has read and written."""

    def __init__(self, side: Side, wire: Wire) -> None:
        self.side, self.wire = side, wire
        self.by_name: dict[str, Any] = {}
        self.written: dict[str, int] = {}
        self.read: dict[str, int] = {}

    def call(self, step: Call) -> object:
        method = getattr(self, f"do_{step.verb}", None)
        if method is None:
            raise Wrong(f"no call is named {step.verb!r}")
        if step.verb not in MAKING and step.arguments[0] not in self.by_name:
            raise NoSocket
        return method(*step.arguments)

    def close_all(self) -> None:
        for sock in self.by_name.values():
            sock.close()

    def keep(self, name: str, sock: Any) -> None:
        self.by_name[name], self.written[name], self.read[name] = sock, 1, 1

    def opened(self, name: str, port: int) -> Any:
        """The socket of that name, made and bound to the port if there is none."""
        if name not in self.by_name:
            self.do_socket(name)
            self.by_name[name].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.do_bind(name, port)
        return self.by_name[name]

    def do_family(self, which: str) -> str:
        return which

    def do_socket(self, name: str) -> int:
        self.keep(name, self.side.socket(self.wire.ipv6))
        return 0

    def do_bind(self, name: str, port: str | int, host: str = "") -> int:
        address = self.wire.address(int(port), True)
        self.by_name[name].bind((host or address[0], address[1]))
        return 0

    def do_listen(self, name: str, backlog: str = "8") -> int:
        self.opened(name, LISTENING).listen(int(backlog))
        return 0

    def do_connect(self, name: str, flow: str = "1") -> int:
        sock = self.opened(name, OURS_CALLING + int(flow))
        sock.connect(self.wire.address(self.wire.flow(flow).peer_port, False))
        return 0

    def do_accept(self, listener: str, name: str) -> str:
        sock, address = self.by_name[listener].accept()
        self.keep(name, sock)
        flows = [label for label, flow in self.wire.flows.items() if flow.peer_port == address[1]]
        return f"flow {' '.join(flows) or address}"

    def do_send(self, name: str, length: str, flags: str = "0", fill: str = "") -> int:
        data = text(self.written.get(name, 1), int(length), fill)
        sent = self.by_name[name].send(data, number(flags))
        self.written[name] += sent
        return sent

    def do_sendto(self, name: str, length: str, flags: str, flow: str = "1") -> int:
        sock = self.opened(name, OURS_CALLING + int(flow))
        to = self.wire.address(self.wire.flow(flow).peer_port, False)
        sent = sock.sendto(text(self.written[name], int(length)), number(flags), to)
        self.written[name] += sent
        return sent

    def do_recv(self, name: str, length: str, flags: str = "0") -> str:
        data = self.by_name[name].recv(int(length), number(flags))
        # With MSG_TRUNC TCP throws away what it counts, and leaves the buffer as it was.
        spelled = "" if number(flags) & socket.MSG_TRUNC else spell(data, self.read[name])
        if not number(flags) & (socket.MSG_PEEK | socket.MSG_OOB):
            self.read[name] += len(data)
        return f"{len(data)} {spelled}".strip()

    def do_skip(self, name: str, length: str) -> str:
        """The reader knows that so many bytes of the stream are not in it: urgent ones."""
        self.read[name] += int(length)
        return length

    def do_shutdown(self, name: str, how: str) -> int:
        self.by_name[name].shutdown(HOW[how])
        return 0

    def do_close(self, name: str) -> int:
        self.by_name.pop(name).close()
        return 0

    def do_poll(self, name: str) -> str:
        events = self.side.poll(self.by_name[name])
        return " ".join(name for name in POLLED if events & getattr(select, f"POLL{name}")) or "-"

    def do_set(self, name: str, option: str, *values: str) -> int:
        if option == "SO_LINGER":
            value: int | bytes = struct.pack("ii", *map(int, values))
        elif option == "TCP_CONGESTION":
            value = values[0].encode()
        else:
            value = number(values[0])
        self.by_name[name].setsockopt(level(option), number(option), value)
        return 0

    def do_get(self, name: str, option: str) -> str | int:
        sock = self.by_name[name]
        if option == "SO_LINGER":
            return " ".join(map(str, struct.unpack("ii", sock.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8))))
        if option == "TCP_CONGESTION":
            return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).rstrip(b"\0").decode()
        return sock.getsockopt(level(option), number(option))

    def do_error(self, name: str) -> str | int:
        value = self.by_name[name].getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        return errno.errorcode[value] if value else 0

    def do_info(self, name: str, *wanted: str) -> str:
        info = self.by_name[name].getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
        values = [struct.unpack_from(f"={INFO[word][1]}", info, INFO[word][0])[0] for word in wanted]
        return " ".join(STATES[v] if word == "state" else str(v) for word, v in zip(wanted, values, strict=True))

    def do_state(self, name: str) -> str:
        return self.do_info(name, "state")

    def do_ioctl(self, name: str, request: str) -> int:
        return self.side.ioctl(self.by_name[name], REQUESTS[request])

    def do_name(self, name: str) -> str:
        return told(self.by_name[name].getsockname())

    def do_peer(self, name: str) -> str:
        return told(self.by_name[name].getpeername())


def told(address: tuple) -> str:
    return f"{address[0]} {address[1]}"
