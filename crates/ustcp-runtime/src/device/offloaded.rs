//! A TUN device with IFF_VNET_HDR: super-segments and unsummed packets both ways.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsRawFd, RawFd};

use libc::c_uint;
use ustcp_proto::{Checksum, Instant, Transmit};

use super::vnet::{self, VnetHeader};
use super::{Device, Losses, Received, is_gone};
use crate::sys::tun;

/// Most headers that stand before the text of a segment: 40 bytes of IPv6 (or 20 of IPv4), 60 of TCP.
const HEADERS: usize = 100;
/// Longest IP packet.
const LONGEST: usize = 65_535;

/// What to ask for, best first: a kernel that does not know a bit refuses the whole.
const WISHES: [c_uint; 4] = [
    // The last bit: super-segments that say CWR need not be split for us.
    libc::TUN_F_CSUM | libc::TUN_F_TSO4 | libc::TUN_F_TSO6 | libc::TUN_F_TSO_ECN,
    libc::TUN_F_CSUM | libc::TUN_F_TSO4 | libc::TUN_F_TSO6,
    libc::TUN_F_CSUM | libc::TUN_F_TSO4,
    libc::TUN_F_CSUM,
];

/// A TUN device with its offloads.
pub(super) struct Offloaded {
    tun: File,
    mtu: usize,
    granted: c_uint,
    losses: Losses,
}

impl Offloaded {
    /// The device behind `tun`, which is attached with IFF_VNET_HDR. With `wanted` unset everything is done in
    /// software: that is for a descriptor handed over whose header cannot be had off.
    pub(super) fn new(tun: File, mtu: usize, wanted: bool) -> io::Result<Offloaded> {
        // A persistent device keeps both from whoever held it before.
        tun::set_header_len(&tun, vnet::LEN)?;
        let wishes = WISHES.into_iter().filter(|_| wanted).chain([0]);
        let granted = grant(&tun, wishes)?;
        Ok(Offloaded {
            tun,
            mtu,
            granted,
            losses: Losses::default(),
        })
    }

    /// Whether super-segments and unsummed packets pass both ways.
    pub(super) fn is_granted(&self) -> bool {
        self.has(libc::TUN_F_CSUM | libc::TUN_F_TSO4)
    }

    fn has(&self, bits: c_uint) -> bool {
        self.granted & bits == bits
    }

    fn write(&mut self, parts: &[IoSlice<'_>]) -> io::Result<()> {
        match self.tun.write_vectored(parts) {
            Ok(_) => Ok(()),
            Err(error) if is_gone(&error) => Err(error),
            Err(_) => {
                self.losses.outgoing += 1;
                Ok(())
            }
        }
    }
}

/// Asks for `wishes` in turn; the last is to ask for nothing.
fn grant(tun: &File, wishes: impl Iterator<Item = c_uint>) -> io::Result<c_uint> {
    let mut refusal = io::Error::from_raw_os_error(libc::EINVAL);
    for bits in wishes {
        match tun::set_offload(tun, bits) {
            Ok(()) => return Ok(bits),
            Err(error) => refusal = error,
        }
    }
    Err(refusal)
}

impl Device for Offloaded {
    fn fd(&self) -> RawFd {
        self.tun.as_raw_fd()
    }

    fn mtu(&self) -> usize {
        self.mtu
    }

    fn segmentation_offload(&self) -> usize {
        if self.is_granted() { LONGEST - HEADERS } else { 0 }
    }

    fn checksum(&self) -> Checksum {
        if self.has(libc::TUN_F_CSUM) {
            Checksum::Offloaded
        } else {
            Checksum::Full
        }
    }

    fn receive<'b>(&mut self, _: Instant, buffer: &'b mut [u8]) -> io::Result<Option<Received<'b>>> {
        loop {
            let mut header = [0; vnet::LEN];
            let read = self
                .tun
                .read_vectored(&mut [IoSliceMut::new(&mut header), IoSliceMut::new(buffer)]);
            let len = match read {
                Ok(len) => len.saturating_sub(vnet::LEN),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let Some(promise) = VnetHeader::parse(header).promise(len) else {
                self.losses.incoming += 1;
                continue;
            };
            return Ok(buffer.get(..len).map(|packet| Received {
                packet,
                checksum: promise.checksum,
                segment_size: promise.segment_size,
            }));
        }
    }

    fn transmit(&mut self, _: Instant, packet: &Transmit<'_>) -> io::Result<()> {
        let header = VnetHeader::of(packet).emit();
        let [first, second] = packet.text;
        self.write(&[
            IoSlice::new(&header),
            IoSlice::new(packet.headers.bytes()),
            IoSlice::new(first),
            IoSlice::new(second),
        ])
    }

    fn transmit_whole(&mut self, _: Instant, packet: &[u8]) -> io::Result<()> {
        let header = VnetHeader::default().emit();
        self.write(&[IoSlice::new(&header), IoSlice::new(packet)])
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
