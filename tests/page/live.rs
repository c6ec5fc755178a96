//! A page of a running node.

use std::io::Write as _;

use serde_json::{Value, json};

use crate::driver::Browser;
use crate::scene::{five, header, id, keyframe, large, link, live_five, node};
use crate::server::{ORIGIN, Server};

#[test]
fn it_shows_the_network_and_follows_changes() {
    let Some((browser, server)) = live_five("it_shows_the_network_and_follows_changes") else {
        return;
    };
    browser.wait("document.getElementById('overlay').getAttribute('aria-label').includes('5 nodes up, 0 unreachable, 0 left, 5 links')");
    let told = json!({"by": 2, "via": 2});
    server.send(&json!({"at": 2_000, "nodes": [{"n": 4, "state": "unreachable", "since": 2_000, "told": told}],
                        "links": [{"l": 2, "gone": true, "told": told}]}));
    browser.wait("document.getElementById('overlay').getAttribute('aria-label').includes('4 nodes up, 1 unreachable, 0 left, 4 links')");
    server.send(&json!({"at": 2_100, "nodes": [node(5, "frank")], "links": [link(5, 5, 0, 77)]}));
    browser.wait("page.scene.nodes.length === 6 && page.scene.nodes.every((item) => Number.isFinite(item.x))");
    browser.run("location.hash = '#/nodes'");
    browser.wait("document.querySelector('#view-nodes tbody').innerText.includes('frank')");
    browser.run("location.hash = '#/links'");
    browser.wait("document.querySelector('#view-links tbody').innerText.includes('77 µs')");
    assert_eq!(browser.console(), Vec::<String>::new());
    let elsewhere = browser.run("return performance.getEntriesByType('resource').filter((entry) => !entry.name.startsWith(location.origin)).length");
    assert_eq!(elsewhere, 0);
}

#[test]
fn a_change_is_drawn_within_a_tenth_of_a_second() {
    let Some((browser, server)) = live_five("a_change_is_drawn_within_a_tenth_of_a_second") else {
        return;
    };
    // Measured in the page, from the arrival of the frame to the drawing that shows it: both clocks are the same.
    browser.run(
        "window.took = null; const show = page.map.show.bind(page.map);
         page.map.show = (...all) => { const began = performance.now(); const drawn = page.map.costs.length; show(...all);
             const look = () => (page.map.costs.length > drawn ? (window.took = performance.now() - began) : requestAnimationFrame(look)); look(); };",
    );
    server.send(&json!({"at": 2_000, "links": [{"l": 1, "gone": true}]}));
    let took = browser.wait("window.took").as_f64().unwrap();
    assert!(took < 100.0, "{took} ms");
}

#[test]
fn a_click_on_a_node_opens_its_panel_with_the_path_and_who_noticed() {
    let Some((browser, server)) = live_five("a_click_on_a_node_opens_its_panel") else {
        return;
    };
    server.send(&json!({"at": 2_000, "nodes": [{"n": 4, "told": {"by": 2, "via": 1}}]}));
    browser.wait("page.scene.byNumber.get(4).node.told?.by === 2");
    let (x, y) = place_of(&browser, 4);
    browser.click_at(x, y);
    let hash = format!("#/node/{}", id(4));
    browser.wait(&format!(
        "location.hash === '{hash}' && !document.getElementById('panel').hidden"
    ));
    let text = browser.run("return document.getElementById('panel').innerText");
    let text = text.as_str().unwrap();
    for part in [
        "erin",
        "carol noticed first. The news came to bob through alice.",
        "[::1]:8084",
        "215 µs",
        "2 hops",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    browser.press("\u{e00c}");
    browser.run("document.querySelector('#panel [data-key=close]').click()");
    browser.wait("document.getElementById('panel').hidden");
    assert_eq!(browser.console(), Vec::<String>::new());
}

#[test]
fn the_address_of_a_link_opens_its_panel_with_its_history() {
    let Some((browser, server)) = live_five("the_address_of_a_link_opens_its_panel") else {
        return;
    };
    server.set_series(
        (0..50)
            .map(|i| {
                json!([
                    ORIGIN + 1_000 + i * 100,
                    100 + i,
                    if i == 20 { 50 } else { 0 }
                ])
            })
            .collect(),
    );
    browser.open(&format!("{}#/link/{}/{}", server.address(), id(0), id(1)));
    browser.run("location.reload()");
    browser.wait("document.querySelector('#panel .spark .curve')");
    let text = browser.run("return document.getElementById('panel').innerText");
    let text = text.as_str().unwrap();
    // The detour over carol takes 180 µs, the direct link 310.
    for part in [
        "bob → alice",
        "310 µs",
        "50 measurements: least 100 µs",
        "most loss 5.0 %",
        "2 links over carol take 180 µs",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
}

#[test]
fn both_ends_of_a_link_are_shown_and_a_figure_that_one_end_claims_is_marked() {
    let Some((browser, server)) = live_five("both_ends_of_a_link_are_shown") else {
        return;
    };
    let series = |base: i64| (0..9).map(move |i| json!([ORIGIN + 1_000 + i * 100, base + i, 0]));
    server.set_series(series(310).collect());
    server.set_other_series(series(90_000).collect());
    browser.run(&format!("location.hash = '#/link/{}/{}'", id(0), id(1)));
    browser.wait("document.querySelectorAll('#panel .spark .curve').length === 1");
    let panel = || {
        // Headings are shown in capitals.
        let text = browser.run("return document.getElementById('panel').textContent");
        text.as_str().unwrap().to_owned()
    };
    assert!(panel().contains("alice has told no figures of this link."));
    server
        .send(&json!({"at": 62_000, "others": [[0, 90_008, 1_800, 15]], "disputed": [[0, 1_900]]}));
    browser.wait("document.querySelectorAll('#panel .spark .curve').length === 2");
    let text = panel();
    for part in [
        "The two ends disagree for 1 min",
        "each figure is one end's claim",
        "Round-trip time and loss, by bob",
        "By alice",
        "90.0 ms",
        "1.5 %",
        "most 318 µs",
        "most 90.0 ms",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    for (view, text) in [
        ("links", "one end's claim"),
        (
            "findings",
            "bob → alice: 310 µs, and by the other end 90.0 ms",
        ),
    ] {
        browser.run(&format!("location.hash = '#/{view}'"));
        browser.wait(&format!(
            "document.getElementById('view-{view}').innerText.includes({text:?})"
        ));
    }
    assert_eq!(browser.console(), Vec::<String>::new());
}

#[test]
fn a_neighbour_that_sees_another_network_is_a_finding() {
    let Some((browser, server)) = live_five("a_neighbour_that_sees_another_network") else {
        return;
    };
    browser.run("location.hash = '#/findings'");
    let shows = |text: &str| {
        let found =
            format!("document.getElementById('view-findings').innerText.includes({text:?})");
        browser.wait(&found);
    };
    shows("every neighbour sees the same network");
    server.send(&json!({"at": 31_000, "differing": [[2, 11_000]]}));
    shows("carol for 20 s");
    browser.run(&format!("location.hash = '#/node/{}'", id(2)));
    browser.wait("document.getElementById('panel').innerText.includes('It sees another network than this node, for 2')");
    server.send(&json!({"at": 32_000, "differing": []}));
    shows("every neighbour sees the same network");
    assert_eq!(browser.console(), Vec::<String>::new());
}

#[test]
fn switching_a_node_off_shows_what_falls_apart() {
    let Some((browser, server)) = live_five("switching_a_node_off_shows_what_falls_apart") else {
        return;
    };
    browser.open(&format!("{}#/node/{}", server.address(), id(2)));
    browser.wait("document.querySelector('#panel [data-key=whatif]')");
    browser.run("document.querySelector('#panel [data-key=whatif]').click()");
    browser.wait("document.querySelector('#panel .whatif').innerText.includes('Cut off from this node: erin.')");
    assert_eq!(browser.run("return [...page.scene.cut]"), json!([id(4)]));
    // Closing the panel switches it on again.
    browser.run("document.querySelector('#panel [data-key=close]').click()");
    browser.wait("page.scene.off === null && page.scene.cut.size === 0");
}

#[test]
fn the_findings_name_what_holds_the_network_together_and_detours() {
    let Some((browser, server)) = live_five("the_findings_name_what_holds_the_network_together")
    else {
        return;
    };
    let who = |n: usize, label: &str| json!({"id": id(n), "label": label});
    server.set_slow(vec![
        json!({"suspect": "node", "nodes": [who(0, "bob")], "sizes": [], "me": true, "links": 2}),
        json!({"suspect": "sites", "nodes": [who(1, "alice"), who(9, "gone")], "sizes": [3, 4], "me": false, "links": 5}),
    ]);
    browser.run("location.hash = '#/findings'");
    browser.wait("document.querySelectorAll('#view-findings section').length === 8");
    let text = browser.run("return document.getElementById('view-findings').innerText");
    let text = text.as_str().unwrap();
    for part in [
        "carol cuts off 1 node: erin.",
        "alice cuts off 1 node: dave.",
        "carol → erin is the only way to 1 node: erin.",
        "bob → alice takes 310 µs; over carol it is 180 µs.",
        "2 links of this node: it lacks processor time, or its access line is full.",
        "5 links between the site of alice (3 nodes) and that of gone (4 nodes).",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
}

#[test]
fn dragging_a_node_pins_it_and_dragging_the_ground_moves_the_map() {
    let Some((browser, _server)) = live_five("dragging_a_node_pins_it") else {
        return;
    };
    let from = place_of(&browser, 3);
    browser.drag(from, (from.0 + 60, from.1 + 40));
    browser.wait("page.scene.pins === 1 && !document.getElementById('unpin').hidden");
    browser.wait(&format!(
        "Math.abs(page.scene.byNumber.get(3).sx - {}) < 4",
        from.0 + 60
    ));
    let before = browser.run("return page.map.camera.x").as_f64().unwrap();
    browser.drag((640, 140), (700, 170));
    let after = browser.run("return page.map.camera.x").as_f64().unwrap();
    assert!(after < before, "{before} {after}");
    browser.run("document.getElementById('unpin').click()");
    browser.wait("page.scene.pins === 0");
}

#[test]
fn hostile_text_is_shown_and_nothing_of_it_runs() {
    let Some(browser) = Browser::start("hostile_text_is_shown_and_nothing_of_it_runs", 1280, 800)
    else {
        return;
    };
    let bad = "<img src=x onerror=\"window.hacked=1\"><script>window.hacked=1</script>\u{202e}\u{0}`${window.hacked=1}`";
    let nodes = [
        node(0, bad),
        node(1, &"x".repeat(4_000)),
        json!({"n": 2, "id": id(2), "label": bad, "addresses": [bad, {"a": 1}], "state": bad, "since": bad}),
    ];
    let mut first = header();
    first["network"] = json!(bad);
    let server = Server::start(&[
        first,
        keyframe(1_000, &nodes, &[link(0, 0, 1, 100), link(1, 1, 2, 200)]),
    ]);
    server.set_events(vec![json!({"at_ms": ORIGIN + 900, "name": bad, "level": bad, "fields": {bad: bad, "peer": bad, "__proto__": {"x": 1}}})]);
    browser.open(&server.address());
    browser.wait("page.scene.nodes.length === 3 && page.map.costs.length > 0");
    server.send(&json!({"at": 1_500, "event": {"name": "dial failed", "level": "warn", "fields": {"addr": bad, "cause": bad}}}));
    for view in [
        "#/nodes",
        "#/links",
        "#/matrix",
        "#/events",
        &format!("#/node/{}", id(2)),
        &format!("#/link/{}/{}", id(0), id(1)),
        "#/node/%3Cimg%20src=x%3E",
    ] {
        browser.run(&format!("location.hash = '{view}'"));
        browser.wait("document.body.innerText.includes('<img src=x onerror') || !document.getElementById('panel').hidden");
        let state = browser.run("return [document.querySelectorAll('main img, main script, aside script').length, window.hacked ?? null, document.body.innerText.includes('\\u202e')]");
        assert_eq!(state, json!([0, null, false]), "{view}");
    }
    let exported = browser.run_async(
        "const { svgOf, jsonOf } = await import('/page/export.js'); const text = await svgOf(page.map, page).text();
         const read = new DOMParser().parseFromString(text, 'image/svg+xml');
         JSON.parse(await jsonOf(page).text());
         done([read.querySelectorAll('parsererror, img, script').length, [...read.querySelectorAll('text')].some((each) => each.textContent.startsWith('<img src=x')), window.hacked ?? null]);",
    );
    assert_eq!(exported, json!([0, true, null]));
    assert_eq!(browser.console(), Vec::<String>::new());
}

#[test]
fn a_lost_connection_is_said_and_comes_back_by_itself() {
    let Some((browser, server)) = live_five("a_lost_connection_is_said_and_comes_back") else {
        return;
    };
    server.set_down(true);
    browser.wait("document.getElementById('state').className.includes('lost') && !document.getElementById('notice').hidden");
    // The page keeps the view that it had.
    assert_eq!(browser.run("return page.scene.nodes.length"), 5);
    server.send(&json!({"at": 3_000, "nodes": [node(5, "frank")]}));
    server.set_down(false);
    browser.wait("document.getElementById('state').className.includes('live') && document.getElementById('notice').hidden && page.scene.nodes.length === 6");
}

#[test]
fn a_node_that_was_started_again_begins_a_new_story() {
    let Some((browser, server)) = live_five("a_node_that_was_started_again") else {
        return;
    };
    browser.run("location.hash = '#/events'");
    server.send(&json!({"at": 2_000, "nodes": [{"n": 4, "state": "unreachable", "since": 2_000}]}));
    browser.wait(
        "document.getElementById('view-events').innerText.includes('erin became unreachable')",
    );
    server.set_down(true);
    browser.wait("document.getElementById('state').className.includes('lost')");
    let (nodes, links) = five();
    let mut first = keyframe(10, &nodes[..3], &links[..2]);
    first["origin"] = json!(ORIGIN + 60_000);
    server.begin_anew(&[header(), first]);
    server.set_down(false);
    browser.wait("document.getElementById('state').className.includes('live') && page.scene.nodes.length === 3");
    server.send(&json!({"at": 20, "nodes": [{"n": 2, "state": "left", "since": 20}]}));
    browser.wait("document.getElementById('view-events').innerText.includes('carol left')");
    let text = browser.run("return document.getElementById('view-events').innerText");
    assert!(!text.as_str().unwrap().contains("erin"), "{text}");
}

#[test]
fn a_hidden_page_closes_its_stream_and_takes_it_up_again() {
    let Some((browser, server)) = live_five("a_hidden_page_closes_its_stream") else {
        return;
    };
    let hide = |hidden: bool| {
        browser.run(&format!(
            "Object.defineProperty(document, 'hidden', {{ configurable: true, get: () => {hidden} }}); document.dispatchEvent(new Event('visibilitychange'))"
        ));
    };
    hide(true);
    browser.wait("document.getElementById('state').className.includes('paused')");
    server.send(&json!({"at": 2_000, "nodes": [node(5, "frank")]}));
    hide(false);
    browser.wait("document.getElementById('state').className.includes('live') && page.scene.nodes.length === 6");
    let streams = server
        .asked()
        .iter()
        .filter(|path| path.contains("from=live"))
        .count();
    assert_eq!(streams, 2);
}

#[test]
fn a_token_is_asked_for_kept_and_taken_out_of_the_address() {
    let Some(browser) = Browser::start("a_token_is_asked_for", 1280, 800) else {
        return;
    };
    let (nodes, links) = five();
    let server = Server::start(&[header(), keyframe(1_000, &nodes, &links)]);
    server.require("open sesame");
    browser.open(&server.address());
    browser.wait("document.getElementById('state').className.includes('denied') && !document.getElementById('token-form').hidden");
    browser.run("document.getElementById('token').value = 'open sesame'; document.querySelector('#token-form button').click()");
    browser.wait("page.network?.nodes.size === 5");
    browser.run("sessionStorage.clear()");
    browser.open("about:blank");
    browser.open(&format!("{}#/matrix&token=open%20sesame", server.address()));
    browser.wait("page.network?.nodes.size === 5 && location.hash === '#/matrix'");
    // A token in a path would stand in logs.
    assert!(server.asked().iter().all(|path| !path.contains("sesame")));
}

#[test]
fn a_stream_of_a_later_version_is_refused_with_a_sentence() {
    let Some(browser) = Browser::start("a_stream_of_a_later_version", 1280, 800) else {
        return;
    };
    let mut later = header();
    later["version"] = json!(2);
    let server = Server::start(&[later]);
    browser.open(&server.address());
    browser.wait("document.getElementById('notice-text').innerText.includes('version 2')");
}

#[test]
fn places_from_the_node_are_taken_and_a_poor_fit_is_said() {
    let Some((browser, server)) = live_five("places_from_the_node_are_taken") else {
        return;
    };
    let places: Vec<Value> = (0..5).map(|n| json!([n, n * 40, n * n * 10, 5])).collect();
    server.send(&json!({"at": 2_000, "map": {"kind": "latency", "places": places, "fit": {"links": 0.93, "held_out": 0.71}, "unit_us": true}}));
    browser.wait("document.getElementById('scale-text')?.innerText.includes('round trip') && document.getElementById('hint').hidden");
    // The bar is as long as what it says.
    let (bar, says) = (
        browser.run("return document.querySelector('.bar-line').offsetWidth / page.map.camera.k"),
        browser.run("return parseFloat(document.getElementById('scale-text').innerText)"),
    );
    let (bar, says) = (bar.as_f64().unwrap(), says.as_f64().unwrap());
    assert!((bar / says - 1.0).abs() < 0.05, "{bar} {says}");
    let poor = json!({"at": 2_100, "map": {"kind": "latency", "places": places, "fit": {"links": 0.9, "held_out": 0.2}, "unit_us": true}});
    server.send(&poor);
    browser.wait("!document.getElementById('hint').hidden && document.getElementById('hint').innerText.includes('0.20')");
    // Nobody chose a layout, so the page takes the other one, and says so.
    server.wait_for_request("map=structure");
    browser
        .wait("document.getElementById('hint').innerText.includes('so the map shows structure')");
    // A person who wants the map all the same gets it, with the warning.
    browser.run("document.querySelector('#hint button').click()");
    server.send(&poor);
    browser.wait("document.getElementById('hint').innerText.includes('Distances here say little')");
}

#[test]
fn a_map_that_nobody_can_judge_is_not_the_first_choice() {
    let Some((browser, server)) = live_five("a_map_that_nobody_can_judge") else {
        return;
    };
    let places: Vec<Value> = (0..5).map(|n| json!([n, n * 40, n * n * 10, 5])).collect();
    let map = json!({"at": 2_000, "map": {"kind": "latency", "places": places, "fit": {"links": 0.9, "held_out": null}, "unit_us": true}});
    server.send(&map);
    server.wait_for_request("map=structure");
    // It needs no warning, and a person can have it.
    browser.wait("document.getElementById('hint').hidden");
    browser.run("document.querySelector('[data-layout=latency]').click()");
    browser.wait("localStorage.layout === 'latency' && document.querySelector('[data-layout=latency]').getAttribute('aria-pressed') === 'true'");
}

#[test]
fn filters_choose_links() {
    let Some((browser, server)) = live_five("filters_choose_links") else {
        return;
    };
    server.send(&json!({"at": 2_000, "figures": [[1, 120, 1_990, 80, 0]], "links": [{"l": 3, "suspect": true}]}));
    browser.wait("page.scene.links.some(({ link }) => link.suspect)");
    let shown = |kind: &str| {
        browser.run(&format!(
            "const select = document.getElementById('filter'); select.value = '{kind}'; select.dispatchEvent(new Event('change'));
             return page.scene.links.filter((item) => item.shown).map(({{ link }}) => link.l).sort()"
        ))
    };
    assert_eq!(shown("lossy"), json!([1]));
    assert_eq!(shown("suspect"), json!([3]));
    assert_eq!(shown("slow"), json!([0]));
    browser.run(&format!("location.hash = '#/node/{}'", id(0)));
    browser.wait("document.querySelector('#panel h2')?.innerText === 'bob'");
    assert_eq!(shown("links"), json!([0, 1]));
    assert_eq!(shown("paths"), json!([1, 2, 3, 4]));
    assert_eq!(shown("all"), json!([0, 1, 2, 3, 4]));
}

/// Measures; `cargo test --test page -- --ignored --nocapture`.
#[test]
#[ignore = "measures frames a second, which says nothing on a machine that builds at the same time"]
fn frames_a_second_at_a_thousand_nodes() {
    let Some(browser) = Browser::start("frames_a_second_at_a_thousand_nodes", 1440, 900) else {
        return;
    };
    let (nodes, links) = large(1_000);
    let server = Server::start(&[header(), keyframe(1_000, &nodes, &links)]);
    browser.open(&server.address());
    let first = browser.wait("page.map.costs.length > 0 && performance.now()");
    let rate = browser.run_async(
        "let frames = 0; const begin = performance.now();
         const frame = (now) => { page.map.panBy(5, 3); frames += 1; if (now - begin < 3000) requestAnimationFrame(frame); else done((1000 * frames) / (now - begin)); };
         requestAnimationFrame(frame);",
    );
    writeln!(
        std::io::stderr(),
        "first picture after {first} ms, {rate} frames a second while moving"
    )
    .ok();
    assert!(rate.as_f64().unwrap() >= 30.0, "{rate}");
}

fn place_of(browser: &Browser, n: usize) -> (i64, i64) {
    browser.wait("page.map.costs.length > 0");
    let place = browser.run_async(&format!(
        "const area = document.getElementById('overlay').getBoundingClientRect(); let last = '';
         const look = () => {{ const {{ sx, sy }} = page.scene.byNumber.get({n}); const now = `${{sx}} ${{sy}}`;
             if (now === last) done([Math.round(area.left + sx), Math.round(area.top + sy)]); else {{ last = now; setTimeout(look, 250); }} }}; look();"
    ));
    (place[0].as_i64().unwrap(), place[1].as_i64().unwrap())
}
