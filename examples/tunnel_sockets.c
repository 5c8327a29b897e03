/* The far end of a tunnel, without a kernel: packets come in from any descriptor, and each connection in them, wherever it
 * goes, becomes an accepted socket here. A proxy would now connect to that place; this program greets with the address
 * and port that its peer wanted, sends back what comes in, and closes when its peer has.
 *
 *     tunnel_sockets FD          packets from and to a descriptor that it has inherited: one IP packet a read or write
 *     tunnel_sockets --tun NAME  or from a TUN device
 *
 * One thread, one poll: the stack only has to be told the time. SIGINT and SIGTERM end it. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include <ustcp.h>

#define LARGEST_PACKET 65535
#define MOST_CLIENTS 1024
#define BUFFER_SIZE 16384

struct client {
    int fd; /* a number of the stack's; -1: nobody */
    size_t start, end;
    char buffer[BUFFER_SIZE];
};

static struct client clients[MOST_CLIENTS];

static void die(const char *what, int number)
{
    fprintf(stderr, "tunnel_sockets: %s: %s\n", what, strerror(number));
    exit(EXIT_FAILURE);
}

/* Calls on a stack return an error's number, negative. */
static int check(int result, const char *what)
{
    if (result < 0)
        die(what, -result);
    return result;
}

static uint64_t monotonic(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static int open_tun(const char *name)
{
    struct ifreq request = { .ifr_flags = IFF_TUN | IFF_NO_PI };
    int fd = open("/dev/net/tun", O_RDWR);

    strncpy(request.ifr_name, name, IFNAMSIZ - 1);
    if (fd < 0 || ioctl(fd, TUNSETIFF, &request) < 0)
        die(name, errno);
    return fd;
}

/* One listener for every address of both families and every port. */
static int listen_everywhere(struct ustcp_stack *stack)
{
    struct sockaddr_in6 anywhere = { .sin6_family = AF_INET6, .sin6_addr = in6addr_any };
    int on = 1, fd = check(ustcp_stack_socket(stack, AF_INET6, SOCK_STREAM, 0), "socket");

    check(ustcp_stack_setsockopt(stack, fd, IPPROTO_IPV6, IPV6_TRANSPARENT, &on, sizeof on), "IPV6_TRANSPARENT");
    check(ustcp_stack_bind(stack, fd, (struct sockaddr *)&anywhere, sizeof anywhere), "bind");
    check(ustcp_stack_listen(stack, fd, SOMAXCONN), "listen");
    return fd;
}

static struct client *client_of(int fd)
{
    for (size_t i = 0; i < MOST_CLIENTS; i++)
        if (clients[i].fd == fd)
            return &clients[i];
    return NULL;
}

static void drop(struct ustcp_stack *stack, struct client *client)
{
    ustcp_stack_close(stack, client->fd);
    client->fd = -1;
}

/* Where the peer of an accepted socket wanted to go: IPv4 shows as ::ffff:a.b.c.d on a socket of both families. */
static int destination(struct ustcp_stack *stack, int fd, char *text, size_t size)
{
    struct sockaddr_in6 address;
    socklen_t length = sizeof address;
    char host[INET6_ADDRSTRLEN];

    check(ustcp_stack_getsockname(stack, fd, (struct sockaddr *)&address, &length), "getsockname");
    if (IN6_IS_ADDR_V4MAPPED(&address.sin6_addr))
        inet_ntop(AF_INET, &address.sin6_addr.s6_addr[12], host, sizeof host);
    else
        inet_ntop(AF_INET6, &address.sin6_addr, host, sizeof host);
    return snprintf(text, size, "%s %d\n", host, ntohs(address.sin6_port));
}

static void accept_all(struct ustcp_stack *stack, int listener)
{
    int fd;

    while ((fd = ustcp_stack_accept(stack, listener, NULL, NULL)) >= 0) {
        struct client *client = client_of(-1);

        if (client == NULL) {
            ustcp_stack_close(stack, fd);
            continue;
        }
        client->fd = fd;
        client->start = 0;
        client->end = (size_t)destination(stack, fd, client->buffer, sizeof client->buffer);
        printf("a connection to %.*s", (int)client->end, client->buffer);
        fflush(stdout);
    }
}

/* Sends what is in the buffer, and reads more when it is empty: a peer that does not read is not heard. */
static void serve(struct ustcp_stack *stack, struct client *client)
{
    for (;;) {
        ssize_t moved;

        if (client->start < client->end) {
            moved = ustcp_stack_sendto(stack, client->fd, client->buffer + client->start,
                                       client->end - client->start, 0, NULL, 0);
            if (moved > 0)
                client->start += (size_t)moved;
        } else {
            moved = ustcp_stack_recvfrom(stack, client->fd, client->buffer, sizeof client->buffer, 0, NULL, NULL);
            client->start = 0;
            client->end = moved > 0 ? (size_t)moved : 0;
        }
        if (moved == -EAGAIN)
            return;
        if (moved <= 0) {
            drop(stack, client);
            return;
        }
    }
}

/* The stack names the sockets that something has happened to, new ones among them. */
static void serve_all(struct ustcp_stack *stack, int listener)
{
    int fd;

    while ((fd = ustcp_stack_ready(stack)) >= 0) {
        struct client *client = client_of(fd);

        if (fd == listener)
            accept_all(stack, listener);
        else if (client != NULL)
            serve(stack, client);
    }
}

/* Writes out what the stack has to send. A packet that finds no room is lost, as on any road. */
static void transmit(struct ustcp_stack *stack, int fd)
{
    static unsigned char packet[LARGEST_PACKET];
    ssize_t length;

    while ((length = ustcp_stack_output(stack, packet, sizeof packet, NULL)) > 0)
        if (write(fd, packet, (size_t)length) < 0 && errno != EAGAIN && errno != ENOBUFS && errno != EIO)
            die("write", errno);
}

/* Milliseconds until the stack wants to be told the time, rounded up. */
static int patience(struct ustcp_stack *stack)
{
    uint64_t due, now = monotonic();

    if (check(ustcp_stack_deadline(stack, &due), "deadline") == 0)
        return -1;
    due = due > now ? (due - now + 999999) / 1000000 : 0;
    return due > 1000000 ? 1000000 : (int)due;
}

int main(int argc, char **argv)
{
    static unsigned char packet[LARGEST_PACKET];
    struct ustcp_stack *stack;
    struct pollfd wait = { .events = POLLIN };

    if (argc == 3 && strcmp(argv[1], "--tun") == 0) {
        wait.fd = open_tun(argv[2]);
    } else if (argc == 2 && argv[1][0] != '-') {
        wait.fd = atoi(argv[1]);
    } else {
        fprintf(stderr, "usage: tunnel_sockets FD | --tun NAME\n");
        return 2;
    }
    if (fcntl(wait.fd, F_SETFL, O_NONBLOCK) < 0)
        die("the descriptor", errno);
    for (size_t i = 0; i < MOST_CLIENTS; i++)
        clients[i].fd = -1;
    check(ustcp_stack_new(&stack, NULL), "a stack");
    check(ustcp_stack_set(stack, "any_address", "1"), "any_address");
    check(ustcp_stack_advance(stack, monotonic()), "advance");
    int listener = listen_everywhere(stack);

    for (;;) {
        ssize_t length = 0;

        if (poll(&wait, 1, patience(stack)) < 0)
            die("poll", errno);
        while ((length = read(wait.fd, packet, sizeof packet)) > 0)
            check(ustcp_stack_input(stack, packet, (size_t)length, 0, monotonic()), "input");
        if (length == 0)
            break; /* the other end of the descriptor has gone */
        if (errno != EAGAIN)
            die("read", errno);
        check(ustcp_stack_advance(stack, monotonic()), "advance");
        serve_all(stack, listener);
        transmit(stack, wait.fd);
    }
    return check(ustcp_stack_free(stack), "free");
}
