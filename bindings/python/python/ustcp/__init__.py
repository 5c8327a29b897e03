"""TCP sockets over a TCP/IP stack inside this process, on a TUN device, or over an engine's (USTCP_ENGINE).

    import ustcp

    with ustcp.create_connection(("10.77.0.1", 80)) as sock:
        sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
        print(sock.recv(65536))

`ustcp.socket` has the methods of `socket.socket`, and its errors, and this package what of the module `socket` is for
TCP: `import ustcp as socket` will do. `ustcp.patch()` puts whoever else uses `socket` on it. The stack starts with the
first socket, from the environment (`USTCP_TUN`, `USTCP_ADDRESS`, ...), or with `ustcp.init`.
"""

import importlib
import sys
from socket import (
    AF_INET,
    AF_INET6,
    AF_UNSPEC,
    AI_ADDRCONFIG,
    AI_CANONNAME,
    AI_NUMERICHOST,
    AI_NUMERICSERV,
    AI_PASSIVE,
    AI_V4MAPPED,
    AddressFamily,
    CMSG_LEN,
    CMSG_SPACE,
    EAI_AGAIN,
    EAI_FAIL,
    EAI_FAMILY,
    EAI_NONAME,
    EAI_SERVICE,
    INADDR_ANY,
    INADDR_LOOPBACK,
    IPPROTO_IP,
    IPPROTO_IPV6,
    IPPROTO_TCP,
    IPV6_TCLASS,
    IPV6_UNICAST_HOPS,
    IPV6_V6ONLY,
    IP_TOS,
    IP_TTL,
    MSG_CTRUNC,
    MSG_DONTWAIT,
    MSG_EOR,
    MSG_FASTOPEN,
    MSG_MORE,
    MSG_NOSIGNAL,
    MSG_OOB,
    MSG_PEEK,
    MSG_TRUNC,
    MSG_WAITALL,
    NI_NUMERICHOST,
    NI_NUMERICSERV,
    SHUT_RD,
    SHUT_RDWR,
    SHUT_WR,
    SOCK_CLOEXEC,
    SOCK_NONBLOCK,
    SOCK_STREAM,
    SOL_IP,
    SOL_SOCKET,
    SOL_TCP,
    SOMAXCONN,
    SO_ACCEPTCONN,
    SO_DOMAIN,
    SO_ERROR,
    SO_KEEPALIVE,
    SO_LINGER,
    SO_OOBINLINE,
    SO_PROTOCOL,
    SO_RCVBUF,
    SO_RCVLOWAT,
    SO_RCVTIMEO,
    SO_REUSEADDR,
    SO_REUSEPORT,
    SO_SNDBUF,
    SO_SNDLOWAT,
    SO_SNDTIMEO,
    SO_TYPE,
    SocketKind,
    TCP_CONGESTION,
    TCP_CORK,
    TCP_DEFER_ACCEPT,
    TCP_FASTOPEN,
    TCP_INFO,
    TCP_KEEPCNT,
    TCP_KEEPIDLE,
    TCP_KEEPINTVL,
    TCP_LINGER2,
    TCP_MAXSEG,
    TCP_NODELAY,
    TCP_NOTSENT_LOWAT,
    TCP_QUICKACK,
    TCP_SYNCNT,
    TCP_USER_TIMEOUT,
    TCP_WINDOW_CLAMP,
    gaierror,
    getaddrinfo,
    getdefaulttimeout,
    getfqdn,
    gethostbyaddr,
    gethostbyname,
    gethostbyname_ex,
    gethostname,
    getnameinfo,
    getprotobyname,
    getservbyname,
    getservbyport,
    has_ipv6,
    herror,
    htonl,
    htons,
    inet_aton,
    inet_ntoa,
    inet_ntop,
    inet_pton,
    ntohl,
    ntohs,
    setdefaulttimeout,
    timeout,
)
from typing import TYPE_CHECKING, Any

if not getattr(sys, "_is_gil_enabled", lambda: True)():
    raise ImportError("ustcp does not support free-threaded Python yet: run it with PYTHON_GIL=1, or with a build that has the GIL")

from . import _native, _ustcp  # noqa: E402
from ._manual import Event, ManualStack, Packet, Segment  # noqa: E402
from ._socket import Address, close, create_connection, create_server, fromfd, has_dualstack_ipv6, socket  # noqa: E402
from ._stack import Stack, fini, init  # noqa: E402

if TYPE_CHECKING:
    from ._network import Host, Network
    from ._patch import patch, unpatch
    from ._schedule import NetworkClosed, Stuck, Task
    from ._timeline import Arrival, Entry, NetworkPacket, Timeline
    from ._tls import SSLSocket

# The class is that of the process's stack, and is decided here: where USTCP_ENGINE names an engine the standard library's
# own socket on a native descriptor, else one of the stack in this process.
if not TYPE_CHECKING and _ustcp.is_engine_wanted():
    socket = _native.socket

error = OSError
SocketType = socket

# What needs more of the standard library than a socket does is imported when it is used.
_LATER = {
    "Arrival": "_timeline",
    "Entry": "_timeline",
    "Host": "_network",
    "Network": "_network",
    "NetworkClosed": "_schedule",
    "NetworkPacket": "_timeline",
    "SSLSocket": "_tls",
    "Stuck": "_schedule",
    "Task": "_schedule",
    "Timeline": "_timeline",
    "patch": "_patch",
    "unpatch": "_patch",
}


if not TYPE_CHECKING:  # or a name that is nowhere would be no error of the type checker's

    def __getattr__(name: str) -> Any:
        if name not in _LATER:
            raise AttributeError(f"module 'ustcp' has no attribute {name!r}")
        found = getattr(importlib.import_module(f".{_LATER[name]}", __name__), name)
        globals()[name] = found
        return found


def __dir__() -> list[str]:
    return sorted(globals().keys() | _LATER.keys())


__all__ = [
    "AF_INET",
    "AF_INET6",
    "AF_UNSPEC",
    "AI_ADDRCONFIG",
    "AI_CANONNAME",
    "AI_NUMERICHOST",
    "AI_NUMERICSERV",
    "AI_PASSIVE",
    "AI_V4MAPPED",
    "Address",
    "AddressFamily",
    "Arrival",
    "CMSG_LEN",
    "CMSG_SPACE",
    "EAI_AGAIN",
    "EAI_FAIL",
    "EAI_FAMILY",
    "EAI_NONAME",
    "EAI_SERVICE",
    "Entry",
    "Event",
    "Host",
    "INADDR_ANY",
    "INADDR_LOOPBACK",
    "IPPROTO_IP",
    "IPPROTO_IPV6",
    "IPPROTO_TCP",
    "IPV6_TCLASS",
    "IPV6_UNICAST_HOPS",
    "IPV6_V6ONLY",
    "IP_TOS",
    "IP_TTL",
    "MSG_CTRUNC",
    "MSG_DONTWAIT",
    "MSG_EOR",
    "MSG_FASTOPEN",
    "MSG_MORE",
    "MSG_NOSIGNAL",
    "MSG_OOB",
    "MSG_PEEK",
    "MSG_TRUNC",
    "MSG_WAITALL",
    "ManualStack",
    "NI_NUMERICHOST",
    "NI_NUMERICSERV",
    "Network",
    "NetworkClosed",
    "NetworkPacket",
    "Packet",
    "SHUT_RD",
    "SHUT_RDWR",
    "SHUT_WR",
    "SOCK_CLOEXEC",
    "SOCK_NONBLOCK",
    "SOCK_STREAM",
    "SOL_IP",
    "SOL_SOCKET",
    "SOL_TCP",
    "SOMAXCONN",
    "SO_ACCEPTCONN",
    "SO_DOMAIN",
    "SO_ERROR",
    "SO_KEEPALIVE",
    "SO_LINGER",
    "SO_OOBINLINE",
    "SO_PROTOCOL",
    "SO_RCVBUF",
    "SO_RCVLOWAT",
    "SO_RCVTIMEO",
    "SO_REUSEADDR",
    "SO_REUSEPORT",
    "SO_SNDBUF",
    "SO_SNDLOWAT",
    "SO_SNDTIMEO",
    "SO_TYPE",
    "SSLSocket",
    "Segment",
    "SocketKind",
    "SocketType",
    "Stack",
    "Stuck",
    "TCP_CONGESTION",
    "TCP_CORK",
    "TCP_DEFER_ACCEPT",
    "TCP_FASTOPEN",
    "TCP_INFO",
    "TCP_KEEPCNT",
    "TCP_KEEPIDLE",
    "TCP_KEEPINTVL",
    "TCP_LINGER2",
    "TCP_MAXSEG",
    "TCP_NODELAY",
    "TCP_NOTSENT_LOWAT",
    "TCP_QUICKACK",
    "TCP_SYNCNT",
    "TCP_USER_TIMEOUT",
    "TCP_WINDOW_CLAMP",
    "Task",
    "Timeline",
    "close",
    "create_connection",
    "create_server",
    "error",
    "fini",
    "fromfd",
    "gaierror",
    "getaddrinfo",
    "getdefaulttimeout",
    "getfqdn",
    "gethostbyaddr",
    "gethostbyname",
    "gethostbyname_ex",
    "gethostname",
    "getnameinfo",
    "getprotobyname",
    "getservbyname",
    "getservbyport",
    "has_dualstack_ipv6",
    "has_ipv6",
    "herror",
    "htonl",
    "htons",
    "inet_aton",
    "inet_ntoa",
    "inet_ntop",
    "inet_pton",
    "init",
    "ntohl",
    "ntohs",
    "patch",
    "setdefaulttimeout",
    "socket",
    "timeout",
    "unpatch",
]
