//! The manual port: a stack as a value. Its sockets are in stack_socket.rs.

use libc::{c_char, c_int, c_void, size_t, ssize_t};
use ustcp_runtime::Errno;
use ustcp_runtime::manual::{Checksum, Instant, ManualStack};

use crate::memory;
use crate::stack_table::{self, door, on, ustcp_stack};

/// For `flags` of `ustcp_stack_input`: someone vouches for the TCP checksum, so it is not verified, and may be that of
/// the pseudo-header alone (`VIRTIO_NET_HDR_F_NEEDS_CSUM` and `_DATA_VALID` of a TUN device; a packet of
/// `ustcp_stack_output` with `checksum_start`).
pub const USTCP_INPUT_CHECKSUM_GOOD: c_int = 1;

/// Longest name and value of a knob, in bytes.
const LONGEST_NAME: usize = 64;
const LONGEST_VALUE: usize = 4096;

/// What belongs to a packet that is to be sent; for `ustcp_stack_output`. Begin with `USTCP_PACKET_INIT`. Later versions
/// add members at the end and change none.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ustcp_packet {
    /// In: `sizeof(struct ustcp_packet)`: members beyond it are not written.
    pub size: size_t,
    /// The packet's length in bytes.
    pub length: size_t,
    /// The time of the call that made it, in nanoseconds.
    pub time: u64,
    /// 0: it is one packet. Else, only with the knob `tso`: bytes of TCP text in each of the packets that it is to be
    /// split into, `gso_size`.
    pub segment_size: u32,
    /// 0: its checksums are complete. Else, only with the knob `tso`: where the TCP header begins, in bytes, whose
    /// checksum (16 bytes further on) has the pseudo-header's sum in it and is to be completed.
    pub checksum_start: u32,
}

/// Makes a stack: a TCP/IP stack without device, thread or clock, which its owner drives by hand. It has no addresses
/// yet (`ustcp_stack_set`, `address`), and its time is 0.
///
/// - `stack`: out: the stack, which is the caller's until `ustcp_stack_free`.
/// - `seed`: what initial sequence numbers, ports and all else that is random come from: with equal seeds, equal calls
///   give equal packets. Null: 32 bytes from the system, as it must be where packets come from strangers.
///
/// Returns 0, or negative: `-EFAULT`: `stack` is not writable or `seed` not readable. `-EIO`: the system has no
/// randomness.
///
/// # Safety
/// `stack` stays writable and `seed` readable during the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ustcp_stack_new(stack: *mut *mut ustcp_stack, seed: *const u64) -> c_int {
    door(|| {
        let seed = match seed.is_null() {
            true => None,
            false => Some(memory::read(seed)?),
        };
        memory::write(stack.cast::<usize>(), &0)?; // before there is anything to lose
        let made = stack_table::enter(ManualStack::new(seed)?);
        memory::write(stack.cast::<usize>(), &made.addr())?;
        Ok(0)
    })
}

/// Frees a stack with all its sockets. Nobody is told: no FIN, no RST; packets not taken are dropped.
///
/// Returns 0, or negative: `-EFAULT`: `stack` is null. `-EBADF`: it is no stack, or freed already.
#[unsafe(no_mangle)]
pub extern "C" fn ustcp_stack_free(stack: *mut ustcp_stack) -> c_int {
    door(|| stack_table::remove(stack).map(|()| 0))
}

/// A packet has arrived. Whatever its bytes are, it is processed, or dropped and counted.
///
/// - `packet`: an IPv4 or IPv6 packet; used in place, and not after the call.
/// - `len`: its length in bytes. One longer than the MTU is taken too.
/// - `flags`: 0, or `USTCP_INPUT_CHECKSUM_GOOD`.
/// - `now`: the time, in nanoseconds.
///
/// Returns 0, or negative:
/// - `-EINVAL`: `now` is before the time of an earlier call, `len` no length, or an unknown flag.
/// - `-EFAULT`: `stack` is null, or `packet` can point nowhere. `-EBADF`: no stack, or freed already.
/// - `-EBUSY`: another thread uses the stack. `-ENETDOWN`: it has ended by an internal error.
///
/// # Safety
/// `packet` stays readable for `len` bytes during the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ustcp_stack_input(
    stack: *mut ustcp_stack,
    packet: *const c_void,
    len: size_t,
    flags: c_int,
    now: u64,
) -> c_int {
    on(stack, |stack| {
        let checksum = match flags {
            0 => Checksum::Full,
            USTCP_INPUT_CHECKSUM_GOOD => Checksum::Offloaded,
            _ => return Err(Errno(libc::EINVAL)),
        };
        let packet = memory::data(packet, len)?;
        stack.input(Instant::from_nanos(now), &packet, checksum)?;
        Ok(0)
    })
}

/// Takes the next packet to be sent, in the order in which calls made them. Call after every other call on the stack,
/// until it returns 0. What is not taken stays, up to 16 MiB; what would be beyond is made when there is room again.
///
/// - `buf`, `len`: room for it: the knob `mtu` in bytes (1500), with the knob `tso` 65575.
/// - `packet`: out: what belongs to it; may be null.
///
/// Returns the packet's length in bytes, 0 when there is none now, or negative:
/// - `-EMSGSIZE`: it is longer than `len`: it stays; `packet` tells its length.
/// - `-EINVAL`: `len` is no length, or `packet->size` is below 16. `-EFAULT`: `stack` is null, `packet` is not writable,
///   or `buf` can point nowhere.
/// - `-EBADF`: no stack, or freed already. `-EBUSY`: another thread uses the stack. `-ENETDOWN`: it has ended by an
///   internal error.
///
/// # Safety
/// `buf` stays writable for `len` bytes, and `packet` for its size, during the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ustcp_stack_output(
    stack: *mut ustcp_stack,
    buf: *mut c_void,
    len: size_t,
    packet: *mut ustcp_packet,
) -> ssize_t {
    on(stack, |stack| {
        let mut room = memory::room(buf, len)?;
        let size = if packet.is_null() {
            0
        } else {
            memory::struct_size(packet.cast())?
        };
        let Some(next) = stack.output()? else { return Ok(0) };
        let length = next.bytes.len();
        if !packet.is_null() {
            let told = ustcp_packet {
                size,
                length,
                time: next.time.as_nanos(),
                segment_size: u32::from(next.segment_size.unwrap_or(0)),
                checksum_start: match next.checksum {
                    Checksum::Full => 0,
                    Checksum::Offloaded => next.tcp_offset().into(),
                },
            };
            memory::write_prefix(packet.cast(), &told, size)?;
        }
        let place = room.get_mut(..length).ok_or(Errno(libc::EMSGSIZE))?;
        place.copy_from_slice(&next.bytes);
        stack.sent();
        ssize_t::try_from(length).map_err(|_| Errno(libc::EMSGSIZE))
    })
}

/// Tells when `ustcp_stack_advance` is due. Ask anew after every other call.
///
/// - `when`: out: the time, in nanoseconds; it may be one that has come already. Not written when nothing is due.
///
/// Returns 1, or 0 when nothing happens by itself, or negative:
/// - `-EFAULT`: `stack` is null, or `when` is not writable. `-EBADF`: no stack, or freed already.
/// - `-EBUSY`: another thread uses the stack. `-ENETDOWN`: it has ended by an internal error.
///
/// # Safety
/// `when` stays writable during the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ustcp_stack_deadline(stack: *mut ustcp_stack, when: *mut u64) -> c_int {
    on(stack, |stack| {
        let Some((due, _)) = stack.deadline()? else {
            return Ok(0);
        };
        memory::write(when, &due.as_nanos())?;
        Ok(1)
    })
}

/// Time has come to `now`: timers that are due go off, each once. Harmless when early. Calls on sockets happen at the time
/// that this or `ustcp_stack_input` was given last.
///
/// - `now`: the time, in nanoseconds since a moment of the caller's choice; it never goes back.
///
/// Returns 0, or negative:
/// - `-EINVAL`: `now` is before the time of an earlier call.
/// - `-EFAULT`: `stack` is null. `-EBADF`: no stack, or freed already.
/// - `-EBUSY`: another thread uses the stack. `-ENETDOWN`: it has ended by an internal error.
#[unsafe(no_mangle)]
pub extern "C" fn ustcp_stack_advance(stack: *mut ustcp_stack, now: u64) -> c_int {
    on(stack, |stack| {
        stack.advance(Instant::from_nanos(now))?;
        Ok(0)
    })
}

/// Sets a knob, from now on; what sockets and connections were given at their birth stays.
///
/// - `name`: a Linux sysctl, without its directory: `tcp_syn_retries`, `tcp_rto_min_us`, `ip_local_port_range`; or one of
///   our own: `address` (as `10.77.0.2/24`, several with commas), `any_address` (0 or 1), `mtu` and `tso` (bytes),
///   `trace` (0 or 1). All are in docs/manual.md. At most 64 bytes.
/// - `value`: its text, with the unit and the form of the sysctl. At most 4096 bytes.
///
/// Returns 0, or negative:
/// - `-ENOENT`: no knob of this name. `-EINVAL`: a value that is malformed or out of range, or a string too long.
/// - `-EFAULT`: `stack` is null, or a string is not readable. `-EBADF`: no stack, or freed already.
/// - `-EBUSY`: another thread uses the stack. `-ENETDOWN`: it has ended by an internal error.
///
/// # Safety
/// The strings stay readable during the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ustcp_stack_set(stack: *mut ustcp_stack, name: *const c_char, value: *const c_char) -> c_int {
    on(stack, |stack| {
        stack.set(&text(name, LONGEST_NAME)?, &text(value, LONGEST_VALUE)?)?;
        Ok(0)
    })
}

/// Tells a knob, in the form that `ustcp_stack_set` takes.
///
/// - `name`: as for `ustcp_stack_set`.
/// - `value`, `len`: room for its text and a NUL. A shorter room gets the beginning, and a NUL.
///
/// Returns the text's length in bytes without the NUL, or negative:
/// - `-ENOENT`: no knob of this name. `-EINVAL`: `name` is too long, or `len` no length.
/// - `-EFAULT`: `stack` is null, `name` is not readable, or `value` not writable. `-EBADF`: no stack, or freed already.
/// - `-EBUSY`: another thread uses the stack. `-ENETDOWN`: it has ended by an internal error.
///
/// # Safety
/// `name` stays readable and `value` writable for `len` bytes during the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ustcp_stack_get(
    stack: *mut ustcp_stack,
    name: *const c_char,
    value: *mut c_char,
    len: size_t,
) -> ssize_t {
    on(stack, |stack| {
        let room = isize::try_from(len).map_err(|_| Errno(libc::EINVAL))?.unsigned_abs();
        let text = stack.knob(&text(name, LONGEST_NAME)?)?;
        if let Some(longest) = room.checked_sub(1) {
            let mut bytes = text.clone().into_bytes();
            bytes.truncate(longest);
            bytes.push(0);
            memory::write_array(value.cast::<u8>(), &bytes)?;
        }
        ssize_t::try_from(text.len()).map_err(|_| Errno(libc::EINVAL))
    })
}

fn text(from: *const c_char, limit: usize) -> Result<String, Errno> {
    String::from_utf8(memory::read_string(from, limit)?).map_err(|_| Errno(libc::EINVAL))
}
