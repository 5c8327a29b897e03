use super::*;

const MSS: usize = 1000;

fn at(millis: u64) -> Instant {
    Instant::from_nanos(millis * 1_000_000)
}

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// Ten segments sent at once come back 1 ms apart after 50 ms, and ten more are sent upon them.
#[test]
fn what_was_delivered_over_a_round_trip() {
    let mut sampler = Sampler::default();
    let first: Vec<Snapshot> = (0..10).map(|n| sampler.on_sent(at(100), MSS, n * MSS)).collect();
    let mut second = Vec::new();
    for n in 0..10 {
        let now = at(150 + n);
        sampler.on_delivered(now, &first[n as usize], at(100), MSS);
        sampler.take_sample(None);
        second.push((now, sampler.on_sent(now, MSS, 9 * MSS)));
    }
    let mut last = None;
    for (n, (sent_at, snapshot)) in second.iter().enumerate() {
        sampler.on_delivered(at(200 + n as u64), snapshot, *sent_at, MSS);
        last = sampler.take_sample(Some(ms(50)));
    }
    let sample = last.expect("a sample");
    // The last was sent at 159, when 10 were delivered, the last of them sent at 100; and it arrived as the 20th.
    assert_eq!((sample.delivered, sample.interval), (10_000, ms(59)));
    assert_eq!(sample.rate(), Some(169_491));
    assert!(!sample.app_limited);
}

/// Sending took longer than acknowledging: the acknowledgements were held up and came in a heap.
#[test]
fn the_longer_of_both_times_counts() {
    let mut sampler = Sampler::default();
    let snapshots: Vec<(Instant, Snapshot)> = (0..10)
        .map(|n| {
            (
                at(100 + 10 * n),
                sampler.on_sent(at(100 + 10 * n), MSS, n as usize * MSS),
            )
        })
        .collect();
    for (sent_at, snapshot) in &snapshots {
        sampler.on_delivered(at(250), snapshot, *sent_at, MSS);
    }
    let sample = sampler.take_sample(None).expect("a sample");
    assert_eq!(sample.interval, ms(150));
    assert_eq!(sample.delivered, 10_000);
}

#[test]
fn shorter_than_a_round_trip_says_nothing() {
    let mut sampler = Sampler::default();
    let snapshot = sampler.on_sent(at(100), MSS, 0);
    sampler.on_delivered(at(120), &snapshot, at(100), MSS);
    let sample = sampler.take_sample(Some(ms(50))).expect("a sample");
    assert_eq!(sample.rate(), None);
    assert_eq!(sample.total_delivered, 1000);
}

#[test]
fn nothing_delivered_is_no_sample() {
    assert_eq!(Sampler::default().take_sample(None), None);
}

/// What is sent while there is nothing more to send is marked, until all of it is delivered.
#[test]
fn an_application_that_pauses_marks_samples() {
    let mut sampler = Sampler::default();
    let one = sampler.on_sent(at(100), MSS, 0);
    sampler.on_app_limited(MSS);
    let two = sampler.on_sent(at(110), MSS, MSS);
    sampler.on_delivered(at(150), &one, at(100), MSS);
    assert!(!sampler.take_sample(None).expect("a sample").app_limited);
    sampler.on_delivered(at(160), &two, at(110), MSS);
    assert!(sampler.take_sample(None).expect("a sample").app_limited);
    let three = sampler.on_sent(at(170), MSS, 0);
    sampler.on_delivered(at(220), &three, at(170), MSS);
    assert!(!sampler.take_sample(None).expect("a sample").app_limited);
}

#[test]
fn losses_are_counted_since_the_send() {
    let mut sampler = Sampler::default();
    let snapshots: Vec<Snapshot> = (0..4).map(|n| sampler.on_sent(at(100), MSS, n * MSS)).collect();
    let first = sampler.on_lost(&snapshots[0], MSS);
    let second = sampler.on_lost(&snapshots[1], MSS);
    assert_eq!((first.lost, first.in_flight), (1000, 1000));
    assert_eq!((second.lost, second.in_flight), (2000, 2000));
    let later = sampler.on_sent(at(150), MSS, 0);
    sampler.on_delivered(at(160), &snapshots[3], at(100), MSS);
    assert_eq!(sampler.take_sample(None).expect("a sample").lost, 2000);
    sampler.on_delivered(at(200), &later, at(150), MSS);
    assert_eq!(sampler.take_sample(None).expect("a sample").lost, 0);
}
