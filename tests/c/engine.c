/* libustcp as the client of an engine (USTCP_ENGINE): its beginning and end, and descriptors that are the kernel's own.
 *
 * With the argument "absent" the engine is not there. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pair.h"

static void test_beginning_and_end(void)
{
    struct ustcp_config config = USTCP_CONFIG_INIT;

    config.mtu = 1400;
    FAILS(ustcp_init(&config), EOPNOTSUPP); /* the engine has its settings */
    config.mtu = 0;
    config.tun_fd = 1;
    FAILS(ustcp_init(&config), EOPNOTSUPP);
    config.tun_fd = 0;
    GIVES(ustcp_init(&config), 0);
    FAILS(ustcp_init(NULL), EALREADY);
    GIVES(ustcp_fini(), 0);
    GIVES(ustcp_init(NULL), 0);
}

static void test_native_calls(void)
{
    char bytes[16] = "";
    int pair[2], file, other;
    FILE *lines;

    make_pair(pair);
    GIVES(write(pair[0], "native", 6), 6);
    GIVES(ustcp_read(pair[1], bytes, sizeof bytes), 6);
    HOLDS(memcmp(bytes, "native", 6) == 0);
    GIVES(ustcp_write(pair[1], "ours", 4), 4);
    GIVES(poll(&(struct pollfd){ .fd = pair[0], .events = POLLIN }, 1, -1), 1);
    GIVES(read(pair[0], bytes, sizeof bytes), 4);
    HOLDS(memcmp(bytes, "ours", 4) == 0);

    file = open("/proc/self/exe", O_RDONLY);
    NEEDS(file >= 0);
    GIVES(sendfile(pair[0], file, NULL, 4), 4);
    GIVES(ustcp_recv(pair[1], bytes, 4, MSG_WAITALL), 4);
    HOLDS(memcmp(bytes, "\177ELF", 4) == 0);
    close(file);

    other = dup(pair[0]);
    NEEDS(other >= 0);
    GIVES(close(pair[0]), 0);
    GIVES(ustcp_send(other, "copy", 4, 0), 4); /* a copy is a socket of ours */
    GIVES(ustcp_recv(pair[1], bytes, sizeof bytes, 0), 4);
    pair[0] = ustcp_fcntl(other, F_DUPFD_CLOEXEC, 100);
    HOLDS(pair[0] >= 100);
    GIVES(ustcp_close(other), 0);
    FAILS(ustcp_close(other), EBADF);

    lines = fdopen(pair[0], "w");
    NEEDS(lines != NULL);
    HOLDS(fputs("a line\n", lines) >= 0);
    GIVES(fclose(lines), 0);
    GIVES(ustcp_recv(pair[1], bytes, 7, MSG_WAITALL), 7);
    GIVES(ustcp_recv(pair[1], bytes, sizeof bytes, 0), 0); /* FIN, by a close that libustcp has not seen */
    GIVES(ustcp_close(pair[1]), 0);
}

static volatile sig_atomic_t pipes;

static void count_pipe(int number)
{
    (void)number;
    pipes++;
}

/* The peer's RST is told once and quietly; SIGPIPE goes with EPIPE. */
static void test_pieces_after_a_reset(void)
{
    struct linger none = { .l_onoff = 1 };
    struct iovec pieces[2] = { { "pie", 3 }, { "ces", 3 } };
    int pair[2];

    NEEDS(signal(SIGPIPE, count_pipe) != SIG_ERR);
    make_pair(pair);
    GIVES(ustcp_writev(pair[0], pieces, 2), 6);
    GIVES(ustcp_writev(pair[0], pieces, 0), 0);
    FAILS(ustcp_writev(pair[0], pieces, -1), EINVAL);
    FAILS(ustcp_writev(pair[0], pieces, 1025), EINVAL);
    NEEDS(ustcp_setsockopt(pair[1], SOL_SOCKET, SO_LINGER, &none, sizeof none) == 0);
    GIVES(ustcp_close(pair[1]), 0);
    GIVES(poll(&(struct pollfd){ .fd = pair[0], .events = POLLIN }, 1, -1), 1);
    FAILS(ustcp_writev(pair[0], pieces, 2), ECONNRESET);
    GIVES(pipes, 0);
    FAILS(ustcp_writev(pair[0], pieces, 2), EPIPE);
    GIVES(pipes, 1);
    GIVES(ustcp_close(pair[0]), 0);
    NEEDS(signal(SIGPIPE, SIG_DFL) != SIG_ERR);
}

/* Nothing will come to it, and nothing goes: no call waits. */
static void test_what_is_not_connected(void)
{
    struct sockaddr_in name;
    char byte = 'x';
    struct iovec piece = { .iov_base = &byte, .iov_len = 1 };
    struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1 };
    int sockets[] = { listen_here(&name), ustcp_socket(AF_INET, SOCK_STREAM, 0) };

    NEEDS(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
    name.sin_port = 0;
    GIVES(ustcp_bind(sockets[1], (struct sockaddr *)&name, sizeof name), 0);
    for (int i = 0; i < 2; i++) {
        FAILS(ustcp_recv(sockets[i], &byte, 1, 0), ENOTCONN);
        FAILS(ustcp_recv(sockets[i], &byte, 1, MSG_TRUNC), ENOTCONN);
        FAILS(ustcp_recv(sockets[i], &byte, 1, MSG_PEEK | MSG_WAITALL), ENOTCONN);
        FAILS(ustcp_recvmsg(sockets[i], &message, 0), ENOTCONN);
        FAILS(ustcp_read(sockets[i], &byte, 1), ENOTCONN);
        FAILS(ustcp_readv(sockets[i], &piece, 1), ENOTCONN);
        FAILS(ustcp_send(sockets[i], &byte, 1, 0), EPIPE);
        FAILS(ustcp_send(sockets[i], &byte, 1, MSG_OOB), EPIPE);
        FAILS(ustcp_sendmsg(sockets[i], &message, 0), EPIPE);
        FAILS(ustcp_write(sockets[i], &byte, 1), EPIPE);
        FAILS(ustcp_writev(sockets[i], &piece, 1), EPIPE);
        GIVES(ustcp_close(sockets[i]), 0);
    }
    NEEDS(signal(SIGPIPE, SIG_DFL) != SIG_ERR);
}

static int end_of(pid_t child)
{
    int status = -1;

    NEEDS(child > 0);
    NEEDS(waitpid(child, &status, 0) == child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* What a child does with its parent's sockets, and with ones of its own. */
static int child(int connected, const struct sockaddr_in *listener)
{
    char byte;
    int own = ustcp_socket(AF_INET, SOCK_STREAM, 0);

    if (ustcp_send(connected, "child", 5, 0) != 5 || own < 0)
        return 1;
    if (ustcp_connect(own, (const struct sockaddr *)listener, sizeof *listener) != 0)
        return 2;
    if (ustcp_recv(own, &byte, 1, 0) != 1 || byte != '!')
        return 3;
    return 0;
}

static void test_children(void)
{
    struct sockaddr_in name;
    char bytes[16], command[64];
    int pair[2], listener = listen_here(&name), accepted;
    pid_t pid;

    make_pair(pair);
    pid = fork();
    if (pid == 0)
        _exit(child(pair[0], &name));
    accepted = ustcp_accept(listener, NULL, NULL);
    NEEDS(accepted >= 0);
    GIVES(ustcp_send(accepted, "!", 1, 0), 1);
    GIVES(ustcp_recv(pair[1], bytes, 5, MSG_WAITALL), 5);
    GIVES(end_of(pid), 0);
    GIVES(ustcp_recv(accepted, bytes, sizeof bytes, 0), 0); /* its end was a close of what it had alone */
    GIVES(ustcp_send(pair[0], "still", 5, 0), 5);
    GIVES(ustcp_recv(pair[1], bytes, 5, MSG_WAITALL), 5);

    GIVES(ustcp_fcntl(pair[0], F_GETFD), 0); /* not close-on-exec unless asked */
    snprintf(command, sizeof command, "echo executed >&%d", pair[0]);
    pid = fork();
    if (pid == 0) {
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    GIVES(end_of(pid), 0);
    GIVES(ustcp_recv(pair[1], bytes, 9, MSG_WAITALL), 9);
    HOLDS(memcmp(bytes, "executed\n", 9) == 0);
    ustcp_close(accepted);
    ustcp_close(listener);
    ustcp_close(pair[0]);
    ustcp_close(pair[1]);
}

static void test_absent(void)
{
    FAILS(ustcp_socket(AF_INET, SOCK_STREAM, 0), ENETDOWN);
    FAILS(ustcp_socket(AF_INET6, SOCK_STREAM, 0), ENETDOWN);
    FAILS(ustcp_socket(AF_UNIX, SOCK_STREAM, 0), EAFNOSUPPORT);
    FAILS(ustcp_close(0), EBADF);
    GIVES(ustcp_poll(NULL, 0, 0), 0);
    GIVES(ustcp_fini(), 0);
}

int main(int count, char **words)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    alarm(60); /* a call that hangs is a failure, not a wait */
    if (count > 1 && strcmp(words[1], "absent") == 0) {
        test_absent();
        return tap_end();
    }
    test_beginning_and_end();
    test_native_calls();
    test_pieces_after_a_reset();
    test_what_is_not_connected();
    test_children();
    return tap_end();
}
