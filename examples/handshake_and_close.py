#!/usr/bin/env python3
"""TCP's handshake and its close, packet by packet, with the states of both ends, as text and as pictures.

    handshake_and_close.py [--lose KIND[#N]] [--simultaneous] [--out DIRECTORY]

    --lose FIN#2        loses the second FIN, the server's, and shows who notices and when (SYN, SYN-ACK, ACK, DATA, FIN)
    --simultaneous      both ends close at once: CLOSING instead of FIN-WAIT-2
    --out DIRECTORY     leaves timeline.txt, .svg, .mermaid and .pcapng there

The network is in this process and its time is virtual: TIME-WAIT's 60 s pass at once, and each run is the same.
"""

from __future__ import annotations

import argparse

import ustcp

KINDS = ("SYN", "SYN-ACK", "ACK", "DATA", "FIN", "RST")


def which(packet: str) -> tuple[str, int]:
    """Kind and number of FIN#2."""
    kind, _, number = packet.upper().partition("#")
    if kind not in KINDS:
        raise argparse.ArgumentTypeError(f"{packet}: the kinds are {', '.join(KINDS)}")
    return kind, int(number or 1)


def converse(lose: tuple[str, int] | None, simultaneous: bool) -> ustcp.Network:
    with ustcp.Network(seed=1, weather="delay=10ms") as net:
        client, server = net.host("client"), net.host("server")
        if lose:
            net.drop(*lose)

        @server.run
        def serve() -> None:
            with server.create_server(("", 80)) as listener:
                sock, _ = listener.accept()
            with sock:
                sock.sendall(sock.recv(100).upper())
                if not simultaneous:
                    sock.recv(1)  # until the client has closed
                net.sleep(0.1)

        net.sleep(0.001)  # the server listens
        with client.create_connection(("server", 80)) as sock:
            sock.sendall(b"hello")
            print("the client has heard", sock.recv(100))
            if simultaneous:
                net.sleep(0.09)
        net.run_until_idle()
    return net


def explain(net: ustcp.Network) -> None:
    print(net.timeline.text())
    for host in net.hosts.values():
        print(f"{host.name}: CLOSED, {', '.join(net.timeline.states(host))}")
    lost = [packet for packet in net.timeline.packets if packet.lost]
    again = [packet for packet in net.timeline.packets if packet.retransmission]
    print(f"{len(net.timeline.packets)} packets, {len(lost)} lost, {len(again)} repeated; {net.now:.3f} s of virtual time")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lose", type=which, metavar="KIND[#N]")
    parser.add_argument("--simultaneous", action="store_true")
    parser.add_argument("--out")
    arguments = parser.parse_args()
    net = converse(arguments.lose, arguments.simultaneous)
    explain(net)
    if arguments.out:
        print("written:", *net.timeline.save(arguments.out))


if __name__ == "__main__":
    main()
