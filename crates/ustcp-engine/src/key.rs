//! What epoll tells us of each descriptor: whose it is, in 64 bits.

/// Whose descriptor it is. Numbers have 56 bits; those of sockets have 47.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    /// The device.
    Device,
    /// A listener for streams.
    Streams(u64),
    /// A listener for control connections.
    Controls(u64),
    /// Streams whose greeting is not complete.
    Greetings,
    /// A control connection.
    Control(u64),
    /// The stream of a socket: its number, and which of the streams that it has had.
    Socket(u64, u8),
    /// The kernel's connection of that socket.
    Far(u64, u8),
}

/// The bits of a socket's number.
const SOCKET_BITS: u32 = 47;
const SHIFT: u32 = 56;
const NUMBER: u64 = (1 << SHIFT) - 1;

impl Key {
    /// As epoll keeps it.
    pub(crate) fn data(self) -> u64 {
        let (kind, number) = match self {
            Key::Device => (0, 0),
            Key::Streams(number) => (1, number),
            Key::Controls(number) => (2, number),
            Key::Greetings => (3, 0),
            Key::Control(number) => (4, number),
            Key::Socket(number, stream) => (5, u64::from(stream) << SOCKET_BITS | number),
            Key::Far(number, stream) => (6, u64::from(stream) << SOCKET_BITS | number),
        };
        kind << SHIFT | number & NUMBER
    }

    /// From what epoll kept.
    pub(crate) fn from_data(data: u64) -> Option<Key> {
        let number = data & NUMBER;
        let socket = number & ((1 << SOCKET_BITS) - 1);
        let stream = u8::try_from(number >> SOCKET_BITS & 0xff).ok()?;
        Some(match data >> SHIFT {
            0 => Key::Device,
            1 => Key::Streams(number),
            2 => Key::Controls(number),
            3 => Key::Greetings,
            4 => Key::Control(number),
            5 => Key::Socket(socket, stream),
            6 => Key::Far(socket, stream),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_epoll_keeps_says_whose_it_is() {
        for key in [
            Key::Device,
            Key::Streams(1),
            Key::Controls(0),
            Key::Greetings,
            Key::Control(NUMBER),
            Key::Socket((1 << 47) - 1, 0),
            Key::Socket(1, u8::MAX),
            Key::Far(2, 7),
        ] {
            assert_eq!(Key::from_data(key.data()), Some(key));
        }
        assert_eq!(Key::from_data(u64::MAX), None);
    }
}
