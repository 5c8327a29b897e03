//! Where packets come from and go to.

mod captured;
mod holder;
mod network;
mod offloaded;
mod open;
mod plain;
mod route;
#[cfg(test)]
mod tests;
mod trouble;
mod vnet;
mod weathered;

use std::io;
use std::os::fd::RawFd;

use ustcp_proto::{Checksum, Instant, Transmit};

pub(crate) use open::{open, open_end};

/// A TUN device, or something put around one.
pub(crate) trait Device: Send {
    /// The descriptor to poll: readable when a packet waits.
    fn fd(&self) -> RawFd;

    /// Largest IP packet in bytes.
    fn mtu(&self) -> usize;

    /// Largest text of a super-segment it takes, in bytes; 0: none.
    fn segmentation_offload(&self) -> usize;

    /// Who sums what is sent.
    fn checksum(&self) -> Checksum;

    /// The next packet, into `buffer` (at least 65,536 + 64 bytes) or from a queue of its own; `None` when there is
    /// none now. An error means that the device is gone.
    fn receive<'b>(&mut self, now: Instant, buffer: &'b mut [u8]) -> io::Result<Option<Received<'b>>>;

    /// Sends a packet. A device that is down or full loses it, as a network may: that is `Ok`. An error means that
    /// the device is gone.
    fn transmit(&mut self, now: Instant, packet: &Transmit<'_>) -> io::Result<()>;

    /// Sends a packet that is whole already: in one piece, within the MTU, with complete checksums or deliberately
    /// damaged. Loss and errors as with [`transmit`](Device::transmit).
    fn transmit_whole(&mut self, now: Instant, packet: &[u8]) -> io::Result<()>;

    /// When [`on_timeout`](Device::on_timeout) is due, or `receive` will have a packet that no descriptor announces.
    fn poll_timeout(&self) -> Option<Instant>;

    /// Time has come to `now`.
    fn on_timeout(&mut self, now: Instant) -> io::Result<()>;

    /// What was lost here.
    fn losses(&self) -> Losses;
}

/// A packet that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Received<'b> {
    /// The IP packet.
    pub(crate) packet: &'b [u8],
    /// Whether its TCP checksum is to be believed or to be verified.
    pub(crate) checksum: Checksum,
    /// It is a super-segment: several segments of so many bytes of text each, the last perhaps shorter.
    pub(crate) segment_size: Option<u16>,
}

/// Packets lost at a device, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Losses {
    /// Not taken by the device: it was down, full, or refused them.
    pub(crate) outgoing: u64,
    /// Arrived with an offload header that cannot be.
    pub(crate) incoming: u64,
}

/// Whether a failed read or write says that the device is gone for good. tun(4) says EBADFD once it is deleted; the
/// others are what a descriptor that never was, or is no more, a device says.
fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EBADFD | libc::EBADF | libc::ENODEV | libc::ENXIO)
    )
}
