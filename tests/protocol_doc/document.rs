//! The document as data: its examples, its tables, and a decoder that knows only these tables.

/// `docs/protocol.md`.
pub(crate) struct Document {
    lines: Vec<&'static str>,
    examples: Vec<(&'static str, Vec<u8>)>,
}

/// The cell without its backquotes.
pub(crate) fn bare(cell: &str) -> &str {
    cell.trim_matches('`')
}

/// The number that a cell begins with; commas group its digits.
pub(crate) fn number(cell: &str) -> usize {
    let digits = cell.chars().take_while(|c| c.is_ascii_digit() || *c == ',');
    let digits: String = digits.filter(|c| *c != ',').collect();
    digits.parse().unwrap()
}

fn unhex(text: &str) -> Vec<u8> {
    let code = text.lines().map(|line| line.split('#').next().unwrap());
    let digits: String = code.flat_map(str::split_whitespace).collect();
    assert_eq!(digits.len() % 2, 0, "{text}");
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap())
        .collect()
}

impl Document {
    pub(crate) fn read() -> Self {
        let text = include_str!("../../docs/protocol.md");
        let mut examples = Vec::new();
        for block in text.split("\n```hex ").skip(1) {
            let (info, rest) = block.split_once('\n').unwrap();
            let (code, _) = rest.split_once("\n```").unwrap();
            examples.push((info.trim(), unhex(code)));
        }
        assert!(!examples.is_empty());
        Self {
            lines: text.lines().collect(),
            examples,
        }
    }

    /// Every block that is marked as hex, with the words after that mark.
    pub(crate) fn examples(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.examples
            .iter()
            .map(|(info, bytes)| (*info, bytes.as_slice()))
    }

    pub(crate) fn example(&self, info: &str) -> Vec<u8> {
        let mut found = self.examples().filter(|(other, _)| *other == info);
        let (_, bytes) = found.next().unwrap_or_else(|| panic!("no example {info}"));
        assert!(found.next().is_none(), "two examples {info}");
        bytes.to_vec()
    }

    /// The rows of the first table after the line that begins like this, without the table's head.
    pub(crate) fn table(&self, caption: &str) -> Vec<Vec<String>> {
        let is_caption = |line: &&str| line.starts_with(caption);
        assert_eq!(
            self.lines.iter().filter(|line| is_caption(line)).count(),
            1,
            "{caption}"
        );
        let behind = self.lines.iter().skip_while(|line| !is_caption(line));
        let table = behind.skip_while(|line| !line.starts_with('|'));
        let rows = table.take_while(|line| line.starts_with('|')).skip(2);
        let cells = |row: &&str| {
            let row = row.trim_matches('|');
            row.split('|').map(|cell| cell.trim().to_owned()).collect()
        };
        rows.map(cells).collect()
    }

    /// Decodes a value of that type from the front of the bytes, by the document alone, and returns the rest. `None` if the bytes are no
    /// such value.
    pub(crate) fn walk<'a>(&self, kind: &str, bytes: &'a [u8]) -> Option<&'a [u8]> {
        self.walk_and_note(kind, bytes, &mut Vec::new())
    }

    /// The place of each number in those bytes: its offset, its length in bytes, and the bits of its type.
    pub(crate) fn numbers(&self, kind: &str, bytes: &[u8]) -> Vec<(usize, usize, u32)> {
        let mut noted = Vec::new();
        self.walk_and_note(kind, bytes, &mut noted).unwrap();
        let place =
            |(left, rest, bits): (usize, usize, u32)| (bytes.len() - left, left - rest, bits);
        noted.into_iter().map(place).collect()
    }

    /// Notes for each number how many bytes were left before and after it, and the bits of its type.
    fn walk_and_note<'a>(
        &self,
        kind: &str,
        bytes: &'a [u8],
        noted: &mut Vec<(usize, usize, u32)>,
    ) -> Option<&'a [u8]> {
        if let Some(of) = kind.strip_prefix("list of ") {
            let (count, mut rest) = varint(bytes, 10)?;
            for _ in 0..count {
                rest = self.walk_and_note(of, rest, noted)?;
            }
            return Some(rest);
        }
        if let Some(of) = kind.strip_prefix("option of ") {
            let (is_there, rest) = bytes.split_first()?;
            return match is_there {
                0 => Some(rest),
                1 => self.walk_and_note(of, rest, noted),
                _ => None,
            };
        }
        if let Some(length) = kind.strip_prefix('[') {
            let length: usize = length.strip_suffix(']').unwrap().parse().unwrap();
            return bytes.get(length..);
        }
        match kind {
            "byte" => bytes.get(1..),
            "bool" => bytes
                .split_first()
                .filter(|(b, _)| **b < 2)
                .map(|(_, rest)| rest),
            "u16" | "u32" | "u64" => {
                let bits: u32 = kind[1..].parse().unwrap();
                let (value, rest) = varint(bytes, bits.div_ceil(7) as usize)?;
                noted.push((bytes.len(), rest.len(), bits));
                (value <= u64::MAX >> (64 - bits)).then_some(rest)
            }
            "bytes" | "text" => {
                let (length, rest) = varint(bytes, 10)?;
                rest.get(usize::try_from(length).ok()?..)
            }
            structure => self.walk_fields(structure, bytes, noted),
        }
    }

    fn walk_fields<'a>(
        &self,
        kind: &str,
        bytes: &'a [u8],
        noted: &mut Vec<(usize, usize, u32)>,
    ) -> Option<&'a [u8]> {
        let enumeration = format!("Variants of `{kind}`");
        let (fields, mut rest) = if self.lines.iter().any(|line| line.starts_with(&enumeration)) {
            let (variant, rest) = varint(bytes, 5)?;
            let rows = self.table(&enumeration);
            let row = rows
                .into_iter()
                .find(|row| number(&row[0]) as u64 == variant)?;
            (fields_in(&row[2]), rest)
        } else {
            let rows = self.table(&format!("Fields of `{kind}`"));
            let types = rows.iter().map(|row| bare(&row[1]).to_owned());
            (types.collect(), bytes)
        };
        for field in &fields {
            rest = self.walk_and_note(field, rest, noted)?;
        }
        Some(rest)
    }
}

/// The types in a cell such as "`ip`: `[4]`, `port`: `u16`".
fn fields_in(cell: &str) -> Vec<String> {
    let fields = cell.split(", ").filter(|field| !field.is_empty());
    let kind = |field: &str| bare(field.split_once(": ").unwrap().1).to_owned();
    fields.map(kind).collect()
}

/// The shortest varint of a number.
pub(crate) fn to_varint(mut value: u128) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value > 0x7f {
        bytes.push(0x80 | (value & 0x7f) as u8);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// A varint of at most so many bytes, in any form, and the rest.
fn varint(bytes: &[u8], most: usize) -> Option<(u64, &[u8])> {
    let mut value: u128 = 0;
    for (at, byte) in bytes.iter().take(most).enumerate() {
        value |= u128::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((u64::try_from(value).ok()?, &bytes[at + 1..]));
        }
    }
    None
}
