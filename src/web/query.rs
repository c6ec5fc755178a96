//! Paths and queries: percent-encoded text.

use hyper::StatusCode;

use super::body::Problem;

/// Decodes percent-encoded text; `+` is a space in a query only.
pub(super) fn decode(text: &str, is_query: bool) -> Result<String, Problem> {
    let bad = || {
        let what = format!("{text:?} is not percent-encoded UTF-8");
        Problem::new(StatusCode::BAD_REQUEST, what)
    };
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, behind)) = rest.split_first() {
        rest = behind;
        match first {
            b'%' => {
                let (digits, behind) = rest.split_first_chunk::<2>().ok_or_else(bad)?;
                let digit = |digit: u8| char::from(digit).to_digit(16);
                let value = digit(digits[0]).zip(digit(digits[1])).ok_or_else(bad)?;
                bytes.push(u8::try_from(value.0 * 16 + value.1).expect("two digits are a byte"));
                rest = behind;
            }
            b'+' if is_query => bytes.push(b' '),
            other => bytes.push(other),
        }
    }
    String::from_utf8(bytes).map_err(|_| bad())
}

/// The names and values of a query.
#[derive(Debug, Default)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn parse(query: Option<&str>) -> Result<Self, Problem> {
        let pairs = query.unwrap_or_default().split('&');
        let pairs = pairs.filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decode(name, true)?, decode(value, true)?))
        });
        pairs.collect::<Result<_, _>>().map(Self)
    }

    /// The value of that name; the last one counts.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let same = self.0.iter().rev().find(|(it, _)| it == name);
        same.map(|(_, value)| value.as_str())
    }

    /// A time in Unix ms.
    pub(super) fn time(&self, name: &str) -> Result<Option<i64>, Problem> {
        self.number(name, "a time in Unix ms")
    }

    /// A number of that meaning.
    pub(super) fn number(&self, name: &str, meaning: &str) -> Result<Option<i64>, Problem> {
        let parse = |value: &str| {
            value.parse().map_err(|_| {
                let what = format!("{name} is {value:?}, and must be {meaning}");
                Problem::new(StatusCode::BAD_REQUEST, what)
            })
        };
        self.get(name).map(parse).transpose()
    }

    /// Refuses names that are not among these: a mistyped one would be ignored otherwise.
    pub(super) fn only(&self, names: &[&str]) -> Result<(), Problem> {
        let unknown = self
            .0
            .iter()
            .find(|(name, _)| !names.contains(&name.as_str()));
        unknown.map_or(Ok(()), |(name, _)| {
            let what = format!("there is no parameter {name:?} here");
            let hint = match names {
                [] => "there are none".to_owned(),
                names => format!("there are: {}", names.join(", ")),
            };
            Err(Problem::new(StatusCode::BAD_REQUEST, what).hint(hint))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_what_browsers_send() {
        let query = Query::parse(Some("a=b%20c+d&e&f=%C3%A4&a=x")).unwrap();
        assert_eq!(query.get("a"), Some("x"));
        assert_eq!(query.get("e"), Some(""));
        assert_eq!(query.get("f"), Some("ä"));
        assert_eq!(query.get("g"), None);
        assert_eq!(decode("a+b%2Fc", false).unwrap(), "a+b/c");
        for bad in ["%", "%4", "%zz", "%ff"] {
            assert!(decode(bad, false).is_err(), "{bad}");
        }
    }
}
