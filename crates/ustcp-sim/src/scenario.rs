//! A whole conversation drawn from one number.

use core::time::Duration;

use ustcp_proto::{Algorithm, Checksum, Config, EcnPolicy, Family, Secret};

use crate::{Network, PacketKind, Rng, ScriptedDrop, Weather};

/// What each side sends at least, and what has arrived before anything is broken off.
pub(crate) const LEAST: usize = 64 * 1024;

/// Everything that happens under one seed: two hosts, the weather each way, two programs, and how they end.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The number it was drawn from.
    pub seed: u64,
    /// What the two speak.
    pub family: Family,
    /// From the first host to the second, and back.
    pub weather: [Weather; 2],
    /// The two hosts and their programs.
    pub sides: [Side; 2],
    /// How the connection begins.
    pub opening: Opening,
    /// Other connections that come to nothing, beside the main one.
    pub interludes: Vec<Interlude>,
    /// Whether super-segments arrive whole, as from a device with offload.
    pub unsplit: bool,
    /// How often a blind attacker sends a forged segment to either host: the share of instants.
    pub forged: f64,
    /// Whether the line is cut for good once 64 KiB have passed each way.
    pub cut: bool,
}

/// Who opens the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// The first host connects, the second listens.
    First,
    /// The second host connects, the first listens.
    Second,
    /// Both connect to each other at the same instant.
    Simultaneous,
}

/// One host and its program.
#[derive(Clone, Debug)]
pub struct Side {
    /// The stack's configuration.
    pub config: Config,
    /// `TCP_NODELAY`.
    pub no_delay: bool,
    /// `TCP_MAXSEG`.
    pub max_segment: Option<u16>,
    /// Bytes that it sends.
    pub amount: usize,
    /// Largest write, in bytes.
    pub write: usize,
    /// Largest read, in bytes.
    pub read: usize,
    /// Share of its writes whose last byte is urgent; urgent bytes stay in the stream (`SO_OOBINLINE`).
    pub urgent: f64,
    /// What it changes when half is written.
    pub later: Option<Later>,
    /// How often it rests after a write or a read, and for how long at most.
    pub rest: (f64, Duration),
    /// How it ends.
    pub ending: Ending,
}

/// Options that a program changes in the middle.
#[derive(Clone, Copy, Debug)]
pub struct Later {
    /// `TCP_CONGESTION`.
    pub congestion: Algorithm,
    /// `SO_SNDBUF`.
    pub send_buffer: usize,
    /// `SO_RCVBUF`.
    pub receive_buffer: usize,
}

/// How a program ends its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Closes its sending half as soon as all is written, reads to the end of the stream, closes.
    HalfClose,
    /// Writes all, reads to the end of the stream, then closes: the passive closer.
    AfterPeer,
    /// The same, but lets the time pass first.
    LateAfterPeer(Duration),
    /// Closes when it has written and read all, and looks no further.
    WhenDone,
    /// Closes at the same instant as its peer, when everything has arrived on both sides.
    Together,
    /// Closes with `SO_LINGER` 0 when it has written all: RST.
    Linger0,
    /// Aborts after 64 KiB.
    Abort,
    /// Closes with unread bytes waiting, after 64 KiB: RST.
    Unread,
    /// Closes its sending half when all is written, and aborts so much later.
    HalfCloseThenAbort(Duration),
    /// Reads to the end of the stream and aborts.
    AbortAfterPeer,
}

impl Ending {
    /// Whether the peer may lose bytes by it.
    #[must_use]
    pub fn is_abrupt(self) -> bool {
        match self {
            Ending::HalfClose | Ending::AfterPeer | Ending::LateAfterPeer(_) | Ending::WhenDone | Ending::Together => {
                false
            }
            Ending::Linger0
            | Ending::Abort
            | Ending::Unread
            | Ending::HalfCloseThenAbort(_)
            | Ending::AbortAfterPeer => true,
        }
    }
}

/// A connection that comes to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interlude {
    /// To a port where nobody listens.
    Refused,
    /// Closed by its user in SYN-SENT; the listener's half gets RST.
    ClosedInSynSent,
    /// Aborted by its user in SYN-SENT.
    AbortedInSynSent,
    /// The listener closes while the connection is half open.
    ListenerClosedHalfOpen,
    /// The listener closes without ever having accepted.
    NeverAccepted,
    /// A simultaneous open that one side closes in SYN-RECEIVED.
    ClosedInSynReceived,
    /// A simultaneous open that one side aborts in SYN-RECEIVED.
    AbortedInSynReceived,
    /// Closed by the listener's side, and opened anew from the same port while TIME-WAIT lasts there.
    Reopened,
}

impl Interlude {
    /// All of them.
    pub const ALL: [Interlude; 8] = [
        Interlude::Refused,
        Interlude::ClosedInSynSent,
        Interlude::AbortedInSynSent,
        Interlude::ListenerClosedHalfOpen,
        Interlude::NeverAccepted,
        Interlude::ClosedInSynReceived,
        Interlude::AbortedInSynReceived,
        Interlude::Reopened,
    ];
}

impl Scenario {
    /// The scenario of `seed`: always the same.
    #[must_use]
    pub fn new(seed: u64) -> Scenario {
        let mut rng = Rng::new(seed);
        let family = rng.one_of(&[Family::V4, Family::V6]);
        let weather = draw_weathers(&mut rng);
        let (endings, cut) = draw_endings(&mut rng);
        let abrupt = cut || endings.iter().any(|ending| ending.is_abrupt());
        let mut number = 0;
        let sides = endings.map(|ending| {
            number += 1;
            draw_side(&mut rng, (family, number), ending, abrupt, cut)
        });
        let opening = match rng.below(10) {
            0..=3 => Opening::First,
            4..=7 => Opening::Second,
            _ => Opening::Simultaneous,
        };
        let count = if rng.chance(0.3) { rng.within(1..=3) } else { 0 };
        let interludes = (0..count).map(|_| rng.one_of(&Interlude::ALL)).collect();
        Scenario {
            seed,
            family,
            weather,
            sides,
            opening,
            interludes,
            unsplit: rng.chance(0.15),
            forged: rng.one_of(&[0.0, 0.0, 0.0, 0.02]),
            cut,
        }
    }

    /// Whether bytes may be lost at the end: an abort, or a line that is cut.
    #[must_use]
    pub fn is_abrupt(&self) -> bool {
        self.cut || self.sides.iter().any(|side| side.ending.is_abrupt())
    }
}

fn draw_weathers(rng: &mut Rng) -> [Weather; 2] {
    let there = draw_weather(rng);
    let back = if rng.chance(0.5) {
        draw_weather(rng)
    } else {
        Weather {
            seed: rng.bits(),
            ..there.clone()
        }
    };
    [there, back]
}

fn draw_weather(rng: &mut Rng) -> Weather {
    let delay = Duration::from_micros(rng.one_of(&[1, 50, 1000, 20_000, 100_000]) * rng.within(1..=2));
    let clear = Weather {
        delay,
        seed: rng.bits(),
        ..Weather::default()
    };
    let mut weather = match rng.below(10) {
        0 => clear,
        1 => Weather {
            loss: 0.1,
            reorder: 0.1,
            duplicate: 0.1,
            corrupt: 0.1,
            mark: 0.1,
            jitter: delay,
            rate: Some(10_000_000),
            ..clear
        },
        _ => draw_faults(rng, clear),
    };
    if rng.chance(0.2) {
        weather.drops = (0..rng.within(1..=3)).map(|_| draw_drop(rng)).collect();
    }
    weather
}

/// Any of the faults, each with a chance of its own and mostly mild.
fn draw_faults(rng: &mut Rng, mut weather: Weather) -> Weather {
    weather.loss = draw_share(rng, 0.3);
    weather.reorder = draw_share(rng, 0.5);
    weather.duplicate = draw_share(rng, 0.3);
    weather.corrupt = draw_share(rng, 0.05);
    weather.mark = draw_share(rng, 0.5);
    if rng.chance(0.3) {
        weather.jitter = draw_time(rng, &[1000, 20_000, 100_000, 500_000]);
    }
    if rng.chance(0.03) {
        weather.delay = Duration::from_millis(rng.within(500..=2000));
    }
    if rng.chance(0.3) {
        weather.rate = Some(rng.within(1..=100) * rng.one_of(&[500_000, 10_000_000]));
        weather.queue = Some(rng.size_within(4..=200));
    }
    weather
}

/// Nothing in two of three cases; else up to `most`, small values being likelier.
fn draw_share(rng: &mut Rng, most: f64) -> f64 {
    if !rng.chance(0.35) {
        return 0.0;
    }
    let unit = f64::from(u32::try_from(rng.below(1001)).unwrap_or(0)) / 1000.0;
    most * unit * unit
}

/// Up to one of `limits`, which are in microseconds.
fn draw_time(rng: &mut Rng, limits: &[u64]) -> Duration {
    let limit = rng.one_of(limits);
    Duration::from_micros(rng.within(0..=limit))
}

fn draw_drop(rng: &mut Rng) -> ScriptedDrop {
    let nth = u32::try_from(rng.within(1..=3)).unwrap_or(1);
    ScriptedDrop {
        direction: None,
        kind: rng.one_of(&PacketKind::ALL),
        nth,
    }
}

fn draw_endings(rng: &mut Rng) -> ([Ending; 2], bool) {
    let soon = draw_time(rng, &[100, 5000, 300_000, 2_000_000]);
    let peaceful = rng.one_of(&[Ending::HalfClose, Ending::AfterPeer, Ending::WhenDone]);
    let (mut endings, cut) = match rng.below(100) {
        0..=19 => ([Ending::HalfClose, Ending::AfterPeer], false),
        20..=39 => ([Ending::HalfClose, Ending::HalfClose], false),
        40..=51 => ([Ending::WhenDone, Ending::AfterPeer], false),
        52..=59 => ([Ending::WhenDone, Ending::WhenDone], false),
        60..=77 => ([Ending::Together, Ending::Together], false),
        78..=81 => (
            [Ending::WhenDone, Ending::LateAfterPeer(Duration::from_secs(30))],
            false,
        ),
        82..=84 => ([Ending::Linger0, peaceful], false),
        85..=87 => ([Ending::Abort, peaceful], false),
        88..=90 => ([Ending::Unread, peaceful], false),
        91..=93 => ([Ending::HalfCloseThenAbort(soon), peaceful], false),
        94..=95 => ([Ending::HalfCloseThenAbort(soon), Ending::HalfClose], false),
        96..=97 => ([Ending::AbortAfterPeer, Ending::HalfClose], false),
        _ => ([Ending::HalfClose, Ending::HalfClose], true),
    };
    if rng.chance(0.5) {
        endings.reverse();
    }
    (endings, cut)
}

fn draw_side(rng: &mut Rng, (family, number): (Family, u8), ending: Ending, abrupt: bool, cut: bool) -> Side {
    // Where something is broken off after 64 KiB, there must be more to come.
    let base = if abrupt { 2 * LEAST } else { LEAST };
    let more = match rng.below(100) {
        0..=59 => rng.size_within(0..=4096),
        60..=98 => rng.size_within(0..=LEAST),
        _ => rng.size_within(0..=8 * LEAST),
    };
    let rest = if rng.chance(0.3) {
        (0.05, draw_time(rng, &[1000, 50_000, 3_000_000]))
    } else {
        (0.0, Duration::ZERO)
    };
    let sizes = [200, 1460, 1460, 16 * 1024, LEAST];
    Side {
        config: draw_config(rng, (family, number), ending, cut),
        no_delay: rng.chance(0.3),
        max_segment: rng
            .chance(0.1)
            .then(|| u16::try_from(rng.within(88..=1400)).unwrap_or(536)),
        amount: base + more,
        write: rng.one_of(&sizes),
        read: rng.one_of(&sizes),
        urgent: rng.one_of(&[0.0, 0.0, 0.0, 0.0, 0.1]),
        later: rng.chance(0.1).then(|| Later {
            congestion: rng.one_of(&Algorithm::ALL),
            send_buffer: draw_buffer(rng),
            receive_buffer: draw_buffer(rng),
        }),
        rest,
        ending,
    }
}

fn draw_config(rng: &mut Rng, (family, number): (Family, u8), ending: Ending, cut: bool) -> Config {
    let mut secret = [0; 32];
    rng.fill(&mut secret);
    let mtu = draw_mtu(rng, family);
    let host = match family {
        Family::V4 => Network::host_config(number),
        Family::V6 => Network::host_config_v6(number),
    };
    // Retransmissions enough that 30 % of loss each way does not end a connection in a million years; a cut line does.
    let (retries, orphan_retries) = if cut { (6, 4) } else { (60, 60) };
    Config {
        mtu,
        segmentation_offload: rng.one_of(&[0, 0, 8192, 65_000]),
        checksum: rng.one_of(&[Checksum::Full, Checksum::Offloaded]),
        congestion: rng.one_of(&Algorithm::ALL),
        sack: rng.chance(0.7),
        timestamps: rng.chance(0.7),
        recovery: rng.one_of(&[1, 1, 1, 0, 3, 5]),
        early_retrans: rng.one_of(&[3, 3, 3, 0]),
        frto: rng.one_of(&[2, 2, 0]),
        secret: Secret(secret),
        time_wait: Duration::from_secs(rng.one_of(&[1, 30, 60, 120])),
        rto_min: Duration::from_millis(rng.one_of(&[200, 200, 200, 1000])),
        syn_retries: retries,
        syn_ack_retries: retries,
        retries,
        orphan_retries,
        fin_timeout: Duration::from_secs(if ending == Ending::WhenDone {
            rng.one_of(&[5, 7200])
        } else {
            7200
        }),
        delayed_ack: Duration::from_millis(rng.one_of(&[40, 40, 1, 200])),
        quick_acks: rng.one_of(&[16, 16, 0]),
        receive_buffer: draw_buffer(rng),
        receive_buffer_max: rng.one_of(&[0, 1 << 20, 16 << 20]),
        send_buffer: draw_buffer(rng),
        send_buffer_max: rng.one_of(&[0, 1 << 20, 4 << 20]),
        ecn: rng.one_of(&[
            EcnPolicy::Request,
            EcnPolicy::Request,
            EcnPolicy::Accept,
            EcnPolicy::Off,
        ]),
        ecn_fallback: rng.chance(0.8),
        initial_window: rng.one_of(&[10, 10, 10, 1, 4]),
        ..host
    }
}

fn draw_mtu(rng: &mut Rng, family: Family) -> usize {
    match (rng.below(20), family) {
        (0, Family::V4) => rng.size_within(88..=256),
        (1..=4, Family::V4) => rng.size_within(256..=1499),
        (0, Family::V6) => 1280, // RFC 8200 §5: the least there is
        (1..=4, Family::V6) => rng.size_within(1280..=1499),
        (5..=7, _) => rng.size_within(1501..=9000),
        (8, _) => 65_535,
        _ => 1500,
    }
}

/// 2 KiB to 1 MiB, every power of two as likely as the next.
fn draw_buffer(rng: &mut Rng) -> usize {
    let power = rng.within(11..=19);
    rng.size_within(1 << power..=2 << power)
}
