use etherparse::{TcpOptionElement, TcpOptionsIterator};
use proptest::prelude::*;

use super::*;
use crate::testing::{any_bytes, any_options, blocks};

const STAMPS: Timestamps = Timestamps {
    value: 0x0102_0304,
    echo: 0x0506_0708,
};
const NONE: TcpOptions = TcpOptions {
    mss: None,
    window_scale: None,
    sack_permitted: false,
    timestamps: None,
    fast_open: None,
    sack: SackBlocks::NONE,
};
const MSS_1460: TcpOptions = TcpOptions {
    mss: Some(1460),
    ..NONE
};

fn check(cases: &[(&str, &[u8], TcpOptions)]) {
    for (name, bytes, expected) in cases {
        assert_eq!(TcpOptions::parse(bytes), *expected, "{name}");
    }
}

#[test]
fn each_option_by_itself() {
    check(&[
        ("none", &[], NONE),
        ("MSS", &[2, 4, 0x05, 0xb4], MSS_1460),
        (
            "window scale",
            &[3, 3, 7],
            TcpOptions {
                window_scale: Some(7),
                ..NONE
            },
        ),
        (
            "a scale above 14 is handed on",
            &[3, 3, 255],
            TcpOptions {
                window_scale: Some(255),
                ..NONE
            },
        ),
        (
            "SACK permitted",
            &[4, 2],
            TcpOptions {
                sack_permitted: true,
                ..NONE
            },
        ),
        (
            "timestamps",
            &[8, 10, 1, 2, 3, 4, 5, 6, 7, 8],
            TcpOptions {
                timestamps: Some(STAMPS),
                ..NONE
            },
        ),
        (
            "one block",
            &[5, 10, 0, 0, 0, 1, 0, 0, 0, 2],
            TcpOptions {
                sack: blocks(&[(1, 2)]),
                ..NONE
            },
        ),
    ]);
}

#[test]
fn one_to_four_sack_blocks_are_read() {
    for count in 0..=4u8 {
        let edges: Vec<_> = (0..u32::from(count)).map(|n| (n << 24 | 5, n << 24 | 9)).collect();
        let bytes: Vec<u8> = [5, 2 + 8 * count]
            .into_iter()
            .chain(
                edges
                    .iter()
                    .flat_map(|(start, end)| [start.to_be_bytes(), end.to_be_bytes()])
                    .flatten(),
            )
            .collect();
        assert_eq!(TcpOptions::parse(&bytes).sack, blocks(&edges));
    }
}

/// MUST-64: options may begin at any byte.
#[test]
fn nops_before_an_option_move_it_and_nothing_else() {
    check(&[
        ("one NOP", &[1, 2, 4, 0x05, 0xb4], MSS_1460),
        ("two", &[1, 1, 2, 4, 0x05, 0xb4], MSS_1460),
        ("three", &[1, 1, 1, 2, 4, 0x05, 0xb4], MSS_1460),
        ("NOPs alone", &[1; 40], NONE),
    ]);
}

#[test]
fn the_end_of_the_list_ends_it() {
    check(&[
        ("EOL first", &[0, 2, 4, 0x05, 0xb4], NONE),
        ("EOL is not a kind with a length", &[0, 2, 2, 4, 0x05, 0xb4], NONE),
        ("EOL after", &[2, 4, 0x05, 0xb4, 0, 3, 3, 7], MSS_1460),
        ("zeros", &[0; 40], NONE),
    ]);
}

/// MUST-6.
#[test]
fn unknown_kinds_are_passed_over_by_their_length() {
    check(&[
        ("before", &[200, 7, 1, 2, 3, 4, 5, 2, 4, 0x05, 0xb4], MSS_1460),
        (
            "between",
            &[4, 2, 254, 2, 2, 4, 0x05, 0xb4],
            TcpOptions {
                sack_permitted: true,
                ..MSS_1460
            },
        ),
        (
            "its value looks like an option",
            &[200, 6, 3, 3, 7, 0, 2, 4, 0x05, 0xb4],
            MSS_1460,
        ),
        ("last", &[2, 4, 0x05, 0xb4, 30, 4, 0, 0], MSS_1460),
    ]);
}

/// MUST-7.
#[test]
fn an_illegal_length_ends_the_walk_and_what_was_read_counts() {
    check(&[
        ("length 0", &[2, 4, 0x05, 0xb4, 3, 0, 7, 4, 2], MSS_1460),
        ("length 1", &[2, 4, 0x05, 0xb4, 3, 1, 7, 4, 2], MSS_1460),
        ("unknown kind of length 0", &[2, 4, 0x05, 0xb4, 99, 0, 4, 2], MSS_1460),
        ("past the end", &[2, 4, 0x05, 0xb4, 8, 10, 1, 2, 3], MSS_1460),
        ("no length", &[2, 4, 0x05, 0xb4, 8], MSS_1460),
        ("255", &[2, 4, 0x05, 0xb4, 77, 255, 4, 2], MSS_1460),
        ("cut MSS", &[2, 4, 5], NONE),
    ]);
}

#[test]
fn a_known_kind_of_foreign_length_is_passed_over() {
    check(&[
        (
            "MSS of 3",
            &[2, 3, 9, 4, 2],
            TcpOptions {
                sack_permitted: true,
                ..NONE
            },
        ),
        (
            "MSS of 5",
            &[2, 5, 9, 9, 9, 4, 2],
            TcpOptions {
                sack_permitted: true,
                ..NONE
            },
        ),
        ("window scale of 2", &[3, 2, 2, 4, 0x05, 0xb4], MSS_1460),
        ("window scale of 4", &[3, 4, 7, 7, 2, 4, 0x05, 0xb4], MSS_1460),
        ("SACK permitted of 3", &[4, 3, 0, 2, 4, 0x05, 0xb4], MSS_1460),
        ("timestamps of 6", &[8, 6, 1, 2, 3, 4, 2, 4, 0x05, 0xb4], MSS_1460),
        (
            "timestamps of 12",
            &[8, 12, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 2, 4, 0x05, 0xb4],
            MSS_1460,
        ),
        ("half a block", &[5, 6, 0, 0, 0, 1, 2, 4, 0x05, 0xb4], MSS_1460),
        (
            "a block and a half",
            &[5, 14, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 2, 4, 0x05, 0xb4],
            MSS_1460,
        ),
    ]);
}

#[test]
fn of_two_alike_the_later_counts() {
    check(&[
        ("MSS", &[2, 4, 1, 1, 2, 4, 0x05, 0xb4], MSS_1460),
        (
            "SACK",
            &[5, 10, 0, 0, 0, 1, 0, 0, 0, 2, 5, 10, 0, 0, 0, 3, 0, 0, 0, 4],
            TcpOptions {
                sack: blocks(&[(3, 4)]),
                ..NONE
            },
        ),
    ]);
}

/// ATTACK-50, MUST-7: every kind with every length, cut everywhere, behind up to three NOPs: no panic, and what stands before
/// the odd one is read.
#[test]
fn a_million_option_lists() {
    let mut lists = 0;
    for kind in 0..=255 {
        for len in 0..=40 {
            for nops in 0..=3 {
                let mut bytes = [4, 2, 1, 1, 1, 0, 0, 0, 0, 0].to_vec(); // SACK permitted first
                bytes.truncate(2 + nops);
                bytes.extend([kind, len]);
                bytes.resize(40, len ^ kind);
                for cut in 2..=40 {
                    let read = TcpOptions::parse(bytes.get(..cut).unwrap());
                    assert!(read.sack_permitted);
                    lists += 1;
                }
            }
        }
    }
    println!("ATTACK-50 seen: {lists} lists read");
}

/// ATTACK-50: a walk ends after forty bytes, whatever else there is.
#[test]
fn the_walk_takes_at_most_forty_steps() {
    let bytes = [&[1; 39][..], &[4, 2], &[2, 4, 0x05, 0xb4]].concat();
    assert_eq!(
        TcpOptions::parse(&bytes),
        TcpOptions {
            sack_permitted: true,
            ..NONE
        }
    );
}

#[test]
fn options_are_laid_out_as_linux_lays_them_out() {
    let sack = blocks(&[(1, 2), (3, 4), (5, 6), (7, 8)]);
    let stamps = Some(STAMPS);
    let syn = TcpOptions {
        mss: Some(1460),
        window_scale: Some(7),
        sack_permitted: true,
        timestamps: stamps,
        ..NONE
    };
    let one = |n: u8| [0, 0, 0, n, 0, 0, 0, n + 1];
    let cases: [(&str, TcpOptions, Vec<u8>); 8] = [
        ("nothing", NONE, vec![]),
        (
            "SYN",
            syn,
            vec![2, 4, 0x05, 0xb4, 4, 2, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 3, 3, 7],
        ),
        (
            "SYN without timestamps",
            TcpOptions {
                timestamps: None,
                ..syn
            },
            vec![2, 4, 0x05, 0xb4, 1, 1, 4, 2, 1, 3, 3, 7],
        ),
        (
            "SYN without SACK",
            TcpOptions {
                sack_permitted: false,
                ..syn
            },
            vec![2, 4, 0x05, 0xb4, 1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 3, 3, 7],
        ),
        (
            "timestamps",
            TcpOptions {
                timestamps: stamps,
                ..NONE
            },
            vec![1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8],
        ),
        (
            "four blocks",
            TcpOptions { sack, ..NONE },
            [&[1, 1, 5, 34][..], &one(1), &one(3), &one(5), &one(7)].concat(),
        ),
        (
            "timestamps leave room for three",
            TcpOptions {
                timestamps: stamps,
                sack,
                ..NONE
            },
            [
                &[1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 1, 5, 26][..],
                &one(1),
                &one(3),
                &one(5),
            ]
            .concat(),
        ),
        (
            "one block",
            TcpOptions {
                sack: blocks(&[(1, 2)]),
                ..NONE
            },
            [&[1, 1, 5, 10][..], &one(1)].concat(),
        ),
    ];
    for (name, options, expected) in cases {
        let mut out = [0; 40];
        let len = options.emit(&mut out);
        assert_eq!(out[..len], expected, "{name}");
    }
}

// RFC 7413 §4.1.1.
#[test]
fn a_fast_open_cookie_is_empty_or_of_4_to_16_bytes_and_even() {
    let cookie: Vec<u8> = (1..=38).collect();
    for len in 0..=38 {
        let bytes = [&[34, 2 + len as u8], &cookie[..len]].concat();
        let valid = [0, 4, 6, 8, 10, 12, 14, 16].contains(&len);
        let read = TcpOptions::parse(&bytes).fast_open;
        assert_eq!(read.is_some(), valid, "{len} bytes");
        assert_eq!(read, FastOpenCookie::new(&cookie[..len]), "{len} bytes");
        if let Some(read) = read {
            assert_eq!((read.bytes(), read.is_request()), (&cookie[..len], len == 0));
        }
    }
    let request = Some(FastOpenCookie::REQUEST);
    check(&[
        (
            "before another",
            &[34, 2, 2, 4, 0x05, 0xb4],
            TcpOptions {
                fast_open: request,
                ..MSS_1460
            },
        ),
        (
            "of a wrong length, behind a right one",
            &[34, 2, 34, 3, 9],
            TcpOptions {
                fast_open: request,
                ..NONE
            },
        ),
        ("cut", &[2, 4, 0x05, 0xb4, 34, 10, 1, 2, 3, 4, 5, 6, 7], MSS_1460),
    ]);
}

#[test]
fn fast_open_is_laid_out_as_linux_lays_it_out() {
    let syn = TcpOptions {
        mss: Some(1460),
        window_scale: Some(7),
        sack_permitted: true,
        timestamps: Some(STAMPS),
        ..NONE
    };
    let before = [2, 4, 0x05, 0xb4, 4, 2, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 3, 3, 7];
    let cookie: Vec<u8> = (0xa0..0xb0).collect();
    for (len, padding) in [(0, 2), (4, 2), (6, 0), (8, 2), (10, 0), (12, 2), (14, 0), (16, 2)] {
        let options = TcpOptions {
            fast_open: FastOpenCookie::new(&cookie[..len]),
            ..syn
        };
        let mut out = [0xee; 40];
        let used = options.emit(&mut out);
        let expected = [&before[..], &[34, 2 + len as u8], &cookie[..len], &[1, 1][..padding]].concat();
        assert_eq!(out[..used], expected, "a cookie of {len} bytes");
        assert_eq!(TcpOptions::parse(&out[..used]), options);
    }
}

#[test]
fn sack_blocks_make_room_for_the_cookie() {
    let sack = blocks(&[(1, 2), (3, 4), (5, 6), (7, 8)]);
    for (cookie, stamps, held) in [(16, false, 2), (16, true, 0), (4, false, 3), (4, true, 2), (0, true, 2)] {
        let options = TcpOptions {
            timestamps: stamps.then_some(STAMPS),
            fast_open: FastOpenCookie::new(&[9; 16][..cookie]),
            sack,
            ..NONE
        };
        let mut out = [0; 40];
        let len = options.emit(&mut out);
        let read = TcpOptions::parse(&out[..len]);
        assert_eq!(
            (read.fast_open, read.sack.len()),
            (options.fast_open, held),
            "{options:?}"
        );
    }
}

#[test]
fn a_fifth_block_finds_no_place() {
    let mut four = blocks(&[(1, 2), (3, 4), (5, 6), (7, 8)]);
    assert!(!four.push(SackBlock::default()));
    assert_eq!(four.len(), 4);
    assert!(SackBlocks::NONE.is_empty() && !four.is_empty());
    assert_eq!(four.iter().map(|block| block.start.0).collect::<Vec<_>>(), [1, 3, 5, 7]);
}

proptest! {
    #[test]
    fn what_was_written_is_what_is_read(options in any_options()) {
        let mut out = [0xee; 40];
        let len = options.emit(&mut out);
        let read = TcpOptions::parse(&out[..len]);
        prop_assert_eq!(len % 4, 0);
        prop_assert_eq!(TcpOptions { sack: SackBlocks::NONE, ..read }, TcpOptions { sack: SackBlocks::NONE, ..options });
        // The blocks left out are the last ones, and not one more than need be.
        let sent: Vec<_> = read.sack.iter().collect();
        prop_assert!(options.sack.iter().take(sent.len()).eq(sent.iter().copied()));
        let room = if sent.is_empty() { 12 } else { 8 };
        prop_assert!(sent.len() == options.sack.len() || len + room > 40);
    }

    #[test]
    fn etherparse_reads_what_was_written(options in any_options()) {
        // It stops at kinds that it does not know.
        let options = TcpOptions { fast_open: None, ..options };
        let mut out = [0; 40];
        let len = options.emit(&mut out);
        let mut oracle = NONE;
        for element in TcpOptionsIterator::from_slice(&out[..len]) {
            match element.unwrap() {
                TcpOptionElement::Noop => {}
                TcpOptionElement::MaximumSegmentSize(mss) => oracle.mss = Some(mss),
                TcpOptionElement::WindowScale(shift) => oracle.window_scale = Some(shift),
                TcpOptionElement::SelectiveAcknowledgementPermitted => oracle.sack_permitted = true,
                TcpOptionElement::SelectiveAcknowledgement(first, more) => {
                    let edges: Vec<_> = core::iter::once(first).chain(more.into_iter().flatten()).collect();
                    oracle.sack = blocks(&edges);
                }
                TcpOptionElement::Timestamp(value, echo) => oracle.timestamps = Some(Timestamps { value, echo }),
            }
        }
        prop_assert_eq!(TcpOptions::parse(&out[..len]), oracle);
    }

    #[test]
    fn any_bytes_are_options(bytes in any_bytes(300)) {
        let options = TcpOptions::parse(&bytes);
        prop_assert!(options.sack.len() <= 4);
    }

    #[test]
    fn a_prefix_of_options_reads_as_a_prefix(options in any_options()) {
        let mut out = [0; 40];
        let len = options.emit(&mut out);
        for cut in 0..len {
            let read = TcpOptions::parse(&out[..cut]);
            prop_assert!(read.mss.is_none() || read.mss == options.mss);
            prop_assert!(read.window_scale.is_none() || read.window_scale == options.window_scale);
            prop_assert!(read.timestamps.is_none() || read.timestamps == options.timestamps);
            prop_assert!(!read.sack_permitted || options.sack_permitted);
            prop_assert!(read.fast_open.is_none() || read.fast_open == options.fast_open);
            prop_assert!(read.sack.is_empty() || cut == len);
        }
    }
}
