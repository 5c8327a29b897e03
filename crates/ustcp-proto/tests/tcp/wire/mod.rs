//! One stack at 10.0.0.2 and a scripted peer at 10.0.0.1, or both at the same place in IPv6, under virtual time.
//!
//! Both initial sequence numbers lie just below 2^32, so every conversation goes over the end of the sequence space.
//! The byte at relative sequence number `n` is the same in both directions and every test, and is checked wherever it
//! comes out.

mod notation;

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::time::Duration;
use std::collections::HashMap;

use ustcp_proto::{
    Cause, Checksum, Cidr, Config, DropReason, Error, Event, EventKind, Family, Flow, Info, Instant, Options,
    Readiness, Secret, Shutdown, SocketId, Stack, State,
};
use ustcp_wire::{Headers, IpHeader, IpPacket, Protocol, SeqNum, Sum, TcpHeader, TcpSegment, pseudo_header_sum};

pub(crate) use notation::{Isns, Segment};

pub(crate) const OURS: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));
pub(crate) const PEERS: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
pub(crate) const OURS_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2));
pub(crate) const PEERS_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));

/// The peer's initial sequence number, a few bytes below the end of the space.
pub(crate) const PEER_ISN: u32 = u32::MAX - 4;

/// Where ours are made to lie, for the first connection.
const OUR_ISN: u32 = u32::MAX - 7;

/// The ports of the conversation that most tests are about: the server's side is 80, whoever it is.
const CLIENT: u16 = 40_000;
pub(crate) const SERVER: u16 = 80;

/// What the peer offers unless a test says otherwise: round numbers, no scaling, no SACK.
pub(crate) const PLAIN: &str = "win 65535 <mss 1000>";

/// Local and remote port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Ports(pub(crate) u16, pub(crate) u16);

pub(crate) const WE_CONNECT: Ports = Ports(CLIENT, SERVER);
pub(crate) const WE_LISTEN: Ports = Ports(SERVER, CLIENT);

#[derive(Clone, Copy, Debug)]
struct Conversation {
    iss: u32,
    irs: u32,
    /// Our timestamps count from that of our SYN.
    first_stamp: u32,
    written: usize,
    read: usize,
}

pub(crate) struct Wire {
    pub(crate) stack: Stack,
    pub(crate) now: Instant,
    start: Instant,
    /// The address of ours that the script is about, and the peer's in the same family.
    pub(crate) ours: IpAddr,
    pub(crate) peers: IpAddr,
    /// Whose segments are meant when a script speaks.
    pub(crate) ports: Ports,
    conversations: HashMap<Ports, Conversation>,
    /// The window that the peer's segments carry when the script does not say.
    pub(crate) peer_window: u16,
    socket: Option<SocketId>,
    listener: Option<SocketId>,
    /// The IP header of the packet last seen.
    pub(crate) last_ip: Option<IpHeader>,
}

/// A config for tests: everything at its default, with an address and a trace, and without timestamps, so that scripts
/// about other things need not speak of them.
pub(crate) fn config() -> Config {
    Config {
        addresses: vec![Cidr {
            address: OURS,
            prefix: 24,
        }],
        secret: Secret(
            *b"a secret of thirty-two bytes....."[..32]
                .first_chunk()
                .expect("32 bytes"),
        ),
        timestamps: false,
        trace: true,
        // Buffers that stay as they are, whatever a test is about.
        receive_buffer: 256 * 1024,
        send_buffer: 256 * 1024,
        receive_buffer_min: 0,
        receive_buffer_max: 0,
        send_buffer_min: 0,
        send_buffer_max: 0,
        // Segments that stay as large as they are, however often they are lost.
        mtu_probing: 0,
        // And acknowledgements that are always held back for as long.
        delayed_ack_max: ms(40),
        quick_acks: 0,
        ..Config::default()
    }
}

/// The same with an address in IPv6 instead.
pub(crate) fn config_v6() -> Config {
    let addresses = vec![Cidr {
        address: OURS_V6,
        prefix: 64,
    }];
    Config { addresses, ..config() }
}

pub(crate) fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

pub(crate) fn secs(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// The byte that stands at relative sequence number `seq` of every stream.
pub(crate) fn byte_at(seq: i64) -> u8 {
    u8::try_from((seq * 31 + seq / 251).rem_euclid(251)).expect("below 251")
}

pub(crate) fn text(seq: i64, len: usize) -> Vec<u8> {
    (seq..).take(len).map(byte_at).collect()
}

impl Wire {
    /// A stack without sockets, in the family of its first address. The clock starts at the moment that puts our first
    /// ISN where we want it.
    pub(crate) fn new(config: Config, ports: Ports) -> Wire {
        let start = wrapping_start(&config, ports);
        let ours = config.addresses[0].address;
        Wire {
            stack: Stack::new(config),
            now: start,
            start,
            ours,
            peers: peer_of(ours),
            ports,
            conversations: HashMap::new(),
            peer_window: 65_535,
            socket: None,
            listener: None,
            last_ip: None,
        }
    }

    /// SYN-SENT, the SYN seen.
    pub(crate) fn connecting(config: Config) -> Wire {
        let mut wire = Wire::new(config, WE_CONNECT);
        wire.connect();
        wire.sees("S 0:0(0)");
        wire
    }

    /// ESTABLISHED by connect, with a peer that offers `offer` in its SYN-ACK.
    pub(crate) fn connected_to(config: Config, offer: &str) -> Wire {
        let mut wire = Wire::connecting(config);
        wire.peer(&format!("S. 0:0(0) ack 1 {offer}"));
        wire.sees(". 1:1(0) ack 1");
        wire.quiet();
        wire
    }

    /// ESTABLISHED by connect, with a plain peer.
    pub(crate) fn connected() -> Wire {
        Wire::connected_to(config(), PLAIN)
    }

    /// ESTABLISHED by connect over a path that takes `rtt` there and back.
    pub(crate) fn connected_over(config: Config, offer: &str, rtt: Duration) -> Wire {
        let mut wire = Wire::connecting(config);
        wire.after(rtt);
        wire.peer(&format!("S. 0:0(0) ack 1 {offer}"));
        wire.sees(". 1:1(0) ack 1");
        wire.quiet();
        wire
    }

    /// LISTEN on port 80.
    pub(crate) fn listening(config: Config, backlog: usize) -> Wire {
        let mut wire = Wire::new(config, WE_LISTEN);
        let id = wire.fresh();
        wire.stack.bind(id, SocketAddr::new(wire.ours, SERVER)).expect("bind");
        wire.stack.listen(wire.now, id, backlog).expect("listen");
        wire.listener = Some(id);
        wire
    }

    /// SYN-RECEIVED behind a listener, the SYN-ACK seen.
    pub(crate) fn half_open(config: Config) -> Wire {
        let mut wire = Wire::listening(config, 8);
        wire.peer(&format!("S 0:0(0) {PLAIN}"));
        wire.sees("S. 0:0(0) ack 1");
        wire
    }

    /// ESTABLISHED by accept.
    pub(crate) fn accepted() -> Wire {
        let mut wire = Wire::half_open(config());
        wire.peer(". 1:1(0) ack 1");
        wire.accept();
        wire.quiet();
        wire
    }

    // The user's side.

    pub(crate) fn fresh(&mut self) -> SocketId {
        self.stack.socket(family_of(self.ours)).expect("a socket")
    }

    /// Binds to the client's port and connects.
    pub(crate) fn connect(&mut self) {
        let id = self.fresh();
        let (local, remote) = self.ends();
        self.stack.bind(id, local).expect("bind");
        let result = self.stack.connect(self.now, id, remote);
        assert_eq!(result, Err(Error::InProgress));
        self.socket = Some(id);
    }

    pub(crate) fn accept(&mut self) {
        let (id, remote) = self.stack.accept(self.listener()).expect("a connection");
        assert_eq!(remote, self.ends().1);
        self.socket = Some(id);
    }

    /// One more connection, from the peer's `port`, whose SYN has these options besides the window: the story's socket.
    pub(crate) fn accept_from(&mut self, port: u16, syn: &str) {
        self.ports = Ports(SERVER, port);
        self.peer(&format!("S 0:0(0) {syn}"));
        self.drain();
        self.peer(". 1:1(0) ack 1");
        self.accept();
        self.drain();
    }

    pub(crate) fn id(&self) -> SocketId {
        self.socket.expect("a socket")
    }

    pub(crate) fn use_socket(&mut self, id: SocketId) {
        self.socket = Some(id);
    }

    pub(crate) fn use_listener(&mut self, id: SocketId) {
        self.listener = Some(id);
    }

    pub(crate) fn listener(&self) -> SocketId {
        self.listener.expect("a listener")
    }

    /// Writes the next `len` bytes of the stream and says how many were taken.
    pub(crate) fn try_write(&mut self, len: usize) -> Result<usize, Error> {
        let written = self.conversation().written;
        let data = text(1 + written as i64, len);
        let taken = self.stack.send(self.now, self.id(), &data)?;
        self.conversation().written += taken;
        Ok(taken)
    }

    /// Writes the next `len` bytes, all of them.
    pub(crate) fn write(&mut self, len: usize) {
        assert_eq!(self.try_write(len), Ok(len));
    }

    /// Reads at most `len` bytes, which must be the next ones of the peer's stream; says how many.
    pub(crate) fn read(&mut self, len: usize) -> Result<usize, Error> {
        let mut buffer = vec![0; len];
        let count = self.stack.recv(self.now, self.id(), &mut buffer)?;
        let expected = text(1 + self.conversation().read as i64, count);
        assert!(buffer[..count] == expected, "the stream's bytes, in order");
        self.conversation().read += count;
        Ok(count)
    }

    pub(crate) fn shutdown(&mut self, how: Shutdown) {
        self.stack.shutdown(self.now, self.id(), how).expect("shutdown");
    }

    pub(crate) fn close(&mut self) {
        self.stack.close(self.now, self.id()).expect("close");
    }

    pub(crate) fn close_listener(&mut self) {
        self.stack.close(self.now, self.listener()).expect("close");
    }

    pub(crate) fn abort(&mut self) {
        self.stack.abort(self.now, self.id()).expect("abort");
    }

    pub(crate) fn set(&mut self, change: impl FnOnce(&mut Options)) {
        let id = self.id();
        let mut options = self.stack.options(id).expect("options");
        change(&mut options);
        self.stack.set_options(self.now, id, options).expect("set");
    }

    /// SO_REUSEADDR.
    pub(crate) fn set_reuse_address(&mut self) {
        self.set(|options| options.reuse_address = true);
    }

    pub(crate) fn state(&self) -> State {
        self.stack.state(self.id()).expect("a held socket")
    }

    pub(crate) fn readiness(&self) -> Readiness {
        self.stack.readiness(self.id()).expect("a held socket")
    }

    pub(crate) fn info(&self) -> Info {
        self.stack.info(self.now, self.id()).expect("a connection")
    }

    pub(crate) fn take_error(&mut self) -> Option<Error> {
        self.stack.take_error(self.id()).expect("a held socket")
    }

    pub(crate) fn drops(&self, reason: DropReason) -> u64 {
        self.stack.counters().drops(reason)
    }

    // The wire's side.

    /// The peer sends a segment.
    pub(crate) fn peer(&mut self, script: &str) {
        let segment = Segment::read(script);
        let packet = self.packet(&segment);
        self.inject(&packet);
    }

    /// The peer sends a segment, and the packet's traffic class is this when it arrives.
    pub(crate) fn peer_with_class(&mut self, script: &str, traffic_class: u8) {
        let packet = self.packet(&Segment::read(script));
        let ip = IpPacket::parse(&packet).expect("a packet");
        let tcp = TcpSegment::parse(&ip.header, ip.payload, Checksum::Full).expect("a segment");
        let header = IpHeader {
            traffic_class,
            ..ip.header
        };
        let headers = Headers::new(&header, &tcp.header, [tcp.payload, &[]], Checksum::Full);
        self.inject(&[headers.bytes(), tcp.payload].concat());
    }

    /// The traffic class of the packet last seen.
    pub(crate) fn class(&self) -> u8 {
        self.last_ip.expect("a packet").traffic_class
    }

    /// The bytes of a peer's segment.
    pub(crate) fn packet(&mut self, segment: &Segment) -> Vec<u8> {
        let (window, ports) = (self.peer_window, self.ports);
        let Conversation {
            iss, irs, first_stamp, ..
        } = *self.conversation();
        let isns = Isns {
            sender: irs,
            receiver: iss,
        };
        let mut header = TcpHeader {
            source_port: ports.1,
            destination_port: ports.0,
            ..segment.header(isns, window)
        };
        if let Some(stamps) = &mut header.options.timestamps
            && segment.flags.has(ustcp_wire::Flags::ACK)
        {
            stamps.echo = stamps.echo.wrapping_add(first_stamp);
        }
        // A SYN takes number 0, so text that comes with it begins at 1, where text always begins.
        let first = segment.seq + i64::from(segment.flags.has(ustcp_wire::Flags::SYN));
        packet(self.peers, self.ours, &header, &text(first, segment.len))
    }

    pub(crate) fn inject(&mut self, packet: &[u8]) {
        self.stack.on_packet(self.now, packet, Checksum::Full);
    }

    /// The next segment that the stack sends, of whichever conversation.
    pub(crate) fn next(&mut self) -> Option<(Ports, Segment)> {
        let packet = self.next_packet()?;
        Some(self.understand(&packet))
    }

    pub(crate) fn next_packet(&mut self) -> Option<Vec<u8>> {
        self.stack.poll_transmit(self.now).map(|transmit| transmit.to_vec())
    }

    /// Parses what the stack sent, verifies its checksums and its text, and learns ISNs.
    fn understand(&mut self, packet: &[u8]) -> (Ports, Segment) {
        let ip = IpPacket::parse(packet).expect("a right IP packet");
        assert_eq!((ip.header.source, ip.header.destination), (self.ours, self.peers));
        self.last_ip = Some(ip.header);
        let tcp = TcpSegment::parse(&ip.header, ip.payload, Checksum::Full).expect("a right TCP segment");
        let header = tcp.header;
        let ports = Ports(header.source_port, header.destination_port);
        let conversation = self.conversations.entry(ports).or_insert(Conversation::NEW);
        if header.flags.has(ustcp_wire::Flags::SYN) {
            conversation.iss = header.seq.0;
        }
        let isns = Isns {
            sender: conversation.iss,
            receiver: conversation.irs,
        };
        let mut segment = Segment::of(&header, tcp.payload.len(), isns);
        if let Some(stamps) = segment.options.as_mut().and_then(|options| options.timestamps.as_mut()) {
            if header.flags.has(ustcp_wire::Flags::SYN) && conversation.first_stamp == 0 {
                conversation.first_stamp = stamps.value;
            }
            stamps.value = stamps.value.wrapping_sub(conversation.first_stamp);
        }
        let first = segment.seq + i64::from(header.flags.has(ustcp_wire::Flags::SYN));
        assert!(tcp.payload == text(first, segment.len), "the text of {segment}");
        (ports, segment)
    }

    /// The stack sends this next.
    #[track_caller]
    pub(crate) fn sees(&mut self, script: &str) -> Segment {
        let expected = Segment::read(script);
        let Some((ports, seen)) = self.next() else {
            panic!("{}: nothing came out instead of\n    {script}", self.clock());
        };
        assert_eq!(ports, self.ports, "{}: {seen}", self.clock());
        assert!(
            expected.describes(&seen),
            "{}:\n    {seen} came out instead of\n    {script}",
            self.clock()
        );
        seen
    }

    /// The stack sends nothing now.
    #[track_caller]
    pub(crate) fn quiet(&mut self) {
        if let Some((_, seen)) = self.next() {
            panic!("{}: {seen} came out of nothing", self.clock());
        }
    }

    /// Where the text begins that it sends now.
    pub(crate) fn places(&mut self) -> Vec<i64> {
        let text = |segment: &Segment| segment.len > 0;
        self.drain()
            .iter()
            .filter(|segment| text(segment))
            .map(|segment| segment.seq)
            .collect()
    }

    /// Everything that it sends now.
    pub(crate) fn drain(&mut self) -> Vec<Segment> {
        core::iter::from_fn(|| self.next().map(|(_, segment)| segment)).collect()
    }

    // Time.

    /// Exactly this much time passes, during which the stack sends nothing; what it sends at its end is still to be
    /// seen.
    #[track_caller]
    pub(crate) fn after(&mut self, time: Duration) {
        let end = self.now + time;
        self.quiet();
        while let Some((due, _)) = self.stack.poll_timeout().filter(|(due, _)| *due < end) {
            self.now = due.max(self.now);
            self.stack.on_timeout(self.now);
            self.quiet();
        }
        self.now = end;
        self.stack.on_timeout(end);
    }

    /// This much time passes, whatever the stack sends meanwhile; what it sends comes back with the time since now.
    pub(crate) fn elapse(&mut self, time: Duration) -> Vec<(Duration, Segment)> {
        let (begin, end) = (self.now, self.now + time);
        let mut sent = Vec::new();
        loop {
            let now = self.now.since(begin);
            sent.extend(self.drain().into_iter().map(|segment| (now, segment)));
            if self.now >= end {
                return sent;
            }
            let due = self.stack.poll_timeout().map_or(end, |(due, _)| due.min(end));
            self.now = due.max(self.now);
            self.stack.on_timeout(self.now);
        }
    }

    /// This much time passes, and no packet may come out meanwhile.
    #[track_caller]
    pub(crate) fn elapse_in_silence(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some((due, _)) = self.stack.poll_timeout().filter(|(due, _)| *due < end) {
            self.now = due.max(self.now);
            self.stack.on_timeout(self.now);
            assert!(self.next_packet().is_none(), "{}", self.clock());
        }
        self.now = end;
        self.stack.on_timeout(end);
    }

    /// What a failing test says of the time.
    fn clock(&self) -> String {
        format!("at {:?}", self.now.since(self.start))
    }

    // Events.

    pub(crate) fn events(&mut self) -> Vec<Event> {
        core::iter::from_fn(|| self.stack.poll_event()).collect()
    }

    /// The arrows followed since the events were last fetched.
    pub(crate) fn arrows(&mut self) -> Vec<(State, Cause, State)> {
        self.events()
            .into_iter()
            .filter_map(|event| match event.kind {
                EventKind::Transition { from, to, cause } => Some((from, cause, to)),
                _ => None,
            })
            .collect()
    }

    pub(crate) fn flow(&self) -> Flow {
        let (local, remote) = self.ends();
        Flow { local, remote }
    }

    fn ends(&self) -> (SocketAddr, SocketAddr) {
        let Ports(ours, peers) = self.ports;
        (SocketAddr::new(self.ours, ours), SocketAddr::new(self.peers, peers))
    }

    /// Our ISN of the conversation at hand, once its SYN was seen.
    pub(crate) fn iss(&mut self) -> u32 {
        self.conversation().iss
    }

    /// The peer begins its next connection at this ISN.
    pub(crate) fn set_peer_isn(&mut self, irs: u32) {
        let first_stamp = self.conversation().first_stamp; // it is the clock of the two hosts, not of the connection
        *self.conversation() = Conversation {
            irs,
            first_stamp,
            ..Conversation::NEW
        };
    }

    fn conversation(&mut self) -> &mut Conversation {
        self.conversations.entry(self.ports).or_insert(Conversation::NEW)
    }
}

impl Conversation {
    const NEW: Conversation = Conversation {
        iss: 0,
        irs: PEER_ISN,
        first_stamp: 0,
        written: 0,
        read: 0,
    };
}

fn peer_of(ours: IpAddr) -> IpAddr {
    if ours.is_ipv4() { PEERS } else { PEERS_V6 }
}

pub(crate) fn family_of(address: IpAddr) -> Family {
    if address.is_ipv4() { Family::V4 } else { Family::V6 }
}

/// A whole packet with right checksums.
pub(crate) fn packet(source: IpAddr, destination: IpAddr, header: &TcpHeader, text: &[u8]) -> Vec<u8> {
    let ip = ip_header(source, destination, Protocol::Tcp);
    let headers = Headers::new(&ip, header, [text, &[]], Checksum::Full);
    [headers.bytes(), text].concat()
}

/// An IP packet from the peer to us that is no TCP, with the addresses of the family of `ours`.
pub(crate) fn ip_packet(ours: IpAddr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    ip_packet_between(peer_of(ours), ours, protocol, payload)
}

/// An IP packet with a header that says nothing special.
pub(crate) fn ip_packet_between(source: IpAddr, destination: IpAddr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let len = u16::try_from(20 + payload.len()).expect("short").to_be_bytes();
            let fixed = [0x45, 0, len[0], len[1], 0, 0, 0, 0, 64, protocol, 0, 0];
            let mut header = [&fixed[..], &source.octets(), &destination.octets()].concat();
            let sum = Sum::default().add(&header).checksum().to_be_bytes();
            header[10..12].copy_from_slice(&sum);
            [&header, payload].concat()
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let len = u16::try_from(payload.len()).expect("short").to_be_bytes();
            let fixed = [0x60, 0, 0, 0, len[0], len[1], protocol, 64];
            [&fixed[..], &source.octets(), &destination.octets(), payload].concat()
        }
        _ => panic!("two families"),
    }
}

/// An ICMP message from the peer to `ours`, of its family, with the checksums right.
pub(crate) fn icmp_packet(ours: IpAddr, kind: u8, code: u8, rest: [u8; 4], body: &[u8]) -> Vec<u8> {
    let mut message = [&[kind, code, 0, 0][..], &rest, body].concat();
    let protocol = if ours.is_ipv4() {
        Protocol::Icmp
    } else {
        Protocol::Icmpv6
    };
    let covered = if ours.is_ipv4() {
        Sum::default()
    } else {
        pseudo_header_sum(peer_of(ours), ours, protocol, message.len())
    };
    let sum = covered.add(&message).checksum().to_be_bytes();
    message[2..4].copy_from_slice(&sum);
    ip_packet(ours, protocol.number(), &message)
}

pub(crate) fn ip_header(source: IpAddr, destination: IpAddr, protocol: Protocol) -> IpHeader {
    IpHeader {
        source,
        destination,
        protocol,
        traffic_class: 0,
        hop_limit: 64,
        identification: 0,
        dont_fragment: true,
        flow_label: 0,
    }
}

/// The ISN rises with the clock: when it is where we want it follows from where it is at time zero.
fn wrapping_start(config: &Config, ports: Ports) -> Instant {
    let mut stack = Stack::new(config.clone());
    let ours = config.addresses[0].address;
    let id = stack.socket(family_of(ours)).expect("a socket");
    stack.bind(id, SocketAddr::new(ours, ports.0)).expect("bind");
    let _in_progress = stack.connect(Instant::ZERO, id, SocketAddr::new(peer_of(ours), ports.1));
    let syn = stack.poll_transmit(Instant::ZERO).expect("a SYN").to_vec();
    let ip = IpPacket::parse(&syn).expect("a packet");
    let SeqNum(isn) = TcpSegment::parse(&ip.header, ip.payload, Checksum::Offloaded)
        .expect("a segment")
        .header
        .seq;
    Instant::from_nanos(u64::from(OUR_ISN.wrapping_sub(isn)) * 4000)
}
