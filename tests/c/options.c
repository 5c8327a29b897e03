/* Every socket option: what a new socket tells, what it takes, what it tells then, in which state, and which lengths.
 *
 * The table is the kernel's where it is not said otherwise: with -DKERNEL it runs on Linux's own sockets. */
#include <limits.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "pair.h"

#ifndef TCP_INQ
#define TCP_INQ 36
#endif
#ifndef SIOCOUTQNSD
#define SIOCOUTQNSD 0x894b
#endif

/* Where ours differs from Linux's on purpose; docs/c-api.md says why. */
#define OURS(ours, linux) (IS_KERNEL ? (linux) : (ours))

/* Set to `given`, it tells `told`; or fails with `error`. */
struct step {
    int given, told, error;
};

/* An option that is an int. */
struct option {
    const char *name;
    int level, number;
    int initially;
    struct step steps[8];
};

#define TOLD(given, told) { given, told, 0 }
#define BAD(given, error) { given, 0, error }
#define END { 0, 0, -1 }
#define FLAG TOLD(1, 1), TOLD(0, 0), TOLD(7, 1), TOLD(-1, 1), END
#define READ_ONLY BAD(0, ENOPROTOOPT), BAD(1, ENOPROTOOPT), END
#define OPTION(level, number) #number, level, number

static const struct option options[] = {
    { OPTION(SOL_SOCKET, SO_REUSEADDR), 0, { FLAG } },
    { OPTION(SOL_SOCKET, SO_REUSEPORT), 0, { FLAG } },
    { OPTION(SOL_SOCKET, SO_KEEPALIVE), 0, { FLAG } },
    { OPTION(SOL_SOCKET, SO_TYPE), SOCK_STREAM, { READ_ONLY } },
    { OPTION(SOL_SOCKET, SO_DOMAIN), AF_INET, { READ_ONLY } },
    { OPTION(SOL_SOCKET, SO_PROTOCOL), IPPROTO_TCP, { READ_ONLY } },
    { OPTION(SOL_SOCKET, SO_ERROR), 0, { READ_ONLY } },
    { OPTION(SOL_SOCKET, SO_ACCEPTCONN), 0, { READ_ONLY } },
    { OPTION(SOL_SOCKET, SO_SNDLOWAT), 1, { READ_ONLY } },
    { OPTION(SOL_SOCKET, SO_RCVLOWAT), 1, { TOLD(0, 1), TOLD(1, 1), TOLD(1000, 1000), END } },
    { OPTION(SOL_SOCKET, SO_DONTROUTE), 0, { FLAG } },
    { OPTION(SOL_SOCKET, SO_BROADCAST), 0, { FLAG } },
    { OPTION(SOL_SOCKET, SO_NO_CHECK), 0, { FLAG } },
    { OPTION(SOL_SOCKET, SO_TIMESTAMP), 0, { FLAG } },
    { OPTION(SOL_SOCKET, SO_RXQ_OVFL), 0, { FLAG } },
    { OPTION(SOL_SOCKET, SO_SELECT_ERR_QUEUE), 0, { FLAG } },
    { OPTION(SOL_SOCKET, SO_BSDCOMPAT), 0, { TOLD(0, 0), TOLD(1, 0), END } },
    { OPTION(SOL_SOCKET, SO_PRIORITY), 0, { TOLD(0, 0), TOLD(6, 6), END } },
    { OPTION(SOL_SOCKET, SO_BUSY_POLL), 0, { BAD(-1, EINVAL), TOLD(50, 50), TOLD(0, 0), END } },
    { OPTION(SOL_SOCKET, SO_INCOMING_NAPI_ID), 0, { READ_ONLY } },
    { OPTION(IPPROTO_TCP, TCP_NODELAY), 0, { FLAG } },
    { OPTION(IPPROTO_TCP, TCP_CORK), 0, { FLAG } },
    { OPTION(IPPROTO_TCP, TCP_MAXSEG), 536,
      { BAD(-1, EINVAL), BAD(87, EINVAL), TOLD(88, 88), TOLD(32767, 32767), BAD(32768, EINVAL), END } },
    { OPTION(IPPROTO_TCP, TCP_KEEPIDLE), 7200,
      { BAD(-1, EINVAL), BAD(0, EINVAL), TOLD(1, 1), TOLD(32767, 32767), BAD(32768, EINVAL), END } },
    { OPTION(IPPROTO_TCP, TCP_KEEPINTVL), 75,
      { BAD(-1, EINVAL), BAD(0, EINVAL), TOLD(1, 1), TOLD(32767, 32767), BAD(32768, EINVAL), END } },
    { OPTION(IPPROTO_TCP, TCP_KEEPCNT), 9, { BAD(-1, EINVAL), BAD(0, EINVAL), TOLD(127, 127), BAD(128, EINVAL), END } },
    { OPTION(IPPROTO_TCP, TCP_SYNCNT), OURS(7, 6),
      { BAD(-1, EINVAL), BAD(0, EINVAL), TOLD(1, 1), TOLD(127, 127), BAD(128, EINVAL), END } },
    { OPTION(IPPROTO_TCP, TCP_LINGER2), 60,
      { TOLD(-1, -1), TOLD(-100, -1), TOLD(0, 60), TOLD(1, 1), TOLD(120, 120), TOLD(121, 120), END } },
    { OPTION(IPPROTO_TCP, TCP_DEFER_ACCEPT), 0,
      { TOLD(-1, 0), TOLD(1, 1), TOLD(2, 3), TOLD(5, 7), TOLD(128, 247), TOLD(INT_MAX, 29887), TOLD(0, 0), END } },
    { OPTION(IPPROTO_TCP, TCP_WINDOW_CLAMP), 0,
      { TOLD(-1, 1152), TOLD(1, 1152), TOLD(65536, 65536), TOLD(0, 0), END } },
    { OPTION(IPPROTO_TCP, TCP_USER_TIMEOUT), 0,
      { BAD(-1, EINVAL), TOLD(1, 1), TOLD(INT_MAX, INT_MAX), TOLD(0, 0), END } },
    { OPTION(IPPROTO_TCP, TCP_NOTSENT_LOWAT), 0, { TOLD(-1, -1), TOLD(1, 1), TOLD(1 << 20, 1 << 20), TOLD(0, 0), END } },
    { OPTION(IPPROTO_TCP, TCP_INQ), 0, { BAD(-1, EINVAL), TOLD(1, 1), TOLD(0, 0), BAD(2, EINVAL), END } },
    { OPTION(IPPROTO_TCP, TCP_SAVE_SYN), 0,
      { BAD(-1, EINVAL), TOLD(1, 1), TOLD(2, 2), TOLD(0, 0), BAD(3, EINVAL), END } },
    { OPTION(IPPROTO_IP, IP_RECVERR), 0, { FLAG } },
    { OPTION(IPPROTO_IP, IP_FREEBIND), 0, { FLAG } },
    { OPTION(IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT), 0, { FLAG } },
    { OPTION(IPPROTO_IP, IP_PKTINFO), 0, { FLAG } },
    { OPTION(IPPROTO_IP, IP_RECVTOS), 0, { FLAG } },
    { OPTION(IPPROTO_IP, IP_RECVTTL), 0, { FLAG } },
    { OPTION(IPPROTO_IP, IP_MTU_DISCOVER), 1, { BAD(-1, EINVAL), TOLD(0, 0), TOLD(3, 3), TOLD(5, 5), BAD(6, EINVAL), TOLD(1, 1), END } },
    { OPTION(IPPROTO_TCP, TCP_QUICKACK), 1, { TOLD(0, 0), TOLD(1, 1), TOLD(2, 1), TOLD(-1, 1), END } },
    { OPTION(IPPROTO_TCP, TCP_THIN_LINEAR_TIMEOUTS), 0, { BAD(-1, EINVAL), TOLD(1, 1), TOLD(0, 0), BAD(2, EINVAL), END } },
    { OPTION(IPPROTO_TCP, TCP_THIN_DUPACK), 0, { BAD(-1, EINVAL), TOLD(1, 0), TOLD(0, 0), BAD(2, EINVAL), END } },
};

static const size_t option_count = sizeof options / sizeof options[0];

/* What went wrong with which option. */
static void judge(bool good, const struct option *option, const char *what, int given, long is)
{
    char line[120];

    snprintf(line, sizeof line, "%s %s %d", option->name, what, given);
    if (!tap(good, line))
        printf("# it is %ld\n", is);
}

static int told(int fd, const struct option *option)
{
    int value = -12345;
    socklen_t length = sizeof value;

    if (ustcp_getsockopt(fd, option->level, option->number, &value, &length) != 0 || length != sizeof value)
        return -54321;
    return value;
}

static void take_steps(int fd, const struct option *option)
{
    for (const struct step *step = option->steps; step->error != -1; step++) {
        errno = 0;
        int result = ustcp_setsockopt(fd, option->level, option->number, &step->given, sizeof step->given);

        judge(result == (step->error ? -1 : 0) && (result == 0 || errno == step->error), option, "takes", step->given, errno);
        if (step->error == 0)
            judge(told(fd, option) == step->told, option, "tells what it was set to,", step->given, told(fd, option));
    }
}

/* A value too short is refused, and one that is longer read from its beginning; a room too short gets the beginning. */
static void lengths(int fd, const struct option *option)
{
    int value[2] = { option->initially, 0x55555555 };
    bool read_only = option->steps[0].error == ENOPROTOOPT;
    socklen_t length = 1;
    char byte = 0;

    if (option->level == IPPROTO_IP)
        return; /* a byte will do */
    errno = 0;
    ustcp_setsockopt(fd, option->level, option->number, value, 3);
    judge(errno == EINVAL, option, "refuses a length of", 3, errno);
    errno = 0;
    ustcp_setsockopt(fd, option->level, option->number, NULL, 4);
    judge(errno == EFAULT, option, "refuses a null pointer and", 4, errno);
    if (!read_only && option->number != TCP_MAXSEG) {
        int result = ustcp_setsockopt(fd, option->level, option->number, value, sizeof value);

        judge(result == 0, option, "takes a length of", sizeof value, errno);
    }
    int result = ustcp_getsockopt(fd, option->level, option->number, &byte, &length);

    judge(result == 0 && length == 1 && byte == (char)option->initially, option, "tells a room of", 1, byte);
}

static void test_new_sockets(void)
{
    for (size_t i = 0; i < option_count; i++) {
        int fd = ustcp_socket(AF_INET, SOCK_STREAM, 0);

        NEEDS(fd >= 0);
        if (ON_ENGINE && options[i].level == IPPROTO_TCP && options[i].number == TCP_SYNCNT)
            continue; /* the stack's own, which this program was not built for */
        judge(told(fd, &options[i]) == options[i].initially, &options[i], "is at first", options[i].initially,
              told(fd, &options[i]));
        lengths(fd, &options[i]);
        take_steps(fd, &options[i]);
        ustcp_close(fd);
    }
}

static void set(int fd, int level, int number, int value)
{
    GIVES(ustcp_setsockopt(fd, level, number, &value, sizeof value), 0);
}

static int get(int fd, int level, int number)
{
    int value = -12345;
    socklen_t length = sizeof value;

    GIVES(ustcp_getsockopt(fd, level, number, &value, &length), 0);
    return value;
}

/* What a connection, or a listener, no longer takes. */
static void test_states(void)
{
    struct sockaddr_in name;
    int pair[2], value = 0, listener = listen_here(&name);

    make_pair(pair);
    FAILS(ustcp_setsockopt(pair[0], IPPROTO_TCP, TCP_WINDOW_CLAMP, &value, sizeof value), EINVAL);
    FAILS(ustcp_setsockopt(listener, IPPROTO_TCP, TCP_WINDOW_CLAMP, &value, sizeof value), EINVAL);
    for (size_t i = 0; i < option_count; i++) {
        if (options[i].number == TCP_MAXSEG || options[i].number == TCP_WINDOW_CLAMP
            || (options[i].level == SOL_SOCKET && options[i].number == SO_ACCEPTCONN))
            continue;
        take_steps(pair[0], &options[i]);
        take_steps(listener, &options[i]);
    }
    HOLDS(get(listener, SOL_SOCKET, SO_ACCEPTCONN) == 1);
    ustcp_close(pair[0]);
    ustcp_close(pair[1]);
    ustcp_close(listener);
}

/* Accepted sockets begin with what their listener has. */
static void test_inheritance(void)
{
    struct sockaddr_in name;
    int listener = listen_here(&name), client, fd;

    set(listener, IPPROTO_TCP, TCP_CORK, 1);
    set(listener, IPPROTO_TCP, TCP_USER_TIMEOUT, 4321);
    set(listener, IPPROTO_TCP, TCP_LINGER2, 7);
    set(listener, IPPROTO_TCP, TCP_NOTSENT_LOWAT, 8765);
    set(listener, IPPROTO_TCP, TCP_KEEPIDLE, 77);
    set(listener, SOL_SOCKET, SO_RCVLOWAT, 5);
    set(listener, SOL_SOCKET, SO_PRIORITY, 3);
    set(listener, SOL_SOCKET, SO_BROADCAST, 1);
    client = connect_to(&name);
    fd = ustcp_accept(listener, NULL, NULL);
    NEEDS(fd >= 0);
    HOLDS(get(fd, IPPROTO_TCP, TCP_CORK) == 1);
    HOLDS(get(fd, IPPROTO_TCP, TCP_USER_TIMEOUT) == 4321);
    HOLDS(get(fd, IPPROTO_TCP, TCP_LINGER2) == 7);
    HOLDS(get(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT) == 8765);
    HOLDS(get(fd, IPPROTO_TCP, TCP_KEEPIDLE) == 77);
    HOLDS(get(fd, SOL_SOCKET, SO_RCVLOWAT) == 5);
    HOLDS(get(fd, SOL_SOCKET, SO_PRIORITY) == 0); /* a word about what is sent, not about whom it is sent to */
    HOLDS(get(fd, SOL_SOCKET, SO_BROADCAST) == 1);
    ustcp_close(fd);
    ustcp_close(client);
    ustcp_close(listener);
}

static bool readable(int fd, int timeout)
{
    struct pollfd entry = { .fd = fd, .events = POLLIN };

    return ustcp_poll(&entry, 1, timeout) == 1 && entry.revents & POLLIN;
}

/* A cork holds back, and what it held back comes when it is pulled; MSG_MORE holds until a send without it. */
static void test_cork(void)
{
    int pair[2];
    char bytes[8];

    make_pair(pair);
    set(pair[0], IPPROTO_TCP, TCP_CORK, 1);
    GIVES(ustcp_send(pair[0], "abc", 3, 0), 3);
    FAILS(ustcp_recv(pair[1], bytes, 8, MSG_DONTWAIT), EAGAIN);
    set(pair[0], IPPROTO_TCP, TCP_CORK, 0);
    HOLDS(readable(pair[1], -1));
    GIVES(ustcp_recv(pair[1], bytes, 8, 0), 3);
    GIVES(ustcp_send(pair[0], "de", 2, MSG_MORE), 2);
    if (!ON_ENGINE) /* AF_UNIX has no MSG_MORE */
        FAILS(ustcp_recv(pair[1], bytes, 8, MSG_DONTWAIT), EAGAIN);
    GIVES(ustcp_send(pair[0], "f", 1, 0), 1);
    HOLDS(readable(pair[1], -1));
    GIVES(ustcp_recv(pair[1], bytes, 3, MSG_WAITALL), 3);
    GIVES(ustcp_send(pair[0], "gh", 2, MSG_MORE), 2);
    HOLDS(readable(pair[1], -1)); /* not for ever */
    ustcp_close(pair[0]);
    ustcp_close(pair[1]);
}

/* SO_RCVLOWAT holds back poll and a recv that may wait, but not one that may not. */
static void test_receive_low_water(void)
{
    int pair[2];
    char bytes[8];

    make_pair(pair);
    set(pair[1], SOL_SOCKET, SO_RCVLOWAT, 4);
    GIVES(ustcp_send(pair[0], "abc", 3, 0), 3);
    HOLDS(ON_ENGINE ? readable(pair[1], -1) : !readable(pair[1], 0)); /* AF_UNIX's poll does not look at it */
    GIVES(ustcp_recv(pair[1], bytes, 8, MSG_DONTWAIT | MSG_PEEK), 3);
    GIVES(ustcp_recv(pair[1], bytes, 2, 0), 2); /* as many as there is room for are enough */
    GIVES(ustcp_send(pair[0], "def", 3, 0), 3);
    HOLDS(readable(pair[1], -1));
    GIVES(ustcp_recv(pair[1], bytes, 8, 0), 4);
    GIVES(ustcp_send(pair[0], "g", 1, 0), 1);
    ustcp_shutdown(pair[0], SHUT_WR);
    HOLDS(readable(pair[1], -1)); /* the end is not waited for */
    GIVES(ustcp_recv(pair[1], bytes, 8, 0), 1);
    GIVES(ustcp_recv(pair[1], bytes, 8, 0), 0);
    ustcp_close(pair[0]);
    ustcp_close(pair[1]);
}

/* TCP_DEFER_ACCEPT: the connection is there for the client at once, for the server with its first byte. */
static void test_defer_accept(void)
{
    struct sockaddr_in name;
    int listener = listen_here(&name), client, fd;
    char byte;

    set(listener, IPPROTO_TCP, TCP_DEFER_ACCEPT, 30);
    client = connect_to(&name);
    HOLDS(!readable(listener, 0));
    GIVES(ustcp_send(client, "x", 1, 0), 1);
    HOLDS(readable(listener, -1));
    fd = ustcp_accept(listener, NULL, NULL);
    NEEDS(fd >= 0);
    GIVES(ustcp_recv(fd, &byte, 1, MSG_DONTWAIT), 1);
    ustcp_close(fd);
    ustcp_close(client);
    ustcp_close(listener);
}

/* TCP_INQ: what is left, and at the end of the stream 1. */
static void test_left_to_read(void)
{
    int pair[2];
    char bytes[2], room[64];
    struct iovec vector = { bytes, sizeof bytes };
    struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1 };
    static const int left[] = { 3, 1, 0, 1 };

    make_pair(pair);
    set(pair[1], IPPROTO_TCP, TCP_INQ, 1);
    GIVES(ustcp_send(pair[0], "abcde", 5, 0), 5);
    for (size_t i = 0; i < sizeof left / sizeof left[0]; i++) {
        struct cmsghdr *control;
        int told = -1;

        if (i == 3)
            GIVES(ustcp_shutdown(pair[0], SHUT_WR), 0);
        message.msg_control = room;
        message.msg_controllen = sizeof room;
        NEEDS(readable(pair[1], -1));
        HOLDS(ustcp_recvmsg(pair[1], &message, 0) == (i < 2 ? 2 : i == 2 ? 1 : 0));
        control = CMSG_FIRSTHDR(&message);
        NEEDS(control != NULL && control->cmsg_len == CMSG_LEN(sizeof told));
        memcpy(&told, CMSG_DATA(control), sizeof told);
        HOLDS(control->cmsg_level == IPPROTO_TCP && control->cmsg_type == TCP_INQ && told == left[i]);
        HOLDS(message.msg_controllen == CMSG_SPACE(sizeof told) && (message.msg_flags & MSG_CTRUNC) == 0);
    }
    message.msg_control = room;
    message.msg_controllen = sizeof(struct cmsghdr) + 1;
    GIVES(ustcp_recvmsg(pair[1], &message, 0), 0);
    HOLDS(message.msg_flags & MSG_CTRUNC);
    ustcp_close(pair[0]);
    ustcp_close(pair[1]);
}

/* SIOCOUTQNSD: what was never sent; a cork keeps it here. */
static void test_not_sent(void)
{
    int pair[2], value = -1;

    make_pair(pair);
    set(pair[0], IPPROTO_TCP, TCP_CORK, 1);
    GIVES(ustcp_send(pair[0], "abc", 3, 0), 3);
    GIVES(ustcp_ioctl(pair[0], SIOCOUTQNSD, &value), 0);
    HOLDS(value == 3);
    GIVES(ustcp_ioctl(pair[0], SIOCOUTQ, &value), 0);
    HOLDS(value == 3);
    GIVES(ustcp_ioctl(pair[1], SIOCOUTQNSD, &value), 0);
    HOLDS(value == 0);
    ustcp_close(pair[0]);
    ustcp_close(pair[1]);
}

/* Options that are no int. */
static void test_other_forms(void)
{
    struct sockaddr_in name;
    int listener = listen_here(&name), fd = connect_to(&name), number = 1000, plain;
    unsigned long long rate = 0;
    struct ucred who = { 1, 1, 1 };
    char room[64];
    socklen_t length = sizeof rate;

    HOLDS(get(fd, IPPROTO_IP, IP_MTU) >= 576); /* before what makes Linux look for the way anew */
    GIVES(ustcp_getsockopt(fd, SOL_SOCKET, SO_MAX_PACING_RATE, &rate, &length), 0);
    HOLDS(length == 8 && rate == ~0ULL);
    rate = 5000000000ULL;
    GIVES(ustcp_setsockopt(fd, SOL_SOCKET, SO_MAX_PACING_RATE, &rate, sizeof rate), 0);
    GIVES(ustcp_getsockopt(fd, SOL_SOCKET, SO_MAX_PACING_RATE, &rate, &length), 0);
    HOLDS(rate == 5000000000ULL);
    GIVES(ustcp_setsockopt(fd, SOL_SOCKET, SO_MAX_PACING_RATE, &number, sizeof number), 0);
    GIVES(ustcp_getsockopt(fd, SOL_SOCKET, SO_MAX_PACING_RATE, &rate, &length), 0);
    HOLDS(rate == 1000);
    number = -1;
    GIVES(ustcp_setsockopt(fd, SOL_SOCKET, SO_MAX_PACING_RATE, &number, sizeof number), 0);
    GIVES(ustcp_getsockopt(fd, SOL_SOCKET, SO_MAX_PACING_RATE, &rate, &length), 0);
    HOLDS(rate == ~0ULL);
    length = sizeof who;
    GIVES(ustcp_getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &length), 0);
    HOLDS(length == sizeof who && who.pid == 0 && who.uid == (uid_t)-1 && who.gid == (gid_t)-1);
    length = sizeof room;
    GIVES(ustcp_getsockopt(fd, IPPROTO_IP, IP_OPTIONS, room, &length), 0);
    HOLDS(length == 0);
    GIVES(ustcp_setsockopt(fd, IPPROTO_IP, IP_OPTIONS, NULL, 0), 0);
    length = sizeof room;
    GIVES(ustcp_getsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, room, &length), 0);
    HOLDS(length == 0);
    GIVES(ustcp_setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "", 1), 0);
    FAILS(ustcp_setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "nowhere0", 9), ENODEV);
    FAILS(ustcp_setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &number, sizeof number), EOPNOTSUPP);
    length = sizeof number;
    FAILS(ustcp_getsockopt(fd, SOL_SOCKET, SO_PASSCRED, &number, &length), EOPNOTSUPP);
    FAILS(ustcp_setsockopt(fd, IPPROTO_TCP, TCP_ULP, "none such", 9), ENOENT);
    plain = ustcp_socket(AF_INET, SOCK_STREAM, 0);
    FAILS(ustcp_getsockopt(plain, IPPROTO_IP, IP_MTU, &number, &length), ENOTCONN);
    ustcp_close(plain);
    ustcp_close(fd);
    ustcp_close(listener);
}

/* TCP_FASTOPEN_KEY: one key or two, told as far as there is room, and not handed on. */
static void test_fast_open_key(void)
{
    unsigned char keys[40], room[40];
    struct sockaddr_in name;
    int listener = listen_here(&name), fd, accepted;
    socklen_t length;

    for (size_t i = 0; i < sizeof keys; i++)
        keys[i] = (unsigned char)i;
    for (socklen_t given = 0; given <= sizeof keys; given++) {
        if (given == 16 || given == 32)
            GIVES(ustcp_setsockopt(listener, IPPROTO_TCP, TCP_FASTOPEN_KEY, keys, given), 0);
        else
            FAILS(ustcp_setsockopt(listener, IPPROTO_TCP, TCP_FASTOPEN_KEY, keys, given), EINVAL);
        length = sizeof room;
        GIVES(ustcp_getsockopt(listener, IPPROTO_TCP, TCP_FASTOPEN_KEY, room, &length), 0);
        HOLDS(given < 16 || length == (given < 32 ? 16 : 32));
        HOLDS(given < 16 || memcmp(room, keys, length) == 0);
    }
    length = 20;
    memset(room, 0xff, sizeof room);
    GIVES(ustcp_getsockopt(listener, IPPROTO_TCP, TCP_FASTOPEN_KEY, room, &length), 0);
    HOLDS(length == 20 && memcmp(room, keys, 20) == 0 && room[20] == 0xff);
    fd = connect_to(&name);
    accepted = ustcp_accept(listener, NULL, NULL);
    NEEDS(accepted >= 0);
    length = sizeof room;
    GIVES(ustcp_getsockopt(accepted, IPPROTO_TCP, TCP_FASTOPEN_KEY, room, &length), 0);
    HOLDS(length < 32);
    ustcp_close(accepted);
    ustcp_close(fd);
    ustcp_close(listener);
}

/* Nothing is told of a SYN that nobody kept, or that has been told. */
static int tells_no_syn(int fd)
{
    char room[256];
    socklen_t length = sizeof room;

    return ustcp_getsockopt(fd, IPPROTO_TCP, TCP_SAVED_SYN, room, &length) == 0 && length == 0;
}

/* TCP_SAVE_SYN: the headers of the SYN that an accepted connection began with, once, and not in part. */
static void test_saved_syn(void)
{
    unsigned char room[256], *tcp;
    struct sockaddr_in name;
    int listener = listen_here(&name), fd, accepted, one = 1;
    socklen_t length = 20, needed;

    FAILS(ustcp_setsockopt(listener, IPPROTO_TCP, TCP_SAVED_SYN, &one, sizeof one), ENOPROTOOPT);
    set(listener, IPPROTO_TCP, TCP_SAVE_SYN, 1);
    fd = connect_to(&name);
    accepted = ustcp_accept(listener, NULL, NULL);
    NEEDS(accepted >= 0);
    HOLDS(get(accepted, IPPROTO_TCP, TCP_SAVE_SYN) == 1);
    FAILS(ustcp_getsockopt(accepted, IPPROTO_TCP, TCP_SAVED_SYN, room, &length), EINVAL);
    needed = length;
    length = sizeof room;
    GIVES(ustcp_getsockopt(accepted, IPPROTO_TCP, TCP_SAVED_SYN, room, &length), 0);
    HOLDS(length >= 40 && room[0] == 0x45 && room[9] == IPPROTO_TCP);
    HOLDS(needed == length);
    tcp = room + 20;
    HOLDS(length == 20 + (socklen_t)(tcp[12] >> 4) * 4);
    HOLDS(memcmp(tcp + 2, &name.sin_port, 2) == 0 && (tcp[13] & 0x3f) == 0x02);
    HOLDS(tells_no_syn(accepted));
    HOLDS(tells_no_syn(fd));
    HOLDS(tells_no_syn(listener));
    ustcp_close(accepted);
    ustcp_close(fd);
    set(listener, IPPROTO_TCP, TCP_SAVE_SYN, 0);
    fd = connect_to(&name);
    accepted = ustcp_accept(listener, NULL, NULL);
    NEEDS(accepted >= 0);
    HOLDS(tells_no_syn(accepted));
    ustcp_close(accepted);
    ustcp_close(fd);
    ustcp_close(listener);
}

/* The flags of IPv6, at first and turned. */
static void test_ipv6(void)
{
    static const struct { int number, initially; } flags[] = {
        { IPV6_RECVTCLASS, 0 }, { IPV6_RECVPKTINFO, 0 }, { IPV6_RECVHOPLIMIT, 0 }, { IPV6_RECVHOPOPTS, 0 },
        { IPV6_RECVRTHDR, 0 }, { IPV6_RECVDSTOPTS, 0 }, { IPV6_RECVPATHMTU, 0 }, { IPV6_DONTFRAG, 0 },
        { IPV6_AUTOFLOWLABEL, 1 }, { IPV6_FREEBIND, 0 },
    };
    int fd = ustcp_socket(AF_INET6, SOCK_STREAM, 0);

    NEEDS(fd >= 0);
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        HOLDS(get(fd, IPPROTO_IPV6, flags[i].number) == flags[i].initially);
        set(fd, IPPROTO_IPV6, flags[i].number, !flags[i].initially);
        HOLDS(get(fd, IPPROTO_IPV6, flags[i].number) == !flags[i].initially);
    }
    ustcp_close(fd);
}

/* What not everybody may do; as root one may and can give it up for a moment. */
static void test_privileges(void)
{
    static const struct { int number, value, error; } table[] = {
        { SO_MARK, 7, EPERM }, { SO_PRIORITY, 7, EPERM }, { SO_PRIORITY, 6, 0 }, { SO_DEBUG, 1, EACCES }, { SO_DEBUG, 0, 0 },
    };
    int fd = ustcp_socket(AF_INET, SOCK_STREAM, 0);

    NEEDS(fd >= 0);
    for (int mighty = 1; mighty >= 0; mighty--) {
        NEEDS(mighty || seteuid(65534) == 0);
        for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
            int value = table[i].value, error = mighty ? 0 : table[i].error;
            int result = ustcp_setsockopt(fd, SOL_SOCKET, table[i].number, &value, sizeof value);

            HOLDS(result == (error ? -1 : 0) && (result == 0 || errno == error));
            HOLDS(error || get(fd, SOL_SOCKET, table[i].number) == value);
        }
    }
    NEEDS(seteuid(0) == 0);
    ustcp_close(fd);
}

int main(void)
{
    test_new_sockets();
    test_states();
    test_inheritance();
    test_other_forms();
    test_fast_open_key();
    test_saved_syn();
    test_ipv6();
    if (!ON_ENGINE && geteuid() == 0) /* an engine asks for its own rights */
        test_privileges();
    test_cork();
    test_receive_low_water();
    test_defer_accept();
    if (!ON_ENGINE) /* AF_UNIX tells nothing beside the bytes */
        test_left_to_read();
    test_not_sent();
    return tap_end();
}
