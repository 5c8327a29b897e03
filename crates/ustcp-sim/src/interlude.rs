//! Connections that come to nothing, beside the main one: each walks through corners of the state table that a
//! transfer never sees.

use core::net::SocketAddr;

use ustcp_proto::{Error, Family, Shutdown, SocketId, State};

use crate::scenario::Interlude;
use crate::{HostId, Network};

/// An interlude at work: the sockets it still holds.
#[derive(Debug)]
pub(crate) struct Running {
    kind: Interlude,
    /// The client's, and the listener's or that of the other who connects.
    sockets: [Option<(HostId, SocketId)>; 2],
    ends: [(HostId, SocketAddr); 2],
    reopened: bool,
}

impl Running {
    /// Begins; `port` is one that nothing else uses.
    pub(crate) fn begin(
        kind: Interlude,
        network: &mut Network,
        hosts: [HostId; 2],
        port: u16,
    ) -> Result<Running, Error> {
        let [client, server] = hosts;
        let [here, there] = hosts.map(|host| SocketAddr::new(network.address(host), port));
        let sockets = match kind {
            Interlude::Refused => [connect(network, client, None, there)?, None],
            Interlude::ClosedInSynSent
            | Interlude::AbortedInSynSent
            | Interlude::ListenerClosedHalfOpen
            | Interlude::NeverAccepted => {
                let listener = listen(network, server, there)?;
                [connect(network, client, None, there)?, listener]
            }
            Interlude::Reopened => {
                let listener = listen(network, server, there)?;
                [connect(network, client, Some(here), there)?, listener]
            }
            Interlude::ClosedInSynReceived | Interlude::AbortedInSynReceived => [
                connect(network, client, Some(here), there)?,
                connect(network, server, Some(there), here)?,
            ],
        };
        Ok(Running {
            kind,
            sockets,
            ends: [(client, here), (server, there)],
            reopened: false,
        })
    }

    pub(crate) fn is_over(&self) -> bool {
        self.sockets.iter().all(Option::is_none)
    }

    /// Looks at the sockets and does the next thing.
    pub(crate) fn turn(&mut self, network: &mut Network) -> Result<(), Error> {
        if self.kind == Interlude::Reopened {
            return self.turn_reopened(network);
        }
        let [client, other] = self.sockets;
        if let Some((host, id)) = client {
            self.turn_client(network, host, id)?;
        }
        if let Some((host, id)) = other {
            self.turn_other(network, host, id)?;
        }
        Ok(())
    }

    /// The server closes at once and so has TIME-WAIT; the client comes again from the same port.
    fn turn_reopened(&mut self, network: &mut Network) -> Result<(), Error> {
        let [client, listener] = self.sockets;
        let [(here, local), (_, remote)] = self.ends;
        let now = network.now();
        if let Some((host, id)) = listener
            && let Ok((accepted, _)) = network.stack_mut(host).accept(id)
        {
            network.stack_mut(host).close(now, accepted)?;
        }
        match client {
            Some((host, id)) if network.stack(host).readiness(id)?.read_closed => {
                self.close(network, 0)?;
                if self.reopened { self.close(network, 1) } else { Ok(()) }
            }
            Some(_) => Ok(()),
            None => {
                // The port is free when the last ACK has come.
                self.reopened = true;
                self.set_client(connect(network, here, Some(local), remote).unwrap_or(None));
                Ok(())
            }
        }
    }

    fn set_client(&mut self, client: Option<(HostId, SocketId)>) {
        let [_, listener] = self.sockets;
        self.sockets = [client, listener];
    }

    fn turn_client(&mut self, network: &mut Network, host: HostId, id: SocketId) -> Result<(), Error> {
        let now = network.now();
        let state = network.stack(host).state(id)?;
        match self.kind {
            Interlude::ClosedInSynSent => {}
            Interlude::AbortedInSynSent => network.stack_mut(host).abort(now, id)?,
            Interlude::ClosedInSynReceived if state == State::SynReceived => {
                network.stack_mut(host).shutdown(now, id, Shutdown::Write)?;
            }
            Interlude::AbortedInSynReceived if state == State::SynReceived => {
                network.stack_mut(host).abort(now, id)?;
            }
            // It stays until the listener is gone, and then until the RST comes.
            Interlude::ListenerClosedHalfOpen | Interlude::NeverAccepted if state == State::Established => {
                return Ok(());
            }
            _ if is_opening(state) => return Ok(()),
            _ => {}
        }
        self.close(network, 0)
    }

    fn turn_other(&mut self, network: &mut Network, host: HostId, id: SocketId) -> Result<(), Error> {
        let stack = network.stack(host);
        let ready = match self.kind {
            Interlude::Refused | Interlude::ClosedInSynSent | Interlude::AbortedInSynSent | Interlude::Reopened => {
                false
            }
            Interlude::ListenerClosedHalfOpen => stack.census().half_open > 0,
            Interlude::NeverAccepted => stack.readiness(id)?.readable,
            Interlude::ClosedInSynReceived | Interlude::AbortedInSynReceived => !is_opening(stack.state(id)?),
        };
        if ready { self.close(network, 1) } else { Ok(()) }
    }

    /// Closes what is still open.
    pub(crate) fn end(&mut self, network: &mut Network) -> Result<(), Error> {
        self.close(network, 0)?;
        self.close(network, 1)
    }

    fn close(&mut self, network: &mut Network, which: usize) -> Result<(), Error> {
        let now = network.now();
        match self.sockets.get_mut(which).and_then(Option::take) {
            Some((host, id)) => network.stack_mut(host).close(now, id),
            None => Ok(()),
        }
    }
}

fn is_opening(state: State) -> bool {
    matches!(state, State::SynSent | State::SynReceived)
}

fn connect(
    network: &mut Network,
    host: HostId,
    local: Option<SocketAddr>,
    peer: SocketAddr,
) -> Result<Option<(HostId, SocketId)>, Error> {
    let now = network.now();
    let stack = network.stack_mut(host);
    let id = stack.socket(Family::of(peer.ip()))?;
    if let Some(local) = local
        && let Err(error) = stack.bind(id, local)
    {
        stack.close(now, id)?;
        return Err(error);
    }
    match stack.connect(now, id, peer) {
        Ok(()) | Err(Error::InProgress) => Ok(Some((host, id))),
        Err(error) => {
            stack.close(now, id)?;
            Err(error)
        }
    }
}

fn listen(network: &mut Network, host: HostId, local: SocketAddr) -> Result<Option<(HostId, SocketId)>, Error> {
    let now = network.now();
    let stack = network.stack_mut(host);
    let id = stack.socket(Family::of(local.ip()))?;
    stack.bind(id, local)?;
    stack.listen(now, id, 8)?;
    Ok(Some((host, id)))
}
