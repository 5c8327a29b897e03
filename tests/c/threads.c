/* Several threads on one stack and on one socket: every byte and every connection once, and no waiter forgotten.
 *
 * Runs on the kernel too (-DKERNEL), where close does not wake the calls that wait on the socket. */
#include <pthread.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "pair.h"

enum { THREADS = 8, ROUNDS = 64, MEBIBYTE = 1 << 20 };

static pthread_t start(void *(*body)(void *), void *argument)
{
    pthread_t thread;

    NEEDS(pthread_create(&thread, NULL, body, argument) == 0);
    return thread;
}

static void *end(pthread_t thread)
{
    void *result;

    NEEDS(pthread_join(thread, &result) == 0);
    return result;
}

/* ---- one socket each: streams side by side arrive whole */

/* The bytes of stream `seed`, at any offset. */
static unsigned char byte_at(unsigned seed, size_t offset)
{
    return (unsigned char)((offset * 2654435761u + seed * 40503u) >> 7);
}

struct end_of_stream {
    int fd;
    unsigned seed;
};

static void *pour(void *argument)
{
    const struct end_of_stream *stream = argument;
    unsigned char block[5000];

    for (size_t offset = 0; offset < 4 * MEBIBYTE;) {
        size_t length = 4 * MEBIBYTE - offset < sizeof block ? 4 * MEBIBYTE - offset : sizeof block;
        for (size_t i = 0; i < length; i++)
            block[i] = byte_at(stream->seed, offset + i);
        if (ustcp_send(stream->fd, block, length, 0) != (ssize_t)length)
            return "send";
        offset += length;
    }
    return ustcp_shutdown(stream->fd, SHUT_WR) == 0 ? NULL : "shutdown";
}

static void *drain(void *argument)
{
    const struct end_of_stream *stream = argument;
    unsigned char block[7000];
    size_t offset = 0;

    for (;;) {
        ssize_t length = ustcp_recv(stream->fd, block, sizeof block, 0);
        if (length < 0)
            return "recv";
        if (length == 0)
            return offset == 4 * MEBIBYTE ? NULL : "short";
        for (ssize_t i = 0; i < length; i++)
            if (block[i] != byte_at(stream->seed, offset + (size_t)i))
                return "wrong byte";
        offset += (size_t)length;
    }
}

static void test_streams(void)
{
    struct end_of_stream ends[THREADS][2];
    pthread_t threads[THREADS][2];
    bool good = true;

    for (unsigned i = 0; i < THREADS; i++) {
        int pair[2];
        make_pair(pair);
        ends[i][0] = (struct end_of_stream){ pair[0], i };
        ends[i][1] = (struct end_of_stream){ pair[1], i };
        threads[i][0] = start(pour, &ends[i][0]);
        threads[i][1] = start(drain, &ends[i][1]);
    }
    for (unsigned i = 0; i < THREADS; i++)
        for (int side = 0; side < 2; side++) {
            const char *complaint = end(threads[i][side]);
            if (complaint != NULL)
                printf("# stream %u: %s\n", i, complaint);
            good = good && complaint == NULL;
            good = ustcp_close(ends[i][side].fd) == 0 && good;
        }
    tap(good, "8 streams of 4 MiB, a thread at each end, arrive whole");
}

/* ---- one socket for all: each byte arrives once */

struct shared {
    int fd;
    unsigned char mark;
    long counts[THREADS];
};

static void *send_marks(void *argument)
{
    const struct shared *shared = argument;
    unsigned char marks[1000];

    memset(marks, shared->mark, sizeof marks);
    for (int i = 0; i < ROUNDS; i++)
        if (ustcp_send(shared->fd, marks, sizeof marks, 0) != sizeof marks)
            return "send";
    return NULL;
}

static void *count_marks(void *argument)
{
    struct shared *shared = argument;
    unsigned char marks[777];
    ssize_t length;

    while ((length = ustcp_recv(shared->fd, marks, sizeof marks, 0)) > 0)
        for (ssize_t i = 0; i < length; i++)
            shared->counts[marks[i] % THREADS]++;
    return length == 0 ? NULL : "recv";
}

static void test_shared_socket(void)
{
    struct shared senders[THREADS], receivers[THREADS] = { 0 };
    pthread_t sending[THREADS], receiving[THREADS];
    int pair[2];
    bool good = true;

    make_pair(pair);
    for (unsigned i = 0; i < THREADS; i++) {
        senders[i] = (struct shared){ .fd = pair[0], .mark = (unsigned char)i };
        receivers[i].fd = pair[1];
        receiving[i] = start(count_marks, &receivers[i]);
        sending[i] = start(send_marks, &senders[i]);
    }
    for (unsigned i = 0; i < THREADS; i++)
        good = end(sending[i]) == NULL && good;
    NEEDS(ustcp_shutdown(pair[0], SHUT_WR) == 0);
    for (unsigned i = 0; i < THREADS; i++)
        good = end(receiving[i]) == NULL && good; /* FIN wakes all of them */
    for (unsigned mark = 0; mark < THREADS; mark++) {
        long sum = 0;
        for (unsigned i = 0; i < THREADS; i++)
            sum += receivers[i].counts[mark];
        good = good && sum == ROUNDS * 1000;
    }
    tap(good, "8 threads send and 8 receive on one connection: each byte once, and FIN ends all");
    NEEDS(ustcp_close(pair[0]) == 0 && ustcp_close(pair[1]) == 0);
}

/* ---- one listener for all: each connection is accepted once */

struct acceptor {
    int listener;
    long accepted;
};

static void *accept_all(void *argument)
{
    struct acceptor *acceptor = argument;
    int fd;

    while ((fd = ustcp_accept(acceptor->listener, NULL, NULL)) >= 0) {
        acceptor->accepted++;
        NEEDS(ustcp_send(fd, "hello", 5, 0) == 5 && ustcp_close(fd) == 0);
    }
    return (void *)(intptr_t)errno;
}

static void test_shared_listener(void)
{
    struct acceptor acceptors[THREADS];
    pthread_t threads[THREADS];
    struct sockaddr_in name;
    int listener = listen_here(&name);
    long accepted = 0;
    bool good = true, woken = true;

    for (int i = 0; i < THREADS; i++) {
        acceptors[i] = (struct acceptor){ listener, 0 };
        threads[i] = start(accept_all, &acceptors[i]);
    }
    for (int i = 0; i < ROUNDS; i++) {
        char hello[8];
        int fd = connect_to(&name);
        good = ustcp_recv(fd, hello, sizeof hello, MSG_WAITALL) == 5 && good;
        NEEDS(ustcp_close(fd) == 0);
    }
    NEEDS(ustcp_shutdown(listener, SHUT_RD) == 0);
    for (int i = 0; i < THREADS; i++) {
        woken = (intptr_t)end(threads[i]) == EINVAL && woken;
        accepted += acceptors[i].accepted;
    }
    tap(good && accepted == ROUNDS, "8 threads accept on one listener: each connection once");
    tap(woken, "shutdown of a listener ends all that wait in accept with EINVAL");
    NEEDS(ustcp_close(listener) == 0);
}

/* ---- who waits is woken */

static void *recv_one(void *argument)
{
    char byte;
    ssize_t length = ustcp_recv(*(int *)argument, &byte, 1, 0);

    return (void *)(intptr_t)(length < 0 ? -errno : length);
}

static void test_shutdown_wakes(void)
{
    pthread_t threads[THREADS];
    bool good = true;
    int pair[2];

    make_pair(pair);
    for (int i = 0; i < THREADS; i++)
        threads[i] = start(recv_one, &pair[0]);
    NEEDS(ustcp_shutdown(pair[0], SHUT_RD) == 0);
    for (int i = 0; i < THREADS; i++)
        good = (intptr_t)end(threads[i]) == 0 && good;
    tap(good, "shutdown of the reading side ends all that wait in recv with 0");
    NEEDS(ustcp_close(pair[0]) == 0 && ustcp_close(pair[1]) == 0);
}

#ifndef KERNEL

static void test_close_wakes(void)
{
    bool good = true;

    for (int round = 0; round < ROUNDS; round++) {
        pthread_t threads[2];
        int pair[2];
        make_pair(pair);
        for (int i = 0; i < 2; i++)
            threads[i] = start(recv_one, &pair[0]);
        NEEDS(ustcp_close(pair[0]) == 0);
        for (int i = 0; i < 2; i++)
            good = (intptr_t)end(threads[i]) == -EBADF && good;
        NEEDS(ustcp_close(pair[1]) == 0);
    }
    tap(good, "close ends all that wait in recv with EBADF");
}

#endif

/* ---- a native epoll beside threads that call */

static void *answer(void *argument)
{
    int fd = *(int *)argument;
    char byte;

    while (ustcp_recv(fd, &byte, 1, 0) == 1)
        if (ustcp_send(fd, &byte, 1, MSG_NOSIGNAL) != 1)
            return "send";
    return NULL;
}

static void test_epoll_beside(void)
{
    struct epoll_event event = { .events = EPOLLIN | EPOLLET };
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    bool good = true;
    pthread_t thread;
    int pair[2];
    char byte;

    make_pair(pair);
    NEEDS(epoll >= 0 && epoll_ctl(epoll, EPOLL_CTL_ADD, pair[0], &event) == 0);
    thread = start(answer, &pair[1]);
    for (int i = 0; i < 1000; i++) {
        good = ustcp_send(pair[0], "x", 1, 0) == 1 && good;
        good = epoll_wait(epoll, &event, 1, -1) == 1 && (event.events & EPOLLIN) != 0 && good;
        good = ustcp_recv(pair[0], &byte, 1, MSG_DONTWAIT) == 1 && good;
    }
    NEEDS(ustcp_close(pair[0]) == 0);
    good = end(thread) == NULL && good;
    tap(good, "1000 round trips, one end in an edge-triggered epoll and the other in recv");
    NEEDS(ustcp_close(pair[1]) == 0 && close(epoll) == 0);
}

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    alarm(120); /* a waiter that is forgotten is a failure, not a wait */
    test_streams();
    test_shared_socket();
    test_shared_listener();
    test_shutdown_wakes();
#ifndef KERNEL
    if (!ON_ENGINE) /* there it is the kernel's close */
        test_close_wakes();
#endif
    test_epoll_beside();
    return tap_end();
}
