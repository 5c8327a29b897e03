//! What a connection costs that nobody has finished or that is over: the attacker's favourites.

use core::mem::size_of;

use super::{HalfOpen, TimeWait};

/// ATTACK-35: at most 256 bytes for a half-open connection.
#[test]
fn a_half_open_connection_is_small() {
    let size = size_of::<HalfOpen>();
    assert!(size <= 256, "{size}");
    println!("ATTACK-35 seen: {size} bytes");
}

/// ATTACK-39: at most 128 bytes for TIME-WAIT.
#[test]
fn time_wait_is_small() {
    let size = size_of::<TimeWait>();
    assert!(size <= 128, "{size}");
    println!("ATTACK-39 seen: {size} bytes");
}
