// Tests of the modules that need no page: stream, timeline, graph, layout. They run in the browser; `window.results` has the results.

import { Lines, Network, readHeader } from '/page/stream.js';
import { Timeline } from '/page/timeline.js';
import { Story } from '/page/story.js';
import { Graph, nearOrder } from '/page/graph.js';
import { culprits, detours, holds } from '/page/insights.js';
import { Layout } from '/page/layout.js';
import { RttScale, STEPS, UNKNOWN } from '/page/scale.js';
import { clean, rtt, shortLabel, span } from '/page/text.js';
import { readRoute } from '/page/address.js';
import { SvgPen } from '/page/export.js';

const tests = {};
const id = (n) => String(n + 1).padEnd(64, '0');
const node = (n, more = {}) => ({ n, id: id(n), label: `node${n}`, addresses: [`[::1]:${8000 + n}`], state: 'up', since: 10, ...more });
const link = (l, dialer, listener, rtt_us = 100, more = {}) => ({ l, dialer, listener, since: 20, rtt_us, measured: 30, stale: false, loss: 0, suspect: false, ...more });
const header = { format: 'area-net-recording', version: 1, program: 'area-net 0.1.0', network: 'demo', node: id(0), label: 'node0' };
const keyframe = (nodes, links, at = 1000) => ({ at, origin: 5000, view: { me: 0, cut_off: false, impaired: null, nodes, links, rejected: { over_limit: 1 } } });

function equal(found, wanted, what = '') {
    const [a, b] = [JSON.stringify(found), JSON.stringify(wanted)];
    if (a !== b) throw new Error(`${what} found ${a}, wanted ${b}`);
}

function network(nodes, links) {
    const result = new Network();
    result.apply(keyframe(nodes, links));
    return result;
}

tests['lines that come in pieces are joined, and a line that is no JSON is counted'] = () => {
    const lines = new Lines();
    equal(lines.push('{"at":1}\n{"a'), [{ at: 1 }]);
    equal(lines.push('t":2}\nnot json\n[1]\n{"at":3'), [{ at: 2 }]);
    equal(lines.end(), []);
    equal(lines.broken, 3);
};

tests['a later version of the format is refused with a sentence'] = () => {
    let said = '';
    try {
        readHeader({ ...header, version: 2 });
    } catch (error) {
        said = error.message;
    }
    if (!said.includes('version 2') || !said.includes('version 1')) throw new Error(said);
};

tests['a change alters only the fields that it has'] = () => {
    const view = network([node(0), node(1)], [link(0, 0, 1)]);
    const change = view.apply({ at: 2000, nodes: [{ n: 1, state: 'unreachable', since: 2000, told: { by: 0, via: null } }], links: [{ l: 0, suspect: true }] });
    equal([view.nodes.get(1).state, view.nodes.get(1).label, view.links.get(0).suspect, view.links.get(0).rtt], ['unreachable', 'node1', true, 100]);
    equal([change.nodes[0].what, change.links[0].what], ['state', 'suspect']);
    view.apply({ at: 2100, links: [{ l: 0, gone: true, told: { by: 1, via: 1 } }] });
    equal(view.links.size, 0);
};

tests['figures change a link, and an unknown link is left alone'] = () => {
    const view = network([node(0), node(1)], [link(0, 0, 1)]);
    const change = view.apply({ at: 2000, figures: [[0, 250, 1990, 15, 1], [7, 1, 1, 1, 0], 'x'] });
    equal(change.figures.length, 1);
    equal([view.links.get(0).rtt, view.links.get(0).loss, view.links.get(0).stale], [250, 15, true]);
};

tests['the other end, disagreement and differing views are read, and follow changes'] = () => {
    const view = new Network();
    const told = { ...keyframe([node(0), node(1)], [link(0, 0, 1, 100, { other: [300, 900, 5], disputed: 950 })]) };
    view.apply({ ...told, view: { ...told.view, differing: [[1, 800], 'x', [null, 1]] } });
    equal([view.links.get(0).other, view.links.get(0).disputed, [...view.differing]], [{ rtt: 300, measured: 900, loss: 5 }, 950, [[1, 800]]]);
    const copy = view.clone();
    const change = view.apply({ at: 2000, others: [[0, 101, 1990, 0], [9, 1, 1, 1], 'x'], disputed: [[0, null], [9, 1]], differing: [] });
    equal([view.links.get(0).other.rtt, view.links.get(0).disputed, view.differing.size, change.figures.length], [101, null, 0, 2]);
    equal([copy.links.get(0).other.rtt, copy.links.get(0).disputed, copy.differing.size], [300, 950, 1]);
    view.apply({ at: 2100, others: [[0, null, 2100, 0]] });
    equal(view.links.get(0).other, null);
    // A recording from before these fields.
    equal([network([node(0), node(1)], [link(0, 0, 1)]).links.get(0).other, network([], []).differing.size], [null, 0]);
};

tests['a link\'s history has the figures of both ends, each measurement once'] = () => {
    const values = [header, keyframe([node(0), node(1)], [link(3, 0, 1, 100, { other: [300, 900, 5] })]),
        { at: 2000, figures: [[3, 110, 1990, 0, 0]], others: [[3, 310, 1500, 0]] },
        { ...keyframe([node(0), node(1)], [link(3, 0, 1, 110, { measured: 1990, other: [310, 1500, 0] })]), at: 2500 },
        { at: 3000, others: [[3, null, 3000, 0]] }];
    const { points, other } = Timeline.parse(values.map((value) => JSON.stringify(value)).join('\n')).series(3);
    equal(points.map((point) => point[1]), [100, 110, 110]);
    equal(other, [[900, 300, 5], [1500, 310, 0]]);
};

tests['values of wrong types become safe ones'] = () => {
    const view = network([node(0), node(1, { label: { a: 1 }, addresses: 'x', state: 'dancing', since: 'now' }), null, { n: -1 }], [link(0, 0, 1, 'fast', { loss: 1e9 }), link(1, 0, 9), link(2, 1, 1)]);
    equal([...view.nodes.keys()], [0, 1]);
    equal([view.nodes.get(1).label, view.nodes.get(1).state, view.nodes.get(1).addresses], ['{"a":1}', 'up', []]);
    equal([...view.links.keys()], [0]);
    equal([view.links.get(0).rtt, view.links.get(0).loss], [null, 1000]);
    view.apply({ at: 'late', nodes: 3, links: null, figures: {}, map: 7, event: 'x' });
    equal(view.nodes.size, 2);
};

tests['a later keyframe replaces the view and keeps places'] = () => {
    const view = network([node(0), node(1)], [link(0, 0, 1)]);
    view.apply({ at: 1100, map: { kind: 'latency', places: [[0, 1, 2, 3], [1, 4, 5, 6], [9, 0, 0, 0]], fit: { links: 0.9, held_out: 0.2 }, unit_us: true } });
    view.apply(keyframe([node(0), node(2)], [], 1200));
    equal([...view.nodes.keys()], [0, 2]);
    equal([view.nodes.get(0).x, view.nodes.get(2).x, view.map.fit.heldOut], [1, undefined, 0.2]);
};

const story = () => [header, keyframe([node(0), node(1), node(2)], [link(0, 0, 1), link(1, 1, 2)]),
    { at: 2000, figures: [[0, 110, 1990, 0, 0]] },
    { at: 3000, nodes: [{ n: 2, state: 'unreachable', since: 3000, told: { by: 1, via: 1 } }], links: [{ l: 1, gone: true, told: { by: 1, via: 1 } }] },
    { at: 3000, event: { name: 'node unreachable', level: 'warn', fields: { node: 'node2', id: id(2).slice(0, 10), nodes: 2 } } },
    { at: 4000, figures: [[0, 120, 3990, 5, 0]] },
    { at: 5000, nodes: [{ n: 2, state: 'up', since: 5000 }], links: [link(2, 2, 1)] },
    { at: 6000, nodes: [{ n: 2, gone: true }] }];

tests['a recording with both maps places its nodes by the one that is wanted'] = () => {
    const maps = [{ at: 2000, map: { kind: 'latency', places: [[0, 1, 2, 3], [1, 4, 5, 6], [2, 7, 8, 9]], fit: { links: 0.9, held_out: 0.8 } } },
        { at: 2000, map: { kind: 'structure', places: [[0, -1, -2], [1, -4, -5]] } }];
    const values = [...story().slice(0, 2), ...maps, ...story().slice(2)];
    const timeline = Timeline.parse(values.map((value) => JSON.stringify(value)).join('\n'));
    const places = () => [...timeline.seek(2500).network.nodes.values()].map(({ x, y, h }) => [x, y, h]);
    equal([...timeline.kinds], ['latency', 'structure']);
    equal(places(), [[1, 2, 3], [4, 5, 6], [7, 8, 9]]);
    timeline.wish('structure');
    equal(timeline.seek(2500).network.map, { kind: 'structure', fit: null });
    equal(places(), [[-1, -2, 0], [-4, -5, 0], [undefined, undefined, 0]]);
    timeline.seek(1000);
    equal(places()[1], [-4, -5, 0]);
    timeline.wish('latency');
    equal(timeline.seek(2500).network.map, { kind: 'latency', fit: { links: 0.9, heldOut: 0.8 } });
};

tests['any time in a recording shows what a replay up to it shows, in any order'] = () => {
    const values = story();
    const timeline = Timeline.parse(values.map((value) => JSON.stringify(value)).join('\n'));
    const picture = (view) => ({ nodes: [...view.nodes.values()].map((each) => [each.n, each.state]), links: [...view.links.values()].map((each) => [each.l, each.rtt, each.loss]) });
    for (const at of [1000, 6000, 3000, 4500, 2000, 5999, 1500, 9000]) {
        const replay = new Network();
        for (const frame of values.slice(1)) if (frame.at <= at) replay.apply(frame);
        equal(picture(timeline.seek(at).network), picture(replay), `at ${at}`);
    }
};

tests['a recording that was cut off is read up to there'] = () => {
    const text = story().map((value) => JSON.stringify(value)).join('\n');
    const timeline = Timeline.parse(text.slice(0, text.length - 10));
    equal([timeline.broken, timeline.frames.length, timeline.to], [1, 6, 5000]);
};

tests['steps go to the change before and the one after'] = () => {
    const timeline = Timeline.parse(story().map((value) => JSON.stringify(value)).join('\n'));
    equal([timeline.step(2000, true), timeline.step(2000, false), timeline.step(6000, true), timeline.step(1000, false)], [3000, 1000, null, null]);
};

tests['a series has each measurement of the link'] = () => {
    const timeline = Timeline.parse(story().map((value) => JSON.stringify(value)).join('\n'));
    equal(timeline.series(0), { points: [[1000, 100, 0], [2000, 110, 0], [4000, 120, 5]], other: [] });
};

tests['a node that goes down is told once, with who noticed, the way of the news, and its links'] = () => {
    const timeline = Timeline.parse(story().map((value) => JSON.stringify(value)).join('\n'));
    const { entries } = timeline.story;
    equal(entries.map((entry) => entry.name), ['node unreachable', 'node up', 'node forgotten']);
    equal(entries[0].why, 'node1 noticed first, and told node0 directly.');
    equal(entries[0].links['links that are gone'], ['node1 → node2']);
    equal(entries[0].fields.nodes, '2');
    equal(entries[0].level, 'warn');
};

tests['what this node saw itself is said so'] = () => {
    const view = network([node(0), node(1)], []);
    const told = new Story();
    told.tell(view, view.apply({ at: 2000, nodes: [{ n: 1, state: 'unreachable', told: { by: 0, via: null } }] }));
    equal(told.entries[0].why, 'This node noticed it itself.');
};

tests['the shortest path has the least sum, and avoids links without a measurement'] = () => {
    const graph = new Graph(network([node(0), node(1), node(2), node(3)], [link(0, 0, 2, 900), link(1, 0, 1, 100), link(2, 2, 1, 200), link(3, 0, 3, null)]));
    const path = graph.path(0, 2);
    equal([path.hops.map((hop) => hop.n), path.total], [[1, 2], 300]);
    equal(graph.path(0, 3).total, null);
    equal(new Graph(network([node(0), node(1)], [])).path(0, 1), null);
};

tests['without an articulation point its side is cut off'] = () => {
    const graph = new Graph(network([node(0), node(1), node(2), node(3), node(4)], [link(0, 0, 1), link(1, 1, 2), link(2, 2, 3), link(3, 0, 4), link(4, 4, 1)]));
    equal(graph.cutOff(0, 1), [2, 3]);
    equal(graph.cutOff(0, 4), []);
    equal(graph.cutOff(2, 2), [3]);
};

tests['what holds a network together is found, as by leaving each out'] = () => {
    // Two rings that share a node, and a tail: compared with a search without each node and each link.
    const ends = [[0, 1], [1, 2], [2, 0], [2, 3], [3, 4], [4, 2], [4, 5], [5, 6], [6, 5]];
    const view = network(Array.from({ length: 7 }, (_, n) => node(n)), ends.map(([a, b], l) => link(l, a, b)));
    const { points, bridges } = holds(new Graph(view), 0);
    const wanted = [0, 1, 2, 3, 4, 5, 6].map((n) => ({ n, cut: new Graph(view).cutOff(0, n) })).filter(({ cut }) => cut.length > 0);
    equal(points.map(({ n, cut }) => ({ n, cut: cut.sort() })).sort((a, b) => a.n - b.n), wanted);
    // Both directions between 5 and 6: neither is a bridge.
    equal(bridges.map(({ link: { l }, cut }) => [l, cut.sort()]), [[6, [5, 6]]]);
};

tests['a detour is told where two links are faster, and a culprit where its links are bad'] = () => {
    const view = network([node(0), node(1), node(2), node(3)], [link(0, 0, 2, 900), link(1, 0, 1, 100, { loss: 50 }), link(2, 2, 1, 200, { suspect: true }), link(3, 3, 1, 50, { loss: 50 }), link(4, 0, 3, 145)]);
    const graph = new Graph(view);
    equal(detours(graph).map(({ link: { l }, over, total }) => [l, over, total]), [[0, 1, 300]]);
    equal(culprits(graph).map(({ n, bad, links }) => [n, bad, links]), [[1, 3, 3]]);
};

tests['near nodes stand together in the matrix'] = () => {
    // Two groups whose members are mixed: 0, 2, 4 near each other, 1, 3, 5 near each other.
    const distance = Float64Array.from({ length: 36 }, (_, i) => (Math.floor(i / 6) % 2 === (i % 6) % 2 ? 1 + (i % 6) * 0.01 : 100));
    const order = nearOrder(6, distance).map((i) => i % 2);
    if (order.join('') !== '000111' && order.join('') !== '111000') throw new Error(order.join(''));
};

const ring = (size) => ({ nodes: Array.from({ length: size }, () => ({})), pairs: Array.from({ length: size }, (_, i) => [i, (i + 1) % size]) });

tests['the layout is the same each time, and links get about as long as each other'] = () => {
    const places = [0, 1].map(() => {
        const { nodes, pairs } = ring(40);
        const layout = new Layout();
        layout.update(nodes, pairs);
        layout.settle();
        return { nodes, lengths: pairs.map(([a, b]) => Math.hypot(nodes[a].lx - nodes[b].lx, nodes[a].ly - nodes[b].ly)) };
    });
    equal(places[0].nodes, places[1].nodes);
    const { lengths } = places[0];
    if (Math.max(...lengths) > 3 * Math.min(...lengths)) throw new Error(`lengths ${Math.min(...lengths)} to ${Math.max(...lengths)}`);
};

tests['a new link moves what is near it and leaves the rest'] = () => {
    const { nodes, pairs } = ring(60);
    const layout = new Layout();
    layout.update(nodes, pairs);
    layout.settle();
    const before = nodes.map(({ lx, ly }) => [lx, ly]);
    const size = Math.max(...before.map(([x, y]) => Math.hypot(x, y)));
    nodes.push({});
    layout.update(nodes, [...pairs, [60, 0], [60, 2]]);
    layout.settle();
    const moved = before.map(([x, y], i) => Math.hypot(nodes[i].lx - x, nodes[i].ly - y)).sort((a, b) => a - b);
    if (moved[30] > 0.15 * size) throw new Error(`half of the nodes moved by ${moved[30]} of ${size}`);
    if (Math.hypot(nodes[60].lx - nodes[1].lx, nodes[60].ly - nodes[1].ly) > 0.6 * size) throw new Error('the new node stands far from its neighbours');
};

tests['a node that has links again stands near its peers'] = () => {
    const { nodes, pairs } = ring(30);
    nodes.push({});
    const layout = new Layout();
    layout.update(nodes, pairs);
    layout.settle();
    const size = Math.max(...nodes.slice(0, 30).map(({ lx, ly }) => Math.hypot(lx, ly)));
    if (Math.hypot(nodes[30].lx, nodes[30].ly) < size) throw new Error('a node without links stands among the others');
    layout.update(nodes, [...pairs, [30, 3], [30, 4]]);
    const far = Math.hypot(nodes[30].lx - nodes[3].lx, nodes[30].ly - nodes[3].ly);
    if (far > 0.5 * size) throw new Error(`${far} of ${size}`);
};

tests['a layout of a thousand nodes has only finite places'] = () => {
    const { nodes, pairs } = ring(1000);
    for (let i = 0; i < 3000; i += 1) pairs.push([(i * 7919) % 1000, (i * 104729 + 13) % 1000]);
    nodes.push({}, {});
    const layout = new Layout();
    layout.update(nodes, pairs);
    layout.settle();
    if (!nodes.every(({ lx, ly }) => Number.isFinite(lx) && Number.isFinite(ly))) throw new Error('not finite');
};

tests['the limits of colours are round, rise, and fit what there is'] = () => {
    const scale = new RttScale();
    for (const values of [[63, 70, 74], [900, 20000, 80000, 250000], [5], [100, 100, 100], [1, 1e8]]) {
        scale.fitted = false;
        scale.fit(values);
        if (scale.limits.length !== STEPS - 1) throw new Error(String(scale.limits));
        for (let i = 1; i < scale.limits.length; i += 1) if (scale.limits[i] <= scale.limits[i - 1]) throw new Error(`${values}: ${scale.limits}`);
    }
    equal(scale.step(null), UNKNOWN);
};

tests['text of others can neither hide nor turn what is around it'] = () => {
    equal(clean('a\u202eb\u0000c\u200bd\ud800e\u2066'), 'a\ufffdb\ufffdc\ufffdd\ufffde\ufffd');
    equal(clean('grüße 👋 日本'), 'grüße 👋 日本');
    equal(clean(undefined), '');
    equal([...shortLabel('x'.repeat(100))].length, 24);
    equal(clean('y'.repeat(5000)).length, 601);
};

tests['figures have the unit that suits them'] = () => {
    equal([rtt(52), rtt(1234), rtt(31250), rtt(182000), rtt(null)], ['52 µs', '1.23 ms', '31.3 ms', '182 ms', '–']);
    equal([span(400), span(61000), span(3600000 * 3)], ['less than a second', '1 min 1 s', '3 h']);
};

tests['an address is read as it is written, also a broken one'] = () => {
    equal(readRoute('#/node/ab%20c'), { view: null, node: 'ab c' });
    equal(readRoute('#/link/a/b').link, ['a', 'b']);
    equal(readRoute('#/node/%E0%A4%A').node, '%E0%A4%A');
    equal(readRoute('#/nonsense').view, 'map');
    equal(readRoute('#/matrix&token=s%2Fx'), { token: 's/x', rest: '#/matrix' });
};

tests['a label in an exported picture stays text'] = () => {
    const pen = new SvgPen(100, 100);
    pen.font = '600 12px sans-serif';
    pen.fillText('</text><script>alert(1)</script>"&', 1, 2);
    const read = new DOMParser().parseFromString(pen.document(), 'image/svg+xml');
    equal([read.querySelectorAll('script, parsererror').length, read.querySelector('text').textContent], [0, '</text><script>alert(1)</script>"&']);
};

window.results = Object.entries(tests).map(([name, test]) => {
    try {
        test();
        return { name, error: null };
    } catch (error) {
        return { name, error: `${error.message}\n${error.stack}` };
    }
});
