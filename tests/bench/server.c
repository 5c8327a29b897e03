/* sink :7001, source :7002 and echo :7003 on libustcp with plain blocking calls, one thread a connection.
 *   server [BLOCK]     bytes of a call, 131072 unless told */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <ustcp.h>

enum { SINK = 7001, SOURCE = 7002, ECHO = 7003 };

static size_t block_size = 128 * 1024;

struct service {
    int fd, port;
};

static void *serve_one(void *argument)
{
    struct service s = *(struct service *)argument;
    char *block = calloc(1, block_size);
    ssize_t n = 1;
    free(argument);
    while (n > 0) {
        n = s.port == SOURCE ? ustcp_send(s.fd, block, block_size, MSG_NOSIGNAL)
                             : ustcp_recv(s.fd, block, block_size, 0);
        if (s.port == ECHO && n > 0)
            n = ustcp_send(s.fd, block, (size_t)n, MSG_NOSIGNAL);
    }
    ustcp_close(s.fd);
    free(block);
    return NULL;
}

static void *serve_port(void *argument)
{
    struct service *listener = argument;
    int fd;
    while ((fd = ustcp_accept(listener->fd, NULL, NULL)) >= 0) {
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

static int listen_on(int port)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int fd = ustcp_socket(AF_INET, SOCK_STREAM, 0), on = 1;
    if (fd < 0 || ustcp_setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0 ||
        ustcp_bind(fd, (struct sockaddr *)&name, sizeof name) < 0 || ustcp_listen(fd, 128) < 0) {
        perror("listen");
        exit(1);
    }
    return fd;
}

int main(int argc, char **argv)
{
    static struct service listeners[] = {{0, SINK}, {0, SOURCE}, {0, ECHO}};
    pthread_t thread;
    if (argc > 1)
        block_size = strtoul(argv[1], NULL, 10);
    for (int i = 0; i < 3; i++) {
        listeners[i].fd = listen_on(listeners[i].port);
        pthread_create(&thread, NULL, serve_port, &listeners[i]);
    }
    puts("up");
    fflush(stdout);
    pause();
}
