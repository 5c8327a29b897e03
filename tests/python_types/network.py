"""A typed program on `ustcp.Network`, for `mypy --strict`: `make check-python` checks it, the tests run it.

`# type: ignore[...]` marks what must be an error: with `--warn-unused-ignores` one that is none is told.
"""

from __future__ import annotations

from typing import Optional

import ustcp


def answer(server: ustcp.Host, port: int, *, times: int = 1) -> int:
    total = 0
    with server.create_server(("", port)) as listener:
        for _ in range(times):
            sock, _ = listener.accept()
            with sock:
                while data := sock.recv(100):
                    sock.sendall(data)
                    total += len(data)
    return total


def retransmissions(packets: list[ustcp.NetworkPacket]) -> list[str]:
    return [packet.name for packet in packets if packet.retransmission]


def main() -> None:
    with ustcp.Network(seed=7, weather="delay=10ms") as net:
        client, server = net.host("client"), net.host("server", tcp_syn_retries=2)
        task: ustcp.Task[int] = server.run(answer, server, 80, times=1)
        named: ustcp.Task[None] = client.run(net.sleep, seconds=1.0)

        @client.run
        def told() -> str:
            return client.name

        @net.hook
        def look(packet: ustcp.NetworkPacket) -> Optional[bool]:
            return False if packet.number == 1 else None

        with client as here, here.create_connection(("server", "80"), 5.0) as sock:
            sock.sendall(b"hello")
            assert sock.recv(100) == b"hello"
            state: int = sock.state  # type: ignore[assignment]
            del state
        total: int = task.join()
        word: str = told.join(timeout=1)
        named.join()
        assert (total, word) == (5, "client")
        assert retransmissions(net.timeline.packets) == ["SYN"]
        entry: ustcp.Entry = net.timeline[0]
        assert (entry.host, entry.kind) == ("client", "transition")

        server.run(answer, server, "80").join  # type: ignore[arg-type]
        wrong: str = task.result  # type: ignore[assignment]
        del wrong
    with ustcp.ManualStack(seed=1, address="10.0.0.1/24") as stack:
        assert stack.output() is None
    assert not hasattr(ustcp, "no_such_name")
    if net.now < 0:
        ustcp.no_such_name  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
