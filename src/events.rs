//! The names of events: one vocabulary for the log and for every later reader of a node's history.
//!
//! A log line is an event's name, followed by fields: the subject (`peer`, `node`, `addr`, `file`), then the cause, then figures.
//! The name of an event is the whole message, so `log.format=json` can be filtered by `message`. These fields recur:
//!
//! | field | meaning |
//! | --- | --- |
//! | `peer`, `node` | the label of the node; `?` if it is not known yet |
//! | `id` | the first ten hexadecimal digits of that node's id |
//! | `addr` | the remote socket address |
//! | `cause` | why it happened |
//! | `action` | what the node does about it, or what its user should do |
//! | `noticed_by` | the label of the node that was the first to say so in its record; our own if we saw it ourselves |
//! | `told_by` | the label of the neighbour that brought that record; missing if it is our own |
//! | `nodes` | the number of nodes that are up in this node's view, after the event |
//! | `counter` | the name under which `rejected` in `network.json` counts it |
//! | `suppressed` | lines of this kind that were left out since the last one |

use std::fmt;

/// Declares the names once, each with its text.
macro_rules! event_names {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// The name of an event; see the module's documentation.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum EventName {
            $(#[doc = concat!("`", $text, "`:")] $(#[$doc])* $name,)*
        }

        impl EventName {
            /// Every name, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The name as the log shows it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

event_names! {
    /// this node has bound its address and loaded its identity. Fields: `label`, `id`, `listen`, `network`, `targets`.
    NodeStarted = "node started",
    /// this machine doesn't have the address to listen on, and the node waits for it. Fields: `listen`, `cause`, `interfaces`, `action`.
    WaitingForAddress = "waiting for address",
    /// the addresses of this node's interfaces changed. Fields: `lost`, `new`, `addrs`.
    OwnAddressesChanged = "own addresses changed",
    /// a name in the settings or in the target file has no address at present. Fields: `name`, `place`, `cause`, `action`. The level
    /// is debug while the cause stays the same.
    NameUnresolved = "name unresolved",
    /// such a name has addresses after failures. Fields: `name`, `place`, `addrs`.
    NameResolved = "name resolved",
    /// this node was asked to leave, and sends its leave message. No fields.
    NodeStopping = "node stopping",
    /// this node has closed its connections. No fields.
    NodeStopped = "node stopped",
    /// the program has a bug, and ends. Fields: `thread`, `place`, `cause`, `version`. Level: error.
    Panicked = "panicked",
    /// the lock of the profile can't be taken, for another reason than that a node holds it. Fields: `file`, `error`, `action`.
    ProfileNotLocked = "profile not locked",
    /// the kernel restricts from now on what this node can do. Fields: `sandbox` (`full`, `partial` or `none`), `cause`, `action`.
    Sandboxed = "sandboxed",
    /// this node impairs what it sends. Fields: `impair`, `setting`.
    SendingImpaired = "sending impaired",
    /// a configured target is an address of this node. Fields: `addr`, `cause`.
    TargetSkipped = "target skipped",
    /// the remembered addresses could not be read. Fields: `cause`, `action`.
    MemoryReset = "memory reset",
    /// the remembered addresses could not be written. Fields: `file`, `error`, `action`.
    MemoryNotSaved = "memory not saved",

    /// a link came up. Fields: `peer`, `id`, `addr`, `dialed_by` (`us` or `them`).
    LinkUp = "link up",
    /// a new connection took the place of an older one on the same link. Fields: as for `link up`.
    LinkReplaced = "link replaced",
    /// a link ended for a reason that is no fault. Fields: `peer`, `id`, `cause`.
    LinkClosed = "link closed",
    /// a link failed. Fields: `peer`, `id`, `cause`.
    LinkDown = "link down",
    /// probes on a link are unanswered, and the verdict is still open. Fields: `peer`, `id`, `action`. Level: debug.
    LinkSuspected = "link suspected",
    /// a link that was judged down answered again. Fields: `peer`, `id`.
    LinkRestored = "link restored",
    /// this node has lost its last link. Fields: `action`.
    CutOff = "cut off",

    /// a beacon of a node that can't be reached yet came from a link of this machine. Fields: `id`, `addr`, `action`, `suppressed`.
    NodeFound = "node found",
    /// a node came into view. Fields: `node`, `id`, `nodes`.
    NodeUp = "node up",
    /// no path of live links leads to a node any more. Fields: `node`, `id`, `nodes`, `noticed_by`, `told_by`.
    NodeUnreachable = "node unreachable",
    /// a node said that it leaves. Fields: `node`, `id`, `nodes`, `told_by`.
    NodeLeft = "node left",

    /// a connection could not be made. Fields: `addr`, `peer`, `cause`, `action`. The level is debug while the cause stays the same.
    DialFailed = "dial failed",
    /// an incoming connection failed before its Hello. Fields: `addr`, `counter`, `cause`, `suppressed`.
    ConnectionRejected = "connection rejected",
    /// a node may not be a member of this network, and was refused. Fields: `addr`, `id` (whole, if it is known), `dialed_by` (`us` or
    /// `them`), `counter`, `cause`, `action`, `suppressed`. The level is debug while a node that this node dials stays refused.
    JoinRefused = "join refused",
    /// something that a peer sent was rejected. Fields: `peer`, `id`, `counter`, `cause`, `suppressed`.
    InputRejected = "input rejected",
    /// two nodes run with this node's key. Fields: `run` and `addr` as far as they are known, `action`, `suppressed`.
    OwnIdentityDuplicated = "own identity duplicated",
    /// two nodes run with a peer's key. Fields: `peer`, `id`, `addr`, `action`, `suppressed`.
    PeerIdentityDuplicated = "peer identity duplicated",

    /// newer revocations of the network's authority count from now on. Fields: `number`, `revoked` (how many it names), `told_by`.
    RevocationsHeard = "revocations heard",
    /// a list of revocations in this node's folder is not the newest one, or none of this network. Fields: `number`, `newest`, `action`.
    RevocationsIgnored = "revocations ignored",
    /// the newest revocations could not be written. Fields: `error`, `action`.
    RevocationsNotKept = "revocations not kept",
    /// a node is no member of the network any more, and went out of view. Fields: `node`, `id`, `nodes`, `cause`.
    NodeRemoved = "node removed",
    /// the authorities that this node trusts are others. Fields: `keys` (how many).
    AuthorityChanged = "authority changed",
    /// this node has another certificate. Fields: `days` until it ends; missing if the certificate is gone.
    CertificateChanged = "certificate changed",
    /// this node's certificate ends soon. Fields: `days`, `action`.
    CertificateEnds = "certificate ends",
    /// this node is no member of its network: it has no certificate, one that has expired, or was revoked. Fields: `cause`, `action`.
    NoMember = "no member",
    /// an authority's public file, a certificate or a list of revocations of this node can't be used. Fields: `error`, `action`.
    PaperUnusable = "paper unusable",

    /// a file could not be written. Fields: `file`, `error`, `action`.
    FileNotWritten = "file not written",
    /// a file could be written after failures. Fields: `file`.
    FileRecovered = "file recovered",
    /// no file will be written in this run. Fields: `dir`, `error`.
    ExportUnavailable = "export unavailable",
    /// the last snapshot was not on disk when the node stopped. Fields: `limit_ms`.
    LastSnapshotNotWritten = "last snapshot not written",

    /// the qlog of a connection lacks records. Fields: `file`, `cause`.
    QlogIncomplete = "qlog incomplete",

    /// the page is served over TCP. Fields: `page`, `token` if readers need one.
    PageServed = "page served",
    /// a socket of the page or of the commands can't be opened. Fields: `cause`, `action`.
    PageUnavailable = "page unavailable",

    /// the system refused to send a packet. Fields: `to`, `bytes`, `error`. At most one line a minute.
    SendFailed = "send failed",
    /// the built-in impairment holds all that it may, and dropped a packet. Fields: `packets`, `limit_mib`. One line a run.
    ImpairmentQueueFull = "impairment queue full",
    /// stderr did not take log lines in time. Fields: `dropped`.
    LogLinesDropped = "log lines dropped",
}

impl fmt::Display for EventName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_lowercase_words() {
        let names: BTreeSet<_> = EventName::ALL.iter().map(|name| name.as_str()).collect();
        assert_eq!(names.len(), EventName::ALL.len());
        for name in names {
            let plain = |letter: char| letter.is_ascii_lowercase() || letter == ' ';
            assert!(name.chars().all(plain), "{name}");
        }
    }
}
