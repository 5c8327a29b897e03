use super::*;

/// RFC 9293 §3.3.2 and §3.10 once more, as a matrix: rows are states in the RFC's order, columns the causes in theirs.
/// Letters name the next state: L S R E 1 2 W C K T 0; `.` is no arrow.
const ARROWS: [(&str, State); 11] = [
    (". S R . . 0 . . . . 0", State::Listen),
    (". . R E . 0 . . . 0 0", State::SynSent),
    (". . . . E 1 W . . 0 0", State::SynReceived),
    (". . . . . 1 W . . 0 0", State::Established),
    (". . . . . . C 2 . 0 0", State::FinWait1),
    (". . . . . . T . . 0 0", State::FinWait2),
    (". . . . . K . . . 0 0", State::CloseWait),
    (". . . . . . . T . 0 0", State::Closing),
    (". . . . . . . 0 . 0 0", State::LastAck),
    (". . . . . . . . 0 . 0", State::TimeWait),
    ("L S . . . . . . . . .", State::Closed),
];

const LETTERS: &str = "LSRE12WCKT0";

/// FSM-5, FSM-7: all 121 pairs.
#[test]
fn every_pair_of_state_and_cause() {
    for ((row, state), in_order) in ARROWS.into_iter().zip(State::ALL) {
        assert_eq!(state, in_order);
        for (cell, cause) in row.split(' ').zip(Cause::ALL) {
            let expected = LETTERS.find(cell).map(|place| State::ALL[place]);
            assert_eq!(state.on(cause), expected, "{state} on {cause:?}");
        }
    }
}

#[test]
fn every_state_can_be_reached_and_left() {
    for state in State::ALL {
        assert!(
            State::ALL
                .iter()
                .any(|from| Cause::ALL.iter().any(|cause| from.on(*cause) == Some(state)))
        );
        assert!(Cause::ALL.iter().any(|cause| state.on(*cause).is_some()));
    }
}

#[test]
fn synchronized_states() {
    let count = State::ALL.iter().filter(|state| state.is_synchronized()).count();
    assert_eq!(count, 7);
    assert!(!State::SynReceived.is_synchronized() && State::TimeWait.is_synchronized());
}
