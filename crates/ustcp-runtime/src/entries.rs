//! The sockets of a runtime by their ids. An id says its place, so that none is searched for: every call looks several up.

use ustcp_proto::SocketId;

/// A `T` for each socket.
pub(crate) struct Entries<T> {
    places: Vec<Option<(SocketId, T)>>,
}

impl<T> Entries<T> {
    /// None yet.
    pub(crate) fn new() -> Entries<T> {
        Entries { places: Vec::new() }
    }

    /// Enters a new socket.
    pub(crate) fn insert(&mut self, id: SocketId, entry: T) {
        let place = id.place();
        if self.places.len() <= place {
            self.places.resize_with(place + 1, || None);
        }
        if let Some(free) = self.places.get_mut(place) {
            *free = Some((id, entry));
        }
    }

    pub(crate) fn get(&self, id: SocketId) -> Option<&T> {
        let (holder, entry) = self.places.get(id.place())?.as_ref()?;
        (*holder == id).then_some(entry)
    }

    pub(crate) fn get_mut(&mut self, id: SocketId) -> Option<&mut T> {
        let (holder, entry) = self.places.get_mut(id.place())?.as_mut()?;
        (*holder == id).then_some(entry)
    }

    pub(crate) fn remove(&mut self, id: SocketId) -> Option<T> {
        let taken = self.places.get_mut(id.place())?.take_if(|(holder, _)| *holder == id);
        taken.map(|(_, entry)| entry)
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (SocketId, &mut T)> {
        self.places.iter_mut().flatten().map(|(id, entry)| (*id, entry))
    }
}
