/* The manual port: every call, what it makes of bad input, and that equal seeds give equal packets. No device is needed. */
#include <arpa/inet.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <sys/ioctl.h>

#include <ustcp.h>

#include "tap.h"

#define MS 1000000ull

/* Pointers to nowhere, and a stack that never was. */
static void *const low = (void *)8;
static void *const beyond = (void *)((uintptr_t)1 << 62);
static struct ustcp_stack *const never = (struct ustcp_stack *)(uintptr_t)999999;

/* All packets of both ends, one after the other. */
struct transcript {
    size_t length;
    unsigned char bytes[1 << 20];
};

struct link {
    struct ustcp_stack *client, *server;
    int listener, ours, theirs;
    uint64_t now;
    struct transcript *transcript;
};

static struct sockaddr_in place(const char *host, in_port_t port)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };

    NEEDS(inet_pton(AF_INET, host, &address.sin_addr) == 1);
    return address;
}

static struct ustcp_stack *make_stack(uint64_t seed, const char *address)
{
    struct ustcp_stack *stack = NULL;

    NEEDS(ustcp_stack_new(&stack, &seed) == 0 && stack != NULL);
    NEEDS(ustcp_stack_set(stack, "address", address) == 0);
    return stack;
}

static bool carry(struct link *link, struct ustcp_stack *from, struct ustcp_stack *to)
{
    unsigned char packet[1500];
    struct ustcp_packet about = USTCP_PACKET_INIT;
    ssize_t length;
    bool any = false;

    while ((length = ustcp_stack_output(from, packet, sizeof packet, &about)) > 0) {
        NEEDS((size_t)length == about.length && about.segment_size == 0 && about.checksum_start == 0);
        if (link->transcript != NULL) {
            NEEDS(link->transcript->length + (size_t)length + 8 <= sizeof link->transcript->bytes);
            memcpy(link->transcript->bytes + link->transcript->length, &about.time, 8);
            memcpy(link->transcript->bytes + link->transcript->length + 8, packet, (size_t)length);
            link->transcript->length += (size_t)length + 8;
        }
        if (link->now < about.time + MS)
            link->now = about.time + MS;
        NEEDS(ustcp_stack_input(to, packet, (size_t)length, 0, link->now) == 0);
        any = true;
    }
    NEEDS(length == 0);
    return any;
}

static void settle(struct link *link)
{
    bool any = true;

    while (any) {
        any = carry(link, link->client, link->server);
        any |= carry(link, link->server, link->client);
    }
    NEEDS(ustcp_stack_advance(link->client, link->now) == 0);
    NEEDS(ustcp_stack_advance(link->server, link->now) == 0);
}

/* Until delayed acknowledgements have gone too. */
static void settle_for(struct link *link, uint64_t time)
{
    settle(link);
    link->now += time;
    settle(link);
    settle(link);
}

static void connect_both(struct link *link, uint64_t seed)
{
    struct sockaddr_in address = place("10.0.0.2", 80), peer;
    socklen_t length = sizeof peer;
    const struct sockaddr *generic = (struct sockaddr *)&address;

    link->client = make_stack(seed, "10.0.0.1/24");
    link->server = make_stack(seed + 1, "10.0.0.2/24");
    link->listener = ustcp_stack_socket(link->server, AF_INET, SOCK_STREAM, 0);
    link->ours = ustcp_stack_socket(link->client, AF_INET, SOCK_STREAM | SOCK_NONBLOCK, IPPROTO_TCP);
    NEEDS(link->listener >= 0 && link->ours >= 0);
    NEEDS(ustcp_stack_bind(link->server, link->listener, generic, sizeof address) == 0);
    NEEDS(ustcp_stack_listen(link->server, link->listener, 1) == 0);
    NEEDS(ustcp_stack_connect(link->client, link->ours, generic, sizeof address) == -EINPROGRESS);
    NEEDS(ustcp_stack_connect(link->client, link->ours, generic, sizeof address) == -EALREADY);
    settle(link);
    NEEDS(ustcp_stack_connect(link->client, link->ours, generic, sizeof address) == 0);
    NEEDS(ustcp_stack_connect(link->client, link->ours, generic, sizeof address) == -EISCONN);
    link->theirs = ustcp_stack_accept(link->server, link->listener, (struct sockaddr *)&peer, &length);
    NEEDS(link->theirs >= 0 && length == sizeof peer);
    NEEDS(peer.sin_addr.s_addr == inet_addr("10.0.0.1"));
}

static void test_life_of_a_stack(void)
{
    struct ustcp_stack *stack = NULL, *other = NULL;
    uint64_t seed = 1;

    GIVES(ustcp_stack_new(NULL, &seed), -EFAULT);
    GIVES(ustcp_stack_new(beyond, &seed), -EFAULT);
    GIVES(ustcp_stack_new(&stack, low), -EFAULT);
    GIVES(ustcp_stack_new(&stack, NULL), 0);
    GIVES(ustcp_stack_free(stack), 0);
    GIVES(ustcp_stack_free(stack), -EBADF);
    GIVES(ustcp_stack_free(NULL), -EFAULT);
    GIVES(ustcp_stack_free(never), -EBADF);
    NEEDS(ustcp_stack_new(&other, &seed) == 0);
    HOLDS(other != stack);
    GIVES(ustcp_stack_advance(stack, 0), -EBADF);
    GIVES(ustcp_stack_free(other), 0);
}

/* Every function, with a stack that is none. */
static void test_no_stack(struct ustcp_stack *stack, int expected)
{
    struct sockaddr_in address = place("10.0.0.1", 1);
    socklen_t length = sizeof address;
    struct ustcp_packet packet = USTCP_PACKET_INIT;
    struct ustcp_event event = { .size = sizeof event };
    struct msghdr message = { 0 };
    struct pollfd entry = { .fd = 0 };
    uint64_t when;
    char byte = 0;
    int value = 0;

    GIVES(ustcp_stack_input(stack, &byte, 1, 0, 0), expected);
    GIVES(ustcp_stack_output(stack, &byte, 1, &packet), expected);
    GIVES(ustcp_stack_deadline(stack, &when), expected);
    GIVES(ustcp_stack_advance(stack, 0), expected);
    GIVES(ustcp_stack_set(stack, "mtu", "1500"), expected);
    GIVES(ustcp_stack_get(stack, "mtu", &byte, 1), expected);
    GIVES(ustcp_stack_event(stack, &event), expected);
    GIVES(ustcp_stack_ready(stack), expected);
    GIVES(ustcp_stack_socket(stack, AF_INET, SOCK_STREAM, 0), expected);
    GIVES(ustcp_stack_bind(stack, 0, (struct sockaddr *)&address, length), expected);
    GIVES(ustcp_stack_listen(stack, 0, 1), expected);
    GIVES(ustcp_stack_accept(stack, 0, NULL, NULL), expected);
    GIVES(ustcp_stack_connect(stack, 0, (struct sockaddr *)&address, length), expected);
    GIVES(ustcp_stack_sendto(stack, 0, &byte, 1, 0, NULL, 0), expected);
    GIVES(ustcp_stack_sendmsg(stack, 0, &message, 0), expected);
    GIVES(ustcp_stack_recvfrom(stack, 0, &byte, 1, 0, NULL, NULL), expected);
    GIVES(ustcp_stack_recvmsg(stack, 0, &message, 0), expected);
    GIVES(ustcp_stack_shutdown(stack, 0, SHUT_WR), expected);
    GIVES(ustcp_stack_close(stack, 0), expected);
    GIVES(ustcp_stack_getsockopt(stack, 0, SOL_SOCKET, SO_ERROR, &value, &length), expected);
    GIVES(ustcp_stack_setsockopt(stack, 0, SOL_SOCKET, SO_KEEPALIVE, &value, sizeof value), expected);
    GIVES(ustcp_stack_getsockname(stack, 0, (struct sockaddr *)&address, &length), expected);
    GIVES(ustcp_stack_getpeername(stack, 0, (struct sockaddr *)&address, &length), expected);
    GIVES(ustcp_stack_ioctl(stack, 0, FIONREAD, &value), expected);
    GIVES(ustcp_stack_poll(stack, &entry, 1), expected);
}

/* Every function of sockets, with a number that is no socket's. */
static void test_no_socket(struct ustcp_stack *stack, int fd)
{
    struct sockaddr_in address = place("10.0.0.1", 1);
    socklen_t length = sizeof address;
    struct msghdr message = { 0 };
    struct pollfd entry = { .fd = fd, .events = POLLIN };
    char byte = 0;
    int value = 0;

    GIVES(ustcp_stack_bind(stack, fd, (struct sockaddr *)&address, length), -EBADF);
    GIVES(ustcp_stack_listen(stack, fd, 1), -EBADF);
    GIVES(ustcp_stack_accept(stack, fd, NULL, NULL), -EBADF);
    GIVES(ustcp_stack_connect(stack, fd, (struct sockaddr *)&address, length), -EBADF);
    GIVES(ustcp_stack_sendto(stack, fd, &byte, 1, 0, NULL, 0), -EBADF);
    GIVES(ustcp_stack_sendmsg(stack, fd, &message, 0), -EBADF);
    GIVES(ustcp_stack_recvfrom(stack, fd, &byte, 1, 0, NULL, NULL), -EBADF);
    GIVES(ustcp_stack_recvmsg(stack, fd, &message, 0), -EBADF);
    GIVES(ustcp_stack_shutdown(stack, fd, SHUT_WR), -EBADF);
    GIVES(ustcp_stack_close(stack, fd), -EBADF);
    GIVES(ustcp_stack_getsockopt(stack, fd, SOL_SOCKET, SO_ERROR, &value, &length), -EBADF);
    GIVES(ustcp_stack_setsockopt(stack, fd, SOL_SOCKET, SO_KEEPALIVE, &value, sizeof value), -EBADF);
    GIVES(ustcp_stack_getsockname(stack, fd, (struct sockaddr *)&address, &length), -EBADF);
    GIVES(ustcp_stack_getpeername(stack, fd, (struct sockaddr *)&address, &length), -EBADF);
    GIVES(ustcp_stack_ioctl(stack, fd, FIONREAD, &value), -EBADF);
    GIVES(ustcp_stack_ioctl(stack, fd, FIONBIO, &value), -EBADF);
    GIVES(ustcp_stack_poll(stack, &entry, 1), fd < 0 ? 0 : 1);
    HOLDS(entry.revents == (fd < 0 ? 0 : POLLNVAL));
}

static void test_packets_and_time(void)
{
    struct ustcp_stack *stack = make_stack(1, "10.0.0.1/24");
    struct sockaddr_in address = place("10.0.0.2", 80);
    struct ustcp_packet about = USTCP_PACKET_INIT;
    unsigned char packet[1500] = { 0 };
    uint64_t when = 7;
    int fd;

    GIVES(ustcp_stack_input(stack, NULL, 20, 0, 0), -EFAULT);
    GIVES(ustcp_stack_input(stack, low, 20, 0, 0), -EFAULT);
    GIVES(ustcp_stack_input(stack, beyond, 20, 0, 0), -EFAULT);
    GIVES(ustcp_stack_input(stack, packet, SIZE_MAX, 0, 0), -EINVAL);
    GIVES(ustcp_stack_input(stack, packet, 20, 2, 0), -EINVAL);
    GIVES(ustcp_stack_input(stack, packet, 20, -1, 0), -EINVAL);
    GIVES(ustcp_stack_input(stack, NULL, 0, 0, 0), 0);
    for (int first = 0; first < 256; first++) {
        packet[0] = (unsigned char)first;
        NEEDS(ustcp_stack_input(stack, packet, sizeof packet, first & 1, 0) == 0);
    }
    GIVES(ustcp_stack_output(stack, packet, sizeof packet, NULL), 0);

    GIVES(ustcp_stack_deadline(stack, &when), 0);
    HOLDS(when == 7);
    GIVES(ustcp_stack_advance(stack, 5 * MS), 0);
    GIVES(ustcp_stack_advance(stack, 5 * MS - 1), -EINVAL);
    GIVES(ustcp_stack_input(stack, packet, 20, 0, 5 * MS - 1), -EINVAL);

    fd = ustcp_stack_socket(stack, AF_INET, SOCK_STREAM, 0);
    GIVES(ustcp_stack_connect(stack, fd, (struct sockaddr *)&address, sizeof address), -EINPROGRESS);
    GIVES(ustcp_stack_deadline(stack, low), -EFAULT);
    GIVES(ustcp_stack_deadline(stack, &when), 1);
    HOLDS(when == 1005 * MS);

    about.size = 15;
    GIVES(ustcp_stack_output(stack, packet, sizeof packet, &about), -EINVAL);
    GIVES(ustcp_stack_output(stack, packet, sizeof packet, low), -EFAULT);
    GIVES(ustcp_stack_output(stack, packet, SIZE_MAX, NULL), -EINVAL);
    GIVES(ustcp_stack_output(stack, beyond, sizeof packet, NULL), -EFAULT);
    about = (struct ustcp_packet)USTCP_PACKET_INIT;
    GIVES(ustcp_stack_output(stack, NULL, 0, &about), -EMSGSIZE);
    size_t length = about.length;
    HOLDS(length >= 44);
    GIVES(ustcp_stack_output(stack, packet, length - 1, NULL), -EMSGSIZE);
    about = (struct ustcp_packet){ .size = 16, .time = 99 };
    GIVES(ustcp_stack_output(stack, packet, length, &about), (long)length);
    HOLDS(about.length == length && about.time == 99); /* of a caller that knows no more */
    GIVES(ustcp_stack_output(stack, packet, sizeof packet, NULL), 0);
    NEEDS(ustcp_stack_advance(stack, when) == 0);
    about = (struct ustcp_packet)USTCP_PACKET_INIT;
    GIVES(ustcp_stack_output(stack, packet, sizeof packet, &about), (long)length);
    HOLDS(about.time == when);
    NEEDS(ustcp_stack_free(stack) == 0);
}

static void test_knobs(void)
{
    struct ustcp_stack *stack = make_stack(1, "10.0.0.1/24, fd00::1/64");
    char text[64], name[66];

    memset(text, 'x', sizeof text);
    GIVES(ustcp_stack_get(stack, "address", text, sizeof text), 22);
    HOLDS(strcmp(text, "10.0.0.1/24,fd00::1/64") == 0);
    GIVES(ustcp_stack_get(stack, "address", text, 5), 22);
    HOLDS(strcmp(text, "10.0") == 0);
    GIVES(ustcp_stack_get(stack, "address", NULL, 0), 22);
    GIVES(ustcp_stack_get(stack, "address", low, 5), -EFAULT);
    GIVES(ustcp_stack_get(stack, "address", text, SIZE_MAX), -EINVAL);
    GIVES(ustcp_stack_get(stack, "no_such_knob", text, sizeof text), -ENOENT);
    GIVES(ustcp_stack_get(stack, NULL, text, sizeof text), -EFAULT);
    GIVES(ustcp_stack_set(stack, "tcp_syn_retries", "3"), 0);
    GIVES(ustcp_stack_get(stack, "tcp_syn_retries", text, sizeof text), 1);
    HOLDS(strcmp(text, "3") == 0);
    GIVES(ustcp_stack_set(stack, "tcp_syn_retries", "three"), -EINVAL);
    GIVES(ustcp_stack_set(stack, "tcp_syn_retries", "\xff"), -EINVAL);
    GIVES(ustcp_stack_set(stack, "no_such_knob", "1"), -ENOENT);
    GIVES(ustcp_stack_set(stack, "mtu", NULL), -EFAULT);
    GIVES(ustcp_stack_set(stack, NULL, "1"), -EFAULT);
    GIVES(ustcp_stack_set(stack, beyond, "1"), -EFAULT);
    memset(name, 'n', sizeof name);
    name[65] = 0;
    GIVES(ustcp_stack_set(stack, name, "1"), -EINVAL);
    name[64] = 0;
    GIVES(ustcp_stack_set(stack, name, "1"), -ENOENT);
    NEEDS(ustcp_stack_free(stack) == 0);
}

static void test_bad_arguments(struct link *link)
{
    struct ustcp_stack *stack = link->client;
    struct sockaddr_in address = place("10.0.0.9", 80);
    struct sockaddr *generic = (struct sockaddr *)&address;
    socklen_t length = sizeof address, negative = (socklen_t)-1;
    int fd = ustcp_stack_socket(stack, AF_INET, SOCK_STREAM, 0), value = 1;
    struct msghdr message = { .msg_iovlen = 1025 };

    GIVES(ustcp_stack_socket(stack, AF_UNIX, SOCK_STREAM, 0), -EAFNOSUPPORT);
    GIVES(ustcp_stack_socket(stack, AF_INET, SOCK_DGRAM, 0), -ESOCKTNOSUPPORT);
    GIVES(ustcp_stack_socket(stack, AF_INET, SOCK_STREAM, IPPROTO_UDP), -EPROTONOSUPPORT);
    GIVES(ustcp_stack_bind(stack, fd, generic, length), -EADDRNOTAVAIL);
    GIVES(ustcp_stack_bind(stack, fd, generic, 3), -EINVAL);
    GIVES(ustcp_stack_bind(stack, fd, low, length), -EFAULT);
    GIVES(ustcp_stack_connect(stack, fd, low, length), -EFAULT);
    GIVES(ustcp_stack_connect(stack, fd, generic, 200), -EINVAL);
    GIVES(ustcp_stack_accept(stack, fd, NULL, NULL), -EINVAL);
    GIVES(ustcp_stack_accept(stack, fd, generic, low), -EFAULT);
    GIVES(ustcp_stack_shutdown(stack, fd, 3), -EINVAL);
    GIVES(ustcp_stack_shutdown(stack, fd, SHUT_WR), -ENOTCONN);
    GIVES(ustcp_stack_getpeername(stack, fd, generic, &length), -ENOTCONN);
    GIVES(ustcp_stack_getsockname(stack, fd, generic, &negative), -EINVAL);
    GIVES(ustcp_stack_getsockname(stack, fd, low, &length), -EFAULT);
    GIVES(ustcp_stack_sendto(stack, fd, "x", 1, 0, NULL, 0), -EPIPE);
    GIVES(ustcp_stack_sendto(stack, link->ours, low, 1, 0, NULL, 0), -EFAULT);
    GIVES(ustcp_stack_sendto(stack, link->ours, "x", SIZE_MAX, 0, NULL, 0), -EINVAL);
    GIVES(ustcp_stack_sendmsg(stack, link->ours, &message, 0), -EMSGSIZE);
    GIVES(ustcp_stack_sendmsg(stack, link->ours, low, 0), -EFAULT);
    GIVES(ustcp_stack_recvfrom(stack, fd, &value, 4, 0, NULL, NULL), -ENOTCONN);
    GIVES(ustcp_stack_recvfrom(stack, link->ours, &value, 4, 0, NULL, NULL), -EAGAIN);
    GIVES(ustcp_stack_recvfrom(stack, link->ours, beyond, 4, 0, NULL, NULL), -EFAULT);
    GIVES(ustcp_stack_recvmsg(stack, link->ours, low, 0), -EFAULT);
    GIVES(ustcp_stack_setsockopt(stack, fd, SOL_SOCKET, 9999, &value, sizeof value), -ENOPROTOOPT);
    GIVES(ustcp_stack_setsockopt(stack, fd, SOL_SOCKET, SO_KEEPALIVE, low, sizeof value), -EFAULT);
    GIVES(ustcp_stack_setsockopt(stack, fd, SOL_SOCKET, SO_KEEPALIVE, &value, 3), -EINVAL);
    GIVES(ustcp_stack_getsockopt(stack, fd, SOL_SOCKET, SO_KEEPALIVE, &value, low), -EFAULT);
    GIVES(ustcp_stack_ioctl(stack, fd, FIONREAD, low), -EFAULT);
    GIVES(ustcp_stack_ioctl(stack, fd, 0x1234, &value), -ENOTTY);
    GIVES(ustcp_stack_ioctl(stack, fd, FIONBIO, &value), 0);
    GIVES(ustcp_stack_poll(stack, low, 1), -EFAULT);
    GIVES(ustcp_stack_poll(stack, NULL, (nfds_t)-1), -EINVAL);
    GIVES(ustcp_stack_close(stack, fd), 0);
    test_no_socket(stack, fd);
    test_no_socket(stack, -1);
    test_no_socket(stack, INT32_MAX);
}

static void test_conversation(struct link *link)
{
    struct sockaddr_in name;
    socklen_t length = sizeof name;
    struct linger linger = { 1, 5 }, told = { 0, 0 };
    struct tcp_info info;
    char one[2], two[3], text[16];
    struct iovec out[] = { { "mess", 4 }, { "age", 3 } }, in[] = { { one, 2 }, { two, 3 } };
    struct msghdr message = { .msg_iov = out, .msg_iovlen = 2 };
    struct pollfd entries[] = { { .fd = link->theirs, .events = POLLIN }, { .fd = -1, .events = POLLIN } };
    int value = 1;

    NEEDS(ustcp_stack_setsockopt(link->client, link->ours, IPPROTO_TCP, TCP_NODELAY, &value, sizeof value) == 0);
    GIVES(ustcp_stack_getsockname(link->server, link->theirs, (struct sockaddr *)&name, &length), 0);
    HOLDS(name.sin_addr.s_addr == inet_addr("10.0.0.2") && name.sin_port == htons(80));
    GIVES(ustcp_stack_poll(link->server, entries, 2), 0);
    while (ustcp_stack_ready(link->server) >= 0)
        ;
    GIVES(ustcp_stack_ready(link->server), -EAGAIN);

    GIVES(ustcp_stack_sendto(link->client, link->ours, "hello ", 6, 0, (struct sockaddr *)&name, sizeof name), 6);
    GIVES(ustcp_stack_sendmsg(link->client, link->ours, &message, MSG_NOSIGNAL), 7);
    GIVES(ustcp_stack_ioctl(link->client, link->ours, SIOCOUTQ, &value), 0);
    HOLDS(value == 13);
    settle_for(link, 100 * MS);
    GIVES(ustcp_stack_ioctl(link->client, link->ours, SIOCOUTQ, &value), 0);
    HOLDS(value == 0);
    GIVES(ustcp_stack_ioctl(link->server, link->theirs, SIOCINQ, &value), 0);
    HOLDS(value == 13);
    GIVES(ustcp_stack_ready(link->server), link->theirs);
    GIVES(ustcp_stack_poll(link->server, entries, 2), 1);
    HOLDS(entries[0].revents == POLLIN && entries[1].revents == 0);

    length = sizeof name;
    GIVES(ustcp_stack_recvfrom(link->server, link->theirs, text, 5, MSG_PEEK, (struct sockaddr *)&name, &length), 5);
    HOLDS(memcmp(text, "hello", 5) == 0 && length == 0);
    GIVES(ustcp_stack_recvfrom(link->server, link->theirs, NULL, 6, MSG_TRUNC, NULL, NULL), 6);
    message = (struct msghdr){ .msg_iov = in, .msg_iovlen = 2, .msg_controllen = 9, .msg_flags = 9 };
    GIVES(ustcp_stack_recvmsg(link->server, link->theirs, &message, 0), 5);
    HOLDS(memcmp(one, "me", 2) == 0 && memcmp(two, "ssa", 3) == 0);
    HOLDS(message.msg_controllen == 0 && message.msg_flags == 0);
    GIVES(ustcp_stack_recvfrom(link->server, link->theirs, text, sizeof text, 0, NULL, NULL), 2);

    GIVES(ustcp_stack_setsockopt(link->client, link->ours, SOL_SOCKET, SO_LINGER, &linger, sizeof linger), 0);
    length = sizeof told;
    GIVES(ustcp_stack_getsockopt(link->client, link->ours, SOL_SOCKET, SO_LINGER, &told, &length), 0);
    HOLDS(told.l_onoff == 1 && told.l_linger == 5 && length == sizeof told);
    length = sizeof info;
    GIVES(ustcp_stack_getsockopt(link->client, link->ours, IPPROTO_TCP, TCP_INFO, &info, &length), 0);
    HOLDS(info.tcpi_state == TCP_ESTABLISHED && info.tcpi_rtt >= 2000);

    GIVES(ustcp_stack_shutdown(link->client, link->ours, SHUT_WR), 0);
    settle(link);
    entries[0].events |= POLLRDHUP;
    GIVES(ustcp_stack_poll(link->server, entries, 1), 1);
    HOLDS(entries[0].revents == (POLLIN | POLLRDHUP));
    GIVES(ustcp_stack_recvfrom(link->server, link->theirs, text, 1, 0, NULL, NULL), 0);
    GIVES(ustcp_stack_sendto(link->client, link->ours, "x", 1, 0, NULL, 0), -EPIPE); /* and no SIGPIPE */
    GIVES(ustcp_stack_close(link->server, link->theirs), 0);
    settle(link);
    GIVES(ustcp_stack_close(link->client, link->ours), 0); /* lingers for nobody */
}

static void test_events(void)
{
    struct ustcp_stack *stack = make_stack(1, "10.0.0.1/24");
    struct sockaddr_in address = place("10.0.0.2", 80);
    struct ustcp_event event = { .size = sizeof event };
    int fd = ustcp_stack_socket(stack, AF_INET, SOCK_STREAM, 0);
    struct {
        size_t size;
        uint64_t time;
        int kind, before, after, beyond;
    } shorter = { .size = 28, .beyond = 99 };

    GIVES(ustcp_stack_event(stack, &event), 0);
    NEEDS(ustcp_stack_set(stack, "trace", "1") == 0);
    NEEDS(ustcp_stack_advance(stack, 3 * MS) == 0);
    NEEDS(ustcp_stack_connect(stack, fd, (struct sockaddr *)&address, sizeof address) == -EINPROGRESS);
    GIVES(ustcp_stack_event(stack, low), -EFAULT);
    event.size = 8;
    GIVES(ustcp_stack_event(stack, &event), -EINVAL);
    GIVES(ustcp_stack_event(stack, (struct ustcp_event *)&shorter), 1);
    HOLDS(shorter.kind == USTCP_EVENT_TRANSITION && shorter.time == 3 * MS && shorter.beyond == 99);
    HOLDS(shorter.before == TCP_CLOSE && shorter.after == TCP_SYN_SENT);
    event.size = sizeof event;
    GIVES(ustcp_stack_event(stack, &event), 1);
    HOLDS(event.kind == USTCP_EVENT_SENT && event.flags == 2 && event.length == 0 && event.retransmission == 0);
    HOLDS(event.local.ss_family == AF_INET &&
          memcmp(&((struct sockaddr_in *)&event.remote)->sin_addr, &address.sin_addr, 4) == 0);
    NEEDS(ustcp_stack_advance(stack, 1003 * MS) == 0);
    GIVES(ustcp_stack_event(stack, &event), 1);
    HOLDS(event.kind == USTCP_EVENT_EXPIRED && strcmp(event.why, "Retransmission") == 0);
    GIVES(ustcp_stack_event(stack, &event), 1);
    HOLDS(event.kind == USTCP_EVENT_SENT && event.retransmission == 1);
    HOLDS(strcmp(ustcp_state_name(event.after), "SYN-SENT") == 0 && strcmp(ustcp_state_name(0), "?") == 0);
    GIVES(ustcp_stack_input(stack, "?", 1, 0, 1004 * MS), 0);
    GIVES(ustcp_stack_event(stack, &event), 1);
    HOLDS(event.kind == USTCP_EVENT_DROPPED && event.local.ss_family == AF_UNSPEC);
    NEEDS(ustcp_stack_free(stack) == 0);
}

static struct transcript *transcribe(uint64_t seed)
{
    struct link link = { .transcript = calloc(1, sizeof *link.transcript) };
    static char text[300000];
    size_t sent = 0, received = 0;

    NEEDS(link.transcript != NULL);
    connect_both(&link, seed);
    while (received < sizeof text) {
        ssize_t count = ustcp_stack_sendto(link.client, link.ours, text + sent, sizeof text - sent, 0, NULL, 0);

        sent += count > 0 ? (size_t)count : 0;
        settle(&link);
        while ((count = ustcp_stack_recvfrom(link.server, link.theirs, NULL, sizeof text, MSG_TRUNC, NULL, NULL)) > 0)
            received += (size_t)count;
    }
    NEEDS(ustcp_stack_close(link.client, link.ours) == 0);
    settle(&link);
    NEEDS(ustcp_stack_close(link.server, link.theirs) == 0);
    settle(&link);
    NEEDS(ustcp_stack_free(link.client) == 0 && ustcp_stack_free(link.server) == 0);
    return link.transcript;
}

static void test_equal_seeds_give_equal_packets(void)
{
    struct transcript *one = transcribe(7), *same = transcribe(7), *other = transcribe(8);

    HOLDS(one->length > 300000);
    HOLDS(one->length == same->length && memcmp(one->bytes, same->bytes, one->length) == 0);
    HOLDS(memcmp(one->bytes, other->bytes, one->length) != 0);
    free(one);
    free(same);
    free(other);
}

/* A listener for every place, in both families. */
static void test_every_destination(void)
{
    struct link link = { .client = make_stack(1, "10.0.0.1/24"), .server = make_stack(2, "10.0.0.2/24") };
    struct sockaddr_in6 anywhere = { .sin6_family = AF_INET6, .sin6_addr = in6addr_any }, name;
    static const char *const hosts[] = { "203.0.113.9", "8.8.8.8" };
    int listener = ustcp_stack_socket(link.server, AF_INET6, SOCK_STREAM, 0), on = 1;

    NEEDS(ustcp_stack_set(link.server, "any_address", "1") == 0);
    GIVES(ustcp_stack_setsockopt(link.server, listener, IPPROTO_IP, IP_TRANSPARENT, &on, sizeof on), 0);
    GIVES(ustcp_stack_bind(link.server, listener, (struct sockaddr *)&anywhere, sizeof anywhere), 0);
    GIVES(ustcp_stack_listen(link.server, listener, 9), 0);
    for (size_t i = 0; i < 2; i++) {
        struct sockaddr_in address = place(hosts[i], (in_port_t)(443 + i));
        int fd = ustcp_stack_socket(link.client, AF_INET, SOCK_STREAM, 0);
        socklen_t length = sizeof name;
        char text[64];

        NEEDS(ustcp_stack_connect(link.client, fd, (struct sockaddr *)&address, sizeof address) == -EINPROGRESS);
        settle(&link);
        fd = ustcp_stack_accept(link.server, listener, NULL, NULL);
        GIVES(ustcp_stack_getsockname(link.server, fd, (struct sockaddr *)&name, &length), 0);
        inet_ntop(AF_INET, &name.sin6_addr.s6_addr[12], text, sizeof text);
        HOLDS(strcmp(text, hosts[i]) == 0 && ntohs(name.sin6_port) == 443 + i);
    }
    NEEDS(ustcp_stack_free(link.client) == 0 && ustcp_stack_free(link.server) == 0);
}

static void test_errno_is_left_alone(void)
{
    struct ustcp_stack *stack = make_stack(1, "10.0.0.1/24");

    errno = 77;
    NEEDS(ustcp_stack_input(stack, beyond, 20, 0, 0) == -EFAULT);
    NEEDS(ustcp_stack_deadline(stack, beyond) == 0);
    NEEDS(ustcp_stack_get(stack, "mtu", beyond, 9) == -EFAULT);
    NEEDS(ustcp_stack_set(stack, "mtu", "9000") == 0);
    NEEDS(ustcp_stack_listen(stack, 9, 1) == -EBADF);
    NEEDS(ustcp_stack_free(stack) == 0);
    HOLDS(errno == 77);
}

int main(void)
{
    struct link link = { 0 };

    test_life_of_a_stack();
    test_no_stack(NULL, -EFAULT);
    test_no_stack(never, -EBADF);
    test_packets_and_time();
    test_knobs();
    connect_both(&link, 1);
    test_bad_arguments(&link);
    test_conversation(&link);
    NEEDS(ustcp_stack_free(link.client) == 0 && ustcp_stack_free(link.server) == 0);
    test_events();
    test_every_destination();
    test_equal_seeds_give_equal_packets();
    test_errno_is_left_alone();
    return tap_end();
}
