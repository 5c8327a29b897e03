use core::net::SocketAddr;

use super::*;

fn cookies() -> SynCookies {
    SynCookies::new((1, 2), (3, 4))
}

fn flow(port: u16) -> Flow {
    let end = |last, port| SocketAddr::from(([10, 77, 0, last], port));
    Flow {
        local: end(2, 80),
        remote: end(1, port),
    }
}

fn at(secs: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(secs)
}

/// 4987-2: a cookie gives back the largest segment size it knows that the peer takes, at least the smallest.
#[test]
fn it_remembers_a_segment_size() {
    let v6 = Flow {
        local: "[fd00::2]:80".parse().expect("an address"),
        remote: "[fd00::1]:9".parse().expect("an address"),
    };
    for (flow, mss, remembered) in [
        (flow(9), 0, 536),
        (flow(9), 536, 536),
        (flow(9), 1299, 536),
        (flow(9), 1400, 1300),
        (flow(9), 1459, 1440),
        (flow(9), 1460, 1460),
        (flow(9), 65_535, 1460),
        (v6, 1000, 1220),
        (v6, 1439, 1420),
        (v6, 1440, 1440),
        (v6, 9000, 8940),
    ] {
        let cookie = cookies().make(at(500), &flow, SeqNum(7), mss);
        assert_eq!(
            cookies().check(at(500), &flow, SeqNum(7), cookie),
            Some(remembered),
            "{mss}"
        );
    }
}

/// 4987-2: it is good for the minute it was made in and the next, over the end of the minute's 8 bits too.
#[test]
fn it_ages() {
    for made in [0, 59, 60, 255 * 60, 255 * 60 + 59, 256 * 60, 1_000_000] {
        let cookie = cookies().make(at(made), &flow(9), SeqNum(7), 1460);
        let end = made / 60 * 60 + 120;
        for (when, good) in [
            (made, true),
            (end - 1, true),
            (end, false),
            (end + 60, false),
            (made + 240, false),
        ] {
            let checked = cookies().check(at(when), &flow(9), SeqNum(7), cookie);
            assert_eq!(checked.is_some(), good, "made at {made}, checked at {when}");
        }
    }
}

/// 4987-2: it is good for the ends and the number it was made for, under the key it was made with.
#[test]
fn it_is_for_one_connection() {
    let cookie = cookies().make(at(500), &flow(9), SeqNum(7), 1460);
    let check = |cookies: SynCookies, port, irs| cookies.check(at(500), &flow(port), SeqNum(irs), cookie);
    assert!(check(cookies(), 9, 7).is_some());
    assert!(check(cookies(), 9, 8).is_none());
    assert!(check(cookies(), 10, 7).is_none());
    assert!(check(SynCookies::new((1, 3), (3, 4)), 9, 7).is_none());
    assert!(check(SynCookies::new((1, 2), (3, 5)), 9, 7).is_none());
}

/// 4987-2, ATTACK-37: of ten million guesses none is right (two in a thousand such runs would have one that is).
#[test]
fn ten_million_guesses() {
    let mut guess = 0x9e37_79b9_u64;
    let accepted = (0..10_000_000).filter(|_| {
        guess = guess
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let (port, irs, cookie) = ((guess >> 48) as u16, (guess >> 16) as u32, (guess >> 32) as u32);
        cookies()
            .check(at(500), &flow(port), SeqNum(irs), SeqNum(cookie))
            .is_some()
    });
    assert_eq!(accepted.count(), 0);
}

/// What a timestamp carries for a cookie comes back as it was.
#[test]
fn an_offer_in_bits() {
    for window_scale in [None, Some(0), Some(7), Some(14)] {
        for sack in [false, true] {
            for ecn in [false, true] {
                let bits = Offer {
                    mss: 1,
                    window_scale,
                    sack,
                }
                .to_bits(ecn);
                assert!(bits < 64);
                let offer = Offer::from_cookie(1460, Some(bits));
                assert_eq!((offer.mss, offer.window_scale, offer.sack), (1460, window_scale, sack));
                assert_eq!(remembers_ecn(Some(bits)), ecn);
            }
        }
    }
    assert!(!remembers_ecn(None));
    let nothing = Offer::from_cookie(536, None);
    assert_eq!((nothing.window_scale, nothing.sack), (None, false));
}
