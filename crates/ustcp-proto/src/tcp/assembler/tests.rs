use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

/// Where relative number 0 stands: just below the end of the space.
const BASE: SeqNum = SeqNum(u32::MAX - 100);

fn relative(seq: SeqNum) -> usize {
    seq.distance_from(BASE)
}

/// Maximal runs of a set of numbers.
fn runs(held: &BTreeSet<usize>) -> Vec<(usize, usize)> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for &number in held {
        match runs.last_mut() {
            Some((_, end)) if *end == number => *end += 1,
            _ => runs.push((number, number + 1)),
        }
    }
    runs
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// It holds a set of bytes; ranges are its maximal runs; what continues the stream leaves it.
    #[test]
    fn it_is_a_set_of_bytes(steps in prop::collection::vec((1..400_usize, 1..40_usize, any::<bool>()), 1..60)) {
        let mut assembler = Assembler::default();
        let mut held = BTreeSet::new();
        let mut next = 0;
        let mut recent: Vec<usize> = Vec::new(); // one byte of each insertion, the last first
        for (offset, len, fill) in steps {
            if fill {
                let filled = next + len;
                next = (filled..).find(|number| !held.contains(number)).unwrap_or(filled);
                held.retain(|number| *number > next);
                prop_assert_eq!(relative(assembler.continue_from(BASE + filled)), next);
            } else {
                let start = next + offset;
                let overlap = assembler.overlap(BASE + start, BASE + (start + len));
                let first = (start..start + len).find(|number| held.contains(number));
                let end = first.map(|first| (first..start + len).find(|number| !held.contains(number)).unwrap_or(start + len));
                prop_assert_eq!(overlap.map(|block| (relative(block.start), relative(block.end))), first.zip(end));
                prop_assert!(assembler.insert(BASE + start, BASE + (start + len)));
                held.extend(start..start + len);
                recent.insert(0, start);
            }
            let expected = runs(&held);
            prop_assert_eq!(assembler.is_empty(), expected.is_empty());
            prop_assert_eq!(assembler.len(), expected.len());
            // RFC 2018 §4: the run of the last insertion first, then of the one before it, each run once.
            let mut order = Vec::new();
            for place in &recent {
                if let Some(run) = expected.iter().find(|(start, end)| (start..end).contains(&place))
                    && !order.contains(run)
                {
                    order.push(*run);
                }
            }
            let blocks: Vec<_> = assembler.sack_blocks(None, 4).iter().map(|block| (relative(block.start), relative(block.end))).collect();
            prop_assert_eq!(&blocks[..], &order[..order.len().min(4)]);
            prop_assert_eq!(assembler.sack_blocks(None, 1).len(), order.len().min(1));
        }
    }
}

#[test]
fn ranges_that_touch_are_one() {
    let mut assembler = Assembler::default();
    for start in [10, 30, 20] {
        assert!(assembler.insert(BASE + start, BASE + (start + 10)));
    }
    assert_eq!(assembler.len(), 1);
    assert_eq!(assembler.continue_from(BASE + 10), BASE + 40);
    assert!(assembler.is_empty());
}

#[test]
fn what_is_not_reached_stays() {
    let mut assembler = Assembler::default();
    assembler.insert(BASE + 10, BASE + 20);
    assembler.insert(BASE + 30, BASE + 40);
    assert_eq!(assembler.continue_from(BASE + 5), BASE + 5);
    assert_eq!(assembler.continue_from(BASE + 15), BASE + 20);
    assert_eq!(assembler.len(), 1);
}

/// ATTACK-18: one range too many, and the farthest is given up.
#[test]
fn the_number_of_ranges_is_bounded() {
    let mut assembler = Assembler::default();
    for index in 1..=Assembler::LIMIT {
        assert!(assembler.insert(BASE + 4 * index, BASE + (4 * index + 1)));
    }
    let farthest = 4 * Assembler::LIMIT;
    assert!(!assembler.insert(BASE + (farthest + 4), BASE + (farthest + 5)));
    assert!(
        assembler.insert(BASE + 2, BASE + 3),
        "the farthest makes way for what is nearer"
    );
    assert_eq!(assembler.len(), Assembler::LIMIT);
    assert_eq!(assembler.continue_from(BASE + farthest), BASE + farthest, "it is gone");
    for index in 1..=Assembler::LIMIT {
        assert!(assembler.insert(BASE + 4 * index, BASE + (4 * index + 1)));
    }
    assert!(assembler.insert(BASE + 5, BASE + 8), "what joins two is welcome");
    assert_eq!(assembler.len(), Assembler::LIMIT - 1);
    assembler.clear();
    assert!(assembler.is_empty());
}
