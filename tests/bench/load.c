/* The load of the bench: kernel sockets that measure whoever serves sink :7001, source :7002 and echo :7003.
 *
 *   load tx ADDRESS SECONDS       sends; bytes acknowledged count
 *   load rx ADDRESS SECONDS       receives
 *   load rr ADDRESS SECONDS       one byte there and back, again and again
 *   load serve ADDRESS            the same three services on the kernel's own TCP, for comparison
 *
 * Prints one figure a line: Gbit/s, or microseconds (p50, p99). Congestion control is cubic on every socket: the
 * default of some machines paces its packets and would measure that. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <linux/sockios.h>

enum { SINK = 7001, SOURCE = 7002, ECHO = 7003, BLOCK = 128 * 1024, MOST_SAMPLES = 1 << 22 };
static const double WARM_UP = 0.5;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static int tcp_socket(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    if (fd < 0)
        fail("socket");
    setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "cubic", 5);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

static struct sockaddr_in name(const char *address, int port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    if (inet_pton(AF_INET, address, &a.sin_addr) != 1)
        fail(address);
    return a;
}

static int dial(const char *address, int port)
{
    struct sockaddr_in a = name(address, port);
    int fd = tcp_socket();
    if (connect(fd, (struct sockaddr *)&a, sizeof a) < 0)
        fail("connect");
    return fd;
}

/* Bytes that the peer has acknowledged of those written. */
static int64_t acknowledged(int fd, int64_t written)
{
    int queued = 0;
    ioctl(fd, SIOCOUTQ, &queued);
    return written - queued;
}

static void bulk(const char *address, double seconds, int sending)
{
    static char block[BLOCK];
    int fd = dial(address, sending ? SINK : SOURCE);
    int64_t moved = 0, before = 0;
    double begin = now() + WARM_UP, end = begin + seconds, started = 0, t;
    while ((t = now()) < end) {
        if (started == 0 && t >= begin) {
            started = t;
            before = sending ? acknowledged(fd, moved) : moved;
        }
        ssize_t n = sending ? write(fd, block, sizeof block) : read(fd, block, sizeof block);
        if (n <= 0)
            fail("transfer");
        moved += n;
    }
    int64_t after = sending ? acknowledged(fd, moved) : moved;
    printf("%.3f\n", (double)(after - before) * 8 / (t - started) / 1e9);
}

static int by_size(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static void round_trips(const char *address, double seconds)
{
    static float samples[MOST_SAMPLES];
    int fd = dial(address, ECHO), count = 0;
    char byte = 1;
    double begin = now() + WARM_UP, end = begin + seconds, t = now();
    while (t < end) {
        double sent = t;
        if (write(fd, &byte, 1) != 1 || read(fd, &byte, 1) != 1)
            fail("round trip");
        t = now();
        if (sent >= begin && count < MOST_SAMPLES)
            samples[count++] = (float)((t - sent) * 1e6);
    }
    if (count == 0)
        fail("no round trip");
    qsort(samples, (size_t)count, sizeof *samples, by_size);
    printf("%.1f\n%.1f\n", samples[count / 2], samples[(int)(count * 0.99)]);
}

struct service {
    int fd, port;
};

static void *serve_one(void *argument)
{
    struct service s = *(struct service *)argument;
    char *block = calloc(1, BLOCK);
    ssize_t n = 1;
    free(argument);
    while (n > 0) {
        n = s.port == SOURCE ? write(s.fd, block, BLOCK) : read(s.fd, block, BLOCK);
        if (s.port == ECHO && n > 0)
            n = write(s.fd, block, (size_t)n);
    }
    close(s.fd);
    free(block);
    return NULL;
}

static void *serve_port(void *argument)
{
    struct service *listener = argument;
    int fd;
    while ((fd = accept(listener->fd, NULL, NULL)) >= 0) {
        struct service *s = malloc(sizeof *s);
        pthread_t thread;
        *s = (struct service){fd, listener->port};
        if (pthread_create(&thread, NULL, serve_one, s) != 0)
            break;
        pthread_detach(thread);
    }
    perror("serve");
    return NULL;
}

static void serve(const char *address)
{
    static struct service listeners[] = {{0, SINK}, {0, SOURCE}, {0, ECHO}};
    pthread_t thread;
    for (int i = 0; i < 3; i++) {
        struct sockaddr_in a = name(address, listeners[i].port);
        listeners[i].fd = tcp_socket();
        if (bind(listeners[i].fd, (struct sockaddr *)&a, sizeof a) < 0 || listen(listeners[i].fd, 128) < 0)
            fail("listen");
        pthread_create(&thread, NULL, serve_port, &listeners[i]);
    }
    puts("up");
    fflush(stdout);
    pause();
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    if (argc == 3 && strcmp(argv[1], "serve") == 0)
        serve(argv[2]);
    if (argc != 4)
        return 2;
    if (strcmp(argv[1], "rr") == 0)
        round_trips(argv[2], atof(argv[3]));
    else
        bulk(argv[2], atof(argv[3]), strcmp(argv[1], "tx") == 0);
    return 0;
}
