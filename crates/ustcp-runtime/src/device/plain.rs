//! A TUN device that carries packets as they are: within the MTU, summed in software.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, RawFd};

use tun_tap::Iface;
use ustcp_proto::{Checksum, Instant, Transmit};

use super::{Device, Losses, Received, is_gone};

/// The descriptor, by the way it was come by.
pub(super) enum Line {
    /// Opened by name.
    Named(Iface),
    /// Handed over by someone else.
    Adopted(File),
}

impl Line {
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Line::Named(iface) => iface.recv(buffer),
            Line::Adopted(file) => (&*file).read(buffer),
        }
    }

    fn write(&self, packet: &[u8]) -> io::Result<usize> {
        match self {
            Line::Named(iface) => iface.send(packet),
            Line::Adopted(file) => (&*file).write(packet),
        }
    }
}

/// A TUN device without offloads.
pub(super) struct Plain {
    line: Line,
    mtu: usize,
    /// Where a packet's parts are put together: the device takes it in one piece.
    whole: Vec<u8>,
    losses: Losses,
}

impl Plain {
    pub(super) fn new(line: Line, mtu: usize) -> Plain {
        Plain {
            line,
            mtu,
            whole: Vec::new(),
            losses: Losses::default(),
        }
    }

    fn taken(&mut self, written: io::Result<usize>) -> io::Result<()> {
        match written {
            Ok(_) => Ok(()),
            Err(error) if is_gone(&error) => Err(error),
            Err(_) => {
                self.losses.outgoing += 1;
                Ok(())
            }
        }
    }
}

impl Device for Plain {
    fn fd(&self) -> RawFd {
        match &self.line {
            Line::Named(iface) => iface.as_raw_fd(),
            Line::Adopted(file) => file.as_raw_fd(),
        }
    }

    fn mtu(&self) -> usize {
        self.mtu
    }

    fn segmentation_offload(&self) -> usize {
        0
    }

    fn checksum(&self) -> Checksum {
        Checksum::Full
    }

    fn receive<'b>(&mut self, _: Instant, buffer: &'b mut [u8]) -> io::Result<Option<Received<'b>>> {
        let len = loop {
            match self.line.read(buffer) {
                Ok(len) => break len,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        };
        Ok(buffer.get(..len).map(|packet| Received {
            packet,
            checksum: Checksum::Full,
            segment_size: None,
        }))
    }

    fn transmit(&mut self, _: Instant, packet: &Transmit<'_>) -> io::Result<()> {
        let [first, second] = packet.text;
        self.whole.clear();
        for part in [packet.headers.bytes(), first, second] {
            self.whole.extend_from_slice(part);
        }
        let written = self.line.write(&self.whole);
        self.taken(written)
    }

    fn transmit_whole(&mut self, _: Instant, packet: &[u8]) -> io::Result<()> {
        let written = self.line.write(packet);
        self.taken(written)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    fn on_timeout(&mut self, _: Instant) -> io::Result<()> {
        Ok(())
    }

    fn losses(&self) -> Losses {
        self.losses
    }
}
