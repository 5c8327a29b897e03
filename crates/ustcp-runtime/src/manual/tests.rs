use super::*;
use ustcp_proto::EventKind;

const SERVER: &str = "10.0.0.2:80";

fn at(millis: u64) -> Instant {
    Instant::from_nanos(millis * 1_000_000)
}

fn stack(seed: u64, address: &str) -> ManualStack {
    let mut stack = ManualStack::new(Some(seed)).unwrap();
    stack.set("address", address).unwrap();
    stack
}

/// Two stacks at the ends of a wire, and all that went over it.
struct Wire {
    now: u64,
    client: ManualStack,
    server: ManualStack,
    packets: Vec<Packet>,
}

impl Wire {
    fn new(seed: u64) -> Wire {
        Wire {
            now: 0,
            client: stack(seed, "10.0.0.1/24"),
            server: stack(seed + 1, "10.0.0.2/24"),
            packets: Vec::new(),
        }
    }

    /// Carries packets, 1 ms each way, until both are silent.
    fn settle(&mut self) {
        loop {
            let mut carried = take_all(&mut self.client);
            let there = carried.len();
            carried.extend(take_all(&mut self.server));
            if carried.is_empty() {
                return;
            }
            self.now += 1;
            for (index, packet) in carried.iter().enumerate() {
                let to = if index < there {
                    &mut self.server
                } else {
                    &mut self.client
                };
                to.input(at(self.now), &packet.bytes, packet.checksum).unwrap();
            }
            self.packets.extend(carried);
            self.client.advance(at(self.now)).unwrap();
            self.server.advance(at(self.now)).unwrap();
        }
    }

    /// Lets time pass, with what falls due in it.
    fn advance(&mut self, millis: u64) {
        self.now += millis;
        self.client.advance(at(self.now)).unwrap();
        self.server.advance(at(self.now)).unwrap();
        self.settle();
    }

    /// A connection: the client's socket and the server's.
    fn connect(&mut self) -> (Handle, Handle) {
        let listener = self.server.socket(Family::V4).unwrap();
        self.server.bind(listener, SERVER.parse().unwrap()).unwrap();
        self.server.listen(listener, 8).unwrap();
        let client = self.client.socket(Family::V4).unwrap();
        let begun = self.client.connect(client, SERVER.parse().unwrap());
        assert_eq!(begun, Err(Errno(libc::EINPROGRESS)));
        self.settle();
        assert_eq!(self.client.connect(client, SERVER.parse().unwrap()), Ok(()));
        let (accepted, _) = self.server.accept(listener).unwrap();
        (client, accepted)
    }
}

fn take_all(stack: &mut ManualStack) -> Vec<Packet> {
    let mut packets = Vec::new();
    while let Some(packet) = stack.output().unwrap().cloned() {
        stack.sent();
        packets.push(packet);
    }
    packets
}

/// What follows the IPv4 and TCP headers.
fn text_of(packet: &Packet) -> &[u8] {
    &packet.bytes[20 + usize::from(packet.bytes[32] >> 4) * 4..]
}

fn send(stack: &mut ManualStack, handle: Handle, bytes: &[u8]) -> Result<usize, Errno> {
    stack.send(handle, &[IoSlice::new(bytes)], SendFlags::default())
}

fn recv(stack: &mut ManualStack, handle: Handle, most: usize) -> Result<Vec<u8>, Errno> {
    let mut room = vec![0; most];
    let count = stack.recv(handle, &mut [IoSliceMut::new(&mut room)], RecvFlags::default())?;
    room.truncate(count);
    Ok(room)
}

/// A conversation with all that packets are made of, and every packet of it.
fn conversation(seed: u64) -> Vec<Packet> {
    let mut wire = Wire::new(seed);
    let (client, server) = wire.connect();
    let text: Vec<u8> = (0..100_000u32).flat_map(u32::to_le_bytes).collect();
    let (mut sent, mut received) = (0, Vec::new());
    while received.len() < text.len() {
        if let Ok(count) = send(&mut wire.client, client, &text[sent..]) {
            sent += count;
        }
        wire.settle();
        received.extend(recv(&mut wire.server, server, 1 << 20).unwrap());
    }
    assert_eq!(received, text);
    wire.client.close(client).unwrap();
    wire.settle();
    assert_eq!(recv(&mut wire.server, server, 1), Ok(Vec::new()));
    wire.server.close(server).unwrap();
    wire.settle();
    wire.packets
}

#[test]
fn the_same_seed_gives_the_same_packets_at_the_same_times() {
    let packets = conversation(7);
    assert_eq!(packets, conversation(7));
    assert_ne!(packets[0].bytes, conversation(8)[0].bytes);
    assert!(packets.len() > 280, "{} packets", packets.len());
}

#[test]
fn packets_leave_in_order_with_the_time_of_the_call_that_made_them() {
    let mut wire = Wire::new(1);
    let (client, _) = wire.connect();
    let option = 1i32.to_ne_bytes();
    wire.client
        .set_option(client, libc::IPPROTO_TCP, libc::TCP_NODELAY, &option)
        .unwrap();
    for (millis, text) in [(10, "one"), (11, "two"), (12, "three")] {
        wire.client.advance(at(millis)).unwrap();
        send(&mut wire.client, client, text.as_bytes()).unwrap();
    }
    wire.client.advance(at(13)).unwrap();
    let told: Vec<_> = take_all(&mut wire.client)
        .into_iter()
        .map(|packet| (packet.time, text_of(&packet).to_vec()))
        .collect();
    let expected = [(10, "one"), (11, "two"), (12, "three")].map(|(millis, text)| (at(millis), text.into()));
    assert_eq!(told, expected);
}

#[test]
fn time_does_not_go_back() {
    let mut stack = stack(1, "10.0.0.1/24");
    stack.advance(at(5)).unwrap();
    assert_eq!(stack.advance(at(4)), Err(Errno(libc::EINVAL)));
    assert_eq!(stack.input(at(4), &[], Checksum::Full), Err(Errno(libc::EINVAL)));
    assert_eq!(stack.advance(at(5)), Ok(()));
    assert_eq!(stack.now(), Ok(at(5)));
}

#[test]
fn the_deadline_says_when_a_syn_goes_out_again() {
    let mut client = stack(1, "10.0.0.1/24");
    assert_eq!(client.deadline(), Ok(None));
    let socket = client.socket(Family::V4).unwrap();
    client.advance(at(3)).unwrap();
    let _ = client.connect(socket, SERVER.parse().unwrap());
    let first = take_all(&mut client);
    let (due, timer) = client.deadline().unwrap().unwrap();
    assert_eq!((due, timer), (at(1003), Timer::Retransmission));
    client.advance(at(1002)).unwrap();
    assert_eq!(take_all(&mut client), []);
    client.advance(due).unwrap();
    let again = take_all(&mut client);
    assert_eq!((again.len(), again[0].time), (1, due));
    assert_eq!(
        again[0].bytes[24..28],
        first[0].bytes[24..28],
        "the same sequence number"
    );
}

#[test]
fn what_is_on_the_loopback_stays_inside() {
    let mut both = stack(1, "10.0.0.1/24");
    let listener = both.socket(Family::V4).unwrap();
    both.bind(listener, "127.0.0.1:80".parse().unwrap()).unwrap();
    both.listen(listener, 1).unwrap();
    let client = both.socket(Family::V4).unwrap();
    let begun = both.connect(client, "127.0.0.1:80".parse().unwrap());
    assert_eq!(begun, Err(Errno(libc::EINPROGRESS)));
    let (server, _) = both.accept(listener).unwrap();
    send(&mut both, client, b"hello").unwrap();
    assert_eq!(recv(&mut both, server, 10), Ok(b"hello".to_vec()));
    assert_eq!(take_all(&mut both), []);
}

#[test]
fn sockets_that_may_be_ready_are_named() {
    let mut wire = Wire::new(1);
    let (client, server) = wire.connect();
    while wire.server.ready().unwrap().is_some() {}
    send(&mut wire.client, client, b"x").unwrap();
    wire.settle();
    assert_eq!(wire.server.ready(), Ok(Some(server)));
    assert_eq!(wire.server.ready(), Ok(None));
    assert_eq!(recv(&mut wire.server, server, 9), Ok(b"x".to_vec()));
    assert_eq!(wire.server.ready(), Ok(Some(server)), "no longer readable");
    assert_eq!(recv(&mut wire.server, server, 9), Err(Errno(libc::EAGAIN)));
    assert_eq!(wire.server.ready(), Ok(None), "nothing has changed");
    send(&mut wire.client, client, b"y").unwrap();
    wire.advance(1000);
    assert_eq!(wire.server.ready(), Ok(Some(server)));
    assert_eq!(wire.server.poll(server, libc::POLLIN), Ok(libc::POLLIN));
    wire.server.close(server).unwrap();
    assert_eq!(wire.server.poll(server, libc::POLLIN), Ok(libc::POLLNVAL));
    assert_eq!(recv(&mut wire.server, server, 1), Err(Errno(libc::EBADF)));
}

/// Between two looks the buffer was full and has room again: an edge, though the readiness is as it was.
#[test]
fn who_found_no_room_is_named_when_there_is_some() {
    let mut wire = Wire::new(1);
    let (client, _) = wire.connect();
    while wire.client.ready().unwrap().is_some() {}
    while send(&mut wire.client, client, &[0; 4096]) != Err(Errno(libc::EAGAIN)) {}
    while wire.client.ready().unwrap().is_some() {}
    wire.settle();
    assert!(wire.client.readiness(client).unwrap().writable);
    assert_eq!(wire.client.ready(), Ok(Some(client)));
}

#[test]
fn super_segments_come_out_where_they_are_asked_for() {
    let mut wire = Wire::new(1);
    let (client, server) = wire.connect();
    wire.client.set("tso", "65535").unwrap();
    let text = vec![7; 10_000];
    send(&mut wire.client, client, &text).unwrap();
    let packet = wire.client.output().unwrap().unwrap();
    assert_eq!((text_of(packet), packet.checksum), (&text[..], Checksum::Offloaded));
    let headers = packet.bytes.len() - text.len();
    assert_eq!(packet.segment_size.map(|size| usize::from(size) + headers), Some(1500));
    wire.settle();
    assert_eq!(recv(&mut wire.server, server, 20_000), Ok(text));
}

#[test]
fn more_than_may_wait_waits_in_the_stack() {
    let mut stack = stack(1, "10.0.0.1/24");
    let ping = echo_request(60_000);
    for _ in 0..400 {
        stack.input(at(1), &ping, Checksum::Full).unwrap();
    }
    let held = stack.0.as_ref().map(|live| live.output.bytes()).unwrap();
    assert!((16 << 20..(16 << 20) + 65_536).contains(&held), "{held} bytes");
    stack.advance(at(2)).unwrap();
    let pongs = take_all(&mut stack);
    let late = pongs.iter().filter(|pong| pong.time == at(2)).count();
    assert_eq!((pongs.len(), late), (400, 400 - 280));
}

/// A ping of 10.0.0.1 by 10.0.0.9, of `len` bytes.
fn echo_request(len: u16) -> Vec<u8> {
    let [high, low] = (28 + len).to_be_bytes();
    let mut packet = vec![0x45, 0, high, low, 0, 0, 0x40, 0, 64, 1, 0, 0, 10, 0, 0, 9, 10, 0, 0, 1];
    let sum = ustcp_wire::Sum::default().add(&packet).checksum();
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet.extend([8, 0, 0xf7, 0xff, 0, 0, 0, 0]); // of zeros, the sum is the complement of the type
    packet.resize(28 + usize::from(len), 0);
    packet
}

#[test]
fn events_are_told_when_the_knob_says_so() {
    let mut wire = Wire::new(1);
    assert_eq!(wire.client.event(), Ok(None));
    wire.client.set("trace", "1").unwrap();
    wire.connect();
    let mut states = Vec::new();
    while let Some(event) = wire.client.event().unwrap() {
        if let EventKind::Transition { from, to, .. } = event.kind {
            states.push(format!("{from} {to}"));
        }
    }
    assert_eq!(states, ["CLOSED SYN-SENT", "SYN-SENT ESTABLISHED"]);
}

#[test]
fn a_panic_ends_the_stack_and_nothing_else() {
    let mut stack = stack(1, "10.0.0.1/24");
    let socket = stack.socket(Family::V4).unwrap();
    assert_eq!(stack.plant_panic(), Err(Errno(libc::ENETDOWN)));
    assert_eq!(stack.advance(at(1)), Err(Errno(libc::ENETDOWN)));
    assert_eq!(stack.output(), Err(Errno(libc::ENETDOWN)));
    assert_eq!(stack.listen(socket, 1), Err(Errno(libc::ENETDOWN)));
    assert_eq!(stack.family(socket), Err(Errno(libc::ENETDOWN)));
}

#[test]
fn without_a_seed_no_two_stacks_are_alike() {
    let first_syn = |seed| {
        let mut stack = ManualStack::new(seed).unwrap();
        stack.set("address", "10.0.0.1/24").unwrap();
        let socket = stack.socket(Family::V4).unwrap();
        let _ = stack.connect(socket, SERVER.parse().unwrap());
        take_all(&mut stack)
    };
    assert_eq!(first_syn(Some(1)), first_syn(Some(1)));
    assert_ne!(first_syn(None), first_syn(None));
}
