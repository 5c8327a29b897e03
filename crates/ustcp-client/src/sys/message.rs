//! `struct msghdr` of the program, and its bytes natively in and out.

use libc::{c_int, iovec, msghdr};
use rustix::io::Errno;

use super::{Sink, Socket, Source, wait_in};

/// A message's header as the program has it. What it points to is the program's, and may be anything.
#[derive(Clone, Copy, Debug)]
pub struct Message {
    header: msghdr,
    len: usize,
}

impl Message {
    /// Copies it in. `EFAULT`.
    pub fn read(from: Source) -> Result<Message, Errno> {
        let mut bytes = [0; size_of::<msghdr>()];
        from.read(&mut bytes)?;
        // SAFETY: of one size, and any bytes are pointers and numbers as long as nobody follows them.
        let header: msghdr = unsafe { core::mem::transmute(bytes) };
        let len = header.msg_iovlen as usize;
        Ok(Message { header, len })
    }

    /// Of pieces of the program alone; `None` where writev(2) would take none, or so many.
    #[must_use]
    pub fn of_pieces(pieces: *const iovec, count: c_int) -> Option<Message> {
        let len = usize::try_from(count)
            .ok()
            .filter(|len| (1..=libc::UIO_MAXIOV as usize).contains(len))?;
        // SAFETY: zeros are such a header.
        let mut header: msghdr = unsafe { core::mem::zeroed() };
        header.msg_iov = pieces.cast_mut();
        header.msg_iovlen = len as _;
        Some(Message { header, len })
    }

    /// Its name. As Linux: of a longer one than any address is the beginning counts; a negative length stays what it is.
    #[must_use]
    pub fn name(&self) -> Source {
        let len = self.header.msg_namelen as usize;
        let longest = if self.header.msg_namelen.cast_signed() < 0 {
            len
        } else {
            size_of::<libc::sockaddr_storage>()
        };
        // SAFETY: what the header names is the call's to read.
        unsafe { Source::new(self.header.msg_name, len) }.first(longest)
    }

    /// How many pieces it has.
    #[must_use]
    pub fn pieces(&self) -> usize {
        self.len
    }

    /// One of its pieces. `EFAULT`.
    pub fn piece(&self, index: usize) -> Result<Source, Errno> {
        let piece = self.vector(index)?;
        // SAFETY: what a piece points to is the call's to read.
        Ok(unsafe { Source::new(piece.iov_base, piece.iov_len) })
    }

    fn vector(&self, index: usize) -> Result<iovec, Errno> {
        let mut bytes = [0; size_of::<iovec>()];
        // SAFETY: what the header points to is the call's to read.
        unsafe { Source::new(self.header.msg_iov.wrapping_add(index).cast(), bytes.len()) }.read(&mut bytes)?;
        // SAFETY: of one size, and any bytes are a pointer and a number.
        Ok(unsafe { core::mem::transmute::<[u8; size_of::<iovec>()], iovec>(bytes) })
    }

    /// How many bytes its pieces have room for. `EFAULT`.
    pub fn room(&self) -> Result<usize, Errno> {
        (0..self.len.min(libc::UIO_MAXIOV as usize))
            .try_fold(0_usize, |room, index| Ok(room.saturating_add(self.piece(index)?.len())))
    }

    /// The rest of the piece that the bytes after the first `taken` begin in. `EFAULT`.
    pub(crate) fn room_after(&self, mut taken: usize) -> Result<Sink, Errno> {
        for index in 0..self.len.min(libc::UIO_MAXIOV as usize) {
            let piece = self.vector(index)?;
            if taken < piece.iov_len {
                // SAFETY: what a piece points to is the call's to write.
                return Ok(unsafe { Sink::new(piece.iov_base, piece.iov_len) }.after(taken));
            }
            taken -= piece.iov_len;
        }
        Ok(Sink::of(&mut []))
    }

    /// sendmsg(2) of its pieces alone. A cancellation point.
    pub fn send(&self, socket: &Socket, flags: c_int) -> Result<usize, Errno> {
        let mut header = self.bare();
        header.msg_control = core::ptr::null_mut();
        header.msg_controllen = 0;
        let arguments = [
            socket.number() as usize,
            &raw const header as usize,
            flags as usize,
            0,
            0,
            0,
        ];
        // SAFETY: `header` lives across the call, and the kernel checks what it points to; nothing is to be dropped.
        unsafe { wait_in(libc::SYS_sendmsg, arguments) }
    }

    /// recvmsg(2) without a name; what else the call has written into the header goes to the program's. A cancellation
    /// point.
    pub fn receive(&self, socket: &Socket, flags: c_int, program: Sink) -> Result<usize, Errno> {
        if !self.header.msg_name.is_null() && self.header.msg_namelen.cast_signed() < 0 {
            return Err(Errno::INVAL);
        }
        let mut header = self.bare();
        let arguments = [
            socket.number() as usize,
            &raw mut header as usize,
            flags as usize,
            0,
            0,
            0,
        ];
        // SAFETY: as in `send`.
        let bytes = unsafe { wait_in(libc::SYS_recvmsg, arguments) }?;
        self.tell(header, program)?;
        Ok(bytes)
    }

    /// What recvmsg(2) writes into the program's header at the end of the stream.
    pub fn tell_end(&self, program: Sink) -> Result<(), Errno> {
        let mut header = self.bare();
        header.msg_controllen = 0;
        header.msg_flags = 0;
        self.tell(header, program)
    }

    /// As Linux: who wants no name has its length left alone.
    fn tell(&self, mut header: msghdr, program: Sink) -> Result<(), Errno> {
        header.msg_name = self.header.msg_name;
        if header.msg_name.is_null() {
            header.msg_namelen = self.header.msg_namelen;
        }
        // SAFETY: `header` is ours.
        let written = unsafe { Source::new((&raw const header).cast(), size_of::<msghdr>()) };
        program.write_from(written).map(drop)
    }

    fn bare(&self) -> msghdr {
        let mut header = self.header;
        header.msg_name = core::ptr::null_mut();
        header.msg_namelen = 0;
        header
    }
}

/// send(2) of the program's bytes. A cancellation point.
pub fn transmit(socket: &Socket, bytes: Source, flags: c_int) -> Result<usize, Errno> {
    let piece = bytes.vector();
    let arguments = [
        socket.number() as usize,
        piece.iov_base as usize,
        piece.iov_len,
        flags as usize,
        0,
        0,
    ];
    // SAFETY: the bytes are the call's to read, and the kernel checks them; nothing is to be dropped.
    unsafe { wait_in(libc::SYS_sendto, arguments) }
}

/// recv(2) into the program's memory. A cancellation point.
pub fn receive(socket: &Socket, into: Sink, flags: c_int) -> Result<usize, Errno> {
    let piece = into.vector();
    let arguments = [
        socket.number() as usize,
        piece.iov_base as usize,
        piece.iov_len,
        flags as usize,
        0,
        0,
    ];
    // SAFETY: the room is the call's to write, and the kernel checks it; nothing is to be dropped.
    unsafe { wait_in(libc::SYS_recvfrom, arguments) }
}

/// Where the bytes of `MSG_TRUNC` go; nobody looks at them, so it does not matter who writes.
static mut BIN: [u8; 64 << 10] = [0; 64 << 10];

/// recv(2) of `len` bytes to nowhere: what `MSG_TRUNC` is on TCP. A cancellation point.
pub fn discard(socket: &Socket, len: usize, flags: c_int) -> Result<usize, Errno> {
    let bin = iovec {
        iov_base: (&raw mut BIN).cast(),
        iov_len: size_of::<[u8; 64 << 10]>(),
    };
    let mut vectors = [bin; 16];
    let mut rest = len;
    for vector in &mut vectors {
        vector.iov_len = vector.iov_len.min(rest);
        rest -= vector.iov_len;
    }
    let mut message = super::message(&mut vectors);
    let arguments = [
        socket.number() as usize,
        &raw mut message as usize,
        flags as usize,
        0,
        0,
        0,
    ];
    // SAFETY: `message` and its vectors live across the call; the bin is the kernel's to write; nothing is to be dropped.
    unsafe { wait_in(libc::SYS_recvmsg, arguments) }
}
