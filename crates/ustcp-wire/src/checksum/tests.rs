use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;
use crate::testing::any_bytes;

/// RFC 1071 §1 to the letter: 16-bit words in network order, each carry added at once.
fn reference(bytes: &[u8]) -> u16 {
    bytes.chunks(2).fold(0u16, |sum, word| {
        let word = u16::from_be_bytes([word[0], *word.get(1).unwrap_or(&0)]);
        let (sum, carry) = sum.overflowing_add(word);
        sum + u16::from(carry)
    })
}

#[test]
fn the_example_of_rfc_1071() {
    let sum = Sum::default().add(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]);
    assert_eq!(sum.folded(), 0xddf2);
    assert_eq!(sum.checksum(), 0x220d);
}

#[test]
fn sums_at_the_edges() {
    for (bytes, folded) in [
        (vec![], 0),
        (vec![0; 64], 0),
        (vec![0xab], 0xab00),
        (vec![0xff; 2], 0xffff),
        (vec![0xff; 65_536], 0xffff),
        (vec![0xff; 65_535], 0xff00),
        (vec![0xff, 0xff, 0x00, 0x01], 0x0001),
    ] {
        assert_eq!(Sum::default().add(&bytes).folded(), folded, "{} bytes", bytes.len());
    }
}

#[test]
fn a_carry_out_of_64_bits_comes_back_in() {
    let full = Sum {
        total: u64::MAX - 1,
        odd: false,
    };
    assert_eq!(full.folded(), 0xfffe_u16.to_be());
    assert_eq!(
        full.add(&[0x12, 0x34]).add(&[0, 1]).folded(),
        reference(&[&0xfffe_u16.to_ne_bytes()[..], &[0x12, 0x34, 0, 1]].concat())
    );
}

#[test]
fn folding_goes_on_until_no_carry_is_left() {
    for total in [
        u64::MAX,
        u64::MAX - 1,
        0xffff_ffff_0001_0000,
        0x0001_0000_ffff_ffff,
        0xffff_0001,
        0x1_ffff,
        1 << 63,
    ] {
        let sum = Sum { total, odd: false };
        assert_eq!(sum.folded(), reference(&total.to_ne_bytes()), "{total:#x}");
    }
}

#[test]
fn a_sum_with_its_checksum_in_it_verifies() {
    let mut header = [
        0x45, 0, 0, 0x73, 0, 0, 0x40, 0, 0x40, 0x11, 0, 0, 0xc0, 0xa8, 0, 1, 0xc0, 0xa8, 0, 0xc7,
    ];
    assert_eq!(Sum::default().add(&header).checksum(), 0xb861);
    assert!(!Sum::default().add(&header).verifies());
    [header[10], header[11]] = [0xb8, 0x61];
    assert!(Sum::default().add(&header).verifies());
}

#[test]
fn a_source_of_the_other_family_sums_as_unspecified() {
    let (v4, v6) = (IpAddr::V4(Ipv4Addr::new(10, 77, 0, 1)), IpAddr::V6(Ipv6Addr::LOCALHOST));
    for (source, destination, unspecified) in [
        (v6, v4, IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
        (v4, v6, IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
    ] {
        let mixed = pseudo_header_sum(source, destination, Protocol::Tcp, 20);
        let pure = pseudo_header_sum(unspecified, destination, Protocol::Tcp, 20);
        assert_eq!(mixed.folded(), pure.folded());
    }
}

proptest! {
    #[test]
    fn any_division_into_parts_sums_to_the_same(bytes in any_bytes(400), cuts in prop::collection::vec(0..=400usize, 0..5)) {
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let sum = cuts.windows(2).fold(Sum::default(), |sum, ends| sum.add(&bytes[ends[0]..ends[1]]));
        prop_assert_eq!(sum.folded(), reference(&bytes));
    }

    #[test]
    fn the_pseudo_header_is_that_of_the_rfcs(v4 in any::<[Ipv4Addr; 2]>(), v6 in any::<[Ipv6Addr; 2]>(), protocol: u8, length: u16) {
        let [source, destination] = v4;
        let [upper, lower] = length.to_be_bytes();
        let bytes = [&source.octets()[..], &destination.octets(), &[0, protocol, upper, lower]].concat();
        let sum = pseudo_header_sum(source.into(), destination.into(), Protocol::from_number(protocol), length.into());
        prop_assert_eq!(sum.folded(), reference(&bytes));

        let [source, destination] = v6;
        let bytes = [&source.octets()[..], &destination.octets(), &[0, 0, upper, lower, 0, 0, 0, protocol]].concat();
        let sum = pseudo_header_sum(source.into(), destination.into(), Protocol::from_number(protocol), length.into());
        prop_assert_eq!(sum.folded(), reference(&bytes));
    }
}
