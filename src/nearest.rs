//! "Did you mean": the known word that is nearest to a mistyped one.

/// Longer words are cut here: edits are counted in time proportional to both lengths, and a word may come from anywhere.
const MAX_LETTERS: usize = 100;

/// How many letters must be added, removed, replaced or swapped to make one word of the other.
#[must_use]
pub fn edits(word: &str, known: &str) -> usize {
    let word: String = word.chars().take(MAX_LETTERS).collect();
    strsim::damerau_levenshtein(&word, known)
}

/// At least so many edits make one word of the other: no edit changes the number of letters by more than one.
#[must_use]
pub fn fewest_edits(word: &str, known: &str) -> usize {
    let letters = word.chars().take(MAX_LETTERS).count();
    letters.abs_diff(known.chars().count())
}

/// The nearest known word, however far away it is; the first of those that are equally near. `None` if no word is known.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known.into_iter().min_by_key(|known| edits(word, known))
}

/// The known word that was probably meant: one that begins with `word`, or else the nearest if few letters differ.
pub fn probable<'a>(
    word: &str,
    known: impl IntoIterator<Item = &'a str> + Clone,
) -> Option<&'a str> {
    let word = word.to_lowercase();
    // An abbreviation is many edits away from what it stands for.
    let mut whole = known.clone().into_iter();
    if let Some(whole) = whole.find(|known| known.starts_with(&word)) {
        return Some(whole);
    }
    nearest(&word, known).filter(|known| edits(&word, known) <= 1 + known.len() / 4)
}

/// `; did you mean …?` with the nearest known word, to be put after a message. Empty if no word is known.
pub fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, known).map_or_else(String::new, |known| format!("; did you mean `{known}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 4] = ["kill", "link", "leave", "distribution"];

    #[test]
    fn the_nearest_word_is_found_and_the_first_of_equals() {
        assert_eq!(nearest("klil", KNOWN), Some("kill"));
        assert_eq!(nearest("lonk", KNOWN), Some("link"));
        assert_eq!(nearest("", ["one", "two"]), Some("one"));
        assert_eq!(nearest("kill", []), None);
    }

    #[test]
    fn a_hint_is_a_question_or_nothing() {
        assert_eq!(did_you_mean("laeve", KNOWN), "; did you mean `leave`?");
        assert_eq!(did_you_mean("laeve", []), "");
    }

    #[test]
    fn what_is_far_away_was_probably_not_meant() {
        assert_eq!(probable("klil", KNOWN), Some("kill"));
        assert_eq!(probable("dist", KNOWN), Some("distribution"));
        assert_eq!(probable("KILL", KNOWN), Some("kill"));
        assert_eq!(probable("everything", KNOWN), None);
    }

    #[test]
    fn a_word_without_end_takes_no_time_without_end() {
        let endless = "ä".repeat(1_000_000);
        assert_eq!(edits(&endless, "kill"), MAX_LETTERS);
        assert_eq!(probable(&endless, KNOWN), None);
    }
}
