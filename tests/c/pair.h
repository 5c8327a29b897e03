/* Two connected sockets of one stack, over 127.0.0.1 inside it. */
#ifndef PAIR_H
#define PAIR_H

#include <arpa/inet.h>
#include <netinet/in.h>

#include "face.h"
#include "tap.h"

static const struct sockaddr_in any_port = { .sin_family = AF_INET, .sin_addr.s_addr = 0x0100007f };

/* Listens on a free port of 127.0.0.1; *name is where. */
static inline int listen_here(struct sockaddr_in *name)
{
    socklen_t length = sizeof *name;
    int fd = ustcp_socket(AF_INET, SOCK_STREAM, 0);

    NEEDS(fd >= 0);
    NEEDS(ustcp_bind(fd, (const struct sockaddr *)&any_port, sizeof any_port) == 0);
    NEEDS(ustcp_listen(fd, 128) == 0);
    NEEDS(ustcp_getsockname(fd, (struct sockaddr *)name, &length) == 0);
    return fd;
}

static inline int connect_to(const struct sockaddr_in *name)
{
    int fd = ustcp_socket(AF_INET, SOCK_STREAM, 0);

    NEEDS(fd >= 0);
    NEEDS(ustcp_connect(fd, (const struct sockaddr *)name, sizeof *name) == 0);
    return fd;
}

static inline void make_pair(int pair[2])
{
    struct sockaddr_in name;
    int listener = listen_here(&name);

    pair[0] = connect_to(&name);
    pair[1] = ustcp_accept(listener, NULL, NULL);
    NEEDS(pair[1] >= 0);
    NEEDS(ustcp_close(listener) == 0);
}

#endif
