//! One TCP connection.

mod acknowledgement;
mod arrival;
mod assembler;
mod autotune;
mod congestion;
mod connection;
mod cork;
mod delayed_ack;
mod ecn;
mod fast_open;
#[cfg(test)]
mod footprint;
mod half_open;
mod mtu_probing;
mod pages;
mod path;
mod patience;
mod progress;
mod rack;
mod receive;
mod records;
mod ring;
mod rtt;
mod sack;
mod scoreboard;
mod segment;
mod send;
pub(crate) mod syn_cookie;
mod tail_probe;
mod tally;
mod time_wait;
mod timeout;
mod timers;
mod timestamps;
mod transmit;
mod undo;
mod urgent;
mod user;
mod view;

pub use congestion::Algorithm;
pub(crate) use connection::{Connection, Disposal};
pub(crate) use ecn::EcnFeedback;
pub(crate) use fast_open::{FastOpen, Lesson, Pass};
pub(crate) use half_open::{Completion, HalfOpen, Overdue};
pub(crate) use segment::{Outgoing, reset_for};
pub(crate) use time_wait::{Aftermath, TimeWait};
pub(crate) use timeout::Verdict;
pub(crate) use timestamps::Timestamps;

use ustcp_wire::TcpOptions;

use crate::{Config, Family, Options};

/// No peer makes us send smaller segments than this (CVE-2019-11479; Linux's `TCP_MIN_SND_MSS`).
pub(crate) const MIN_MSS: usize = 48;

/// What a connection may hold each way however much its owner has: see [`Context::has_its_share`].
///
/// [`Context::has_its_share`]: crate::context::Context::has_its_share
pub(crate) const FLOOR: usize = 16 * 1024;

/// RFC 7323 §2.3: a shift above this counts as this.
const MAX_WINDOW_SCALE: u8 = 14;

/// The smallest shift by which a window of `buffer` bytes fits into 16 bits.
fn window_scale_for(buffer: usize) -> u8 {
    (0..MAX_WINDOW_SCALE)
        .find(|shift| buffer >> shift <= usize::from(u16::MAX))
        .unwrap_or(MAX_WINDOW_SCALE)
}

/// The window's shift of a socket: as Linux, for the largest window that it may ever have, in Linux's own measure, in
/// which half of a buffer is window.
pub(crate) fn window_scale(config: &Config, options: &Options) -> u8 {
    if !config.window_scaling {
        return 0;
    }
    let begin = receive_buffer(config, options);
    let largest = match options.receive_buffer {
        Some(_) => begin,
        None => begin.max(config.receive_buffer_max.saturating_mul(2)),
    };
    window_scale_for(largest)
}

/// The receive buffer that a connection begins with.
pub(crate) fn receive_buffer(config: &Config, options: &Options) -> usize {
    let asked = options.receive_buffer.map(|asked| asked.max(config.receive_buffer_min));
    let mark = options.receive_low.min(config.receive_buffer_max);
    asked.unwrap_or(config.receive_buffer.max(mark))
}

/// The window field of a SYN, which is never scaled (RFC 7323 §2.2): as Linux, whole segments where that is possible.
pub(crate) fn initial_window(space: usize, mss: usize) -> u16 {
    let whole = if space > mss { space / mss.max(1) * mss } else { space };
    u16::try_from(whole).unwrap_or(u16::MAX)
}

/// What a SYN said, in the terms we use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offer {
    pub(crate) mss: u16,
    pub(crate) window_scale: Option<u8>,
    pub(crate) sack: bool,
}

impl Offer {
    pub(crate) fn from_options(config: &Config, family: Family, options: &TcpOptions) -> Offer {
        Offer {
            mss: options.mss.filter(|mss| *mss > 0).unwrap_or(family.default_mss()),
            window_scale: options
                .window_scale
                .filter(|_| config.window_scaling)
                .map(|shift| shift.min(MAX_WINDOW_SCALE)),
            sack: options.sack_permitted && config.sack,
        }
    }
}

/// The MSS we announce: what one packet of `mtu` bytes brings us, RFC 9293 MUST-67, and no more than the user wants.
pub(crate) fn announced_mss(mtu: usize, family: Family, options: &Options) -> u16 {
    let user = options.max_segment.unwrap_or(u16::MAX);
    u16::try_from(mtu.saturating_sub(family.headers()))
        .unwrap_or(u16::MAX)
        .min(user)
}
