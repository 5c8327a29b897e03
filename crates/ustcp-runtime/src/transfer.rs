//! The bytes of one send or recv, over several turns and several slices.

use std::io::{IoSlice, IoSliceMut};

use ustcp_proto::{Error, Framing, Instant, SocketId, Stack};

use crate::{RecvFlags, SendFlags};

/// What bytes are sent through: a stack, and the way out for its packets.
pub(crate) trait Outlet {
    /// The stack.
    fn stack(&mut self) -> &mut Stack;
    /// Lets out what the stack has to send.
    fn transmit(&mut self, now: Instant);
}

/// Bytes copied before what can go is sent: the peer begins while we copy on.
const CHUNK: usize = 256 * 1024;

/// One send.
pub(crate) struct Sending<'a> {
    data: &'a [IoSlice<'a>],
    flags: SendFlags,
    taken: usize,
    /// It has still to connect (`MSG_FASTOPEN`).
    opens: bool,
}

impl<'a> Sending<'a> {
    pub(crate) fn new(data: &'a [IoSlice<'a>], flags: SendFlags) -> Sending<'a> {
        Sending {
            data,
            flags,
            taken: 0,
            opens: flags.fast_open,
        }
    }

    /// Bytes the stack has taken so far.
    pub(crate) fn taken(&self) -> usize {
        self.taken
    }

    /// Gives the stack what it takes. `None`: there is more, and no room for it.
    pub(crate) fn go_on(
        &mut self,
        outlet: &mut impl Outlet,
        now: Instant,
        id: SocketId,
    ) -> Option<Result<usize, Error>> {
        if std::mem::take(&mut self.opens)
            && let Err(error) = self.open(outlet.stack(), now, id)
        {
            return Some(Err(error));
        }
        if self.data.iter().all(|slice| slice.is_empty()) {
            return Some(outlet.stack().send(now, id, &[]));
        }
        let mut skip = self.taken;
        for slice in self.data {
            let rest = slice.get(skip.min(slice.len())..).unwrap_or_default();
            skip -= slice.len() - rest.len();
            for chunk in rest.chunks(CHUNK) {
                match self.give(outlet, now, id, chunk) {
                    Ok(true) => {}
                    Ok(false) => return None,
                    Err(result) => return Some(result),
                }
            }
        }
        Some(Ok(self.taken))
    }

    /// `MSG_FASTOPEN`: what goes with the SYN. `InProgress`: nothing does, but the attempt has begun.
    fn open(&mut self, stack: &mut Stack, now: Instant, id: SocketId) -> Result<(), Error> {
        let towards = self.flags.towards.ok_or(Error::InvalidArgument)?;
        let first = self.data.iter().find(|slice| !slice.is_empty());
        let first = first.map_or(&[][..], |slice| slice.get(..slice.len().min(CHUNK)).unwrap_or(slice));
        self.taken = stack.connect_with(now, id, towards, first)?;
        Ok(())
    }

    /// `Ok(false)`: no more room. `Err`: the call is over.
    fn give(
        &mut self,
        outlet: &mut impl Outlet,
        now: Instant,
        id: SocketId,
        chunk: &[u8],
    ) -> Result<bool, Result<usize, Error>> {
        // What has been taken is told first; the error stays for the next call.
        if self.taken > 0 && outlet.stack().readiness(id).is_ok_and(|readiness| readiness.error) {
            return Err(Ok(self.taken));
        }
        let mut rest = chunk;
        while !rest.is_empty() {
            match self.offer(outlet.stack(), now, id, rest) {
                Ok(taken) => {
                    self.taken += taken;
                    rest = rest.get(taken..).unwrap_or_default();
                }
                Err(Error::WouldBlock) => return Ok(false),
                Err(_) if self.taken > 0 => return Err(Ok(self.taken)),
                Err(error) => return Err(Err(error)),
            }
            if chunk.len() == CHUNK || !rest.is_empty() {
                outlet.transmit(now); // what is on its way may make room, see TCP_NOTSENT_LOWAT
            }
        }
        Ok(true)
    }

    /// Of a call's bytes, those before the last do not go in small pieces.
    fn offer(&self, stack: &mut Stack, now: Instant, id: SocketId, bytes: &[u8]) -> Result<usize, Error> {
        let all: usize = self.data.iter().map(|slice| slice.len()).sum();
        let last = self.taken + bytes.len() >= all;
        let urgent = self.flags.urgent; // and then nothing waits for more
        let framing = Framing {
            more: !urgent && (self.flags.more || !last),
            ends_record: !urgent && self.flags.end_of_record && last,
            urgent,
        };
        stack.send_framed(now, id, bytes, framing)
    }
}

/// One recv.
pub(crate) struct Receiving<'a, 'b> {
    into: &'a mut [IoSliceMut<'b>],
    flags: RecvFlags,
    taken: usize,
}

impl<'a, 'b> Receiving<'a, 'b> {
    pub(crate) fn new(into: &'a mut [IoSliceMut<'b>], flags: RecvFlags) -> Receiving<'a, 'b> {
        Receiving { into, flags, taken: 0 }
    }

    /// Bytes moved (or seen, with `MSG_PEEK`) so far.
    pub(crate) fn taken(&self) -> usize {
        self.taken
    }

    /// Moves what is there. `None`: nothing yet, or not yet all that `MSG_WAITALL` wants.
    pub(crate) fn go_on(&mut self, stack: &mut Stack, now: Instant, id: SocketId) -> Option<Result<usize, Error>> {
        if self.flags.urgent {
            return Some(self.take_urgent(stack, now, id));
        }
        if self.flags.peek {
            self.taken = 0; // every look is from the beginning
        }
        let mut skip = self.taken;
        for slice in self.into.iter_mut() {
            let at = skip.min(slice.len());
            skip -= at;
            let room = slice.get_mut(at..).unwrap_or_default();
            if room.is_empty() {
                continue;
            }
            match fill(stack, now, id, room, self.flags, self.taken) {
                Ok(0) => return Some(Ok(self.taken)), // the end of the stream
                Ok(filled) => self.taken += filled,
                Err(Error::WouldBlock) => break,
                Err(_) if self.taken > 0 => return Some(Ok(self.taken)),
                Err(error) => return Some(Err(error)),
            }
        }
        self.verdict(stack, now, id)
    }

    /// `MSG_OOB`: the urgent byte into the first room there is.
    fn take_urgent(&mut self, stack: &mut Stack, now: Instant, id: SocketId) -> Result<usize, Error> {
        let byte = stack.recv_urgent(now, id, self.flags.peek)?;
        let room = self.into.iter_mut().find_map(|slice| slice.first_mut());
        let (Some(byte), Some(place)) = (byte, room) else {
            return Ok(0); // the end of the stream, or nowhere to put it
        };
        *place = byte;
        Ok(1)
    }

    fn verdict(&self, stack: &mut Stack, now: Instant, id: SocketId) -> Option<Result<usize, Error>> {
        let wanted: usize = self.into.iter().map(|slice| slice.len()).sum();
        if wanted == 0 {
            return Some(match stack.recv(now, id, &mut []) {
                Err(Error::WouldBlock) => Ok(0),
                result => result,
            });
        }
        let broken = || stack.readiness(id).is_ok_and(|readiness| readiness.error);
        let target = if self.flags.wait_all {
            wanted
        } else {
            // SO_RCVLOWAT
            stack.options(id).map_or(1, |options| options.receive_low).min(wanted)
        };
        let enough = self.taken >= target || broken();
        (self.taken > 0 && enough).then_some(Ok(self.taken))
    }
}

/// Fills `into` as far as it goes. An error that waits behind bytes stays for the next call.
fn fill(
    stack: &mut Stack,
    now: Instant,
    id: SocketId,
    into: &mut [u8],
    flags: RecvFlags,
    taken: usize,
) -> Result<usize, Error> {
    if taken > 0 && !flags.peek && stack.queued_in(id)? == 0 {
        let ended = stack.readiness(id)?;
        return if ended.error || !ended.read_closed {
            Err(Error::WouldBlock)
        } else {
            Ok(0)
        };
    }
    match (flags.peek, flags.truncate) {
        (true, _) => stack.peek(id, taken, into),
        (false, true) => stack.discard(now, id, into.len()),
        (false, false) => stack.recv(now, id, into),
    }
}
