use super::*;
use crate::certificate::tests::Key;

fn ids(count: u16) -> Vec<NodeId> {
    let id = |number: u16| {
        let mut id = [0; 32];
        id[..2].copy_from_slice(&number.to_be_bytes());
        NodeId(id)
    };
    (0..count).rev().map(id).collect()
}

#[test]
fn a_list_names_its_nodes_and_is_signed_by_an_authority_of_the_network() {
    let list = Revoked::new("office", 3, 1_000_000, ids(40));
    let issued = Revocations::issue(list, &Key::new(1)).unwrap();
    let arrived = Revocations::from_bytes(&issued.to_bytes()).unwrap();
    assert_eq!(arrived, issued);
    assert_eq!(arrived.to_bytes().len(), arrived.encoded_len());
    assert!(arrived.names(&ids(40)[0]) && !arrived.names(&NodeId([9; 32])));
    let [one, two] = [1, 2].map(|number| Key::new(number).public());
    assert_eq!(arrived.verify("office", &[two, one]), Ok(one));
    for (network, keys) in [("office", [two]), ("home", [one])] {
        let verdict = arrived.verify(network, &keys);
        assert_eq!(verdict, Err(RevocationsError::Forged));
    }
}

#[test]
fn a_thousand_nodes_fit_and_one_more_does_not() {
    let network = "x".repeat(MAX_NETWORK);
    let full = Revoked::new(&network, u64::MAX, u64::MAX, ids(1024));
    let full = Revocations::issue(full, &Key::new(1)).unwrap();
    let bytes = full.to_bytes();
    assert!(bytes.len() <= MAX_REVOCATIONS && bytes.len() < crate::wire::MAX_FRAME);
    assert_eq!(bytes.len(), full.encoded_len());
    assert_eq!(Revocations::from_bytes(&bytes), Ok(full));
    let over = Revoked::new("office", 1, 0, ids(1025));
    let what = "nodes";
    let over = Revocations::issue(over, &Key::new(1));
    let (value, limit) = (1025, MAX_REVOKED);
    assert_eq!(
        over,
        Err(RevocationsError::OverLimit { what, value, limit })
    );
}

#[test]
fn lists_that_nobody_could_have_made_are_refused() {
    let arrives = |list: &Revoked| {
        let signed = postcard::to_stdvec(list).unwrap();
        let bytes = postcard::to_stdvec(&(signed, vec![0_u8; 64])).unwrap();
        Revocations::from_bytes(&bytes).map(|_| ())
    };
    let list = Revoked::new("office", 1, 0, ids(2));
    assert_eq!(arrives(&list), Ok(()));
    let number = Revoked {
        number: 0,
        ..list.clone()
    };
    assert_eq!(arrives(&number), Err(RevocationsError::Disordered));
    let order = Revoked {
        ids: ids(2),
        ..list.clone()
    };
    assert_eq!(arrives(&order), Err(RevocationsError::Disordered));
    let version = Revoked { version: 2, ..list };
    assert_eq!(arrives(&version), Err(RevocationsError::UnknownVersion(2)));
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_decoded_or_refused(bytes: Vec<u8>) {
        if let Ok(revocations) = Revocations::from_bytes(&bytes) {
            assert_eq!(revocations.to_bytes().len(), revocations.encoded_len());
        }
    }
}
