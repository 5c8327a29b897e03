/* No call of the shim allocates, and none needs much stack: it runs in children of vfork and in handlers of signals.
 *
 *   frugal HOST                  HOST is ours to listen on; prints how many allocations there were
 *   frugal connect HOST          connects in a handler, again and again
 *   frugal HOW PROGRAM [WORD...] becomes PROGRAM in a handler: by execve, without an environment, or by execvp */
#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../c/tap.h"

extern int bindresvport(int fd, struct sockaddr_in *name);

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

static int allocations;

void *malloc(size_t size)
{
    allocations++;
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    allocations++;
    return __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
    allocations++;
    return __libc_realloc(old, size);
}

int posix_memalign(void **to, size_t alignment, size_t size)
{
    allocations++;
    *to = __libc_memalign(alignment, size);
    return *to == NULL ? ENOMEM : 0;
}

/* ---- in a handler on a stack as it was in the beginning ---- */

#define SMALL 8192

static char **handled;

static void handle(int number)
{
    (void)number;
    if (strcmp(handled[0], "execve") == 0)
        execve(handled[1], handled + 1, (char *[]){ NULL });
    else if (strcmp(handled[0], "execvp") == 0)
        execvp(handled[1], handled + 1);
    else {
        struct sockaddr_in name = { .sin_family = AF_INET, .sin_port = htons(9) };
        int fd = socket(AF_INET, SOCK_STREAM, 0), epoll = epoll_create1(0);
        struct epoll_event wanted = { .events = EPOLLOUT };

        NEEDS(inet_pton(AF_INET, handled[1], &name.sin_addr) == 1);
        NEEDS(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &wanted) == 0);
        for (int attempt = 0; attempt < 3; attempt++)
            NEEDS(connect(fd, (struct sockaddr *)&name, sizeof name) == -1 && errno == ECONNREFUSED);
        return;
    }
    perror(handled[1]);
    _exit(EXIT_FAILURE);
}

/* Below the stack is nothing. */
static int in_a_handler(char **words)
{
    char *below = mmap(NULL, 2 * SMALL, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct sigaction action = { .sa_handler = handle, .sa_flags = SA_ONSTACK };

    handled = words;
    NEEDS(below != MAP_FAILED && mprotect(below, SMALL, PROT_NONE) == 0);
    NEEDS(sigaltstack(&(stack_t){ .ss_sp = below + SMALL, .ss_size = SMALL }, NULL) == 0);
    NEEDS(sigaction(SIGUSR1, &action, NULL) == 0 && raise(SIGUSR1) == 0);
    return EXIT_SUCCESS;
}

int main(int count, char **words)
{
    if (count > 2)
        return in_a_handler(words + 1);

    struct sockaddr_in name = { .sin_family = AF_INET }, peer;
    socklen_t length = sizeof name;
    char bytes[4];
    int value = 1;

    NEEDS(count == 2 && inet_pton(AF_INET, words[1], &name.sin_addr) == 1);
    free(malloc(1));
    NEEDS(allocations == 1);

    int listener = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0);
    NEEDS(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &value, sizeof value) == 0);
    NEEDS(bind(listener, (struct sockaddr *)&name, sizeof name) == 0 && listen(listener, 8) == 0);
    NEEDS(getsockname(listener, (struct sockaddr *)&name, &length) == 0);
    NEEDS(connect(client, (struct sockaddr *)&name, sizeof name) == 0);
    NEEDS(connect(client, (struct sockaddr *)&name, sizeof name) == -1 && errno == EISCONN);
    length = sizeof peer;
    int fd = accept4(listener, (struct sockaddr *)&peer, &length, SOCK_CLOEXEC);
    NEEDS(fd >= 0 && getpeername(fd, (struct sockaddr *)&peer, &length) == 0);
    length = sizeof value;
    NEEDS(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &value, &length) == 0);
    NEEDS(send(client, "abcd", 4, 0) == 4 && recv(fd, bytes, 4, MSG_WAITALL) == 4);
    NEEDS(send(client, "ab", 2, 0) == 2 && recv(fd, bytes, 2, MSG_PEEK | MSG_WAITALL) == 2 && read(fd, bytes, 2) == 2);
    NEEDS(write(fd, "abcd", 4) == 4 && read(client, bytes, 4) > 0);
    NEEDS(send(client, "e", 1, MSG_OOB) == 1);
    NEEDS(poll(&(struct pollfd){ .fd = fd, .events = POLLPRI }, 1, -1) == 1);
    NEEDS(recv(fd, bytes, 1, MSG_OOB) == 1);
    NEEDS(ioctl(fd, TIOCOUTQ, &value) == 0);
    NEEDS(shutdown(client, SHUT_WR) == 0 && recv(fd, bytes, 4, 0) == 0);
    NEEDS(close(fd) == 0 && close(client) == 0 && close(listener) == 0);

    struct ifreq question = { .ifr_ifindex = 1 };
    int epoll = epoll_create1(0), again = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct epoll_event wanted = { .events = EPOLLOUT };
    struct pollfd entry = { .fd = again, .events = POLLOUT };
    NEEDS(ioctl(again, SIOCGIFNAME, &question) == 0);
    NEEDS(setsockopt(again, SOL_SOCKET, SO_KEEPALIVE, &value, sizeof value) == 0);
    NEEDS(epoll_ctl(epoll, EPOLL_CTL_ADD, again, &wanted) == 0);
    for (int attempt = 0; attempt < 2; attempt++) {
        NEEDS(connect(again, (struct sockaddr *)&name, sizeof name) == -1 && errno == EINPROGRESS);
        NEEDS(poll(&entry, 1, -1) == 1);
        NEEDS(connect(again, (struct sockaddr *)&name, sizeof name) == -1 && errno == ECONNREFUSED);
    }
    NEEDS(bindresvport(again, NULL) == 0);

    int seen = allocations;
    printf("%d allocations\n", seen - 1);
    return seen == 1 ? EXIT_SUCCESS : EXIT_FAILURE;
}
