//! `area-net network`: makes an authority, admits members and revokes them.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::office::{Admitted, Office, OfficeError, Wish};
use super::show::show;
use crate::admission::date::date;
use crate::admission::files::{AUTHORITY, MEMBER, REVOKED};

/// The days that a certificate counts, unless they are given. A year is short enough that renewing is not forgotten, and longer than
/// machines are off. Half as long makes twice the work; twice as long leaves a lost machine a member for two years, if nobody revokes it.
const DAYS: u64 = 365;

/// The commands of an authority.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum AuthorityCommand {
    /// Make the authority of a closed network: a folder with its key, to be kept offline
    #[command(after_help = CREATE)]
    Create {
        /// The folder
        dir: PathBuf,
        /// The network's name, as in the setting network.name
        #[arg(
            long,
            value_name = "NAME",
            default_value = "area-net",
            conflicts_with_all = ["next", "finish"]
        )]
        name: String,
        /// Begin to replace the key of an authority that exists; members trust both keys until that is finished
        #[arg(long)]
        next: bool,
        /// With --next: the old key is lost
        #[arg(long, requires = "next")]
        lost: bool,
        /// Finish the replacement: the old key counts no longer
        #[arg(long, conflicts_with = "next")]
        finish: bool,
    },
    /// Admit nodes: write the certificates that make them members, or renew them
    #[command(after_help = ADMIT)]
    Admit(AdmitArgs),
    /// Revoke members: write the next list of revocations, which spreads from any member to all
    #[command(after_help = REVOKE)]
    Revoke {
        /// The authority's folder
        dir: PathBuf,
        /// Members: labels, ids, or the beginnings of ids; none signs the list anew
        #[arg(value_name = "MEMBER")]
        members: Vec<String>,
    },
    /// Explain a file of an authority, an authority's folder, or a node's folder such as certs/bob
    Show {
        /// The file or folder
        path: PathBuf,
    },
}

/// The arguments of `area-net network admit`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct AdmitArgs {
    /// The authority's folder
    pub dir: PathBuf,
    /// Nodes: ids, folders with a cert.pem, or members whose certificates are to be renewed; with --new, labels
    #[arg(value_name = "NODE", required_unless_present = "renew")]
    pub nodes: Vec<String>,
    /// Make a key for each node too, and call it by that label
    #[arg(long)]
    pub new: bool,
    /// Renew the certificates of all members
    #[arg(long, conflicts_with_all = ["nodes", "new"])]
    pub renew: bool,
    /// Labels that the nodes may have; * stands for any text [default: those of the last certificate, or any]
    #[arg(long, value_name = "PATTERN")]
    pub label: Option<String>,
    /// Groups of the nodes, with commas between them [default: those of the last certificate, or none]
    #[arg(long, value_name = "GROUPS", value_delimiter = ',')]
    pub groups: Option<Vec<String>>,
    /// Days for which the certificates count
    #[arg(long, value_name = "DAYS", default_value_t = DAYS, value_parser = clap::value_parser!(u64).range(1..=36_500))]
    pub days: u64,
}

const CREATE: &str = "\
Examples:
  area-net network create office
  area-net network create office --next     a new key; see docs/certificates.md
  area-net network create office --finish   the old key ends";

const ADMIT: &str = "\
The files of a member are in DIR/members/NAME. Copy them beside its key, to certs/PROFILE of its machine.

Examples:
  area-net network admit office --new alice bob     keys and certificates for two new machines
  area-net network admit office certs/carol --label carol
  area-net network admit office bob --days 30
  area-net network admit office --renew";

const REVOKE: &str = "\
Copy DIR/revoked.list to profiles/PROFILE of any member that runs. It reads the file within seconds, and tells all others.

Examples:
  area-net network revoke office bob";

/// Does what the authority is asked, and says what comes next.
///
/// # Errors
/// If it can't be done. Then no certificate was written after the one that failed.
pub fn run(command: &AuthorityCommand) -> Result<(), OfficeError> {
    let now_s = unix_s();
    let text = match command {
        AuthorityCommand::Create {
            dir,
            next: true,
            lost,
            ..
        } => begin_change(dir, *lost)?,
        AuthorityCommand::Create {
            dir, finish: true, ..
        } => finish_change(dir, now_s)?,
        AuthorityCommand::Create { dir, name, .. } => create(dir, name)?,
        AuthorityCommand::Admit(args) => admit(args, now_s)?,
        AuthorityCommand::Revoke { dir, members } => {
            let mut office = Office::open(dir)?;
            let ids: Result<Vec<_>, _> = members.iter().map(|who| office.find(who)).collect();
            let number = office.revoke(&ids?, now_s)?;
            let file = dir.join(REVOKED).display().to_string();
            format!(
                "{file} is number {number} now. Copy it to the profile's folder of any member that runs:\n  cp {file} profiles/PROFILE/\n"
            )
        }
        AuthorityCommand::Show { path } => show(path, now_s)?,
    };
    // If nobody reads stdout any more, the command has still done its work.
    io::stdout().write_all(text.as_bytes()).ok();
    Ok(())
}

fn create(dir: &Path, name: &str) -> Result<String, OfficeError> {
    let office = Office::create(dir, name)?;
    let shown = dir.display();
    Ok(format!(
        "{shown} is the authority of the network {} now. Keep {shown}/authority.key offline, and a copy of it in a safe place.\n\
         Next: area-net network admit {shown} --new LABEL..., or area-net network admit {shown} ID\n",
        office.authorities().network()
    ))
}

fn begin_change(dir: &Path, lost: bool) -> Result<String, OfficeError> {
    Office::open(dir)?.change_key(lost)?;
    let shown = dir.display();
    Ok(format!(
        "{shown}/authority.key is a new key. Copy its backup to a safe place, and then:\n\
         1. Copy {shown}/{AUTHORITY} to certs/PROFILE of every member. They trust both keys then.\n\
         2. area-net network admit {shown} --renew, and copy each {MEMBER}.\n\
         3. area-net network create {shown} --finish, and do step 1 again.\n"
    ))
}

fn finish_change(dir: &Path, now_s: u64) -> Result<String, OfficeError> {
    Office::open(dir)?.finish_change(now_s)?;
    let shown = dir.display();
    let mut text = format!(
        "The old key is removed. Copy {shown}/{AUTHORITY} to certs/PROFILE of every member, and destroy all copies of the old key.\n"
    );
    if dir.join(REVOKED).exists() {
        text += &format!("Copy {shown}/{REVOKED} to profiles/PROFILE of any member that runs.\n");
    }
    Ok(text)
}

fn admit(args: &AdmitArgs, now_s: u64) -> Result<String, OfficeError> {
    let mut office = Office::open(&args.dir)?;
    let wish = Wish {
        label: args.label.clone(),
        groups: args.groups.clone(),
        days: args.days,
    };
    let mut done = Vec::new();
    if args.renew {
        done = office.renew_all(&wish, now_s)?;
    }
    for who in &args.nodes {
        done.push(if args.new {
            office.admit_new(who, &wish, now_s)?
        } else {
            let id = office.find(who)?;
            office.admit(&id, &wish, now_s)?
        });
    }
    let mut text = String::new();
    for Admitted { member, folder } in &done {
        text += &format!(
            "{} ({}) is a member until {}; its files: {}\n",
            member.label,
            &member.id[..10],
            date(member.not_after),
            folder.display()
        );
    }
    text += match (done.as_slice(), args.new) {
        ([], _) => "there are no members\n",
        (_, true) => {
            "Copy each folder to certs/ on its machine, by a safe way, for it holds the machine's key; then remove it here.\n"
        }
        (_, false) => "",
    };
    if !args.new && !done.is_empty() {
        text += &format!("Copy {MEMBER} and {AUTHORITY} to certs/PROFILE on each machine.\n");
    }
    Ok(text)
}

#[expect(
    clippy::disallowed_methods,
    reason = "an authority signs dates; no node runs here"
)]
fn unix_s() -> u64 {
    let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since_1970.unwrap_or_default().as_secs()
}
