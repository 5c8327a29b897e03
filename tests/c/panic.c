/* The stack panics while threads wait in it: every call returns with an error, and the program lives.
 *
 * The library of the release has no way to be broken on purpose. This program runs on the testing one, which has one
 * symbol more: LD_LIBRARY_PATH=build/tests/planted build/tests/panic. */
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "pair.h"

__attribute__((weak)) int ustcp_test_plant_panic(void);

enum { WAITERS = 6 };

struct waiter {
    const char *call;
    long (*wait)(int fd);
    int fd;
    atomic_int thread; /* 0 until it runs */
    long result;
    int error;
    double returned; /* seconds on the monotonic clock */
};

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static long wait_recv(int fd)
{
    char byte;

    return ustcp_recv(fd, &byte, 1, 0);
}

/* The peer does not read, so that this waits for room. */
static long wait_send(int fd)
{
    static char block[65536];
    long result;

    do
        result = ustcp_send(fd, block, sizeof block, MSG_NOSIGNAL);
    while (result > 0);
    return result;
}

static long wait_accept(int fd)
{
    return ustcp_accept(fd, NULL, NULL);
}

static long wait_poll(int fd)
{
    struct pollfd entry = { .fd = fd, .events = POLLIN };

    return ustcp_poll(&entry, 1, -1) == 1 && (entry.revents & (POLLERR | POLLHUP)) != 0 ? 1 : 0;
}

static long wait_native_poll(int fd)
{
    struct pollfd entry = { .fd = fd, .events = POLLIN };

    return poll(&entry, 1, -1) == 1 && (entry.revents & (POLLERR | POLLHUP)) != 0 ? 1 : 0;
}

static long wait_epoll(int fd)
{
    struct epoll_event event = { .events = EPOLLIN | EPOLLET };
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    long result;

    NEEDS(epoll >= 0 && epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0);
    result = epoll_wait(epoll, &event, 1, -1) == 1 && (event.events & (EPOLLERR | EPOLLHUP)) != 0 ? 1 : 0;
    close(epoll);
    return result;
}

static void *run(void *argument)
{
    struct waiter *waiter = argument;

    waiter->thread = gettid();
    errno = 0;
    waiter->result = waiter->wait(waiter->fd);
    waiter->error = errno;
    waiter->returned = now();
    return NULL;
}

/* Whether the kernel has put it to sleep. */
static bool is_asleep(int thread)
{
    char path[64], line[256] = "";
    const char *after_name;
    FILE *file;

    snprintf(path, sizeof path, "/proc/self/task/%d/stat", thread);
    file = fopen(path, "r");
    NEEDS(file != NULL && fgets(line, sizeof line, file) != NULL && fclose(file) == 0);
    after_name = strrchr(line, ')');
    return after_name != NULL && after_name[1] == ' ' && after_name[2] == 'S';
}

static void start_and_wait_until_asleep(struct waiter waiters[WAITERS], pthread_t threads[WAITERS])
{
    for (int i = 0; i < WAITERS; i++)
        NEEDS(pthread_create(&threads[i], NULL, run, &waiters[i]) == 0);
    for (int i = 0; i < WAITERS; i++)
        while (waiters[i].thread == 0 || !is_asleep(waiters[i].thread))
            sched_yield();
}

static void make_waiters(struct waiter waiters[WAITERS])
{
    static const struct {
        const char *call;
        long (*wait)(int fd);
    } calls[WAITERS] = {
        { "recv", wait_recv }, { "send", wait_send },               { "accept", wait_accept },
        { "poll", wait_poll }, { "native poll", wait_native_poll }, { "native epoll", wait_epoll },
    };
    struct sockaddr_in name;
    int pair[2];

    for (int i = 0; i < WAITERS; i++) {
        waiters[i].call = calls[i].call;
        waiters[i].wait = calls[i].wait;
        if (calls[i].wait == wait_accept) {
            waiters[i].fd = listen_here(&name);
        } else {
            make_pair(pair);
            waiters[i].fd = pair[0];
        }
    }
}

/* Everything that is asked afterwards. */
static void test_afterwards(int fd)
{
    struct sockaddr_in name = any_port;
    socklen_t length = sizeof name;
    int value = 0;
    char byte = 0;

    FAILS(ustcp_recv(fd, &byte, 1, 0), ENETDOWN);
    FAILS(ustcp_send(fd, &byte, 1, MSG_NOSIGNAL), ENETDOWN);
    FAILS(ustcp_accept(fd, NULL, NULL), ENETDOWN);
    FAILS(ustcp_listen(fd, 1), ENETDOWN);
    FAILS(ustcp_bind(fd, (struct sockaddr *)&name, sizeof name), ENETDOWN);
    FAILS(ustcp_connect(fd, (struct sockaddr *)&name, sizeof name), ENETDOWN);
    FAILS(ustcp_shutdown(fd, SHUT_RDWR), ENETDOWN);
    FAILS(ustcp_getsockname(fd, (struct sockaddr *)&name, &length), ENETDOWN);
    FAILS(ustcp_setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &value, sizeof value), ENETDOWN);
    FAILS(ustcp_socket(AF_INET, SOCK_STREAM, 0), ENETDOWN);
    GIVES(ustcp_close(fd), 0);
    FAILS(ustcp_close(fd), EBADF);
}

int main(void)
{
    static struct waiter waiters[WAITERS];
    pthread_t threads[WAITERS];
    double planted, slowest = 0;

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (ustcp_test_plant_panic == NULL) {
        printf("1..0 # SKIP this libustcp has no planted panic; see the head of tests/c/panic.c\n");
        return 77;
    }
    alarm(60); /* a waiter that is forgotten is a failure, not a wait */
    make_waiters(waiters);
    start_and_wait_until_asleep(waiters, threads);
    planted = now();
    NEEDS(ustcp_test_plant_panic() == 0);
    for (int i = 0; i < WAITERS; i++) {
        NEEDS(pthread_join(threads[i], NULL) == 0);
        bool told = waiters[i].wait == wait_recv || waiters[i].wait == wait_send || waiters[i].wait == wait_accept
                        ? waiters[i].result == -1 && waiters[i].error == ENETDOWN
                        : waiters[i].result == 1;
        if (!tap(told, waiters[i].call))
            printf("# was %ld %s\n", waiters[i].result, strerrorname_np(waiters[i].error));
        if (waiters[i].returned - planted > slowest)
            slowest = waiters[i].returned - planted;
    }
    printf("# slowest return: %.3f ms after the panic\n", slowest * 1000);
    test_afterwards(waiters[0].fd);
    return tap_end();
}
