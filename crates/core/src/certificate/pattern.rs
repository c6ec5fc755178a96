//! Patterns of labels.

/// Whether a pattern covers a label. `*` stands for any text, also for none; everything else stands for itself. Of each `*` only the
/// last one is tried again, so the time grows with the product of both lengths at most.
#[must_use]
pub fn matches(pattern: &str, label: &str) -> bool {
    let (pattern, label) = (pattern.as_bytes(), label.as_bytes());
    let (mut at, mut next) = (0, 0);
    let mut again: Option<(usize, usize)> = None;
    while at < label.len() {
        match pattern.get(next) {
            Some(b'*') => {
                again = Some((next, at));
                next += 1;
            }
            Some(letter) if *letter == label[at] => {
                (next, at) = (next + 1, at + 1);
            }
            Some(_) | None => {
                let Some((star, from)) = again else {
                    return false;
                };
                again = Some((star, from + 1));
                (next, at) = (star + 1, from + 1);
            }
        }
    }
    pattern[next..].iter().all(|letter| *letter == b'*')
}
