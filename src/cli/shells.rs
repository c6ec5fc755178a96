//! `area-net completions` and `area-net man`, made from the definition of the command line.
//!
//! Shells complete labels of nodes too: their scripts ask the running node (`area-net nodes --labels`). A label is any text, perhaps hostile.
//! So no script evaluates one, and a label is completed quoted.

use std::io::{self, Write as _};
use std::path::Path;

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::Cli;

/// Replaces bash's function, `_clap`, by one that completes labels where a node is expected. `compgen -W` would expand a label's `$(…)`.
const BASH: &str = r#"
_area-net_with_labels() {
    _clap "$@"
    local current=${COMP_WORDS[COMP_CWORD]} label
    local -a profile=()
    case ${COMP_WORDS[1]}:$current:${COMP_WORDS[COMP_CWORD-1]} in
        *:-*:* | *:-p | *:--profile | *:--at) return ;;
        node:* | link:* | path:* | ping:*) ;;
        *) return ;;
    esac
    for ((at = 2; at + 1 < COMP_CWORD; at++)); do
        case ${COMP_WORDS[at]} in -p | --profile) profile=(-p "${COMP_WORDS[at + 1]}") ;; esac
    done
    COMPREPLY=()
    while IFS= read -r label; do
        [[ $label == "$current"* ]] && COMPREPLY+=("$(printf %q "$label")")
    done < <("${COMP_WORDS[0]}" nodes --labels "${profile[@]}" 2>/dev/null)
}
complete -F _area-net_with_labels -o nosort -o bashdefault -o default area-net 2>/dev/null ||
    complete -F _area-net_with_labels -o bashdefault -o default area-net
"#;

/// The labels for fish.
const FISH: &str = r#"
complete -c area-net -n "__fish_seen_subcommand_from node link path ping" -f -a "(area-net nodes --labels 2>/dev/null)"
"#;

/// The labels for zsh: the action of each argument that is a node.
const ZSH: &str = r#"
_area-net_nodes() {
    local -a labels
    labels=("${(@f)$(_call_program labels area-net nodes --labels 2>/dev/null)}")
    compadd -a labels
}
"#;
/// What clap's script does for such an argument.
const ZSH_DEFAULT: &str = ":_default";

/// Prints the completions of a shell on stdout.
///
/// # Errors
/// If stdout can't be written.
pub fn completions(shell: Shell) -> io::Result<()> {
    io::stdout().write_all(script(shell).as_bytes())
}

fn script(shell: Shell) -> String {
    let mut bytes = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "area-net", &mut bytes);
    let script = String::from_utf8(bytes).expect("clap writes UTF-8");
    match shell {
        Shell::Bash => {
            let function = script.split_once("()").map_or("", |(name, _)| name.trim());
            let with_labels = BASH.replace("_clap", function);
            // clap-rs/clap#6421: of a program whose name has a hyphen, bash completes no option of a subcommand.
            script.replace("area__subcmd__net", "area__net") + &with_labels
        }
        Shell::Fish => script + FISH,
        Shell::Zsh => with_nodes(&script),
        // Those without a way that was tried complete everything but labels.
        _ => script,
    }
}

fn with_nodes(script: &str) -> String {
    let line = |line: &str| {
        let is_node = [":x --", ":y --", "::ends --", ":ends --"]
            .iter()
            .any(|name| line.contains(name));
        if is_node {
            line.replace(ZSH_DEFAULT, ":_area-net_nodes")
        } else {
            line.to_owned()
        }
    };
    let mut lines = script.lines().map(line);
    let mut script = lines.next().unwrap_or_default() + "\n" + ZSH;
    for line in lines {
        script.push_str(&line);
        script.push('\n');
    }
    script
}

/// Prints the manual page of `area-net` on stdout, or writes those of all commands into a folder, which is created if it is missing.
///
/// # Errors
/// If they can't be written.
pub fn man(dir: Option<&Path>) -> io::Result<()> {
    let command = Cli::command();
    match dir {
        None => clap_mangen::Man::new(command).render(&mut io::stdout()),
        Some(dir) => {
            std::fs::create_dir_all(dir)?;
            clap_mangen::generate_to(command, dir)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn every_shell_gets_a_script() {
        for shell in [
            Shell::Bash,
            Shell::Zsh,
            Shell::Fish,
            Shell::Elvish,
            Shell::PowerShell,
        ] {
            assert!(script(shell).contains("wait"), "{shell}");
        }
        let zsh = script(Shell::Zsh);
        assert_eq!(zsh.matches(":_area-net_nodes").count(), 5, "{zsh}");
        assert!(zsh.starts_with("#compdef area-net\n"));
    }

    /// Completes the last word in a real bash. The node's labels are hostile.
    fn complete(words: &[&str]) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        let bin = dir.path().join("area-net");
        let ran = dir.path().join("ran");
        let hostile = format!(
            "$(touch {0})\n`touch {0}`\nalice\nal ice\n*\n",
            ran.display()
        );
        let program = format!("#!/bin/sh\n[ \"$1\" = nodes ] && cat <<'END'\n{hostile}END\n");
        std::fs::write(&bin, program).unwrap();
        std::fs::set_permissions(&bin, std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .unwrap();
        let mut line = script(Shell::Bash);
        line.push_str("\nCOMP_WORDS=(\"$@\")\nCOMP_CWORD=$(($# - 1))\n_area-net_with_labels \"$1\" \"${@: -1}\" \"${@: -2:1}\"\nprintf '%s\\n' \"${COMPREPLY[@]}\"\n");
        let output = Command::new("bash")
            .args(["--norc", "-c", &line, "bash"])
            .arg(&bin)
            .args(words)
            .output()
            .unwrap();
        assert!(!ran.exists(), "a label was run");
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn bash_completes_labels_and_runs_none() {
        assert_eq!(complete(&["node", "al"]), ["alice", "al\\ ice"]);
        assert_eq!(complete(&["path", "alice", ""]).len(), 5);
        assert!(complete(&["node", "--js"]).contains(&"--json".to_owned()));
        assert!(complete(&["wa"]).contains(&"wait".to_owned()));
    }

    #[test]
    fn the_manual_has_a_page_for_each_command() {
        let dir = tempfile::tempdir().unwrap();
        let pages = dir.path().join("man1");
        man(Some(&pages)).unwrap();
        for name in [
            "area-net.1",
            "area-net-status.1",
            "area-net-wait.1",
            "area-net-sim.1",
        ] {
            let page = std::fs::read_to_string(pages.join(name)).unwrap();
            assert!(page.contains(".TH"), "{name}");
        }
    }
}
