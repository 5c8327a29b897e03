use super::*;
use crate::Secret;

const HERE: IpAddr = IpAddr::V4(core::net::Ipv4Addr::new(10, 0, 0, 2));

const NEITHER: Reuse = Reuse {
    address: false,
    port: false,
};
const ADDRESS: Reuse = Reuse {
    address: true,
    port: false,
};
const PORT: Reuse = Reuse {
    address: false,
    port: true,
};
const BOTH: Reuse = Reuse {
    address: true,
    port: true,
};

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
        Claim::Shared { reuse: ADDRESS },
        Claim::Shared { reuse: NEITHER },
    ];
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0], [1, 0, 2]] {
        let mut ports = ports();
        ports.hold(80, id(0));
        ports.share(at(80), ADDRESS);
        ports.share(at(80), NEITHER);
        for (left, index) in (0..3).rev().zip(order) {
            ports.release(at(80), id(0), uses[index]);
            assert_eq!(ports.get(80).is_some(), left > 0);
        }
    }
}

/// Who stands in the way of a bind: connections that were made with `there`, to whoever comes with `comes`.
#[test]
fn who_forbids_a_bind() {
    for (there, comes, forbids) in [
        (&[][..], NEITHER, false),
        (&[ADDRESS], ADDRESS, false),
        (&[ADDRESS], NEITHER, true),
        (&[ADDRESS], PORT, true),
        (&[PORT], PORT, false),
        (&[PORT], ADDRESS, true),
        (&[PORT], BOTH, false),
        (&[BOTH], ADDRESS, false),
        (&[NEITHER], BOTH, true),
        (&[ADDRESS, PORT], BOTH, false),
        (&[ADDRESS, PORT], ADDRESS, true),
        (&[ADDRESS, NEITHER], ADDRESS, true),
    ] {
        let mut ports = ports();
        ports.hold(80, id(0));
        there.iter().for_each(|reuse| ports.share(at(80), *reuse));
        let port = ports.get(80).unwrap();
        let told = port.connections_forbid(comes, |address| address == HERE);
        assert_eq!(told, forbids, "{there:?}, then {comes:?}");
        assert!(
            !port.connections_forbid(NEITHER, |address| address != HERE),
            "another address"
        );
    }
}

/// SO_REUSEADDR does not go beside a listener, SO_REUSEPORT does.
#[test]
fn who_stays_beside_a_listener() {
    for (reuse, stays) in [(NEITHER, false), (ADDRESS, false), (PORT, true), (BOTH, true)] {
        assert_eq!(reuse.allows(BOTH, true), stays);
        assert_eq!(BOTH.allows(reuse, true), stays);
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
