"""`ustcp.SSLSocket`: TLS over a socket of ours, by an `ssl.SSLObject` whose records we move ourselves."""

from __future__ import annotations

import errno
import os
import ssl
import sys
import threading
import time
from collections.abc import Callable
from socket import MSG_DONTWAIT
from socket import timeout as timed_out
from typing import IO, TYPE_CHECKING, Any, TypeVar, cast

from . import _native
from ._native_tls import NativeSSLSocket
from ._socket import Address, socket

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

T = TypeVar("T")
_HEADER = 5  # bytes before a record: type, version, length
_RECORD = 16 * 1024
_RECORDS = 16  # of sendall, encrypted before they are sent together
_GOES_ON = (errno.EINPROGRESS, errno.EAGAIN, errno.EALREADY)  # a connect that is not over
_EARLY = "Closed before TLS handshake with data in recv buffer."


class SSLSocket(socket):
    """A socket of ours with TLS, with the methods of `ssl.SSLSocket`.

    `SSLContext.wrap_socket` makes it where the context's `sslsocket_class` is this class, which `ustcp.patch()` sees to.
    One thread may read while another writes. `isinstance(sock, ssl.SSLSocket)` is true of it, although that class is one
    over descriptors and cannot be a base of this one.
    """

    __module__ = "ustcp"

    @property  # type: ignore[misc]
    def __class__(self) -> type[ssl.SSLSocket]:  # type: ignore[override]
        return ssl.SSLSocket

    def __new__(cls, *arguments: Any, **options: Any) -> SSLSocket:
        raise TypeError("ustcp.SSLSocket has no public constructor: it is made by SSLContext.wrap_socket()")

    @classmethod
    def _create(
        cls,
        sock: Any,
        server_side: bool = False,
        do_handshake_on_connect: bool = True,
        suppress_ragged_eofs: bool = True,
        server_hostname: str | bytes | None = None,
        context: ssl.SSLContext | None = None,
        session: ssl.SSLSession | None = None,
    ) -> Any:
        """What `SSLContext.wrap_socket` calls. A socket of the system's gets the system's `ssl.SSLSocket`, one of an engine's
        a class derived from that."""
        if not isinstance(sock, socket):
            made = NativeSSLSocket if isinstance(sock, _native.socket) else ssl.SSLSocket
            return cast(Any, made)._create(
                sock, server_side, do_handshake_on_connect, suppress_ragged_eofs, server_hostname, context, session
            )
        if context is None:
            raise ValueError("a TLS socket needs a context")
        if server_side and (server_hostname or session is not None):
            raise ValueError("server_hostname and session can only be specified in client mode")
        if context.check_hostname and not server_side and not server_hostname:
            raise ValueError("check_hostname requires server_hostname")
        if isinstance(sock, SSLSocket) and sock._tls is not None:
            raise ValueError("TLS inside of TLS needs an ssl.SSLObject: wrap_socket would speak past the one that is there")
        connected = _is_connected(sock)
        if connected and do_handshake_on_connect and sock.gettimeout() == 0.0:
            raise ValueError("do_handshake_on_connect should not be specified for non-blocking sockets")
        self = socket.__new__(cls)
        socket.__init__(self, _take=sock)
        sock._closed = True
        self._set_up(context, server_side, server_hostname, session, suppress_ragged_eofs, do_handshake_on_connect)
        if connected:
            try:
                self._wrap()
                self._begin()
            except (OSError, ValueError):
                self.close()
                raise
        elif self._has_early_words():
            self.close()
            raise _early_words()
        return self

    def _set_up(
        self,
        context: ssl.SSLContext,
        server_side: bool,
        server_hostname: str | bytes | None,
        session: ssl.SSLSession | None,
        suppress_ragged_eofs: bool,
        do_handshake_on_connect: bool,
    ) -> None:
        self._context = context
        self.server_side = server_side
        self.server_hostname = cast(Any, context)._encode_hostname(server_hostname)
        self._asked_session = session
        self.suppress_ragged_eofs = suppress_ragged_eofs
        self.do_handshake_on_connect = do_handshake_on_connect
        self._tls: ssl.SSLObject | None = None
        self._clear = False
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._turn = threading.Lock()  # at the TLS object and its buffers; nobody waits with it
        self._receiving, self._sending = threading.RLock(), threading.RLock()
        self._arrivals = 0
        self._header, self._missing = b"", 0
        self._unsent = memoryview(b"")
        self._owed = 0

    def _has_early_words(self) -> bool:
        """Whether a connection that is over has left bytes, which nobody vouched for (CVE-2023-40217)."""
        try:
            return bool(super().recv(1, MSG_DONTWAIT))
        except OSError as error:
            if error.errno in (errno.ENOTCONN, errno.EINVAL, errno.EAGAIN):
                return False
            self.close()
            raise

    def _wrap(self) -> None:
        """The TLS object. It is there before the connection is: nothing is ever sent past it."""
        if self._tls is None:
            self._tls = self._context.wrap_bio(
                self._incoming,
                self._outgoing,
                server_side=self.server_side,
                server_hostname=self.server_hostname,
                session=self._asked_session,
            )
            self._sslobj.owner = self  # whom the callbacks of the context are handed

    def _begin(self) -> None:
        if self.do_handshake_on_connect:
            self.do_handshake()

    # Records.

    def _perform(self, call: Callable[[], T], reads: bool = False) -> T:
        """Does something with the TLS object, and moves records for it until it is done. `SSLWantReadError` and
        `SSLWantWriteError` where that would wait; a timeout is one of the whole, give or take one wait. What `reads` waits
        for the peer's bytes alone: a peer that reads nothing now would never send them to one that waited to send."""
        timeout = self.gettimeout()
        end = None if not timeout else time.monotonic() + timeout
        while True:
            with self._turn:
                seen = self._arrivals
                result, failure = _outcome(call)
            over = failure is not None and not isinstance(failure, ssl.SSLWantReadError)
            if reads or over:
                self._flush_at_best()  # of what is over, the alert that says why
            else:
                self._flush()
            if over:
                raise cast(ssl.SSLError, failure)
            if failure is None:
                return cast(T, result)
            if end is not None and time.monotonic() > end:
                raise timed_out("The operation timed out")
            self._fetch(seen)

    def _flush(self) -> None:
        """Sends what the TLS object has made. What does not go stays for the next call."""
        try:
            while self._has_unsent():
                with self._sending:
                    self._send_unsent(0)
        except BlockingIOError:
            raise ssl.SSLWantWriteError(ssl.SSL_ERROR_WANT_WRITE, "The operation did not complete (write)") from None

    def _flush_at_best(self) -> None:
        """Sends what goes without waiting. A thread that is sending looks once more when it is through."""
        try:
            while self._has_unsent() and self._sending.acquire(False):
                try:
                    self._send_unsent(MSG_DONTWAIT)
                finally:
                    self._sending.release()
        except OSError:
            pass

    def _has_unsent(self) -> bool:
        return bool(self._unsent) or self._outgoing.pending > 0

    def _send_unsent(self, flags: int) -> None:
        if not self._unsent:
            with self._turn:
                self._unsent = memoryview(self._outgoing.read())
        while self._unsent:
            self._unsent = self._unsent[super().send(self._unsent, flags) :]

    def _fetch(self, seen: int) -> None:
        """Reads one more piece of a record, unless another thread has since `seen`. Never beyond the record, so that
        what follows the end of TLS is there for whoever reads on without it."""
        with self._receiving:
            if self._arrivals != seen:
                return
            try:
                piece = super().recv(self._missing or _HEADER - len(self._header))
            except BlockingIOError:
                raise ssl.SSLWantReadError(ssl.SSL_ERROR_WANT_READ, "The operation did not complete (read)") from None
            with self._turn:
                self._arrivals += 1
                if not piece:
                    self._incoming.write_eof()
                    return
                self._incoming.write(piece)
                self._count(piece)

    def _count(self, piece: bytes) -> None:
        if self._missing:
            self._missing -= len(piece)
            return
        self._header += piece
        if len(self._header) == _HEADER:
            self._missing, self._header = int.from_bytes(self._header[3:], "big"), b""

    @property
    def _object(self) -> ssl.SSLObject:
        """The TLS object. `OSError` ENOTCONN where TLS has not begun, `ValueError` where it is over."""
        if self._is_clear():
            raise ValueError("No SSL wrapper around " + str(self))
        return cast(ssl.SSLObject, self._tls)

    @property
    def _sslobj(self) -> Any:
        """What `ssl.SSLSocket` has under this name, and others ask there for what is not public; `None` without TLS."""
        return None if self._tls is None else cast(Any, self._tls)._sslobj

    # The methods of ssl.SSLSocket.

    @property
    def context(self) -> ssl.SSLContext:
        """The context; another may be set while the handshake goes on, as `sni_callback` does."""
        return self._context

    @context.setter
    def context(self, context: ssl.SSLContext) -> None:
        self._context = context
        if self._tls is not None:
            self._tls.context = context

    @property
    def session(self) -> ssl.SSLSession | None:
        """The session, once there is one; one to be resumed may be set before the handshake."""
        return self._tls.session if self._tls is not None else None

    @session.setter
    def session(self, session: ssl.SSLSession) -> None:
        self._asked_session = session
        if self._tls is not None:
            self._tls.session = session

    @property
    def session_reused(self) -> bool | None:
        """Whether the session was resumed; `None` without TLS."""
        return self._tls.session_reused if self._tls is not None else None

    def do_handshake(self, block: bool = False) -> None:
        """The handshake of TLS. `block`: waits even on a non-blocking socket."""
        timeout = self.gettimeout()
        if timeout != 0.0 or not block:
            return self._perform(self._object.do_handshake)
        self.settimeout(None)
        try:
            self._perform(self._object.do_handshake)
        finally:
            self.settimeout(timeout)

    def read(self, len: int = 1024, buffer: WriteableBuffer | None = None) -> Any:
        """At most `len` bytes, or so many into `buffer` and then their number; nothing at the end."""
        tls = self._object
        nothing: Any = b"" if buffer is None else 0

        def call() -> Any:
            return tls.read(len) if buffer is None else tls.read(len, cast(Any, buffer))

        try:
            return self._perform(call, reads=True)
        except ssl.SSLZeroReturnError:
            return nothing
        except ssl.SSLError as error:
            if error.args[0] == ssl.SSL_ERROR_EOF and self.suppress_ragged_eofs:
                return nothing
            raise

    def write(self, data: ReadableBuffer) -> int:
        """Sends a record of `data`: how much of it. After `SSLWantWriteError` or a timeout it is called again with the same;
        `SSLError` where it is less than was taken then."""
        tls = self._object
        if self._owed > memoryview(data).nbytes:
            raise ssl.SSLError(ssl.SSL_ERROR_SSL, "[SSL: BAD_WRITE_RETRY] bad write retry")
        if not self._owed:
            self._owed = self._perform_writing(lambda: tls.write(data))
        self._flush()
        sent, self._owed = self._owed, 0
        return sent

    def _perform_writing(self, call: Callable[[], int]) -> int:
        """As `_perform`; once the bytes are the TLS object's they count as taken, sent or not."""
        taken = 0

        def noted() -> int:
            nonlocal taken
            taken = call()
            return taken

        try:
            return self._perform(noted)
        except OSError:
            self._owed = taken
            raise

    def _is_clear(self) -> bool:
        """Whether the calls are those of TCP: after the end of TLS. `OSError` ENOTCONN where TLS has not begun."""
        if self._tls is None and not self._clear:
            raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))
        return self._tls is None

    def send(self, data: ReadableBuffer, flags: int = 0, /) -> int:
        """As write. After TLS, in the clear. `ValueError`: flags with TLS."""
        if self._is_clear():
            return super().send(data, flags)
        _no_flags(flags, "send")
        return self.write(data)

    def sendall(self, data: ReadableBuffer, flags: int = 0, /) -> None:
        """Sends all of it, in records of 16 KiB; the timeout is one of each 256 KiB. After TLS, in the clear. `ValueError`: flags
        with TLS."""
        if self._is_clear():
            return super().sendall(data, flags)
        _no_flags(flags, "sendall")
        tls, view = self._object, memoryview(data).cast("B")
        if self._owed:
            view = view[self.write(view) :]
        for start in range(0, len(view), _RECORD * _RECORDS):
            self._perform(_Batch(tls, view[start : start + _RECORD * _RECORDS]).write)
        return None

    def recv(self, bufsize: int = 1024, flags: int = 0, /) -> bytes:
        """As read. After TLS, in the clear. `ValueError`: flags with TLS."""
        if self._is_clear():
            return super().recv(bufsize, flags)
        _no_flags(flags, "recv")
        return cast(bytes, self.read(bufsize))

    def recv_into(self, buffer: WriteableBuffer, nbytes: int = 0, flags: int = 0) -> int:
        """As read into the buffer, at most `nbytes`, 0 for as many as there is room for. After TLS, in the clear."""
        if self._is_clear():
            return super().recv_into(buffer, nbytes, flags)
        _no_flags(flags, "recv_into")
        return cast(int, self.read(nbytes or memoryview(buffer).nbytes or 1024, buffer))

    def pending(self) -> int:
        """Bytes that are decrypted and not read."""
        return self._tls.pending() if self._tls is not None else 0

    def unwrap(self) -> SSLSocket:
        """Ends TLS and leaves the connection: the same socket, for what follows in the clear."""
        self._perform(self._object.unwrap)
        self._tls, self._clear = None, True
        return self

    def shutdown(self, how: int) -> None:
        """As of any socket, and the end of TLS without a word to the peer: what follows is in the clear."""
        self._tls, self._clear = None, True
        super().shutdown(how)

    def _real_close(self) -> None:
        self._tls, self._clear = None, True
        super()._real_close()

    def connect(self, address: Address) -> None:
        """Connects, and begins TLS. A connect that would wait or runs out of time goes on: TLS is then begun by
        `do_handshake`, or by the first bytes."""
        self._check_can_connect()
        self._wrap()
        try:
            super().connect(address)
        except (BlockingIOError, timed_out):
            raise
        except OSError as error:
            self._failed(error.errno)
            raise
        self._begin()

    def connect_ex(self, address: Address) -> int:
        """As connect; an error is its number."""
        self._check_can_connect()
        self._wrap()
        number = super().connect_ex(address)
        if number == 0:
            self._begin()
        else:
            self._failed(number)
        return number

    def _failed(self, number: int | None) -> None:
        if number not in _GOES_ON:
            self._tls = None

    def _check_can_connect(self) -> None:
        if self.server_side:
            raise ValueError("can't connect in server-side mode")
        if self._tls is not None and _is_connected(self):
            raise ValueError("attempt to connect already-connected SSLSocket!")

    def accept(self) -> tuple[socket, Address]:
        """A connection with TLS begun, and the peer's address."""
        accepted, address = super().accept()
        made = self._create(
            accepted,
            server_side=True,
            do_handshake_on_connect=self.do_handshake_on_connect,
            suppress_ragged_eofs=self.suppress_ragged_eofs,
            context=self._context,
        )
        return made, address

    def getpeercert(self, binary_form: bool = False) -> Any:
        """The peer's certificate: a dict, empty where it was not verified, or DER; `None` where it has none. `ValueError` before
        the handshake is over."""
        return self._object.getpeercert(binary_form)

    if sys.version_info >= (3, 13):

        def get_verified_chain(self) -> list[bytes]:
            """The peer's certificates as they were verified, DER."""
            return self._object.get_verified_chain()

        def get_unverified_chain(self) -> list[bytes]:
            """The certificates that the peer sent, DER."""
            return self._object.get_unverified_chain()

    def get_channel_binding(self, cb_type: str = "tls-unique") -> bytes | None:
        """Of RFC 5929; `None` before the handshake is over. `ValueError`: another kind than "tls-unique"."""
        return self._tls.get_channel_binding(cb_type) if self._tls is not None else None

    def selected_alpn_protocol(self) -> str | None:
        """The protocol that was agreed on (RFC 7301); `None` where there is none."""
        return self._tls.selected_alpn_protocol() if self._tls is not None else None

    def selected_npn_protocol(self) -> None:
        """`None`: OpenSSL has it no longer."""
        return None

    def cipher(self) -> tuple[str, str, int] | None:
        """Its name, the version that defines it and the bits of its secret; `None` before there is one."""
        return self._tls.cipher() if self._tls is not None else None

    def shared_ciphers(self) -> list[tuple[str, str, int]] | None:
        """Those that a client offered and we have too; `None` of a client."""
        return self._tls.shared_ciphers() if self._tls is not None else None

    def compression(self) -> str | None:
        """`None` with every OpenSSL of today."""
        return self._tls.compression() if self._tls is not None else None

    def version(self) -> str | None:
        """"TLSv1.3" or its like; `None` before the handshake, and after TLS."""
        return self._tls.version() if self._tls is not None else None

    def verify_client_post_handshake(self) -> None:
        """Asks a client of TLS 1.3 for its certificate, which comes with what is read next."""
        self._object.verify_client_post_handshake()

    def sendfile(self, file: IO[bytes], offset: int = 0, count: int | None = None) -> int:
        """As of any socket of ours: by send."""
        return super().sendfile(file, offset, count)

    def dup(self) -> socket:
        """`NotImplementedError`: there is one end of TLS."""
        raise NotImplementedError("Can't dup() ustcp.SSLSocket instances")

    def recvfrom(self, bufsize: int = 1024, flags: int = 0, /) -> tuple[bytes, None]:
        """As of any socket, in the clear; `ValueError` with TLS."""
        self._refuse("recvfrom")
        return super().recvfrom(bufsize, flags)

    def recvfrom_into(self, buffer: WriteableBuffer, nbytes: int = 0, flags: int = 0) -> tuple[int, None]:
        """As of any socket, in the clear; `ValueError` with TLS."""
        self._refuse("recvfrom_into")
        return super().recvfrom_into(buffer, nbytes, flags)

    def sendto(self, data: ReadableBuffer, *flags_and_address: Any) -> int:
        """As of any socket, in the clear; `ValueError` with TLS."""
        self._refuse("sendto")
        return super().sendto(data, *flags_and_address)

    def _refuse(self, call: str) -> None:
        if not self._is_clear():
            raise ValueError(f"{call} not allowed on instances of ustcp.SSLSocket")

    def recvmsg(self, *arguments: Any, **options: Any) -> Any:
        """`NotImplementedError`: it would hand out the records."""
        raise NotImplementedError("recvmsg not allowed on instances of ustcp.SSLSocket")

    def recvmsg_into(self, *arguments: Any, **options: Any) -> Any:
        """`NotImplementedError`: it would hand out the records."""
        raise NotImplementedError("recvmsg_into not allowed on instances of ustcp.SSLSocket")

    def sendmsg(self, *arguments: Any, **options: Any) -> Any:
        """`NotImplementedError`: it would send in the clear."""
        raise NotImplementedError("sendmsg not allowed on instances of ustcp.SSLSocket")


class _Batch:
    """Several records at once. A call that has to be repeated goes on where it was."""

    def __init__(self, tls: ssl.SSLObject, data: memoryview) -> None:
        self._tls, self._rest = tls, data

    def write(self) -> None:
        while self._rest:
            self._rest = self._rest[self._tls.write(self._rest[:_RECORD]) :]


def _outcome(call: Callable[[], T]) -> tuple[T | None, ssl.SSLError | None]:
    try:
        return call(), None
    except ssl.SSLError as error:
        return None, error


def _early_words() -> ssl.SSLError:
    """As ssl's own socket tells of them."""
    error = ssl.SSLError(errno.ENOTCONN, _EARLY)
    error.reason, cast(Any, error).library = _EARLY, None
    return error


def _is_connected(sock: socket) -> bool:
    try:
        sock.getpeername()
    except OSError as error:
        if error.errno != errno.ENOTCONN:
            raise
        return False
    return True


def _no_flags(flags: int, call: str) -> None:
    if flags:
        raise ValueError(f"non-zero flags not allowed in calls to {call}() on ustcp.SSLSocket")
