//! What a connection costs that nobody has finished: the attacker's favourite.

use core::mem::size_of;

use super::HalfOpen;

/// ATTACK-35: at most 256 bytes for a half-open connection.
#[test]
fn a_half_open_connection_is_small() {
    let size = size_of::<HalfOpen>();
    assert!(size <= 256, "{size}");
    println!("ATTACK-35 seen: {size} bytes");
}
