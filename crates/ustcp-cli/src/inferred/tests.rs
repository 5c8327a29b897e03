use super::*;

/// Each line is a packet as style guides of TCP tests write it, then what the peer did: `A > B`, `A` (stays), `lost`,
/// or `under way`; a line of `=` is the arrival of a packet that was under way.
fn check(script: &str) {
    let lines: Vec<&str> = script.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let packets: Vec<_> = lines
        .iter()
        .filter(|line| !line.starts_with('='))
        .map(|line| packet(line))
        .collect();
    let expected: Vec<String> = lines
        .iter()
        .map(|line| words(line.split_once('|').unwrap().1))
        .collect();
    let moments = infer(&packets).unwrap();
    let actual: Vec<String> = moments.iter().map(describe).collect();
    assert_eq!(actual, expected, "in{script}");
}

fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// `> FP. 1:11(10) ack 5`
fn packet(line: &str) -> (Direction, Segment) {
    let mut fields = line.split('|').next().unwrap().split_whitespace();
    let direction = if fields.next() == Some(">") {
        Direction::Out
    } else {
        Direction::In
    };
    let flags = fields
        .next()
        .unwrap()
        .chars()
        .fold(Flags::NONE, |flags, letter| flags | flag(letter));
    let (seq, rest) = fields.next().unwrap().split_once(':').unwrap();
    let len = rest.split_once('(').unwrap().1.trim_end_matches(')').parse().unwrap();
    let ack = fields
        .nth(1)
        .map(|number| SeqNum(number.parse::<u32>().unwrap().wrapping_add(base(direction, true))));
    let seq = SeqNum(seq.parse::<u32>().unwrap().wrapping_add(base(direction, false)));
    (
        direction,
        Segment {
            flags,
            seq,
            ack,
            len,
            window: 65535,
            packets: 1,
        },
    )
}

/// Our numbers begin just before they wrap, the peer's somewhere.
fn base(direction: Direction, ack: bool) -> u32 {
    if (direction == Direction::Out) == ack {
        77_000
    } else {
        u32::MAX - 3
    }
}

fn flag(letter: char) -> Flags {
    match letter {
        'S' => Flags::SYN,
        'F' => Flags::FIN,
        'R' => Flags::RST,
        'P' => Flags::PSH,
        '.' => Flags::ACK,
        _ => panic!("no flag {letter}"),
    }
}

fn describe(moment: &Moment) -> String {
    match moment {
        Moment::Packet { step, .. } => arrow(step),
        Moment::Lost { state, .. } => format!("lost {state}"),
        Moment::UnderWay { state, .. } => format!("under way {state}"),
        Moment::Arrival { step, .. } => format!("= {}", arrow(step)),
    }
}

fn arrow(step: &Step) -> String {
    if step.before == step.after {
        step.before.to_string()
    } else {
        format!("{} > {}", step.before, step.after)
    }
}

#[test]
fn we_open_and_close_first() {
    check(
        "> S  0:0(0)            | LISTEN > SYN-RECEIVED
         < S. 0:0(0) ack 1      | SYN-RECEIVED
         > .  1:1(0) ack 1      | SYN-RECEIVED > ESTABLISHED
         > P. 1:11(10) ack 1    | ESTABLISHED
         < P. 1:101(100) ack 11 | ESTABLISHED
         > F. 11:11(0) ack 101  | ESTABLISHED > CLOSE-WAIT
         < .  101:101(0) ack 12 | CLOSE-WAIT
         < F. 101:101(0) ack 12 | CLOSE-WAIT > LAST-ACK
         > .  12:12(0) ack 102  | LAST-ACK > CLOSED",
    );
}

#[test]
fn the_peer_opens_and_closes_first() {
    check(
        "< S  0:0(0)            | CLOSED > SYN-SENT
         > S. 0:0(0) ack 1      | SYN-SENT > ESTABLISHED
         < .  1:1(0) ack 1      | ESTABLISHED
         < F. 1:1(0) ack 1      | ESTABLISHED > FIN-WAIT-1
         > .  1:1(0) ack 2      | FIN-WAIT-1 > FIN-WAIT-2
         > F. 1:1(0) ack 2      | FIN-WAIT-2 > TIME-WAIT
         < .  2:2(0) ack 2      | TIME-WAIT",
    );
}

#[test]
fn a_fin_that_also_acknowledges_ours_takes_two_arrows_at_once() {
    check(
        "< S  0:0(0)            | CLOSED > SYN-SENT
         > S. 0:0(0) ack 1      | SYN-SENT > ESTABLISHED
         < F. 1:1(0) ack 1      | ESTABLISHED > FIN-WAIT-1
         > F. 1:1(0) ack 2      | FIN-WAIT-1 > TIME-WAIT
         < .  2:2(0) ack 2      | TIME-WAIT",
    );
}

#[test]
fn both_open_at_once() {
    check(
        "> S  0:0(0)            | under way CLOSED
         < S  0:0(0)            | CLOSED > SYN-SENT
         =                      | = SYN-SENT > SYN-RECEIVED
         > S. 0:0(0) ack 1      | under way SYN-RECEIVED
         < S. 0:0(0) ack 1      | SYN-RECEIVED
         =                      | = SYN-RECEIVED > ESTABLISHED
         > .  1:1(0) ack 1      | ESTABLISHED
         > P. 1:2(1) ack 1      | ESTABLISHED
         < .  1:1(0) ack 2      | ESTABLISHED",
    );
}

#[test]
fn both_close_at_once() {
    check(
        "> S  0:0(0)            | LISTEN > SYN-RECEIVED
         < S. 0:0(0) ack 1      | SYN-RECEIVED
         > .  1:1(0) ack 1      | SYN-RECEIVED > ESTABLISHED
         > F. 1:1(0) ack 1      | under way ESTABLISHED
         < F. 1:1(0) ack 1      | ESTABLISHED > FIN-WAIT-1
         =                      | = FIN-WAIT-1 > CLOSING
         > .  2:2(0) ack 2      | CLOSING > TIME-WAIT
         < .  2:2(0) ack 2      | TIME-WAIT",
    );
}

#[test]
fn a_port_without_listener_was_closed_and_stays_so() {
    check(
        "> S  0:0(0)            | CLOSED
         < R. 0:0(0) ack 1      | CLOSED",
    );
}

#[test]
fn a_reset_from_either_side_ends_it() {
    let open = "> S  0:0(0)         | LISTEN > SYN-RECEIVED
                < S. 0:0(0) ack 1   | SYN-RECEIVED
                > .  1:1(0) ack 1   | SYN-RECEIVED > ESTABLISHED\n";
    check(&[open, "< R. 1:1(0) ack 1   | ESTABLISHED > CLOSED"].concat());
    check(&[open, "> R. 1:1(0) ack 1   | ESTABLISHED > CLOSED"].concat());
    check(
        &[
            open,
            "> F. 1:1(0) ack 1  | ESTABLISHED > CLOSE-WAIT
             < R. 1:1(0) ack 2  | CLOSE-WAIT > CLOSED",
        ]
        .concat(),
    );
}

#[test]
fn a_lost_syn_and_a_lost_fin_moved_nobody() {
    check(
        "> S  0:0(0)            | lost LISTEN
         > S  0:0(0)            | LISTEN > SYN-RECEIVED
         < S. 0:0(0) ack 1      | SYN-RECEIVED
         > .  1:1(0) ack 1      | SYN-RECEIVED > ESTABLISHED
         > F. 1:1(0) ack 1      | lost ESTABLISHED
         > F. 1:1(0) ack 1      | ESTABLISHED > CLOSE-WAIT
         < .  1:1(0) ack 2      | CLOSE-WAIT",
    );
}

#[test]
fn a_repeated_fin_shows_that_our_last_ack_was_lost() {
    check(
        "> S  0:0(0)            | LISTEN > SYN-RECEIVED
         < S. 0:0(0) ack 1      | SYN-RECEIVED
         > .  1:1(0) ack 1      | SYN-RECEIVED > ESTABLISHED
         > F. 1:1(0) ack 1      | ESTABLISHED > CLOSE-WAIT
         < F. 1:1(0) ack 2      | CLOSE-WAIT > LAST-ACK
         > .  2:2(0) ack 2      | lost LAST-ACK
         < F. 1:1(0) ack 2      | LAST-ACK
         > .  2:2(0) ack 2      | LAST-ACK > CLOSED",
    );
}

#[test]
fn a_repeated_syn_ack_shows_that_our_ack_was_lost() {
    check(
        "> S  0:0(0)            | LISTEN > SYN-RECEIVED
         < S. 0:0(0) ack 1      | SYN-RECEIVED
         > .  1:1(0) ack 1      | lost SYN-RECEIVED
         < S. 0:0(0) ack 1      | SYN-RECEIVED
         > .  1:1(0) ack 1      | SYN-RECEIVED > ESTABLISHED",
    );
}

#[test]
fn a_fin_counts_only_when_the_text_before_it_is_there() {
    check(
        "> S  0:0(0)            | LISTEN > SYN-RECEIVED
         < S. 0:0(0) ack 1      | SYN-RECEIVED
         > .  1:1(0) ack 1      | SYN-RECEIVED > ESTABLISHED
         > P. 1:101(100) ack 1  | lost ESTABLISHED
         > F. 101:101(0) ack 1  | under way ESTABLISHED
         < .  1:1(0) ack 1      | ESTABLISHED
         =                      | = ESTABLISHED
         > P. 1:101(100) ack 1  | ESTABLISHED > CLOSE-WAIT
         < .  1:1(0) ack 102    | CLOSE-WAIT",
    );
}

#[test]
fn a_fin_crosses_text_that_is_still_coming() {
    check(
        "> S  0:0(0)             | LISTEN > SYN-RECEIVED
         < S. 0:0(0) ack 1       | SYN-RECEIVED
         > .  1:1(0) ack 1       | SYN-RECEIVED > ESTABLISHED
         > F. 1:1(0) ack 1       | under way ESTABLISHED
         < .  1:1001(1000) ack 1 | ESTABLISHED
         =                       | = ESTABLISHED > CLOSE-WAIT
         < P. 1001:1501(500) ack 2 | CLOSE-WAIT
         > .  2:2(0) ack 1501    | CLOSE-WAIT
         < F. 1501:1501(0) ack 2 | CLOSE-WAIT > LAST-ACK
         > .  2:2(0) ack 1502    | LAST-ACK > CLOSED",
    );
}

#[test]
fn half_close_leaves_the_peer_in_close_wait_while_it_sends() {
    check(
        "> S  0:0(0)            | LISTEN > SYN-RECEIVED
         < S. 0:0(0) ack 1      | SYN-RECEIVED
         > .  1:1(0) ack 1      | SYN-RECEIVED > ESTABLISHED
         > F. 1:1(0) ack 1      | ESTABLISHED > CLOSE-WAIT
         < P. 1:11(10) ack 2    | CLOSE-WAIT
         > .  2:2(0) ack 11     | CLOSE-WAIT
         < F. 11:11(0) ack 2    | CLOSE-WAIT > LAST-ACK
         > .  2:2(0) ack 12     | LAST-ACK > CLOSED",
    );
}

#[test]
fn a_silent_peer_has_no_state() {
    assert_eq!(infer(&[packet("> S 0:0(0) |"), packet("> S 0:0(0) |")]), None);
    assert_eq!(infer(&[]), None);
}

#[test]
fn a_conversation_seen_from_its_middle_was_established() {
    check(
        "> P. 5:15(10) ack 9    | ESTABLISHED
         < F. 9:9(0) ack 15     | ESTABLISHED > FIN-WAIT-1
         > .  15:15(0) ack 10   | FIN-WAIT-1 > FIN-WAIT-2",
    );
}
