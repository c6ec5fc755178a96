//! Arbitrary bytes, as a stranger may send them.

use area_net::record::{Body, Record};
use area_net::wire::{Datagram, Message};
use proptest::prelude::*;

use crate::golden::{datagrams, messages};
use crate::sample::{NETWORK, body, identity, record};

/// A body that decodes must encode to bytes that decode to the same message.
fn survives(body: &[u8]) {
    if let Ok(message) = Message::from_body(body) {
        let frame = message.to_frame();
        assert_eq!(Message::from_body(&frame[4..]).unwrap(), message);
    }
}

proptest! {
    #[test]
    fn any_bytes_are_a_message_or_an_error(body in prop::collection::vec(any::<u8>(), 0..600)) {
        survives(&body);
        Datagram::from_bytes(&body).ok();
        Record::from_parts(body, [0; 64]).ok();
    }

    #[test]
    fn any_bytes_behind_a_known_variant(variant in 0..9_u8, tail in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut body = vec![variant];
        body.extend(tail);
        survives(&body);
        Datagram::from_bytes(&body).ok();
    }

    #[test]
    fn a_mutated_message_decodes_or_is_an_error(
        which in 0..messages().len(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
        shorten in any::<bool>(),
    ) {
        let mut body = messages()[which].to_frame().split_off(4);
        for (at, byte) in changes {
            let at = at.index(body.len());
            body[at] = byte;
        }
        if shorten {
            let length = cut.index(body.len());
            body.truncate(length);
        }
        survives(&body);
    }

    #[test]
    fn a_mutated_datagram_decodes_or_is_an_error(which in 0..2_usize, at in any::<prop::sample::Index>(), byte: u8) {
        let mut bytes = datagrams()[which].to_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(datagram) = Datagram::from_bytes(&bytes) {
            prop_assert_eq!(Datagram::from_bytes(&datagram.to_bytes()).unwrap(), datagram);
        }
    }

    #[test]
    fn a_changed_record_is_refused_or_forged(at in any::<prop::sample::Index>(), bit in 0..8_u8) {
        let mut body = Message::Records(vec![record()]).to_frame().split_off(4);
        let at = at.index(body.len());
        body[at] ^= 1 << bit;
        if let Ok(Message::Records(records)) = Message::from_body(&body) {
            for record in records {
                prop_assert!(record.verify(NETWORK).is_err());
            }
        }
    }

    #[test]
    fn any_label_comes_back(label in ".{0,40}") {
        let body = Body { label: label.as_str().into(), ..body() };
        let record = Record::sign(body, NETWORK, &identity());
        let frame = Message::Records(vec![record.clone()]).to_frame();
        prop_assert_eq!(Message::from_body(&frame[4..]).unwrap(), Message::Records(vec![record]));
    }
}
