/* Two TCP/IP stacks wired to each other by hand: a handshake, a few bytes and a close, with both states beside each
 * packet. There is no device, no thread, no clock and no waiting: time is a number, and 60 s of TIME-WAIT pass at once.
 *
 *     manual_link [SEED]
 *
 * The same seed prints the same lines. */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ustcp.h>

#define ONE_WAY 5000000 /* nanoseconds */
#define MTU 1500

struct end {
    struct ustcp_stack *stack;
    const char *arrow;
};

static uint64_t now; /* nanoseconds */

/* Calls on a stack return what they count, or an error's number, negative. */
static long check(long result, const char *what)
{
    if (result < 0) {
        fprintf(stderr, "manual_link: %s: %s\n", what, strerror((int)-result));
        exit(EXIT_FAILURE);
    }
    return result;
}

static struct sockaddr_in place(const char *host, in_port_t port)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };

    inet_pton(AF_INET, host, &address.sin_addr);
    return address;
}

static struct ustcp_stack *make_stack(uint64_t seed, const char *address)
{
    struct ustcp_stack *stack;

    check(ustcp_stack_new(&stack, &seed), "a stack");
    check(ustcp_stack_set(stack, "address", address), address);
    check(ustcp_stack_set(stack, "trace", "1"), "trace");
    return stack;
}

/* The next event of a kind; those before it are passed over. */
static bool next_event(struct ustcp_stack *stack, int kind, struct ustcp_event *event)
{
    event->size = sizeof *event;
    while (check(ustcp_stack_event(stack, event), "an event") == 1)
        if (event->kind == kind)
            return true;
    return false;
}

static const char *describe(const struct ustcp_event *event)
{
    static const struct {
        uint32_t bit;
        const char *name;
    } flags[] = { { 2, "SYN" }, { 1, "FIN" }, { 4, "RST" }, { 8, "PSH" }, { 16, "ACK" } };
    static char text[64];
    size_t length = 0;

    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        if (event->flags & flags[i].bit)
            length += (size_t)snprintf(text + length, sizeof text - length, "%s%s", length ? "+" : "", flags[i].name);
    if (event->length > 0)
        snprintf(text + length, sizeof text - length, ", %" PRIu32 " bytes", event->length);
    return text;
}

/* Carries what one end has to send to the other, which has it 5 ms later. */
static bool carry(const struct end *from, const struct end *to)
{
    unsigned char packet[MTU];
    struct ustcp_packet about = USTCP_PACKET_INIT;
    struct ustcp_event sent, received;
    bool any = false;
    long length;

    while ((length = check(ustcp_stack_output(from->stack, packet, sizeof packet, &about), "output")) > 0) {
        char before[16], after[48];

        next_event(from->stack, USTCP_EVENT_SENT, &sent);
        now = about.time + ONE_WAY;
        check(ustcp_stack_input(to->stack, packet, (size_t)length, 0, now), "input");
        next_event(to->stack, USTCP_EVENT_RECEIVED, &received);
        snprintf(before, sizeof before, "%s", ustcp_state_name(sent.after));
        snprintf(after, sizeof after, "%s", ustcp_state_name(received.before));
        if (received.before != received.after)
            snprintf(after + strlen(after), sizeof after - strlen(after), ", now %s",
                     ustcp_state_name(received.after));
        printf("%8.1f ms  %-12s  %s  %-18s  %s\n", (double)now / 1e6, before, from->arrow, describe(&sent), after);
        any = true;
    }
    return any;
}

/* Until nobody has anything to say. */
static void settle(const struct end *client, const struct end *server)
{
    bool any = true;

    while (any) {
        any = carry(client, server);
        any |= carry(server, client);
    }
    check(ustcp_stack_advance(client->stack, now), "advance");
    check(ustcp_stack_advance(server->stack, now), "advance");
}

int main(int argc, char **argv)
{
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    struct end client = { make_stack(seed, "10.0.0.1/24"), "client -->" };
    struct end server = { make_stack(seed + 1, "10.0.0.2/24"), "<-- server" };
    struct sockaddr_in address = place("10.0.0.2", 80);
    struct ustcp_event event;
    char text[16];

    int listener = (int)check(ustcp_stack_socket(server.stack, AF_INET, SOCK_STREAM, 0), "socket");
    check(ustcp_stack_bind(server.stack, listener, (struct sockaddr *)&address, sizeof address), "bind");
    check(ustcp_stack_listen(server.stack, listener, 1), "listen");

    puts("            sent in       packet                          arrived in\n\nthe handshake:");
    int ours = (int)check(ustcp_stack_socket(client.stack, AF_INET, SOCK_STREAM, 0), "socket");
    int begun = ustcp_stack_connect(client.stack, ours, (struct sockaddr *)&address, sizeof address);
    if (begun != -EINPROGRESS)
        check(begun, "connect");
    settle(&client, &server);
    int theirs = (int)check(ustcp_stack_accept(server.stack, listener, NULL, NULL), "accept");

    puts("\nfive bytes:");
    check(ustcp_stack_sendto(client.stack, ours, "hello", 5, 0, NULL, 0), "sendto");
    settle(&client, &server);
    long got = check(ustcp_stack_recvfrom(server.stack, theirs, text, sizeof text, 0, NULL, NULL), "recvfrom");
    printf("             the server has read \"%.*s\"\n", (int)got, text);

    puts("\nthe close, the client's first:");
    check(ustcp_stack_close(client.stack, ours), "close");
    settle(&client, &server);
    got = check(ustcp_stack_recvfrom(server.stack, theirs, text, sizeof text, 0, NULL, NULL), "recvfrom");
    printf("             the server has read %ld bytes: the end of the stream\n", got);
    /* The server takes its time, so its acknowledgement of the FIN goes alone: a close in four steps. */
    if (check(ustcp_stack_deadline(server.stack, &now), "deadline") == 1)
        check(ustcp_stack_advance(server.stack, now), "advance");
    settle(&client, &server);
    check(ustcp_stack_close(server.stack, theirs), "close");
    settle(&client, &server);

    puts("\nwhat is left is a deadline:");
    while (check(ustcp_stack_deadline(client.stack, &now), "deadline") == 1)
        check(ustcp_stack_advance(client.stack, now), "advance");
    while (next_event(client.stack, USTCP_EVENT_TRANSITION, &event))
        printf("%8.1f ms  %s, now %s (%s)\n", (double)event.time / 1e6, ustcp_state_name(event.before),
               ustcp_state_name(event.after), event.why);

    check(ustcp_stack_free(client.stack), "free");
    check(ustcp_stack_free(server.stack), "free");
    return 0;
}
