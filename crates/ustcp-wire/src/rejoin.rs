//! A packet out of its fragments.

use crate::ip::ipv6::{Chain, FIXED_HEADER, Kind, PAYLOAD_LENGTH_AT};
use crate::writer::patch;
use crate::{IpPacket, Sum};

/// The packet that was cut into fragments: `first` is the first of them as it came, `payloads` what each of them
/// carries, in order. It gets the first's headers with the length of the whole and without the marks of a fragment,
/// and its ECN field says "congestion experienced" where any of them said so. `None` when `first` is no first
/// fragment or the whole is longer than a packet can be.
#[must_use]
pub fn rejoin(first: &[u8], payloads: &[&[u8]], congestion_experienced: bool) -> Option<Vec<u8>> {
    let ip = IpPacket::parse(first).ok()?;
    ip.fragment.filter(|fragment| fragment.offset == 0)?;
    let headers = first.get(..ip.header_len)?;
    let payload_len = payloads.iter().map(|payload| payload.len()).sum();
    let mut packet = if ip.header.destination.is_ipv4() {
        whole_ipv4(headers, payload_len, congestion_experienced)?
    } else {
        whole_ipv6(headers, payload_len, congestion_experienced)?
    };
    payloads.iter().for_each(|payload| packet.extend_from_slice(payload));
    Some(packet)
}

/// RFC 791 §3.2. The offset and both flags are gone, since what a router did is undone.
fn whole_ipv4(headers: &[u8], payload_len: usize, congestion_experienced: bool) -> Option<Vec<u8>> {
    let total_len = u16::try_from(headers.len() + payload_len).ok()?;
    let mut whole = Vec::with_capacity(headers.len() + payload_len);
    whole.extend_from_slice(headers);
    if congestion_experienced && let Some(traffic_class) = whole.get_mut(1) {
        *traffic_class |= 0b11;
    }
    patch(&mut whole, 2, total_len.to_be_bytes());
    patch(&mut whole, 6, [0, 0]);
    patch(&mut whole, 10, [0, 0]);
    let checksum = Sum::default().add(&whole).checksum();
    patch(&mut whole, 10, checksum.to_be_bytes());
    Some(whole)
}

/// RFC 8200 §4.5: the fragment header, which stands last, is taken out, and whatever named it names what it named.
fn whole_ipv6(headers: &[u8], payload_len: usize, congestion_experienced: bool) -> Option<Vec<u8>> {
    let mut chain = Chain::along(headers)?;
    let fragment = loop {
        let extension = chain.pass().ok()??;
        if extension.kind == Kind::Fragment && extension.fragment().is_some() {
            break extension;
        }
    };
    let unfragmentable = headers.get(..fragment.at)?;
    let length_field = u16::try_from(unfragmentable.len() - FIXED_HEADER + payload_len).ok()?;
    let mut whole = Vec::with_capacity(unfragmentable.len() + payload_len);
    whole.extend_from_slice(unfragmentable);
    if congestion_experienced && let Some(traffic_class) = whole.get_mut(1) {
        *traffic_class |= 0b11 << 4;
    }
    patch(&mut whole, PAYLOAD_LENGTH_AT, length_field.to_be_bytes());
    patch(&mut whole, fragment.named_at, [chain.number]);
    Some(whole)
}

#[cfg(test)]
mod tests;
