// The findings as text: what holds the network together, detours, and whose links are bad.

import { el, linkPath, nodePath, refill } from './dom.js';
import { clean, count, listed, loss, rtt, span } from './text.js';
import { called } from './story.js';
import { LOSSY } from './scene.js';
import { culprits, detours, holds } from './insights.js';

// Findings of a kind that are shown: the worst. More are counted.
const SHOWN = 12;

export class FindingsView {
    #app;
    #box = el('div');
    // The node's causes of slow links; null if nobody knows which RTTs are usual.
    #slow = null;
    #asking = false;

    constructor(root, app) {
        this.#app = app;
        root.append(el('h2', { id: 'findings-title' }, 'Findings'), el('p.lead', {}, 'These follow from the whole graph, at the time that is shown.'), this.#box);
    }

    update() {
        this.#show();
        this.#ask();
    }

    async #ask() {
        if (this.#asking) return;
        this.#asking = true;
        const { source, past, now } = this.#app;
        this.#slow = await source.slow(past ? now : null).catch(() => null);
        this.#asking = false;
        this.#show();
    }

    #show() {
        const { scene, network, now } = this.#app;
        const { graph } = scene;
        const { points, bridges } = network.me === null ? { points: [], bridges: [] } : holds(graph, network.me);
        const node = (n) => network.nodes.get(n);
        const toNode = (n) => el('a', { href: nodePath(node(n).id), 'data-key': `n${n}` }, called(node(n)));
        const toLink = ({ l, dialer, listener }) => el('a', { href: linkPath(node(dialer).id, node(listener).id), 'data-key': `l${l}` }, `${called(node(dialer))} → ${called(node(listener))}`);
        const names = (cut) => listed(cut.map((n) => called(node(n))), 5);
        const bad = [...network.links.values()].filter((link) => link.suspect || link.loss >= LOSSY).sort((a, b) => Number(b.suspect) - Number(a.suspect) || b.loss - a.loss);
        refill(this.#box,
            part('Nodes that hold the network together', 'Without one of these, others can no longer be reached from here. Open one and switch it off to see it on the map.', 'No single node: whichever goes, the others still reach each other.',
                points, ({ n, cut }) => [toNode(n), ` cuts off ${count(cut.length, 'node')}: ${names(cut)}.`]),
            part('Links that hold the network together', 'There is no way around these links.', 'No single link: there is a way around each.',
                bridges, ({ link, cut }) => [toLink(link), ` is the only way to ${count(cut.length, 'node')}: ${names(cut)}.`]),
            part('Faster detours', 'Two links in a row are at least a tenth faster than the direct one.', 'None: no two links in a row are much faster than a direct one.',
                detours(graph), ({ link, over, total }) => [toLink(link), ` takes ${rtt(link.rtt)}; over `, toNode(over), ` it is ${rtt(total)}.`]),
            part('Views that differ', 'These neighbours see another network than this node. News that is on its way makes views differ for a moment; a view that differs for longer lacks something, or this one does.', 'None: every neighbour sees the same network.',
                [...network.differing].filter(([n]) => network.nodes.has(n)).sort((a, b) => a[1] - b[1]), ([n, since]) => [toNode(n), ` for ${span(now - since)}.`]),
            part('Figures that only one end claims', 'The two ends of these links tell different round-trip times, for more than a minute. One of them is wrong.', 'None: the ends of each link agree, as far as both have told.',
                [...network.links.values()].filter((link) => link.disputed !== null), (link) => [toLink(link), `: ${rtt(link.rtt)}, and by the other end ${rtt(link.other?.rtt)}, for ${span(now - link.disputed)}.`]),
            this.#slow === null ? null : part('Slower than usual', 'Links whose round trips take longer than they used to, by their probable cause.', 'None: each link is about as fast as usual.',
                this.#slow, (cause) => slowWords(cause, (who) => this.#named(who))),
            part('Nodes with bad links', 'Most of their links lose packets or are suspect, so the cause is likely to be near the node itself.', 'None: bad links, if there are any, have no node in common.',
                culprits(graph), ({ n, bad: many, links }) => [toNode(n), `: ${many} of its ${count(links, 'link')}.`]),
            part('Bad links', '', 'None loses packets, and none is suspect.',
                bad, (link) => [toLink(link), `: ${[link.suspect ? 'suspect' : '', link.loss > 0 ? `${loss(link.loss)} loss` : ''].filter(Boolean).join(', ')}.`]));
    }

    // A node that the node's answer names: a link if it is in the view.
    #named(who) {
        const item = this.#app.scene.byId.get(who?.id);
        return item ? el('a', { href: nodePath(item.id), 'data-key': `s${item.id}` }, called(item.node)) : clean(who?.label) || 'a node';
    }
}

// A cause of slow links in words: {suspect, nodes, sizes, me, links}.
function slowWords({ suspect, nodes, sizes, me, links }, named) {
    const many = count(Number(links) || 0, 'link');
    const ends = Array.isArray(nodes) ? nodes.map(named) : [];
    if (suspect === 'network') return [`Nearly all: ${many}. Rather this machine, or all machines, than each link.`];
    if (suspect === 'node' && me) return [`${many} of this node: it lacks processor time, or its access line is full.`];
    if (suspect === 'node') return [ends[0], `: ${many} of it. The cause is near that node.`];
    if (suspect === 'sites') return [`${many} between the site of `, ends[0], ` (${count(Number(sizes?.[0]) || 1, 'node')}) and that of `, ends[1], ` (${count(Number(sizes?.[1]) || 1, 'node')}).`];
    return [ends[0], ' → ', ends[1], ': this link alone.'];
}

function part(title, lead, none, found, row) {
    return el('section.finding', {},
        el('h3', {}, title, found.length > 0 ? el('span.number', {}, found.length.toLocaleString('en')) : null),
        found.length === 0 ? el('p.muted', {}, none) : [lead ? el('p.muted', {}, lead) : null, el('ul', {}, found.slice(0, SHOWN).map((each) => el('li', {}, row(each))))],
        found.length > SHOWN ? el('p.muted', {}, `and ${(found.length - SHOWN).toLocaleString('en')} more`) : null);
}
