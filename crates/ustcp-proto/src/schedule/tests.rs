use super::*;

fn at(nanos: u64) -> Instant {
    Instant::from_nanos(nanos)
}

#[test]
fn what_is_due_comes_out_in_order_of_time() {
    let mut schedule = Schedule::default();
    for nanos in [50, 10, 40, 20, 30] {
        schedule.insert(at(nanos), Owner::TimeWait(usize::try_from(nanos).unwrap()));
    }
    assert_eq!(schedule.first(), Some((at(10), Owner::TimeWait(10))));
    let due: Vec<_> = core::iter::from_fn(|| schedule.pop_due(at(30))).collect();
    assert_eq!(due, [10, 20, 30].map(Owner::TimeWait));
    assert_eq!((schedule.len(), schedule.pop_due(at(39))), (2, None));
}

#[test]
fn owners_of_one_moment_are_all_served() {
    let mut schedule = Schedule::default();
    for owner in [Owner::TimeWait(1), Owner::HalfOpen(1), Owner::HalfOpen(2)] {
        schedule.insert(at(7), owner);
        schedule.insert(at(7), owner);
    }
    assert_eq!(schedule.len(), 3);
    schedule.remove(at(7), Owner::HalfOpen(1));
    schedule.remove(at(8), Owner::HalfOpen(2)); // not there at that time
    let due: Vec<_> = core::iter::from_fn(|| schedule.pop_due(at(7))).collect();
    assert_eq!(due, [Owner::HalfOpen(2), Owner::TimeWait(1)]);
}
