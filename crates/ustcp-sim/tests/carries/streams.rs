//! Two streams of text, one each way over one connection, made and checked as they flow.

use core::time::Duration;

use ustcp_proto::{Census, Config, Error, Instant};
use ustcp_sim::{Failure, HostId, Network, Socket, Weather};

/// How much is handed to a stack in one call, and taken from it.
const PIECE: usize = 16 * 1024;
const MEBIBYTE: u64 = 1 << 20;

/// MiB each way: `USTCP_SIM_MIB`, or so many.
pub(crate) fn size(or: u64) -> u64 {
    let told = std::env::var("USTCP_SIM_MIB");
    told.map_or(or, |text| text.parse().expect("USTCP_SIM_MIB is a number")) * MEBIBYTE
}

/// Two hosts, one connection, and text that flows each way.
pub(crate) struct Streams {
    pub(crate) network: Network,
    pub(crate) hosts: [HostId; 2],
    ways: [Way; 2],
    size: u64,
}

/// Text from one end to the other. The byte at each place follows from the place, so nothing is held.
struct Way {
    from: Socket,
    to: Socket,
    key: u64,
    sent: u64,
    heard: u64,
    ended: bool,
}

impl Streams {
    /// A connection over links of these weathers, there and back; `size` bytes will flow each way.
    pub(crate) fn begin(configs: [Config; 2], weathers: [Weather; 2], size: u64) -> Result<Streams, Failure> {
        let mut network = Network::new();
        let [a, b] = configs.map(|config| network.add_host(Config { trace: false, ..config }));
        let [there, back] = weathers;
        network.link_one_way(a, b, there);
        network.link_one_way(b, a, back);
        let (here, there) = network.open(a, b, 80)?;
        let ways = [(here, there, 1), (there, here, 2)].map(|(from, to, key)| Way::new(from, to, key));
        Ok(Streams {
            network,
            hosts: [a, b],
            ways,
            size,
        })
    }

    /// Bytes that have arrived, each way.
    pub(crate) fn heard(&self) -> [u64; 2] {
        self.ways.each_ref().map(|way| way.heard)
    }

    /// Lets them flow until both have arrived whole, FIN included.
    pub(crate) fn run_out(&mut self, limit: Duration) -> Result<(), Failure> {
        self.run_until(limit, |ways, _| ways.iter().all(|way| way.ended))
    }

    /// Lets them flow until both have moved by so much.
    pub(crate) fn run_on(&mut self, by: u64, limit: Duration) -> Result<(), Failure> {
        let goals = self.heard().map(|heard| (heard + by).min(self.size));
        self.run_until(limit, |ways, _| {
            ways.iter().zip(goals).all(|(way, goal)| way.heard >= goal)
        })
    }

    /// Lets them flow until either has moved, or both are whole: whether they are.
    pub(crate) fn run_on_either(&mut self, limit: Duration) -> Result<bool, Failure> {
        let before = self.heard();
        let is_whole = |ways: &[Way; 2]| ways.iter().all(|way| way.ended);
        self.run_until(limit, |ways, _| {
            is_whole(ways) || ways.iter().zip(before).any(|(way, before)| way.heard > before)
        })?;
        Ok(is_whole(&self.ways))
    }

    /// Lets them flow until then.
    pub(crate) fn run_for(&mut self, time: Duration) -> Result<(), Failure> {
        let end = self.network.now() + time;
        // The clock moves from event to event; where there is none, it stands at the end.
        match self.run_until(time, |_, now| now >= end) {
            Err(Failure::TimeLimit { .. } | Failure::Idle { .. }) => self.network.advance(end),
            outcome => outcome,
        }
    }

    fn run_until(&mut self, limit: Duration, done: impl Fn(&[Way; 2], Instant) -> bool) -> Result<(), Failure> {
        let (ways, size) = (&mut self.ways, self.size);
        let outcome = self.network.run_until(limit, |network| {
            for way in ways.iter_mut() {
                if let Err(failure) = way.flow(network, size) {
                    return Some(Err(failure));
                }
            }
            done(ways, network.now()).then_some(Ok(()))
        });
        outcome?
    }

    /// Closes both ends, lets TIME-WAIT pass, and sees that nothing is left.
    pub(crate) fn close(mut self) -> Result<(), Failure> {
        for way in &self.ways {
            self.network.close(way.from)?;
        }
        self.network.run_until_idle(Duration::from_secs(24 * 3600))?;
        for host in self.hosts {
            assert_eq!(self.network.stack(host).census(), Census::default());
        }
        Ok(())
    }
}

impl Way {
    fn new(from: Socket, to: Socket, key: u64) -> Way {
        Way {
            from,
            to,
            key,
            sent: 0,
            heard: 0,
            ended: false,
        }
    }

    fn flow(&mut self, network: &mut Network, size: u64) -> Result<(), Failure> {
        let (from, to) = (self.from.host, self.to.host);
        let told = |host| move |error| Failure::Call { host, error };
        self.send(network, size).map_err(told(from))?;
        self.hear(network, size).map_err(told(to))
    }

    fn send(&mut self, network: &mut Network, size: u64) -> Result<(), Error> {
        let now = network.now();
        let mut piece = [0; PIECE];
        while self.sent < size {
            let stack = network.stack_mut(self.from.host);
            if !stack.readiness(self.from.id)?.writable {
                return Ok(());
            }
            let len = usize::try_from(size - self.sent).unwrap_or(PIECE).min(PIECE);
            fill(&mut piece[..len], self.key, self.sent);
            match stack.send(now, self.from.id, &piece[..len]) {
                Ok(count) => self.sent += count as u64,
                Err(Error::WouldBlock) => return Ok(()),
                Err(error) => return Err(error),
            }
            if self.sent == size {
                stack.shutdown(now, self.from.id, ustcp_proto::Shutdown::Write)?;
            }
        }
        // All is written: whether it arrived, only the error can tell.
        let failed = network.stack_mut(self.from.host).take_error(self.from.id)?;
        failed.map_or(Ok(()), Err)
    }

    fn hear(&mut self, network: &mut Network, size: u64) -> Result<(), Error> {
        let now = network.now();
        let (mut piece, mut expected) = ([0; PIECE], [0; PIECE]);
        while !self.ended {
            match network.stack_mut(self.to.host).recv(now, self.to.id, &mut piece) {
                Ok(0) => {
                    assert_eq!(self.heard, size, "the stream ended early");
                    self.ended = true;
                }
                Ok(count) => {
                    fill(&mut expected[..count], self.key, self.heard);
                    assert!(piece[..count] == expected[..count], "wrong bytes at {}", self.heard);
                    self.heard += count as u64;
                }
                Err(Error::WouldBlock) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Text from `place` on.
fn fill(text: &mut [u8], key: u64, place: u64) {
    for (byte, at) in text.iter_mut().zip(place..) {
        let word = (at / 8 + key).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        *byte = word.to_le_bytes()[(at % 8) as usize];
    }
}
