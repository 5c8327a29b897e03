use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Append(Vec<u8>),
    Consume(usize),
    Clear,
}

fn step() -> impl Strategy<Value = Step> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..3000);
    prop_oneof![
        4 => bytes().prop_map(Step::Append),
        4 => (0..4000_usize).prop_map(Step::Consume),
        1 => Just(Step::Clear),
    ]
}

fn contents(ring: &Ring) -> Vec<u8> {
    ring.slices(0, usize::MAX).concat()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// A ring is a queue of bytes, however it wraps and grows.
    #[test]
    fn it_is_a_queue(limit in 1..20_000_usize, steps in prop::collection::vec(step(), 0..40)) {
        let mut ring = Ring::new(limit);
        let mut model = VecDeque::new();
        for step in steps {
            match step {
                Step::Append(bytes) => {
                    let taken = ring.append(&bytes).unwrap();
                    prop_assert_eq!(taken, bytes.len().min(limit - model.len()));
                    model.extend(&bytes[..taken]);
                }
                Step::Consume(count) => {
                    ring.consume(count);
                    model.drain(..count.min(model.len()));
                }
                Step::Clear => {
                    ring.clear();
                    model.clear();
                    prop_assert_eq!(ring.allocated(), 0);
                }
            }
            prop_assert_eq!(ring.len(), model.len());
            prop_assert_eq!(ring.space(), limit - model.len());
            prop_assert_eq!(ring.is_empty(), model.is_empty());
            prop_assert!(ring.allocated() <= limit.max(Ring::FIRST_ALLOCATION));
            prop_assert!(contents(&ring).iter().eq(&model));
        }
    }

    /// Any part of it can be looked at, and no more than there is.
    #[test]
    fn parts_of_it(bytes in prop::collection::vec(any::<u8>(), 0..6000), turn in 0..6000_usize, at in 0..7000_usize, len in 0..7000_usize) {
        let mut ring = Ring::new(6000);
        ring.append(&vec![0; turn]).unwrap();
        ring.consume(turn);
        ring.append(&bytes).unwrap();
        let begin = at.min(bytes.len());
        let expected = &bytes[begin..(begin + len).min(bytes.len())];
        prop_assert_eq!(ring.slices(at, len).concat(), expected);
    }
}

#[test]
fn a_smaller_limit_keeps_what_is_there() {
    let mut ring = Ring::new(100);
    ring.append(&[7; 80]).unwrap();
    ring.set_limit(50);
    assert_eq!((ring.len(), ring.space(), ring.append(&[1])), (80, 0, Ok(0)));
    ring.consume(40);
    assert_eq!(ring.append(&[1; 20]), Ok(10));
}

/// Memory for much goes when a whole look's time has passed with little, all of it when with nothing.
#[test]
fn memory_is_kept_while_it_is_needed() {
    let mut ring = Ring::new(1 << 20);
    let pass = |ring: &mut Ring, count| {
        ring.append(&vec![1; count]).unwrap();
        ring.consume(count);
    };
    pass(&mut ring, 100_000);
    let large = ring.allocated();
    pass(&mut ring, 1);
    assert_eq!((ring.reclaim(), ring.allocated()), (true, large), "it was needed");
    pass(&mut ring, 1);
    assert_eq!((ring.reclaim(), ring.allocated()), (false, 0));
    pass(&mut ring, 1);
    assert_eq!((ring.reclaim(), ring.allocated()), (true, Ring::FIRST_ALLOCATION));
    assert_eq!((ring.reclaim(), ring.allocated()), (false, 0));
}
