/* Calls that a stream of AF_UNIX would answer otherwise, and ways to them past the usual names. On the kernel's sockets,
 * which judge it, and on an engine.
 *
 *   calls HOST      HOST is ours to listen on */
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../c/tap.h"
#include "sleeper.h"

static struct sockaddr_in host;

static int tcp(int flags)
{
    int fd = socket(AF_INET, SOCK_STREAM | flags, 0);

    NEEDS(fd >= 0);
    return fd;
}

static int bound(struct sockaddr_in *name)
{
    socklen_t length = sizeof *name;
    int fd = tcp(0);

    NEEDS(bind(fd, (struct sockaddr *)&host, sizeof host) == 0);
    NEEDS(getsockname(fd, (struct sockaddr *)name, &length) == 0);
    return fd;
}

static int connect_to(int fd, const struct sockaddr_in *name)
{
    return connect(fd, (const struct sockaddr *)name, sizeof *name);
}

static void make_pair(int pair[2])
{
    struct sockaddr_in name;
    int listener = bound(&name);

    NEEDS(listen(listener, 8) == 0);
    pair[0] = tcp(0);
    NEEDS(connect_to(pair[0], &name) == 0);
    pair[1] = accept(listener, NULL, NULL);
    NEEDS(pair[1] >= 0);
    close(listener);
}

static short await(int fd, short events)
{
    struct pollfd entry = { .fd = fd, .events = events };

    NEEDS(poll(&entry, 1, -1) == 1);
    return entry.revents;
}

/* ---- connect after connect has failed ---- */

/* What has failed is told once, and then the next attempt begins, which every epoll hears of as before. */
static void test_connect_again(void)
{
    struct sockaddr_in name;
    int other = bound(&name), fd = tcp(SOCK_NONBLOCK), epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event wanted = { .events = EPOLLOUT | EPOLLET, .data.u64 = 0x123456789abcdef0 }, told;

    NEEDS(epoll >= 0);
    GIVES(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &wanted), 0);
    FAILS(connect_to(fd, &name), EINPROGRESS);
    await(fd, POLLOUT);
    FAILS(connect_to(fd, &name), ECONNREFUSED);
    FAILS(connect_to(fd, &name), EINPROGRESS);
    await(fd, POLLOUT);
    FAILS(connect_to(fd, &name), ECONNREFUSED);
    NEEDS(listen(other, 8) == 0);
    FAILS(connect_to(fd, &name), EINPROGRESS);
    do {
        NEEDS(epoll_wait(epoll, &told, 1, -1) == 1);
        HOLDS(told.data.u64 == wanted.data.u64);
    } while (told.events & EPOLLERR); /* the edge of the attempts before */
    HOLDS(told.events == EPOLLOUT);
    GIVES(connect_to(fd, &name), 0);
    FAILS(connect_to(fd, &name), EISCONN);
    wanted.events = EPOLLIN;
    GIVES(epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &wanted), 0);
    FAILS(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &wanted), EEXIST);
    close(epoll);
    close(fd);
    close(other);
}

/* Which arrival of `fd` a signal told of; 0: there is none. */
static int told_by_signal(int fd, const struct timespec *patience)
{
    siginfo_t told;
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN);
    if (sigtimedwait(&set, &told, patience) == -1)
        return 0;
    HOLDS(told.si_fd == fd);
    return (int)told.si_band;
}

/* What the descriptor was told before, it knows in the next attempt too. */
static void test_settings_of_an_attempt(void)
{
    static const struct timespec none = { 0 };
    struct sockaddr_in name;
    int listener = bound(&name), fd = tcp(SOCK_NONBLOCK), peer;
    char bytes[4];
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN);
    NEEDS(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
    NEEDS(fcntl(fd, F_SETOWN, getpid()) == 0 && fcntl(fd, F_SETSIG, SIGRTMIN) == 0);
    NEEDS(fcntl(fd, F_SETFL, O_NONBLOCK | O_ASYNC) == 0);
    NEEDS(setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &(int){ 1 }, sizeof(int)) == 0);
    FAILS(connect_to(fd, &name), EINPROGRESS);
    await(fd, POLLOUT);
    FAILS(connect_to(fd, &name), ECONNREFUSED);
    NEEDS(listen(listener, 8) == 0);
    FAILS(connect_to(fd, &name), EINPROGRESS);
    await(fd, POLLOUT);
    GIVES(connect_to(fd, &name), 0);
    GIVES(fcntl(fd, F_GETFL) & (O_ASYNC | O_NONBLOCK), O_ASYNC | O_NONBLOCK);
    GIVES(fcntl(fd, F_GETOWN), getpid());
    GIVES(fcntl(fd, F_GETSIG), SIGRTMIN);
    while (told_by_signal(fd, &none) != 0)
        ;
    peer = accept(listener, NULL, NULL);
    NEEDS(peer >= 0 && send(peer, "abc", 3, 0) == 3);
    while ((told_by_signal(fd, NULL) & POLLIN) == 0)
        ;
    NEEDS(fcntl(fd, F_SETFL, 0) == 0);
    NEEDS(send(peer, "d", 1, MSG_OOB) == 1);
    GIVES(recv(fd, bytes, 3, 0), 3);
    GIVES(recv(fd, bytes, 1, 0), 1); /* the urgent byte, in its place */
    HOLDS(bytes[0] == 'd');
    close(fd);
    close(peer);
    close(listener);
}

static void *connect_again_alone(void *argument)
{
    (void)argument;
    await_state(getpid(), 'Z');
    test_connect_again();
    _exit(tap_failures == 0 ? 0 : 1);
}

/* The process goes on when its main thread has ended, which is what /proc/self shows. */
static void test_connect_again_without_main_thread(void)
{
    int status;
    pid_t child = fork();

    NEEDS(child >= 0);
    if (child == 0) {
        pthread_t thread;

        alarm(30); /* of its own: it inherits none */
        NEEDS(dup2(STDERR_FILENO, STDOUT_FILENO) >= 0);
        tap_count = tap_failures = 0;
        NEEDS(pthread_create(&thread, NULL, connect_again_alone, NULL) == 0);
        pthread_exit(NULL);
    }
    NEEDS(waitpid(child, &status, 0) == child);
    HOLDS(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static int error_of(int fd)
{
    int error;
    socklen_t length = sizeof error;

    NEEDS(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) == 0);
    return error;
}

/* shutdown undoes an attempt, whichever half it is about. */
static void test_shutdown_of_an_attempt(int how)
{
    struct sockaddr_in silent = host;
    int fd = tcp(SOCK_NONBLOCK);

    silent.sin_addr.s_addr ^= htonl(0x40);
    silent.sin_port = htons(9);
    FAILS(connect_to(fd, &silent), EINPROGRESS);
    GIVES(shutdown(fd, how), 0);
    GIVES(error_of(fd), ECONNRESET);
    GIVES(error_of(fd), 0);
    close(fd);
}

/* ---- no descriptor left ---- */

static void test_shutdown_without_descriptors(int how)
{
    struct rlimit before, few;
    int pair[2], last;
    char bytes[4];

    make_pair(pair);
    last = dup(pair[1]);
    NEEDS(last >= 0 && getrlimit(RLIMIT_NOFILE, &before) == 0);
    few = (struct rlimit){ .rlim_cur = (rlim_t)last, .rlim_max = before.rlim_max };
    close(last);
    NEEDS(setrlimit(RLIMIT_NOFILE, &few) == 0);
    FAILS(dup(pair[1]), EMFILE);
    GIVES(send(pair[0], "abc", 3, 0), 3);
    GIVES(shutdown(pair[0], how), 0);
    NEEDS(setrlimit(RLIMIT_NOFILE, &before) == 0);
    GIVES(recv(pair[1], bytes, 3, MSG_WAITALL), 3);
    GIVES(recv(pair[1], bytes, 1, 0), 0);
    FAILS(send(pair[0], "x", 1, MSG_NOSIGNAL), EPIPE);
    close(pair[0]);
    close(pair[1]);
}

/* ---- both halves, one after the other ---- */

#define RESPONSE 5000000

struct reading {
    int fd;
    long total, last;
};

static void *read_to_the_end(void *argument)
{
    static char bytes[1 << 16];
    struct reading *r = argument;

    while ((r->last = recv(r->fd, bytes, sizeof bytes, 0)) > 0)
        r->total += r->last;
    return NULL;
}

static void await_acknowledgement(int fd)
{
    int queued;

    do {
        NEEDS(ioctl(fd, SIOCOUTQ, &queued) == 0);
    } while (queued > 0);
}

/* Who reads no more still writes, and its end is a FIN, although the peer has said something that nobody has read. */
static void test_response_after_shutdown(bool read_shut, int last)
{
    static char response[RESPONSE];
    int pair[2];
    pthread_t thread;

    make_pair(pair);
    struct reading reading = { .fd = pair[0] };
    if (read_shut)
        GIVES(shutdown(pair[1], SHUT_RD), 0);
    NEEDS(send(pair[0], "\r\n", 2, 0) == 2);
    await_acknowledgement(pair[0]);
    NEEDS(pthread_create(&thread, NULL, read_to_the_end, &reading) == 0);
    GIVES(send(pair[1], response, sizeof response, 0), RESPONSE);
    GIVES(shutdown(pair[1], last), 0);
    NEEDS(pthread_join(thread, NULL) == 0);
    GIVES(reading.total, RESPONSE);
    GIVES(reading.last, 0);
    close(pair[0]);
    close(pair[1]);
}

/* ---- SIGPIPE ---- */

static volatile sig_atomic_t pipes;

static void count_pipe(int number)
{
    (void)number;
    pipes++;
}

static ssize_t by_send(int fd, int flags)
{
    return send(fd, "x", 1, flags);
}

static ssize_t by_sendmsg(int fd, int flags)
{
    struct iovec piece = { "x", 1 };
    struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1 };

    return sendmsg(fd, &message, flags);
}

static ssize_t by_sendmmsg(int fd, int flags)
{
    struct iovec piece = { "x", 1 };
    struct mmsghdr message = { .msg_hdr = { .msg_iov = &piece, .msg_iovlen = 1 } };

    return sendmmsg(fd, &message, 1, flags);
}

/* What the peer's RST has done is told once and quietly; SIGPIPE goes with EPIPE. */
static void test_pipe(ssize_t (*by)(int fd, int flags))
{
    struct linger none = { .l_onoff = 1 };
    int pair[2], local[2];

    NEEDS(signal(SIGPIPE, count_pipe) != SIG_ERR);
    make_pair(pair);
    NEEDS(setsockopt(pair[1], SOL_SOCKET, SO_LINGER, &none, sizeof none) == 0);
    close(pair[1]);
    await(pair[0], POLLIN);
    pipes = 0;
    FAILS(by(pair[0], 0), ECONNRESET);
    GIVES(pipes, 0);
    FAILS(by(pair[0], 0), EPIPE);
    GIVES(pipes, 1);
    FAILS(by(pair[0], MSG_NOSIGNAL), EPIPE);
    GIVES(pipes, 1);
    close(pair[0]);

    make_pair(pair);
    NEEDS(shutdown(pair[0], SHUT_WR) == 0);
    FAILS(by(pair[0], 0), EPIPE);
    GIVES(pipes, 2);
    close(pair[0]);
    close(pair[1]);

    NEEDS(socketpair(AF_UNIX, SOCK_STREAM, 0, local) == 0);
    close(local[1]);
    FAILS(by(local[0], 0), EPIPE);
    GIVES(pipes, 3);
    FAILS(by(local[0], MSG_NOSIGNAL), EPIPE);
    GIVES(pipes, 3);
    close(local[0]);
    NEEDS(signal(SIGPIPE, SIG_DFL) != SIG_ERR);
}

/* ---- MSG_PEEK with MSG_WAITALL ---- */

struct writer {
    int fd;
    pid_t reader;
};

static void *write_bit_by_bit(void *argument)
{
    struct writer *w = argument;

    await_sleep(w->reader);
    NEEDS(send(w->fd, "cd", 2, 0) == 2);
    await_sleep(w->reader);
    NEEDS(send(w->fd, "ef", 2, 0) == 2);
    return NULL;
}

static void *write_and_end(void *argument)
{
    struct writer *w = argument;

    await_sleep(w->reader);
    NEEDS(shutdown(w->fd, SHUT_WR) == 0);
    return NULL;
}

static void test_peek_all(void)
{
    int pair[2];
    char bytes[9] = { 0 };
    struct iovec pieces[2] = { { bytes, 1 }, { bytes + 1, 5 } };
    struct msghdr message = { .msg_iov = pieces, .msg_iovlen = 2 };
    pthread_t thread;

    make_pair(pair);
    struct writer writer = { .fd = pair[1], .reader = gettid() };
    NEEDS(send(pair[1], "ab", 2, 0) == 2);
    await(pair[0], POLLIN);
    GIVES(recv(pair[0], bytes, 6, MSG_PEEK | MSG_WAITALL | MSG_DONTWAIT), 2);
    NEEDS(pthread_create(&thread, NULL, write_bit_by_bit, &writer) == 0);
    GIVES(recv(pair[0], bytes, 6, MSG_PEEK | MSG_WAITALL), 6);
    HOLDS(memcmp(bytes, "abcdef", 6) == 0);
    NEEDS(pthread_join(thread, NULL) == 0);
    GIVES(recvmsg(pair[0], &message, MSG_PEEK | MSG_WAITALL), 6);
    NEEDS(pthread_create(&thread, NULL, write_and_end, &writer) == 0);
    GIVES(recv(pair[0], bytes, 9, MSG_PEEK | MSG_WAITALL), 6);
    NEEDS(pthread_join(thread, NULL) == 0);
    pieces[1].iov_len = 8;
    GIVES(recvmsg(pair[0], &message, MSG_PEEK | MSG_WAITALL), 6);
    GIVES(recv(pair[0], bytes, 9, MSG_WAITALL), 6);
    GIVES(recv(pair[0], bytes, 9, MSG_PEEK | MSG_WAITALL), 0);
    close(pair[0]);
    close(pair[1]);
}

/* ---- several messages of one call ---- */

static const struct msghdr untouched = { .msg_namelen = 77, .msg_controllen = 48, .msg_flags = 0x5555 };

#define MESSAGE 100000

/* A message that is taken in part is the last one, so that no hole is in the stream. */
static void test_part_of_a_message(void)
{
    static char bytes[MESSAGE];
    int pair[2];
    struct iovec pieces[2] = { { bytes, sizeof bytes }, { (void *)8, 8 } }, more = { "x", 1 };
    struct mmsghdr messages[2] = { { .msg_hdr = { .msg_iov = pieces, .msg_iovlen = 2 } },
                                   { .msg_hdr = { .msg_iov = &more, .msg_iovlen = 1 } } };
    pthread_t thread;

    make_pair(pair);
    struct reading reading = { .fd = pair[1] };
    NEEDS(pthread_create(&thread, NULL, read_to_the_end, &reading) == 0);
    GIVES(sendmmsg(pair[0], messages, 2, 0), 1);
    HOLDS(messages[0].msg_len > 0 && messages[0].msg_len <= MESSAGE);
    NEEDS(shutdown(pair[0], SHUT_WR) == 0);
    NEEDS(pthread_join(thread, NULL) == 0);
    GIVES(reading.total, messages[0].msg_len);
    close(pair[0]);
    close(pair[1]);
}

static void reset(int fd)
{
    struct linger none = { .l_onoff = 1 };

    NEEDS(setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof none) == 0);
    close(fd);
}

static void *write_and_reset(void *argument)
{
    struct writer *w = argument;

    await_sleep(w->reader);
    NEEDS(send(w->fd, "abc", 3, 0) == 3);
    await_acknowledgement(w->fd);
    await_sleep(w->reader);
    reset(w->fd);
    return NULL;
}

static int receive_several(int fd, unsigned lengths[2], int flags, struct timespec *timeout)
{
    char bytes[2][8];
    struct iovec pieces[2] = { { bytes[0], sizeof bytes[0] }, { bytes[1], sizeof bytes[1] } };
    struct mmsghdr messages[2] = { { .msg_hdr = { .msg_iov = &pieces[0], .msg_iovlen = 1 } },
                                   { .msg_hdr = { .msg_iov = &pieces[1], .msg_iovlen = 1 } } };
    int result = recvmmsg(fd, messages, 2, flags, timeout);

    for (int i = 0; i < 2; i++)
        lengths[i] = messages[i].msg_len;
    return result;
}

/* A reset is told, whatever came before it. */
static void test_messages_before_a_reset(void)
{
    int pair[2];
    unsigned lengths[2];
    pthread_t thread;

    make_pair(pair);
    NEEDS(send(pair[1], "abc", 3, 0) == 3);
    await(pair[0], POLLIN);
    reset(pair[1]);
    await(pair[0], POLLHUP);
    FAILS(receive_several(pair[0], lengths, 0, NULL), ECONNRESET);
    GIVES(receive_several(pair[0], lengths, 0, NULL), 2);
    HOLDS(lengths[0] == 3 && lengths[1] == 0);
    close(pair[0]);

    make_pair(pair);
    struct writer writer = { .fd = pair[1], .reader = gettid() };
    NEEDS(pthread_create(&thread, NULL, write_and_reset, &writer) == 0);
    GIVES(receive_several(pair[0], lengths, 0, NULL), 1);
    GIVES(lengths[0], 3);
    NEEDS(pthread_join(thread, NULL) == 0);
    FAILS(receive_several(pair[0], lengths, 0, NULL), ECONNRESET);
    close(pair[0]);
}

static ssize_t all_by_recv(int fd, void *bytes, size_t length)
{
    return recv(fd, bytes, length, MSG_WAITALL);
}

static ssize_t all_by_recvmsg(int fd, void *bytes, size_t length)
{
    struct iovec piece = { bytes, length };
    struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1 };

    return recvmsg(fd, &message, MSG_WAITALL);
}

/* A read that waits for more has what came, and the next says why there is no more. */
static void test_all_before_a_reset(ssize_t (*all)(int fd, void *bytes, size_t length))
{
    int pair[2];
    char bytes[8];
    pthread_t thread;

    make_pair(pair);
    struct writer writer = { .fd = pair[1], .reader = gettid() };
    NEEDS(pthread_create(&thread, NULL, write_and_reset, &writer) == 0);
    GIVES(all(pair[0], bytes, sizeof bytes), 3);
    NEEDS(pthread_join(thread, NULL) == 0);
    FAILS(all(pair[0], bytes, sizeof bytes), ECONNRESET);
    GIVES(all(pair[0], bytes, sizeof bytes), 0);
    close(pair[0]);
}

static void *write_in_pieces(void *argument)
{
    struct writer *w = argument;

    NEEDS(send(w->fd, "abc", 3, 0) == 3);
    await_sleep(w->reader);
    NEEDS(send(w->fd, "defg", 4, 0) == 4);
    return NULL;
}

/* What is waited for goes into the pieces one after the other. */
static void test_all_of_a_message(void)
{
    int pair[2];
    char bytes[7];
    struct iovec pieces[] = { { bytes, 2 }, { NULL, 0 }, { bytes + 2, 3 }, { bytes + 5, 2 } };
    struct msghdr message = { .msg_iov = pieces, .msg_iovlen = 4 };
    pthread_t thread;

    make_pair(pair);
    struct writer writer = { .fd = pair[1], .reader = gettid() };
    NEEDS(pthread_create(&thread, NULL, write_in_pieces, &writer) == 0);
    GIVES(recvmsg(pair[0], &message, MSG_WAITALL), 7);
    HOLDS(memcmp(bytes, "abcdefg", 7) == 0);
    NEEDS(pthread_join(thread, NULL) == 0);
    close(pair[0]);
    close(pair[1]);
}

static void *write_much(void *argument)
{
    static const char much[(3 << 20) + 100005];

    NEEDS(send(*(int *)argument, much, sizeof much, 0) == sizeof much);
    return NULL;
}

/* What nobody wants to see is dropped, and needs no room. */
static void test_dropped(void)
{
    int pair[2];
    struct iovec pieces[2] = { { NULL, 1 << 20 }, { NULL, 100000 } };
    struct msghdr message = untouched;
    pthread_t thread;

    make_pair(pair);
    NEEDS(pthread_create(&thread, NULL, write_much, &pair[1]) == 0);
    GIVES(recv(pair[0], NULL, 2 << 20, MSG_TRUNC | MSG_WAITALL), 2 << 20);
    message.msg_iov = pieces;
    message.msg_iovlen = 2;
    GIVES(recvmsg(pair[0], &message, MSG_TRUNC | MSG_WAITALL), (1 << 20) + 100000);
    HOLDS(message.msg_namelen == 77 && message.msg_controllen == 0 && message.msg_flags == 0);
    await(pair[0], POLLIN);
    message.msg_iovlen = 1;
    NEEDS(pthread_join(thread, NULL) == 0);
    GIVES(recvmsg(pair[0], &message, MSG_TRUNC), 5);
    close(pair[0]);
    close(pair[1]);
}

/* How long recvmmsg may take is looked at after each message. */
static void test_time_of_several_messages(void)
{
    int pair[2];
    unsigned lengths[2];
    struct timespec none = { 0 }, some = { .tv_sec = 1000 }, bad = { .tv_nsec = 1000000000 };

    make_pair(pair);
    NEEDS(send(pair[1], "abc", 3, 0) == 3);
    await(pair[0], POLLIN);
    FAILS(receive_several(pair[0], lengths, 0, &bad), EINVAL);
    FAILS(receive_several(pair[0], lengths, 0, (struct timespec *)8), EFAULT);
    GIVES(receive_several(pair[0], lengths, MSG_PEEK | MSG_WAITFORONE, &some), 2);
    HOLDS(some.tv_sec == 999 && some.tv_nsec > 0);
    GIVES(receive_several(pair[0], lengths, 0, &none), 1);
    GIVES(lengths[0], 3);
    close(pair[0]);
    close(pair[1]);
}

/* ---- what recvmsg says beside the bytes ---- */

/* recvmsg into a header as the one above, and whether what is in it afterwards is `after`'s. */
static ssize_t receive(int fd, bool named, int flags, const struct msghdr *after)
{
    char bytes[4], control[64];
    struct sockaddr_storage name;
    struct iovec piece = { bytes, sizeof bytes };
    struct msghdr message = untouched;

    memset(&name, 0xaa, sizeof name);
    message.msg_name = named ? &name : NULL;
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    message.msg_control = control;
    ssize_t result = recvmsg(fd, &message, flags);
    int error = errno;
    HOLDS(message.msg_name == (named ? &name : NULL) && message.msg_iov == &piece && message.msg_iovlen == 1);
    HOLDS(message.msg_control == control);
    if (!tap(message.msg_namelen == after->msg_namelen && message.msg_controllen == after->msg_controllen &&
                 message.msg_flags == after->msg_flags,
             "the header afterwards"))
        printf("# name %u, control %zu, flags %#x\n", message.msg_namelen, message.msg_controllen, message.msg_flags);
    errno = error;
    return result;
}

static void test_header(void)
{
    const struct linger none = { .l_onoff = 1 };
    const struct msghdr named = { .msg_namelen = 0 }, unnamed = { .msg_namelen = 77 };
    int pair[2];

    make_pair(pair);
    FAILS(receive(pair[0], true, MSG_DONTWAIT, &untouched), EAGAIN);
    NEEDS(send(pair[1], "abcdef", 6, 0) == 6);
    await(pair[0], POLLIN);
    GIVES(receive(pair[0], true, 0, &named), 4);
    GIVES(receive(pair[0], false, 0, &unnamed), 2);
    NEEDS(shutdown(pair[1], SHUT_WR) == 0);
    await(pair[0], POLLRDHUP);
    GIVES(receive(pair[0], true, 0, &named), 0);
    /* A reset after the FIN: the stream is whole. */
    NEEDS(setsockopt(pair[1], SOL_SOCKET, SO_LINGER, &none, sizeof none) == 0);
    close(pair[1]);
    await(pair[0], POLLHUP);
    GIVES(receive(pair[0], true, 0, &named), 0);
    GIVES(receive(pair[0], false, 0, &unnamed), 0);
    close(pair[0]);

    make_pair(pair);
    NEEDS(setsockopt(pair[1], SOL_SOCKET, SO_LINGER, &none, sizeof none) == 0);
    close(pair[1]);
    await(pair[0], POLLHUP);
    FAILS(receive(pair[0], true, 0, &untouched), ECONNRESET);
    GIVES(receive(pair[0], true, 0, &named), 0);
    close(pair[0]);
}

/* ---- urgent data where there is none ---- */

static void test_no_urgent_byte(void)
{
    struct sockaddr_in name;
    int fresh = tcp(0), unconnected = bound(&name), listener = bound(&name), pair[2];
    int sockets[] = { fresh, unconnected, listener, -1 };
    char byte;
    struct iovec piece = { &byte, 1 };
    struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1 };

    NEEDS(listen(listener, 8) == 0);
    make_pair(pair);
    sockets[3] = pair[0];
    for (int i = 0; i < 4; i++) {
        int expected = sockets[i] == listener ? ENOTCONN : EINVAL;

        FAILS(recv(sockets[i], &byte, 1, MSG_OOB), expected);
        FAILS(recv(sockets[i], &byte, 1, MSG_OOB | MSG_DONTWAIT), expected);
        FAILS(recvfrom(sockets[i], &byte, 1, MSG_OOB, (struct sockaddr *)&name, &(socklen_t){ sizeof name }), expected);
        FAILS(recvmsg(sockets[i], &message, MSG_OOB), expected);
        close(sockets[i]);
    }
    close(pair[1]);
}

/* ---- the host's interfaces: a socket of TCP answers as one of UDP ---- */

static void same_answer(int one, int other, unsigned long request, const struct ifreq *question)
{
    struct ifreq answers[2] = { *question, *question };
    int results[2], errors[2], fds[2] = { one, other };
    char what[64];

    for (int i = 0; i < 2; i++) {
        errno = 0;
        results[i] = ioctl(fds[i], request, &answers[i]);
        errors[i] = errno;
    }
    snprintf(what, sizeof what, "%#lx of %s", request, question->ifr_name);
    if (!tap(results[0] == results[1] && errors[0] == errors[1] && memcmp(&answers[0], &answers[1], sizeof answers[0]) == 0,
             what))
        printf("# %d %s, not %d %s\n", results[0], strerror(errors[0]), results[1], strerror(errors[1]));
}

static void test_interfaces(int family)
{
    static const unsigned long requests[] = { SIOCGIFADDR,   SIOCGIFFLAGS,  SIOCGIFINDEX,  SIOCGIFMTU,
                                              SIOCGIFHWADDR, SIOCGIFBRDADDR, SIOCGIFNETMASK, SIOCGIFDSTADDR,
                                              SIOCGIFMETRIC, SIOCGIFTXQLEN };
    int fd = socket(family, SOCK_STREAM, 0), other = socket(family, SOCK_DGRAM, 0);
    struct if_nameindex *names = if_nameindex();
    struct ifreq question, room[16], others_room[16];
    struct ifconf all = { .ifc_len = sizeof room, .ifc_req = room };
    struct ifconf others_all = { .ifc_len = sizeof others_room, .ifc_req = others_room };

    NEEDS(fd >= 0 && other >= 0 && names != NULL && names[0].if_index != 0);
    for (struct if_nameindex *name = names; name->if_index != 0; name++) {
        for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
            memset(&question, 0, sizeof question);
            strcpy(question.ifr_name, name->if_name);
            same_answer(fd, other, requests[i], &question);
        }
        memset(&question, 0, sizeof question);
        question.ifr_ifindex = (int)name->if_index;
        same_answer(fd, other, SIOCGIFNAME, &question);
    }
    if_freenameindex(names);
    memset(&question, 0, sizeof question);
    strcpy(question.ifr_name, "nowhere");
    same_answer(fd, other, SIOCGIFFLAGS, &question);
    memset(room, 0, sizeof room);
    memset(others_room, 0, sizeof others_room);
    GIVES(ioctl(fd, SIOCGIFCONF, &all), 0);
    NEEDS(ioctl(other, SIOCGIFCONF, &others_all) == 0);
    HOLDS(all.ifc_len == others_all.ifc_len && memcmp(room, others_room, sizeof room) == 0);
    FAILS(ioctl(fd, SIOCGIFCONF, NULL), EFAULT);
    close(fd);
    close(other);
}

/* ---- a name that is longer than any address ---- */

static void test_long_name(void)
{
    int pair[2];
    char name[200] = { 0 };
    struct iovec piece = { "x", 1 };
    struct msghdr message = { .msg_name = name, .msg_namelen = sizeof name, .msg_iov = &piece, .msg_iovlen = 1 };

    make_pair(pair);
    GIVES(sendmsg(pair[0], &message, 0), 1);
    message.msg_namelen = (socklen_t)-1;
    FAILS(sendmsg(pair[0], &message, 0), EINVAL);
    close(pair[0]);
    close(pair[1]);
}

/* ---- other names, other ways ---- */

extern int __connect(int fd, const struct sockaddr *name, socklen_t length);
extern ssize_t __send(int fd, const void *bytes, size_t length, int flags);
extern ssize_t __read(int fd, void *bytes, size_t length);
extern ssize_t __write(int fd, const void *bytes, size_t length);
extern int bindresvport(int fd, struct sockaddr_in *name);

static void test_other_names(void)
{
    struct sockaddr_in name;
    int listener = bound(&name), fd = tcp(0), peer;
    char bytes[8];

    NEEDS(listen(listener, 8) == 0);
    GIVES(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int)), 0);
    FAILS(__read(fd, bytes, 1), ENOTCONN);
    FAILS(__send(fd, bytes, 1, MSG_NOSIGNAL), EPIPE);
    GIVES(__connect(fd, (struct sockaddr *)&name, sizeof name), 0);
    peer = accept(listener, NULL, NULL);
    GIVES(__send(fd, "abc", 3, 0), 3);
    GIVES(__write(fd, "def", 3), 3);
    GIVES(recv(peer, bytes, 6, MSG_WAITALL), 6);
    NEEDS(send(peer, "xyz", 3, 0) == 3);
    GIVES(__read(fd, bytes, 3), 3);
    close(fd);
    close(peer);
    close(listener);
}

static void test_reserved_ports(void)
{
    struct sockaddr_in name = host, told;
    socklen_t length = sizeof told;
    int fd = tcp(0), other = tcp(0), third = tcp(0);

    GIVES(bindresvport(fd, &name), 0);
    GIVES(getsockname(fd, (struct sockaddr *)&told, &length), 0);
    HOLDS(told.sin_port == name.sin_port && told.sin_addr.s_addr == host.sin_addr.s_addr);
    HOLDS(ntohs(told.sin_port) >= 512 && ntohs(told.sin_port) < 1024);
    FAILS(bindresvport(fd, &name), EINVAL);
    GIVES(bindresvport(other, NULL), 0);
    name.sin_family = AF_INET6;
    FAILS(bindresvport(third, &name), EAFNOSUPPORT);
    close(fd);
    close(other);
    close(third);
}

/* A sandbox that answers `error` to the calls by which the library looks at pointers. */
static void forbid_looking(int error)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_process_vm_readv, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_process_vm_writev, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = { .len = sizeof filter / sizeof filter[0], .filter = filter };

    NEEDS(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    NEEDS(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
}

static void test_in_sandbox(int error)
{
    int status;
    pid_t child = fork();

    NEEDS(child >= 0);
    if (child == 0) {
        struct sockaddr_in name;
        socklen_t length = sizeof name;
        int pair[2];

        forbid_looking(error);
        make_pair(pair);
        int good = getpeername(pair[0], (struct sockaddr *)&name, &length) == 0 && length == sizeof name;
        good = good && connect(tcp(0), (struct sockaddr *)8, sizeof name) == -1 && errno == EFAULT;
        good = good && getpeername(pair[0], (struct sockaddr *)8, &length) == -1 && errno == EFAULT;
        _exit(good ? 0 : 1);
    }
    NEEDS(waitpid(child, &status, 0) == child);
    HOLDS(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* A sandbox that leaves calls on descriptors that are open, and kills for any other. */
static void allow_little(void)
{
    static const unsigned allowed[] = { SYS_read, SYS_write, SYS_sendto, SYS_sendmsg, SYS_recvfrom, SYS_recvmsg, SYS_exit_group };
    enum { ALLOWED = sizeof allowed / sizeof allowed[0] };
    struct sock_filter filter[2 * ALLOWED + 2];
    struct sock_fprog program = { .filter = filter };

    filter[program.len++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (int i = 0; i < ALLOWED; i++) {
        filter[program.len++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, allowed[i], 0, 1);
        filter[program.len++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    }
    filter[program.len++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
    NEEDS(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    FAILS(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, NULL), EFAULT); /* how one asks whether there is such a thing */
    NEEDS(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
}

/* As sshd's child before authentication: it reads and writes, and hears of errors. */
static void test_in_sandbox_that_kills(void)
{
    int status, quiet[2], reset_by_peer[2], local[2];
    pid_t child;

    make_pair(quiet);
    make_pair(reset_by_peer);
    reset(reset_by_peer[1]);
    await(reset_by_peer[0], POLLHUP);
    NEEDS(fcntl(quiet[0], F_SETFL, O_NONBLOCK) == 0);
    NEEDS(socketpair(AF_UNIX, SOCK_STREAM, 0, local) == 0);
    child = fork();
    NEEDS(child >= 0);
    if (child == 0) {
        char bytes[8];
        struct iovec piece = { bytes, sizeof bytes };
        struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1 };

        NEEDS(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
        allow_little();
        bool good = read(quiet[0], bytes, 1) == -1 && errno == EAGAIN;
        good = good && recv(quiet[0], bytes, 1, MSG_WAITALL) == -1 && errno == EAGAIN;
        good = good && recvmsg(quiet[0], &message, 0) == -1 && errno == EAGAIN;
        good = good && sendmsg(quiet[0], &message, 0) == sizeof bytes;
        good = good && sendmsg(local[0], &message, 0) == sizeof bytes && recvmsg(local[1], &message, 0) == sizeof bytes;
        good = good && read(reset_by_peer[0], bytes, 1) == -1 && errno == ECONNRESET;
        good = good && write(reset_by_peer[0], bytes, 1) == -1 && errno == EPIPE;
        good = good && send(reset_by_peer[0], bytes, 1, 0) == -1 && errno == EPIPE;
        _exit(good ? 0 : 1);
    }
    NEEDS(waitpid(child, &status, 0) == child);
    if (!HOLDS(WIFEXITED(status) && WEXITSTATUS(status) == 0))
        printf("# %s %d\n", WIFSIGNALED(status) ? "killed by" : "status", WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    for (int i = 0; i < 2; i++) {
        close(quiet[i]);
        close(local[i]);
    }
    close(reset_by_peer[0]);
}

int main(int count, char **words)
{
    NEEDS(count == 2);
    host = (struct sockaddr_in){ .sin_family = AF_INET };
    NEEDS(inet_pton(AF_INET, words[1], &host.sin_addr) == 1);
    setvbuf(stdout, NULL, _IOLBF, 0);
    alarm(60); /* a call that hangs is a failure, not a wait */
    test_connect_again();
    test_connect_again_without_main_thread();
    test_settings_of_an_attempt();
    test_shutdown_of_an_attempt(SHUT_RD);
    test_shutdown_of_an_attempt(SHUT_WR);
    test_shutdown_of_an_attempt(SHUT_RDWR);
    test_shutdown_without_descriptors(SHUT_WR);
    test_shutdown_without_descriptors(SHUT_RDWR);
    test_response_after_shutdown(true, SHUT_WR);
    test_response_after_shutdown(true, SHUT_RDWR);
    test_response_after_shutdown(false, SHUT_RDWR);
    test_pipe(by_send);
    test_pipe(by_sendmsg);
    test_pipe(by_sendmmsg);
    test_peek_all();
    test_part_of_a_message();
    test_messages_before_a_reset();
    test_time_of_several_messages();
    test_all_before_a_reset(all_by_recv);
    test_all_before_a_reset(all_by_recvmsg);
    test_all_of_a_message();
    test_dropped();
    test_header();
    test_no_urgent_byte();
    test_interfaces(AF_INET);
    test_interfaces(AF_INET6);
    test_long_name();
    test_other_names();
    test_reserved_ports();
    test_in_sandbox(EPERM);
    test_in_sandbox(EACCES);
    test_in_sandbox_that_kills();
    return tap_end();
}
