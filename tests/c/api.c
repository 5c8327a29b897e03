/* Bad input to every call: wrong descriptors, pointers, lengths, families, flags, and calls in the wrong state.
 *
 * The table is the kernel's where it is not said otherwise: with -DKERNEL it runs on Linux's own sockets. */
#include <fcntl.h>
#include <limits.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "pair.h"

/* Where ours differs from Linux's on purpose; docs/c-api.md says why. */
#define OURS(ours, linux) (IS_KERNEL ? (linux) : (ours))

#define PAGE 4096

/* Pointers to nowhere. `edge` is the last byte before a page that is not there. */
static void *const low = (void *)8;
static void *const beyond = (void *)((uintptr_t)1 << 62);
static char *unmapped, *read_only, *edge;

static volatile sig_atomic_t sigpipes;

static void count_sigpipe(int signal)
{
    (void)signal;
    sigpipes++;
}

static void make_pages(void)
{
    char *pages = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    NEEDS(pages != MAP_FAILED);
    NEEDS(mprotect(pages + PAGE, PAGE, PROT_NONE) == 0);
    NEEDS(mprotect(pages + 3 * PAGE, PAGE, PROT_READ) == 0);
    edge = pages + PAGE - 1;
    unmapped = pages + PAGE;
    read_only = pages + 3 * PAGE;
}

static const struct sockaddr *generic(const struct sockaddr_in *name)
{
    return (const struct sockaddr *)name;
}

static void test_socket(void)
{
    FAILS(ustcp_socket(-1, SOCK_STREAM, 0), EAFNOSUPPORT);
    FAILS(ustcp_socket(9999, SOCK_STREAM, 0), EAFNOSUPPORT);
    FAILS(ustcp_socket(AF_INET, SOCK_SEQPACKET, 0), ESOCKTNOSUPPORT);
    FAILS(ustcp_socket(AF_INET, SOCK_RAW, 0), EPROTONOSUPPORT);
    FAILS(ustcp_socket(AF_INET, 15, 0), EINVAL);
    FAILS(ustcp_socket(AF_INET, SOCK_STREAM | 0x10, 0), EINVAL);
    FAILS(ustcp_socket(AF_INET, SOCK_STREAM, IPPROTO_UDP), EPROTONOSUPPORT);
    FAILS(ustcp_socket(AF_INET, SOCK_STREAM, -1), EINVAL);
    FAILS(ustcp_socket(AF_INET, SOCK_STREAM, 9999), EINVAL);
    FAILS(ustcp_socket(AF_INET6, SOCK_SEQPACKET, 0), ESOCKTNOSUPPORT);
    FAILS(ustcp_socket(AF_INET6, SOCK_RAW, 0), EPROTONOSUPPORT);
    FAILS(ustcp_socket(AF_INET6, 15, 0), EINVAL);
    FAILS(ustcp_socket(AF_INET6, SOCK_STREAM, IPPROTO_UDP), EPROTONOSUPPORT);
    FAILS(ustcp_socket(AF_INET6, SOCK_STREAM, 9999), EINVAL);
#ifndef KERNEL
    FAILS(ustcp_socket(AF_UNIX, SOCK_STREAM, 0), EAFNOSUPPORT);
    FAILS(ustcp_socket(AF_INET, SOCK_DGRAM, 0), ESOCKTNOSUPPORT);
#endif
}

/* Every call on a descriptor that is none, or none of ours. */
static void test_wrong_descriptor(int fd, int socket_error, int data_error)
{
    struct sockaddr_in name = any_port;
    socklen_t length = sizeof name;
    struct msghdr message = { 0 };
    struct iovec vector = { &name, sizeof name };
    char byte = 0;
    int value = 0;

    printf("# descriptor %d\n", fd);
    FAILS(ustcp_bind(fd, generic(&name), sizeof name), socket_error);
    FAILS(ustcp_listen(fd, 1), socket_error);
    FAILS(ustcp_accept(fd, NULL, NULL), socket_error);
    FAILS(ustcp_accept4(fd, NULL, NULL, SOCK_NONBLOCK), socket_error);
    FAILS(ustcp_connect(fd, generic(&name), sizeof name), socket_error);
    FAILS(ustcp_send(fd, &byte, 1, 0), socket_error);
    FAILS(ustcp_sendto(fd, &byte, 1, 0, NULL, 0), socket_error);
    FAILS(ustcp_sendmsg(fd, &message, 0), socket_error);
    FAILS(ustcp_recv(fd, &byte, 1, 0), socket_error);
    FAILS(ustcp_recvfrom(fd, &byte, 1, 0, NULL, NULL), socket_error);
    FAILS(ustcp_recvmsg(fd, &message, 0), socket_error);
    FAILS(ustcp_shutdown(fd, SHUT_RDWR), socket_error);
    FAILS(ustcp_getsockopt(fd, SOL_SOCKET, SO_TYPE, &value, &length), socket_error);
    FAILS(ustcp_setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &value, sizeof value), socket_error);
    FAILS(ustcp_getsockname(fd, (struct sockaddr *)&name, &length), socket_error);
    FAILS(ustcp_getpeername(fd, (struct sockaddr *)&name, &length), socket_error);
    if (data_error == 0)
        return; /* the kernel does these on any descriptor */
    FAILS(ustcp_read(fd, &byte, 1), data_error);
    FAILS(ustcp_write(fd, &byte, 1), data_error);
    FAILS(ustcp_readv(fd, &vector, 1), data_error);
    FAILS(ustcp_writev(fd, &vector, 1), data_error);
    FAILS(ustcp_fcntl(fd, F_GETFL), data_error);
    FAILS(ustcp_ioctl(fd, FIONREAD, &value), data_error);
    FAILS(ustcp_close(fd), data_error);
}

static void test_descriptors(void)
{
    int foreign[2];

    NEEDS(pipe(foreign) == 0);
    test_wrong_descriptor(-1, EBADF, EBADF);
    test_wrong_descriptor(INT_MIN, EBADF, EBADF);
    test_wrong_descriptor(INT_MAX, EBADF, EBADF);
    test_wrong_descriptor(foreign[1] + 100, EBADF, EBADF);
    test_wrong_descriptor(foreign[0], OURS(EBADF, ENOTSOCK), OURS(EBADF, 0));
    HOLDS(close(foreign[0]) == 0); /* left alone by the calls above */
    close(foreign[1]);
}

static void test_addresses(void)
{
    struct sockaddr_in name = any_port;
    struct sockaddr_in shifted[2]; /* one byte off, so that nothing is aligned */
    struct sockaddr *askew = (struct sockaddr *)((char *)shifted + 1);
    int fd = ustcp_socket(AF_INET, SOCK_STREAM, 0);

    NEEDS(fd >= 0);
    FAILS(ustcp_bind(fd, NULL, sizeof name), EFAULT);
    FAILS(ustcp_bind(fd, low, sizeof name), EFAULT);
    FAILS(ustcp_bind(fd, beyond, sizeof name), EFAULT);
    FAILS(ustcp_bind(fd, (struct sockaddr *)unmapped, sizeof name), EFAULT);
    FAILS(ustcp_bind(fd, (struct sockaddr *)edge, sizeof name), EFAULT);
    FAILS(ustcp_connect(fd, NULL, sizeof name), EFAULT);
    FAILS(ustcp_connect(fd, (struct sockaddr *)unmapped, sizeof name), EFAULT);

    FAILS(ustcp_bind(fd, generic(&name), 0), EINVAL);
    FAILS(ustcp_bind(fd, generic(&name), sizeof name - 1), EINVAL);
    FAILS(ustcp_bind(fd, generic(&name), 129), EINVAL);
    FAILS(ustcp_bind(fd, generic(&name), (socklen_t)-1), EINVAL);
    FAILS(ustcp_connect(fd, generic(&name), 1), EINVAL);
    FAILS(ustcp_connect(fd, generic(&name), sizeof name - 1), EINVAL);
    FAILS(ustcp_connect(fd, generic(&name), (socklen_t)-1), EINVAL);

    name.sin_family = AF_INET6;
    FAILS(ustcp_bind(fd, generic(&name), sizeof name), EAFNOSUPPORT);
    FAILS(ustcp_connect(fd, generic(&name), sizeof name), EAFNOSUPPORT);
    name.sin_family = AF_UNSPEC;
    FAILS(ustcp_bind(fd, generic(&name), sizeof name), EAFNOSUPPORT);
    GIVES(ustcp_connect(fd, generic(&name), sizeof name), 0); /* there is nothing to undo */
    GIVES(ustcp_connect(fd, generic(&name), 2), 0);
    FAILS(ustcp_connect(fd, generic(&name), 1), EINVAL);

    name = any_port;
    name.sin_addr.s_addr = htonl(0x08080808);
    FAILS(ustcp_bind(fd, generic(&name), sizeof name), EADDRNOTAVAIL);
    name = any_port;
    memcpy(askew, &name, sizeof name);
    GIVES(ustcp_bind(fd, askew, sizeof name), 0);
    FAILS(ustcp_bind(fd, generic(&name), sizeof name), EINVAL); /* bound already */
    NEEDS(ustcp_close(fd) == 0);

    fd = ustcp_socket(AF_INET, SOCK_STREAM, 0);
    name = (struct sockaddr_in){ .sin_family = AF_UNSPEC };
    GIVES(ustcp_bind(fd, generic(&name), sizeof name), 0);
    NEEDS(ustcp_close(fd) == 0);
}

static void test_ipv6_addresses(void)
{
    struct sockaddr_in6 name = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
    struct sockaddr_in6 shifted[2];
    struct sockaddr *askew = (struct sockaddr *)((char *)shifted + 1);
    socklen_t length = sizeof name;
    int fd = ustcp_socket(AF_INET6, SOCK_STREAM, 0);

    NEEDS(fd >= 0);
    FAILS(ustcp_bind(fd, NULL, sizeof name), EFAULT);
    FAILS(ustcp_bind(fd, (struct sockaddr *)unmapped, sizeof name), EFAULT);
    FAILS(ustcp_bind(fd, (struct sockaddr *)edge, sizeof name), EFAULT);
    FAILS(ustcp_connect(fd, NULL, sizeof name), EFAULT);
    FAILS(ustcp_bind(fd, (struct sockaddr *)&name, 0), EINVAL);
    FAILS(ustcp_bind(fd, (struct sockaddr *)&name, 23), EINVAL);
    FAILS(ustcp_bind(fd, (struct sockaddr *)&name, 129), EINVAL);
    FAILS(ustcp_connect(fd, (struct sockaddr *)&name, 23), EINVAL);
    FAILS(ustcp_connect(fd, (struct sockaddr *)&name, 1), EINVAL);
    FAILS(ustcp_bind(fd, generic(&any_port), sizeof any_port), EINVAL); /* too short before it is of a wrong family */
    FAILS(ustcp_connect(fd, generic(&any_port), sizeof any_port), EINVAL);
    name.sin6_family = AF_INET;
    FAILS(ustcp_bind(fd, (struct sockaddr *)&name, sizeof name), EAFNOSUPPORT);
    FAILS(ustcp_connect(fd, (struct sockaddr *)&name, sizeof name), EAFNOSUPPORT);
    name.sin6_family = AF_UNSPEC;
    FAILS(ustcp_bind(fd, (struct sockaddr *)&name, sizeof name), EAFNOSUPPORT);
    name.sin6_family = AF_INET6;
    NEEDS(inet_pton(AF_INET6, "2001:db8::77", &name.sin6_addr) == 1);
    FAILS(ustcp_bind(fd, (struct sockaddr *)&name, sizeof name), EADDRNOTAVAIL);
    NEEDS(inet_pton(AF_INET6, "::ffff:8.8.8.8", &name.sin6_addr) == 1);
    FAILS(ustcp_bind(fd, (struct sockaddr *)&name, sizeof name), EADDRNOTAVAIL);
    GIVES(ustcp_getsockname(fd, (struct sockaddr *)&name, &length), 0);
    HOLDS(length == sizeof name && name.sin6_family == AF_INET6 && name.sin6_port == 0);
    HOLDS(IN6_IS_ADDR_UNSPECIFIED(&name.sin6_addr) && name.sin6_flowinfo == 0 && name.sin6_scope_id == 0);
    name.sin6_addr = in6addr_loopback;
    memcpy(askew, &name, sizeof name);
    GIVES(ustcp_bind(fd, askew, sizeof name), 0);
    FAILS(ustcp_bind(fd, (struct sockaddr *)&name, sizeof name), EINVAL); /* bound already */
    NEEDS(ustcp_close(fd) == 0);

    fd = ustcp_socket(AF_INET, SOCK_STREAM, 0);
    FAILS(ustcp_bind(fd, (struct sockaddr *)&name, sizeof name), EAFNOSUPPORT);
    FAILS(ustcp_connect(fd, (struct sockaddr *)&name, sizeof name), EAFNOSUPPORT);
    NEEDS(ustcp_close(fd) == 0);
}

static void test_v6_only(void)
{
    struct sockaddr_in6 name = { .sin6_family = AF_INET6 };
    socklen_t length = sizeof name;
    int value = 7;
    int fd = ustcp_socket(AF_INET6, SOCK_STREAM, 0);

    NEEDS(fd >= 0);
    FAILS(ustcp_setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &value, 3), EINVAL);
    GIVES(ustcp_setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &value, sizeof value), 0);
    length = sizeof value;
    GIVES(ustcp_getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &value, &length), 0);
    HOLDS(value == 1 && length == sizeof value);
    GIVES(ustcp_getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &value, &length), 0);
    HOLDS(value == AF_INET6);
    NEEDS(inet_pton(AF_INET6, "::ffff:127.0.0.1", &name.sin6_addr) == 1);
    FAILS(ustcp_bind(fd, (struct sockaddr *)&name, sizeof name), EINVAL);
    name.sin6_port = htons(9);
    FAILS(ustcp_connect(fd, (struct sockaddr *)&name, sizeof name), ENETUNREACH);
    name = (struct sockaddr_in6){ .sin6_family = AF_INET6 };
    GIVES(ustcp_bind(fd, (struct sockaddr *)&name, sizeof name), 0);
    FAILS(ustcp_setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &value, sizeof value), EINVAL);
    NEEDS(ustcp_close(fd) == 0);

    fd = ustcp_socket(AF_INET, SOCK_STREAM, 0);
    FAILS(ustcp_setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &value, sizeof value), ENOPROTOOPT);
    FAILS(ustcp_getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &value, &length), EOPNOTSUPP);
    NEEDS(ustcp_close(fd) == 0);
}

/* A listener of both families, and a client of each: ::1, and 127.0.0.1 by either name. */
static void test_dual_stack(void)
{
    static const char *const hosts[] = { "::1", "::ffff:127.0.0.1" };
    struct sockaddr_in6 name = { .sin6_family = AF_INET6 };
    struct sockaddr_in6 peer;
    struct sockaddr_in plain = any_port;
    socklen_t length = sizeof name;
    int listener = ustcp_socket(AF_INET6, SOCK_STREAM, 0);
    char byte = 'x';

    NEEDS(listener >= 0);
    GIVES(ustcp_bind(listener, (struct sockaddr *)&name, sizeof name), 0);
    GIVES(ustcp_listen(listener, 8), 0);
    NEEDS(ustcp_getsockname(listener, (struct sockaddr *)&name, &length) == 0);
    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++) {
        struct in6_addr host;
        int fd, client = ustcp_socket(AF_INET6, SOCK_STREAM, 0);

        NEEDS(client >= 0 && inet_pton(AF_INET6, hosts[i], &host) == 1);
        name.sin6_addr = host;
        GIVES(ustcp_connect(client, (struct sockaddr *)&name, sizeof name), 0);
        length = sizeof peer;
        fd = ustcp_accept(listener, (struct sockaddr *)&peer, &length);
        HOLDS(fd >= 0 && length == sizeof peer && peer.sin6_family == AF_INET6);
        HOLDS(memcmp(&peer.sin6_addr, &host, sizeof host) == 0 && peer.sin6_flowinfo == 0 && peer.sin6_scope_id == 0);
        GIVES(ustcp_send(client, &byte, 1, 0), 1);
        GIVES(ustcp_recv(fd, &byte, 1, 0), 1);
        length = sizeof peer;
        GIVES(ustcp_getpeername(client, (struct sockaddr *)&peer, &length), 0);
        HOLDS(length == sizeof peer && memcmp(&peer, &name, sizeof name) == 0);
        ustcp_close(fd);
        ustcp_close(client);
    }
    plain.sin_port = name.sin6_port;
    int client = connect_to(&plain), fd;

    length = sizeof peer;
    fd = ustcp_accept(listener, (struct sockaddr *)&peer, &length);
    HOLDS(fd >= 0 && IN6_IS_ADDR_V4MAPPED(&peer.sin6_addr));
    ustcp_close(fd);
    ustcp_close(client);
    ustcp_close(listener);
}

static void test_unconnected(void)
{
    struct sockaddr_in name = { 0 };
    socklen_t length = sizeof name;
    char byte = 0;
    int fd = ustcp_socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct pollfd entry = { .fd = fd, .events = POLLIN | POLLOUT | POLLRDHUP };

    NEEDS(fd >= 0);
    FAILS(ustcp_recv(fd, &byte, 1, 0), ENOTCONN);
    FAILS(ustcp_send(fd, &byte, 1, MSG_NOSIGNAL), EPIPE);
    HOLDS(sigpipes == 0);
    FAILS(ustcp_send(fd, &byte, 1, 0), EPIPE);
    HOLDS(sigpipes == 1);
    FAILS(ustcp_write(fd, &byte, 1), EPIPE);
    HOLDS(sigpipes == 2);
    FAILS(ustcp_accept(fd, NULL, NULL), EINVAL);
    FAILS(ustcp_shutdown(fd, SHUT_WR), ENOTCONN);
    FAILS(ustcp_shutdown(fd, 3), EINVAL);
    FAILS(ustcp_shutdown(fd, -1), EINVAL);
    FAILS(ustcp_getpeername(fd, (struct sockaddr *)&name, &length), ENOTCONN);
    GIVES(ustcp_getsockname(fd, (struct sockaddr *)&name, &length), 0);
    HOLDS(length == sizeof name && name.sin_family == AF_INET && name.sin_port == 0 && name.sin_addr.s_addr == 0);
    GIVES(ustcp_poll(&entry, 1, 0), 1);
    HOLDS(entry.revents == (POLLOUT | POLLHUP));
    NEEDS(ustcp_close(fd) == 0);
}

/* Options before connect and bind: the socket is as unconnected as before, and keeps them. */
static void test_prepared(int flags)
{
    struct sockaddr_in name = any_port, peer;
    socklen_t length = sizeof name;
    char bytes[4];
    int listener = listen_here(&name), fd = ustcp_socket(AF_INET, SOCK_STREAM | flags, 0), value = 1;
    struct pollfd entry = { .fd = fd, .events = POLLIN | POLLOUT | POLLRDHUP };

    NEEDS(fd >= 0);
    GIVES(ustcp_setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &value, sizeof value), 0);
    value = 7;
    GIVES(ustcp_setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &value, sizeof value), 0);
    value = 128;
    FAILS(ustcp_setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &value, sizeof value), EINVAL);
    FAILS(ustcp_recv(fd, bytes, 1, 0), ENOTCONN);
    FAILS(ustcp_recv(fd, bytes, 1, MSG_PEEK), ENOTCONN);
    FAILS(ustcp_read(fd, bytes, 1), ENOTCONN);
    FAILS(ustcp_send(fd, bytes, 1, MSG_NOSIGNAL), EPIPE);
    FAILS(ustcp_getpeername(fd, (struct sockaddr *)&peer, &length), ENOTCONN);
    GIVES(ustcp_poll(&entry, 1, 0), 1);
    HOLDS(entry.revents == (POLLOUT | POLLHUP));
    length = sizeof value;
    GIVES(ustcp_getsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &value, &length), 0);
    HOLDS(value == 7);

    if (flags == 0)
        GIVES(ustcp_connect(fd, generic(&name), sizeof name), 0);
    else
        FAILS(ustcp_connect(fd, generic(&name), sizeof name), EINPROGRESS);
    NEEDS(ustcp_poll(&(struct pollfd){ .fd = fd, .events = POLLOUT }, 1, -1) == 1);
    GIVES(ustcp_getsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &value, &length), 0);
    HOLDS(value == 7);
    GIVES(ustcp_getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &value, &length), 0);
    HOLDS(value != 0);
    GIVES(ustcp_send(fd, "abc", 3, 0), 3);
    ustcp_close(fd);
    ustcp_close(listener);
}

/* One that has an address and no more. */
static void test_bound(void)
{
    char byte = 0;
    int fd = ustcp_socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

    NEEDS(fd >= 0);
    GIVES(ustcp_bind(fd, generic(&any_port), sizeof any_port), 0);
    FAILS(ustcp_recv(fd, &byte, 1, 0), ENOTCONN);
    FAILS(ustcp_send(fd, &byte, 1, MSG_NOSIGNAL), EPIPE);
    FAILS(ustcp_accept(fd, NULL, NULL), EINVAL);
    GIVES(ustcp_listen(fd, 1), 0);
    FAILS(ustcp_accept(fd, NULL, NULL), EAGAIN);
    ustcp_close(fd);
}

/* connect with AF_UNSPEC undoes connect, and listen. */
static void test_disconnect(void)
{
    struct sockaddr_in unspecified = { .sin_family = AF_UNSPEC }, name, mine = any_port;
    socklen_t length = sizeof name;
    char bytes[4];
    int listener = listen_here(&name), fd = ustcp_socket(AF_INET, SOCK_STREAM, 0), peer, value = -1;

    NEEDS(fd >= 0);
    GIVES(ustcp_bind(fd, generic(&mine), sizeof mine), 0);
    NEEDS(ustcp_getsockname(fd, (struct sockaddr *)&mine, &length) == 0);
    GIVES(ustcp_connect(fd, generic(&name), sizeof name), 0);
    peer = ustcp_accept(listener, NULL, NULL);
    NEEDS(peer >= 0);
    GIVES(ustcp_send(peer, "abc", 3, 0), 3);
    GIVES(ustcp_connect(fd, generic(&unspecified), sizeof unspecified), 0);
    FAILS(ustcp_getpeername(fd, (struct sockaddr *)&name, &length), ENOTCONN);
    length = sizeof value;
    GIVES(ustcp_getsockopt(fd, SOL_SOCKET, SO_ERROR, &value, &length), 0);
    HOLDS(value == ECONNRESET);
    if (ON_ENGINE)
        GIVES(ustcp_recv(fd, bytes, 4, 0), 0);
    else
        FAILS(ustcp_recv(fd, bytes, 4, 0), ENOTCONN);
    FAILS(ustcp_recv(peer, bytes, 4, 0), ECONNRESET);
    ustcp_close(peer);
    length = sizeof name;
    NEEDS(ustcp_getsockname(fd, (struct sockaddr *)&name, &length) == 0);
    HOLDS(name.sin_port == mine.sin_port);

    NEEDS(ustcp_getsockname(listener, (struct sockaddr *)&name, &length) == 0);
    GIVES(ustcp_connect(fd, generic(&name), sizeof name), 0); /* and again */
    peer = ustcp_accept(listener, NULL, NULL);
    GIVES(ustcp_send(fd, "abc", 3, 0), 3);
    GIVES(ustcp_recv(peer, bytes, 4, 0), 3);
    ustcp_close(peer);

    GIVES(ustcp_connect(listener, generic(&unspecified), sizeof unspecified), 0);
    length = sizeof value;
    GIVES(ustcp_getsockopt(listener, SOL_SOCKET, SO_ACCEPTCONN, &value, &length), 0);
    HOLDS(value == 0);
    GIVES(ustcp_listen(listener, 1), 0);
    ustcp_close(listener);
    ustcp_close(fd);
}

static void test_listening(void)
{
    struct sockaddr_in name;
    char byte = 0;
    int value = 0;
    int fd = listen_here(&name);
    int other = ustcp_socket(AF_INET, SOCK_STREAM, 0);

    NEEDS(other >= 0);
    FAILS(ustcp_bind(other, generic(&name), sizeof name), EADDRINUSE);
    FAILS(ustcp_connect(fd, generic(&name), sizeof name), EISCONN);
    FAILS(ustcp_recv(fd, &byte, 1, MSG_DONTWAIT), ENOTCONN);
    FAILS(ustcp_send(fd, &byte, 1, MSG_NOSIGNAL | MSG_DONTWAIT), EPIPE);
    FAILS(ustcp_ioctl(fd, FIONREAD, &value), EINVAL);
    FAILS(ustcp_ioctl(fd, SIOCOUTQ, &value), EINVAL);
    FAILS(ustcp_accept4(fd, NULL, NULL, 0x10), EINVAL);
    GIVES(ustcp_fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    FAILS(ustcp_accept(fd, NULL, NULL), EAGAIN);
    GIVES(ustcp_listen(fd, -1), 0);
    GIVES(ustcp_listen(fd, 0), 0);
    NEEDS(ustcp_close(fd) == 0);
    FAILS(ustcp_connect(other, generic(&name), sizeof name), ECONNREFUSED);
    NEEDS(ustcp_close(other) == 0);
}

/* The peer's address goes to nowhere: refused before a connection is taken from the queue. */
static void test_accept_nowhere(void)
{
    struct sockaddr_in name;
    struct sockaddr_in peer;
    socklen_t length = sizeof peer;
    int listener = listen_here(&name);
    int client = connect_to(&name);
    int fd;

    NEEDS(ustcp_fcntl(listener, F_SETFL, O_NONBLOCK) == 0);
#ifndef KERNEL
    FAILS(ustcp_accept(listener, (struct sockaddr *)&peer, NULL), EFAULT);
    FAILS(ustcp_accept(listener, (struct sockaddr *)&peer, (socklen_t *)unmapped), EFAULT);
    length = (socklen_t)-1;
    FAILS(ustcp_accept(listener, (struct sockaddr *)&peer, &length), EINVAL);
    length = sizeof peer;
#endif
    NEEDS(ustcp_poll(&(struct pollfd){ .fd = listener, .events = POLLIN }, 1, -1) == 1);
    fd = ustcp_accept(listener, (struct sockaddr *)&peer, &length);
    HOLDS(fd >= 0 && length == sizeof peer && peer.sin_addr.s_addr == any_port.sin_addr.s_addr);
    GIVES(ustcp_fcntl(fd, F_GETFL), O_RDWR); /* not inherited */
    ustcp_close(fd);
    ustcp_close(client);
    ustcp_close(listener);
}

static void test_connected(const int pair[2])
{
    struct sockaddr_in name = any_port;
    struct sockaddr_in peer;
    socklen_t length = sizeof peer;

    FAILS(ustcp_connect(pair[0], generic(&name), sizeof name), EISCONN);
    FAILS(ustcp_bind(pair[0], generic(&name), sizeof name), EINVAL);
    FAILS(ustcp_listen(pair[0], 1), EINVAL);
    FAILS(ustcp_accept(pair[0], NULL, NULL), EINVAL);

    FAILS(ustcp_getpeername(pair[0], NULL, &length), EFAULT);
    FAILS(ustcp_getpeername(pair[0], (struct sockaddr *)&peer, NULL), EFAULT);
    FAILS(ustcp_getpeername(pair[0], (struct sockaddr *)read_only, &length), EFAULT);
    FAILS(ustcp_getpeername(pair[0], (struct sockaddr *)&peer, (socklen_t *)low), EFAULT);
    length = (socklen_t)-1;
    FAILS(ustcp_getsockname(pair[0], (struct sockaddr *)&peer, &length), EINVAL);
    length = 3;
    memset(&peer, 0xaa, sizeof peer);
    GIVES(ustcp_getpeername(pair[0], (struct sockaddr *)&peer, &length), 0);
    HOLDS(length == sizeof peer && peer.sin_family == AF_INET && ((unsigned char *)&peer)[3] == 0xaa);
    length = 0;
    GIVES(ustcp_getpeername(pair[0], NULL, &length), 0);
    HOLDS(length == sizeof peer);
}

static void test_send(const int pair[2])
{
    struct iovec vector[1025];
    struct msghdr message = { .msg_iov = vector, .msg_iovlen = 1 };
    struct sockaddr_in name = any_port;
    char bytes[8] = "1234567";

    for (size_t i = 0; i < sizeof vector / sizeof vector[0]; i++)
        vector[i] = (struct iovec){ NULL, 0 };

    FAILS(ustcp_send(pair[0], NULL, 1, 0), EFAULT);
    FAILS(ustcp_send(pair[0], low, 1, 0), EFAULT);
    FAILS(ustcp_send(pair[0], beyond, 1, 0), EFAULT);
    FAILS(ustcp_write(pair[0], NULL, 1), EFAULT);
    GIVES(ustcp_send(pair[0], NULL, 0, 0), 0);
    FAILS(ustcp_send(pair[0], bytes, SIZE_MAX, 0), OURS(EINVAL, EFAULT));
    FAILS(ustcp_write(pair[0], bytes, SIZE_MAX), OURS(EINVAL, EFAULT));
    FAILS(ustcp_sendto(pair[0], bytes, 1, 0, (struct sockaddr *)unmapped, sizeof name), EFAULT);
    FAILS(ustcp_sendto(pair[0], bytes, 1, 0, generic(&name), 129), EINVAL);
    GIVES(ustcp_sendto(pair[0], bytes, 1, 0, generic(&name), sizeof name), 1); /* ignored, as in Linux */
    GIVES(ustcp_sendto(pair[0], bytes, 1, 0, NULL, 9), 1);

    FAILS(ustcp_writev(pair[0], NULL, 1), EFAULT);
    FAILS(ustcp_writev(pair[0], (struct iovec *)unmapped, 1), EFAULT);
    FAILS(ustcp_writev(pair[0], vector, -1), EINVAL);
    FAILS(ustcp_writev(pair[0], vector, 1025), EINVAL);
    GIVES(ustcp_writev(pair[0], vector, 0), 0);
    GIVES(ustcp_writev(pair[0], vector, 1024), 0);
    vector[0] = (struct iovec){ bytes, SIZE_MAX };
    FAILS(ustcp_writev(pair[0], vector, 1), EINVAL);
    vector[0] = (struct iovec){ NULL, 1 };
    FAILS(ustcp_writev(pair[0], vector, 1), EFAULT);
    vector[0] = (struct iovec){ bytes, 1 };

    FAILS(ustcp_sendmsg(pair[0], NULL, 0), EFAULT);
    FAILS(ustcp_sendmsg(pair[0], (struct msghdr *)unmapped, 0), EFAULT);
    message.msg_iovlen = 1025;
    FAILS(ustcp_sendmsg(pair[0], &message, 0), EMSGSIZE);
    message.msg_iovlen = 1;
    message.msg_iov = (struct iovec *)unmapped;
    FAILS(ustcp_sendmsg(pair[0], &message, 0), EFAULT);
    message.msg_iov = vector;
    GIVES(ustcp_sendmsg(pair[0], &message, 0), 1);
}

/* 3 bytes are there. */
static void test_receive(const int pair[2])
{
    struct sockaddr_in name = any_port;
    socklen_t length = sizeof name;
    char bytes[8];
    struct iovec vector = { bytes, 1 };
    struct msghdr message = { .msg_name = &name, .msg_namelen = sizeof name, .msg_iov = &vector, .msg_iovlen = 1,
                              .msg_flags = -1 };
    int value = 0;

    GIVES(ustcp_recv(pair[1], bytes, 3, MSG_PEEK | MSG_WAITALL), 3); /* an engine brings them a moment later */
    GIVES(ustcp_recv(pair[1], bytes, sizeof bytes, MSG_PEEK), 3);
    GIVES(ustcp_ioctl(pair[1], FIONREAD, &value), 0);
    HOLDS(value == 3);
    FAILS(ustcp_recv(pair[1], NULL, 1, 0), EFAULT);
    FAILS(ustcp_recv(pair[1], low, 1, 0), EFAULT);
    FAILS(ustcp_recv(pair[1], beyond, 1, 0), EFAULT);
    FAILS(ustcp_read(pair[1], NULL, 1), EFAULT);
    GIVES(ustcp_recv(pair[1], NULL, 0, 0), 0);
    FAILS(ustcp_readv(pair[1], NULL, 1), EFAULT);
    FAILS(ustcp_readv(pair[1], &vector, -1), EINVAL);
    FAILS(ustcp_readv(pair[1], &vector, 1025), EINVAL);
    FAILS(ustcp_recvmsg(pair[1], NULL, 0), EFAULT);
    FAILS(ustcp_recvmsg(pair[1], (struct msghdr *)unmapped, 0), EFAULT);
    message.msg_iovlen = 1025;
    FAILS(ustcp_recvmsg(pair[1], &message, 0), EMSGSIZE);
    message.msg_iovlen = 1;
    FAILS(ustcp_recv(pair[1], bytes, 1, MSG_OOB), EINVAL);
    FAILS(ustcp_recv(pair[1], bytes, 1, MSG_ERRQUEUE), EAGAIN);
#ifndef KERNEL
    FAILS(ustcp_recv(pair[1], bytes, SIZE_MAX, 0), EINVAL);
    FAILS(ustcp_recvfrom(pair[1], bytes, 1, 0, (struct sockaddr *)&name, NULL), EFAULT);
    FAILS(ustcp_recvfrom(pair[1], bytes, 1, 0, (struct sockaddr *)&name, (socklen_t *)read_only), EFAULT);
    message.msg_namelen = (socklen_t)-1;
    FAILS(ustcp_recvmsg(pair[1], &message, 0), EINVAL);
    message.msg_namelen = sizeof name;
#endif
    /* none of these cost a byte */
    GIVES(ustcp_recvfrom(pair[1], bytes, 1, 0, (struct sockaddr *)&name, &length), 1);
    HOLDS(length == 0 && bytes[0] == '1');
    GIVES(ustcp_recvmsg(pair[1], &message, 0), 1);
    HOLDS(message.msg_namelen == 0 && message.msg_controllen == 0 && (message.msg_flags & ~MSG_CMSG_CLOEXEC) == 0);
    GIVES(ustcp_recv(pair[1], NULL, 100, MSG_TRUNC), 1); /* dropped */
    FAILS(ustcp_recv(pair[1], bytes, 1, MSG_DONTWAIT), EAGAIN);
    GIVES(ustcp_ioctl(pair[1], FIONREAD, &value), 0);
    HOLDS(value == 0);
}

static void test_congestion(int fd)
{
    char name[32] = "?";
    socklen_t length = sizeof name;

    FAILS(ustcp_setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 0), EINVAL);
    FAILS(ustcp_setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, unmapped, 4), EFAULT);
    FAILS(ustcp_setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "ren", 3), ENOENT);
    FAILS(ustcp_setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "", 1), ENOENT);
    FAILS(ustcp_setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "a name of more than 15 bytes", 28), ENOENT);
    GIVES(ustcp_setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno\0and more", 13), 0);
    GIVES(ustcp_getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, &length), 0);
    HOLDS(length == 16 && memcmp(name, "reno\0\0\0\0\0\0\0\0\0\0\0\0", 16) == 0);
    length = 3;
    memset(name, '?', sizeof name);
    GIVES(ustcp_getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, &length), 0);
    HOLDS(length == 3 && memcmp(name, "ren?", 4) == 0);
    GIVES(ustcp_setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "cubic", 5), 0);
}

static void test_options(int fd)
{
    struct timeval time = { 0, 1000000 };
    struct linger linger = { 1, 5 };
    struct tcp_info info;
    char wide[64] = { 1 };
    int value = 1;
    socklen_t length = sizeof value;

    FAILS(ustcp_setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, NULL, sizeof value), EFAULT);
    FAILS(ustcp_setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, unmapped, sizeof value), EFAULT);
    FAILS(ustcp_setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &value, 3), EINVAL);
    FAILS(ustcp_setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &value, (socklen_t)-1), EINVAL);
    FAILS(ustcp_setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &value, 0), EINVAL);
    FAILS(ustcp_setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger - 1), EINVAL);
    FAILS(ustcp_setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time - 1), EINVAL);
    FAILS(ustcp_setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time), EDOM);
    FAILS(ustcp_setsockopt(fd, SOL_SOCKET, 9999, &value, sizeof value), ENOPROTOOPT);
    FAILS(ustcp_setsockopt(fd, IPPROTO_TCP, 9999, &value, sizeof value), ENOPROTOOPT);
    FAILS(ustcp_setsockopt(fd, 9999, 1, &value, sizeof value), ENOPROTOOPT);
    FAILS(ustcp_setsockopt(fd, SOL_SOCKET, SO_TYPE, &value, sizeof value), ENOPROTOOPT);
    FAILS(ustcp_setsockopt(fd, SOL_SOCKET, SO_ERROR, &value, sizeof value), ENOPROTOOPT);
    value = 87;
    FAILS(ustcp_setsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &value, sizeof value), EINVAL);
    value = 0;
    FAILS(ustcp_setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &value, sizeof value), EINVAL);
    value = 32768;
    FAILS(ustcp_setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &value, sizeof value), EINVAL);
    value = 128;
    FAILS(ustcp_setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &value, sizeof value), EINVAL);
    GIVES(ustcp_setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, wide, sizeof wide), 0); /* its beginning counts */

    test_congestion(fd);
    length = sizeof value;
    FAILS(ustcp_getsockopt(fd, SOL_SOCKET, SO_TYPE, NULL, &length), EFAULT);
    FAILS(ustcp_getsockopt(fd, SOL_SOCKET, SO_TYPE, &value, NULL), EFAULT);
    FAILS(ustcp_getsockopt(fd, SOL_SOCKET, SO_TYPE, read_only, &length), EFAULT);
    FAILS(ustcp_getsockopt(fd, SOL_SOCKET, 9999, &value, &length), ENOPROTOOPT);
    FAILS(ustcp_getsockopt(fd, IPPROTO_TCP, 9999, &value, &length), ENOPROTOOPT);
    FAILS(ustcp_getsockopt(fd, 9999, 1, &value, &length), EOPNOTSUPP);
    length = (socklen_t)-1;
    FAILS(ustcp_getsockopt(fd, SOL_SOCKET, SO_TYPE, &value, &length), EINVAL);
    value = -1;
    length = 1;
    GIVES(ustcp_getsockopt(fd, SOL_SOCKET, SO_TYPE, &value, &length), 0);
    HOLDS(length == 1 && value == (int)0xffffff00 + SOCK_STREAM);
    value = -1;
    length = 100;
    GIVES(ustcp_getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &value, &length), 0);
    HOLDS(length == sizeof value && value == 1);
    length = 1;
    GIVES(ustcp_getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length), 0);
    HOLDS(length == 1 && info.tcpi_state == TCP_ESTABLISHED);
}

static void test_control(int fd)
{
    struct stat status;
    int value = 1;

    FAILS(ustcp_fcntl(fd, 9999, 0), EINVAL);
    GIVES(ustcp_fcntl(fd, F_GETFL), O_RDWR);
    GIVES(ustcp_fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    GIVES(ustcp_fcntl(fd, F_GETFL), O_RDWR | O_NONBLOCK);
    GIVES(ustcp_fcntl(fd, F_SETFD, FD_CLOEXEC), 0);
    GIVES(ustcp_fcntl(fd, F_GETFD), FD_CLOEXEC);
    GIVES(fcntl(fd, F_GETFD), FD_CLOEXEC); /* and that is the truth */
#ifndef KERNEL
    if (!ON_ENGINE) {
        FAILS(ustcp_fcntl(fd, F_SETFD, 0), EINVAL);
        FAILS(ustcp_fcntl(fd, F_DUPFD, 0), EINVAL);
    }
#endif
    FAILS(ustcp_ioctl(fd, TCGETS, &value), ENOTTY);
    FAILS(ustcp_ioctl(fd, FIONREAD, NULL), EFAULT);
    FAILS(ustcp_ioctl(fd, FIONREAD, unmapped), EFAULT);
    FAILS(ustcp_ioctl(fd, SIOCOUTQ, read_only), EFAULT);
    FAILS(ustcp_ioctl(fd, FIONBIO, NULL), EFAULT);
    value = 0;
    GIVES(ustcp_ioctl(fd, FIONBIO, &value), 0);
    GIVES(ustcp_fcntl(fd, F_GETFL), O_RDWR);
    GIVES(fstat(fd, &status), 0);
    HOLDS(S_ISSOCK(status.st_mode));
}

static void test_poll(int fd)
{
    int foreign[2];
    struct pollfd entries[4];

    NEEDS(pipe(foreign) == 0);
    FAILS(ustcp_poll(NULL, 1, 0), EFAULT);
    FAILS(ustcp_poll((struct pollfd *)unmapped, 1, 0), EFAULT);
    FAILS(ustcp_poll(entries, (nfds_t)1 << 31, 0), EINVAL);
    GIVES(ustcp_poll(NULL, 0, 0), 0);
    GIVES(ustcp_poll(NULL, 0, 1), 0);
    entries[0] = (struct pollfd){ .fd = fd, .events = POLLIN | POLLOUT };
    entries[1] = (struct pollfd){ .fd = foreign[0], .events = POLLIN };
    entries[2] = (struct pollfd){ .fd = -1, .events = POLLIN, .revents = -1 };
    entries[3] = (struct pollfd){ .fd = foreign[1] + 100, .events = POLLIN };
    GIVES(ustcp_poll(entries, 4, -1), 2);
    HOLDS(entries[0].revents == POLLOUT && entries[1].revents == 0);
    HOLDS(entries[2].revents == 0 && entries[3].revents == POLLNVAL);
    NEEDS(write(foreign[1], "x", 1) == 1);
    GIVES(ustcp_poll(entries, 2, 0), 2);
    HOLDS(entries[1].revents == POLLIN);
    close(foreign[0]);
    close(foreign[1]);
}

/* What the calls above should have left whole. */
static void test_conversation(const int pair[2])
{
    char bytes[8];

    GIVES(ustcp_send(pair[0], "whole", 5, 0), 5);
    GIVES(ustcp_recv(pair[1], bytes, 5, MSG_WAITALL), 5);
    HOLDS(memcmp(bytes, "whole", 5) == 0);
    GIVES(ustcp_shutdown(pair[0], SHUT_WR), 0);
    FAILS(ustcp_send(pair[0], "x", 1, MSG_NOSIGNAL), EPIPE);
    GIVES(ustcp_recv(pair[1], bytes, 1, 0), 0);
    GIVES(ustcp_send(pair[1], "back", 4, 0), 4);
    GIVES(ustcp_recv(pair[0], bytes, 4, MSG_WAITALL), 4);
}

static void test_close(const int pair[2])
{
    char byte;

    GIVES(ustcp_close(pair[0]), 0);
    FAILS(ustcp_close(pair[0]), EBADF);
    FAILS(ustcp_recv(pair[0], &byte, 1, 0), EBADF);
    GIVES(ustcp_close(pair[1]), 0);
    FAILS(ustcp_shutdown(pair[1], SHUT_RDWR), EBADF);
}

#ifndef KERNEL

/* Before there is a stack. */
static void test_config(void)
{
    struct ustcp_config config = USTCP_CONFIG_INIT;
    struct {
        struct ustcp_config config;
        char later[16];
    } longer = { .config = USTCP_CONFIG_INIT, .later = { 1 } };

    FAILS(ustcp_init(low), EFAULT);
    FAILS(ustcp_init((struct ustcp_config *)unmapped), EFAULT);
    memcpy(edge + 1 - sizeof config.size, &config.size, sizeof config.size);
    FAILS(ustcp_init((struct ustcp_config *)(edge + 1 - sizeof config.size)), EFAULT);
    config.size = 0;
    FAILS(ustcp_init(&config), EINVAL);
    config.size = 79;
    FAILS(ustcp_init(&config), EINVAL);
    config.size = SIZE_MAX;
    FAILS(ustcp_init(&config), EINVAL);
    longer.config.size = sizeof longer;
    FAILS(ustcp_init(&longer.config), E2BIG);

    config = (struct ustcp_config)USTCP_CONFIG_INIT;
    config.tun = unmapped;
    FAILS(ustcp_init(&config), EFAULT);
    config.tun = "a name of more than 15 bytes";
    FAILS(ustcp_init(&config), EINVAL);
    config.tun = NULL;
    config.address = "10.77.0.2/33";
    FAILS(ustcp_init(&config), EINVAL);
    config.address = NULL;
    config.mtu = 67;
    FAILS(ustcp_init(&config), EINVAL);
    config.mtu = 0;
    config.exit_wait_ms = -3;
    FAILS(ustcp_init(&config), EINVAL);
    config.exit_wait_ms = 0;
    config.weather = "loss=101%";
    FAILS(ustcp_init(&config), EINVAL);
    config.weather = NULL;
    config.congestion = "vegas";
    FAILS(ustcp_init(&config), EINVAL);
    config.congestion = NULL;
    config.sysctl = "tcp_sack=2";
    FAILS(ustcp_init(&config), EINVAL);
    config.sysctl = "tcp_sacks=1";
    FAILS(ustcp_init(&config), EINVAL);
    config.sysctl = NULL;
    config.tun_fd = INT_MAX;
    FAILS(ustcp_init(&config), EBADF);
    config.tun_fd = open("/dev/null", O_RDWR);
    FAILS(ustcp_init(&config), ENOTTY);
    GIVES(close(config.tun_fd), 0); /* what was not taken is still ours */
    HOLDS(strcmp(ustcp_version(), USTCP_VERSION) == 0);
    GIVES(ustcp_fini(), 0); /* there is none to end */
}

static void test_stack(void)
{
    struct ustcp_config config = USTCP_CONFIG_INIT;

    GIVES(ustcp_init(NULL), 0);
    FAILS(ustcp_init(NULL), EALREADY);
    config.tun_fd = open("/dev/null", O_RDWR);
    FAILS(ustcp_init(&config), EALREADY);
    GIVES(close(config.tun_fd), 0);
}

/* After the end, an open socket still has to be closed, and another stack may follow. */
static void test_end(void)
{
    int pair[2];
    char byte;

    make_pair(pair);
    GIVES(ustcp_fini(), 0);
    FAILS(ustcp_recv(pair[0], &byte, 1, 0), ENETDOWN);
    FAILS(ustcp_send(pair[0], &byte, 1, MSG_NOSIGNAL), ENETDOWN);
    GIVES(ustcp_close(pair[0]), 0);
    GIVES(ustcp_close(pair[1]), 0);
    FAILS(ustcp_close(pair[1]), EBADF);
    GIVES(ustcp_init(NULL), 0);
    make_pair(pair);
    GIVES(ustcp_close(pair[0]), 0);
    GIVES(ustcp_close(pair[1]), 0);
    GIVES(ustcp_fini(), 0);
}

#endif

static void set_nodelay(int fd, int on)
{
    GIVES(ustcp_setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), 0);
}

/* The events of a descriptor once one of `events` is there. */
static int events_of(int fd, short events)
{
    struct pollfd entry = { .fd = fd, .events = events };

    NEEDS(ustcp_poll(&entry, 1, 10000) == 1);
    return entry.revents;
}

static int at_mark(int fd)
{
    int mark = -1;

    NEEDS(ustcp_ioctl(fd, SIOCATMARK, &mark) == 0);
    return mark;
}

/* Urgent data: one byte beside the stream, or in it. */
static void test_urgent(void)
{
    char bytes[8];
    int pair[2], queued;
    struct iovec vector = { bytes, sizeof bytes };
    struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1 };

    make_pair(pair);
    set_nodelay(pair[0], 1);
    GIVES(ustcp_send(pair[0], "abc", 3, MSG_OOB), 3);
    GIVES(events_of(pair[1], POLLPRI), POLLPRI);
    GIVES(events_of(pair[1], POLLPRI | POLLIN), POLLPRI | POLLIN);
    GIVES(ustcp_ioctl(pair[1], FIONREAD, &queued), 0);
    GIVES(queued, ON_ENGINE ? 3 : 2); /* AF_UNIX counts the urgent byte too */
    GIVES(ustcp_recv(pair[1], bytes, sizeof bytes, MSG_OOB | MSG_PEEK), 1);
    GIVES(ustcp_recvmsg(pair[1], &message, MSG_OOB), 1);
    GIVES(bytes[0], 'c');
    GIVES(message.msg_flags, MSG_OOB);
    FAILS(ustcp_recv(pair[1], bytes, sizeof bytes, MSG_OOB), EINVAL);
    GIVES(at_mark(pair[1]), 0);
    GIVES(ustcp_recv(pair[1], bytes, sizeof bytes, 0), 2);
    GIVES(at_mark(pair[1]), 1);
    GIVES(ustcp_send(pair[0], "d", 1, 0), 1);
    GIVES(events_of(pair[1], POLLIN), POLLIN);
    GIVES(ustcp_recv(pair[1], bytes, sizeof bytes, 0), 1);
    GIVES(bytes[0], 'd');
    GIVES(at_mark(pair[1]), 0);

    GIVES(ustcp_setsockopt(pair[1], SOL_SOCKET, SO_OOBINLINE, &(int){ 1 }, sizeof(int)), 0);
    GIVES(ustcp_send(pair[0], "efg", 3, MSG_OOB), 3);
    GIVES(events_of(pair[1], POLLPRI), POLLPRI); /* it may come after what is before it */
    GIVES(events_of(pair[1], POLLPRI | POLLIN), POLLPRI | POLLIN);
    FAILS(ustcp_recv(pair[1], bytes, sizeof bytes, MSG_OOB), EINVAL);
    GIVES(ustcp_recv(pair[1], bytes, sizeof bytes, 0), 2);
    GIVES(at_mark(pair[1]), 1);
    GIVES(ustcp_recv(pair[1], bytes, sizeof bytes, 0), 1);
    GIVES(bytes[0], 'g');
    FAILS(ustcp_ioctl(pair[1], SIOCATMARK, NULL), EFAULT);
    ustcp_close(pair[0]);
    ustcp_close(pair[1]);
}

/* Fast Open: what its options take, and connect and send in one. */
static void test_fast_open(void)
{
    struct sockaddr_in name = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t length = sizeof name;
    int listener = ustcp_socket(AF_INET, SOCK_STREAM, 0), client = ustcp_socket(AF_INET, SOCK_STREAM, 0);
    int value = -1, accepted;
    char bytes[8];

    NEEDS(listener >= 0 && client >= 0);
    FAILS(ustcp_setsockopt(client, IPPROTO_TCP, TCP_FASTOPEN, &(int){ -1 }, sizeof(int)), EINVAL);
    FAILS(ustcp_setsockopt(client, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &(int){ 2 }, sizeof(int)), EINVAL);
    FAILS(ustcp_setsockopt(client, IPPROTO_TCP, TCP_FASTOPEN_NO_COOKIE, &(int){ -1 }, sizeof(int)), EINVAL);
    GIVES(ustcp_setsockopt(client, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &(int){ 1 }, sizeof(int)), 0);
    GIVES(ustcp_getsockopt(client, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &value, &(socklen_t){ sizeof value }), 0);
    GIVES(value, 1);
    GIVES(ustcp_setsockopt(listener, IPPROTO_TCP, TCP_FASTOPEN, &(int){ 5 }, sizeof(int)), 0);
    NEEDS(ustcp_bind(listener, generic(&name), sizeof name) == 0 && ustcp_listen(listener, 5) == 0);
    NEEDS(ustcp_getsockname(listener, (struct sockaddr *)&name, &length) == 0);
    GIVES(ustcp_getsockopt(listener, IPPROTO_TCP, TCP_FASTOPEN, &value, &(socklen_t){ sizeof value }), 0);
    GIVES(value, 5);
    GIVES(ustcp_sendto(client, "hello", 5, MSG_FASTOPEN, generic(&name), sizeof name), 5);
    accepted = ustcp_accept(listener, NULL, NULL);
    NEEDS(accepted >= 0);
    GIVES(ustcp_recv(accepted, bytes, 5, MSG_WAITALL), 5);
    FAILS(ustcp_setsockopt(accepted, IPPROTO_TCP, TCP_FASTOPEN, &(int){ 1 }, sizeof(int)), EINVAL);
    FAILS(ustcp_setsockopt(accepted, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &(int){ 1 }, sizeof(int)), EINVAL);
    FAILS(ustcp_sendto(client, "hello", 5, MSG_FASTOPEN, generic(&name), sizeof name), EISCONN);
    ustcp_close(accepted);
    ustcp_close(client);
    ustcp_close(listener);
}

int main(void)
{
    struct sigaction action = { .sa_handler = count_sigpipe, .sa_flags = SA_RESTART };
    int pair[2];

    setvbuf(stdout, NULL, _IOLBF, 0);
    alarm(60); /* a call that hangs is a failure, not a wait */
    NEEDS(sigaction(SIGPIPE, &action, NULL) == 0);
    make_pages();
#ifndef KERNEL
    if (!ON_ENGINE) { /* tests/c/engine.c has its beginning and its end */
        test_config();
        test_stack();
    }
#endif
    test_socket();
    test_descriptors();
    test_addresses();
    test_ipv6_addresses();
    test_v6_only();
    test_dual_stack();
    test_unconnected();
    test_prepared(0);
    test_prepared(SOCK_NONBLOCK);
    test_bound();
    test_disconnect();
    test_listening();
    test_accept_nowhere();
    make_pair(pair);
    test_connected(pair);
    set_nodelay(pair[0], 1); /* what is written is there at once, and does not wait for acknowledgements (Nagle) */
    test_send(pair);
    set_nodelay(pair[0], 0);
    GIVES(ustcp_recv(pair[1], (char[1]){ 0 }, 0, 0), 0);
    test_receive(pair);
    test_options(pair[0]);
    test_control(pair[0]);
    test_poll(pair[0]);
    test_conversation(pair);
    test_close(pair);
    test_urgent();
    test_fast_open();
#ifndef KERNEL
    if (!ON_ENGINE)
        test_end();
#endif
    return tap_end();
}
