//! connect(2).

use core::net::SocketAddr;

use rustix::fs::{OFlags, fcntl_getfl};
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, socket_timeout};

use super::address::{self, Named};
use crate::engine::{Engine, Question};
use crate::protocol::{Address, Operation, Standing};
use crate::sys::message::discard;
use crate::sys::{Socket, Source};

impl Engine {
    /// connect(2). A cancellation point.
    pub fn connect(&self, socket: &Socket, address: Source) -> Result<(), Errno> {
        match address::of_connect(address, socket.tag.is_v6)? {
            Named::Somebody(peer) => self.connect_to(socket, peer),
            Named::Nobody => self.disconnect(socket),
        }
    }

    /// The same to an address that was read already. A cancellation point.
    pub fn connect_to(&self, socket: &Socket, peer: SocketAddr) -> Result<(), Errno> {
        if socket.standing != Standing::Idle && socket.is_attached() {
            return self.ask_to_connect(socket, peer);
        }
        self.attach(socket)?;
        socket.mark(Standing::Plain)?;
        let asked = self.ask_to_connect(socket, peer);
        if asked.is_err_and(|errno| !matches!(errno, Errno::INPROGRESS | Errno::ALREADY | Errno::INTR | Errno::ISCONN))
        {
            socket.mark(Standing::Idle)?; // nothing has begun
        }
        asked
    }

    fn ask_to_connect(&self, socket: &Socket, peer: SocketAddr) -> Result<(), Errno> {
        self.ask_fresh(socket, || match fcntl_getfl(socket)?.contains(OFlags::NONBLOCK) {
            true => self.ask(question(socket, 0), &Address(peer).to_bytes()).map(drop),
            false => self.connect_and_wait(socket, peer),
        })
    }

    /// The attempt goes on when the wait has ended, by a signal or by `SO_SNDTIMEO`. After that time Linux says whether this
    /// call had begun the attempt.
    fn connect_and_wait(&self, socket: &Socket, peer: SocketAddr) -> Result<(), Errno> {
        let payload = Address(peer).to_bytes();
        let mut late = Errno::INPROGRESS;
        if socket_timeout(socket, Timeout::Send)?.is_some() {
            match self.ask(question(socket, 0), &payload) {
                Err(errno @ (Errno::INPROGRESS | Errno::ALREADY)) => late = errno,
                result => return result.map(drop),
            }
        }
        match self.ask_and_wait(socket, question(socket, 1), Source::of(&payload)) {
            Err(Errno::AGAIN) => Err(late),
            result => result.map(drop),
        }
    }

    /// connect(2) with `AF_UNSPEC`. The stream is spent, and a fresh one takes its place when the socket begins anew; until
    /// then there is nothing to read in it.
    fn disconnect(&self, socket: &Socket) -> Result<(), Errno> {
        if !socket.is_attached() {
            return Ok(());
        }
        self.ask(Question::of(socket, Operation::Disconnect), &[])?;
        if socket.listens() {
            socket.mark(Standing::Plain)?;
        }
        rustix::net::shutdown(socket, rustix::net::Shutdown::Read)?;
        while discard(socket, usize::MAX, libc::MSG_DONTWAIT).is_ok_and(|bytes| bytes > 0) {}
        Ok(())
    }
}

fn question(socket: &Socket, waits: u32) -> Question {
    Question {
        a: waits,
        ..Question::of(socket, Operation::Connect)
    }
}
