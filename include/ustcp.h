/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * libustcp: TCP as a library, over a TUN device.
 *
 * Each function is its namesake of the system with ustcp_ before the name: the same types, constants and semantics,
 * -1 and errno. What holds for all of them:
 *
 * Descriptors. A socket has one descriptor of the kernel, which shows its readiness: it is valid natively for poll,
 * select, epoll (level and edge) and fstat. Everything else goes through ustcp_*. A native read, write, dup or close
 * does not reach the connection, which goes on: a write is refused (ENOTCONN, EPIPE or EAGAIN); a read gets no data
 * (EAGAIN, or 0, and then poll shows what is there no more until more comes); where poll shows POLLERR, either is
 * ECONNRESET once, and takes it away. A dup shows readiness and is EBADF in ustcp_*. ustcp_* on a descriptor that is not
 * this library's is EBADF, except in ustcp_poll, which takes both.
 *
 * Threads. Every function may be called from any thread at any time, also on the same socket; a close wakes the calls
 * that wait on it. No function is async-signal-safe. Those that are cancellation points in POSIX (pthread_cancel) are
 * so at their entry only: a thread that is cancelled inside a call finishes that call.
 *
 * Signals. A call that waits goes on after handlers that all were installed with SA_RESTART and no timeout is set; else
 * it is EINTR. ustcp_poll is EINTR always, as poll(2) is.
 *
 * fork. The stack stays with the parent: in the child every call on an inherited socket is EBADF. exec closes them.
 *
 * An engine. Where USTCP_ENGINE is set in the environment at the first call, the stack is the process of that name
 * (`ustcp up`) and this library its client. A descriptor is then the kernel's own and whole: read, write, sendfile, dup,
 * fcntl, close, fork, exec and passing it to another process are native, and each holder may use ustcp_* on it. It is
 * close-on-exec when asked, and a close leaves calls that wait on it alone. docs/c-api.md has what else is different.
 *
 * Memory. Pointers are the caller's before, during and after a call, unless a comment says otherwise. Those to control
 * structures (addresses, lengths, options, vectors) are checked: EFAULT. Those to data are not, except for addresses
 * that can never be mapped. Under "Safety" a comment says what the caller promises.
 *
 * The manual port. ustcp_stack_*: a stack as a value, without device, thread, clock or descriptors, driven by hand. Its
 * functions return what they count or an error's number, negative, and never touch errno. Times are nanoseconds since a
 * moment of the caller's choice. One thread at a time may use a stack, whichever it is; different stacks are strangers to
 * each other. fork copies them. docs/manual.md tells how to drive one.
 *
 * Failure of the stack itself, or loss of its device, is ENETDOWN from every call; the program lives on.
 *
 * RFC 9293 is TCP; its section is named where a function is one of its user calls.
 *
 * Generated from crates/ustcp-capi by `make header`; changes belong there.
 */
#ifndef USTCP_H
#define USTCP_H


#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

#define USTCP_VERSION_MAJOR 0
#define USTCP_VERSION_MINOR 1
#define USTCP_VERSION_PATCH 0
#define USTCP_VERSION "0.1.0"

/* The first value of a struct ustcp_config: all members as the environment and the defaults say. */
#define USTCP_CONFIG_INIT \
    { sizeof(struct ustcp_config), NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, 0, 0, NULL, NULL }

/* The first value of a struct ustcp_packet. */
#define USTCP_PACKET_INIT \
    { sizeof(struct ustcp_packet), 0, 0, 0, 0 }

/**
 * For `exit_wait_ms`: until every connection is CLOSED, TIME-WAIT included.
 */
#define USTCP_EXIT_WAIT_CLOSED -1

/**
 * For `exit_wait_ms`: not at all.
 */
#define USTCP_EXIT_WAIT_NONE -2

/**
 * For `flags` of `ustcp_stack_input`: someone vouches for the TCP checksum, so it is not verified, and may be that of
 * the pseudo-header alone (`VIRTIO_NET_HDR_F_NEEDS_CSUM` and `_DATA_VALID` of a TUN device; a packet of
 * `ustcp_stack_output` with `checksum_start`).
 */
#define USTCP_INPUT_CHECKSUM_GOOD 1

/**
 * For `kind` of `struct ustcp_event`: the state changed from `before` to `after`; `why` is the cause.
 */
#define USTCP_EVENT_TRANSITION 1

/**
 * A segment arrived and was processed, in state `before`, which is `after` since; its transitions came just before.
 */
#define USTCP_EVENT_RECEIVED 2

/**
 * A segment left in state `after`, which is `before` too.
 */
#define USTCP_EVENT_SENT 3

/**
 * The timer `why` went off.
 */
#define USTCP_EVENT_EXPIRED 4

/**
 * A packet was dropped for the reason `why`.
 */
#define USTCP_EVENT_DROPPED 5

/**
 * A stack of the manual port. What is in it is the library's.
 */
struct ustcp_stack;

/**
 * What the stack is told; for `ustcp_init`. Begin with `USTCP_CONFIG_INIT`. A member that is 0 or null is as its
 * environment variable says, and without that has the default named here. Strings are copied.
 *
 * Later versions add members at the end and change none.
 */
struct ustcp_config {
    /**
     * `sizeof(struct ustcp_config)`: tells the library which members its caller knows.
     */
    size_t size;
    /**
     * Name of the TUN device (`USTCP_TUN`), 1 to 15 bytes: an existing one, or one to make. `ustcp0`.
     */
    const char *tun;
    /**
     * Addresses of the stack (`USTCP_ADDRESS`), IPv4 and IPv6, as `address/prefix`, separated by commas.
     * `10.77.0.2/24`.
     */
    const char *address;
    /**
     * Address of the kernel's end (`USTCP_PEER`), set and brought up when we make the device; with a comma one of each
     * family. `10.77.0.1`; where `address` is set, the lowest other host of its networks.
     */
    const char *peer;
    /**
     * Super-segments and checksums left to the device (`USTCP_OFFLOAD`): `auto`, `on` (or fail) or `off`. `auto`.
     */
    const char *offload;
    /**
     * Faults around the device (`USTCP_WEATHER`), as `loss=3%,reorder=1%,seed=7`. None.
     */
    const char *weather;
    /**
     * File for events, one JSON object a line (`USTCP_LOG`); `-`: readable text on standard error. None.
     */
    const char *log;
    /**
     * pcapng file of all packets (`USTCP_PCAP`), as `path` or `path:snaplen`. None.
     */
    const char *pcap;
    /**
     * A TUN descriptor opened by someone else, instead of `tun`; the library's when `ustcp_init` has succeeded, and
     * still the caller's when it has failed. Descriptor 0 cannot be given.
     */
    int tun_fd;
    /**
     * Largest IP packet in bytes (`USTCP_MTU`), 128 (with an IPv6 address 1280) to 65535. The device's own; 1500 for one
     * that we make.
     */
    uint32_t mtu;
    /**
     * How long TIME-WAIT lasts (`USTCP_TIME_WAIT`, in seconds there), in milliseconds. 60000.
     */
    uint32_t time_wait_ms;
    /**
     * How long the end of the stack waits at most for data and FINs to be acknowledged (`USTCP_EXIT_WAIT`, in seconds
     * there), in milliseconds; or `USTCP_EXIT_WAIT_NONE`, or `USTCP_EXIT_WAIT_CLOSED`: until every connection is
     * CLOSED, TIME-WAIT included. 2000.
     */
    int32_t exit_wait_ms;
    /**
     * Congestion control that sockets begin with (`USTCP_CONGESTION`): `cubic`, `reno` or `bbr`. `cubic`.
     */
    const char *congestion;
    /**
     * Knobs of the stack by the names of Linux's sysctls (`USTCP_SYSCTL`), as `tcp_sack=0,tcp_rmem=4096 131072 6291456`.
     * None.
     */
    const char *sysctl;
};

/**
 * What belongs to a packet that is to be sent; for `ustcp_stack_output`. Begin with `USTCP_PACKET_INIT`. Later versions
 * add members at the end and change none.
 */
struct ustcp_packet {
    /**
     * In: `sizeof(struct ustcp_packet)`: members beyond it are not written.
     */
    size_t size;
    /**
     * The packet's length in bytes.
     */
    size_t length;
    /**
     * The time of the call that made it, in nanoseconds.
     */
    uint64_t time;
    /**
     * 0: it is one packet. Else, only with the knob `tso`: bytes of TCP text in each of the packets that it is to be
     * split into, `gso_size`.
     */
    uint32_t segment_size;
    /**
     * 0: its checksums are complete. Else, only with the knob `tso`: where the TCP header begins, in bytes, whose
     * checksum (16 bytes further on) has the pseudo-header's sum in it and is to be completed.
     */
    uint32_t checksum_start;
};

/**
 * An event; for `ustcp_stack_event`. Set `size` before the call. Later versions add members at the end, and kinds, and
 * change none. A member that a kind has no use for is 0.
 */
struct ustcp_event {
    /**
     * In: `sizeof(struct ustcp_event)`: members beyond it are not written.
     */
    size_t size;
    /**
     * When, in nanoseconds.
     */
    uint64_t time;
    /**
     * `USTCP_EVENT_TRANSITION` and so on.
     */
    int kind;
    /**
     * The states before and after, by Linux's numbers (`TCP_ESTABLISHED` of <netinet/tcp.h>); 0: none.
     */
    int before;
    /**
     * See `before`.
     */
    int after;
    /**
     * Of a segment: whether it had been sent before.
     */
    int retransmission;
    /**
     * Of a segment: sequence number, as on the wire.
     */
    uint32_t seq;
    /**
     * Acknowledgement number, as on the wire.
     */
    uint32_t ack;
    /**
     * Bytes of text.
     */
    uint32_t length;
    /**
     * The window in bytes, scaled.
     */
    uint32_t window;
    /**
     * Control bits as on the wire: FIN 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32, ECE 64, CWR 128.
     */
    uint32_t flags;
    /**
     * Bytes of text of each packet that a super-segment is split into; 0: it is one packet.
     */
    uint32_t segment_size;
    /**
     * Cause, timer or reason, by its name in the event log: `PeerFin`, `Retransmission`, `OutOfWindow`.
     */
    char why[32];
    /**
     * The connection's local end; family `AF_UNSPEC`: no connection.
     */
    struct sockaddr_storage local;
    /**
     * Its peer.
     */
    struct sockaddr_storage remote;
};

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * Starts the stack of this process, on its TUN device. Optional: the first `ustcp_socket` does what
 * `ustcp_init(NULL)` does. At a failure one line on standard error says what to do about it.
 *
 * - `config`: what differs from the environment and the defaults; null: nothing does. Not used after the call.
 *
 * At exit(3), and in `ustcp_fini`, connections get their FIN and at most `exit_wait_ms` for its acknowledgement. A child
 * after fork has no stack: every call on an inherited socket is `EBADF` there, and it may start a stack of its own.
 *
 * With `USTCP_ENGINE` set it makes sure of that engine, which has its configuration: any member that is set is an error.
 *
 * Returns 0, or -1 and sets `errno`:
 * - `EALREADY`: it runs already.
 * - `EPERM`: no permission to make or open the device. `EBUSY`: another program, or stack, has it.
 * - `EADDRINUSE`: another device has the network of `address`, so that one made here would hear nothing.
 * - `ENODEV`: there are no TUN devices here. `EBADF`, `EBADFD`, `ENOTTY`: `tun_fd` is not open, or no TUN device.
 * - `EINVAL`: a member makes no sense (a variable that does is told of and ignored), or the size of `config` does not.
 *   `E2BIG`: it has members that this library does not know, and they are set.
 * - `EOPNOTSUPP`: `offload` is `on` and the device does not grant it; or there is a configuration and an engine.
 * - with `USTCP_ENGINE`: `ENETDOWN`: no engine runs there. `EACCES`: its directory is another user's or open to others, or
 *   the token is wrong. `EPROTO`: it is of another version. `EINVAL`, `ENAMETOOLONG`, `ENOTDIR`: its name is none.
 * - `EFAULT`: `config`, or a string of it, is not readable.
 * - `EMFILE`, `ENFILE`, `ENOMEM`, and what opening the log and capture files sets.
 *
 * Safety:
 * `config` and its strings stay readable during the call.
 */
int ustcp_init(const struct ustcp_config *config);

/**
 * Ends the stack of this process: listening ends, connections get their FIN, and the call returns when the peers have
 * acknowledged everything or the configured time has passed; connections in TIME-WAIT are dropped. Sockets that are
 * still open fail with `ENETDOWN` from then on, and are still to be closed. Another `ustcp_init` may follow.
 *
 * Also happens at exit(3). Does nothing when there is no stack. Calls of other threads that wait return with `ENETDOWN`.
 * At an engine nothing ends: its connections outlive the program.
 *
 * Returns 0.
 */
int ustcp_fini(void);

/**
 * The version of the library that runs, as `"0.1.0"`; `USTCP_VERSION` is that of the header. The string is the
 * library's and stays as it is. Never fails.
 */
const char *ustcp_version(void);

/**
 * Makes a TCP socket; socket(2). The first one starts the stack as `ustcp_init(NULL)` does.
 *
 * - `domain`: `AF_INET` or `AF_INET6`. A socket of IPv6 speaks of IPv4 as ::ffff:a.b.c.d, unless `IPV6_V6ONLY` is set.
 * - `type`: `SOCK_STREAM`, with `SOCK_NONBLOCK` or not. `SOCK_CLOEXEC` is always on: what the descriptor stands for
 *   does not outlive exec.
 * - `protocol`: 0 or `IPPROTO_TCP`.
 *
 * The descriptor is valid natively for poll, select, epoll and fstat, and for nothing else: read, write, close, dup
 * and the like go through `ustcp_*`. It is the caller's until `ustcp_close`. At an engine (`USTCP_ENGINE`) it is a whole
 * one, and close-on-exec with `SOCK_CLOEXEC` only.
 *
 * Returns the descriptor, or -1 and sets `errno`:
 * - `EAFNOSUPPORT`: another domain.
 * - `ESOCKTNOSUPPORT`, `EPROTONOSUPPORT`: another type or protocol.
 * - `EINVAL`: no such type, flag or protocol at all.
 * - `EMFILE`, `ENFILE`, `ENOBUFS`, `ENOMEM`: no descriptor or memory left.
 * - what `ustcp_init` sets, if the stack has yet to start; `ENETDOWN` if it has ended or its device has gone, or if the
 *   engine is not there.
 */
int ustcp_socket(int domain,
                 int type,
                 int protocol);

/**
 * Gives the socket a local address; bind(2).
 *
 * - `addr`: a `struct sockaddr_in` or `struct sockaddr_in6` as the socket's domain says, of any alignment: an address
 *   of the stack, 127.0.0.0/8 or ::1 (inside the stack only), `INADDR_ANY` or `in6addr_any`, which is IPv4's too
 *   without `IPV6_V6ONLY`; port 0 has a free one chosen (RFC 6056). `AF_UNSPEC` with `INADDR_ANY` counts as `AF_INET`.
 *   `sin6_flowinfo` and `sin6_scope_id` are not looked at: the stack has one device.
 * - `addrlen`: bytes at `addr`: 16 (24 for IPv6) to 128.
 *
 * Returns 0, or -1 and sets `errno`:
 * - `EADDRINUSE`: another socket holds address and port, or (without `SO_REUSEADDR`) a connection in TIME-WAIT does;
 *   or no port is free.
 * - `EADDRNOTAVAIL`: not an address of this stack.
 * - `EAFNOSUPPORT`: not an address of the socket's domain. `EINVAL`: wrong length, bound already, or ::ffff:a.b.c.d
 *   with `IPV6_V6ONLY`.
 * - `EBADF`: not a descriptor of this library. `EFAULT`: `addr` is not readable. `ENETDOWN`: the stack has ended.
 *
 * Safety:
 * `addr` stays readable for `addrlen` bytes during the call.
 */
int ustcp_bind(int fd, const struct sockaddr *addr, socklen_t addrlen);

/**
 * Takes connections from now on; listen(2), RFC 9293 §3.9.1.1 (passive OPEN). An unbound socket gets a free port.
 *
 * - `backlog`: most established connections that wait for accept; negative counts as the largest, as in Linux. May be
 *   changed by another call.
 *
 * Returns 0, or -1 and sets `errno`:
 * - `EADDRINUSE`: another socket listens there, or no port is free.
 * - `EINVAL`: connected, or connecting.
 * - `EBADF`: not a descriptor of this library. `ENETDOWN`: the stack has ended.
 */
int ustcp_listen(int fd, int backlog);

/**
 * Takes the next established connection of a listening socket; accept(2). The same as `ustcp_accept4` with flags 0.
 *
 * Safety:
 * As for `ustcp_accept4`.
 */
int ustcp_accept(int fd, struct sockaddr *addr, socklen_t *addrlen);

/**
 * Takes the next established connection of a listening socket; accept4(2). Waits for one unless the listening socket
 * has `O_NONBLOCK`, at most as long as its `SO_RCVTIMEO`.
 *
 * - `addr`: room for the peer's address, or null when nobody wants it.
 * - `addrlen`: in: bytes at `addr`; out: the address's full length, 16 or 28. Not looked at when `addr` is null.
 * - `flags`: `SOCK_NONBLOCK` for the new socket; `SOCK_CLOEXEC` is always on.
 *
 * The new socket has the listening one's options. Wrong arguments take no connection from the queue.
 *
 * Returns the new descriptor, the caller's until `ustcp_close`, or -1 and sets `errno`:
 * - `EAGAIN`: nobody waits and the socket has `O_NONBLOCK`, or the timeout has passed.
 * - `EINTR`: a signal's handler ran that was installed without `SA_RESTART`, or a timeout was set.
 * - `EINVAL`: not listening, negative `*addrlen`, or an unknown flag.
 * - `EMFILE`, `ENFILE`, `ENOBUFS`, `ENOMEM`: no descriptor or memory left; the connection stays in the queue.
 * - `EBADF`: not a descriptor of this library, or closed by another thread in the meantime.
 * - `EFAULT`: `addr` or `addrlen` is not writable. `ENETDOWN`: the stack has ended.
 *
 * Safety:
 * `addr` stays writable for `*addrlen` bytes, and `addrlen` readable and writable, during the call.
 */
int ustcp_accept4(int fd, struct sockaddr *addr, socklen_t *addrlen, int flags);

/**
 * Opens a connection; connect(2), RFC 9293 §3.9.1.1 (active OPEN). Waits until it is established or has failed, at
 * most as long as `SO_SNDTIMEO`, unless the socket has `O_NONBLOCK`; then the socket becomes writable (natively too)
 * when it is decided, and `SO_ERROR` tells how. An unbound socket gets an address and a free port (RFC 6056).
 *
 * - `addr`: a `struct sockaddr_in` or `struct sockaddr_in6` as the socket's domain says, of any alignment;
 *   `INADDR_ANY` and `in6addr_any` mean this host. `sin6_flowinfo` and `sin6_scope_id` are not looked at.
 * - `addrlen`: bytes at `addr`: 16 (24 for IPv6) to 128.
 *
 * An address of `AF_UNSPEC`, of at least 2 bytes, undoes connect and listen: the peer gets RST, `SO_ERROR` says
 * `ECONNRESET`, and the socket, still bound if bind did that, may connect or listen again.
 *
 * Returns 0, or -1 and sets `errno`:
 * - `EINPROGRESS`: begun; the socket has `O_NONBLOCK`, or the timeout has passed.
 * - `EALREADY`: an attempt is under way. `EISCONN`: connected already, or listening.
 * - `ECONNREFUSED`: the peer answered with RST. `ETIMEDOUT`: it did not answer. `ECONNABORTED`: a former attempt failed
 *   and was not asked about.
 * - `EHOSTUNREACH`, `ENETUNREACH`: no way there, or ICMP said so; the stack has no address of that family; or
 *   ::ffff:a.b.c.d with `IPV6_V6ONLY`.
 * - `EADDRNOTAVAIL`: no free port is left for that peer, or the connection exists already.
 * - `EINTR`: a signal's handler ran that was installed without `SA_RESTART`; the attempt goes on.
 * - `EAFNOSUPPORT`: not an address of the socket's domain, or not of the family that it was bound in.
 * - `EINVAL`: wrong length. `EFAULT`: `addr` is not readable.
 * - `EBADF`: not a descriptor of this library, or closed by another thread in the meantime. `ENETDOWN`: the stack has
 *   ended.
 *
 * Safety:
 * `addr` stays readable for `addrlen` bytes during the call.
 */
int ustcp_connect(int fd, const struct sockaddr *addr, socklen_t addrlen);

/**
 * Ends one direction of a connection or both; shutdown(2), RFC 9293 §3.6.
 *
 * - `how`: `SHUT_WR` sends FIN after all written bytes; the peer may go on sending. `SHUT_RD`: reads return 0 once the
 *   buffer is empty; the peer is not told. `SHUT_RDWR`: both. On a listening socket, `SHUT_RD` and `SHUT_RDWR` end the
 *   listening.
 *
 * The descriptor stays the caller's. Calls of other threads that wait for what was ended return.
 *
 * Returns 0, or -1 and sets `errno`:
 * - `ENOTCONN`: not connected. `EINVAL`: another `how`.
 * - `EBADF`: not a descriptor of this library. `ENETDOWN`: the stack has ended.
 */
int ustcp_shutdown(int fd, int how);

/**
 * Closes a socket; close(2), RFC 9293 §3.9.1.4. Written bytes are still delivered and FIN follows them; the side that
 * closes first goes through TIME-WAIT, in the background. Sends RST instead when received bytes were not read
 * (RFC 2525 §2.17), or when `SO_LINGER` is on with 0 seconds.
 *
 * Returns at once, but with `SO_LINGER` on and some seconds only when the peer has acknowledged everything or that time
 * has passed, also with `O_NONBLOCK`, as in Linux. The descriptor is closed in any case: do not call again. Calls of other
 * threads that wait on it return with `EBADF`. At an engine it is the kernel's close: the connection ends with its last
 * descriptor, at once also with `SO_LINGER` on and some seconds, and who waits on it waits on.
 *
 * Returns 0, or -1 and sets `errno`:
 * - `EBADF`: not a descriptor of this library; also the second time.
 * - `EINTR`: a signal ended the lingering.
 */
int ustcp_close(int fd);

/**
 * Tells the local address; getsockname(2). `INADDR_ANY` or `in6addr_any` and port 0 before bind, listen or connect.
 *
 * - `addr`: room for a `struct sockaddr_in` or, of an IPv6 socket, `struct sockaddr_in6` (flow and scope 0).
 * - `addrlen`: in: bytes at `addr`; out: the address's full length, 16 or 28. A shorter room gets the beginning.
 *
 * Returns 0, or -1 and sets `errno`:
 * - `EINVAL`: negative `*addrlen`. `EFAULT`: `addr` or `addrlen` is not writable.
 * - `EBADF`: not a descriptor of this library. `ENETDOWN`: the stack has ended.
 *
 * Safety:
 * `addr` stays writable for `*addrlen` bytes, and `addrlen` readable and writable, during the call.
 */
int ustcp_getsockname(int fd, struct sockaddr *addr, socklen_t *addrlen);

/**
 * Tells the peer's address; getpeername(2).
 *
 * - `addr`: room for a `struct sockaddr_in` or, of an IPv6 socket, `struct sockaddr_in6` (flow and scope 0).
 * - `addrlen`: in: bytes at `addr`; out: the address's full length, 16 or 28. A shorter room gets the beginning.
 *
 * Returns 0, or -1 and sets `errno`:
 * - `ENOTCONN`: not connected.
 * - `EINVAL`: negative `*addrlen`. `EFAULT`: `addr` or `addrlen` is not writable.
 * - `EBADF`: not a descriptor of this library. `ENETDOWN`: the stack has ended.
 *
 * Safety:
 * `addr` stays writable for `*addrlen` bytes, and `addrlen` readable and writable, during the call.
 */
int ustcp_getpeername(int fd, struct sockaddr *addr, socklen_t *addrlen);

/**
 * Writes bytes to a connection; send(2), RFC 9293 §3.9.1.2. Waits until all of them are in the send buffer unless the
 * socket has `O_NONBLOCK`; that they are taken does not mean that the peer has them.
 *
 * - `buf`: the bytes, used in place; may be null when `len` is 0.
 * - `len`: bytes, 0 to `SSIZE_MAX`; at most 0x7ffff000 are taken by one call, as in Linux.
 * - `flags`: `MSG_DONTWAIT`: take what there is room for now. `MSG_NOSIGNAL`: no `SIGPIPE`. `MSG_OOB`: the last byte is
 *   urgent (RFC 9293 §3.8.5; the pointer names the byte after it). `MSG_FASTOPEN`: with an address only, see
 *   `ustcp_sendto`. `MSG_MORE`: more follows, so less than a full segment waits for it: until a send without it, a
 *   segment from the peer, or for one retransmission timeout (200 ms at least). `MSG_EOR`: a record ends here; no
 *   segment holds bytes of two records. Others are taken without effect.
 *
 * Returns the number of bytes taken: all in a blocking call, unless a signal or `SO_SNDTIMEO` ended it; at least 1 if
 * `len` is not 0. Or -1 and sets `errno`:
 * - `EAGAIN`: no room, and the call must not wait (longer).
 * - `EPIPE`: not connected, or our side was shut down; also raises `SIGPIPE` unless `MSG_NOSIGNAL` says no.
 * - `ECONNRESET`: the peer sent RST. `ETIMEDOUT`: it no longer answers. `EHOSTUNREACH`, `ENETUNREACH`: nor can it be
 *   reached.
 * - `EINTR`: before any byte was taken, a signal's handler ran that was installed without `SA_RESTART`, or
 *   `SO_SNDTIMEO` is set.
 * - `EINVAL`: `len` is too large. `EFAULT`: `buf` can point nowhere (null, or outside of user memory); other wild
 *   pointers are a `SIGSEGV`, as with libc's own functions.
 * - `EBADF`: not a descriptor of this library, or closed by another thread in the meantime. `ENETDOWN`: the stack has
 *   ended.
 *
 * Several threads may send at once; each call's bytes stay together only as far as they fit into the buffer at once.
 *
 * Safety:
 * `buf` stays readable for `len` bytes during the call.
 */
ssize_t ustcp_send(int fd, const void *buf, size_t len, int flags);

/**
 * As `ustcp_send`; sendto(2). The address is checked and, as in Linux, otherwise ignored: a TCP socket has one peer.
 * With `MSG_FASTOPEN` it is where to connect: the first of the bytes go with the SYN if the server has given us a cookie
 * before (RFC 7413), else all of them follow the handshake.
 *
 * - `addr`, `addrlen`: null and 0, or an address of at most 128 bytes.
 *
 * Returns and sets `errno` as `ustcp_send`, and:
 * - `EINVAL`: `addrlen` is over 128, or `MSG_FASTOPEN` has no address. `EFAULT`: `addr` is not readable.
 * - with `MSG_FASTOPEN`, those of `ustcp_connect`; `EINPROGRESS`: it does not wait, and nothing was taken, for there is
 *   no cookie yet. `EOPNOTSUPP`: the knob `tcp_fastopen` has no bit 1.
 *
 * Safety:
 * `buf` and `addr` stay readable for `len` and `addrlen` bytes during the call.
 */
ssize_t ustcp_sendto(int fd,
                     const void *buf,
                     size_t len,
                     int flags,
                     const struct sockaddr *addr,
                     socklen_t addrlen);

/**
 * As `ustcp_send` with flags 0; write(2).
 *
 * Safety:
 * `buf` stays readable for `len` bytes during the call.
 */
ssize_t ustcp_write(int fd, const void *buf, size_t len);

/**
 * Reads bytes from a connection; recv(2), RFC 9293 §3.9.1.3. Waits for the first one unless the socket has
 * `O_NONBLOCK`.
 *
 * - `buf`: room for them, written in place; may be null when `len` is 0.
 * - `len`: bytes, 0 to `SSIZE_MAX`; at most 0x7ffff000 are read by one call, as in Linux.
 * - `flags`: `MSG_DONTWAIT`: take what is there. `MSG_PEEK`: leave it there too. `MSG_WAITALL`: wait until `len` bytes
 *   are there, the stream ends or a signal comes. `MSG_TRUNC`: drop the bytes instead of copying them, `buf` is not
 *   touched. `MSG_OOB`: the urgent byte, without waiting. `MSG_ERRQUEUE`: see `ustcp_recvmsg`.
 *   Others are taken without effect.
 *
 * Returns the number of bytes read; 0 when the peer has sent FIN and all before it was read, or our side was shut down
 * (or `len` is 0). Or -1 and sets `errno`:
 * - `EAGAIN`: nothing there, and the call must not wait (longer than `SO_RCVTIMEO`).
 * - `ENOTCONN`: not connected.
 * - `ECONNRESET`: the peer sent RST. `ECONNREFUSED`, `ETIMEDOUT`, `EHOSTUNREACH`, `ENETUNREACH`: why the connection
 *   failed. Each is told once; then reads return 0.
 * - `EINTR`: before any byte was read, a signal's handler ran that was installed without `SA_RESTART`, or
 *   `SO_RCVTIMEO` is set.
 * - `EINVAL`: `len` is too large; with `MSG_OOB`, there is no urgent byte, or `SO_OOBINLINE` has it in the stream.
 *   `EFAULT`: `buf` can point nowhere (null, or outside of user memory); other wild pointers are a `SIGSEGV`, as with
 *   libc's own functions.
 * - `EBADF`: not a descriptor of this library, or closed by another thread in the meantime. `ENETDOWN`: the stack has
 *   ended.
 *
 * Safety:
 * `buf` stays writable for `len` bytes during the call, and nobody else uses them.
 */
ssize_t ustcp_recv(int fd, void *buf, size_t len, int flags);

/**
 * As `ustcp_recv`; recvfrom(2). A TCP socket tells no address here, as in Linux; `ustcp_getpeername` does.
 *
 * - `addr`: not written.
 * - `addrlen`: when `addr` is not null, in: bytes at `addr`; out: 0.
 *
 * Returns and sets `errno` as `ustcp_recv`, and:
 * - `EINVAL`: negative `*addrlen`. `EFAULT`: `addrlen` is not readable and writable.
 *
 * Safety:
 * As for `ustcp_recv`; `addrlen` stays readable and writable during the call.
 */
ssize_t ustcp_recvfrom(int fd, void *buf, size_t len, int flags, struct sockaddr *addr, socklen_t *addrlen);

/**
 * As `ustcp_recv` with flags 0; read(2).
 *
 * Safety:
 * As for `ustcp_recv`.
 */
ssize_t ustcp_read(int fd, void *buf, size_t len);

/**
 * As `ustcp_send` with flags 0, from several buffers in turn; writev(2).
 *
 * - `iov`: the buffers; each may be empty.
 * - `iovcnt`: how many, 0 to 1024 (`IOV_MAX`). Their lengths together are at most `SSIZE_MAX`.
 *
 * Returns and sets `errno` as `ustcp_send`, and:
 * - `EINVAL`: `iovcnt` is out of range, or the lengths are too large. `EFAULT`: `iov` is not readable.
 *
 * Safety:
 * `iov` and all its buffers stay readable during the call.
 */
ssize_t ustcp_writev(int fd, const struct iovec *iov, int iovcnt);

/**
 * As `ustcp_recv` with flags 0, into several buffers in turn; readv(2).
 *
 * - `iov`: the buffers; each may be empty.
 * - `iovcnt`: how many, 0 to 1024 (`IOV_MAX`). Their lengths together are at most `SSIZE_MAX`.
 *
 * Returns and sets `errno` as `ustcp_recv`, and:
 * - `EINVAL`: `iovcnt` is out of range, or the lengths are too large. `EFAULT`: `iov` is not readable.
 *
 * Safety:
 * `iov` stays readable and all its buffers writable during the call; no two of them overlap.
 */
ssize_t ustcp_readv(int fd, const struct iovec *iov, int iovcnt);

/**
 * As `ustcp_send`, from a message; sendmsg(2).
 *
 * - `msg`: `msg_iov` and `msg_iovlen` (0 to 1024) are the buffers. `msg_name` is checked and otherwise ignored, as
 *   `ustcp_sendto` does; control data and `msg_flags` are ignored.
 * - `flags`: as for `ustcp_send`.
 *
 * Returns and sets `errno` as `ustcp_send`, and:
 * - `EMSGSIZE`: more than 1024 buffers. `EINVAL`: the lengths are too large, or `msg_namelen` is over 128.
 * - `EFAULT`: `msg`, its name or its vector is not readable.
 *
 * Safety:
 * `msg` and all that it points to stay readable during the call.
 */
ssize_t ustcp_sendmsg(int fd, const struct msghdr *msg, int flags);

/**
 * As `ustcp_recv`, into a message; recvmsg(2).
 *
 * - `msg`: `msg_iov` and `msg_iovlen` (0 to 1024) are the buffers. Out: `msg_namelen` is 0: a TCP socket tells no address
 *   here. With `TCP_INQ` set there is one piece of control data, of level `IPPROTO_TCP` and type `TCP_CM_INQ` (36): an int,
 *   the bytes that are still there to read, 1 at the end of the stream. `msg_controllen` is the length of the control
 *   data; `msg_flags` is `MSG_OOB` with the urgent byte, `MSG_CTRUNC` if the control data were cut, else 0.
 * - `flags`: as for `ustcp_recv`. `MSG_ERRQUEUE`: the oldest ICMP error of an attempt to connect, or `EAGAIN`: the quoted
 *   segment in the buffers, its destination in `msg_name`, a `struct sock_extended_err` of <linux/errqueue.h> with the
 *   sender's address behind it as control data (`IP_RECVERR`, `IPV6_RECVERR`). At most 8 are kept.
 *
 * Returns and sets `errno` as `ustcp_recv`, and:
 * - `EMSGSIZE`: more than 1024 buffers. `EINVAL`: the lengths are too large, or `msg_namelen` is negative.
 * - `EFAULT`: `msg` is not readable and writable, or its vector is not readable.
 *
 * Safety:
 * `msg` and all its buffers stay writable during the call; no two of them overlap.
 */
ssize_t ustcp_recvmsg(int fd,
                      struct msghdr *msg,
                      int flags);

/**
 * Waits until one of the descriptors is ready; poll(2). Takes descriptors of this library and others side by side, and
 * drives the stack while it waits, which a native poll leaves to a thread in the background: more quickly answered,
 * otherwise the same.
 *
 * - `fds`: what to wait for, and room for the answer in `revents`; an entry with negative `fd` is passed over.
 * - `nfds`: entries, 0 to the limit of open files (`RLIMIT_NOFILE`).
 * - `timeout`: milliseconds; 0 does not wait, negative waits as long as it takes.
 *
 * The events are those of a TCP socket in Linux: `POLLIN`, `POLLOUT`, `POLLRDHUP`, `POLLPRI`, and unasked `POLLERR`, `POLLHUP`
 * and, for a descriptor that is not open, `POLLNVAL`.
 *
 * Returns how many entries have events, 0 when the time has passed, or -1 and sets `errno`:
 * - `EINTR`: a signal's handler ran, whatever its flags.
 * - `EINVAL`: `nfds` is over the limit. `EFAULT`: `fds` is not readable and writable. `ENOMEM`: no memory left.
 *
 * Safety:
 * `fds` stays readable and writable for `nfds` entries during the call.
 */
int ustcp_poll(struct pollfd *fds,
               nfds_t nfds,
               int timeout);

/**
 * Sets an option; setsockopt(2).
 *
 * `SOL_SOCKET`:
 * - `SO_REUSEADDR` (int): bind although a connection in TIME-WAIT is there.
 * - `SO_REUSEPORT` (int): bind and listen where other sockets that have it do; connections are shared out among them.
 * - `SO_KEEPALIVE` (int): probe an idle peer, RFC 9293 §3.8.4.
 * - `SO_LINGER` (struct linger, seconds): what `ustcp_close` does; on with 0 seconds sends RST.
 * - `SO_RCVTIMEO`, `SO_SNDTIMEO` (struct timeval): longest wait of one call; zero: as long as it takes.
 * - `SO_RCVBUF`, `SO_SNDBUF` (int, bytes): room for bytes received and not read, sent and not acknowledged. At least
 *   1152 and 2304, at most 16 MiB; a figure beyond counts as the nearest. Told doubled, as in Linux. A size that is
 *   set stays; one that is not grows with what the path carries.
 * - `SO_RCVBUFFORCE`, `SO_SNDBUFFORCE` (int, bytes): the same up to 1 GiB, and for everybody. Cannot be told.
 * - `SO_RCVLOWAT` (int, bytes): poll says readable, and a recv that waits returns, from so many on (recv: or as many as
 *   it has room for). 1 at least, at most what `SO_RCVBUF` was set to; where it was not, the buffer grows for it.
 *
 * - `SO_MAX_PACING_RATE` (bytes a second, 64 or 32 bits; 0 or all bits set: no limit): text leaves no faster.
 * - Kept, told and without effect: `SO_PRIORITY`, `SO_MARK`, `SO_BROADCAST`, `SO_DONTROUTE` and others; docs/c-api.md
 *   lists them.
 *
 * `IPPROTO_TCP`:
 * - `TCP_NODELAY` (int): no Nagle algorithm, RFC 9293 §3.7.4. Setting it lets out what `TCP_CORK` holds.
 * - `TCP_CORK` (int): less than a full segment waits for more, until this is cleared, a FIN goes, or for one
 *   retransmission timeout (200 ms at least) when nothing else is in flight.
 * - `TCP_NOTSENT_LOWAT` (int, bytes; 0: no limit): a send takes no more while so many bytes wait to be sent for the first
 *   time; poll says writable below half of it.
 * - `TCP_USER_TIMEOUT` (int, milliseconds; 0: as `tcp_retries2` counts): how long the peer may leave unacknowledged what
 *   is sent again, keep its window closed, or be silent to keepalive; RFC 5482. Then `ETIMEDOUT`.
 * - `TCP_SYNCNT` (int, 1 to 127): retransmissions of a SYN; a listener's, of its SYN-ACKs.
 * - `TCP_DEFER_ACCEPT` (int, seconds): a listener's connections are there to accept with their first bytes, or after so
 *   long without. Rounded up to 1, 3, 7, 15, ... seconds: timeouts of the SYN-ACK.
 * - `TCP_LINGER2` (int, seconds; 0: 60; beyond 120: 120): how long FIN-WAIT-2 lasts after `ustcp_close`. Negative: not at
 *   all, the peer gets RST.
 * - `TCP_WINDOW_CLAMP` (int, at least 1152 bytes; 0, before there is a connection: none): largest window to announce.
 * - `TCP_THIN_LINEAR_TIMEOUTS` (int, 0 or 1): the first six retransmission timeouts are not doubled while less than four
 *   segments are in flight. `TCP_THIN_DUPACK` (int, 0 or 1): no effect, as in Linux.
 * - `TCP_SAVE_SYN` (int, 0 to 2; 0: no): a listener keeps the IP and TCP headers of the SYNs that its connections begin
 *   with, for `TCP_SAVED_SYN` of these. 2, which is from the link layer on, is the same as 1: there is none.
 * - `TCP_FASTOPEN_KEY` (16 bytes, or 32: a second key behind the first): what a listener's Fast Open cookies are made
 *   with, as Linux makes them. Cookies of the second are taken, and replaced. Not handed on to accepted sockets.
 * - `TCP_MAXSEG` (int, 88 to 32767 bytes; 0: none): largest segment to announce and to send. Without effect on a
 *   connection.
 * - `TCP_CONGESTION` (name, at most 15 bytes): `cubic`, `reno` or `bbr`, also for a connection at work. Told as 16
 *   bytes, with zeros behind the name.
 * - `TCP_KEEPIDLE`, `TCP_KEEPINTVL` (int, 1 to 32767 seconds), `TCP_KEEPCNT` (int, 1 to 127).
 * - `TCP_INQ` (int, 0 or 1; its number is 36): `ustcp_recvmsg` tells how much is left to read.
 *
 * `IPPROTO_IP`:
 * - `IP_RECVERR` (int or byte): an ICMP error that does not end the connection is told by the next call.
 *
 * - `IP_BIND_ADDRESS_NO_PORT` (int or byte): bind with port 0 leaves the port to connect.
 *
 * `IPPROTO_IP`; of a socket of `AF_INET6` also `IPPROTO_IPV6`:
 * - `IP_FREEBIND` (int or byte), `IPV6_FREEBIND` (int): bind takes any address that a host can have.
 * - `IP_TRANSPARENT`, `IPV6_TRANSPARENT` (int): bind takes any address that a host can have; a listener takes
 *   connections to every port of its address (or of every address of the stack, as it is bound) for which there is no
 *   other listener. `ustcp_getsockname` tells where the peer wanted to go. No privilege is asked for.
 * - `IP_TOS` (int or a byte), `IP_TTL` (int or a byte, 1 to 255; -1: the stack's own, 64): go with every packet from
 *   now on. The lower two bits of the former are ECN's and stay so.
 *
 * `IPPROTO_IPV6`, on a socket of `AF_INET6`:
 * - `IPV6_RECVERR` (int): the same.
 * - `IPV6_TCLASS` (int, 0 to 255), `IPV6_UNICAST_HOPS` (int, 0 to 255; -1: the stack's own): the same two.
 * - `IPV6_V6ONLY` (int): nothing to do with IPv4; only before the socket has its local address.
 *
 * - `optval`, `optlen`: the value and its length in bytes; a longer one is read from its beginning.
 *
 * Returns 0, or -1 and sets `errno`:
 * - `ENOPROTOOPT`: another option or level; also one that can only be read.
 * - `EPERM`, `EACCES`: `SO_MARK`, `SO_PRIORITY` above 6, `SO_PREFER_BUSY_POLL`; `SO_DEBUG`, without the capability that
 *   Linux asks for; `TCP_REPAIR`. `ENODEV`: `SO_BINDTODEVICE` with a name. `EOPNOTSUPP`: `SO_PASSCRED`, `SO_PASSSEC`.
 * - `EINVAL`: a value too short or out of range, or `IPV6_V6ONLY` too late. `EDOM`: microseconds of a `struct timeval` out of range.
 * - `EINVAL`: also `TCP_WINDOW_CLAMP` 0 for a connection or a listener. `ENOENT`: `TCP_CONGESTION` of a name that is unknown.
 * - `EFAULT`: `optval` is not readable. `EBADF`: not a descriptor of this library. `ENETDOWN`: the stack has ended.
 *
 * Safety:
 * `optval` stays readable for `optlen` bytes during the call.
 */
int ustcp_setsockopt(int fd,
                     int level,
                     int optname,
                     const void *optval,
                     socklen_t optlen);

/**
 * Tells an option; getsockopt(2). All of `ustcp_setsockopt`, and:
 *
 * `SOL_SOCKET`:
 * - `SO_ERROR` (int): the errno that waits for the program, which no longer does after this; 0 for none.
 * - `SO_TYPE`, `SO_DOMAIN`, `SO_PROTOCOL` (int): `SOCK_STREAM`, `AF_INET` or `AF_INET6`, `IPPROTO_TCP`.
 * - `SO_ACCEPTCONN` (int): whether it listens.
 * - `SO_SNDLOWAT` (int): 1, as in Linux. `SO_INCOMING_NAPI_ID` (int): 0.
 * - `SO_PEERCRED` (struct ucred): of nobody, 0, -1 and -1.
 *
 * `IPPROTO_TCP`:
 * - `TCP_INFO` (struct tcp_info of <linux/tcp.h>): state, round-trip times in microseconds, windows, counts.
 * - `TCP_SAVED_SYN` (at most 256 bytes): IP and TCP header of the SYN of a connection that a listener with `TCP_SAVE_SYN`
 *   has taken; once, then and otherwise nothing. None was kept where it was answered with a cookie, or was longer.
 * - `TCP_FASTOPEN_KEY`: nothing where none was set.
 * - `TCP_MAXSEG` (int, bytes): what segments are sent with, once connected.
 *
 * `IPPROTO_IP`, `IPPROTO_IPV6`:
 * - `IP_MTU`, `IPV6_MTU` (int, bytes): the path MTU of the connection.
 *
 * - `optval`: room for the value. A shorter room gets the beginning.
 * - `optlen`: in: bytes at `optval`; out: bytes written, or needed, where there is no room for all of `TCP_SAVED_SYN`.
 *
 * Returns 0, or -1 and sets `errno`:
 * - `ENOPROTOOPT`: another option, or level of an IPv6 socket. `EOPNOTSUPP`: another level of an IPv4 socket,
 *   `IPPROTO_IPV6` too; `SO_PASSCRED`. `ENOTCONN`: `IP_MTU` without a connection. `EINVAL`: negative `*optlen`; no
 *   room for all of `TCP_SAVED_SYN`, which is kept.
 * - `EFAULT`: `optval` or `optlen` is not writable. `EBADF`: not a descriptor of this library. `ENETDOWN`: the stack
 *   has ended.
 *
 * Safety:
 * `optval` stays writable for `*optlen` bytes, and `optlen` readable and writable, during the call.
 */
int ustcp_getsockopt(int fd,
                     int level,
                     int optname,
                     void *optval,
                     socklen_t *optlen);

/**
 * Reads and changes the descriptor's flags; fcntl(2). The third argument is not optional in the binary interface; the
 * macro of this name makes it so in C (0 when left out).
 *
 * - `cmd`: `F_GETFL`: `O_RDWR`, and `O_NONBLOCK` when set. `F_SETFL`: sets or clears `O_NONBLOCK`; other flags are
 *   ignored. `F_GETFD`: always `FD_CLOEXEC`. `F_SETFD`: takes `FD_CLOEXEC` only: what the descriptor stands for does
 *   not outlive exec.
 * - `arg`: the flags, for the two that set.
 *
 * At an engine it is the kernel's, with all its commands.
 *
 * Returns the flags or 0, or -1 and sets `errno`:
 * - `EINVAL`: another `cmd` (also `F_DUPFD`: the library cannot follow copies), or `F_SETFD` without `FD_CLOEXEC`.
 * - `EBADF`: not a descriptor of this library.
 */
int ustcp_fcntl(int fd, int cmd, long arg);

/**
 * Asks for queue lengths and sets flags; ioctl(2). The third argument is not optional in the binary interface; the
 * macro of this name makes it so in C (a null pointer when left out).
 *
 * - `request`: `FIONREAD` (`SIOCINQ`): bytes that can be read now, into `*(int *)arg`. `SIOCOUTQ` (`TIOCOUTQ`): bytes
 *   written that the peer has not acknowledged. `SIOCOUTQNSD`: bytes written that were never sent. `SIOCATMARK`: 1 when the next byte to read is the urgent one, else 0.
 *   `FIONBIO`: `O_NONBLOCK` from `*(int *)arg`. `FIOCLEX`: nothing to do,
 *   close-on-exec is always on.
 * - `arg`: an `int`, for those that have one.
 *
 * Returns 0, or -1 and sets `errno`:
 * - `ENOTTY`: another request. `EINVAL`: a queue's length of a listening socket; `FIONCLEX`, as for `F_SETFD`.
 * - `EFAULT`: `arg` is not readable or writable. `EBADF`: not a descriptor of this library. `ENETDOWN`: the stack has
 *   ended.
 *
 * Safety:
 * `arg` stays readable and writable as an `int` during the call, for those requests that have one.
 */
int ustcp_ioctl(int fd,
                unsigned long request,
                void *arg);

/**
 * Makes a stack: a TCP/IP stack without device, thread or clock, which its owner drives by hand. It has no addresses
 * yet (`ustcp_stack_set`, `address`), and its time is 0.
 *
 * - `stack`: out: the stack, which is the caller's until `ustcp_stack_free`.
 * - `seed`: what initial sequence numbers, ports and all else that is random come from: with equal seeds, equal calls
 *   give equal packets. Null: 32 bytes from the system, as it must be where packets come from strangers.
 *
 * Returns 0, or negative: `-EFAULT`: `stack` is not writable or `seed` not readable. `-EIO`: the system has no
 * randomness.
 *
 * Safety:
 * `stack` stays writable and `seed` readable during the call.
 */
int ustcp_stack_new(struct ustcp_stack **stack, const uint64_t *seed);

/**
 * Frees a stack with all its sockets. Nobody is told: no FIN, no RST; packets not taken are dropped.
 *
 * Returns 0, or negative: `-EFAULT`: `stack` is null. `-EBADF`: it is no stack, or freed already.
 */
int ustcp_stack_free(struct ustcp_stack *stack);

/**
 * A packet has arrived. Whatever its bytes are, it is processed, or dropped and counted.
 *
 * - `packet`: an IPv4 or IPv6 packet; used in place, and not after the call.
 * - `len`: its length in bytes. One longer than the MTU is taken too.
 * - `flags`: 0, or `USTCP_INPUT_CHECKSUM_GOOD`.
 * - `now`: the time, in nanoseconds.
 *
 * Returns 0, or negative:
 * - `-EINVAL`: `now` is before the time of an earlier call, `len` no length, or an unknown flag.
 * - `-EFAULT`: `stack` is null, or `packet` can point nowhere. `-EBADF`: no stack, or freed already.
 * - `-EBUSY`: another thread uses the stack. `-ENETDOWN`: it has ended by an internal error.
 *
 * Safety:
 * `packet` stays readable for `len` bytes during the call.
 */
int ustcp_stack_input(struct ustcp_stack *stack, const void *packet, size_t len, int flags, uint64_t now);

/**
 * Takes the next packet to be sent, in the order in which calls made them. Call after every other call on the stack,
 * until it returns 0. What is not taken stays, up to 16 MiB; what would be beyond is made when there is room again.
 *
 * - `buf`, `len`: room for it: the knob `mtu` in bytes (1500), with the knob `tso` 65575.
 * - `packet`: out: what belongs to it; may be null.
 *
 * Returns the packet's length in bytes, 0 when there is none now, or negative:
 * - `-EMSGSIZE`: it is longer than `len`: it stays; `packet` tells its length.
 * - `-EINVAL`: `len` is no length, or `packet->size` is below 16. `-EFAULT`: `stack` is null, `packet` is not writable,
 *   or `buf` can point nowhere.
 * - `-EBADF`: no stack, or freed already. `-EBUSY`: another thread uses the stack. `-ENETDOWN`: it has ended by an
 *   internal error.
 *
 * Safety:
 * `buf` stays writable for `len` bytes, and `packet` for its size, during the call.
 */
ssize_t ustcp_stack_output(struct ustcp_stack *stack, void *buf, size_t len, struct ustcp_packet *packet);

/**
 * Tells when `ustcp_stack_advance` is due. Ask anew after every other call.
 *
 * - `when`: out: the time, in nanoseconds; it may be one that has come already. Not written when nothing is due.
 *
 * Returns 1, or 0 when nothing happens by itself, or negative:
 * - `-EFAULT`: `stack` is null, or `when` is not writable. `-EBADF`: no stack, or freed already.
 * - `-EBUSY`: another thread uses the stack. `-ENETDOWN`: it has ended by an internal error.
 *
 * Safety:
 * `when` stays writable during the call.
 */
int ustcp_stack_deadline(struct ustcp_stack *stack, uint64_t *when);

/**
 * Time has come to `now`: timers that are due go off, each once. Harmless when early. Calls on sockets happen at the time
 * that this or `ustcp_stack_input` was given last.
 *
 * - `now`: the time, in nanoseconds since a moment of the caller's choice; it never goes back.
 *
 * Returns 0, or negative:
 * - `-EINVAL`: `now` is before the time of an earlier call.
 * - `-EFAULT`: `stack` is null. `-EBADF`: no stack, or freed already.
 * - `-EBUSY`: another thread uses the stack. `-ENETDOWN`: it has ended by an internal error.
 */
int ustcp_stack_advance(struct ustcp_stack *stack,
                        uint64_t now);

/**
 * Sets a knob, from now on; what sockets and connections were given at their birth stays.
 *
 * - `name`: a Linux sysctl, without its directory: `tcp_syn_retries`, `tcp_rto_min_us`, `ip_local_port_range`; or one of
 *   our own: `address` (as `10.77.0.2/24`, several with commas), `any_address` (0 or 1), `mtu` and `tso` (bytes),
 *   `trace` (0 or 1). All are in docs/manual.md. At most 64 bytes.
 * - `value`: its text, with the unit and the form of the sysctl. At most 4096 bytes.
 *
 * Returns 0, or negative:
 * - `-ENOENT`: no knob of this name. `-EINVAL`: a value that is malformed or out of range, or a string too long.
 * - `-EFAULT`: `stack` is null, or a string is not readable. `-EBADF`: no stack, or freed already.
 * - `-EBUSY`: another thread uses the stack. `-ENETDOWN`: it has ended by an internal error.
 *
 * Safety:
 * The strings stay readable during the call.
 */
int ustcp_stack_set(struct ustcp_stack *stack,
                    const char *name,
                    const char *value);

/**
 * Tells a knob, in the form that `ustcp_stack_set` takes.
 *
 * - `name`: as for `ustcp_stack_set`.
 * - `value`, `len`: room for its text and a NUL. A shorter room gets the beginning, and a NUL.
 *
 * Returns the text's length in bytes without the NUL, or negative:
 * - `-ENOENT`: no knob of this name. `-EINVAL`: `name` is too long, or `len` no length.
 * - `-EFAULT`: `stack` is null, `name` is not readable, or `value` not writable. `-EBADF`: no stack, or freed already.
 * - `-EBUSY`: another thread uses the stack. `-ENETDOWN`: it has ended by an internal error.
 *
 * Safety:
 * `name` stays readable and `value` writable for `len` bytes during the call.
 */
ssize_t ustcp_stack_get(struct ustcp_stack *stack, const char *name, char *value, size_t len);

/**
 * Fetches the oldest event not yet fetched. There are events while the knob `trace` is 1; at most 65536 are kept.
 *
 * - `event`: out.
 *
 * Returns 1, or 0 when there is none, or negative:
 * - `-EINVAL`: `event->size` is below 16. `-EFAULT`: `stack` is null, or `event` is not readable and writable.
 * - `-EBADF`: no stack, or freed already. `-EBUSY`: another thread uses the stack. `-ENETDOWN`: it has ended by an
 *   internal error.
 *
 * Safety:
 * `event` stays readable and writable for its size during the call.
 */
int ustcp_stack_event(struct ustcp_stack *stack, struct ustcp_event *event);

/**
 * The name of a state in RFC 9293, as `"SYN-SENT"`, by Linux's number (`TCP_SYN_SENT`); `"?"` for another number. The
 * string is the library's and stays as it is. Never fails.
 */
const char *ustcp_state_name(int state);

/**
 * Makes a TCP socket on a stack; socket(2). Its number is 2^30 or more, means something on this stack only, and is used
 * again only after some 2^30 others. No socket of a stack ever waits: `SOCK_NONBLOCK` is taken without effect.
 *
 * What holds for all functions of sockets of a stack. Arguments are those of the namesake, after `stack`. Calls happen
 * at the time that `ustcp_stack_advance` or `ustcp_stack_input` was given last. `errno` is not touched, and no signal
 * raised. Besides what a comment lists they return:
 * - `-EFAULT`: `stack` is null. `-EBADF`: no stack, or freed already; or no socket of it (any more).
 * - `-EBUSY`: another thread uses the stack: one at a time may. `-ENETDOWN`: it has ended by an internal error.
 *
 * Returns the socket's number, or negative:
 * - `-EAFNOSUPPORT`, `-ESOCKTNOSUPPORT`, `-EPROTONOSUPPORT`, `-EINVAL`: as `ustcp_socket`.
 * - `-ENOBUFS`: the knob `socket_limit` is reached.
 */
int ustcp_stack_socket(struct ustcp_stack *stack, int domain, int type, int protocol);

/**
 * Gives the socket a local address; as `ustcp_bind`.
 *
 * Returns 0, or negative: `-EADDRINUSE`, `-EADDRNOTAVAIL`, `-EAFNOSUPPORT`, `-EINVAL`, `-EFAULT`, as `ustcp_bind`.
 *
 * Safety:
 * `addr` stays readable for `addrlen` bytes during the call.
 */
int ustcp_stack_bind(struct ustcp_stack *stack, int fd, const struct sockaddr *addr, socklen_t addrlen);

/**
 * Makes the socket a listener; as `ustcp_listen`. With `IP_TRANSPARENT` set it takes connections to every port.
 *
 * Returns 0, or negative: `-EADDRINUSE`, `-EINVAL`, as `ustcp_listen`.
 */
int ustcp_stack_listen(struct ustcp_stack *stack, int fd, int backlog);

/**
 * Takes the oldest established connection of a listener; as `ustcp_accept`.
 *
 * Returns the connection's number, or negative: `-EAGAIN`: none waits. `-EINVAL`, `-ECONNABORTED`, `-EFAULT`, as
 * `ustcp_accept`.
 *
 * Safety:
 * `addr` stays writable for `*addrlen` bytes, and `addrlen` readable and writable, during the call.
 */
int ustcp_stack_accept(struct ustcp_stack *stack, int fd, struct sockaddr *addr, socklen_t *addrlen);

/**
 * Opens a connection; as `ustcp_connect` of a socket with `O_NONBLOCK`.
 *
 * Returns 0 when it is established (the first time it is called after), or negative: `-EINPROGRESS`: begun; the socket
 * becomes writable when it is decided. `-EALREADY`, `-EISCONN`, `-ECONNREFUSED`, `-ETIMEDOUT`, `-ECONNABORTED`,
 * `-EHOSTUNREACH`, `-ENETUNREACH`, `-EADDRNOTAVAIL`, `-EAFNOSUPPORT`, `-EINVAL`, `-EFAULT`, as `ustcp_connect`.
 *
 * Safety:
 * `addr` stays readable for `addrlen` bytes during the call.
 */
int ustcp_stack_connect(struct ustcp_stack *stack, int fd, const struct sockaddr *addr, socklen_t addrlen);

/**
 * Writes bytes to a connection; as `ustcp_sendto` with `MSG_DONTWAIT` and `MSG_NOSIGNAL`.
 *
 * Returns the number of bytes taken, or negative: `-EAGAIN`: no room. `-EPIPE`, `-ECONNRESET`, `-ETIMEDOUT`,
 * `-EHOSTUNREACH`, `-ENETUNREACH`, `-EOPNOTSUPP`, `-EINVAL`, `-EFAULT`, as `ustcp_sendto`.
 *
 * Safety:
 * `buf` and `addr` stay readable for `len` and `addrlen` bytes during the call.
 */
ssize_t ustcp_stack_sendto(struct ustcp_stack *stack,
                           int fd,
                           const void *buf,
                           size_t len,
                           int flags,
                           const struct sockaddr *addr,
                           socklen_t addrlen);

/**
 * Writes a message's bytes to a connection; as `ustcp_sendmsg` with `MSG_DONTWAIT` and `MSG_NOSIGNAL`.
 *
 * Returns as `ustcp_stack_sendto`, and `-EMSGSIZE`, as `ustcp_sendmsg`.
 *
 * Safety:
 * `msg` and all that it points to stay readable during the call.
 */
ssize_t ustcp_stack_sendmsg(struct ustcp_stack *stack, int fd, const struct msghdr *msg, int flags);

/**
 * Reads bytes from a connection; as `ustcp_recvfrom` with `MSG_DONTWAIT`.
 *
 * Returns the number of bytes read, 0 at the end of the stream, or negative: `-EAGAIN`: nothing there. `-ENOTCONN`,
 * `-ECONNRESET`, `-ECONNREFUSED`, `-ETIMEDOUT`, `-EHOSTUNREACH`, `-ENETUNREACH`, `-EOPNOTSUPP`, `-EINVAL`, `-EFAULT`,
 * as `ustcp_recvfrom`.
 *
 * Safety:
 * `buf` stays writable for `len` bytes and `addrlen` readable and writable during the call.
 */
ssize_t ustcp_stack_recvfrom(struct ustcp_stack *stack,
                             int fd,
                             void *buf,
                             size_t len,
                             int flags,
                             struct sockaddr *addr,
                             socklen_t *addrlen);

/**
 * Reads bytes from a connection into a message; as `ustcp_recvmsg` with `MSG_DONTWAIT`.
 *
 * Returns as `ustcp_stack_recvfrom`, and `-EMSGSIZE`, as `ustcp_recvmsg`.
 *
 * Safety:
 * `msg` and all its buffers stay writable during the call; no two of them overlap.
 */
ssize_t ustcp_stack_recvmsg(struct ustcp_stack *stack, int fd, struct msghdr *msg, int flags);

/**
 * Ends one direction of a connection or both; as `ustcp_shutdown`.
 *
 * Returns 0, or negative: `-ENOTCONN`, `-EINVAL`, as `ustcp_shutdown`.
 */
int ustcp_stack_shutdown(struct ustcp_stack *stack, int fd, int how);

/**
 * Closes a socket; as `ustcp_close`, at once also with `SO_LINGER`. The connection ends by itself as packets and time
 * come in; its number is gone in any case.
 *
 * Returns 0, or negative, as every function of sockets of a stack.
 */
int ustcp_stack_close(struct ustcp_stack *stack, int fd);

/**
 * Tells an option; as `ustcp_getsockopt`.
 *
 * Returns 0, or negative: `-ENOPROTOOPT`, `-EOPNOTSUPP`, `-EINVAL`, `-EFAULT`, as `ustcp_getsockopt`.
 *
 * Safety:
 * `optval` stays writable for `*optlen` bytes, and `optlen` readable and writable, during the call.
 */
int ustcp_stack_getsockopt(struct ustcp_stack *stack, int fd, int level, int optname, void *optval, socklen_t *optlen);

/**
 * Sets an option; as `ustcp_setsockopt`. `SO_RCVTIMEO` and `SO_SNDTIMEO` are kept and told, and nothing waits for them.
 *
 * Returns 0, or negative: `-ENOPROTOOPT`, `-EINVAL`, `-EDOM`, `-EFAULT`, as `ustcp_setsockopt`.
 *
 * Safety:
 * `optval` stays readable for `optlen` bytes during the call.
 */
int ustcp_stack_setsockopt(struct ustcp_stack *stack,
                           int fd,
                           int level,
                           int optname,
                           const void *optval,
                           socklen_t optlen);

/**
 * Tells the local address; as `ustcp_getsockname`. Of a connection that a listener with `IP_TRANSPARENT` has taken it is
 * where its peer wanted to go.
 *
 * Returns 0, or negative: `-EINVAL`, `-EFAULT`, as `ustcp_getsockname`.
 *
 * Safety:
 * `addr` stays writable for `*addrlen` bytes, and `addrlen` readable and writable, during the call.
 */
int ustcp_stack_getsockname(struct ustcp_stack *stack,
                            int fd,
                            struct sockaddr *addr,
                            socklen_t *addrlen);

/**
 * Tells the peer's address; as `ustcp_getpeername`.
 *
 * Returns 0, or negative: `-ENOTCONN`, `-EINVAL`, `-EFAULT`, as `ustcp_getpeername`.
 *
 * Safety:
 * `addr` stays writable for `*addrlen` bytes, and `addrlen` readable and writable, during the call.
 */
int ustcp_stack_getpeername(struct ustcp_stack *stack, int fd, struct sockaddr *addr, socklen_t *addrlen);

/**
 * Asks a socket for a number; as `ustcp_ioctl` with those requests that ask. `FIONBIO` is taken without effect.
 *
 * - `arg`: an `int`.
 *
 * Returns 0, or negative: `-ENOTTY`, `-EINVAL`, `-EFAULT`, as `ustcp_ioctl`.
 *
 * Safety:
 * `arg` stays readable and writable as an `int` during the call.
 */
int ustcp_stack_ioctl(struct ustcp_stack *stack, int fd, unsigned long request, void *arg);

/**
 * Tells which sockets of a stack are ready now; poll(2) with a timeout of 0.
 *
 * - `fds`: sockets of this stack, and room for the answer in `revents`; an entry with negative `fd` is passed over.
 * - `nfds`: entries.
 *
 * The events are those of `ustcp_poll`; `POLLNVAL` is no socket of this stack.
 *
 * Returns how many entries have events, or negative: `-EFAULT`: `fds` is not readable and writable. `-EINVAL`: too many
 * entries. `-ENOMEM`: no memory left.
 *
 * Safety:
 * `fds` stays readable and writable for `nfds` entries during the call.
 */
int ustcp_stack_poll(struct ustcp_stack *stack, struct pollfd *fds, nfds_t nfds);

/**
 * Names a socket whose readiness has changed since it was last named here, as an edge of epoll: new arrivals are a change,
 * bytes that were left unread are none. What there is to poll when there are many.
 *
 * Returns its number, or negative: `-EAGAIN`: no other. And as every function of sockets of a stack.
 */
int ustcp_stack_ready(struct ustcp_stack *stack);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

/* The third argument of these two may be left out. */
#define USTCP_THREE_ARGUMENTS(a, b, c, ...) (a), (b), (c)
#define ustcp_fcntl(...) (ustcp_fcntl)(USTCP_THREE_ARGUMENTS(__VA_ARGS__, 0, 0))
#define ustcp_ioctl(...) (ustcp_ioctl)(USTCP_THREE_ARGUMENTS(__VA_ARGS__, 0, 0))

#endif /* USTCP_H */
