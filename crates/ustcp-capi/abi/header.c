/* The header stands on its own, in C99 and in C++17, and its macros serve both. */
#include "ustcp.h"
#include "ustcp.h"

#include <fcntl.h>
#include <sys/ioctl.h>

int every_macro(int fd);

int every_macro(int fd)
{
    struct ustcp_config config = USTCP_CONFIG_INIT;
    int (*not_a_call)(int, int, long) = ustcp_fcntl;
    int bytes = USTCP_VERSION_MAJOR + USTCP_VERSION_MINOR + USTCP_VERSION_PATCH;
    struct ustcp_packet packet = USTCP_PACKET_INIT;

    config.exit_wait_ms = USTCP_EXIT_WAIT_CLOSED + USTCP_EXIT_WAIT_NONE;
    return ustcp_init(&config) + ustcp_fcntl(fd, F_GETFL) + ustcp_fcntl(fd, F_SETFL, O_NONBLOCK) +
           ustcp_ioctl(fd, FIONREAD, &bytes) + ustcp_ioctl(fd, FIOCLEX) + not_a_call(fd, F_GETFD, 0) +
           (int)sizeof(USTCP_VERSION) + (int)packet.length;
}
