/* Says whose its TCP socket is: the kernel's, or a stream of an engine. */
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0), domain = -1;
    socklen_t length = sizeof domain;

    if (fd < 0)
        return 2;
    /* Past the hooks. */
    if (syscall(SYS_getsockopt, fd, SOL_SOCKET, SO_DOMAIN, &domain, &length) != 0)
        return 2;
    puts(domain == AF_INET ? "kernel" : "engine");
    return 0;
}
