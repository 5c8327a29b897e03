//! Two TUN devices joined by a line in weather, under the real clock: the path that a bench lays between two stacks.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use ustcp_proto::Instant;
use ustcp_sim::{Link, LinkCounters, PacketKind, Weather};
use ustcp_wire::{Checksum, IpPacket, TcpSegment};

use crate::StartError;
use crate::clock::Clock;
use crate::device::{Device, open_end};
use crate::sys::wait::{self, PollFd};

/// Packets read from one device before the other has its turn.
const BURST: usize = 64;
/// Room for any packet of a device.
const ROOM: usize = 65_536 + 64;

/// The line: from the near device to the far one, and back.
pub struct Relay {
    clock: Clock,
    near: Box<dyn Device>,
    far: Box<dyn Device>,
    there: Way,
    back: Way,
    buffer: Vec<u8>,
}

/// One direction.
struct Way {
    link: Link,
    lateness: Duration,
}

/// What one direction did.
#[derive(Clone, Copy, Debug)]
pub struct WayReport {
    /// Packets.
    pub counters: LinkCounters,
    /// By how much the latest packet was handed out after its time.
    pub lateness: Duration,
}

impl Relay {
    /// Makes the two devices, or takes those of that name that are there, and brings them up. Faults of chance meet TCP
    /// segments with text alone, the nth of a direction always the same one, so that two stacks that send the same
    /// bytes meet the same faults.
    pub fn open(near: &str, far: &str, there: Weather, back: Weather) -> Result<Relay, StartError> {
        Ok(Relay {
            clock: Clock::new(),
            near: open_end(near)?,
            far: open_end(far)?,
            there: Way::new(there),
            back: Way::new(back),
            buffer: vec![0; ROOM],
        })
    }

    /// Carries packets until `end` becomes readable, end of file included, or a device is gone.
    pub fn run(&mut self, end: &impl AsRawFd) -> io::Result<()> {
        loop {
            let now = self.clock.now();
            let Relay { near, far, buffer, .. } = self;
            self.there.carry(now, (near.as_mut(), far.as_mut()), buffer)?;
            self.back.carry(now, (far.as_mut(), near.as_mut()), buffer)?;
            if self.wait_ends(end.as_raw_fd())? {
                return Ok(());
            }
        }
    }

    /// Sleeps until something is to be done; whether that is the end.
    fn wait_ends(&self, end: RawFd) -> io::Result<bool> {
        let next = [&self.there, &self.back]
            .into_iter()
            .filter_map(|way| way.link.poll_timeout())
            .min();
        let timeout = next.map(|at| self.clock.until(at));
        let mut watched = [self.near.fd(), self.far.fd(), end].map(|fd| PollFd {
            fd,
            events: libc::POLLIN,
            revents: 0,
        });
        match wait::poll(&mut watched, timeout) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
            _ => Ok(watched.last().is_some_and(|end| end.revents != 0)),
        }
    }

    /// What was done there and back.
    #[must_use]
    pub fn reports(&self) -> [WayReport; 2] {
        [&self.there, &self.back].map(|way| WayReport {
            counters: way.link.counters(),
            lateness: way.lateness,
        })
    }
}

impl Way {
    fn new(weather: Weather) -> Way {
        Way {
            link: Link::new(weather),
            lateness: Duration::ZERO,
        }
    }

    /// Hands out what is due, then takes in what waits.
    fn carry(
        &mut self,
        now: Instant,
        (from, to): (&mut dyn Device, &mut dyn Device),
        buffer: &mut [u8],
    ) -> io::Result<()> {
        while let Some(due) = self.link.poll_timeout().filter(|&due| due <= now) {
            let Some(packet) = self.link.poll(now) else { break };
            self.lateness = self.lateness.max(now.since(due));
            to.transmit_whole(now, &packet)?;
        }
        for _ in 0..BURST {
            let Some(received) = from.receive(now, buffer)? else {
                break;
            };
            let packet = received.packet.to_vec();
            if has_text(&packet) {
                self.link.send(now, packet, None);
            } else {
                self.link.send_spared(now, packet);
            }
        }
        Ok(())
    }
}

fn has_text(packet: &[u8]) -> bool {
    IpPacket::parse(packet).is_ok_and(|ip| {
        TcpSegment::parse(&ip.header, ip.payload, Checksum::Offloaded)
            .is_ok_and(|segment| PacketKind::Data.describes(&segment))
    })
}
