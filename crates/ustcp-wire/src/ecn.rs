//! The ECN field of the IP header, RFC 3168 §5.

use crate::writer::patch;
use crate::{IpPacket, Sum};

/// Its four values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Ecn {
    /// Not-ECT: a router that is congested loses this packet.
    #[default]
    NotCapable,
    /// ECT(1), which RFC 8311 has set free for experiments.
    Capable1,
    /// ECT(0).
    Capable0,
    /// CE: congestion experienced.
    Congested,
}

impl Ecn {
    /// The two lower bits of a traffic class.
    #[inline]
    #[must_use]
    pub fn of(traffic_class: u8) -> Ecn {
        match traffic_class & 0b11 {
            0b00 => Ecn::NotCapable,
            0b01 => Ecn::Capable1,
            0b10 => Ecn::Capable0,
            _ => Ecn::Congested,
        }
    }

    /// Its two bits.
    #[must_use]
    pub fn bits(self) -> u8 {
        match self {
            Ecn::NotCapable => 0b00,
            Ecn::Capable1 => 0b01,
            Ecn::Capable0 => 0b10,
            Ecn::Congested => 0b11,
        }
    }
}

/// What a congested router does: an ECN-capable packet says CE from now on, its header's checksum right. Says whether
/// it was one.
pub fn mark_congestion(packet: &mut [u8]) -> bool {
    let Ok(ip) = IpPacket::parse(packet) else { return false };
    if Ecn::of(ip.header.traffic_class) == Ecn::NotCapable {
        return false;
    }
    if ip.header.destination.is_ipv6() {
        // The traffic class lies across the first two bytes, RFC 8200 §3.
        if let Some(second) = packet.get_mut(1) {
            *second |= Ecn::Congested.bits() << 4;
        }
        return true;
    }
    let header_len = ip.header_len;
    let traffic_class = ip.header.traffic_class | Ecn::Congested.bits();
    patch(packet, 1, [traffic_class]);
    patch(packet, 10, [0, 0]);
    let checksum = Sum::default().add(packet.get(..header_len).unwrap_or(&[])).checksum();
    patch(packet, 10, checksum.to_be_bytes());
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{any_ip, any_tcp};
    use crate::{Checksum, Headers};
    use proptest::prelude::*;

    proptest! {
        /// RFC 3168 §5: ECT becomes CE, Not-ECT stays what it is, and nothing else changes.
        #[test]
        fn a_mark_changes_the_field_and_nothing_else(ip in any_ip(), tcp in any_tcp()) {
            let mut packet = Headers::new(&ip, &tcp, [&[], &[]], Checksum::Full).bytes().to_vec();
            let capable = Ecn::of(ip.traffic_class) != Ecn::NotCapable;
            prop_assert_eq!(mark_congestion(&mut packet), capable);
            let read = IpPacket::parse(&packet).unwrap().header;
            prop_assert_eq!(Ecn::of(read.traffic_class), if capable { Ecn::Congested } else { Ecn::NotCapable });
            prop_assert_eq!(crate::IpHeader { traffic_class: ip.traffic_class, ..read }, ip);
            prop_assert_eq!(read.traffic_class >> 2, ip.traffic_class >> 2);
        }

        #[test]
        fn any_bytes_are_marked_without_a_panic(mut bytes: Vec<u8>) {
            mark_congestion(&mut bytes);
        }
    }

    #[test]
    fn every_value_is_read_as_it_is_written() {
        for bits in 0..4 {
            assert_eq!(Ecn::of(0xb8 | bits).bits(), bits);
        }
    }
}
