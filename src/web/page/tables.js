// The map as text: tables of nodes and links that sort, for the keyboard, for screen readers, and for whoever wants figures.

import { el, linkPath, nodePath, refill } from './dom.js';
import { count, loss, rtt, span } from './text.js';
import { called } from './story.js';
import { matches } from './scene.js';
import { stateBadge } from './panels.js';

// Rows that are shown before "more" is asked for. At double, building the table takes longer than a frame.
const SHOWN = 250;

class Table {
    #root;
    #lead;
    #box;
    #limit = SHOWN;
    #words = '';
    #sort;
    #down = false;

    constructor(root, { id, title, sort }) {
        this.#root = root;
        this.#sort = sort;
        this.#lead = el('p.lead', { role: 'status' });
        this.#box = el('div.scroll');
        root.append(el('h2', { id: `${id}-title` }, title), this.#lead,
            el('div.controls', {}, el('input', { type: 'search', placeholder: 'Filter', 'aria-label': `Filter ${title.toLowerCase()}`, oninput: (event) => this.#filter(event.target.value) })), this.#box);
    }

    #filter(text) {
        this.#words = text;
        this.update();
    }

    #order(name) {
        this.#down = this.#sort === name ? !this.#down : false;
        this.#sort = name;
        this.update();
    }

    /** `rows` are sorted by `columns`: {name: {title, number, value(row), cell(row)}}. */
    fill(all, columns, finds, noun) {
        const rows = this.#words.trim() === '' ? [...all] : all.filter((row) => finds(row, this.#words));
        const { value } = columns[this.#sort];
        const way = this.#down ? -1 : 1;
        rows.sort((a, b) => {
            const [x, y] = [value(a), value(b)];
            return way * (typeof x === 'string' ? x.localeCompare(y) : x === y ? 0 : x - y);
        });
        this.#lead.textContent = rows.length === all.length ? count(all.length, noun) : `${count(rows.length, noun)} of ${all.length.toLocaleString('en')}`;
        const head = ([name, { title, number }]) => el(number ? 'th.number' : 'th', { scope: 'col', 'aria-sort': this.#sort === name ? (this.#down ? 'descending' : 'ascending') : null },
            el('button', { type: 'button', 'data-key': `sort-${name}`, onclick: () => this.#order(name) }, title, this.#sort === name ? (this.#down ? ' ↓' : ' ↑') : ''));
        const row = (data) => el('tr', {}, Object.values(columns).map(({ number, cell }) => el(number ? 'td.number' : 'td', {}, cell(data))));
        refill(this.#box,
            el('table', {}, el('thead', {}, el('tr', {}, Object.entries(columns).map(head))), el('tbody', {}, rows.slice(0, this.#limit).map(row))),
            all.length === 0 ? el('p.muted', {}, 'Nothing to show yet.') : null,
            rows.length > this.#limit ? el('button.more', { type: 'button', 'data-key': 'more', onclick: () => this.#more() }, `Show ${Math.min(SHOWN, rows.length - this.#limit)} more`) : null);
    }

    #more() {
        this.#limit += SHOWN;
        this.update();
    }
}

export class NodesView extends Table {
    #app;

    constructor(root, app) {
        super(root, { id: 'nodes', title: 'Nodes', sort: 'label' });
        this.#app = app;
    }

    update() {
        const { scene, network, now } = this.#app;
        const sums = network.me === null ? null : scene.graph.search(network.me).sums;
        const far = ({ node }) => (sums ? sums[scene.graph.index.get(node.n)] : Infinity);
        const rank = { up: 0, unreachable: 1, left: 2 };
        this.fill(scene.nodes, {
            label: { title: 'Node', value: ({ node }) => called(node).toLowerCase(), cell: (item) => [el('a', { href: nodePath(item.id), 'data-key': item.id }, called(item.node)), item.me ? el('span.muted', {}, ' this node') : null] },
            state: { title: 'State', value: ({ node }) => rank[node.state], cell: ({ node }) => stateBadge(node) },
            since: { title: 'For', number: true, value: ({ node }) => -node.since, cell: ({ node }) => span(now - node.since) },
            rtt: { title: 'RTT from here', number: true, value: far, cell: (item) => (Number.isFinite(far(item)) && far(item) < 1e9 ? (item.me ? '0' : rtt(far(item))) : '–') },
            links: { title: 'Links', number: true, value: ({ degree }) => degree, cell: ({ degree }) => String(degree) },
            address: { title: 'Address', value: ({ node }) => node.addresses[0] ?? '', cell: ({ node }) => el('code', {}, node.addresses[0] ?? '–') },
        }, ({ node }, words) => matches(node, words), 'node');
    }
}

export class LinksView extends Table {
    #app;

    constructor(root, app) {
        super(root, { id: 'links', title: 'Links', sort: 'dialer' });
        this.#app = app;
    }

    update() {
        const { scene, now } = this.#app;
        const flags = ({ link }) => [link.suspect ? 'suspect' : '', link.disputed === null ? '' : 'one end\'s claim', link.stale ? 'old figures' : ''].filter(Boolean).join(', ');
        this.fill(scene.links, {
            dialer: { title: 'Dialer', value: ({ a, b }) => `${called(a.node)} ${called(b.node)}`.toLowerCase(), cell: ({ a, b }) => el('a', { href: linkPath(a.id, b.id), 'data-key': `${a.id}${b.id}` }, called(a.node), ' →') },
            listener: { title: 'Listener', value: ({ b }) => called(b.node).toLowerCase(), cell: ({ b }) => called(b.node) },
            rtt: { title: 'RTT', number: true, value: ({ link }) => link.rtt ?? Infinity, cell: ({ link, step }) => [el(`span.pip.swatch-${step}`), rtt(link.rtt)] },
            loss: { title: 'Loss', number: true, value: ({ link }) => link.loss, cell: ({ link }) => loss(link.loss) },
            age: { title: 'Measured ago', number: true, value: ({ link }) => -link.measured, cell: ({ link }) => span(now - link.measured) },
            since: { title: 'Seen for', number: true, value: ({ link }) => -link.since, cell: ({ link }) => span(now - link.since) },
            flags: { title: 'Remarks', value: flags, cell: (item) => el('span.flag', {}, flags(item)) },
        }, ({ a, b }, words) => matches(a.node, words) || matches(b.node, words), 'link');
    }
}
