//! The rules that map destinations to impairments.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use super::error::{Fault, ParseError};
use super::grammar::{Parser, Word, words};
use super::{Impairment, MAX_RULES, MAX_TEXT};

/// The impairments of a node's links, by destination. The default impairs nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules(Vec<Rule>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    to: Destination,
    impairment: Arc<Impairment>,
}

/// The destination of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Destination {
    Any,
    /// Every port of an address.
    Host(IpAddr),
    Peer(IpAddr, u16),
}

impl Destination {
    /// How specifically this matches the address; the most specific match wins. `None`: no match.
    fn specificity(self, addr: &SocketAddr) -> Option<u8> {
        let ip = addr.ip().to_canonical();
        match self {
            Self::Any => Some(0),
            Self::Host(host) => (host == ip).then_some(1),
            Self::Peer(host, port) => (host == ip && port == addr.port()).then_some(2),
        }
    }
}

impl Rules {
    /// Whether there are no rules.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The impairment of packets to that address, if a rule matches. An IPv4-mapped address counts as the IPv4 address.
    #[must_use]
    pub fn impairment_to(&self, addr: &SocketAddr) -> Option<&Arc<Impairment>> {
        let matching = self
            .0
            .iter()
            .filter_map(|rule| Some((rule.to.specificity(addr)?, rule)));
        let (_, rule) = matching.max_by_key(|(specificity, _)| *specificity)?;
        Some(&rule.impairment)
    }
}

/// Prints the rules in canonical form. Parsing the output gives the same rules.
impl fmt::Display for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, rule) in self.0.iter().enumerate() {
            f.write_str(if index == 0 { "" } else { "; " })?;
            match rule.to {
                Destination::Any => {}
                Destination::Host(host) => write!(f, "to {host} ")?,
                Destination::Peer(host, port) => write!(f, "to {} ", SocketAddr::new(host, port))?,
            }
            write!(f, "{}", rule.impairment)?;
        }
        Ok(())
    }
}

impl FromStr for Rules {
    type Err = ParseError;

    /// Parses rules. A text without words gives no rules.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        if text.len() > MAX_TEXT {
            let whole = Word {
                column: 1,
                text: "",
            };
            return Err(whole.refuse(Fault::TooLong));
        }
        let words = words(text);
        let mut rules = Self::default();
        if words.is_empty() {
            return Ok(rules);
        }
        let end = Word {
            column: text.chars().count() + 1,
            text: "",
        };
        let semicolon = |word: &Word<'_>| word.text == ";";
        let ends = words.iter().copied().filter(semicolon).chain([end]);
        for (words, end) in words.split(semicolon).zip(ends) {
            rules.add(words, end)?;
        }
        Ok(rules)
    }
}

impl Rules {
    /// Parses a rule and adds it. `end` is the word after it.
    fn add(&mut self, words: &[Word<'_>], end: Word<'_>) -> Result<(), ParseError> {
        let Some(first) = words.first() else {
            return Err(end.refuse(Fault::NoRule));
        };
        let (to, named, words) = if first.text == "to" {
            let Some(address) = words.get(1) else {
                return Err(first.refuse(Fault::NoValue("to [::1]:8090 delay 40ms")));
            };
            let to = destination(address.text).map_err(|fault| address.refuse(fault))?;
            if words.len() == 2 {
                return Err(address.refuse(Fault::NothingHappens));
            }
            (to, address, &words[2..])
        } else {
            (Destination::Any, first, words)
        };
        if self.0.iter().any(|rule| rule.to == to) {
            return Err(named.refuse(Fault::SameDestination));
        }
        if self.0.len() == MAX_RULES {
            return Err(first.refuse(Fault::TooManyRules));
        }
        let impairment = Arc::new(Parser::read(words)?);
        self.0.push(Rule { to, impairment });
        Ok(())
    }
}

/// Parses an address with or without a port. IPv6 with a port is in brackets.
fn destination(text: &str) -> Result<Destination, Fault> {
    const WHAT: &str = "an address such as [::1]:8090, ::1 or 127.0.0.1:8090";
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    let (ip, port) = if let Ok(addr) = text.parse::<SocketAddr>() {
        (addr.ip(), Some(addr.port()))
    } else if let Ok(ip) = bare.unwrap_or(text).parse::<IpAddr>() {
        (ip, None)
    } else {
        return Err(Fault::NotA(WHAT));
    };
    let ip = ip.to_canonical();
    if ip.is_unspecified() || port == Some(0) {
        return Err(Fault::OutOfRange {
            what: "a destination",
            bounds: "an address that can receive packets; omit `to` for a rule that matches every destination",
        });
    }
    Ok(port.map_or(Destination::Host(ip), |port| Destination::Peer(ip, port)))
}
