//! `TCP_SAVE_SYN`: what the SYNs of a listener's connections said, kept until somebody has read it.

use crate::{Error, Options, SocketId, Stack};

/// Bytes of headers that are kept at most: those of IPv4 have no more than 120. Of a SYN with longer ones nothing is kept,
/// for it is a stranger's.
pub(crate) const LONGEST: usize = 256;

/// The headers, where they are to be kept.
pub(crate) fn keep(options: &Options, headers: &[u8]) -> Option<Box<[u8]>> {
    let keeps = options.save_syn != 0 && headers.len() <= LONGEST;
    keeps.then(|| headers.into())
}

impl Stack {
    /// `TCP_SAVED_SYN`: IP and TCP header of the SYN that the connection began with; nothing where none was kept. It is told
    /// once: whoever has less `room` than it needs has not taken it, and may ask again.
    pub fn take_saved_syn(&mut self, id: SocketId, room: usize) -> Result<Vec<u8>, Error> {
        self.sockets.held(id)?;
        let Some(connection) = self.sockets.connection_mut(id) else {
            return Ok(Vec::new());
        };
        match &connection.saved_syn {
            Some(syn) if syn.len() > room => Ok(syn.to_vec()),
            _ => Ok(connection.saved_syn.take().unwrap_or_default().into_vec()),
        }
    }
}
