//! Which processes hold a socket: those that have the other end of the engine's stream among their descriptors.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::fs;
use std::io;

use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, sendto, socket_with};

use crate::listing::Socket;
use crate::processes;

/// SOCK_DIAG_BY_FAMILY and the rest of what linux/sock_diag.h, linux/unix_diag.h and linux/netlink.h say.
const BY_FAMILY: u16 = 20;
const DUMP_REQUEST: u16 = 0x301;
const DONE: u16 = 3;
const SHOW_PEER: u32 = 4;
const PEER: u16 = 2;
/// Of a netlink message's head, of a request for AF_UNIX, of its answer, of an attribute's head.
const HEAD: usize = 16;
const REQUEST: usize = 24;
const ANSWER: usize = 16;
const ATTRIBUTE: usize = 4;

/// The processes of this machine that may be looked at, by the sockets that they hold.
pub(crate) struct Users {
    /// From an inode to that of its peer.
    peers: HashMap<u64, u64>,
    holders: HashMap<u64, BTreeSet<Holder>>,
}

/// One descriptor of one process.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Holder {
    pub(crate) name: String,
    pub(crate) pid: u32,
    pub(crate) fd: u32,
}

/// As ss writes them: `users:(("nginx",pid=12,fd=5),("nginx",pid=13,fd=5))`.
pub(crate) struct Holders<'a>(pub(crate) &'a BTreeSet<Holder>);

impl Users {
    /// Looks at all of them.
    pub(crate) fn find() -> io::Result<Users> {
        Ok(Users {
            peers: peers()?,
            holders: holders(),
        })
    }

    /// Those of a socket.
    pub(crate) fn of(&self, socket: &Socket) -> Option<Holders<'_>> {
        let peer = self.peers.get(&socket.inode?)?;
        self.holders.get(peer).map(Holders)
    }
}

impl fmt::Display for Holders<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let one = |Holder { name, pid, fd }: &Holder| format!("(\"{name}\",pid={pid},fd={fd})");
        let each: Vec<String> = self.0.iter().map(one).collect();
        write!(f, "users:({})", each.join(","))
    }
}

/// sock_diag(7): every AF_UNIX socket with its peer.
fn peers() -> io::Result<HashMap<u64, u64>> {
    let socket = socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        Some(netlink::SOCK_DIAG),
    )?;
    sendto(&socket, &request(), SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
    let mut found = HashMap::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let (len, _) = recv(&socket, buffer.as_mut_slice(), RecvFlags::empty())?;
        if !take(buffer.get(..len).unwrap_or_default(), &mut found)? {
            return Ok(found);
        }
    }
}

fn request() -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEAD + REQUEST);
    bytes.extend(u32::try_from(HEAD + REQUEST).unwrap_or(0).to_ne_bytes());
    bytes.extend(BY_FAMILY.to_ne_bytes());
    bytes.extend(DUMP_REQUEST.to_ne_bytes());
    bytes.extend([0; 8]); // sequence and port: one question, one socket
    bytes.extend([libc::AF_UNIX as u8, 0, 0, 0]);
    bytes.extend(u32::MAX.to_ne_bytes()); // every state
    bytes.extend([0; 4]); // every inode
    bytes.extend(SHOW_PEER.to_ne_bytes());
    bytes.extend([0xff; 8]); // no cookie
    bytes
}

/// The messages of one packet. Whether more are to come.
fn take(mut packet: &[u8], found: &mut HashMap<u64, u64>) -> io::Result<bool> {
    while let Some((head, _)) = packet.split_first_chunk::<HEAD>() {
        let len = usize::try_from(word(head, 0)).unwrap_or(0);
        match half(head, 4) {
            DONE => return Ok(false),
            BY_FAMILY => found.extend(packet.get(HEAD..len).and_then(pair)),
            // NLMSG_ERROR: what follows is the errno, negative.
            _ => return Err(io::Error::from_raw_os_error(-word(packet, HEAD).cast_signed())),
        }
        packet = packet.get(aligned(len).max(HEAD)..).unwrap_or_default();
    }
    Ok(true)
}

/// An answer's inode, and that of its peer.
fn pair(answer: &[u8]) -> Option<(u64, u64)> {
    let inode = word(answer, 4);
    let mut attributes = answer.get(ANSWER..)?;
    while attributes.len() >= ATTRIBUTE {
        let len = usize::from(half(attributes, 0));
        if half(attributes, 2) == PEER {
            return Some((inode.into(), word(attributes, ATTRIBUTE).into()));
        }
        attributes = attributes.get(aligned(len).max(ATTRIBUTE)..)?;
    }
    None
}

fn aligned(len: usize) -> usize {
    len.next_multiple_of(4)
}

fn word(bytes: &[u8], at: usize) -> u32 {
    let bytes = bytes.get(at..).and_then(<[u8]>::first_chunk);
    bytes.map_or(0, |bytes| u32::from_ne_bytes(*bytes))
}

fn half(bytes: &[u8], at: usize) -> u16 {
    let bytes = bytes.get(at..).and_then(<[u8]>::first_chunk);
    bytes.map_or(0, |bytes| u16::from_ne_bytes(*bytes))
}

/// proc(5). A process that ends meanwhile, or may not be looked at, has none.
fn holders() -> HashMap<u64, BTreeSet<Holder>> {
    let mut found: HashMap<u64, BTreeSet<Holder>> = HashMap::new();
    for pid in processes::all() {
        let name = processes::name(pid).unwrap_or_default();
        for (fd, inode) in sockets_of(pid) {
            let name = name.clone();
            found.entry(inode).or_default().insert(Holder { name, pid, fd });
        }
    }
    found
}

fn sockets_of(pid: u32) -> impl Iterator<Item = (u32, u64)> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    entries.filter_map(|entry| {
        let target = fs::read_link(entry.path()).ok()?;
        let inode = target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
        Some((entry.file_name().to_str()?.parse().ok()?, inode.parse().ok()?))
    })
}

#[cfg(test)]
mod tests {
    use std::os::fd::{AsFd, AsRawFd};
    use std::os::unix::net::UnixStream;
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn whoever_holds_the_other_end_is_found() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let inode = rustix::fs::fstat(ours.as_fd()).unwrap().st_ino;
        let line = format!(r#"{{"place":"ustcp","family":4,"state":"ESTABLISHED","inode":{inode}}}"#);
        let socket: Socket = serde_json::from_str(&line).unwrap();
        let users = Users::find().unwrap();
        let holders = users.of(&socket).unwrap();
        let (pid, fd) = (std::process::id(), theirs.as_raw_fd());
        assert!(
            holders
                .0
                .iter()
                .any(|holder| (holder.pid, holder.fd) == (pid, fd.cast_unsigned())),
            "{holders}"
        );
        assert!(holders.to_string().contains(&format!("\",pid={pid},fd={fd})")));
        drop((ours, theirs));
        // Another test's child, forked a moment ago, has it as well until it ends.
        let patience = Instant::now() + Duration::from_secs(20);
        while Users::find().unwrap().of(&socket).is_some() {
            assert!(Instant::now() < patience, "somebody still has it");
            std::thread::yield_now();
        }
    }

    #[test]
    fn what_is_no_answer_is_no_loop() {
        let mut found = HashMap::new();
        assert!(take(&[0; 64], &mut found).is_err());
        let mut short = [0; 20];
        short[4..6].copy_from_slice(&BY_FAMILY.to_ne_bytes());
        assert!(take(&short, &mut found).unwrap());
        assert!(found.is_empty());
        assert_eq!(pair(&[0; 40]), None);
    }
}
