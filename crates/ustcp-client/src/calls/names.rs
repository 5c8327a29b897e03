//! getsockname(2) and getpeername(2).

use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use rustix::io::Errno;

use super::address::AddressRoom;
use crate::engine::{Engine, Question};
use crate::protocol::{Address, Operation};
use crate::sys::Socket;

impl Engine {
    /// getsockname(2).
    pub fn local_address(&self, socket: &Socket, room: AddressRoom) -> Result<(), Errno> {
        room.write(self.local(socket)?)
    }

    /// The address that getsockname(2) tells.
    pub fn local(&self, socket: &Socket) -> Result<SocketAddr, Errno> {
        if socket.is_attached() {
            self.address(socket, Operation::LocalAddress)
        } else if socket.tag.is_v6 {
            Ok(SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)))
        } else {
            Ok(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)))
        }
    }

    /// getpeername(2).
    pub fn peer_address(&self, socket: &Socket, room: AddressRoom) -> Result<(), Errno> {
        room.write(self.peer(socket)?)
    }

    /// The address that getpeername(2) tells.
    pub fn peer(&self, socket: &Socket) -> Result<SocketAddr, Errno> {
        if !socket.is_attached() {
            return Err(Errno::NOTCONN);
        }
        self.address(socket, Operation::PeerAddress)
    }

    fn address(&self, socket: &Socket, operation: Operation) -> Result<SocketAddr, Errno> {
        let answer = self.ask(Question::of(socket, operation), &[])?;
        Address::from_payload(answer.payload())
            .map(|address| address.0)
            .ok_or(Errno::PROTO)
    }
}
