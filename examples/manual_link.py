#!/usr/bin/env python3
"""Two TCP/IP stacks wired to each other by hand: a handshake, a few bytes and a close, with both states beside each
packet. There is no device, no thread and no clock: time is a number, and 60 s of TIME-WAIT pass at once.

    python manual_link.py [SEED]

The same seed prints the same lines."""

from __future__ import annotations

import contextlib
import sys

import ustcp

MS = 1_000_000
ONE_WAY = 5 * MS
SERVER = ("10.0.0.2", 80)
FLAGS = {2: "SYN", 1: "FIN", 4: "RST", 8: "PSH", 16: "ACK"}


class End:
    def __init__(self, arrow: str, address: str, seed: int) -> None:
        self.arrow = arrow
        self.stack = ustcp.ManualStack(seed=seed, address=address, trace=True)

    def next_event(self, kind: str) -> ustcp.Event:
        return next(event for event in self.stack.events() if event.kind == kind)


def describe(segment: ustcp.Segment) -> str:
    flags = "+".join(name for bit, name in FLAGS.items() if segment.flags & bit)
    return f"{flags}, {segment.len} bytes" if segment.len else flags


def carry(sender: End, receiver: End) -> bool:
    """Carries what one end has to send to the other, which has it 5 ms later."""
    packets = list(sender.stack.packets())
    for packet in packets:
        sent = sender.next_event("sent")
        now = packet.time + ONE_WAY
        receiver.stack.input(packet.data, now)
        received = receiver.next_event("received")
        after = received.before if received.before == received.after else f"{received.before}, now {received.after}"
        print(f"{now / MS:8.1f} ms  {sent.after:12}  {sender.arrow}  {describe(sent.segment):18}  {after}")
    return bool(packets)


def settle(client: End, server: End) -> None:
    """Until nobody has anything to say."""
    while carry(client, server) | carry(server, client):
        pass
    now = max(client.stack.now, server.stack.now)
    client.stack.advance(now)
    server.stack.advance(now)


def main(seed: int) -> None:
    client = End("client -->", "10.0.0.1/24", seed)
    server = End("<-- server", "10.0.0.2/24", seed + 1)
    listener = server.stack.socket()
    listener.bind(SERVER)
    listener.listen()

    print("            sent in       packet                          arrived in\n\nthe handshake:")
    ours = client.stack.socket()
    with contextlib.suppress(BlockingIOError):  # begun: it is done when the packets have been carried
        ours.connect(SERVER)
    settle(client, server)
    theirs, _ = listener.accept()

    print("\nfive bytes:")
    ours.send(b"hello")
    settle(client, server)
    print("             the server has read", theirs.recv(16))

    print("\nthe close, the client's first:")
    ours.close()
    settle(client, server)
    print("             the server has read", theirs.recv(16), "which is the end of the stream")
    # The server takes its time, so its acknowledgement of the FIN goes alone: a close in four steps.
    if (due := server.stack.deadline()) is not None:
        server.stack.advance(due)
    settle(client, server)
    theirs.close()
    settle(client, server)

    print("\nwhat is left is a deadline:")
    while (due := client.stack.deadline()) is not None:
        client.stack.advance(due)
    for event in client.stack.events():
        if event.kind == "transition":
            print(f"{event.time / MS:8.1f} ms  {event.before}, now {event.after} ({event.why})")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
