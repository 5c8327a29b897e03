//! What the weather took from the packets on their way to us. No event tells of them, but the capture does: it stands
//! on the other side of the weather.

use std::collections::HashMap;
use std::time::Duration;

use ustcp_proto::{Instant, State};

use super::{Packet, Row, What};
use crate::capture::Record;
use crate::inferred::{Direction, Step};
use crate::segment::Segment;

/// `rows` of our end, and among them what the peer sent according to `records` and never arrived; `delay` is the
/// weather's. `None` where nothing tells how the capture's clock stands to that of the events.
pub(crate) fn with_inbound_losses(rows: &[Row], records: &[Record], delay: Duration) -> Option<Vec<Row>> {
    let mut sent = sent_by_peer(rows, records, clock_difference(rows, records, delay)?);
    let mut rows = rows.to_vec();
    match_arrivals(&mut rows, &mut sent, delay);
    let lost = sent.into_iter().filter(|sent| !sent.arrived);
    Some(merged(rows, lost.map(|sent| sent.row)))
}

/// A packet of the peer's as it came from the device, and whether it reached us.
struct Sent {
    row: Row,
    arrived: bool,
}

/// What makes two sightings one segment. Windows are left out: the capture does not scale them.
type Figures = (u8, u32, Option<u32>, u32);

fn figures(segment: &Segment) -> Figures {
    let ack = segment.ack.map(|ack| ack.0);
    (segment.flags.0, segment.seq.0, ack, segment.len)
}

/// Each segment's values, in the order in which it was seen.
fn by_figures<T>(sightings: impl Iterator<Item = (Segment, T)>) -> HashMap<Figures, Vec<T>> {
    let mut found: HashMap<Figures, Vec<T>> = HashMap::new();
    for (segment, value) in sightings {
        found.entry(figures(&segment)).or_default().push(value);
    }
    found
}

/// By how many nanoseconds the capture's clock is ahead of the events'. A segment that was seen as often in both was
/// never lost nor doubled: the n-th time here is the n-th time there. The shortest way through the weather is its
/// delay.
fn clock_difference(rows: &[Row], records: &[Record], delay: Duration) -> Option<u64> {
    let delay = u64::try_from(delay.as_nanos()).ok()?;
    let differences = |direction| {
        let told = by_figures(packets(rows, direction).map(|(row, packet)| (packet.segment, row.at)));
        let of_direction = records.iter().filter(move |record| record.direction == direction);
        let seen = by_figures(of_direction.map(|record| (record.segment, record.time)));
        let mut differences = Vec::new();
        for (figures, times) in &seen {
            let ats = told.get(figures).filter(|ats| ats.len() == times.len());
            let pairs = times.iter().zip(ats.into_iter().flatten());
            differences.extend(pairs.filter_map(|(time, at)| time.checked_sub(at.as_nanos())));
        }
        differences
    };
    let outward = differences(Direction::Out).into_iter().min();
    let inward = || differences(Direction::In).into_iter().max();
    outward
        .and_then(|difference| difference.checked_sub(delay))
        .or_else(|| inward()?.checked_add(delay))
}

fn packets(rows: &[Row], direction: Direction) -> impl Iterator<Item = (&Row, &Packet)> {
    let of_row = move |row| Some((row, Row::packet(row)?));
    rows.iter()
        .filter_map(of_row)
        .filter(move |(_, packet)| packet.direction == direction)
}

/// The peer's packets in its own order, as rows of lost ones. Those to a connection that is closed are left out: they
/// are dropped by us, and nobody tells which.
fn sent_by_peer(rows: &[Row], records: &[Record], ahead: u64) -> Vec<Sent> {
    let mut end = None;
    let mut sent = Vec::new();
    for record in records.iter().filter(|record| record.direction == Direction::In) {
        let at = Instant::from_nanos(record.time.saturating_sub(ahead));
        let again = super::has_come_before(&mut end, &record.segment);
        let before = rows.partition_point(|row| row.at <= at).checked_sub(1);
        let Some(row) = before.and_then(|before| rows.get(before)) else {
            continue;
        };
        if row.ours.after == State::Closed {
            continue;
        }
        let packet = Packet {
            direction: Direction::In,
            segment: record.segment,
            again,
            lost: true,
        };
        let row = Row {
            at,
            ours: Step::stay(row.ours.after),
            peers: None,
            what: What::Packet(packet),
        };
        sent.push(Sent { row, arrived: false });
    }
    sent
}

/// Finds for each arrival the latest sending that it can come from: retransmission waits for longer than a packet is
/// under way. Who saw it sent knows whether it was for the first time.
fn match_arrivals(rows: &mut [Row], sent: &mut [Sent], delay: Duration) {
    let sendings = sent.iter().enumerate();
    let sendings = sendings.filter_map(|(index, sent)| Some((sent.row.packet()?.segment, index)));
    let mut under_way = by_figures(sendings);
    for row in rows {
        let What::Packet(packet) = &mut row.what else { continue };
        let candidates = under_way
            .get_mut(&figures(&packet.segment))
            .filter(|_| packet.direction == Direction::In);
        let Some(candidates) = candidates else { continue };
        let in_time = |index: &usize| sent.get(*index).is_some_and(|sent| sent.row.at + delay <= row.at);
        let Some(latest) = candidates.iter().rposition(in_time) else {
            continue;
        };
        if let Some(sent) = sent.get_mut(candidates.remove(latest)) {
            sent.arrived = true;
            packet.again = sent.row.packet().is_some_and(|sent| sent.again);
        }
    }
}

/// All rows in the order of time, arrivals before losses at the same moment.
fn merged(rows: Vec<Row>, lost: impl Iterator<Item = Row>) -> Vec<Row> {
    let mut lost = lost.peekable();
    let mut out = Vec::with_capacity(rows.len());
    for row in rows {
        while let Some(earlier) = lost.next_if(|lost| lost.at < row.at) {
            out.push(earlier);
        }
        out.push(row);
    }
    out.extend(lost);
    out
}
