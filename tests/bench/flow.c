/* One flow of bytes that say where they belong, for the bench of goodput. Built with -DUSTCP against libustcp, and
 * without it against the kernel.
 *
 *   flow receive ADDRESS SECONDS [whole]           accepts one connection, checks every byte that comes
 *   flow send ADDRESS SECONDS ALGORITHM [whole]    connects and sends
 *
 * The receiver breaks off after so many seconds, and the sender sees that. With "whole" the sender ends after so many
 * seconds with FIN, and the receiver reads to the end of the stream.
 *
 * The sender prints the bytes that it wrote. The receiver prints "up", then the bytes that it read, and those of the
 * first SECONDS after it accepted. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#ifdef USTCP
#include <ustcp.h>
#define FACE(name) ustcp_##name
#else
#define FACE(name) name
#endif

enum { PORT = 7001, WORD = 8, BLOCK = 64 * 1024 };
#ifdef USTCP
enum { SEND_BUFFER = 4 << 20 };
#endif

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

static struct sockaddr_in name(const char *address)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    if (inet_pton(AF_INET, address, &a.sin_addr) != 1)
        fail(address);
    return a;
}

/* The byte at `offset` of the stream: words of eight bytes, each a mix of its own number. */
static uint8_t byte_at(uint64_t offset)
{
    uint64_t word = (offset / WORD + 1) * 0x9E3779B97F4A7C15u;
    return (uint8_t)(word >> offset % WORD * 8);
}

static void send_for(const char *address, double seconds, const char *algorithm, int whole)
{
    static uint8_t block[BLOCK];
    struct sockaddr_in a = name(address);
    int fd = FACE(socket)(AF_INET, SOCK_STREAM, 0);
    if (fd < 0)
        fail("socket");
    if (FACE(setsockopt)(fd, IPPROTO_TCP, TCP_CONGESTION, algorithm, (socklen_t)strlen(algorithm)) < 0)
        fail(algorithm);
#ifdef USTCP
    /* The kernel has tcp_wmem: a size set here would be halved by its overhead. */
    int size = SEND_BUFFER;
    if (ustcp_setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size) < 0)
        fail("SO_SNDBUF");
#endif
    if (FACE(connect)(fd, (struct sockaddr *)&a, sizeof a) < 0)
        fail("connect");
    uint64_t sent = 0;
    size_t filled = 0, gone = 0;
    for (double end = now() + seconds; !whole || now() < end || gone < filled;) {
        if (gone == filled) {
            for (filled = 0; filled < BLOCK; filled++)
                block[filled] = byte_at(sent + filled);
            gone = 0;
        }
        ssize_t n = FACE(send)(fd, block + gone, filled - gone, MSG_NOSIGNAL);
        if (n < 0 && !whole && (errno == ECONNRESET || errno == EPIPE))
            break;
        if (n < 0)
            fail("send");
        gone += (size_t)n;
        sent += (uint64_t)n;
    }
    if (FACE(close)(fd) < 0)
        fail("close");
    printf("%llu\n", (unsigned long long)sent);
}

static void check(const uint8_t *block, size_t len, uint64_t offset)
{
    for (size_t i = 0; i < len; i++)
        if (block[i] != byte_at(offset + i)) {
            fprintf(stderr, "wrong byte at %llu\n", (unsigned long long)(offset + i));
            exit(1);
        }
}

static void receive_for(const char *address, double seconds, int whole)
{
    static uint8_t block[BLOCK];
    struct sockaddr_in a = name(address);
    int listener = FACE(socket)(AF_INET, SOCK_STREAM, 0);
    if (listener < 0 || FACE(bind)(listener, (struct sockaddr *)&a, sizeof a) < 0 || FACE(listen)(listener, 1) < 0)
        fail("listen");
    puts("up");
    fflush(stdout);
    int fd = FACE(accept)(listener, NULL, NULL);
    if (fd < 0)
        fail("accept");
    uint64_t read = 0, in_time = 0;
    double end = now() + seconds;
    for (double t = 0; whole || t < end;) {
        ssize_t n = FACE(recv)(fd, block, BLOCK, 0);
        if (n < 0)
            fail("recv");
        if (n == 0)
            break;
        check(block, (size_t)n, read);
        read += (uint64_t)n;
        t = now();
        if (t < end)
            in_time = read;
    }
    printf("%llu %llu\n", (unsigned long long)read, (unsigned long long)in_time);
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    int whole = argc > 4 && strcmp(argv[argc - 1], "whole") == 0;
    if (argc - whole == 4 && strcmp(argv[1], "receive") == 0)
        receive_for(argv[2], atof(argv[3]), whole);
    else if (argc - whole == 5 && strcmp(argv[1], "send") == 0)
        send_for(argv[2], atof(argv[3]), argv[4], whole);
    else
        return 2;
    return 0;
}
