// The contents of the map: nodes with places and links with styles, made of a Network. A node keeps its place by its id, whichever stream it
// comes from, so that a reconnect or a jump in time moves nothing that didn't move.

import { Layout } from './layout.js';
import { RttScale } from './scale.js';
import { Graph } from './graph.js';

// For how long what changed glows, in ms. At half, a change is missed by somebody who looks elsewhere; at double, busy networks glow all over.
export const GLOW_MS = 3500;

/** Loss from which a link counts as lossy and as very lossy, in 1/1000. */
export const LOSSY = 10;
const VERY_LOSSY = 50;

// How many nodes without a place stand in a row below the map. At half, labels have more room; at double, the row is wider than the map.
const LONELY_IN_A_ROW = 12;

export class Scene {
    network = null;
    nodes = [];
    links = [];
    byId = new Map();
    byNumber = new Map();
    byLink = new Map();
    /** Links that are gone and still fade. */
    ghosts = [];
    scale = new RttScale();
    /** 'places' if the stream says where nodes stand, else 'layout'. */
    placing = 'layout';
    filter = { kind: 'all' };
    /** The id of the node that is switched off to see what falls apart, and the ids that this cuts off. */
    off = null;
    cut = new Set();
    #layout = new Layout();
    #pins = new Map();
    #arriving = false;
    #graph = null;
    #backbone = null;

    /** Shows a network. `still`: everything stands at its place at once. */
    show(network, { still = false } = {}) {
        const first = this.network === null;
        this.network = network;
        this.stale();
        const known = this.byId;
        this.byId = new Map();
        this.byNumber = new Map();
        this.nodes = [];
        for (const node of network.nodes.values()) {
            const item = known.get(node.id) ?? { id: node.id, x: undefined, y: undefined, lx: undefined, ly: undefined, pinned: false, glow: -Infinity, glowKind: '', degree: 0, dim: false };
            item.node = node;
            item.degree = 0;
            item.me = node.n === network.me;
            this.nodes.push(item);
            this.byId.set(node.id, item);
            this.byNumber.set(node.n, item);
        }
        this.#relink();
        this.place({ still: still || first });
        this.restyle();
        this.refilter();
    }

    #relink() {
        const known = new Map(this.links.map((item) => [item.key, item]));
        const pairs = new Set();
        this.links = [];
        this.byLink = new Map();
        for (const link of this.network.links.values()) {
            const [a, b] = [this.byNumber.get(link.dialer), this.byNumber.get(link.listener)];
            const key = `${a.id}>${b.id}`;
            const item = known.get(key) ?? { key, glow: -Infinity, glowKind: '', shown: true };
            Object.assign(item, { link, a, b, twin: false });
            this.links.push(item);
            this.byLink.set(link, item);
            pairs.add(key);
            a.degree += 1;
            b.degree += 1;
        }
        for (const item of this.links) item.twin = pairs.has(`${item.b.id}>${item.a.id}`);
    }

    /** Takes the places of the last map frame, or lets the layout find some. */
    place({ still = false } = {}) {
        const placed = this.network.map !== null && this.nodes.some((item) => item.node.x !== undefined);
        const before = this.placing;
        this.placing = placed ? 'places' : 'layout';
        if (placed) {
            this.#takePlaces(still);
            return;
        }
        const index = new Map(this.nodes.map((item, i) => [item, i]));
        for (const item of this.nodes) item.pinned = this.#pins.has(item.id);
        this.#layout.update(this.nodes, this.links.map((item) => [index.get(item.a), index.get(item.b)]));
        // A new place far away is glided to.
        const jumped = this.nodes.some((item) => item.x !== undefined && Math.hypot(item.lx - item.x, item.ly - item.y) > 0.5);
        if (before === 'places' || jumped) this.#arriving = true;
        if (still && this.nodes.length <= 2000) this.#layout.settle();
        this.#follow(still || !this.#arriving);
    }

    #takePlaces(still) {
        const missing = new Map();
        for (const item of this.nodes) {
            if (item.node.x === undefined) missing.set(item, { x: 0, y: 0, near: 0 });
            else [item.tx, item.ty] = [item.node.x, item.node.y];
        }
        // A node that the stream has no place for yet stands between its neighbours.
        const draw = (item, { node }) => {
            const sum = missing.get(item);
            if (!sum || node.x === undefined) return;
            sum.x += node.x;
            sum.y += node.y;
            sum.near += 1;
        };
        for (const { a, b } of missing.size > 0 ? this.links : []) {
            draw(a, b);
            draw(b, a);
        }
        const lonely = new Set();
        for (const [item, { x, y, near }] of missing) {
            if (near > 0) [item.tx, item.ty] = [x / near, y / near];
            else lonely.add(item);
        }
        // Nodes that are not up were perhaps never on a map: they stand in rows below it.
        const { left, right, bottom } = boxOf(this.nodes.filter((item) => !lonely.has(item)));
        const step = (right - left) / (LONELY_IN_A_ROW - 1);
        [...lonely].forEach((item, i) => {
            item.tx = left + step * (i % LONELY_IN_A_ROW);
            item.ty = bottom + step * (1.5 + Math.floor(i / LONELY_IN_A_ROW));
        });
        for (const item of this.nodes) {
            const pin = this.#pins.get(item.id);
            if (pin) [item.tx, item.ty] = pin;
            if (still || item.x === undefined) [item.x, item.y] = [item.tx, item.ty];
            else if (item.x !== item.tx || item.y !== item.ty) this.#arriving = true;
        }
    }

    #follow(still) {
        for (const item of this.nodes) {
            [item.tx, item.ty] = [item.lx, item.ly];
            if (still || item.x === undefined) [item.x, item.y] = [item.tx, item.ty];
        }
    }

    /** One frame of movement. Returns whether anything moved. */
    advance(reduced) {
        const layouts = this.placing === 'layout' && this.#layout.moving;
        if (layouts) {
            if (reduced) this.#layout.settle();
            else this.#layout.advance();
            this.#follow(reduced || !this.#arriving);
        }
        if (!this.#arriving) return layouts;
        let far = 0;
        const size = this.size();
        for (const item of this.nodes) {
            const [dx, dy] = [item.tx - item.x, item.ty - item.y];
            far = Math.max(far, Math.abs(dx) + Math.abs(dy));
            const share = reduced ? 1 : 0.16;
            item.x += dx * share;
            item.y += dy * share;
        }
        if (reduced || far < size * 1e-3) {
            for (const item of this.nodes) [item.x, item.y] = [item.tx, item.ty];
            this.#arriving = false;
        }
        return true;
    }

    /** The width of what is shown, in the map's units. */
    size() {
        const box = this.box();
        return Math.max(box.right - box.left, box.bottom - box.top, 1e-9);
    }

    box() {
        return boxOf(this.nodes);
    }

    /** Puts a node where it was dragged to, and holds it there. */
    pin(item, x, y) {
        this.#pins.set(item.id, [x, y]);
        Object.assign(item, { x, y, tx: x, ty: y });
        if (this.placing === 'layout') Object.assign(item, { lx: x, ly: y, pinned: true });
    }

    unpin(item) {
        if (!this.#pins.delete(item.id)) return;
        item.pinned = false;
        this.place();
    }

    unpinAll() {
        this.#pins.clear();
        this.place();
    }

    isPinned(item) {
        return this.#pins.has(item.id);
    }

    get pins() {
        return this.#pins.size;
    }

    /** Styles all links anew. */
    restyle() {
        const measured = [];
        for (const { link } of this.links) if (link.rtt !== null) measured.push(link.rtt);
        this.scale.fit(measured);
        for (const item of this.links) this.#style(item);
    }

    #style(item) {
        const { link } = item;
        const gaps = link.loss >= VERY_LOSSY ? 2 : link.loss >= LOSSY ? 1 : 0;
        item.step = this.scale.step(link.rtt);
        item.style = item.step * 6 + gaps * 2 + (link.stale ? 1 : 0);
    }

    /** Lets what changed glow from `now` on. */
    glow(change, now) {
        if (change.keyframe) return;
        for (const { what, node } of change.nodes) {
            const item = this.byId.get(node.id);
            if (item && what !== 'changed') Object.assign(item, { glow: now, glowKind: node.state });
        }
        for (const { what, link } of change.links) {
            const [a, b] = [this.byNumber.get(link.dialer), this.byNumber.get(link.listener)];
            if (what === 'gone') {
                if (a && b) this.ghosts.push({ a, b, glow: now });
                continue;
            }
            const item = what === 'changed' ? null : this.byLink.get(link);
            if (item) Object.assign(item, { glow: now, glowKind: what === 'suspect' ? 'suspect' : 'up' });
        }
    }

    /** Whether something glows at `now`. Drops ghosts that have faded. */
    glows(now) {
        this.ghosts = this.ghosts.filter((ghost) => now - ghost.glow < GLOW_MS && this.byId.has(ghost.a.id) && this.byId.has(ghost.b.id));
        const lit = (item) => now - item.glow < GLOW_MS;
        return this.ghosts.length > 0 || this.nodes.some(lit) || this.links.some(lit);
    }

    get graph() {
        this.#graph ??= new Graph(this.network);
        return this.#graph;
    }

    /** The links of the shortest paths from this node: what matters of a network that is too large to be drawn while it moves. */
    backbone() {
        this.#backbone ??= this.graph.tree(this.network.me);
        return this.#backbone;
    }

    /** Forgets the searches: RTTs changed. */
    stale() {
        this.#graph = null;
        this.#backbone = null;
    }

    /** Decides which links and nodes the filter shows. */
    refilter() {
        const shows = this.#shows();
        const seen = new Set();
        for (const item of this.links) {
            item.shown = shows(item);
            if (item.shown) seen.add(item.a).add(item.b);
        }
        const { kind, text } = this.filter;
        const focus = this.filter.id ? this.byId.get(this.filter.id) : null;
        for (const item of this.nodes) {
            item.dim = kind === 'label' ? !matches(item.node, text) : kind !== 'all' && !seen.has(item) && item !== focus;
        }
        this.cut = new Set();
        if (this.off !== null && this.byId.has(this.off)) {
            const { n } = this.byId.get(this.off).node;
            const root = this.network.me ?? n;
            for (const other of this.graph.cutOff(root, n)) this.cut.add(this.byNumber.get(other).id);
        }
    }

    #shows() {
        const { kind, text, id } = this.filter;
        if (kind === 'slow') {
            const sorted = this.links.map(({ link }) => link.rtt).filter((value) => value !== null).sort((a, b) => a - b);
            const limit = sorted[Math.floor(sorted.length * 0.9)] ?? 0;
            return ({ link }) => link.rtt !== null && link.rtt >= limit;
        }
        if (kind === 'lossy') return ({ link }) => link.loss >= LOSSY;
        if (kind === 'suspect') return ({ link }) => link.suspect;
        if (kind === 'label') return ({ a, b }) => matches(a.node, text) || matches(b.node, text);
        const focus = this.byId.get(id);
        if (kind === 'links' && focus) return ({ a, b }) => a === focus || b === focus;
        if (kind === 'paths' && focus) {
            const tree = this.graph.tree(focus.node.n);
            return ({ link }) => tree.has(link);
        }
        return () => true;
    }
}

/** Whether a search finds a node: by label, address, or the beginning of its id. */
export function matches(node, text) {
    const wanted = text.trim().toLowerCase();
    if (wanted === '') return true;
    return node.label.toLowerCase().includes(wanted) || node.id.startsWith(wanted) || node.addresses.some((address) => address.toLowerCase().includes(wanted));
}

function boxOf(items) {
    const box = { left: Infinity, right: -Infinity, top: Infinity, bottom: -Infinity };
    for (const { tx, ty } of items) {
        if (tx < box.left) box.left = tx;
        if (tx > box.right) box.right = tx;
        if (ty < box.top) box.top = ty;
        if (ty > box.bottom) box.bottom = ty;
    }
    return items.length === 0 ? { left: -1, right: 1, top: -1, bottom: 1 } : box;
}
