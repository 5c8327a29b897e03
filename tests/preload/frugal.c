/* No call of the shim allocates: it runs in children of vfork and in handlers of signals.
 *
 *   frugal HOST      HOST is ours to listen on; prints how many allocations there were */
#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
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

int main(int count, char **words)
{
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
