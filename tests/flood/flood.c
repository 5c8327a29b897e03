/* The parts of a SYN flood, on kernel sockets. Who is flooded serves sink :7001 and echo :7003, as the bench's server.
 *
 *   flood serve                              the same two on the kernel's own TCP: who is flooded for comparison
 *   flood syns ADDRESS PORT RATE SECONDS     so many SYNs a second from everywhere in 198.18.0.0/15
 *   flood flow ADDRESS SECONDS BITS          one flow into the sink, paced at so many bits a second
 *   flood connects ADDRESS COUNT SECONDS     clients one after the other, evenly over so many seconds or as fast as they are
 *                                            served: connect, one byte there and back, close
 *
 * Prints: "up"; SYNs sent and seconds; Mbit/s; how many clients were served, and p50 and p99 of the time it took, in ms. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <linux/sockios.h>

enum { SINK = 7001, ECHO = 7003, BATCH = 100, PACKET = 60, BLOCK = 128 * 1024, MOST_CLIENTS = 10000 };

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void wait_until(double when)
{
    struct timespec t = {.tv_sec = (time_t)when, .tv_nsec = (long)((when - (double)(time_t)when) * 1e9)};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static struct sockaddr_in name(const char *address, int port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    if (inet_pton(AF_INET, address, &a.sin_addr) != 1)
        fail(address);
    return a;
}

static uint64_t roll(void)
{
    static uint64_t x = 0x9e3779b97f4a7c15;
    x ^= x << 13;
    x ^= x >> 7;
    return x ^= x << 17;
}

static void put16(uint8_t *at, unsigned value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static void put32(uint8_t *at, uint32_t value)
{
    put16(at, value >> 16);
    put16(at + 2, value & 0xffff);
}

static uint32_t sum(const uint8_t *at, int len, uint32_t total)
{
    for (int i = 0; i < len; i += 2)
        total += (uint32_t)at[i] << 8 | at[i + 1];
    return total;
}

static unsigned folded(uint32_t total)
{
    while (total >> 16)
        total = (total & 0xffff) + (total >> 16);
    return ~total & 0xffff;
}

/* A SYN as Linux would send it, from an address and a port of nobody. */
static void make_syn(uint8_t packet[PACKET], const struct sockaddr_in *to)
{
    static const uint8_t options[20] = {2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7};
    uint64_t dice = roll();
    uint8_t *tcp = packet + 20;
    memset(packet, 0, PACKET);
    packet[0] = 0x45;
    put16(packet + 2, PACKET);
    put16(packet + 6, 0x4000);
    packet[8] = 64;
    packet[9] = IPPROTO_TCP;
    put32(packet + 12, 0xc6120000u | (uint32_t)(dice & 0x1ffff));
    memcpy(packet + 16, &to->sin_addr, 4);
    put16(tcp, 1024 + (unsigned)(dice >> 17) % 60000);
    memcpy(tcp + 2, &to->sin_port, 2);
    put32(tcp + 4, (uint32_t)(dice >> 32));
    tcp[12] = 10 << 4;
    tcp[13] = 2;
    put16(tcp + 14, 64240);
    memcpy(tcp + 20, options, sizeof options);
    put16(tcp + 16, folded(sum(packet + 12, 8, sum(tcp, PACKET - 20, IPPROTO_TCP + PACKET - 20))));
}

static void send_syns(const char *address, int port, double rate, double seconds)
{
    static uint8_t packets[BATCH][PACKET];
    struct sockaddr_in to = name(address, port);
    struct iovec parts[BATCH];
    struct mmsghdr messages[BATCH] = {0};
    int fd = socket(AF_INET, SOCK_RAW, IPPROTO_RAW), buffer = 8 << 20;
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &buffer, sizeof buffer) < 0)
        fail("raw socket");
    for (int i = 0; i < BATCH; i++) {
        parts[i] = (struct iovec){packets[i], PACKET};
        messages[i].msg_hdr = (struct msghdr){
            .msg_name = &to, .msg_namelen = sizeof to, .msg_iov = &parts[i], .msg_iovlen = 1};
    }
    double begin = now(), end = begin + seconds;
    uint64_t sent = 0, count = (uint64_t)(rate * seconds);
    while (sent < count && now() < end + 1) {
        for (int i = 0; i < BATCH; i++)
            make_syn(packets[i], &to);
        int n = sendmmsg(fd, messages, BATCH, 0);
        if (n < 0)
            fail("sendmmsg");
        sent += (uint64_t)n;
        wait_until(begin + (double)sent / rate);
    }
    printf("%llu %.2f\n", (unsigned long long)sent, now() - begin);
}

static int dial(const char *address, int port)
{
    struct sockaddr_in to = name(address, port);
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    if (fd < 0)
        fail("socket");
    setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "cubic", 5);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(fd, (struct sockaddr *)&to, sizeof to) == 0)
        return fd;
    close(fd);
    return -1;
}

static void flow(const char *address, double seconds, double bits)
{
    static char block[64 * 1024];
    int fd = dial(address, SINK);
    uint64_t rate = (uint64_t)(bits / 8);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_MAX_PACING_RATE, &rate, sizeof rate) < 0)
        fail("flow");
    double begin = now(), t;
    uint64_t written = 0;
    while ((t = now()) < begin + seconds) {
        ssize_t n = write(fd, block, sizeof block);
        if (n <= 0)
            fail("write");
        written += (uint64_t)n;
    }
    int waiting;
    if (ioctl(fd, SIOCOUTQ, &waiting) < 0)
        fail("SIOCOUTQ");
    printf("%.1f\n", (double)(written - (uint64_t)waiting) * 8 / (t - begin) / 1e6);
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void connects(const char *address, int count, double seconds)
{
    static double times[MOST_CLIENTS];
    double first = now();
    int served = 0;
    for (int i = 0; i < count && i < MOST_CLIENTS; i++) {
        wait_until(first + seconds * i / count);
        double begin = now();
        int fd = dial(address, ECHO);
        char byte = 1;
        if (fd >= 0 && write(fd, &byte, 1) == 1 && read(fd, &byte, 1) == 1)
            times[served++] = (now() - begin) * 1e3;
        if (fd >= 0)
            close(fd);
    }
    qsort(times, (size_t)served, sizeof *times, by_size);
    printf("%d %.2f %.2f\n", served, times[served / 2], times[served * 99 / 100]);
}

struct service {
    int fd, port;
};

static void *serve_one(void *argument)
{
    struct service s = *(struct service *)argument;
    char *block = malloc(BLOCK);
    ssize_t n;
    free(argument);
    while ((n = read(s.fd, block, BLOCK)) > 0)
        if (s.port == ECHO && write(s.fd, block, (size_t)n) != n)
            break;
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
    fail("accept");
    return NULL;
}

static void serve(void)
{
    static struct service listeners[] = {{0, SINK}, {0, ECHO}};
    for (int i = 0; i < 2; i++) {
        struct sockaddr_in to = name("0.0.0.0", listeners[i].port);
        pthread_t thread;
        int fd = listeners[i].fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
        if (fd < 0 || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0 ||
            bind(fd, (struct sockaddr *)&to, sizeof to) < 0 || listen(fd, 128) < 0)
            fail("listen");
        pthread_create(&thread, NULL, serve_port, &listeners[i]);
    }
    puts("up");
    fflush(stdout);
    pause();
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "serve") == 0)
        serve();
    else if (argc == 6 && strcmp(argv[1], "syns") == 0)
        send_syns(argv[2], atoi(argv[3]), atof(argv[4]), atof(argv[5]));
    else if (argc == 5 && strcmp(argv[1], "flow") == 0)
        flow(argv[2], atof(argv[3]), atof(argv[4]));
    else if (argc == 5 && strcmp(argv[1], "connects") == 0)
        connects(argv[2], atoi(argv[3]), atof(argv[4]));
    else
        return 2;
    return 0;
}
