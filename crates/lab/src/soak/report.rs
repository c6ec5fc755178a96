//! The table of a soak, in Markdown.

use std::fmt::Write as _;

use super::judge::Judgement;

/// The verdicts, and below them what else was measured.
pub(crate) fn table(judgement: &Judgement) -> String {
    let conditions = &judgement.conditions;
    let mut text = format!(
        "# {} nodes, {:.1} min of {:.0}{}\n\n- {}, seed {}\n- never restarted: nodes {:?}\n\n| must hold | measured | held |\n| --- | --- | --- |\n",
        conditions.nodes,
        judgement.lasted_s / 60.0,
        conditions.for_s / 60.0,
        if judgement.ended { "" } else { ", not ended" },
        conditions.binary.display(),
        conditions.seed,
        conditions.elders,
    );
    let cell = |text: &str| text.replace('|', "\\|").replace('\n', " ");
    for verdict in &judgement.verdicts {
        let held = match verdict.held {
            Some(true) => "yes",
            Some(false) => "**no**",
            None => "not judged",
        };
        // Writing to a string can't fail.
        let _written = writeln!(
            text,
            "| {} | {} | {held} |",
            cell(&verdict.promised),
            cell(&verdict.measured)
        );
    }
    text.push_str("\n| figure | measured |\n| --- | --- |\n");
    for (figure, measured) in &judgement.figures {
        let _written = writeln!(text, "| {} | {} |", cell(figure), cell(measured));
    }
    text
}
