//! Who may ask over TCP.
//!
//! A web page from elsewhere must not read this one. A browser tells the name under which it reached us (Host) and the page that
//! asks (Origin, Sec-Fetch-Site). A name that an attacker made lead here is refused (DNS rebinding): only addresses and `localhost`
//! are answered. Beyond loopback a token is needed.

use std::net::IpAddr;

use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, StatusCode};

use super::body::Problem;
use super::page;

/// What every answer says. The page loads nothing from elsewhere, runs no script but its own, and nobody may frame it.
const HEADERS: [(HeaderName, &str); 7] = [
    (
        header::CONTENT_SECURITY_POLICY,
        page::CONTENT_SECURITY_POLICY,
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::CACHE_CONTROL, "no-store"),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
];

/// Adds what every answer says.
pub(super) fn protect(headers: &mut HeaderMap) {
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// Nobody writes, and nobody sends a body.
pub(super) fn check_method(method: &Method, headers: &HeaderMap) -> Result<(), Problem> {
    if *method != Method::GET && *method != Method::HEAD {
        let what = format!("{method} is not possible: this API only reads");
        return Err(Problem::new(StatusCode::METHOD_NOT_ALLOWED, what));
    }
    let length = headers.get(header::CONTENT_LENGTH);
    let has_body = length.is_some_and(|length| length != "0");
    if has_body || headers.contains_key(header::TRANSFER_ENCODING) {
        let what = "the request has a body, and this API takes none";
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, what));
    }
    Ok(())
}

/// Checks a request over TCP. `token`: what a reader must know, beyond loopback; `needs_token`: this path asks for it.
pub(super) fn check_tcp(
    headers: &HeaderMap,
    token: Option<&str>,
    needs_token: bool,
) -> Result<(), Problem> {
    // One that is there twice means one thing to us and another to somebody else.
    let text = |name: HeaderName| {
        let mut values = headers.get_all(name).iter();
        match (values.next(), values.next()) {
            (None, _) => Ok(None),
            (Some(value), None) => value.to_str().map(Some).map_err(|_| ()),
            (Some(_), Some(_)) => Err(()),
        }
    };
    let forbidden = |what: &str| Problem::new(StatusCode::FORBIDDEN, what);
    let bad_host = || {
        forbidden("the Host of the request is neither an address nor localhost")
            .hint("open the page by its address, such as http://[::1]:8095/")
    };
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = match (hosts.next().map(HeaderValue::to_str), hosts.next()) {
        (Some(Ok(host)), None) if is_address_or_localhost(host) => host,
        _ => return Err(bad_host()),
    };
    let origin = text(header::ORIGIN).map_err(|()| forbidden("the Origin can't be read"))?;
    if origin.is_some_and(|origin| origin.strip_prefix("http://") != Some(host)) {
        return Err(forbidden("a page from elsewhere asks"));
    }
    let site = text(HeaderName::from_static("sec-fetch-site"))
        .map_err(|()| forbidden("Sec-Fetch-Site can't be read"))?;
    // A link from elsewhere may open the page itself: that reads nothing.
    if needs_token && site.is_some_and(|site| site != "same-origin" && site != "none") {
        return Err(forbidden("a page from elsewhere asks"));
    }
    let Some(token) = token.filter(|_| needs_token) else {
        return Ok(());
    };
    let told = text(header::AUTHORIZATION).ok().flatten();
    let told = told.and_then(|told| told.strip_prefix("Bearer "));
    if told.is_some_and(|told| is_same(told, token)) {
        return Ok(());
    }
    let what = "this address needs the token of the node";
    Err(Problem::new(StatusCode::UNAUTHORIZED, what)
        .hint("it is in web.token beside the node's files; send it as Authorization: Bearer TOKEN, or open the page at /#token=TOKEN"))
}

fn is_address_or_localhost(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((name, "")) => name,
            Some((name, port)) if is_port(port) => name,
            _ => return false,
        },
        None => match host.rsplit_once(':') {
            Some((name, port)) if is_port(&format!(":{port}")) => name,
            Some(_) => return false,
            None => host,
        },
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
}

fn is_port(text: &str) -> bool {
    let port = text.strip_prefix(':');
    port.is_some_and(|port| port.parse::<u16>().is_ok())
}

/// Compares in a time that depends on the lengths only.
fn is_same(one: &str, other: &str) -> bool {
    let pairs = one.bytes().zip(other.bytes());
    one.len() == other.len() && pairs.fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            let name: HeaderName = name.parse().unwrap();
            headers.append(name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn only_addresses_and_localhost_are_hosts() {
        for good in [
            "[::1]:8095",
            "[::1]",
            "127.0.0.1:80",
            "localhost",
            "LOCALHOST:8095",
            "192.0.2.7:1",
        ] {
            assert_eq!(
                check_tcp(&headers(&[("host", good)]), None, true),
                Ok(()),
                "{good}"
            );
        }
        for bad in [
            "evil.example",
            "evil.example:8095",
            "localhost.evil.example",
            "::1",
            "[::1",
            "[::1]x",
            "127.0.0.1:x",
            "",
        ] {
            let problem = check_tcp(&headers(&[("host", bad)]), None, true).unwrap_err();
            assert_eq!(problem.status, StatusCode::FORBIDDEN, "{bad}");
        }
        assert!(check_tcp(&headers(&[]), None, true).is_err());
        let twice = headers(&[("host", "localhost"), ("host", "evil.example")]);
        assert!(check_tcp(&twice, None, true).is_err());
    }

    #[test]
    fn a_page_from_elsewhere_reads_nothing() {
        let ask =
            |more: (&str, &str)| check_tcp(&headers(&[("host", "[::1]:1"), more]), None, true);
        assert_eq!(ask(("origin", "http://[::1]:1")), Ok(()));
        assert_eq!(ask(("sec-fetch-site", "same-origin")), Ok(()));
        for more in [
            ("origin", "http://evil.example"),
            ("origin", "https://[::1]:1"),
            ("origin", "null"),
            ("origin", "http://[::1]:2"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
        ] {
            assert_eq!(
                ask(more).unwrap_err().status,
                StatusCode::FORBIDDEN,
                "{more:?}"
            );
        }
    }

    #[test]
    fn a_header_that_is_there_twice_is_refused() {
        for name in ["origin", "sec-fetch-site"] {
            let good = if name == "origin" {
                "http://[::1]:1"
            } else {
                "none"
            };
            let twice = headers(&[("host", "[::1]:1"), (name, good), (name, "cross-site")]);
            assert!(check_tcp(&twice, None, true).is_err(), "{name}");
        }
    }

    #[test]
    fn the_token_is_asked_for_where_it_is_needed() {
        let ask = |more: &[(&str, &str)], needs| {
            let mut all = vec![("host", "192.0.2.7:1")];
            all.extend(more);
            check_tcp(&headers(&all), Some("secret-secret-16"), needs).map_err(|it| it.status)
        };
        assert_eq!(
            ask(&[("authorization", "Bearer secret-secret-16")], true),
            Ok(())
        );
        assert_eq!(ask(&[], false), Ok(()));
        for bad in [
            "",
            "Bearer ",
            "Bearer secret-secret-17",
            "secret-secret-16",
            "Bearer secret-secret-16x",
        ] {
            let refused = ask(&[("authorization", bad)], true);
            assert_eq!(refused, Err(StatusCode::UNAUTHORIZED), "{bad}");
        }
        assert_eq!(ask(&[], true), Err(StatusCode::UNAUTHORIZED));
    }
}
