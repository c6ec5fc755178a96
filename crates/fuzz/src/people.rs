//! The nodes of the targets: their keys are known, so what they sign is genuine.

use std::sync::{Arc, LazyLock};

use area_net::certificate::{Authorities, AuthorityKey, Certificate, Terms};
use area_net::identity::Identity;
use area_net::membership::Charter;
use area_net::record::Signer as _;
use area_net::revocations::{Revocations, Revoked};
use area_net::wire::NodeId;

/// The name of the network.
pub(crate) const NETWORK: &str = "fuzz";
/// How many nodes there are: the one that is fuzzed, its peers, and nodes that it only hears of. A mask of sixteen bits selects some.
pub(crate) const ALL: usize = 14;
/// The nodes that connect: from 1 to this. With more, an input needs more bytes to bring each into play; with half as many, no node has to
/// choose whom to link with.
pub(crate) const PEERS: usize = 6;
/// The Unix time in s at which the core starts. Certificates begin and end around it.
pub(crate) const START_S: u64 = 1_700_000_000;

/// See the module's documentation.
pub(crate) struct People {
    /// The nodes; the first one is the node under test.
    pub(crate) all: Vec<Arc<Identity>>,
    ids: Vec<NodeId>,
    /// The certificates of each node: a good one, one that ends within the minute, and one of an authority that nobody knows.
    certificates: Vec<[Arc<Certificate>; 3]>,
    /// Lists of revocations, each newer than the one before; the last one is of an authority that nobody knows.
    pub(crate) revocations: Vec<Arc<Revocations>>,
    authorities: Arc<Authorities>,
}

/// They are made once in a process: a key takes longer than a run of a decoder.
pub(crate) static PEOPLE: LazyLock<People> = LazyLock::new(People::new);

impl People {
    fn new() -> Self {
        let key = |number: u8| Arc::new(Identity::from_seed(&[number; 32]));
        let all: Vec<Arc<Identity>> = (1..).map(key).take(ALL).collect();
        let ids: Vec<NodeId> = all.iter().map(|one| one.node_id()).collect();
        let (authority, stranger) = (key(200), key(201));
        let certify = |id: &NodeId, not_after, by: &Identity| {
            let terms = Terms {
                not_after,
                ..Terms::new(NETWORK, *id, "*")
            };
            Certificate::issue(terms, by).expect("the terms are within the limits")
        };
        let certificates = ids.iter().map(|id| {
            [
                certify(id, u64::MAX, &authority),
                certify(id, START_S + 30, &authority),
                certify(id, u64::MAX, &stranger),
            ]
        });
        let revoke = |number, who: &[usize], by: &Identity| {
            let named = who.iter().map(|at| ids[*at]).collect();
            let list = Revoked::new(NETWORK, number, START_S, named);
            Revocations::issue(list, by).expect("the list is within the limits")
        };
        let revocations = vec![
            revoke(1, &[2], &authority),
            revoke(2, &[2, 3, 9], &authority),
            revoke(3, &[], &authority),
            revoke(4, &[0], &authority),
            revoke(u64::MAX, &[1], &stranger),
        ];
        let keys = vec![AuthorityKey(authority.node_id().0)];
        Self {
            certificates: certificates.collect(),
            revocations,
            authorities: Arc::new(Authorities::new(NETWORK, keys).expect("there is one key")),
            all,
            ids,
        }
    }

    pub(crate) fn id(&self, at: usize) -> NodeId {
        self.ids[at]
    }

    /// Which node has that id.
    pub(crate) fn place(&self, id: &NodeId) -> Option<usize> {
        self.ids.iter().position(|one| one == id)
    }

    /// A certificate of a node; none for other kinds.
    pub(crate) fn certificate(&self, at: usize, kind: u8) -> Option<Arc<Certificate>> {
        self.certificates[at].get(usize::from(kind)).cloned()
    }

    /// What the node under test starts with in a closed network.
    pub(crate) fn charter(&self) -> Charter {
        Charter {
            authorities: self.authorities.clone(),
            certificate: self.certificate(0, 0),
            revocations: None,
            unix_s: START_S,
        }
    }
}
