//! The words of the engine's protocol. All numbers are in the machine's own order: both ends are on it.
//!
//! Two AF_UNIX listeners: *streams*, to which a socket of a program is attached (`connect`, then a [`Greeting`] as its
//! first bytes), and *control*, `SOCK_SEQPACKET`, where each packet is a [`Request`] with its payload and each is answered
//! by one packet, a [`Reply`] with its payload. docs/engine.md tells the story.

use core::mem::size_of;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The version of everything here. An engine answers another with `EPROTO`, and nothing else.
pub const VERSION: u16 = 1;

/// What every message begins with.
pub const MAGIC: u32 = 0x7573_7463;

/// Most bytes of payload in a request or a reply.
pub const PAYLOAD_MAX: usize = 4096;

/// Most of a path that is told and kept, in bytes of UTF-8: a line of a list has room for it even where each is escaped.
pub const PATH_MAX: usize = 1024;

/// What lets a client in: whoever has it is served, whatever its uid.
pub type Token = [u8; 16];

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Operation {
    /// Whether the engine is there and of this version. Answered with its pid, as a `u32`.
    Hello = 1,
    /// bind(2). Payload: an [`Address`].
    Bind = 2,
    /// listen(2). `a`: the backlog.
    Listen = 3,
    /// connect(2). Payload: an [`Address`]. `a` = 1: answered when the attempt is over; 0: at once, `EINPROGRESS` where it
    /// has begun. As [`Bind`](Operation::Bind) and [`Listen`](Operation::Listen), answered `ESTALE` where the socket's stream
    /// is spent (a former attempt has failed and been told of, or it was disconnected): the client attaches a fresh one
    /// under the same number, which takes the place, the options and the bound address of the other, and asks again.
    Connect = 4,
    /// connect(2) with `AF_UNSPEC`.
    Disconnect = 5,
    /// getsockname(2). Answered with an [`Address`].
    LocalAddress = 6,
    /// getpeername(2). Answered with an [`Address`].
    PeerAddress = 7,
    /// setsockopt(2). `a`: the level, `b`: the name; payload: the value. This and the next may be asked of a socket that is not
    /// attached.
    SetOption = 8,
    /// getsockopt(2). `a`: the level, `b`: the name; payload: how many bytes there is room for, a `u32`, or nothing for any
    /// number. Answered with the value, whole or what there is room for.
    GetOption = 9,
    /// shutdown(2), before the descriptor itself is shut down. `a`: how.
    Shutdown = 10,
    /// ioctl(2) where the answer is a number. `a`: the request. Answered with an `i32`.
    Ioctl = 11,
    /// send(2) with `MSG_OOB`: the last byte of the payload is urgent. Answered with how many were taken, as a `u32`. `a` =
    /// 1: answered when there is room; 0: at once, `EAGAIN` where there is none.
    SendUrgent = 12,
    /// The true errno of a connection that ended, which the descriptor can only tell as `ECONNRESET`. Answered with an
    /// `i32`, 0 for none. `a`: who tells it to the program ([`Operation::TOLD_BY_WRITE`], [`Operation::TOLD_BY_READ`]), and
    /// `SO_ERROR` does no more. A write tells what nobody has told before.
    Fault = 13,
    /// A program is about to be started, or runs: the engine stays while this connection is open. Answered with the
    /// number of the run, a `u32` that goes into its greetings.
    Lease = 14,
    /// A socket of the program is not on the engine. `a`: [`PassedBy`], `b`: the number of the program's run; payload: an
    /// [`Address`], if there is one, and the path of what [`PassedBy`] means.
    PassedBy = 15,
    /// What there is, for `ustcp ss`: JSON, a packet for each line; an empty payload ends them. `a`: a run's number, 0 for all.
    List = 16,
    /// The engine is to end. `a` = 1: at once; 0: when its last connection is gone.
    Stop = 17,
    /// The engine is to end at once, if it was to end by itself and waits for TIME-WAIT alone; else `EBUSY`, and `EINVAL` where
    /// it does not end by itself.
    MakeWay = 18,
}

impl Operation {
    /// [`Operation::Fault`] for a write, which tells it once.
    pub const TOLD_BY_WRITE: u32 = 1;
    /// The same for a read. It does not say `EPIPE`: the peer's FIN came first, and the stream is whole.
    pub const TOLD_BY_READ: u32 = 2;

    /// All of them.
    pub const ALL: [Operation; 18] = [
        Operation::Hello,
        Operation::Bind,
        Operation::Listen,
        Operation::Connect,
        Operation::Disconnect,
        Operation::LocalAddress,
        Operation::PeerAddress,
        Operation::SetOption,
        Operation::GetOption,
        Operation::Shutdown,
        Operation::Ioctl,
        Operation::SendUrgent,
        Operation::Fault,
        Operation::Lease,
        Operation::PassedBy,
        Operation::List,
        Operation::Stop,
        Operation::MakeWay,
    ];

    /// The operation of this number.
    #[must_use]
    pub fn from_number(number: u16) -> Option<Operation> {
        Operation::ALL.into_iter().find(|operation| *operation as u16 == number)
    }
}

/// Why a socket of a program stays the kernel's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum PassedBy {
    /// Its protocol is none of ours (SCTP, for one).
    Protocol = 1,
    /// They will be a program's that is linked statically: no library can be put before it.
    Static = 2,
    /// They will be a library's that was opened with `RTLD_DEEPBIND`: it finds the C library first.
    DeepBind = 3,
    /// They will be a program's that the kernel starts with other rights than its user's (set-user-ID, or who starts it has
    /// become another user by half): the dynamic linker takes no library from its environment.
    Rights = 4,
    /// They will be a library's that was opened in a namespace of its own, which has its own C library (dlmopen).
    Namespace = 5,
}

/// The first bytes of a stream that is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Greeting {
    /// Lets it in.
    pub token: Token,
    /// The socket's number: 47 random bits, which its tag holds too.
    pub socket: u64,
    /// Whether it is of AF_INET6.
    pub is_v6: bool,
    /// The run it belongs to; 0: none.
    pub run: u32,
}

impl Greeting {
    /// Bytes of one.
    pub const LEN: usize = 40;

    /// As bytes.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Greeting::LEN] {
        let mut bytes = Writer::new();
        bytes.put(&MAGIC.to_ne_bytes());
        bytes.put(&VERSION.to_ne_bytes());
        bytes.put(&u16::from(self.is_v6).to_ne_bytes());
        bytes.put(&self.token);
        bytes.put(&self.socket.to_ne_bytes());
        bytes.put(&self.run.to_ne_bytes());
        bytes.bytes
    }

    /// From bytes; `None` where they are no greeting of this version.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; Greeting::LEN]) -> Option<Greeting> {
        let mut rest = &bytes[..];
        let right = u32::from_ne_bytes(take(&mut rest)?) == MAGIC && u16::from_ne_bytes(take(&mut rest)?) == VERSION;
        let is_v6 = u16::from_ne_bytes(take(&mut rest)?) != 0;
        right.then_some(())?;
        Some(Greeting {
            is_v6,
            token: take(&mut rest)?,
            socket: u64::from_ne_bytes(take(&mut rest)?),
            run: u32::from_ne_bytes(take(&mut rest)?),
        })
    }
}

/// What a control packet begins with; its payload follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// What is asked for.
    pub operation: Operation,
    /// Lets it in.
    pub token: Token,
    /// The socket that is meant; 0 where none is. With [`UNATTACHED`](Request::UNATTACHED) beside its number its stream is
    /// yet to come.
    pub socket: u64,
    /// As the operation says.
    pub a: u32,
    /// As the operation says.
    pub b: u32,
}

/// Why the bytes of a request are none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// Not a message of this protocol at all.
    Alien,
    /// Of another version.
    Version,
    /// Of an operation that does not exist.
    Operation,
}

impl Request {
    /// Beside a socket's number: it is not attached, and what is set is kept for the stream that comes.
    pub const UNATTACHED: u64 = 1 << 63;
    /// Beside that: it is of AF_INET6.
    pub const UNATTACHED_V6: u64 = Request::UNATTACHED | 1 << 62;

    /// Bytes of one.
    pub const LEN: usize = 40;

    /// As bytes.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Request::LEN] {
        let mut bytes = Writer::new();
        bytes.put(&MAGIC.to_ne_bytes());
        bytes.put(&VERSION.to_ne_bytes());
        bytes.put(&(self.operation as u16).to_ne_bytes());
        bytes.put(&self.token);
        bytes.put(&self.socket.to_ne_bytes());
        bytes.put(&self.a.to_ne_bytes());
        bytes.put(&self.b.to_ne_bytes());
        bytes.bytes
    }

    /// From a packet; what follows it there is the payload.
    pub fn from_bytes(packet: &[u8]) -> Result<(Request, &[u8]), Malformed> {
        let (head, payload) = packet.split_first_chunk::<{ Request::LEN }>().ok_or(Malformed::Alien)?;
        let mut rest = &head[..];
        let mut word = || take(&mut rest).ok_or(Malformed::Alien);
        if u32::from_ne_bytes(word()?) != MAGIC {
            return Err(Malformed::Alien);
        }
        let mut half = || take(&mut rest).ok_or(Malformed::Alien);
        if u16::from_ne_bytes(half()?) != VERSION {
            return Err(Malformed::Version);
        }
        let operation = Operation::from_number(u16::from_ne_bytes(half()?)).ok_or(Malformed::Operation)?;
        let token = take(&mut rest).ok_or(Malformed::Alien)?;
        let socket = u64::from_ne_bytes(take(&mut rest).ok_or(Malformed::Alien)?);
        let mut word = || take(&mut rest).ok_or(Malformed::Alien);
        let request = Request {
            operation,
            token,
            socket,
            a: u32::from_ne_bytes(word()?),
            b: u32::from_ne_bytes(word()?),
        };
        Ok((request, payload))
    }
}

/// What the answer to a request begins with; its payload follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// 0, or why not.
    pub errno: i32,
}

impl Reply {
    /// Bytes of one.
    pub const LEN: usize = 8;

    /// As bytes.
    #[must_use]
    pub fn to_bytes(self) -> [u8; Reply::LEN] {
        let mut bytes = Writer::new();
        bytes.put(&MAGIC.to_ne_bytes());
        bytes.put(&self.errno.to_ne_bytes());
        bytes.bytes
    }

    /// From the first bytes of a packet.
    #[must_use]
    pub fn from_bytes(packet: &[u8]) -> Option<Reply> {
        let mut rest = packet;
        let right = u32::from_ne_bytes(take(&mut rest)?) == MAGIC;
        let errno = i32::from_ne_bytes(take(&mut rest)?);
        right.then_some(Reply { errno })
    }
}

/// One connection that waits in accept: a record of the listener's stream, with the connection's descriptor beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Its number.
    pub socket: u64,
    /// Our end, in the listener's family.
    pub local: Address,
    /// The peer's end, in the listener's family.
    pub peer: Address,
}

impl Arrival {
    /// Bytes of one.
    pub const LEN: usize = 12 + 2 * Address::LEN;

    /// As bytes.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Arrival::LEN] {
        let mut bytes = Writer::new();
        bytes.put(&MAGIC.to_ne_bytes());
        bytes.put(&self.socket.to_ne_bytes());
        bytes.put(&self.local.to_bytes());
        bytes.put(&self.peer.to_bytes());
        bytes.bytes
    }

    /// From bytes.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; Arrival::LEN]) -> Option<Arrival> {
        let mut rest = &bytes[..];
        let right = u32::from_ne_bytes(take(&mut rest)?) == MAGIC;
        right.then_some(())?;
        Some(Arrival {
            socket: u64::from_ne_bytes(take(&mut rest)?),
            local: Address::from_bytes(take(&mut rest)?),
            peer: Address::from_bytes(take(&mut rest)?),
        })
    }
}

/// A socket's address on its way: `sockaddr_in` or `sockaddr_in6`, as the program handed it in or is to get it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address(pub SocketAddr);

impl Address {
    /// Bytes of one: family, port, flow information, the address, scope.
    pub const LEN: usize = 28;

    /// As bytes.
    #[must_use]
    pub fn to_bytes(self) -> [u8; Address::LEN] {
        let (family, octets, flow, scope) = match self.0 {
            SocketAddr::V4(v4) => (4_u16, widened(*v4.ip()), 0, 0),
            SocketAddr::V6(v6) => (6, v6.ip().octets(), v6.flowinfo(), v6.scope_id()),
        };
        let mut bytes = Writer::new();
        bytes.put(&family.to_ne_bytes());
        bytes.put(&self.0.port().to_ne_bytes());
        bytes.put(&flow.to_ne_bytes());
        bytes.put(&octets);
        bytes.put(&scope.to_ne_bytes());
        bytes.bytes
    }

    /// From bytes. Any bytes are an address: a family that is neither is IPv6.
    #[must_use]
    pub fn from_bytes(bytes: [u8; Address::LEN]) -> Address {
        let [f0, f1, p0, p1, w0, w1, w2, w3, octets @ .., s0, s1, s2, s3] = bytes;
        let octets: [u8; 16] = octets;
        let port = u16::from_ne_bytes([p0, p1]);
        if u16::from_ne_bytes([f0, f1]) == 4 {
            let [a, b, c, d, ..] = octets;
            return Address(SocketAddr::new(IpAddr::V4(Ipv4Addr::new(a, b, c, d)), port));
        }
        let flow = u32::from_ne_bytes([w0, w1, w2, w3]);
        let scope = u32::from_ne_bytes([s0, s1, s2, s3]);
        Address(SocketAddr::V6(core::net::SocketAddrV6::new(
            Ipv6Addr::from(octets),
            port,
            flow,
            scope,
        )))
    }

    /// From a payload.
    #[must_use]
    pub fn from_payload(payload: &[u8]) -> Option<Address> {
        payload.first_chunk().map(|bytes| Address::from_bytes(*bytes))
    }
}

fn widened(v4: Ipv4Addr) -> [u8; 16] {
    let [a, b, c, d] = v4.octets();
    [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
}

/// How far a socket is, as its tag tells those calls that must not ask or wait for the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Not begun, connecting, connected or ended: its stream says which.
    Plain,
    /// It has a stream, and an address perhaps, and nothing else: nothing is to wait in it.
    Idle,
    /// It listens: accept(2) of any other is `EINVAL`, and nobody else may be asked.
    Listening,
}

/// The tag of a socket, which any holder of its descriptor reads from it (`SO_MAX_PACING_RATE`): magic, family, number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag {
    /// The socket's number, 47 bits.
    pub socket: u64,
    /// Whether it is of AF_INET6.
    pub is_v6: bool,
}

impl Tag {
    const PLAIN: u64 = 0x5b1d;
    const LISTENING: u64 = 0x5b1e;
    const IDLE: u64 = 0x5b1f;
    /// The bits of a number.
    pub const SOCKET_MASK: u64 = (1 << 47) - 1;

    /// As the option's value.
    #[must_use]
    pub fn to_rate(self, standing: Standing) -> u64 {
        let magic = match standing {
            Standing::Plain => Tag::PLAIN,
            Standing::Listening => Tag::LISTENING,
            Standing::Idle => Tag::IDLE,
        };
        magic << 48 | u64::from(self.is_v6) << 47 | self.socket & Tag::SOCKET_MASK
    }

    /// From the option's value; `None` where it is no tag.
    #[must_use]
    pub fn from_rate(rate: u64) -> Option<(Tag, Standing)> {
        let standing = match rate >> 48 {
            Tag::PLAIN => Standing::Plain,
            Tag::LISTENING => Standing::Listening,
            Tag::IDLE => Standing::Idle,
            _ => return None,
        };
        let tag = Tag {
            socket: rate & Tag::SOCKET_MASK,
            is_v6: rate >> 47 & 1 == 1,
        };
        Some((tag, standing))
    }
}

/// Bytes in the making; what would not fit is left out, and what is left is zero.
struct Writer<const N: usize> {
    bytes: [u8; N],
    used: usize,
}

impl<const N: usize> Writer<N> {
    fn new() -> Writer<N> {
        Writer { bytes: [0; N], used: 0 }
    }

    fn put(&mut self, field: &[u8]) {
        let free = self.bytes.iter_mut().skip(self.used);
        free.zip(field).for_each(|(to, from)| *to = *from);
        self.used += field.len();
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk()?;
    *rest = tail;
    Some(*head)
}

const _: () = assert!(Greeting::LEN >= 4 + 2 + 2 + size_of::<Token>() + 8 + 4);
const _: () = assert!(Request::LEN == 4 + 2 + 2 + size_of::<Token>() + 8 + 4 + 4);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let greeting = Greeting {
            token: [7; 16],
            socket: 0x1234_5678_9abc,
            is_v6: true,
            run: 9,
        };
        assert_eq!(Greeting::from_bytes(&greeting.to_bytes()), Some(greeting));
        for operation in Operation::ALL {
            let request = Request {
                operation,
                token: [9; 16],
                socket: 5,
                a: 1,
                b: u32::MAX,
            };
            let packet = [&request.to_bytes()[..], b"payload"].concat();
            assert_eq!(Request::from_bytes(&packet), Ok((request, &b"payload"[..])));
        }
        assert_eq!(
            Reply::from_bytes(&Reply { errno: 111 }.to_bytes()),
            Some(Reply { errno: 111 })
        );
        for text in ["10.77.0.1:80", "[fe80::1%3]:65535", "[::ffff:1.2.3.4]:0"] {
            let address = Address(text.parse().unwrap());
            assert_eq!(Address::from_bytes(address.to_bytes()), address);
            let arrival = Arrival {
                socket: 77,
                local: address,
                peer: address,
            };
            assert_eq!(Arrival::from_bytes(&arrival.to_bytes()), Some(arrival));
        }
    }

    #[test]
    fn what_is_malformed_is_told_apart() {
        let request = Request {
            operation: Operation::Hello,
            token: [0; 16],
            socket: 0,
            a: 0,
            b: 0,
        };
        let mut bytes = request.to_bytes();
        assert_eq!(Request::from_bytes(&bytes[..39]), Err(Malformed::Alien));
        bytes[6] = 200;
        assert_eq!(Request::from_bytes(&bytes), Err(Malformed::Operation));
        bytes[4] = 200;
        assert_eq!(Request::from_bytes(&bytes), Err(Malformed::Version));
        bytes[0] = 0;
        assert_eq!(Request::from_bytes(&bytes), Err(Malformed::Alien));
    }

    #[test]
    fn a_tag_is_no_rate_that_anyone_sets() {
        let tag = Tag {
            socket: Tag::SOCKET_MASK,
            is_v6: true,
        };
        for standing in [Standing::Plain, Standing::Idle, Standing::Listening] {
            assert_eq!(Tag::from_rate(tag.to_rate(standing)), Some((tag, standing)));
        }
        assert_eq!(Tag::from_rate(u64::MAX), None);
        assert_eq!(Tag::from_rate(1_000_000_000), None);
    }
}
