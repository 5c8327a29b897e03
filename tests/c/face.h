/* The same program against libustcp and, with -DKERNEL, against the kernel: Linux judges what the tests expect. */
#ifndef FACE_H
#define FACE_H

#ifdef KERNEL

#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define ustcp_socket socket
#define ustcp_bind bind
#define ustcp_listen listen
#define ustcp_accept accept
#define ustcp_accept4 accept4
#define ustcp_connect connect
#define ustcp_send send
#define ustcp_sendto sendto
#define ustcp_sendmsg sendmsg
#define ustcp_recv recv
#define ustcp_recvfrom recvfrom
#define ustcp_recvmsg recvmsg
#define ustcp_read read
#define ustcp_write write
#define ustcp_readv readv
#define ustcp_writev writev
#define ustcp_shutdown shutdown
#define ustcp_close close
#define ustcp_getsockopt getsockopt
#define ustcp_setsockopt setsockopt
#define ustcp_getsockname getsockname
#define ustcp_getpeername getpeername
#define ustcp_poll poll
#define ustcp_fcntl fcntl
#define ustcp_ioctl ioctl

#define IS_KERNEL 1

#else

#include <ustcp.h>

#define IS_KERNEL 0

#endif

#include <stdlib.h>

/* On an engine, under libustcp_preload.so or by libustcp itself: a socket is a stream of AF_UNIX, and where that cannot do
 * as TCP does docs/preload.md says so. */
#define ON_ENGINE (getenv("USTCP_ENGINE") != NULL)

#endif
