//! Explains a file of an authority, or a member's folder, in words.

use std::fmt::Write as _;
use std::path::Path;

use super::office::{Member, Office, OfficeError, id_in};
use crate::admission::date::{date, span};
use crate::admission::files::{
    AUTHORITY, Content, FileError, MEMBER, read_authority, read_certificate,
};
use crate::ask::text::clean;
use crate::certificate::{Authorities, Certificate, Unfit};
use crate::revocations::Revocations;

/// Explains a file or folder.
pub(super) fn show(path: &Path, now_s: u64) -> Result<String, OfficeError> {
    if !path.is_dir() {
        return Ok(match Content::read(path)? {
            Content::Authority(authorities) => authority(&authorities),
            Content::Certificate(one) => {
                let beside = path.with_file_name(AUTHORITY);
                let authorities = read_authority(&beside).ok();
                certificate(&one, authorities.as_ref(), now_s)
            }
            Content::Revocations(revocations) => {
                let beside = path.with_file_name(AUTHORITY);
                revoked(&revocations, read_authority(&beside).ok().as_ref())
            }
        });
    }
    if path.join("members.json").exists() || path.join("authority.key").exists() {
        return Ok(office(&Office::open(path)?, now_s));
    }
    member_folder(path, now_s)
}

/// A member's folder, such as `certs/bob`.
fn member_folder(path: &Path, now_s: u64) -> Result<String, OfficeError> {
    let id = id_in(path)?;
    let mut text = format!("node          {id}\n");
    let authorities = optional(read_authority(&path.join(AUTHORITY)))?;
    let one = optional(read_certificate(&path.join(MEMBER)))?;
    match (&authorities, one) {
        (_, Some(one)) => text += &certificate(&one, authorities.as_ref(), now_s),
        (Some(authorities), None) => {
            let _ = writeln!(
                text,
                "certificate   none: this node is no member of the network {} yet; admit it with: area-net network admit DIR {id}",
                authorities.network()
            );
        }
        (None, None) => {
            text += "certificate   none: the node runs in a network without authority\n"
        }
    }
    Ok(text)
}

/// A file that need not be there.
fn optional<T>(read: Result<T, FileError>) -> Result<Option<T>, FileError> {
    match read {
        Err(error) if error.is_missing() => Ok(None),
        read => read.map(Some),
    }
}

fn authority(authorities: &Authorities) -> String {
    let mut text = format!(
        "the public file of the authority of the network {}\n",
        authorities.network()
    );
    for (at, key) in authorities.keys().iter().enumerate() {
        let word = if at == 0 { "key" } else { "older key" };
        let _ = writeln!(text, "{word:13} {key}");
    }
    text
}

fn certificate(one: &Certificate, authorities: Option<&Authorities>, now_s: u64) -> String {
    let terms = one.terms();
    let mut text = format!(
        "certificate   number {} for the network {}\nof the node   {}\nlabels        {}\n",
        terms.serial,
        terms.network,
        terms.id,
        clean(&terms.label)
    );
    if !terms.groups.is_empty() {
        let _ = writeln!(text, "groups        {}", terms.groups.join(", "));
    }
    let (from, until) = (date(terms.not_before), date(terms.not_after));
    let _ = writeln!(text, "counts        from {from} to {until}");
    let verdict = match authorities {
        None => format!("can't tell who signed it: there is no {AUTHORITY} beside it"),
        Some(authorities) => match authorities.admit(&terms.id, None, Some(one), now_s) {
            Ok(()) => format!(
                "good: signed by the authority, and has {} left",
                span(terms.not_after.saturating_sub(now_s))
            ),
            Err(Unfit::Expired { ago_s }) => format!("expired {} ago", span(ago_s)),
            Err(Unfit::NotYet { in_s }) => {
                format!(
                    "begins in {}; is the clock of this machine right?",
                    span(in_s)
                )
            }
            Err(other) => format!("not good: {other}"),
        },
    };
    let _ = writeln!(text, "verdict       {verdict}");
    text
}

fn revoked(revocations: &Revocations, authorities: Option<&Authorities>) -> String {
    let list = revocations.list();
    let mut text = format!(
        "revocations   number {} of the network {}, signed on {}\n",
        list.number,
        list.network,
        date(list.issued)
    );
    let verdict = match authorities {
        None => format!("can't tell who signed it: there is no {AUTHORITY} beside it"),
        Some(authorities) => match revocations.verify(authorities.network(), authorities.keys()) {
            Ok(_) => "good: signed by the authority".to_owned(),
            Err(error) => format!("not good: {error}"),
        },
    };
    let _ = writeln!(text, "verdict       {verdict}");
    let _ = writeln!(text, "nodes         {}", list.ids.len());
    for id in &list.ids {
        let _ = writeln!(text, "  {id}");
    }
    text
}

/// An authority's folder: the members that it admitted.
fn office(office: &Office, now_s: u64) -> String {
    let mut text = authority(office.authorities());
    let members = office.members();
    let _ = writeln!(text, "members       {}", members.len());
    for Member {
        id,
        label,
        groups,
        not_after,
        revoked,
        ..
    } in members
    {
        let state = if *revoked {
            "revoked".to_owned()
        } else if *not_after < now_s {
            format!("expired on {}", date(*not_after))
        } else {
            format!(
                "until {} ({} left)",
                date(*not_after),
                span(not_after - now_s)
            )
        };
        let groups = if groups.is_empty() {
            String::new()
        } else {
            format!("; groups {}", groups.join(", "))
        };
        let _ = writeln!(text, "  {} {id} {state}{groups}", clean(label));
    }
    text
}
