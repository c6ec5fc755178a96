//! Identifies the ends of connections.

use crate::membership::ConnId;

/// The dialer's or the listener's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::sim) enum Side {
    /// The node that dialed.
    Dialer,
    /// The node that was dialed.
    Listener,
}

/// An end of a connection: the dialer's place, the dialer's number for the connection, and the side. Numbers are never
/// reused, also not by later runs of the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::sim) struct EndRef {
    pub(in crate::sim) dialer: u32,
    pub(in crate::sim) number: u32,
    pub(in crate::sim) side: Side,
}

impl EndRef {
    /// The dialer's end of its connection with that number.
    pub(in crate::sim) fn of_dialer(dialer: u32, number: u32) -> Self {
        Self {
            dialer,
            number,
            side: Side::Dialer,
        }
    }

    /// The other end of the same connection.
    pub(in crate::sim) fn other(self) -> Self {
        let side = match self.side {
            Side::Dialer => Side::Listener,
            Side::Listener => Side::Dialer,
        };
        Self { side, ..self }
    }

    /// The number that identifies this end to its core.
    pub(in crate::sim) fn id(self) -> ConnId {
        let side = u64::from(self.side == Side::Listener);
        ConnId((u64::from(self.dialer) << 33) | (u64::from(self.number) << 1) | side)
    }

    /// The end with this number.
    pub(in crate::sim) fn of(id: ConnId) -> Self {
        let part = |bits: u64| u32::try_from(bits & u64::from(u32::MAX)).expect("32 bits fit");
        Self {
            dialer: part(id.0 >> 33),
            number: part(id.0 >> 1),
            side: if id.0 & 1 == 0 {
                Side::Dialer
            } else {
                Side::Listener
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_core_s_number_for_an_end_means_that_end() {
        for (dialer, number) in [(0, 0), (7, 1), (32_767, u32::MAX), (1, 1 << 31)] {
            for side in [Side::Dialer, Side::Listener] {
                let end = EndRef {
                    dialer,
                    number,
                    side,
                };
                assert_eq!(EndRef::of(end.id()), end);
                assert_eq!(end.other().other(), end);
                assert_ne!(end.other().id(), end.id());
            }
        }
    }
}
