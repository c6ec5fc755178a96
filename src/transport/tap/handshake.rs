//! The packets that answer a dial.
//!
//! Several connections may lead to one address: an older one, and dials from two ports. The packets of a handshake carry the
//! connection ids of both ends in clear. This node chooses the id to which the first packets of a dial go, so it knows them when
//! they leave, and learns from them the id to which the answers go. Off the path nobody knows that id.

use quinn::ConnectionId;

/// This bit is set in the packets of a handshake alone (RFC 9000, section 17.2).
const LONG_HEADER: u8 = 0x80;

/// The longest connection id of QUIC version 1.
const LONGEST: usize = 20;

/// The handshake of one dial.
#[derive(Debug)]
pub(super) struct Handshake {
    /// The destination of the first packets. A Retry names another one (RFC 9000, section 17.2.5).
    first: ConnectionId,
    /// The source of these packets: the destination of the answers.
    own: Option<ConnectionId>,
    /// A copy of the first packet, while it is unanswered.
    unanswered: Option<Vec<u8>>,
    answered: bool,
    /// The answer was a Retry, which asks for the first packet again.
    retried: bool,
    /// There was another answer than a Retry.
    begun: bool,
}

impl Handshake {
    pub(super) fn new(first: ConnectionId) -> Self {
        Self {
            first,
            own: None,
            unanswered: None,
            answered: false,
            retried: false,
            begun: false,
        }
    }

    /// A packet leaves for the address of the dial.
    pub(super) fn leaves(&mut self, packet: &[u8]) {
        if let Some((to, from)) = ends(packet)
            && *to == *self.first
        {
            self.own = Some(ConnectionId::new(from));
            if !self.begun && self.unanswered.is_none() {
                self.unanswered = Some(packet.to_vec());
            }
        }
    }

    /// A packet came from the address of the dial.
    pub(super) fn arrives(&mut self, packet: &[u8]) {
        let Some((to, from)) = ends(packet) else {
            return;
        };
        if self.own.as_deref() != Some(to) {
            return;
        }
        self.answered = true;
        if !is_retry(packet) {
            self.begun = true;
            self.unanswered = None;
        } else if !self.retried {
            // A client follows one Retry at most. Copies that were under way may draw others.
            self.retried = true;
            self.first = ConnectionId::new(from);
            self.unanswered = None;
        }
    }

    /// The first packet, once it has left and until it is answered. After a Retry, it is the one that follows.
    pub(super) fn unanswered(&self) -> Option<&[u8]> {
        self.unanswered.as_deref()
    }

    /// Whether a packet has answered the first one, and was no Retry.
    pub(super) fn has_begun(&self) -> bool {
        self.begun
    }

    /// Whether any packet has answered.
    pub(super) fn was_answered(&self) -> bool {
        self.answered
    }
}

/// Whether a packet belongs to a handshake.
pub(super) fn is_part(packet: &[u8]) -> bool {
    packet.first().is_some_and(|first| first & LONG_HEADER != 0)
}

/// Whether a packet of a handshake is a Retry.
fn is_retry(packet: &[u8]) -> bool {
    matches!(packet, [first, 0, 0, 0, 1, ..] if (first >> 4) & 3 == 3)
}

/// The connection ids of both ends in a packet of a handshake, the destination first.
fn ends(packet: &[u8]) -> Option<(&[u8], &[u8])> {
    fn id(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
        let (length, rest) = bytes.split_first()?;
        // Longer ones are not of this version.
        let fits = usize::from(*length) <= LONGEST;
        fits.then(|| rest.split_at_checked(usize::from(*length)))?
    }
    let ids = packet.get(5..).filter(|_| is_part(packet))?;
    let (to, rest) = id(ids)?;
    let (from, _) = id(rest)?;
    Some((to, from))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(to: &[u8], from: &[u8]) -> Vec<u8> {
        let length = |id: &[u8]| vec![u8::try_from(id.len()).unwrap()];
        let version = vec![0xc0, 0, 0, 0, 1];
        [
            version,
            length(to),
            to.to_vec(),
            length(from),
            from.to_vec(),
        ]
        .concat()
    }

    #[test]
    fn of_two_dials_of_one_address_a_packet_answers_the_one_that_it_is_for() {
        let firsts = [[1; 20], [2; 20]];
        let mut dials = firsts.map(|first| Handshake::new(ConnectionId::new(&first)));
        for (first, own) in firsts.iter().zip([[3; 8], [4; 8]]) {
            dials
                .iter_mut()
                .for_each(|dial| dial.leaves(&packet(first, &own)));
        }
        let mut arrive = |bytes: &[u8]| {
            dials.iter_mut().for_each(|dial| dial.arrives(bytes));
            [dials[0].was_answered(), dials[1].was_answered()]
        };
        assert_eq!(arrive(&packet(&[9; 8], &[7; 8])), [false, false]);
        assert_eq!(arrive(&packet(&[], &[7; 8])), [false, false]);
        assert_eq!(arrive(&packet(&[4; 8], &[7; 8])), [false, true]);
        assert_eq!(arrive(&packet(&[3; 8], &[])), [true, true]);
    }

    #[test]
    fn the_first_packet_is_kept_until_it_is_answered() {
        let mut dial = Handshake::new(ConnectionId::new(&[1; 20]));
        dial.leaves(&packet(&[2; 20], &[3; 8]));
        assert_eq!(dial.unanswered(), None, "of another dial");
        let [first, second] = [1, 2].map(|end| [packet(&[1; 20], &[3; 8]), vec![end]].concat());
        dial.leaves(&first);
        dial.leaves(&second);
        assert_eq!(dial.unanswered(), Some(&first[..]));
        dial.arrives(&packet(&[3; 8], &[7; 8]));
        dial.leaves(&second);
        assert_eq!(dial.unanswered(), None);
    }

    #[test]
    fn after_a_retry_the_packet_that_follows_is_kept() {
        let mut dial = Handshake::new(ConnectionId::new(&[1; 20]));
        dial.leaves(&packet(&[1; 20], &[3; 8]));
        let retry = |from: u8| {
            let mut retry = packet(&[3; 8], &[from; 8]);
            retry[0] = 0xf0;
            retry
        };
        dial.arrives(&retry(7));
        assert!(dial.was_answered() && !dial.has_begun());
        assert_eq!(dial.unanswered(), None);
        dial.arrives(&retry(8));
        let again = packet(&[7; 8], &[3; 8]);
        for _ in 0..2 {
            dial.leaves(&again);
            assert_eq!(dial.unanswered(), Some(&again[..]));
        }
        dial.arrives(&packet(&[3; 8], &[9; 8]));
        assert!(dial.has_begun());
        assert_eq!(dial.unanswered(), None);
    }

    #[test]
    fn what_is_cut_short_or_of_a_connection_in_use_answers_nothing() {
        let mut dial = Handshake::new(ConnectionId::new(&[1; 20]));
        dial.leaves(&packet(&[1; 20], &[3; 8]));
        let answer = packet(&[3; 8], &[7; 8]);
        for length in 0..answer.len() {
            dial.arrives(&answer[..length]);
        }
        let short = [&[0x40][..], &answer[1..]].concat();
        dial.arrives(&short);
        dial.arrives(&packet(&[3; 21], &[7; 8]));
        assert!(!dial.was_answered());
        dial.arrives(&answer);
        assert!(dial.was_answered());
    }
}
