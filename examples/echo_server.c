/* Sends back whatever comes in, to as many clients as there are descriptors, from one thread.
 *
 *     echo_server [PORT [ADDRESS]]
 *
 * The descriptors of ustcp wait in an ordinary epoll, beside one of the kernel's own. SIGINT and SIGTERM end it. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <ustcp.h>

#define BUFFER_SIZE 16384
#define EVENTS 64

/* A client is read only when all that it sent has gone back: one that does not read its echo is not heard. */
struct client {
    struct client *next, *previous;
    int fd;
    size_t start, end; /* bytes of the buffer that wait to be sent */
    char buffer[BUFFER_SIZE];
};

struct server {
    int epoll, listener, signals;
    bool accepting;
    struct client clients; /* head of a ring */
};

static bool watch(int epoll, int operation, int fd, uint32_t events, void *owner)
{
    struct epoll_event event = { .events = events, .data.ptr = owner };

    if (epoll_ctl(epoll, operation, fd, &event) == 0)
        return true;
    perror("epoll_ctl");
    return false;
}

/* Takes connections or leaves them in the queue, while there is no descriptor for them. */
static void set_accepting(struct server *server, bool on)
{
    if (server->accepting != on &&
        watch(server->epoll, EPOLL_CTL_MOD, server->listener, on ? EPOLLIN : 0, &server->listener))
        server->accepting = on;
}

static void drop(struct server *server, struct client *client)
{
    client->previous->next = client->next;
    client->next->previous = client->previous;
    ustcp_close(client->fd); /* leaves the epoll with it */
    free(client);
    set_accepting(server, true);
}

static void welcome(struct server *server, int fd)
{
    struct client *client = malloc(sizeof *client);

    if (client == NULL || !watch(server->epoll, EPOLL_CTL_ADD, fd, EPOLLIN, client)) {
        free(client);
        ustcp_close(fd);
        return;
    }
    client->fd = fd;
    client->start = client->end = 0;
    client->previous = &server->clients;
    client->next = server->clients.next;
    client->next->previous = client;
    server->clients.next = client;
}

/* Accepts some of those who wait; epoll tells again of the others, after the clients had their turn. */
static void accept_some(struct server *server)
{
    for (int i = 0; i < EVENTS; i++) {
        int fd = ustcp_accept4(server->listener, NULL, NULL, SOCK_NONBLOCK);
        if (fd >= 0) {
            welcome(server, fd);
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            set_accepting(server, false);
            return;
        } else {
            if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
                perror("accept");
            return;
        }
    }
}

static bool is_passing(int error)
{
    return error == EAGAIN || error == EINTR;
}

/* Sends what waits. False when the client is gone. */
static bool flush_client(struct client *client)
{
    while (client->start < client->end) {
        ssize_t sent =
            ustcp_send(client->fd, client->buffer + client->start, client->end - client->start, MSG_NOSIGNAL);
        if (sent < 0)
            return is_passing(errno);
        client->start += (size_t)sent;
    }
    return true;
}

/* One turn: send what waits; when nothing does, read once and send that. */
static void serve(struct server *server, struct client *client)
{
    bool waited = client->start < client->end;

    if (!waited) {
        ssize_t received = ustcp_recv(client->fd, client->buffer, BUFFER_SIZE, 0);
        if (received == 0 || (received < 0 && !is_passing(errno))) {
            drop(server, client);
            return;
        }
        client->start = 0;
        client->end = received < 0 ? 0 : (size_t)received;
    }
    if (!flush_client(client)) {
        drop(server, client);
        return;
    }
    bool waits = client->start < client->end;
    if (waits != waited && !watch(server->epoll, EPOLL_CTL_MOD, client->fd, waits ? EPOLLOUT : EPOLLIN, client))
        drop(server, client);
}

static int listen_on(const char *address, uint16_t port)
{
    struct sockaddr_in name = { .sin_family = AF_INET, .sin_port = htons(port) };
    socklen_t length = sizeof name;
    char text[INET_ADDRSTRLEN];
    const int on = 1;
    int fd = ustcp_socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

    if (fd < 0) {
        perror("socket");
        return -1;
    }
    if (inet_pton(AF_INET, address, &name.sin_addr) != 1) {
        fprintf(stderr, "echo_server: %s is not an IPv4 address\n", address);
    } else if (ustcp_setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
               /* accepted sockets have it from here: an echo is answered at once */
               ustcp_setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0) {
        perror("setsockopt");
    } else if (ustcp_bind(fd, (struct sockaddr *)&name, sizeof name) != 0) {
        perror("bind");
    } else if (ustcp_listen(fd, SOMAXCONN) != 0) {
        perror("listen");
    } else if (ustcp_getsockname(fd, (struct sockaddr *)&name, &length) != 0) {
        perror("getsockname");
    } else {
        printf("listening on %s:%d\n", inet_ntop(AF_INET, &name.sin_addr, text, sizeof text), ntohs(name.sin_port));
        fflush(stdout);
        return fd;
    }
    ustcp_close(fd);
    return -1;
}

/* SIGINT and SIGTERM as a descriptor. */
static int open_signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static bool open_server(struct server *server, const char *address, uint16_t port)
{
    server->clients.next = server->clients.previous = &server->clients;
    server->accepting = true;
    server->signals = open_signals();
    server->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (server->signals < 0 || server->epoll < 0) {
        perror("echo_server");
        return false;
    }
    server->listener = listen_on(address, port);
    return server->listener >= 0 &&
           watch(server->epoll, EPOLL_CTL_ADD, server->signals, EPOLLIN, &server->signals) &&
           watch(server->epoll, EPOLL_CTL_ADD, server->listener, EPOLLIN, &server->listener);
}

/* Serves until a signal says to end. */
static bool run(struct server *server)
{
    for (;;) {
        struct epoll_event events[EVENTS];
        int count = epoll_wait(server->epoll, events, EVENTS, -1);
        if (count < 0 && errno != EINTR) {
            perror("epoll_wait");
            return false;
        }
        for (int i = 0; i < count; i++) {
            void *owner = events[i].data.ptr;
            if (owner == &server->signals)
                return true;
            if (owner == &server->listener)
                accept_some(server);
            else
                serve(server, owner);
        }
    }
}

static void close_server(struct server *server)
{
    ustcp_close(server->listener);
    while (server->clients.next != &server->clients)
        drop(server, server->clients.next);
    close(server->signals);
    close(server->epoll);
    ustcp_fini();
}

int main(int argc, char **argv)
{
    const char *port_text = argc > 1 ? argv[1] : "7";
    const char *address = argc > 2 ? argv[2] : "0.0.0.0";
    char *end;
    long port = strtol(port_text, &end, 10);
    static struct server server;

    if (argc > 3 || end == port_text || *end != '\0' || port < 0 || port > 65535) {
        fprintf(stderr, "usage: echo_server [PORT [ADDRESS]]\n");
        return 2;
    }
    if (!open_server(&server, address, (uint16_t)port))
        return EXIT_FAILURE;
    bool ended_well = run(&server);
    close_server(&server);
    return ended_well ? EXIT_SUCCESS : EXIT_FAILURE;
}
