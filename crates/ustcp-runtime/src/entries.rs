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
            debug_assert!(
                free.is_none(),
                "a socket is taken out here before the stack lets go of its place"
            );
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

#[cfg(test)]
mod tests {
    use ustcp_proto::{Config, Family, Instant, Stack};

    use super::*;

    #[test]
    fn an_old_id_finds_nothing_at_the_place_of_a_new_one() {
        let mut stack = Stack::new(Config::default());
        let mut entries = Entries::new();
        let old = stack.socket(Family::V4).unwrap();
        entries.insert(old, "old");
        assert_eq!(entries.remove(old), Some("old"));
        stack.close(Instant::ZERO, old).unwrap();
        let new = stack.socket(Family::V4).unwrap();
        assert_eq!((old.place(), old == new), (new.place(), false));
        entries.insert(new, "new");
        assert_eq!(entries.get(old), None);
        assert_eq!(entries.get_mut(old), None);
        assert_eq!(entries.remove(old), None);
        assert_eq!(entries.get(new), Some(&"new"));
    }
}
