// The panel at the side: everything about one node, or about one link.

import { el, linkPath, nodePath, refill, svg } from './dom.js';
import { clock, count, listed, loss, moment, rtt, span } from './text.js';
import { called, origin } from './story.js';
import { logEntry } from './events.js';

// The events that a panel shows; the view of events has the others.
const EVENTS = 10;

/** Fills the panel with a node. `app` has scene, network, story, now and the actions. */
export function showNode(panel, app, item) {
    const { network } = app;
    const { node } = item;
    const links = [...network.links.values()].filter((link) => link.dialer === node.n || link.listener === node.n);
    const path = network.me === null || node.n === network.me ? null : app.scene.graph.path(network.me, node.n);
    app.setPath(path ? new Set(path.hops.map((hop) => hop.link)) : null);
    const measured = links.filter((link) => link.rtt !== null).map((link) => link.rtt).sort((a, b) => a - b);
    refill(panel,
        el('header', {}, el('h2', { id: 'panel-title' }, called(node)), closeButton(app)),
        el('code.id', {}, node.id),
        el('p.row', {}, stateBadge(node), el('span.muted', {}, since(app, node.since))),
        network.differing.has(node.n) ? el('p.flag', {}, `It sees another network than this node, for ${span(app.now - network.differing.get(node.n))}.`) : null,
        el('p.why', {}, node.n === network.me ? 'This page shows the network as this node sees it.' : origin(network, node)),
        el('div.figures', {},
            figure(path ? rtt(path.total) : node.n === network.me ? '0' : '–', 'from this node'),
            figure(String(links.length), links.length === 1 ? 'link' : 'links'),
            figure(measured.length ? rtt(measured[Math.floor(measured.length / 2)]) : '–', 'median link')),
        el('div.row', {},
            button('Show on the map', 'centre', () => app.centre(item)),
            button('Its links', 'links', () => app.filter('links', item.id)),
            button('Its paths', 'paths', () => app.filter('paths', item.id)),
            app.scene.isPinned(item) ? button('Release', 'unpin', () => app.unpin(item)) : null),
        whatIf(app, item),
        node.addresses.length > 0 ? [el('h3', {}, node.addresses.length === 1 ? 'Address' : 'Addresses'), el('ul', {}, node.addresses.map((address) => el('li', {}, el('code', {}, address))))] : null,
        pathList(app, node, path),
        el('h3', {}, 'Links'),
        links.length > 0 ? nodeLinks(app, node, links) : el('p.muted', {}, 'It has no link.'),
        eventList(app, (entry) => entry.ids.includes(node.id), `#/events?about=${encodeURIComponent(node.id)}`));
}

/** Fills the panel with a node that the view doesn't contain. */
export function showMissing(panel, app, title, text) {
    app.setPath(null);
    refill(panel, el('header', {}, el('h2', { id: 'panel-title' }, title), closeButton(app)), el('p.why', {}, text));
}

/** Fills the panel with the link between two nodes. `series` is {points, other}, each [[at, rtt, loss], …], or null while it is fetched. */
export function showLink(panel, app, a, b, link, back, series) {
    const { network } = app;
    const [from, to] = [a.node, b.node];
    const direct = link?.rtt ?? null;
    const path = app.scene.graph.path(from.n, to.n);
    const detour = link && path && path.total !== null && direct !== null && path.hops.length > 1 && path.total < direct ? path : null;
    app.setPath(!link && path ? new Set(path.hops.map((hop) => hop.link)) : null);
    refill(panel,
        el('header', {}, el('h2', { id: 'panel-title' }, `${called(from)} → ${called(to)}`), closeButton(app)),
        el('p.row', {}, el('a', { href: nodePath(from.id), 'data-key': 'from' }, called(from)), el('span.muted', {}, 'dialed'), el('a', { href: nodePath(to.id), 'data-key': 'to' }, called(to))),
        link ? linkFacts(app, link) : el('p.why', {}, 'There is no link between them at this time.'),
        back ? el('p.why', {}, 'There is a link the other way too: ', el('a', { href: linkPath(to.id, from.id), 'data-key': 'back' }, `${called(to)} → ${called(from)}`), '.') : null,
        link ? el('div.row', {}, button('Show on the map', 'centre', () => app.centre(a))) : null,
        link ? [el('h3', {}, `Round-trip time and loss, by ${called(ends(app, link).own)}`), sparkline(app, series?.points ?? null)] : null,
        link ? otherEnd(app, link, series?.other ?? null) : null,
        detour ? [el('h3', {}, 'Detour'), el('p', {}, `${count(detour.hops.length, 'link')} over ${listed(detour.hops.slice(0, -1).map((hop) => called(network.nodes.get(hop.n))))} take ${rtt(detour.total)}; this link takes ${rtt(direct)}.`)] : null,
        !link && path ? pathList(app, to, path, `Path from ${called(from)}`, from) : null,
        eventList(app, aboutLink(from, to), `#/events?about=${encodeURIComponent(from.id)}`));
}

// Whether an entry is about a link, also where it came or went with a node.
function aboutLink(from, to) {
    const pair = `${called(from)} → ${called(to)}`;
    const names = (entry) => entry.name.startsWith('link ') || Object.values(entry.links ?? {}).some((pairs) => pairs.includes(pair));
    return (entry) => entry.ids.includes(from.id) && entry.ids.includes(to.id) && names(entry);
}

// The end that measured what is shown, and the other one. This node measures its own links; of all others the dialer's figures are shown.
function ends(app, link) {
    const [dialer, listener] = [app.network.nodes.get(link.dialer), app.network.nodes.get(link.listener)];
    return link.listener === app.network.me ? { own: listener, other: dialer } : { own: dialer, other: listener };
}

// What the other end of a link tells.
function otherEnd(app, link, series) {
    const name = called(ends(app, link).other);
    const title = el('h3', {}, `By ${name}`);
    if (link.other === null) return [title, el('p.muted', {}, `${name} has told no figures of this link.`)];
    const { rtt: us, measured, loss: lost } = link.other;
    return [
        title,
        el('div.figures', {}, figure(rtt(us), 'round trip'), figure(loss(lost), 'loss'), figure(span(app.now - measured), 'measured ago')),
        series !== null && series.length > 1 ? sparkline(app, series) : null,
    ];
}

function linkFacts(app, link) {
    const flags = [];
    if (link.disputed !== null) flags.push(`The two ends disagree for ${span(app.now - link.disputed)}: each figure is one end's claim.`);
    if (link.suspect) flags.push('Probes on it are unanswered: it is suspected to be down.');
    if (link.stale) flags.push(`Its figures are old: measured ${span(app.now - link.measured)} ago.`);
    return [
        el('div.figures', {}, figure(rtt(link.rtt), 'round trip'), figure(loss(link.loss), 'loss'), figure(span(app.now - link.since), 'first seen ago')),
        link.stale || link.rtt === null ? null : el('p.why', {}, `Measured ${span(app.now - link.measured)} ago.`),
        flags.map((text) => el('p.flag', {}, text)),
    ];
}

function nodeLinks(app, node, links) {
    const rows = links.map((link) => ({ link, out: link.dialer === node.n, peer: app.network.nodes.get(link.dialer === node.n ? link.listener : link.dialer) }));
    rows.sort((a, b) => (a.link.rtt ?? Infinity) - (b.link.rtt ?? Infinity));
    const row = ({ link, out, peer }) => {
        const [from, to] = out ? [node, peer] : [peer, node];
        return el('tr', {},
            el('td', {}, el('span', { title: out ? 'dialed by this node' : 'dialed by the peer' }, out ? '→ ' : '← '), el('a', { href: linkPath(from.id, to.id), 'data-key': `link${link.l}` }, called(peer)), link.suspect ? el('span.flag', {}, ' suspect') : null),
            el('td.number', {}, el(`span.pip.swatch-${app.scene.scale.step(link.rtt)}`), rtt(link.rtt), claim(link), link.stale ? el('span.muted', { title: 'The figure is old' }, ' old') : null),
            el('td.number', {}, link.loss > 0 ? loss(link.loss) : el('span.muted', {}, '0 %')));
    };
    return el('table', {}, el('thead', {}, el('tr', {}, el('th', { scope: 'col' }, 'Peer'), el('th.number', { scope: 'col' }, 'RTT'), el('th.number', { scope: 'col' }, 'Loss'))), el('tbody', {}, rows.slice(0, 200).map(row)));
}

function pathList(app, node, path, title = 'Path from this node', start = null) {
    const { network } = app;
    if (network.me === null || (node.n === network.me && !start)) return null;
    if (!path) return [el('h3', {}, title), el('p.muted', {}, 'No path of live links leads to it.')];
    const first = start ?? network.nodes.get(network.me);
    const hop = ({ n, link }) => el('li', {}, el('a', { href: nodePath(network.nodes.get(n).id), 'data-key': `hop${n}` }, called(network.nodes.get(n))), el('span.number', {}, rtt(link.rtt), claim(link)));
    return [
        el('h3', {}, title),
        el('ol.hops', {}, el('li', {}, el('a', { href: nodePath(first.id), 'data-key': 'hop' }, called(first)), el('span')), path.hops.map(hop)),
        el('p.total', {}, el('span', {}, count(path.hops.length, 'hop')), el('span.number', {}, path.total === null ? 'not all measured' : rtt(path.total))),
    ];
}

// The mark on a figure that the other end of the link disagrees with.
function claim(link) {
    return link.disputed === null ? null : el('span.flag', { title: 'The two ends of the link disagree' }, ' one end\'s claim');
}

// The switch that takes this node away, and the nodes that are cut off then.
function whatIf(app, item) {
    const active = app.scene.off === item.id;
    const box = el('input', { type: 'checkbox', 'data-key': 'whatif', checked: active, onchange: (event) => app.switchOff(event.target.checked ? item.id : null) });
    const cut = active ? [...app.scene.cut].map((id) => app.scene.byId.get(id)).filter(Boolean) : [];
    const own = item.node.n === app.network.me;
    const text = cut.length === 0 ? 'Nothing falls apart: every other node stays reachable.'
        : `${own ? 'The rest falls apart. Cut off from its largest part' : 'Cut off from this node'}: ${listed(cut.map((other) => called(other.node)), 12)}.`;
    return el(active ? 'div.whatif.active' : 'div.whatif', {},
        el('label', {}, box, 'What if this node goes?'),
        active ? el('p', { role: 'status' }, text) : null);
}

function eventList(app, about, more) {
    const entries = app.entries().filter(about);
    if (entries.length === 0) return [el('h3', {}, 'Events'), el('p.muted', {}, 'Nothing happened in what this page has seen.')];
    return [
        el('h3', {}, 'Events'),
        el('ol.log', {}, entries.slice(-EVENTS).reverse().map((entry) => logEntry(app, entry))),
        entries.length > EVENTS ? el('p.more', {}, el('a', { href: more, 'data-key': 'more' }, `All ${entries.length} events`)) : null,
    ];
}

/** The state of a node, as a word with its sign. */
export function stateBadge(node) {
    return el(`span.badge.${node.state}`, {}, node.state);
}

function since(app, at) {
    const { origin: zero } = app.network;
    return `for ${span(app.now - at)}, since ${zero === null ? clock(at, null) : moment(at, zero)}`;
}

function figure(value, name) {
    return el('div.figure', {}, el('b', {}, value), el('span', {}, name));
}

function button(text, key, act) {
    return el('button', { type: 'button', 'data-key': key, onclick: act }, text);
}

function closeButton(app) {
    return el('button.icon', { type: 'button', 'aria-label': 'Close the details', 'data-key': 'close', onclick: () => app.close() }, '✕');
}

/** RTT as a curve, and loss as bars below it, over the history. */
export function sparkline(app, series) {
    if (series === null) return el('p.muted', {}, 'Loading…');
    const points = series.filter(([at, value]) => Number.isFinite(at) && Number.isFinite(value));
    if (points.length < 2) return el('p.muted', {}, 'Too few measurements yet.');
    const [width, height, strip] = [340, 84, 18];
    const from = points[0][0];
    const to = Math.max(points[points.length - 1][0], from + 1);
    const values = points.map((point) => point[1]).sort((a, b) => a - b);
    const [low, high] = range(values);
    const x = (at) => (((at - from) / (to - from)) * width).toFixed(1);
    const y = (value) => (4 + (1 - (Math.min(Math.max(value, low), high) - low) / (high - low)) * (height - strip - 8)).toFixed(1);
    const curve = points.map(([at, value], i) => `${i ? 'L' : 'M'}${x(at)} ${y(value)}`).join('');
    // A fifth of all packets fills the strip: at such a loss nobody asks how much exactly.
    const tall = (lost) => Math.max(2, (Math.min(lost, 200) / 200) * (strip - 2));
    const bar = ([at, , lost]) => svg('rect.loss', { x: x(at), y: (height - tall(lost)).toFixed(1), width: 2, height: tall(lost).toFixed(1) });
    const most = series.reduce((worst, [, , lost]) => Math.max(worst, lost || 0), 0);
    const inside = app.past && app.now >= from && app.now <= to;
    const { origin: zero } = app.network;
    const words = `${count(points.length, 'measurement')}: least ${rtt(values[0])}, median ${rtt(values[Math.floor(values.length / 2)])}, most ${rtt(values[values.length - 1])}; ${most > 0 ? `most loss ${loss(most)}, red below` : 'no loss'}.`;
    return el('figure', { 'aria-label': words, role: 'img' },
        el('div.spark-box', {}, el('span', {}, rtt(high)), el('span', {}, rtt(low)),
            svg('svg.spark', { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: 'none', 'aria-hidden': 'true' },
                svg('path.area', { d: `${curve}L${x(to)} ${height - strip}L0 ${height - strip}Z` }),
                series.filter(([at, , lost]) => lost > 0 && at >= from && at <= to).map(bar), svg('path.curve', { d: curve }),
                inside ? svg('path.now', { d: `M${x(app.now)} 0V${height}` }) : null)),
        el('p.spark-axis', {}, el('span', {}, clock(from, zero)), el('span', {}, clock(to, zero))),
        el('p.why', {}, words));
}

// From where to where a curve is drawn. One outlier must not flatten the rest of it, and one that hardly moves is no mountain range.
function range(sorted) {
    const top = sorted[Math.floor((sorted.length - 1) * 0.98)];
    const [low, high] = [sorted[0], Math.max(top, sorted[0] * 1.2, 1)];
    const room = (high - low) * 0.15;
    return [low - room < high * 0.3 ? 0 : low - room, high + room];
}
