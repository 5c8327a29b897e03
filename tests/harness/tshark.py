"""What Wireshark's TCP analysis thinks of a capture, and which of its flags are no fault of ours."""

from __future__ import annotations

import subprocess
from collections import Counter
from pathlib import Path

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


def analysis_flags(capture: Path) -> Counter[str]:
    """How often each flag of tcp.analysis was raised."""
    command = ["tshark", "-n", "-r", str(capture), "-Y", "tcp.analysis.flags", "-T", "fields"]
    for flag in FLAGS:
        command += ["-e", f"tcp.analysis.{flag}"]
    command += ["-e", "frame.number", "-e", "_ws.expert.message"]
    done = subprocess.run(command, check=True, text=True, capture_output=True, timeout=600)
    counts: Counter[str] = Counter()
    for line in done.stdout.splitlines():
        *columns, number, message = line.split("\t")
        raised = [flag for flag, column in zip(FLAGS, columns, strict=True) if column]
        counts.update(raised or [f"unknown flag in frame {number}: {message}"])
    return counts


def check(capture: Path, allowed: set[str] = frozenset()) -> None:
    """Fails on any flag that is neither harmless nor allowed."""
    counts = analysis_flags(capture)
    bad = {flag: count for flag, count in counts.items() if flag not in HARMLESS and flag not in allowed}
    assert not bad, f"tshark objects to {capture}: {bad}"
