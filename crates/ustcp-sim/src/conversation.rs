//! Socket calls that block, in virtual time: what a test or a demonstration says in one line.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;

use ustcp_proto::{Error, Family, Shutdown, SocketId, State};

use crate::{Failure, HostId, Network};

/// Longest virtual time that a blocking call here waits.
const PATIENCE: Duration = Duration::from_secs(24 * 3600);

/// A socket and the host it is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Socket {
    /// Where.
    pub host: HostId,
    /// Which.
    pub id: SocketId,
}

enum Stream {
    Open,
    Ended,
}

impl Network {
    /// The first address of a host; 0.0.0.0 when it has none.
    #[must_use]
    pub fn address(&self, host: HostId) -> IpAddr {
        let first = self.stack(host).config().addresses.first();
        first.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |cidr| cidr.address)
    }

    /// A listener on `port` of the host's first address.
    pub fn listen(&mut self, host: HostId, port: u16) -> Result<Socket, Failure> {
        let address = SocketAddr::new(self.address(host), port);
        let now = self.now();
        self.call(host, |stack| {
            let id = stack.socket(Family::of(address.ip()))?;
            stack.bind(id, address)?;
            stack.listen(now, id, 128)?;
            Ok(Socket { host, id })
        })
    }

    /// Begins to connect to `port` of another host and does not wait.
    pub fn start_connect(&mut self, from: HostId, to: HostId, port: u16) -> Result<Socket, Failure> {
        let address = SocketAddr::new(self.address(to), port);
        let now = self.now();
        let socket = self.call(from, |stack| {
            let id = stack.socket(Family::of(address.ip()))?;
            match stack.connect(now, id, address) {
                Ok(()) | Err(Error::InProgress) => Ok(Socket { host: from, id }),
                Err(error) => Err(error),
            }
        })?;
        self.settle()?;
        Ok(socket)
    }

    /// Connects to `port` of another host and waits until the connection stands.
    pub fn connect(&mut self, from: HostId, to: HostId, port: u16) -> Result<Socket, Failure> {
        let socket = self.start_connect(from, to, port)?;
        self.wait_for(socket.host, |network| {
            let readiness = network.stack(from).readiness(socket.id)?;
            match network.stack_mut(from).take_error(socket.id)? {
                Some(error) => Err(error),
                None if readiness.writable => Ok(socket),
                None => Err(Error::WouldBlock),
            }
        })
    }

    /// Waits for a connection.
    pub fn accept(&mut self, listener: Socket) -> Result<Socket, Failure> {
        let host = listener.host;
        let (id, _) = self.wait_for(host, |network| network.stack_mut(host).accept(listener.id))?;
        Ok(Socket { host, id })
    }

    /// A connection from `client` to `port` of `server`: the two ends, client's first. The listener is closed again.
    pub fn open(&mut self, client: HostId, server: HostId, port: u16) -> Result<(Socket, Socket), Failure> {
        let listener = self.listen(server, port)?;
        let here = self.connect(client, server, port)?;
        let there = self.accept(listener)?;
        self.close(listener)?;
        Ok((here, there))
    }

    /// Sends `bytes` from one end and waits until the other has read as many: what it read.
    pub fn transfer(&mut self, from: Socket, to: Socket, bytes: &[u8]) -> Result<Vec<u8>, Failure> {
        let mut left = bytes;
        let mut heard = Vec::new();
        let mut buffer = [0; 16 * 1024];
        self.wait_for(from.host, |network| {
            left = network.send_some(from, left)?;
            network.receive_some(to, &mut buffer, &mut heard)?;
            if heard.len() >= bytes.len() {
                Ok(())
            } else {
                Err(Error::WouldBlock)
            }
        })?;
        Ok(heard)
    }

    /// Reads until the end of the stream: what it read.
    pub fn receive_to_end(&mut self, socket: Socket) -> Result<Vec<u8>, Failure> {
        let mut heard = Vec::new();
        let mut buffer = [0; 16 * 1024];
        self.wait_for(socket.host, |network| {
            match network.receive_some(socket, &mut buffer, &mut heard)? {
                Stream::Open => Err(Error::WouldBlock),
                Stream::Ended => Ok(()),
            }
        })?;
        Ok(heard)
    }

    fn send_some<'b>(&mut self, socket: Socket, mut bytes: &'b [u8]) -> Result<&'b [u8], Error> {
        let now = self.now();
        while !bytes.is_empty() {
            match self.stack_mut(socket.host).send(now, socket.id, bytes) {
                Ok(count) => bytes = bytes.get(count..).unwrap_or(&[]),
                Err(Error::WouldBlock) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(bytes)
    }

    fn receive_some(&mut self, socket: Socket, buffer: &mut [u8], heard: &mut Vec<u8>) -> Result<Stream, Error> {
        let now = self.now();
        loop {
            match self.stack_mut(socket.host).recv(now, socket.id, buffer) {
                Ok(0) => return Ok(Stream::Ended),
                Ok(count) => heard.extend_from_slice(buffer.get(..count).unwrap_or(buffer)),
                Err(Error::WouldBlock) => return Ok(Stream::Open),
                Err(error) => return Err(error),
            }
        }
    }

    /// Closes the sending half: FIN when all is sent.
    pub fn shutdown(&mut self, socket: Socket) -> Result<(), Failure> {
        let now = self.now();
        self.call(socket.host, |stack| stack.shutdown(now, socket.id, Shutdown::Write))?;
        self.settle()
    }

    /// Gives a socket up.
    pub fn close(&mut self, socket: Socket) -> Result<(), Failure> {
        let now = self.now();
        self.call(socket.host, |stack| stack.close(now, socket.id))?;
        self.settle()
    }

    /// The state of a connection; CLOSED when the socket is gone.
    #[must_use]
    pub fn state(&self, socket: Socket) -> State {
        self.stack(socket.host).state(socket.id).unwrap_or(State::Closed)
    }

    /// Steps until the connection is in `state`.
    pub fn wait_for_state(&mut self, socket: Socket, state: State) -> Result<(), Failure> {
        self.run_until(PATIENCE, |network| (network.state(socket) == state).then_some(()))
    }

    fn call<T>(
        &mut self,
        host: HostId,
        call: impl FnOnce(&mut ustcp_proto::Stack) -> Result<T, Error>,
    ) -> Result<T, Failure> {
        call(self.stack_mut(host)).map_err(|error| Failure::Call { host, error })
    }

    /// Steps until `attempt` says something else than "would block".
    fn wait_for<T>(
        &mut self,
        host: HostId,
        mut attempt: impl FnMut(&mut Network) -> Result<T, Error>,
    ) -> Result<T, Failure> {
        let outcome = self.run_until(PATIENCE, |network| match attempt(network) {
            Err(Error::WouldBlock) => None,
            outcome => Some(outcome),
        })?;
        outcome.map_err(|error| Failure::Call { host, error })
    }
}
