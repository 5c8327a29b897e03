//! A device that is watched: every packet that passes goes into a pcapng file as well.

use std::io;
use std::os::fd::RawFd;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use ustcp_proto::{Checksum, Instant, Transmit};
use ustcp_wire::complete_checksum;

use super::{Device, Losses, Received};
use crate::capture::{self, Direction};
use crate::sink::Sink;

/// A device under capture. Super-segments are one record each, as they crossed the device; checksums that the device
/// completes are complete in the record.
pub(super) struct Captured {
    device: Box<dyn Device>,
    sink: Sink,
    snaplen: usize,
    clock: Clock,
    latest: Instant,
    received: u64,
    scratch: Vec<u8>,
}

impl Captured {
    /// Captures what passes `device` into a new file at `path`. Gives the device back when there is none to be had.
    pub(super) fn create(
        device: Box<dyn Device>,
        name: &str,
        path: &Path,
        snaplen: usize,
    ) -> Result<Captured, (Box<dyn Device>, io::Error)> {
        let mut sink = match Sink::create(path) {
            Ok(sink) => sink,
            Err(error) => return Err((device, error)),
        };
        sink.append(Instant::ZERO, |out| capture::head(out, name, snaplen));
        sink.flush(); // the file can be read from its first moment
        Ok(Captured {
            device,
            sink,
            snaplen,
            clock: Clock::default(),
            latest: Instant::ZERO,
            received: 0,
            scratch: Vec::new(),
        })
    }

    fn record(&mut self, now: Instant, direction: Direction, parts: [&[u8]; 3], checksum: Checksum) {
        self.latest = now;
        if !self.sink.is_open() {
            return;
        }
        self.scratch.clear();
        parts.iter().for_each(|part| self.scratch.extend_from_slice(part));
        if checksum == Checksum::Offloaded {
            complete_checksum(&mut self.scratch);
        }
        let time = self.clock.wall(now);
        self.sink.append(now, |out| {
            capture::packet(out, time, direction, &self.scratch, self.snaplen)
        });
    }

    /// Sends by `send`, and records the packet unless the device lost it: that one never was on the wire.
    fn send(
        &mut self,
        now: Instant,
        parts: [&[u8]; 3],
        checksum: Checksum,
        send: impl FnOnce(&mut dyn Device) -> io::Result<()>,
    ) -> io::Result<()> {
        let before = self.device.losses().outgoing;
        send(&mut *self.device)?;
        if self.device.losses().outgoing == before {
            self.record(now, Direction::Outbound, parts, checksum);
        }
        Ok(())
    }
}

impl Device for Captured {
    fn fd(&self) -> RawFd {
        self.device.fd()
    }

    fn mtu(&self) -> usize {
        self.device.mtu()
    }

    fn segmentation_offload(&self) -> usize {
        self.device.segmentation_offload()
    }

    fn checksum(&self) -> Checksum {
        self.device.checksum()
    }

    fn receive<'b>(&mut self, now: Instant, buffer: &'b mut [u8]) -> io::Result<Option<Received<'b>>> {
        let Some(received) = self.device.receive(now, buffer)? else {
            return Ok(None);
        };
        self.received += 1;
        self.record(now, Direction::Inbound, [received.packet, &[], &[]], received.checksum);
        Ok(Some(received))
    }

    fn transmit(&mut self, now: Instant, packet: &Transmit<'_>) -> io::Result<()> {
        let [first, second] = packet.text;
        let parts = [packet.headers.bytes(), first, second];
        self.send(now, parts, packet.checksum, |device| device.transmit(now, packet))
    }

    fn transmit_whole(&mut self, now: Instant, packet: &[u8]) -> io::Result<()> {
        self.send(now, [packet, &[], &[]], Checksum::Full, |device| {
            device.transmit_whole(now, packet)
        })
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let due = [self.sink.poll_timeout(), self.device.poll_timeout()];
        due.into_iter().flatten().min()
    }

    fn on_timeout(&mut self, now: Instant) -> io::Result<()> {
        self.sink.on_timeout(now);
        self.device.on_timeout(now)
    }

    fn losses(&self) -> Losses {
        self.device.losses()
    }
}

impl Drop for Captured {
    fn drop(&mut self) {
        let Losses { outgoing, incoming } = self.device.losses();
        let (time, received) = (self.clock.wall(self.latest), self.received + incoming);
        self.sink.append(self.latest, |out| {
            capture::statistics(out, time, received, incoming + outgoing);
        });
    }
}

/// The runtime's clock against the wall's, as they stood when first asked.
#[derive(Default)]
struct Clock {
    zero: Option<u64>,
}

impl Clock {
    /// Nanoseconds since 1970 at `now`.
    fn wall(&mut self, now: Instant) -> u64 {
        let zero = self.zero.get_or_insert_with(|| {
            let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let wall = u64::try_from(wall.as_nanos()).unwrap_or(u64::MAX);
            wall.saturating_sub(now.as_nanos())
        });
        zero.saturating_add(now.as_nanos())
    }
}
