//! Promises as written.

use std::ops::Range as Span;

use area_net::sim::parse::words::Wrong;
use serde::Deserialize;

use crate::places::names::{Known, Names, seconds};
use crate::places::scenario::{Promise, What, Who};

/// A promise as written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table, [[must]]")]
pub(super) struct RawMust {
    know: Option<Names>,
    whom: Option<Names>,
    linked: Option<Names>,
    apart: Option<Names>,
    links: Option<Names>,
    with: Option<Names>,
    least: Option<usize>,
    address: Option<Names>,
    by: Option<Names>,
    is: Option<Names>,
    never: Option<Names>,
    never_down: Option<Names>,
    bytes_per_s: Option<f64>,
    of: Option<Names>,
    tried: Option<usize>,
    to: Option<String>,
    says: Option<String>,
    writes: Option<String>,
    after: Option<String>,
    within: Option<String>,
    until: Option<String>,
}

impl RawMust {
    /// The promise.
    pub(super) fn promise(
        self,
        known: &Known,
        span: &Span<usize>,
        lasts_s: f64,
    ) -> Result<Promise, Wrong> {
        let wrong = |what: &str| Wrong::new(span.clone(), what);
        let time =
            |text: &Option<String>| text.as_deref().map(|text| seconds(text, span)).transpose();
        let (after_s, within, until_s) =
            (time(&self.after)?, time(&self.within)?, time(&self.until)?);
        let what = self.what(known, span)?;
        let lasting = matches!(what, What::NeverDown { .. } | What::Bytes { .. });
        let within_s = match (within, lasting) {
            (Some(within), false) => within,
            (None, true) => 0.0,
            (None, false) => return Err(wrong("`within` must say how soon")),
            (Some(_), true) => {
                return Err(wrong(
                    "this must hold all the time: use `after` and `until`",
                ));
            }
        };
        if until_s.is_some() && !lasting {
            return Err(wrong("`until` is only for what must hold all the time"));
        }
        if after_s.unwrap_or(0.0) + within_s > lasts_s || until_s.unwrap_or(0.0) > lasts_s {
            return Err(wrong("the run ends before this could be judged"));
        }
        Ok(Promise {
            what,
            after_s,
            within_s,
            until_s,
        })
    }

    fn what(self, known: &Known, span: &Span<usize>) -> Result<What, Wrong> {
        let wrong = |what: &str| Wrong::new(span.clone(), what);
        let who = |names: Names| known.who(names, span);
        let all = || -> Who { vec!["all".to_owned()] };
        let or_all = |names: Option<Names>| names.map_or_else(|| Ok(all()), who);
        let each = |names: Names| names.list().into_iter().map(|name| who(Names::One(name)));
        let mut found = Vec::new();
        if let Some(names) = self.know {
            let whom = self.whom.clone().map(who).transpose()?;
            found.push(What::Know {
                who: who(names)?,
                whom,
            });
        }
        if let Some(names) = self.linked {
            found.push(What::Linked(each(names).collect::<Result<_, _>>()?));
        }
        if let Some(names) = self.apart {
            found.push(What::Apart(each(names).collect::<Result<_, _>>()?));
        }
        if let Some(names) = self.links {
            found.push(What::Links {
                of: who(names)?,
                with: or_all(self.with)?,
                least: self.least.unwrap_or(1),
            });
        }
        if let Some(names) = self.address {
            found.push(What::Address {
                of: who(names)?,
                by: or_all(self.by.clone())?,
                is: self.is.map_or_else(Vec::new, |names| names.list()),
                never: self.never.map_or_else(Vec::new, |names| names.list()),
            });
        }
        if let Some(names) = self.never_down {
            found.push(What::NeverDown {
                who: who(names)?,
                whom: or_all(self.whom)?,
            });
        }
        if let Some(most) = self.bytes_per_s {
            found.push(What::Bytes {
                of: or_all(self.of)?,
                most,
            });
        }
        let by = || or_all(self.by.clone());
        if let Some(count) = self.tried {
            let to = self.to.ok_or_else(|| wrong("`to` must name a prefix"))?;
            found.push(What::Tried {
                by: by()?,
                to,
                count,
            });
        }
        if let Some(text) = self.says {
            found.push(What::Says { by: by()?, text });
        }
        if let Some(text) = self.writes {
            found.push(What::Writes { by: by()?, text });
        }
        match (found.pop(), found.pop()) {
            (Some(what), None) => Ok(what),
            (None, _) => Err(wrong("a promise must say what holds")),
            (Some(_), Some(_)) => Err(wrong("a promise says one thing; write another [[must]]")),
        }
    }
}
