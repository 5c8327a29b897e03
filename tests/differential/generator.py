"""Conversations by seed: plausible ones, with hostile turns. The seed is the script; only the answers are committed.

A change of anything here changes what the seeds say, and the digests of the recording tell.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from .notation import SITUATIONS, SCRIPTS, Script, blocks, flat

THEME = "generated"


def named(name: str) -> Script:
    return script(int(name.rpartition("-")[2]))


def script(seed: int) -> Script:
    lines = Conversation(Random(seed)).write()
    return Script(f"{THEME}/seed-{seed}", list(flat(lines, dict(blocks(SCRIPTS / f"{SITUATIONS}.txt")))))


class Conversation:
    """What one seed says, line by line. It keeps as much account of the state as it needs to stay plausible."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.lines: list[str] = []
        self.clock = 1000
        self.timestamps = random.random() < 0.3
        self.sack = self.timestamps or random.random() < 0.5
        self.mss = random.choice([536, 1000, 1460])
        self.fin_sent = self.shut = False

    def write(self) -> list[str]:
        self.open()
        turns = self.random.randint(4, 12)
        for _ in range(turns):
            names, weights = zip(*TURNS.items(), strict=True)
            turn: Callable[[Conversation], None] = self.random.choices(names, weights)[0]
            turn(self)
            self.rest()
        self.say("state A", "poll A", "recv A 9000", "recv A 9000", "error A")
        return self.lines

    def say(self, *lines: str) -> None:
        self.lines += lines

    def peer(self, flags: str, where: str, length: int = 0, ack: str = "a", extra: str = "", options: str = "") -> None:
        """A segment of the peer, with the timestamp that is due."""
        self.clock += self.random.randint(1, 30)
        if self.timestamps and "R" not in flags:
            options = f"nop,nop,ts {self.clock} e" + ("," + options if options else "")
        acknowledges = f" ack {ack}" if "." in flags else ""
        self.say(f"< {flags} {where}({length}){acknowledges}{extra}" + (f" <{options}>" if options else ""))

    def open(self) -> None:
        options = [f"mss {self.mss}"]
        if self.timestamps:
            options += ["sackOK", f"ts {self.clock} {{}}", "nop", "ws 0"]
        elif self.sack:
            options += ["nop", "nop", "sackOK"]
        listed = ",".join(options)
        if self.random.random() < 0.3:
            self.say("+ syn-sent", "sleep 0.05", f"< S. 0:0(0) ack 1 <{listed.format('e')}>")
        else:
            self.say("+ listening", f"< S 0:0(0) <{listed.format('0')}>", "sleep 0.05")
            self.peer(".", "n", ack="1")
            self.say("accept L A")

    def rest(self) -> None:
        """Long enough for a delayed acknowledgement, or hardly any time."""
        if self.random.random() < 0.5:
            self.say("sleep 0.08")

    # ---- turns ----

    def text_in(self) -> None:
        for _ in range(self.random.randint(1, 3)):
            self.peer("P.", "n", self.length())

    def text_out(self) -> None:
        self.say(f"send A {self.random.choice([1, 10, 100, 500, self.mss])}")
        self.acknowledge()

    def burst_out(self) -> None:
        self.say(f"send A {self.random.randint(2, 4) * self.mss}")
        self.acknowledge()

    def acknowledge(self) -> None:
        """Mostly all of it, at times in two steps."""
        if self.random.random() < 0.2:
            self.peer(".", "n", ack="a-1")
        self.peer(".", "n")

    def read(self) -> None:
        self.say(f"recv A {self.random.choice([1, 100, 10000])}")

    def look(self) -> None:
        self.say(self.random.choice(["poll A", "state A", "ioctl A SIOCINQ", "ioctl A SIOCOUTQ"]))

    def hole(self) -> None:
        """Text ahead of its time, perhaps more of it, then what was missing."""
        first, length = self.random.choice([1, 100, 1000]), self.length()
        self.peer("P.", f"n+{first}", length)
        if self.random.random() < 0.5:
            self.peer("P.", f"n+{first + length + self.random.choice([0, 50])}", self.length())
        if self.random.random() < 0.3:
            self.peer("P.", f"n+{first}", length)
        self.peer("P.", "n", first + self.random.choice([0, 0, length // 2]))
        # What it had sent ahead is in order now: the peer goes on behind it.
        self.peer("P.", "n", length)

    def repeat(self) -> None:
        self.peer("P.", f"n-{self.random.choice([1, 10, 300])}", self.random.choice([1, 10, 300]))

    def overlap(self) -> None:
        back = self.random.choice([1, 10, 100])
        self.peer("P.", f"n-{back}", back + self.length())
        self.peer("P.", "n", self.length())

    def shut_window(self) -> None:
        self.peer(".", "n", extra=" win 0")
        self.say("poll A", f"send A {self.random.choice([1, 100])}")
        if self.random.random() < 0.3:
            self.peer(".", "n", extra=" win 0")
        self.peer(".", "n")
        self.acknowledge()

    def wild_reset(self) -> None:
        self.peer("R", f"n{self.random.choice(['+1', '+500', '-1', '-1000', '+200000'])}")

    def wild_syn(self) -> None:
        self.peer("S", f"n{self.random.choice(['', '+1', '-1', '+100000'])}", options="mss 1000")

    def wild_ack(self) -> None:
        self.peer(".", "n", ack=f"a{self.random.choice(['+1', '+1000', '-1', '-100000'])}")

    def wild_text(self) -> None:
        self.peer("P.", f"n{self.random.choice(['+200000', '-5000'])}", self.length())

    def flags_missing(self) -> None:
        self.peer(self.random.choice(["P", "-", "U"]), "n+0", 0)

    def bad_sum(self) -> None:
        self.peer("P.", "n+0", 50, extra=" badsum")

    def urgent(self) -> None:
        length = self.random.randint(1, 20)
        self.peer("PU.", "n", length, extra=f" urg {self.random.choice([1, length])}")
        self.say(self.random.choice(["poll A", "recv A 1 MSG_OOB"]))

    def old_timestamp(self) -> None:
        if self.timestamps:
            self.say(f"< P. n+0(20) ack a <nop,nop,ts {self.clock - 500} e>")

    def peer_closes(self) -> None:
        self.peer("FP." if self.random.random() < 0.5 else "F.", "n", self.random.choice([0, 0, 10]))

    def we_shut(self) -> None:
        self.say("shutdown A wr")
        self.peer(".", "n")

    def we_close(self) -> None:
        self.say("close A")
        self.peer(".", "n")
        if self.random.random() < 0.5:
            self.peer("F.", "n")

    def reset(self) -> None:
        self.peer("R", "n")

    def lose(self) -> None:
        """What we send is lost once: a timer of ours brings it."""
        self.say(f"send A {self.random.choice([10, self.mss])}", "sleep 0.45")
        self.peer(".", "n")

    def length(self) -> int:
        return self.random.choice([1, 10, 100, 536, self.mss])


C = Conversation
TURNS: dict[Callable[[Conversation], None], int] = {
    C.text_in: 14, C.text_out: 12, C.burst_out: 6, C.read: 10, C.look: 8, C.hole: 6, C.repeat: 4, C.overlap: 4,
    C.shut_window: 3, C.wild_reset: 3, C.wild_syn: 3, C.wild_ack: 4, C.wild_text: 3, C.flags_missing: 2, C.bad_sum: 2,
    C.urgent: 2, C.old_timestamp: 2, C.peer_closes: 3, C.we_shut: 3, C.we_close: 1, C.reset: 1, C.lose: 2,
}  # fmt: skip
