/* Fetches a page over libustcp and writes its body to standard output.
 *
 *     http_get http://10.77.0.1:8080/index.html
 *
 * The address is a number: names are resolved by the host's own library, which does not speak through this stack. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ustcp.h>

#define LONGEST_HEAD (64 * 1024)

struct url {
    struct sockaddr_in address;
    char authority[64]; /* as in the Host field: A.B.C.D or A.B.C.D:port */
    const char *path;
};

/* Takes http://A.B.C.D[:port][/path] apart. */
static bool parse_url(const char *text, struct url *url)
{
    static const char scheme[] = "http://";
    char host[INET_ADDRSTRLEN] = "";
    long port = 80;

    if (strncmp(text, scheme, sizeof scheme - 1) != 0)
        return false;
    text += sizeof scheme - 1;

    size_t length = strcspn(text, "/");
    if (length >= sizeof url->authority)
        return false;
    memcpy(url->authority, text, length);
    url->authority[length] = '\0';
    url->path = text[length] == '/' ? text + length : "/";

    size_t host_length = strcspn(url->authority, ":");
    if (host_length >= sizeof host)
        return false;
    memcpy(host, url->authority, host_length);
    if (url->authority[host_length] == ':') {
        char *end;
        port = strtol(url->authority + host_length + 1, &end, 10);
        if (*end != '\0' || port < 1 || port > 65535)
            return false;
    }

    memset(&url->address, 0, sizeof url->address);
    url->address.sin_family = AF_INET;
    url->address.sin_port = htons((uint16_t)port);
    return inet_pton(AF_INET, host, &url->address.sin_addr) == 1;
}

static bool send_all(int fd, const char *bytes, size_t length)
{
    while (length > 0) {
        ssize_t sent = ustcp_send(fd, bytes, length, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0) {
            perror("send");
            return false;
        }
        bytes += sent;
        length -= (size_t)sent;
    }
    return true;
}

/* HTTP/1.0, so that the body comes as it is and never in chunks; kept alive, so that a server which agrees leaves it to
 * us to close first, and TIME-WAIT is ours. */
static bool send_request(int fd, const struct url *url)
{
    static const char format[] = "GET %s HTTP/1.0\r\nHost: %s\r\nConnection: keep-alive\r\n\r\n";
    size_t size = sizeof format + strlen(url->path) + strlen(url->authority);
    char *request = malloc(size);

    if (request == NULL) {
        perror("request");
        return false;
    }
    /* In one piece: one segment, where several sends would wait for each other's acknowledgements (Nagle). */
    bool sent = send_all(fd, request, (size_t)snprintf(request, size, format, url->path, url->authority));
    free(request);
    return sent;
}

/* recv that goes on after a signal. */
static ssize_t receive(int fd, char *buffer, size_t size)
{
    ssize_t received;

    do
        received = ustcp_recv(fd, buffer, size, 0);
    while (received < 0 && errno == EINTR);
    if (received < 0)
        perror("recv");
    return received;
}

/* Reads until the empty line that ends the head. Returns the bytes read, with *head the length of the head, or -1. */
static ssize_t read_head(int fd, char *buffer, size_t size, size_t *head)
{
    size_t length = 0;

    for (;;) {
        ssize_t received = receive(fd, buffer + length, size - 1 - length);
        if (received < 0)
            return -1;
        length += (size_t)received;
        buffer[length] = '\0';
        const char *end = strstr(buffer, "\r\n\r\n");
        if (end != NULL) {
            *head = (size_t)(end + 4 - buffer);
            return (ssize_t)length;
        }
        if (received == 0 || length == size - 1) {
            fprintf(stderr, "http_get: the answer is not HTTP\n");
            return -1;
        }
    }
}

/* The status of a head, 0 when it is none. */
static int status_of(const char *head)
{
    int status;

    return sscanf(head, "HTTP/%*d.%*d %3d", &status) == 1 ? status : 0;
}

/* The length that a head announces, -1 when the body goes on to the end of the connection. */
static long long content_length(const char *head)
{
    static const char name[] = "Content-Length:";

    for (const char *line = strstr(head, "\r\n"); line != NULL; line = strstr(line, "\r\n")) {
        line += 2;
        if (strncasecmp(line, name, sizeof name - 1) == 0)
            return strtoll(line + sizeof name - 1, NULL, 10);
    }
    return -1;
}

static bool write_out(const char *bytes, size_t length)
{
    if (fwrite(bytes, 1, length, stdout) == length)
        return true;
    perror("standard output");
    return false;
}

/* Copies the body to standard output: to its announced length, or to the end of the connection. */
static bool copy_body(int fd, char *buffer, size_t size, size_t have, long long announced)
{
    long long left = announced;

    for (;;) {
        if (announced >= 0 && (long long)have > left)
            have = (size_t)left;
        if (!write_out(buffer, have))
            return false;
        left -= (long long)have;
        if (announced >= 0 && left == 0)
            return true;
        ssize_t received = receive(fd, buffer, size);
        if (received < 0)
            return false;
        if (received == 0 && announced >= 0) {
            fprintf(stderr, "http_get: the connection ended %lld bytes early\n", left);
            return false;
        }
        if (received == 0)
            return true;
        have = (size_t)received;
    }
}

static bool read_answer(int fd)
{
    static char buffer[LONGEST_HEAD];
    size_t head;
    ssize_t length = read_head(fd, buffer, sizeof buffer, &head);

    if (length < 0)
        return false;
    buffer[head - 1] = '\0'; /* the head is a string, and the body begins behind it */
    int status = status_of(buffer);
    long long announced = content_length(buffer);
    size_t have = (size_t)length - head;
    memmove(buffer, buffer + head, have);
    if (!copy_body(fd, buffer, sizeof buffer, have, announced))
        return false;
    if (status < 200 || status > 299)
        fprintf(stderr, "http_get: the server answered with status %d\n", status);
    return status >= 200 && status <= 299;
}

static bool fetch(const struct url *url)
{
    int fd = ustcp_socket(AF_INET, SOCK_STREAM, 0);
    bool done = false;

    if (fd < 0) {
        perror("socket");
        return false;
    }
    if (ustcp_connect(fd, (const struct sockaddr *)&url->address, sizeof url->address) != 0)
        perror("connect");
    else
        done = send_request(fd, url) && read_answer(fd);
    if (ustcp_close(fd) != 0) {
        perror("close");
        done = false;
    }
    return done;
}

int main(int argc, char **argv)
{
    struct url url;

    if (argc != 2 || !parse_url(argv[1], &url)) {
        fprintf(stderr, "usage: http_get http://A.B.C.D[:port][/path]\n");
        return 2;
    }
    bool done = fetch(&url);
    if (fflush(stdout) != 0) {
        perror("standard output");
        done = false;
    }
    return done ? EXIT_SUCCESS : EXIT_FAILURE; /* the stack ends at exit, and waits for the close to be acknowledged */
}
