//! Where packets come from and go to.

use std::io;
use std::os::fd::RawFd;

use ustcp_proto::{Checksum, Instant, Transmit};

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
    fn receive<'b>(&mut self, now: Instant, buffer: &'b mut [u8]) -> io::Result<Option<(&'b [u8], Checksum)>>;

    /// Sends a packet. A device that is down or full loses it, as a network may: that is `Ok`. An error means that
    /// the device is gone.
    fn transmit(&mut self, now: Instant, packet: &Transmit<'_>) -> io::Result<()>;

    /// When [`on_timeout`](Device::on_timeout) is due, or `receive` will have a packet that no descriptor announces.
    fn poll_timeout(&self) -> Option<Instant>;

    /// Time has come to `now`.
    fn on_timeout(&mut self, now: Instant) -> io::Result<()>;
}
