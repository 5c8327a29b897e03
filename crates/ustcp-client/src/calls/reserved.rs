//! bindresvport(3): bind to a port that only root has.

use rustix::io::Errno;

use crate::sys::{self, Sink, Source};

/// The ports in the C library's order: from a place that the process's number chooses, then the lower ones.
const FIRST: core::ops::Range<u16> = 600..1024;
const LAST: core::ops::Range<u16> = 512..600;

const LEN: usize = size_of::<libc::sockaddr_in>();

/// bindresvport(3), with `bind` for bind(2); tells the port in the program's address, where it has given one.
pub fn bind_reserved(name: Option<Sink>, bind: impl Fn(Source) -> Result<(), Errno>) -> Result<(), Errno> {
    let mut address = [0; LEN];
    let inet = libc::AF_INET.cast_unsigned() as libc::sa_family_t;
    match &name {
        Some(name) => drop(name.read(&mut address)?),
        None => address[..2].copy_from_slice(&inet.to_ne_bytes()),
    }
    if !address.starts_with(&inet.to_ne_bytes()) {
        return Err(Errno::AFNOSUPPORT);
    }
    let first = sys::process_number() % FIRST.len();
    let ports = FIRST.skip(first).chain(FIRST.take(first)).chain(LAST);
    for port in ports {
        address[2..4].copy_from_slice(&port.to_be_bytes());
        if let Some(name) = &name {
            name.write(&address)?;
        }
        match bind(Source::of(&address)) {
            Err(Errno::ADDRINUSE) => {}
            result => return result,
        }
    }
    Err(Errno::ADDRINUSE)
}
