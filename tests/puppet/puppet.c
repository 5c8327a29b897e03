/* A program that does with sockets what it is told, one line at a time; the tests hold the strings.
 *
 *   request   TAG [&] COMMAND WORD...        with &, in a thread of its own: the answer comes when it is done
 *   answer    TAG ok VALUE [WORD...]    or    TAG err ERRNO
 *
 * Built with -DUSTCP against libustcp, and without it against the kernel: the same scenario runs on both. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "sha256.h"

#ifdef USTCP
#include <ustcp.h>
#define FACE(name) ustcp_##name
#else
#define FACE(name) name
#endif

enum { WORDS = 16, BLOCK = 65536, NOTE = 2 * BLOCK + 256 };

struct request {
    char *line;        /* owns what words point into */
    char *tag;
    char *words[WORDS]; /* after the command */
    char note[NOTE];    /* further words of the answer */
};

static long number(struct request *r, int i) { return r->words[i] ? strtol(r->words[i], NULL, 0) : 0; }
static int fd_of(struct request *r) { return (int)number(r, 0); }

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

/* HOST PORT; *size is that of the host's family. */
static union address address(struct request *r, int i, socklen_t *size)
{
    union address a = {0};
    const char *host = r->words[i] ? r->words[i] : "0.0.0.0";
    in_port_t port = htons((uint16_t)number(r, i + 1));
    if (strchr(host, ':')) {
        a.v6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = port};
        inet_pton(AF_INET6, host, &a.v6.sin6_addr);
        *size = sizeof a.v6;
    } else {
        a.v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = port};
        inet_pton(AF_INET, host, &a.v4.sin_addr);
        *size = sizeof a.v4;
    }
    return a;
}

static void note_address(struct request *r, const union address *a)
{
    char text[INET6_ADDRSTRLEN] = "";
    if (a->any.sa_family == AF_INET6)
        inet_ntop(AF_INET6, &a->v6.sin6_addr, text, sizeof text);
    else
        inet_ntop(AF_INET, &a->v4.sin_addr, text, sizeof text);
    snprintf(r->note, NOTE, "%s %u", text, ntohs(a->v4.sin_port)); /* at the same place in both */
}

/* ---- the calls ---- */

static long do_start(struct request *r)
{
    (void)r;
#ifdef USTCP
    return ustcp_init(NULL);
#else
    return 0;
#endif
}

/* socket FLAGS [FAMILY] */
static long do_socket(struct request *r)
{
    int family = r->words[0] && r->words[1] ? (int)number(r, 1) : AF_INET;
    int fd = FACE(socket)(family, SOCK_STREAM | (int)number(r, 0), 0);
#ifndef USTCP
    /* The same congestion control on every machine, where the kernel has it. An engine has it anyway, and a socket of it
     * is a fresh one no more once it has been asked for something. */
    if (getenv("USTCP_ENGINE") == NULL)
        setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "cubic", 5);
#endif
    return fd;
}

static long do_bind(struct request *r)
{
    socklen_t size;
    union address a = address(r, 1, &size);
    return FACE(bind)(fd_of(r), &a.any, size);
}

static long do_listen(struct request *r) { return FACE(listen)(fd_of(r), (int)number(r, 1)); }

static long do_accept(struct request *r)
{
    union address a = {0};
    socklen_t size = sizeof a;
    int fd = FACE(accept)(fd_of(r), &a.any, &size);
    if (fd >= 0)
        note_address(r, &a);
    return fd;
}

static long do_connect(struct request *r)
{
    socklen_t size;
    union address a = address(r, 1, &size);
    return FACE(connect)(fd_of(r), &a.any, size);
}

/* send FD HEX FLAGS */
static long do_send(struct request *r)
{
    const char *hex = r->words[1] ? r->words[1] : "-";
    size_t length = *hex == '-' ? 0 : strlen(hex) / 2;
    unsigned char *data = malloc(length + 1);
    for (size_t i = 0; i < length; i++)
        sscanf(hex + 2 * i, "%2hhx", data + i);
    long sent = FACE(send)(fd_of(r), data, length, MSG_NOSIGNAL | (int)number(r, 2));
    int error = errno;
    free(data);
    errno = error;
    return sent;
}

/* recv FD MAX FLAGS */
static long do_recv(struct request *r)
{
    size_t max = (size_t)number(r, 1) > BLOCK ? BLOCK : (size_t)number(r, 1);
    unsigned char *data = malloc(max + 1);
    long got = FACE(recv)(fd_of(r), data, max, (int)number(r, 2));
    int error = errno;
    for (long i = 0; i < got; i++)
        sprintf(r->note + 2 * i, "%02x", data[i]);
    free(data);
    errno = error;
    return got;
}

/* Pseudo-random bytes by seed; the first eight of every block carry its number, so that no block equals another. */
static unsigned char *pattern(long seed)
{
    unsigned char *block = malloc(BLOCK);
    uint64_t x = (uint64_t)seed;
    for (int i = 0; i < BLOCK; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        block[i] = (unsigned char)(x >> 56);
    }
    return block;
}

/* pour FD BYTES SEED: sends so many bytes. Answers the count and their SHA-256. */
static long do_pour(struct request *r)
{
    long total = number(r, 1), sent = 0;
    unsigned char *block = pattern(number(r, 2));
    struct sha256 digest;
    sha256_init(&digest);
    while (sent < total) {
        for (int i = 0; i < 8; i++)
            block[i] = (unsigned char)(sent / BLOCK >> 8 * i);
        long size = total - sent < BLOCK ? total - sent : BLOCK, done = 0;
        while (done < size) {
            long n = FACE(send)(fd_of(r), block + done, (size_t)(size - done), MSG_NOSIGNAL);
            if (n < 0) {
                int error = errno;
                free(block);
                errno = error;
                return -1;
            }
            done += n;
        }
        sha256_update(&digest, block, (size_t)size);
        sent += size;
    }
    free(block);
    sha256_finish(&digest, r->note);
    return sent;
}

/* drain FD [BYTES]: receives until the end, or so many bytes. Answers the count and their SHA-256. */
static long do_drain(struct request *r)
{
    long most = r->words[1] ? number(r, 1) : -1, got = 0, n = 0;
    unsigned char *block = malloc(BLOCK);
    struct sha256 digest;
    sha256_init(&digest);
    while (most < 0 || got < most) {
        size_t size = most < 0 || most - got > BLOCK ? BLOCK : (size_t)(most - got);
        n = FACE(recv)(fd_of(r), block, size, 0);
        if (n <= 0)
            break;
        sha256_update(&digest, block, (size_t)n);
        got += n;
    }
    int error = errno;
    free(block);
    sha256_finish(&digest, r->note);
    errno = error;
    return n < 0 ? -1 : got;
}

/* echo FD: sends back what it receives, until the end; then closes. Answers the count. */
static long do_echo(struct request *r)
{
    unsigned char *block = malloc(BLOCK);
    long n, total = 0;
    while ((n = FACE(recv)(fd_of(r), block, BLOCK, 0)) > 0) {
        for (long done = 0; done < n;) {
            long m = FACE(send)(fd_of(r), block + done, (size_t)(n - done), MSG_NOSIGNAL);
            if (m < 0) {
                free(block);
                return -1;
            }
            done += m;
        }
        total += n;
    }
    int error = errno;
    free(block);
    errno = error;
    return n < 0 ? -1 : (FACE(close)(fd_of(r)), total);
}

static long do_shutdown(struct request *r) { return FACE(shutdown)(fd_of(r), (int)number(r, 1)); }
static long do_close(struct request *r) { return FACE(close)(fd_of(r)); }

static long do_sockname(struct request *r)
{
    union address a = {0};
    socklen_t size = sizeof a;
    int result = FACE(getsockname)(fd_of(r), &a.any, &size);
    note_address(r, &a);
    return result;
}

static long do_peername(struct request *r)
{
    union address a = {0};
    socklen_t size = sizeof a;
    int result = FACE(getpeername)(fd_of(r), &a.any, &size);
    note_address(r, &a);
    return result;
}

/* setsockopt FD LEVEL NAME INT, getsockopt FD LEVEL NAME */
static long do_setsockopt(struct request *r)
{
    int value = (int)number(r, 3);
    return FACE(setsockopt)(fd_of(r), (int)number(r, 1), (int)number(r, 2), &value, sizeof value);
}

static long do_getsockopt(struct request *r)
{
    int value = 0;
    socklen_t size = sizeof value;
    int result = FACE(getsockopt)(fd_of(r), (int)number(r, 1), (int)number(r, 2), &value, &size);
    return result < 0 ? result : value;
}

/* linger FD SECONDS; timeout FD SO_RCVTIMEO|SO_SNDTIMEO MILLISECONDS */
static long do_linger(struct request *r)
{
    struct linger value = {.l_onoff = 1, .l_linger = (int)number(r, 1)};
    return FACE(setsockopt)(fd_of(r), SOL_SOCKET, SO_LINGER, &value, sizeof value);
}

static long do_timeout(struct request *r)
{
    struct timeval value = {.tv_sec = number(r, 2) / 1000, .tv_usec = number(r, 2) % 1000 * 1000};
    return FACE(setsockopt)(fd_of(r), SOL_SOCKET, (int)number(r, 1), &value, sizeof value);
}

/* state FD: the TCP state by TCP_INFO, in Linux's numbers */
static long do_state(struct request *r)
{
    struct tcp_info info = {0};
    socklen_t size = sizeof info;
    int result = FACE(getsockopt)(fd_of(r), IPPROTO_TCP, TCP_INFO, &info, &size);
    return result < 0 ? result : info.tcpi_state;
}

static long do_nonblock(struct request *r)
{
    return FACE(fcntl)(fd_of(r), F_SETFL, number(r, 1) ? O_NONBLOCK : 0);
}

/* ---- readiness: poll, select and epoll are the kernel's own on the socket's descriptor ---- */

/* poll FD EVENTS MILLISECONDS */
static long do_poll(struct request *r)
{
    struct pollfd p = {.fd = fd_of(r), .events = (short)number(r, 1)};
    int n = poll(&p, 1, (int)number(r, 2));
    return n < 0 ? n : p.revents;
}

/* upoll FD EVENTS MILLISECONDS: by our own poll */
static long do_upoll(struct request *r)
{
    struct pollfd p = {.fd = fd_of(r), .events = (short)number(r, 1)};
    int n = FACE(poll)(&p, 1, (int)number(r, 2));
    return n < 0 ? n : p.revents;
}

/* select FD: 1 readable, 2 writable, 4 exceptional, at once */
static long do_select(struct request *r)
{
    fd_set in, out, odd;
    struct timeval none = {0};
    int fd = fd_of(r);
    FD_ZERO(&in);
    FD_ZERO(&out);
    FD_ZERO(&odd);
    FD_SET(fd, &in);
    FD_SET(fd, &out);
    FD_SET(fd, &odd);
    int n = select(fd + 1, &in, &out, &odd, &none);
    return n < 0 ? n : (FD_ISSET(fd, &in) ? 1 : 0) | (FD_ISSET(fd, &out) ? 2 : 0) | (FD_ISSET(fd, &odd) ? 4 : 0);
}

/* watch FD EVENTS: a new epoll that watches it. Answers the epoll. */
static long do_watch(struct request *r)
{
    int fd = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = (uint32_t)number(r, 1)};
    return epoll_ctl(fd, EPOLL_CTL_ADD, fd_of(r), &event) < 0 ? -1 : fd;
}

/* events EPOLL MILLISECONDS: the mask of the one descriptor watched, 0 when nothing came */
static long do_events(struct request *r)
{
    struct epoll_event event = {0};
    int n = epoll_wait(fd_of(r), &event, 1, (int)number(r, 1));
    return n < 0 ? n : n == 0 ? 0 : (long)event.events;
}

static long do_unwatch(struct request *r) { return close(fd_of(r)); }

/* ---- the strings ---- */

static const struct {
    const char *name;
    long (*act)(struct request *);
} commands[] = {
    {"start", do_start},             {"socket", do_socket},           {"bind", do_bind},
    {"listen", do_listen},           {"accept", do_accept},           {"connect", do_connect},
    {"send", do_send},               {"recv", do_recv},               {"pour", do_pour},
    {"drain", do_drain},             {"echo", do_echo},               {"shutdown", do_shutdown},
    {"close", do_close},             {"sockname", do_sockname},       {"peername", do_peername},
    {"setsockopt", do_setsockopt},   {"getsockopt", do_getsockopt},   {"linger", do_linger},
    {"timeout", do_timeout},         {"state", do_state},             {"nonblock", do_nonblock},
    {"poll", do_poll},               {"upoll", do_upoll},             {"select", do_select},
    {"watch", do_watch},             {"events", do_events},           {"unwatch", do_unwatch},
};

static long act(const char *name, struct request *r)
{
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (strcmp(commands[i].name, name) == 0)
            return commands[i].act(r);
    errno = ENOSYS;
    return -1;
}

static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;

static void *answer(void *argument)
{
    struct request *r = argument;
    char *command = r->words[0];
    memmove(r->words, r->words + 1, (WORDS - 1) * sizeof *r->words);
    long value = act(command, r);
    int error = errno;
    pthread_mutex_lock(&one_at_a_time);
    if (value < 0)
        printf("%s err %s\n", r->tag, strerrorname_np(error) ? strerrorname_np(error) : "0");
    else
        printf("%s ok %ld %s\n", r->tag, value, r->note);
    fflush(stdout);
    pthread_mutex_unlock(&one_at_a_time);
    free(r->line);
    free(r);
    return NULL;
}

int main(void)
{
    char *line = NULL;
    size_t size = 0;
    while (getline(&line, &size, stdin) > 0) {
        struct request *r = calloc(1, sizeof *r);
        char *save = NULL;
        r->line = strdup(line);
        r->tag = strtok_r(r->line, " \n", &save);
        char *word = strtok_r(NULL, " \n", &save);
        int background = word && strcmp(word, "&") == 0;
        if (background)
            word = strtok_r(NULL, " \n", &save);
        for (int i = 0; word && i < WORDS - 1; i++, word = strtok_r(NULL, " \n", &save))
            r->words[i] = word;
        if (!r->tag || !r->words[0])
            return 2;
        pthread_t thread;
        if (!background)
            answer(r);
        else if (pthread_create(&thread, NULL, answer, r) == 0)
            pthread_detach(thread);
        else
            return 2;
    }
    free(line);
    pthread_mutex_lock(&one_at_a_time); /* exit would write out what a thread is about to have written */
    return 0;
}
