"""What Wireshark's TCP analysis thinks of a capture, and which of its flags are no fault of ours."""

from __future__ import annotations

import subprocess
from collections import Counter
from pathlib import Path

from harness.netns import OURS, OURS_V6

# Flags that say nothing against the stack, each with its reason. Short on purpose: a test that injects faults allows
# what its faults cause by itself.
HARMLESS = {
    "window_update": "a receiver that reads opens its window",
    "window_full": "the sender used the whole window it was offered, as it should",
    "zero_window": "a receiver that does not read closes its window",
    "zero_window_probe": "the answer to a closed window",
    "zero_window_probe_ack": "the answer to the probe",
    "reused_ports": "a test that binds one port twice, with SYNs of new sequence numbers",
}

# What lost, repeated or reordered packets cause.
LOSS = {
    "retransmission", "fast_retransmission", "spurious_retransmission", "duplicate_ack", "lost_segment",
    "ack_lost_segment", "out_of_order", "keep_alive", "keep_alive_ack",
}  # fmt: skip

FLAGS = sorted(HARMLESS.keys() | LOSS)

OUR_ADDRESSES = {OURS, OURS_V6}

# What the other side repeats when the machine gives it, or us, no time: the kernel's timers are not ours to answer for,
# and each such packet may rightly get a duplicate acknowledgement.
REPEATS = {"retransmission", "fast_retransmission", "spurious_retransmission", "out_of_order", "keep_alive"}

# A machine may stall once or twice in a scenario; more than that is an acknowledgement of ours that did not come.
STALLS = 2


def analysis_flags(capture: Path) -> tuple[Counter[str], int]:
    """How often each flag of tcp.analysis was raised by packets of ours, and how many packets the others repeated."""
    command = ["tshark", "-n", "-r", str(capture), "-Y", "tcp.analysis.flags", "-T", "fields"]
    for flag in FLAGS:
        command += ["-e", f"tcp.analysis.{flag}"]
    command += ["-e", "ip.src", "-e", "ipv6.src", "-e", "frame.number", "-e", "_ws.expert.message"]
    done = subprocess.run(command, check=True, text=True, capture_output=True, timeout=600)
    counts: Counter[str] = Counter()
    repeated = 0
    for line in done.stdout.splitlines():
        *columns, ipv4, ipv6, number, message = line.split("\t")
        raised = [flag for flag, column in zip(FLAGS, columns, strict=True) if column]
        if {ipv4, ipv6} & OUR_ADDRESSES:
            counts.update(raised or [f"unknown flag in frame {number}: {message}"])
        else:
            repeated += bool(REPEATS.intersection(raised))
    return counts, repeated


def check(capture: Path, allowed: set[str] = frozenset()) -> None:
    """Fails on any flag on a packet of ours that is neither harmless nor allowed."""
    counts, repeated = analysis_flags(capture)
    if counts["duplicate_ack"] <= repeated:
        del counts["duplicate_ack"]
    if repeated > STALLS and not allowed & REPEATS:
        counts["repeated by the other side"] = repeated
    bad = {flag: count for flag, count in counts.items() if flag not in HARMLESS and flag not in allowed}
    assert not bad, f"tshark objects to {capture}: {bad}"
