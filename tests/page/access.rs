//! Whether those can use the page who don't see it, don't use a mouse, or don't want it to move.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use crate::driver::Browser;
use crate::scene::{five, header, id, keyframe, live_five};
use crate::server::Server;

/// Finds what a person can press or fill in without a name, doubled ids, references to nothing, and headings that skip a level.
const FAULTS: &str = r##"
    const faults = [];
    const seen = (each) => each.checkVisibility({ visibilityProperty: true }) && !each.closest('[hidden]');
    const named = (each) => (each.getAttribute('aria-label') || (each.labels?.length && each.labels[0].innerText) || each.innerText
        || document.getElementById(each.getAttribute('aria-labelledby'))?.innerText || each.title || '').trim();
    for (const each of document.querySelectorAll('a, button, input, select, summary, [role=img], [tabindex="0"]')) {
        if (seen(each) && named(each) === '') faults.push(`no name: ${each.outerHTML.slice(0, 80)}`);
    }
    const ids = [...document.querySelectorAll('[id]')].map((each) => each.id);
    for (const doubled of ids.filter((each, i) => ids.indexOf(each) !== i)) faults.push(`id twice: ${doubled}`);
    for (const name of ['aria-labelledby', 'aria-describedby', 'aria-controls', 'aria-activedescendant']) {
        for (const each of document.querySelectorAll(`[${name}]`)) if (!document.getElementById(each.getAttribute(name))) faults.push(`${name} of ${each.id}`);
    }
    for (const mark of ['header', 'nav', 'main', 'footer']) if (!document.querySelector(`body ${mark}`)) faults.push(`no ${mark}`);
    for (const table of document.querySelectorAll('table')) if (!table.querySelector('th[scope]')) faults.push('a table without headers');
    if (!document.documentElement.lang || document.title === '') faults.push('no language or title');
"##;

/// Finds text whose contrast with what is behind it is below 4.5 to 1.
const CONTRAST: &str = r"
    const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
    const rgba = (colour) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); return canvas.getImageData(0, 0, 1, 1).data; };
    const light = ([r, g, b]) => [r, g, b].map((part) => part / 255).map((part) => (part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)).reduce((sum, part, i) => sum + part * [0.2126, 0.7152, 0.0722][i], 0);
    const ground = (each) => { for (let at = each; at; at = at.parentElement) { const colour = rgba(getComputedStyle(at).backgroundColor); if (colour[3] === 255) return colour; } return [255, 255, 255]; };
    for (const each of document.querySelectorAll('body *')) {
        const text = [...each.childNodes].some((child) => child.nodeType === 3 && child.data.trim() !== '');
        if (!text || !each.checkVisibility() || each.closest('[hidden], .hidden, script, option, :disabled')) continue;
        const [a, b] = [light(rgba(getComputedStyle(each).color)), light(ground(each))];
        const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        if (contrast < 4.5) faults.push(`contrast ${contrast.toFixed(2)}: ${each.className} ${each.textContent.slice(0, 40)}`);
    }
";

/// Shows each view and panel in both schemes, with something to show in each, and looks at it.
fn look_at_each_view(browser: &Browser, server: &Server, look: impl Fn(&str)) {
    server.send(&json!({"at": 2_000, "nodes": [{"n": 4, "state": "unreachable", "since": 2_000}, {"n": 3, "state": "left", "since": 2_000}],
                        "links": [{"l": 0, "suspect": true}], "others": [[0, 90_008, 1_800, 15]], "disputed": [[0, 1_900]], "differing": [[2, 1_500]],
                        "cut_off": true, "impaired": "loss 3 %", "rejected": {"over_limit": 3}}));
    browser.wait("page.network.impaired === 'loss 3 %'");
    let routes = [
        "#/",
        "#/nodes",
        "#/links",
        "#/matrix",
        "#/events",
        "#/findings",
        &format!("#/node/{}", id(1)),
        &format!("#/link/{}/{}", id(0), id(1)),
    ];
    for scheme in ["light", "dark"] {
        browser.prefer(scheme, "no-preference");
        for route in routes {
            browser.run(&format!("location.hash = '{route}'"));
            browser.wait(&format!(
                "location.hash === '{route}' && document.getElementById('panel').hidden === {}",
                !(route.contains("/node/") || route.contains("/link/"))
            ));
            look(&format!("{scheme} {route}"));
        }
    }
}

#[test]
fn controls_have_names_and_text_has_contrast_in_both_schemes() {
    let Some((browser, server)) = live_five("controls_have_names_and_text_has_contrast") else {
        return;
    };
    look_at_each_view(&browser, &server, |view| {
        let faults = browser.run(&format!("{FAULTS}{CONTRAST} return faults"));
        assert_eq!(faults, json!([]), "{view}");
    });
}

/// axe-core as a script, from the folder that `AREA_NET_PARSERS` names. `None`: it isn't there, and the test says so and is skipped. In CI it
/// fails instead.
fn axe(test: &str) -> Option<String> {
    let folder = std::env::var_os("AREA_NET_PARSERS").filter(|folder| !folder.is_empty());
    let Some(folder) = folder else {
        assert!(
            std::env::var_os("CI").is_none(),
            "AREA_NET_PARSERS is not set"
        );
        let why = "AREA_NET_PARSERS is not set (.ci/run makes what it should name)";
        writeln!(std::io::stderr(), "SKIPPED {test}: {why}").ok();
        return None;
    };
    let script = Path::new(&folder).join("node_modules/axe-core/axe.min.js");
    Some(
        fs::read_to_string(&script).unwrap_or_else(|error| panic!("{}: {error}", script.display())),
    )
}

#[test]
fn axe_finds_nothing_in_any_view_in_both_schemes() {
    const TEST: &str = "axe_finds_nothing_in_any_view";
    let Some(axe) = axe(TEST) else { return };
    let Some((browser, server)) = live_five(TEST) else {
        return;
    };
    browser.run(&axe);
    look_at_each_view(&browser, &server, |view| {
        let found = browser.run_async(
            "const words = ({ id, nodes }) => `${id}: ${nodes.map((each) => each.target.join(' ')).join(', ')}`;
             axe.run(document, { resultTypes: ['violations'] }).then(({ violations, passes }) => done({ faults: violations.map(words), passes: passes.length }), (error) => done(String(error)))",
        );
        assert_eq!(found["faults"], json!([]), "{view}: {found}");
        let passes = found["passes"].as_u64().unwrap();
        assert!(passes > 15, "{view}: {passes} rules were applied");
    });
}

#[test]
fn it_can_be_used_without_a_mouse() {
    let Some((browser, _server)) = live_five("it_can_be_used_without_a_mouse") else {
        return;
    };
    let tab = "\u{e004}";
    let focused = |browser: &Browser| {
        browser.run("const at = document.activeElement; return at.id || at.className || at.dataset.view || at.tagName")
    };
    // The first stop leads past the map, to the same as text.
    browser.press(tab);
    assert_eq!(focused(&browser), "skip");
    let mut stops = Vec::new();
    for _ in 0..24 {
        browser.press(tab);
        stops.push(focused(&browser).as_str().unwrap().to_owned());
    }
    for stop in [
        "brand",
        "nodes",
        "search",
        "menu-button",
        "overlay",
        "filter",
        "zoom-in",
        "play",
        "slider",
        "live",
    ] {
        assert!(
            stops.iter().any(|each| each == stop),
            "{stop} is not in {stops:?}"
        );
    }
    // The search finds a node and opens it.
    browser.run("document.activeElement.blur()");
    browser.press("/");
    assert_eq!(focused(&browser), "search");
    browser.press("er");
    browser.wait("document.querySelectorAll('#found [role=option]').length === 1 && document.getElementById('search').getAttribute('aria-activedescendant') === 'found-0'");
    browser.press("\u{e007}");
    browser.wait(&format!("location.hash === '#/node/{}'", id(4)));
    // The map moves and zooms by keys.
    browser.run("document.getElementById('overlay').focus()");
    let before = browser.run("return [page.map.camera.x, page.map.camera.k]");
    browser.press("\u{e014}+");
    let after = browser.run("return [page.map.camera.x, page.map.camera.k]");
    assert!(
        after[1].as_f64() > before[1].as_f64() && after[0] != before[0],
        "{before} {after}"
    );
    browser.press("\u{e00c}");
    browser.wait("document.getElementById('panel').hidden");
}

#[test]
fn the_focus_stays_where_it_is_while_figures_change() {
    let Some((browser, server)) = live_five("the_focus_stays_where_it_is") else {
        return;
    };
    browser.run("location.hash = '#/links'");
    browser.wait("document.querySelectorAll('#view-links tbody a').length === 5");
    browser.run("document.querySelectorAll('#view-links tbody a')[2].focus()");
    let before = browser.run("return document.activeElement.dataset.key");
    server.send(&json!({"at": 2_000, "figures": [[0, 999, 1_990, 0, 0]]}));
    browser.wait("document.querySelector('#view-links tbody').innerText.includes('999 µs')");
    assert_eq!(
        browser.run("return document.activeElement.dataset.key"),
        before
    );
    assert_ne!(before, Value::Null);
}

#[test]
fn nothing_moves_for_those_who_asked_for_that() {
    let Some(browser) = Browser::start("nothing_moves_for_those_who_asked", 1280, 800) else {
        return;
    };
    browser.prefer("light", "reduce");
    let (nodes, links) = five();
    let server = Server::start(&[header(), keyframe(1_000, &nodes, &links)]);
    browser.open(&server.address());
    browser.wait("page.network?.nodes.size === 5 && page.map.costs.length > 0");
    // Places arrive at once: in the frame after a map, each node stands where it will stand.
    let places: Vec<Value> = (0..5).map(|n| json!([n, n * 90, n * n * 20, 5])).collect();
    server
        .send(&json!({"at": 2_000, "map": {"kind": "latency", "places": places, "unit_us": true}}));
    browser.wait("page.scene.placing === 'places'");
    let moved = browser.run_async("requestAnimationFrame(() => requestAnimationFrame(() => done(page.scene.nodes.filter((item) => item.x !== item.tx || item.y !== item.ty).length)))");
    assert_eq!(moved, 0);
}

#[test]
fn it_fits_a_phone() {
    let Some(browser) = Browser::start("it_fits_a_phone", 390, 844) else {
        return;
    };
    let (nodes, links) = five();
    let server = Server::start(&[header(), keyframe(1_000, &nodes, &links)]);
    browser.open(&server.address());
    browser.wait("page.network?.nodes.size === 5 && page.map.costs.length > 0");
    for route in [
        "#/",
        "#/nodes",
        "#/matrix",
        "#/events",
        &format!("#/node/{}", id(1)),
    ] {
        browser.run(&format!("location.hash = '{route}'"));
        browser.wait(&format!("location.hash === '{route}'"));
        let wide = browser.run("return [document.documentElement.scrollWidth, document.querySelector('.bar').scrollWidth]");
        assert!(
            wide.as_array()
                .unwrap()
                .iter()
                .all(|width| width.as_u64().unwrap() <= 390),
            "{route}: {wide}"
        );
    }
    // The panel leaves room for the map.
    browser.wait("document.getElementById('view-map').clientHeight > 200");
}
