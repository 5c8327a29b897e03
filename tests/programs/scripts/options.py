"""options.py HOST PORT NUMBER TIMES: a client of SIP that asks so many times by one connection, and waits for each answer."""

import socket
import sys

host, port, number, times = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
answered = 0
with socket.create_connection((host, port)) as connection, connection.makefile("rb") as answers:
    ours = "{}:{}".format(*connection.getsockname())
    for time in range(times):
        lines = (
            f"OPTIONS sip:somebody@{host} SIP/2.0", f"Via: SIP/2.0/TCP {ours};branch=z9hG4bK-{number}-{time}",
            f"From: <sip:{number}@{ours}>;tag={number}", f"To: <sip:somebody@{host}>", f"Call-ID: {number}-{time}",
            "CSeq: 1 OPTIONS", "Max-Forwards: 70", "Content-Length: 0", "", "",
        )  # fmt: skip
        connection.sendall("\r\n".join(lines).encode())
        told = [line.strip() for line in iter(answers.readline, b"\r\n") if line]
        answered += told[0] == b"SIP/2.0 200 OK" and f"Call-ID: {number}-{time}".encode() in told
print(f"{answered} of {times}")
