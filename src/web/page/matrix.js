// The matrix: the RTT of each pair of nodes. A pair without a link has the sum of the shortest path, which is marked as predicted.

import { el, linkPath, refill } from './dom.js';
import { count, rtt, shortLabel } from './text.js';
import { called } from './story.js';
import { nearOrder } from './graph.js';
import { ramp } from './furniture.js';

// Nodes that the matrix shows at most: the nearest to this node. At 300, sorting and searching take a quarter of a second; at double, two seconds.
const MOST = 300;

// Nodes up to which the figures are written into the cells, and up to which there is a table of them for a screen reader.
const WITH_FIGURES = 14;
const WITH_TABLE = 60;

const UNMEASURED = 1e9;

export class MatrixView {
    #app;
    #lead;
    #ramp;
    #box;
    #canvas;
    #tip;
    #text;
    #order = [];
    #sums = new Float64Array(0);
    #direct = new Map();
    #cell = 10;
    #left = 0;
    #top = 0;

    constructor(root, app) {
        this.#app = app;
        this.#lead = el('p.lead', { role: 'status' });
        this.#canvas = el('canvas', { id: 'matrix-canvas', role: 'img', 'aria-label': 'Round-trip times of all pairs; the table below has the same as text.' });
        this.#tip = el('div.tip', { hidden: true });
        this.#box = el('div.matrix-box', {}, this.#canvas, this.#tip);
        this.#text = el('div');
        this.#ramp = el('div.matrix-ramp');
        root.append(el('h2', { id: 'matrix-title' }, 'Round-trip times'), this.#lead, this.#ramp, el('div.scroll', {}, this.#box), this.#text);
        this.#canvas.addEventListener('pointermove', (event) => this.#hover(event));
        this.#canvas.addEventListener('pointerleave', () => (this.#tip.hidden = true));
        this.#canvas.addEventListener('click', (event) => this.#click(event));
        new ResizeObserver(() => root.hidden || this.#draw()).observe(root);
    }

    /** Computes and draws the matrix of what is shown. */
    update() {
        const { scene, network } = this.#app;
        const up = scene.nodes.filter((item) => item.degree > 0);
        const graph = scene.graph;
        const near = network.me === null ? null : graph.search(network.me).sums;
        const far = (item) => (near ? near[graph.index.get(item.node.n)] : 0);
        const items = [...up].sort((a, b) => far(a) - far(b)).slice(0, MOST);
        const size = items.length;
        const sums = new Float64Array(size * size);
        items.forEach((item, row) => {
            const found = graph.search(item.node.n).sums;
            items.forEach((other, column) => (sums[row * size + column] = found[graph.index.get(other.node.n)]));
        });
        const order = nearOrder(size, sums);
        this.#order = order.map((i) => items[i]);
        this.#sums = new Float64Array(size * size);
        order.forEach((i, row) => order.forEach((j, column) => (this.#sums[row * size + column] = sums[i * size + j])));
        this.#direct = new Map();
        for (const { a, b, link } of scene.links) {
            if (link.rtt === null) continue;
            const known = this.#direct.get(`${a.id} ${b.id}`);
            for (const key of [`${a.id} ${b.id}`, `${b.id} ${a.id}`]) if (!known || link.rtt < known.rtt) this.#direct.set(key, link);
        }
        const left = up.length - size;
        this.#lead.textContent = size === 0 ? 'No node has a link yet.'
            : `${count(size, 'node')}${left > 0 ? `, those nearest to this node; ${left.toLocaleString('en')} others are left out` : ''}. Near nodes stand together. A pair without a link of its own has the sum of its shortest path: paler and hatched, predicted and not measured.`;
        refill(this.#ramp, size > 0 ? ramp(scene.scale) : null);
        this.#draw();
        this.#table();
    }

    // {rtt, predicted, disputed} of the pair in a row and column; null on the diagonal, and where no path is.
    #pair(row, column) {
        if (row === column) return null;
        const direct = this.#direct.get(`${this.#order[row].id} ${this.#order[column].id}`);
        if (direct) return { rtt: direct.rtt, predicted: false, disputed: direct.disputed !== null };
        const sum = this.#sums[row * this.#order.length + column];
        return sum < UNMEASURED ? { rtt: sum, predicted: true, disputed: false } : null;
    }

    #draw() {
        const size = this.#order.length;
        if (size === 0) {
            this.#canvas.width = 1;
            this.#canvas.height = 1;
            return;
        }
        const { theme } = this.#app;
        const room = Math.max(this.#box.parentElement.clientWidth, 200);
        const figures = size <= WITH_FIGURES;
        const longest = Math.max(...this.#order.map((item) => shortLabel(called(item.node), 16).length));
        const labelled = size <= 90;
        this.#left = labelled ? Math.min(longest * 7.2 + 14, 130) : 0;
        this.#top = labelled ? (figures ? 28 : this.#left * 0.8) : 0;
        const most = figures ? 84 : 24;
        this.#cell = Math.max(3, Math.min(most, Math.floor((room - this.#left - (figures ? 0 : this.#top * 0.7)) / size)));
        const high = figures ? Math.min(this.#cell, 40) : this.#cell;
        const [width, height] = [this.#left + size * this.#cell + (figures ? 0 : this.#top * 0.7), this.#top + size * high];
        const ratio = Math.min(devicePixelRatio || 1, 2);
        Object.assign(this.#canvas, { width: Math.ceil(width * ratio), height: Math.ceil(height * ratio) });
        this.#canvas.style.width = `${width}px`;
        this.#canvas.style.height = `${height}px`;
        this.high = high;
        const pen = this.#canvas.getContext('2d');
        pen.setTransform(ratio, 0, 0, ratio, 0, 0);
        pen.clearRect(0, 0, width, height);
        this.#cells(pen, theme, figures);
        if (labelled) this.#labels(pen, theme, figures);
    }

    #cells(pen, theme, figures) {
        const size = this.#order.length;
        const [wide, high] = [this.#cell, this.high];
        const gap = wide >= 8 ? 1 : 0;
        const hatches = wide >= 8;
        pen.font = '12px system-ui, sans-serif';
        pen.textAlign = 'center';
        pen.textBaseline = 'middle';
        for (let row = 0; row < size; row += 1) {
            for (let column = 0; column < size; column += 1) {
                const pair = this.#pair(row, column);
                const [x, y] = [this.#left + column * wide, this.#top + row * high];
                pen.globalAlpha = pair ? (pair.predicted ? 0.45 : 0.95) : 0.12;
                pen.fillStyle = pair ? theme.rtt[this.#app.scene.scale.step(pair.rtt)] : theme.muted;
                pen.fillRect(x, y, wide - gap, high - gap);
                if (pair?.predicted && hatches) hatch(pen, theme, x, y, wide - gap, high - gap);
                if (!pair || !figures || wide < 44) continue;
                pen.globalAlpha = 1;
                // On a pale cell the page's text is legible, on a full one the page's ground.
                pen.fillStyle = pair.predicted ? theme.text : theme.background;
                pen.fillText(rtt(pair.rtt), x + wide / 2, y + high / 2);
            }
        }
        pen.globalAlpha = 1;
        pen.textAlign = 'left';
    }

    #labels(pen, theme, figures) {
        pen.fillStyle = theme.text;
        pen.textBaseline = 'middle';
        const font = this.#cell < 12 ? 10 : 12;
        if (this.#cell < 9) return;
        this.#order.forEach((item, i) => {
            pen.font = `${item.me ? 600 : 400} ${font}px system-ui, sans-serif`;
            const text = shortLabel(called(item.node), 16);
            pen.textAlign = 'right';
            pen.fillText(text, this.#left - 8, this.#top + (i + 0.5) * this.high);
            pen.save();
            pen.translate(this.#left + (i + 0.5) * this.#cell, this.#top - 8);
            if (figures) pen.textAlign = 'center';
            else {
                pen.rotate(-Math.PI / 3.2);
                pen.textAlign = 'left';
            }
            pen.fillText(figures ? shortLabel(text, 11) : text, 0, 0);
            pen.restore();
        });
        pen.textAlign = 'left';
    }

    #at(event) {
        const column = Math.floor((event.offsetX - this.#left) / this.#cell);
        const row = Math.floor((event.offsetY - this.#top) / this.high);
        const inside = row >= 0 && column >= 0 && row < this.#order.length && column < this.#order.length;
        return inside ? { row, column } : null;
    }

    #hover(event) {
        const at = this.#at(event);
        this.#tip.hidden = at === null;
        if (!at) return;
        const [a, b] = [this.#order[at.row], this.#order[at.column]];
        const pair = this.#pair(at.row, at.column);
        const text = a === b ? 'itself' : pair ? `${rtt(pair.rtt)}, ${pair.predicted ? 'predicted: the sum of the shortest path' : pair.disputed ? 'one end\'s claim: the other end disagrees' : 'measured'}` : 'no path';
        refill(this.#tip, el('strong', {}, a === b ? called(a.node) : `${called(a.node)} – ${called(b.node)}`), el('span', {}, text));
        const flip = event.offsetX > this.#canvas.clientWidth - 240;
        this.#tip.style.transform = `translate(${event.offsetX + (flip ? -12 : 14)}px, ${event.offsetY + 16}px)${flip ? ' translateX(-100%)' : ''}`;
    }

    #click(event) {
        const at = this.#at(event);
        if (!at || at.row === at.column) return;
        const [a, b] = [this.#order[at.row], this.#order[at.column]];
        const reverse = this.#app.scene.links.some((item) => item.a === b && item.b === a) && !this.#app.scene.links.some((item) => item.a === a && item.b === b);
        location.hash = reverse ? linkPath(b.id, a.id) : linkPath(a.id, b.id);
    }

    #table() {
        const size = this.#order.length;
        if (size === 0) return refill(this.#text);
        if (size > WITH_TABLE) return refill(this.#text, el('p.muted', {}, 'For so many nodes there is no table here; the view Links has each measured figure as text.'));
        const cell = (row, column) => {
            const pair = this.#pair(row, column);
            return el('td.number', {}, pair ? `${rtt(pair.rtt)}${pair.predicted ? ' *' : pair.disputed ? ' !' : ''}` : row === column ? '' : '–');
        };
        return refill(this.#text, el('details.more', { 'data-key': 'table' }, el('summary', { 'data-key': 'sum' }, 'As a table'),
            el('div.scroll', {}, el('table', {},
                el('caption.muted', {}, '* predicted: the sum of the shortest path; ! one end\'s claim: the other end disagrees'),
                el('thead', {}, el('tr', {}, el('td'), this.#order.map((item) => el('th.number', { scope: 'col' }, shortLabel(called(item.node), 16))))),
                el('tbody', {}, this.#order.map((item, row) => el('tr', {}, el('th', { scope: 'row' }, shortLabel(called(item.node), 16)), this.#order.map((_, column) => cell(row, column)))))))));
    }
}

function hatch(pen, theme, x, y, width, height) {
    pen.globalAlpha = 0.35;
    pen.strokeStyle = theme.background;
    pen.lineWidth = 1;
    pen.save();
    pen.beginPath();
    pen.rect(x, y, width, height);
    pen.clip();
    pen.beginPath();
    for (let at = -height; at < width; at += 6) {
        pen.moveTo(x + at, y + height);
        pen.lineTo(x + at + height, y);
    }
    pen.stroke();
    pen.restore();
}
