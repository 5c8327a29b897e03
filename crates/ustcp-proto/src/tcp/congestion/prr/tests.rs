use super::*;

const MSS: usize = 1000;

/// Plays a recovery in which each acknowledgement delivers a segment, and everything that is allowed is sent.
/// Says how much was sent for each.
fn play(prr: &mut Prr, in_flight: &mut usize, acks: usize, una_advances: bool) -> Vec<usize> {
    let mut sent = Vec::new();
    for _ in 0..acks {
        *in_flight -= MSS;
        let ack = RecoveryAck {
            delivered: MSS,
            una_advanced: una_advances,
            found_loss: false,
            in_flight: *in_flight,
        };
        let whole = prr.on_ack(&ack, MSS).expect("something was delivered") / MSS * MSS;
        prr.on_sent(whole);
        *in_flight += whole;
        sent.push(whole / MSS);
    }
    sent
}

/// RFC 9937 §6.2 with CUBIC's 0.7: for ten segments delivered seven are sent, spread out, and ssthresh is what remains.
/// Bytes that do not make a segment yet count for the next.
#[test]
fn ten_deliveries_let_seven_go() {
    let mut prr = Prr::on_entry(70 * MSS, 100 * MSS);
    let mut in_flight = 99 * MSS; // one is lost
    let sent = play(&mut prr, &mut in_flight, 20, false);
    assert_eq!(sent, [1, 0, 1, 0, 1, 1, 0, 1, 1, 1, 0, 1, 1, 0, 1, 1, 0, 1, 1, 1]);
    play(&mut prr, &mut in_flight, 79, false);
    assert_eq!(in_flight, 70 * MSS);
}

/// Reno's half: every second acknowledgement lets one go.
#[test]
fn every_second_lets_one_go() {
    let mut prr = Prr::on_entry(10 * MSS, 20 * MSS);
    let mut in_flight = 19 * MSS;
    let sent = play(&mut prr, &mut in_flight, 8, false);
    assert_eq!(sent, [1, 0, 0, 1, 0, 1, 0, 1]);
}

/// 9937-2: fewer in flight than the target, because much was lost: without progress as many as were delivered, no more.
#[test]
fn after_heavy_loss_it_conserves_packets() {
    let mut prr = Prr::on_entry(10 * MSS, 20 * MSS);
    let mut in_flight = 5 * MSS;
    let sent = play(&mut prr, &mut in_flight, 4, false);
    assert_eq!(sent, [1, 1, 1, 1]);
    assert_eq!(in_flight, 5 * MSS);
}

/// 9937-2: with progress (SafeACK) one more each time, as slow start would, and up to the target only.
#[test]
fn with_progress_it_catches_up() {
    let mut prr = Prr::on_entry(8 * MSS, 20 * MSS);
    let mut in_flight = 5 * MSS;
    let sent = play(&mut prr, &mut in_flight, 6, true);
    assert_eq!(sent, [2, 2, 2, 1, 1, 1]);
    assert_eq!(in_flight, 8 * MSS);
}

/// 9937-2: an acknowledgement that moves SND.UNA and shows another loss is no SafeACK.
#[test]
fn a_further_loss_is_no_progress() {
    let mut prr = Prr::on_entry(8 * MSS, 20 * MSS);
    prr.on_sent(MSS);
    let ack = RecoveryAck {
        delivered: MSS,
        una_advanced: true,
        found_loss: true,
        in_flight: 3 * MSS,
    };
    assert_eq!(prr.on_ack(&ack, MSS), Some(MSS));
    let safe = RecoveryAck {
        found_loss: false,
        ..ack
    };
    assert_eq!(prr.on_ack(&safe, MSS), Some(2 * MSS));
}

/// 9937-3: the fast retransmit goes out, whatever the sums say; but once.
#[test]
fn entry_lets_one_segment_go() {
    let mut prr = Prr::on_entry(10 * MSS, 20 * MSS);
    let nothing = RecoveryAck {
        in_flight: 30 * MSS,
        ..RecoveryAck::default()
    };
    assert_eq!(prr.on_ack(&nothing, MSS), Some(MSS));
    prr.on_sent(MSS);
    assert_eq!(prr.on_ack(&nothing, MSS), None);
}
