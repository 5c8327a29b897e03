//! Faults around a device: every packet, in and out, goes over a simulated link.

use std::io;
use std::os::fd::RawFd;

use ustcp_proto::{Checksum, Instant, Transmit};
use ustcp_sim::{Link, Weather};
use ustcp_wire::complete_checksum;

use super::{Device, Losses, Received};

/// Packets read from the device in one call of `receive` before it gives the driver its turn: weather that loses
/// everything must not hold it for as long as the peer sends.
const BURST: usize = 256;

/// A device in weather.
pub(super) struct Weathered {
    device: Box<dyn Device>,
    outgoing: Link,
    incoming: Link,
    /// The device was left with packets unread then, and its descriptor may not announce them again.
    unread_since: Option<Instant>,
}

impl Weathered {
    pub(super) fn new(device: Box<dyn Device>, weather: &Weather) -> Weathered {
        Weathered {
            device,
            outgoing: Link::new(weather.outgoing()),
            incoming: Link::new(weather.incoming()),
            unread_since: None,
        }
    }

    /// Moves what waits in the device onto the link. What the device vouches for is completed first: on the link a
    /// packet must stand for itself, or a flipped bit would be believed.
    fn take_in(&mut self, now: Instant, buffer: &mut [u8]) -> io::Result<()> {
        for _ in 0..BURST {
            let Some(received) = self.device.receive(now, buffer)? else {
                self.unread_since = None;
                return Ok(());
            };
            let mut packet = received.packet.to_vec();
            if received.checksum == Checksum::Offloaded {
                complete_checksum(&mut packet);
            }
            self.incoming.send(now, packet, received.segment_size);
        }
        self.unread_since = Some(now);
        Ok(())
    }

    fn let_out(&mut self, now: Instant) -> io::Result<()> {
        while let Some(packet) = self.outgoing.poll(now) {
            self.device.transmit_whole(now, &packet)?;
        }
        Ok(())
    }
}

impl Device for Weathered {
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
        let arrived = match self.incoming.poll(now) {
            Some(packet) => Some(packet),
            None => {
                self.take_in(now, buffer)?;
                self.incoming.poll(now)
            }
        };
        let Some(packet) = arrived else { return Ok(None) };
        Ok(buffer.get_mut(..packet.len()).map(|place| {
            place.copy_from_slice(&packet);
            Received {
                packet: place,
                checksum: Checksum::Full,
                segment_size: None,
            }
        }))
    }

    fn transmit(&mut self, now: Instant, packet: &Transmit<'_>) -> io::Result<()> {
        self.outgoing.transmit(now, packet);
        self.let_out(now)
    }

    fn transmit_whole(&mut self, now: Instant, packet: &[u8]) -> io::Result<()> {
        self.outgoing.send(now, packet.to_vec(), None);
        self.let_out(now)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let due = [
            self.outgoing.poll_timeout(),
            self.incoming.poll_timeout(),
            self.unread_since,
            self.device.poll_timeout(),
        ];
        due.into_iter().flatten().min()
    }

    fn on_timeout(&mut self, now: Instant) -> io::Result<()> {
        self.let_out(now)?;
        self.device.on_timeout(now)
    }

    fn losses(&self) -> Losses {
        self.device.losses()
    }
}
