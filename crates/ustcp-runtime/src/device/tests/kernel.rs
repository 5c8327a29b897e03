//! A TCP conversation with the kernel, held by hand: just enough of TCP to show what a device does to segments.

use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::thread;

use ustcp_wire::{Flags, Headers, IpHeader, IpPacket, Protocol, SeqNum, TcpHeader, TcpOptions, TcpSegment};

use super::super::{Device, Received};
use super::network::PATIENCE;
use super::{PEER, PEER_V6, STACK, STACK_V6};
use ustcp_proto::{Instant, Transmit};

const PORT: u16 = 80;
const ISS: SeqNum = SeqNum(u32::MAX - 1000); // so that the text crosses zero
/// Text from us to the kernel: within the window that it opens with.
const TO_KERNEL: usize = 50_000;
/// Text from the kernel to us.
const FROM_KERNEL: usize = 100_000;

/// What was seen of a conversation.
#[derive(Default)]
pub(super) struct Conversation {
    /// Packets received, those that are not of the conversation included.
    pub(super) received: usize,
    /// Packets sent.
    pub(super) sent: usize,
    /// The largest IP packet received.
    pub(super) largest: usize,
    /// How many of those received were super-segments.
    pub(super) super_segments: usize,
}

/// Lets the kernel connect to us over `device`, moves text both ways, and compares it at both ends.
pub(super) fn converse(device: Box<dyn Device>) -> Conversation {
    converse_between(STACK.into(), PEER.into(), 1460, device)
}

/// The same over IPv6.
pub(super) fn converse_in_ipv6(device: Box<dyn Device>) -> Conversation {
    converse_between(STACK_V6.into(), PEER_V6.into(), 1440, device)
}

fn converse_between(stack: IpAddr, peer: IpAddr, mss: u16, device: Box<dyn Device>) -> Conversation {
    thread::scope(|scope| {
        let kernel = scope.spawn(move || kernel_end(SocketAddr::new(stack, PORT)));
        let mut end = End {
            stack,
            peer,
            mss,
            device,
            start: std::time::Instant::now(),
            conversation: Conversation::default(),
            buffer: vec![0; 70_000],
            port: 0,
            snd_nxt: ISS,
            rcv_nxt: SeqNum(0),
            text: Vec::new(),
            finished: false,
        };
        end.run(&kernel);
        kernel.join().unwrap();
        assert_eq!(end.text, pattern(FROM_KERNEL));
        end.conversation
    })
}

fn kernel_end(address: SocketAddr) {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut text = vec![0; TO_KERNEL];
    stream.read_exact(&mut text).unwrap();
    assert_eq!(text, pattern(TO_KERNEL));
    stream.write_all(&pattern(FROM_KERNEL)).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    // Until we have it all and say so: an unread reset would throw away what is still queued.
    assert_eq!(stream.read(&mut text).unwrap(), 0);
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at % 251) as u8).collect()
}

struct End {
    stack: IpAddr,
    peer: IpAddr,
    mss: u16,
    device: Box<dyn Device>,
    start: std::time::Instant,
    conversation: Conversation,
    buffer: Vec<u8>,
    port: u16,
    snd_nxt: SeqNum,
    rcv_nxt: SeqNum,
    text: Vec<u8>,
    finished: bool,
}

impl End {
    fn now(&self) -> Instant {
        Instant::from_nanos(self.start.elapsed().as_nanos() as u64)
    }

    /// Until the kernel's end is through, weather included: it ends after our FIN.
    fn run(&mut self, kernel: &thread::ScopedJoinHandle<'_, ()>) {
        while !kernel.is_finished() {
            assert!(self.start.elapsed() < PATIENCE, "{} bytes so far", self.text.len());
            let now = self.now();
            self.device.on_timeout(now).unwrap();
            if !self.receive(now) {
                thread::yield_now();
            }
        }
    }

    fn receive(&mut self, now: Instant) -> bool {
        let mut buffer = std::mem::take(&mut self.buffer);
        let received = self.device.receive(now, &mut buffer).unwrap();
        let any = received.is_some();
        if let Some(received) = received {
            self.conversation.received += 1;
            self.take(now, &received);
        }
        self.buffer = buffer;
        any
    }

    fn take(&mut self, now: Instant, received: &Received<'_>) {
        let Ok(ip) = IpPacket::parse(received.packet) else {
            return;
        };
        if ip.header.protocol != Protocol::Tcp {
            return; // the kernel greets every network of IPv6
        }
        let Conversation {
            largest,
            super_segments,
            ..
        } = &mut self.conversation;
        *largest = (*largest).max(received.packet.len());
        *super_segments += usize::from(received.segment_size.is_some());
        if let Some(size) = received.segment_size {
            assert!(size <= self.mss, "{size} bytes a segment");
        }
        let segment =
            TcpSegment::parse(&ip.header, ip.payload, received.checksum).expect("what is to be verified is right");
        assert_eq!((ip.header.source, ip.header.destination), (self.peer, self.stack));
        self.answer(now, &segment);
    }

    fn answer(&mut self, now: Instant, segment: &TcpSegment<'_>) {
        let header = &segment.header;
        if header.flags.has(Flags::SYN) {
            return self.open(now, header);
        }
        if header.seq == self.rcv_nxt {
            self.text.extend_from_slice(segment.payload);
            self.rcv_nxt += segment.payload.len();
            if header.flags.has(Flags::FIN) && !self.finished {
                self.finished = true;
                self.rcv_nxt += 1;
                self.send(now, Flags::FIN | Flags::ACK, &[]);
                self.snd_nxt += 1;
                return;
            }
        }
        if self.snd_nxt == ISS + 1 {
            return self.send_text(now);
        }
        if !segment.payload.is_empty() {
            self.send(now, Flags::ACK, &[]);
        }
    }

    fn open(&mut self, now: Instant, header: &TcpHeader) {
        self.port = header.source_port;
        self.rcv_nxt = header.seq + 1;
        self.snd_nxt = ISS;
        self.send(now, Flags::SYN | Flags::ACK, &[]);
        self.snd_nxt = ISS + 1;
    }

    /// All of it at once where the device splits, in segments where it does not.
    fn send_text(&mut self, now: Instant) {
        let text = pattern(TO_KERNEL);
        let most = match self.device.segmentation_offload() {
            0 => usize::from(self.mss),
            most => most,
        };
        for piece in text.chunks(most) {
            self.send(now, Flags::ACK | Flags::PSH, piece);
            self.snd_nxt += piece.len();
        }
    }

    fn send(&mut self, now: Instant, flags: Flags, text: &[u8]) {
        let ip = IpHeader {
            source: self.stack,
            destination: self.peer,
            protocol: Protocol::Tcp,
            traffic_class: 0,
            hop_limit: 64,
            identification: 0,
            dont_fragment: true,
            flow_label: 0,
        };
        let options = TcpOptions {
            mss: flags.has(Flags::SYN).then_some(self.mss),
            ..TcpOptions::default()
        };
        let header = TcpHeader {
            source_port: PORT,
            destination_port: self.port,
            seq: self.snd_nxt,
            ack: self.rcv_nxt,
            flags,
            window: u16::MAX,
            urgent: 0,
            options,
        };
        // In two parts, the first of odd length, as a ring may hand them out.
        let text: [&[u8]; 2] = text.split_at((text.len() / 3) | usize::from(!text.is_empty())).into();
        let checksum = self.device.checksum();
        let transmit = Transmit {
            headers: Headers::new(&ip, &header, text, checksum),
            text,
            segment_size: (text.concat().len() > usize::from(self.mss)).then_some(self.mss),
            checksum,
        };
        self.conversation.sent += 1;
        self.device.transmit(now, &transmit).unwrap();
    }
}

/// A ping of ours.
pub(super) fn echo_request() -> Vec<u8> {
    let ip = IpHeader {
        source: PEER.into(),
        destination: STACK.into(),
        protocol: Protocol::Icmp,
        traffic_class: 0,
        hop_limit: 64,
        identification: 0,
        dont_fragment: true,
        flow_label: 0,
    };
    ustcp_wire::IcmpMessage::echo_reply(&ip, 1, 1, b"ustcp")
}

/// Has the kernel send so many datagrams to us.
pub(super) fn send_datagrams(count: usize) {
    let socket = UdpSocket::bind((PEER, 0)).unwrap();
    for _ in 0..count {
        assert_eq!(socket.send_to(b"ustcp", (STACK, 9)).unwrap(), 5);
    }
}
