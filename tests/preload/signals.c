/* Signals and cancellation in calls that wait. On the kernel's sockets, which judge it, and on an engine.
 *
 *   signals HOST SILENT      HOST is ours to listen on; to SILENT nobody answers */
#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "../c/tap.h"
#include "sleeper.h"

static struct sockaddr_in host, silent;
static pthread_t main_thread;
static volatile sig_atomic_t signals;

static void count(int signal)
{
    (void)signal;
    signals++;
}

static void handle(int flags)
{
    struct sigaction action = { .sa_handler = count, .sa_flags = flags };

    NEEDS(sigaction(SIGUSR1, &action, NULL) == 0);
    signals = 0;
}

static int tcp(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    NEEDS(fd >= 0);
    return fd;
}

static int listening(struct sockaddr_in *name)
{
    socklen_t length = sizeof *name;
    int fd = tcp();

    NEEDS(bind(fd, (struct sockaddr *)&host, sizeof host) == 0 && listen(fd, 8) == 0);
    NEEDS(getsockname(fd, (struct sockaddr *)name, &length) == 0);
    return fd;
}

static int connect_to(int fd, const struct sockaddr_in *name)
{
    return connect(fd, (const struct sockaddr *)name, sizeof *name);
}

/* What another thread does to one that waits. */
struct disturbance {
    pid_t sleeper;
    int times;
    const struct sockaddr_in *then_connect; /* ends the wait */
};

static void *disturb(void *argument)
{
    struct disturbance *d = argument;

    for (int i = 0; i < d->times; i++) {
        await_sleep(d->sleeper);
        pthread_kill(main_thread, SIGUSR1);
        while (signals <= i)
            usleep(1000);
    }
    if (d->then_connect != NULL) {
        int fd = tcp();

        await_sleep(d->sleeper);
        NEEDS(connect_to(fd, d->then_connect) == 0);
        return (void *)(long)fd;
    }
    return (void *)-1L;
}

static pthread_t start(struct disturbance *d)
{
    pthread_t thread;

    d->sleeper = gettid();
    NEEDS(pthread_create(&thread, NULL, disturb, d) == 0);
    return thread;
}

static void finish(pthread_t thread)
{
    void *fd;

    NEEDS(pthread_join(thread, &fd) == 0);
    if ((long)fd >= 0)
        close((int)(long)fd);
}

static void test_accept(void)
{
    struct sockaddr_in name;
    int listener = listening(&name);
    struct disturbance interrupt = { .times = 1 }, restart = { .times = 3, .then_connect = &name };
    pthread_t thread;

    handle(0);
    thread = start(&interrupt);
    FAILS(accept(listener, NULL, NULL), EINTR);
    finish(thread);

    handle(SA_RESTART);
    thread = start(&restart);
    int fd = accept(listener, NULL, NULL);
    HOLDS(fd >= 0);
    HOLDS(signals == 3);
    finish(thread);
    close(fd);

    /* With a timeout there is no restart, as socket(7) and signal(7) say. */
    struct timeval soon = { .tv_sec = 60 };
    struct disturbance once = { .times = 1 };

    NEEDS(setsockopt(listener, SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof soon) == 0);
    handle(SA_RESTART);
    thread = start(&once);
    FAILS(accept(listener, NULL, NULL), EINTR);
    finish(thread);
    soon = (struct timeval){ .tv_usec = 50000 };
    NEEDS(setsockopt(listener, SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof soon) == 0);
    FAILS(accept(listener, NULL, NULL), EAGAIN);
    close(listener);
}

static void test_connect(void)
{
    int fd = tcp();
    struct disturbance interrupt = { .times = 1 }, restart = { .times = 3 };
    struct timeval soon = { .tv_usec = 300000 };
    pthread_t thread;

    handle(0);
    thread = start(&interrupt);
    FAILS(connect_to(fd, &silent), EINTR);
    finish(thread);
    close(fd);

    /* A timeout ends the wait and not the attempt. */
    fd = tcp();
    NEEDS(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &soon, sizeof soon) == 0);
    FAILS(connect_to(fd, &silent), EINPROGRESS);
    FAILS(connect_to(fd, &silent), EALREADY);
    close(fd);

    /* Restarted, it waits for the end of the attempt, which is one retransmission away. */
    fd = tcp();
    NEEDS(setsockopt(fd, IPPROTO_TCP, TCP_SYNCNT, &(int){ 1 }, sizeof(int)) == 0);
    handle(SA_RESTART);
    thread = start(&restart);
    FAILS(connect_to(fd, &silent), ETIMEDOUT);
    HOLDS(signals == 3);
    finish(thread);
    close(fd);
}

static void test_read(void)
{
    struct sockaddr_in name;
    int listener = listening(&name), client = tcp(), fd;
    struct disturbance once = { .times = 1 };
    pthread_t thread;
    char byte;

    NEEDS(connect_to(client, &name) == 0);
    fd = accept(listener, NULL, NULL);
    handle(0);
    thread = start(&once);
    FAILS(read(fd, &byte, 1), EINTR);
    finish(thread);
    handle(0);
    thread = start(&once);
    FAILS(recv(fd, &byte, 1, 0), EINTR);
    finish(thread);
    close(fd);
    close(client);
    close(listener);
}

/* ---- MSG_PEEK with MSG_WAITALL ---- */

enum { TRICKLE = 2000 };

struct trickle {
    int fd, is_over;
};

static void *send_little_by_little(void *argument)
{
    struct trickle *trickle = argument;

    for (int i = 0; i < TRICKLE && !__atomic_load_n(&trickle->is_over, __ATOMIC_SEQ_CST); i++) {
        NEEDS(send(trickle->fd, "1", 1, 0) == 1);
        usleep(10000); /* the pace of the bytes */
    }
    return NULL;
}

/* SO_RCVTIMEO is that of the call: what arrives meanwhile does not lengthen it. */
static void test_peek_all_times_out(void)
{
    struct sockaddr_in name;
    int listener = listening(&name), client = tcp();
    struct timeval soon = { .tv_usec = 200000 };
    static char bytes[TRICKLE];
    pthread_t thread;

    NEEDS(connect_to(client, &name) == 0);
    struct trickle trickle = { .fd = accept(listener, NULL, NULL) };
    NEEDS(setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof soon) == 0);
    NEEDS(pthread_create(&thread, NULL, send_little_by_little, &trickle) == 0);
    NEEDS(poll(&(struct pollfd){ .fd = client, .events = POLLIN }, 1, -1) == 1);
    ssize_t seen = recv(client, bytes, sizeof bytes, MSG_PEEK | MSG_WAITALL);
    HOLDS(seen > 0 && seen < TRICKLE);
    __atomic_store_n(&trickle.is_over, 1, __ATOMIC_SEQ_CST);
    NEEDS(pthread_join(thread, NULL) == 0);
    close(trickle.fd);
    close(client);
    close(listener);
}

/* ---- cancellation ---- */

struct wait {
    int fd;
    pid_t thread;
    enum { CONNECT, ACCEPT, READ, RECV, PEEK_ALL, PEEK_ALL_MESSAGE } call;
};

static void *wait_in_call(void *argument)
{
    struct wait *w = argument;
    char byte, bytes[2];
    struct iovec piece = { .iov_base = bytes, .iov_len = sizeof bytes };
    struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1 };

    __atomic_store_n(&w->thread, gettid(), __ATOMIC_SEQ_CST);
    switch (w->call) {
    case CONNECT:
        connect_to(w->fd, &silent);
        break;
    case ACCEPT:
        accept(w->fd, NULL, NULL);
        break;
    case READ:
        return (void *)read(w->fd, &byte, 1);
    case RECV:
        return (void *)recv(w->fd, &byte, 1, 0);
    case PEEK_ALL:
        return (void *)recv(w->fd, bytes, sizeof bytes, MSG_PEEK | MSG_WAITALL);
    case PEEK_ALL_MESSAGE:
        return (void *)recvmsg(w->fd, &message, MSG_PEEK | MSG_WAITALL);
    }
    return NULL;
}

static int descriptors(void)
{
    DIR *directory = opendir("/proc/self/fd");
    int count = 0;

    NEEDS(directory != NULL);
    while (readdir(directory) != NULL)
        count++;
    closedir(directory);
    return count;
}

static void test_cancel(void)
{
    struct sockaddr_in name;
    int listener = listening(&name), client = tcp(), fd, before;
    char byte;

    NEEDS(connect_to(client, &name) == 0);
    fd = accept(listener, NULL, NULL);
    NEEDS(send(fd, "1", 1, 0) == 1 && recv(client, &byte, 1, MSG_PEEK) == 1); /* one of two: there is something to wait for */
    struct wait waits[] = { { .fd = tcp(), .call = CONNECT }, { .fd = listener, .call = ACCEPT },
                            { .fd = fd, .call = READ },       { .fd = fd, .call = RECV },
                            { .fd = client, .call = PEEK_ALL }, { .fd = client, .call = PEEK_ALL_MESSAGE } };

    before = descriptors();
    for (size_t i = 0; i < sizeof waits / sizeof waits[0]; i++) {
        pthread_t thread;
        void *ended;

        NEEDS(pthread_create(&thread, NULL, wait_in_call, &waits[i]) == 0);
        while (__atomic_load_n(&waits[i].thread, __ATOMIC_SEQ_CST) == 0)
            usleep(1000);
        await_sleep(waits[i].thread);
        NEEDS(pthread_cancel(thread) == 0 && pthread_join(thread, &ended) == 0);
        HOLDS(ended == PTHREAD_CANCELED);
    }
    HOLDS(descriptors() == before);
    close(waits[0].fd);
    close(fd);
    close(client);
    close(listener);
}

int main(int count_of, char **words)
{
    NEEDS(count_of == 3);
    host = (struct sockaddr_in){ .sin_family = AF_INET };
    silent = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(80) };
    NEEDS(inet_pton(AF_INET, words[1], &host.sin_addr) == 1 && inet_pton(AF_INET, words[2], &silent.sin_addr) == 1);
    main_thread = pthread_self();
    test_accept();
    test_connect();
    test_read();
    test_peek_all_times_out();
    test_cancel();
    return tap_end();
}
