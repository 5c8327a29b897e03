//! A server whose program has its share of memory, all of it in one connection that it does not read: the others go on as
//! fast as it reads them and their peers acknowledge. In particular nobody is ever left to its retransmission timer.

#![allow(clippy::unwrap_used, reason = "a test that fails loudly")]

use core::time::Duration;

use ustcp_proto::{Config, Error, Info, Owner};
use ustcp_sim::{HostId, Network, Socket};

const OWNER: Owner = Owner { process: 1, user: 7 };

/// What the owner may have: a quarter of `tcp_mem`.
const SHARE: usize = 1 << 20;

struct Server {
    network: Network,
    client: HostId,
    listener: Socket,
}

impl Server {
    fn new() -> Server {
        let mut network = Network::new();
        let client = network.add_host(Network::host_config(1));
        let server = network.add_host(Config {
            memory_limit: 4 * SHARE,
            receive_buffer: 2 * SHARE,
            ..Network::host_config(2)
        });
        network.link(client, server, &"delay=2ms".parse().unwrap());
        let listener = network.listen(server, 80).unwrap();
        let mut server = Server {
            network,
            client,
            listener,
        };
        server.set_owner(listener);
        server
    }

    fn set_owner(&mut self, socket: Socket) {
        let now = self.network.now();
        let stack = self.network.stack_mut(socket.host);
        let mut options = stack.options(socket.id).unwrap();
        options.owner = Some(OWNER);
        stack.set_options(now, socket.id, options).unwrap();
    }

    /// A connection to it: the client's end, and its own.
    fn open(&mut self) -> (Socket, Socket) {
        let here = self.network.connect(self.client, self.listener.host, 80).unwrap();
        (here, self.network.accept(self.listener).unwrap())
    }

    /// A connection that is not read takes all that its owner may have.
    fn fill_up(&mut self) {
        let (here, there) = self.open();
        for _ in 0..1000 {
            self.write(here, 64 * 1024);
            self.network.run_for(Duration::from_millis(1)).unwrap();
        }
        assert!(self.network.stack(there.host).queued_in(there.id).unwrap() > SHARE * 3 / 4);
    }

    /// So much as is taken of it.
    fn write(&mut self, socket: Socket, len: usize) -> usize {
        let now = self.network.now();
        match self.network.stack_mut(socket.host).send(now, socket.id, &vec![7; len]) {
            Err(Error::WouldBlock) => 0,
            taken => taken.unwrap(),
        }
    }

    fn read(&mut self, socket: Socket, most: usize) -> usize {
        let now = self.network.now();
        let stack = self.network.stack_mut(socket.host);
        match stack.recv(now, socket.id, &mut vec![0; most]) {
            Err(Error::WouldBlock) => 0,
            read => read.unwrap(),
        }
    }

    /// One end writes as much as it can and the other reads up to `most` bytes now and then, `bytes` in all. The number of
    /// times that there was something to read, and what became of the sender.
    fn carry(&mut self, (from, to): (Socket, Socket), bytes: usize, most: usize) -> (usize, Info) {
        let (mut got, mut reads) = (0, 0);
        for _ in 0..1_000_000 {
            self.write(from, 64 * 1024);
            self.network.run_for(Duration::from_millis(20)).unwrap();
            let count = self.read(to, most);
            got += count;
            reads += usize::from(count > 0);
            if got >= bytes {
                break;
            }
        }
        assert!(got >= bytes, "{got}");
        let now = self.network.now();
        (reads, self.network.stack(from.host).info(now, from.id).unwrap())
    }
}

/// What comes is read at leisure: each read brings segments of the next text, and none is sent twice.
#[test]
fn a_reader_at_leisure_is_sent_more_with_each_read() {
    for most in [2000, 10_000, 1 << 20] {
        let mut server = Server::new();
        server.fill_up();
        let ends = server.open();
        let (reads, sender) = server.carry(ends, 400_000, most);
        assert_eq!((sender.total_retrans, sender.timeouts), (0, 0), "{most}");
        assert!(400_000 / reads >= most.min(10 * 1448), "{reads} reads of {most}");
    }
}

/// The other way: a peer takes it at leisure.
#[test]
fn a_writer_goes_on_with_each_acknowledgement() {
    let mut server = Server::new();
    server.fill_up();
    let (here, there) = server.open();
    let (reads, sender) = server.carry((there, here), 400_000, 1 << 20);
    assert_eq!((sender.total_retrans, sender.timeouts), (0, 0));
    assert!(400_000 / reads >= 10 * 1448, "{reads} reads");
}

/// What was on its way when it came to that is lost, and found to be so once; after that nothing is sent in vain.
#[test]
fn what_was_on_its_way_is_lost_once() {
    let mut server = Server::new();
    let ends = server.open();
    server.carry(ends, 400_000, 1 << 20);
    server.fill_up();
    let (_, before) = server.carry(ends, 200_000, 1 << 20);
    assert!(before.timeouts <= 1, "{}", before.timeouts);
    let (reads, after) = server.carry(ends, 400_000, 1 << 20);
    assert_eq!(
        (after.total_retrans, after.timeouts),
        (before.total_retrans, before.timeouts)
    );
    assert!(400_000 / reads >= 10 * 1448, "{reads} reads");
}
