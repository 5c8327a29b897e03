use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    /// Bytes at a distance from the end, and then a filler before them that makes them part of the queue.
    Write(usize, Vec<u8>),
    Consume(usize),
    /// All that is there, and then what was not needed is given back.
    Drain,
    /// What was not needed is given back, whatever is there.
    Reclaim,
    Clear,
}

fn step() -> impl Strategy<Value = Step> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..9000);
    prop_oneof![
        4 => bytes().prop_map(|bytes| Step::Write(0, bytes)),
        3 => (0..20_000_usize, bytes()).prop_map(|(gap, bytes)| Step::Write(gap, bytes)),
        4 => (0..12_000_usize).prop_map(Step::Consume),
        1 => Just(Step::Drain),
        1 => Just(Step::Reclaim),
        1 => Just(Step::Clear),
    ]
}

fn contents(pages: &Pages) -> Vec<u8> {
    let mut bytes = vec![0; pages.len()];
    assert_eq!(pages.copy_to(0, &mut bytes), bytes.len());
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// It is a queue of bytes, whatever lies ahead of its end, and its books of pages are right.
    #[test]
    fn it_is_a_queue(steps in prop::collection::vec(step(), 0..40)) {
        let limit = 60_000;
        let mut pages = Pages::new(limit);
        let mut model = VecDeque::new();
        for step in steps {
            match step {
                Step::Write(gap, bytes) => {
                    if model.len() + gap + bytes.len() > limit {
                        continue;
                    }
                    let filler = vec![0xaa; gap];
                    pages.write_at(gap, &bytes).unwrap(); // out of order: first what comes later
                    pages.write_at(0, &filler).unwrap();
                    pages.extend(gap + bytes.len());
                    model.extend(filler.iter().chain(&bytes));
                }
                Step::Consume(count) => {
                    pages.consume(count);
                    model.drain(..count.min(model.len()));
                }
                Step::Drain => {
                    pages.consume(usize::MAX);
                    pages.relax();
                    pages.reclaim();
                    model.clear();
                }
                Step::Reclaim => {
                    let empty = pages.is_empty() && pages.allocated() > 0;
                    let again = pages.reclaim();
                    let empty = empty && pages.allocated() > 0;
                    prop_assert_eq!(again, empty || pages.spare.len() > ALWAYS_KEPT);
                }
                Step::Clear => {
                    pages.clear();
                    model.clear();
                    prop_assert_eq!(pages.allocated(), 0);
                }
            }
            prop_assert_eq!(pages.len(), model.len());
            prop_assert_eq!(pages.is_empty(), model.is_empty());
            prop_assert!(contents(&pages).iter().eq(&model));
            let with_memory = pages.pages.iter().flatten().count() + pages.spare.len();
            prop_assert_eq!(pages.held, with_memory);
            prop_assert!(with_memory <= limit / PAGE + 2);
        }
    }

    /// Any part of it can be looked at, and no more than there is.
    #[test]
    fn parts_of_it(bytes in prop::collection::vec(any::<u8>(), 0..9000), turn in 0..9000_usize, at in 0..10_000_usize, len in 0..10_000_usize) {
        let mut pages = Pages::new(20_000);
        for part in [&vec![0; turn], &bytes] {
            pages.consume(usize::MAX);
            pages.write_at(0, part).unwrap();
            pages.extend(part.len());
        }
        let begin = at.min(bytes.len());
        let expected = &bytes[begin..(begin + len).min(bytes.len())];
        let mut into = vec![0; len];
        prop_assert_eq!(pages.copy_to(at, &mut into), expected.len());
        prop_assert_eq!(&into[..expected.len()], expected);
    }
}

/// ATTACK-19: a byte far ahead costs one page.
#[test]
fn a_byte_far_ahead_costs_a_page() {
    let mut pages = Pages::new(6 << 20);
    pages.write_at((6 << 20) - 1, &[7]).unwrap();
    assert_eq!(pages.held, 1);
    let table = pages.allocated() - PAGE;
    assert!(table <= 16 * 1024, "{table}");
    println!(
        "ATTACK-19 seen: one page of 4 KiB and {} KiB of table for a window of 6 MiB",
        table / 1024
    );
}

/// What is read as fast as it comes goes through the same few pages.
#[test]
fn pages_are_used_again() {
    let mut pages = Pages::new(1 << 20);
    for _ in 0..1000 {
        pages.write_at(0, &[1; 10_000]).unwrap();
        pages.extend(10_000);
        pages.consume(10_000);
    }
    assert!(pages.held <= 5, "{}", pages.held);
}

/// A burst keeps its pages for the next one, until a whole look's time has passed without.
#[test]
fn pages_are_kept_while_they_are_needed() {
    let mut pages = Pages::new(1 << 20);
    let pass = |pages: &mut Pages, count| {
        pages.write_at(0, &vec![1; count]).unwrap();
        pages.extend(count);
        pages.consume(count);
        pages.relax();
    };
    pass(&mut pages, 100 * PAGE);
    pass(&mut pages, 1);
    assert_eq!(pages.held, 100, "one that needs little is no reason yet");
    assert!(pages.reclaim());
    assert_eq!(pages.held, 100, "they were needed");
    pass(&mut pages, 6 * PAGE);
    assert!(pages.reclaim());
    assert_eq!(pages.held, 6);
    assert!(!pages.reclaim());
    assert_eq!(pages.allocated(), 0);
}

/// A byte that nobody reads does not keep what was needed for those before it.
#[test]
fn pages_go_though_it_is_not_empty() {
    let mut pages = Pages::new(1 << 20);
    pages.write_at(0, &vec![1; 100 * PAGE]).unwrap();
    pages.extend(100 * PAGE);
    pages.consume(100 * PAGE - 1);
    assert!(pages.reclaim(), "they were needed, and are to be looked at again");
    assert_eq!(pages.held, 100);
    assert!(!pages.reclaim());
    assert_eq!(pages.held, ALWAYS_KEPT);
}

/// Where memory is short what is needed from one segment to the next is kept, and no more.
#[test]
fn few_pages_are_kept_where_memory_is_short() {
    let mut pages = Pages::new(1 << 20);
    let pass = |pages: &mut Pages, count: usize| {
        pages.write_at(0, &vec![1; count]).unwrap();
        pages.extend(count);
        pages.consume(count);
        pages.relax();
    };
    pass(&mut pages, 100 * PAGE);
    pages.trim();
    assert_eq!(pages.held, ALWAYS_KEPT);
    pages.write_at(0, &[1; 3 * PAGE]).unwrap();
    pages.trim();
    assert_eq!(pages.held, ALWAYS_KEPT);
    pages.write_at(3 * PAGE, &[1; 3 * PAGE]).unwrap();
    pages.extend(6 * PAGE);
    pages.consume(PAGE);
    pages.trim();
    assert_eq!(pages.held, 5, "those that are in use");
}

#[test]
fn a_smaller_limit_keeps_what_is_there() {
    let mut pages = Pages::new(100);
    pages.write_at(0, &[7; 80]).unwrap();
    pages.extend(80);
    pages.set_limit(50);
    assert_eq!((pages.len(), pages.limit()), (80, 50));
    pages.consume(40);
    assert_eq!(pages.len(), 40);
}
