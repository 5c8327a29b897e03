//! One TCP connection.

mod arrival;
mod assembler;
mod congestion;
mod connection;
mod half_open;
mod progress;
mod receive;
mod ring;
mod rtt;
mod scoreboard;
mod send;
mod time_wait;
mod timeout;
mod timers;
mod transmit;

pub use congestion::Algorithm;
pub(crate) use connection::{Connection, Disposal};
pub(crate) use half_open::{Completion, HalfOpen};
pub(crate) use time_wait::{Aftermath, TimeWait};
pub(crate) use timeout::Verdict;
pub(crate) use transmit::{Outgoing, reset_for};

use ustcp_wire::TcpOptions;

use crate::{Config, Options};

/// The segment size assumed of a peer that names none, RFC 9293 MUST-15 (IPv4).
pub(crate) const DEFAULT_MSS: usize = 536;

/// No peer makes us send smaller segments than this (CVE-2019-11479; Linux's `TCP_MIN_SND_MSS`).
pub(crate) const MIN_MSS: usize = 48;

/// No router makes us believe in a smaller path MTU than this (`min_pmtu`).
pub(crate) const MIN_PATH_MTU: usize = 552;

/// IPv4 and TCP headers without options.
pub(crate) const HEADERS: usize = 40;

/// RFC 7323 §2.3: a shift above this counts as this.
const MAX_WINDOW_SCALE: u8 = 14;

/// The smallest shift by which a window of `buffer` bytes fits into 16 bits.
pub(crate) fn window_scale_for(buffer: usize) -> u8 {
    (0..MAX_WINDOW_SCALE)
        .find(|shift| buffer >> shift <= usize::from(u16::MAX))
        .unwrap_or(MAX_WINDOW_SCALE)
}

/// What a SYN said, in the terms we use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offer {
    pub(crate) mss: u16,
    pub(crate) window_scale: Option<u8>,
    pub(crate) sack: bool,
}

impl Offer {
    pub(crate) fn from_options(options: &TcpOptions) -> Offer {
        Offer {
            mss: options.mss.unwrap_or(536),
            window_scale: options.window_scale.map(|shift| shift.min(MAX_WINDOW_SCALE)),
            sack: options.sack_permitted,
        }
    }
}

/// The MSS we announce: what we can receive in one packet, RFC 9293 MUST-67, and no more than the user wants.
pub(crate) fn announced_mss(config: &Config, options: &Options) -> u16 {
    let user = options.max_segment.unwrap_or(u16::MAX);
    u16::try_from(config.mtu - HEADERS).unwrap_or(u16::MAX).min(user)
}
