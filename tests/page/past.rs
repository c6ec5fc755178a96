//! The time machine, recordings, and exports.

use std::fs;
use std::path::Path;

use area_net::web::page;
use serde_json::{Value, json};

use crate::driver::Browser;
use crate::scene::{five, header, id, keyframe, large, live_five, node};

#[test]
fn the_slider_shows_the_past_and_live_returns() {
    let Some((browser, server)) = live_five("the_slider_shows_the_past") else {
        return;
    };
    let (nodes, _) = five();
    let map = json!({"at": 50_000, "map": {"kind": "structure", "places": [[0, 5, 5], [1, 6, 5]]}});
    server.set_past(&[header(), keyframe(50_000, &nodes[..2], &[]), map]);
    browser.wait("!document.getElementById('slider').disabled");
    browser.run("const slider = document.getElementById('slider'); slider.value = 500; slider.dispatchEvent(new Event('input'))");
    browser.wait("page.past && page.scene.nodes.length === 2 && document.getElementById('state').className.includes('past')");
    server.wait_for_request("/v1/stream?from=1764460051000&to=1764460051000&map=latency");
    // The nodes stand where they stood then.
    browser.wait("page.scene.placing === 'places' && page.scene.byNumber.get(1).tx === 6");
    // The stream goes on behind it, and changes nothing that is shown.
    server.send(&json!({"at": 2_000, "nodes": [node(5, "frank")]}));
    browser.run("location.hash = '#/nodes'");
    browser.wait("document.querySelector('#view-nodes .lead').innerText === '2 nodes'");
    // Playing asks for what follows, and for nothing after the newest view: a stream up to the future would wait for it.
    browser.run("document.getElementById('play').click()");
    server.wait_for_request("&to=1764460101000");
    browser.run("document.getElementById('live').click()");
    browser.wait("!page.past && page.scene.nodes.length === 6 && document.querySelector('#view-nodes .lead').innerText === '6 nodes'");
    // Nor does a view of the past that comes late lead away from it again.
    let past = browser.run(
        "const late = page.show(page.now - 1000); page.live(); return late.then(() => page.past)",
    );
    assert_eq!(past, false);
    assert_eq!(browser.console(), Vec::<String>::new());
}

#[test]
fn a_document_with_a_recording_plays_from_a_file() {
    let Some(browser) = Browser::start("a_document_with_a_recording_plays", 1280, 800) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sim.html");
    fs::write(&file, page::standalone(recording().as_bytes())).unwrap();
    browser.open(&address(&file));
    browser.wait("page.network?.nodes.size === 5 && page.map.costs.length > 0 && document.getElementById('state-text').innerText === 'Recording'");
    let nodes = |browser: &Browser| {
        browser.run("return page.scene.nodes.map(({ node }) => node.state).join()")
    };
    assert_eq!(nodes(&browser), "up,up,up,up,up");
    browser.run("document.getElementById('step-on').click()");
    browser.wait("page.now === 2000");
    browser.run("document.getElementById('step-on').click()");
    browser.wait("page.now === 3000");
    assert_eq!(nodes(&browser), "up,up,up,up,unreachable");
    browser.run(
        "document.getElementById('speed').value = '100'; document.getElementById('play').click()",
    );
    browser.wait("page.now === 9000 && page.scene.nodes.length === 6");
    browser.run("document.getElementById('step-back').click()");
    browser.wait("page.now === 3000 && page.scene.nodes.length === 5");
    // Panels and events follow the time that is shown, and a link's history is that of the recording.
    browser.run("location.hash = '#/events'");
    browser.wait("document.querySelectorAll('#view-events .log li').length === 1");
    browser.run(&format!("location.hash = '#/link/{}/{}'", id(0), id(1)));
    browser.wait("document.getElementById('panel').innerText.includes('2 measurements')");
    assert_eq!(browser.console(), Vec::<String>::new());
}

#[test]
fn a_document_with_a_recording_works_inside_of_a_report() {
    let Some(browser) = Browser::start("a_document_with_a_recording_works_inside", 1280, 800)
    else {
        return;
    };
    let inner = page::standalone(recording().as_bytes())
        .replace('&', "&amp;")
        .replace('"', "&quot;");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report.html");
    let outer = format!(
        "<!doctype html><title>report</title><iframe width=1200 height=700 sandbox=\"allow-scripts\" srcdoc=\"{inner}\"></iframe>"
    );
    fs::write(&file, outer).unwrap();
    browser.open(&address(&file));
    browser.enter_frame();
    browser.wait("page.network?.nodes.size === 5 && page.map.costs.length > 0");
    browser.run("document.querySelector('.tabs [data-view=nodes]').click()");
    browser.wait("!document.getElementById('view-nodes').hidden");
    browser.run("document.querySelector('#view-nodes tbody a').click()");
    browser.wait("document.querySelector('#panel h2')?.innerText === 'alice'");
    // The space bar plays.
    browser.run("document.getElementById('speed').value = '100'");
    browser.click_at(600, 560);
    browser.press(" ");
    browser.wait("page.now === 9000");
    assert_eq!(browser.console(), Vec::<String>::new());
}

#[test]
fn a_recording_of_a_thousand_nodes_opens_in_a_file() {
    let Some(browser) = Browser::start("a_recording_of_a_thousand_nodes", 1280, 800) else {
        return;
    };
    let (nodes, links) = large(1_000);
    let text = format!("{}\n{}\n", header(), keyframe(1_000, &nodes, &links));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sim.html");
    fs::write(&file, page::standalone(text.as_bytes())).unwrap();
    browser.open(&address(&file));
    browser.wait("page.scene.nodes.length === 1000 && page.scene.nodes.every((item) => Number.isFinite(item.sx))");
    assert_eq!(browser.console(), Vec::<String>::new());
}

#[test]
fn recordings_that_are_packed_cut_off_or_of_another_kind() {
    let Some((browser, _server)) = live_five("recordings_that_are_packed_cut_off") else {
        return;
    };
    let open = |make_bytes: &str| {
        let text = serde_json::to_string(&recording()).unwrap();
        browser.run_async(&format!(
            "const text = {text}; const pack = async (part) => new Uint8Array(await new Response(new Blob([part]).stream().pipeThrough(new CompressionStream('gzip'))).arrayBuffer());
             const bytes = {make_bytes};
             await page.openFile(new File([bytes], 'a recording')); done([page.network.nodes.size, document.getElementById('notice-text').innerText]);"
        ))
    };
    assert_eq!(open("await pack(text)"), json!([5, ""]));
    let cut = open("text.slice(0, -20)");
    assert!(cut[1].as_str().unwrap().contains("cut off"), "{cut}");
    assert_eq!(cut[0], 5);
    // A packed recording that was cut off is read up to its end, or refused with a message.
    let packed = open("(await pack(text)).slice(0, -30)");
    assert_eq!(packed[0], 5);
    for (bytes, says) in [
        (
            "text.replace('\"version\":1', '\"version\":9')",
            "version 9",
        ),
        ("'{\"nodes\": []}'", "no recording of area-net"),
        ("''", "empty"),
        ("text.split('\\n')[0]", ""),
    ] {
        let found = open(bytes);
        assert!(
            found[1].as_str().unwrap().contains(says),
            "{bytes}: {found}"
        );
    }
}

#[test]
fn what_is_shown_can_be_saved() {
    let Some((browser, server)) = live_five("what_is_shown_can_be_saved") else {
        return;
    };
    let found = browser.run_async(
        "const { svgOf, pngOf, jsonOf } = await import('/page/export.js');
         const picture = new DOMParser().parseFromString(await svgOf(page.map, page).text(), 'image/svg+xml');
         const texts = [...picture.querySelectorAll('text')].map((each) => each.textContent);
         const image = await createImageBitmap(await pngOf(page.map, page));
         const data = JSON.parse(await jsonOf(page).text());
         done({ broken: picture.querySelectorAll('parsererror').length, labels: ['bob', 'alice', 'carol', 'dave', 'erin', '310 µs'].filter((text) => texts.includes(text)).length,
                width: image.width / page.map.camera.width, nodes: data.nodes.length, link: data.links[0], at: data.at_ms });",
    );
    assert_eq!(found["broken"], 0);
    assert_eq!(found["labels"], 6, "{found}");
    assert_eq!(found["width"], 2);
    assert_eq!(found["nodes"], 5);
    assert_eq!(found["link"]["dialer"], id(0));
    assert_eq!(found["link"]["rtt_us"], 310);
    assert_eq!(found["at"], 1_764_460_001_000_u64);
    // A map of latencies is saved with its scale bar.
    let places: Vec<Value> = (0..5).map(|n| json!([n, n * 40, n * n * 10, 5])).collect();
    server
        .send(&json!({"at": 2_000, "map": {"kind": "latency", "places": places, "unit_us": true}}));
    browser.wait("page.scene.placing === 'places'");
    let scale = browser.run_async(
        "const { svgOf } = await import('/page/export.js'); done((await svgOf(page.map, page).text()).includes(' round trip</text>'));",
    );
    assert_eq!(scale, true);
}

fn recording() -> String {
    let (nodes, links) = five();
    let told = json!({"by": 2, "via": 2});
    let lines: [Value; 5] = [
        header(),
        keyframe(1_000, &nodes, &links),
        json!({"at": 2_000, "figures": [[0, 330, 1_990, 0, 0]]}),
        json!({"at": 3_000, "nodes": [{"n": 4, "state": "unreachable", "since": 3_000, "told": told}], "links": [{"l": 2, "gone": true, "told": told}]}),
        json!({"at": 9_000, "nodes": [node(5, "frank")]}),
    ];
    lines.map(|line| format!("{line}\n")).concat()
}

fn address(file: &Path) -> String {
    format!("file://{}", file.display())
}
