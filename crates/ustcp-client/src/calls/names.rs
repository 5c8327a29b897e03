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
        let address = if socket.is_attached() {
            self.address(socket, Operation::LocalAddress)?
        } else if socket.tag.is_v6 {
            SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0))
        } else {
            SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))
        };
        room.write(address)
    }

    /// getpeername(2).
    pub fn peer_address(&self, socket: &Socket, room: AddressRoom) -> Result<(), Errno> {
        if !socket.is_attached() {
            return Err(Errno::NOTCONN);
        }
        room.write(self.address(socket, Operation::PeerAddress)?)
    }

    fn address(&self, socket: &Socket, operation: Operation) -> Result<SocketAddr, Errno> {
        let answer = self.ask(Question::of(socket, operation), &[])?;
        Address::from_payload(answer.payload())
            .map(|address| address.0)
            .ok_or(Errno::PROTO)
    }
}
