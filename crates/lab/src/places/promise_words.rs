//! Promises in words, for the table.

use crate::places::scenario::{Promise, What, Who};

/// A promise in words.
pub(crate) fn words(promise: &Promise) -> String {
    let list = |who: &Who| who.join(", ");
    let what = match &promise.what {
        What::Know { who, whom: None } => match list(who).as_str() {
            "all" => "all know all".to_owned(),
            who => format!("{who}: know all"),
        },
        What::Know {
            who,
            whom: Some(whom),
        } => format!("{} know {}", list(who), list(whom)),
        What::Linked(groups) => format!(
            "linked directly: {}",
            groups.iter().map(list).collect::<Vec<_>>().join(" with ")
        ),
        What::Apart(groups) => format!(
            "not linked directly: {}",
            groups.iter().map(list).collect::<Vec<_>>().join(" with ")
        ),
        What::Links { of, with, least } => {
            format!("{}: {least} links or more with {}", list(of), list(with))
        }
        What::Address { of, by, is, .. } if is.is_empty() => {
            format!(
                "right addresses of {} in the views of {}",
                list(of),
                list(by)
            )
        }
        What::Address { of, by, is, .. } => format!(
            "{} at {} in the views of {}",
            list(of),
            is.join(" "),
            list(by)
        ),
        What::NeverDown { who, whom } => {
            format!("{} never shown as down by {}", list(whom), list(who))
        }
        What::Bytes { of, most } => format!("{}: at most {most} bytes a second each", list(of)),
        What::Tried { by, to, count } => format!("{} tries {count} addresses of {to}", list(by)),
        What::Says { by, text } => format!("{} says \"{text}\"", list(by)),
        What::Writes { by, text } => format!("peers.json of {} contains {text}", list(by)),
    };
    let after = promise
        .after_s
        .map_or(String::new(), |after| format!(", from {after} s on"));
    match &promise.what {
        What::NeverDown { .. } | What::Bytes { .. } => {
            let until = promise
                .until_s
                .map_or(String::new(), |until| format!(" until {until} s"));
            format!("{what}{after}{until}")
        }
        _ => format!("{what} within {} s{after}", promise.within_s),
    }
}
