//! The page in a real browser: Chromium, driven over WebDriver. Without chromedriver these tests say so and pass; in CI they fail.

#[cfg(test)]
mod access;
#[cfg(test)]
mod driver;
#[cfg(test)]
mod live;
#[cfg(test)]
mod past;
#[cfg(test)]
mod scene;
#[cfg(test)]
mod server;

use driver::Browser;
use server::Server;

#[test]
fn what_needs_no_page_is_right() {
    let Some(browser) = Browser::start("what_needs_no_page_is_right", 800, 600) else {
        return;
    };
    let server = Server::start(&[]);
    browser.open(&format!("{}logic.html", server.address()));
    let results = browser.wait("window.results");
    let results = results.as_array().unwrap();
    assert!(results.len() > 20, "{} tests", results.len());
    let failed: Vec<_> = results
        .iter()
        .filter(|result| !result["error"].is_null())
        .collect();
    assert!(failed.is_empty(), "{failed:#?}");
}
