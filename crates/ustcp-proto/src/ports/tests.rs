use super::*;
use crate::Secret;

const HERE: IpAddr = IpAddr::V4(core::net::Ipv4Addr::new(10, 0, 0, 2));

fn at(port: u16) -> SocketAddr {
    SocketAddr::new(HERE, port)
}

fn id(index: u32) -> SocketId {
    SocketId { index, generation: 1 }
}

fn ports() -> Ports {
    Ports::new(TableHash::new(&Secret([1; 32])))
}

/// Every way to use a port can be taken back, in any order, and then it is free.
#[test]
fn what_was_taken_is_given_back() {
    let uses = [
        Claim::Holder,
        Claim::Shared { reuse: true },
        Claim::Shared { reuse: false },
    ];
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0], [1, 0, 2]] {
        let mut ports = ports();
        ports.hold(80, id(0));
        ports.share(at(80), true);
        ports.share(at(80), false);
        for (left, index) in (0..3).rev().zip(order) {
            ports.release(at(80), id(0), uses[index]);
            assert_eq!(ports.get(80).is_some(), left > 0);
        }
    }
}

/// Who stands in the way of a bind, with SO_REUSEADDR and without.
#[test]
fn who_forbids_a_bind() {
    for (yielding, unyielding, forbids_reuse, forbids_plain) in [
        (0, 0, false, false),
        (1, 0, false, true),
        (0, 1, true, true),
        (1, 1, true, true),
    ] {
        let mut ports = ports();
        ports.hold(80, id(0));
        (0..yielding).for_each(|_| ports.share(at(80), true));
        (0..unyielding).for_each(|_| ports.share(at(80), false));
        let port = ports.get(80).unwrap();
        assert_eq!(port.connections_forbid(true, |address| address == HERE), forbids_reuse);
        assert_eq!(port.connections_forbid(false, |address| address == HERE), forbids_plain);
        assert!(
            !port.connections_forbid(false, |address| address != HERE),
            "another address"
        );
    }
}

/// Nothing claimed, nothing changed; and nobody gives back another's.
#[test]
fn others_keep_theirs() {
    let mut ports = ports();
    ports.hold(80, id(0));
    ports.hold(80, id(1));
    ports.release(at(80), id(5), Claim::None);
    ports.release(at(80), id(1), Claim::Holder);
    ports.release(at(81), id(1), Claim::Holder);
    assert_eq!(ports.get(80).unwrap().holders, [id(0)]);
}
