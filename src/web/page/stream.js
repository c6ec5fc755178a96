// The stream (docs/recording.md) as a model: lines become frames, frames change a Network, and each change says what it changed.
// Nothing here touches the page, the network or a clock.
//
// A line is untrusted. This module replaces each value of a wrong type by one that is safe to show. All other modules read valid values.

import { clean } from './text.js';

const STATES = new Set(['up', 'unreachable', 'left']);

/** The version of the format that this reader knows. */
export const VERSION = 1;

/** A stream that this page can't read. The message is a sentence for the person who opened it. */
export class StreamError extends Error {}

/** Splits text that comes in pieces into parsed lines. */
export class Lines {
    #rest = '';
    /** Lines that were no JSON object. A recording that was cut off ends with one. */
    broken = 0;

    push(piece) {
        const lines = (this.#rest + piece).split('\n');
        this.#rest = lines.pop();
        return this.#parse(lines);
    }

    /** Parses the last line, which has no end. */
    end() {
        const rest = this.#rest;
        this.#rest = '';
        return this.#parse([rest]);
    }

    #parse(lines) {
        const parsed = [];
        for (const line of lines) {
            if (line.trim() === '') continue;
            try {
                const value = JSON.parse(line);
                if (value !== null && typeof value === 'object' && !Array.isArray(value)) parsed.push(value);
                else this.broken += 1;
            } catch {
                this.broken += 1;
            }
        }
        return parsed;
    }
}

/** Checks the first line of a stream. */
export function readHeader(value) {
    if (value?.format !== 'area-net-recording') throw new StreamError('This is no recording of area-net: the first line has no "format":"area-net-recording".');
    if (value.version !== VERSION) {
        throw new StreamError(`This recording has version ${clean(value.version)} of the format; this page reads version ${VERSION}. Open it with the area-net that made it, or a later one.`);
    }
    return { program: clean(value.program), network: clean(value.network), node: hex(value.node), label: clean(value.label) };
}

/** The whole network at one moment. */
export class Network {
    /** ms since the node's start. */
    at = 0;
    /** Unix ms of that start; null as long as no frame said it, as in a simulation. */
    origin = null;
    /** The number of the node that made the stream; null if it has none. */
    me = null;
    cutOff = false;
    impaired = null;
    rejected = {};
    /** number → node {n, id, label, addresses, state, since, told, x, y, h}; x is undefined as long as no map frame placed it. */
    nodes = new Map();
    /** number → link {l, dialer, listener, since, rtt, measured, loss, stale, suspect, other, disputed}. Both ends are in `nodes`. `other`: what the
     * other end tells, {rtt, measured, loss}, or null; `disputed`: since when the ends disagree, or null. */
    links = new Map();
    /** The neighbours that see another network: number → since when. */
    differing = new Map();
    /** {kind, fit} of the map that the nodes are placed by, or null. */
    map = null;
    /** The kind of map to place them by, where there are both; null: the one that came last. */
    wish = null;
    /** kind → fit of its last map frame. */
    fits = {};

    /** Applies one frame. Returns what it changed. */
    apply(frame) {
        const change = { at: this.at, keyframe: false, structure: false, nodes: [], links: [], figures: [], map: false, event: null };
        if (Number.isFinite(frame.at)) this.at = Math.max(this.at, frame.at);
        change.at = this.at;
        if (Number.isFinite(frame.origin)) this.origin = frame.origin;
        if (frame.view && typeof frame.view === 'object') this.#replace(frame.view, change);
        if ('cut_off' in frame) this.cutOff = frame.cut_off === true;
        if ('impaired' in frame) this.impaired = described(frame.impaired);
        if (frame.rejected) Object.assign(this.rejected, counters(frame.rejected));
        for (const node of list(frame.nodes)) this.#node(node, change);
        for (const link of list(frame.links)) this.#link(link, change);
        for (const figures of list(frame.figures)) this.#figures(figures, change);
        for (const told of list(frame.others)) this.#other(told, change);
        for (const since of list(frame.disputed)) this.#disputed(since, change);
        if ('differing' in frame) this.differing = differing(frame.differing);
        if (frame.map && typeof frame.map === 'object') this.#places(frame.map, change);
        if (frame.event && typeof frame.event === 'object') change.event = readEvent(frame.event);
        return change;
    }

    /** A copy that later frames don't change. */
    clone() {
        const copy = Object.assign(new Network(), this);
        copy.rejected = { ...this.rejected };
        copy.nodes = new Map();
        for (const [n, node] of this.nodes) copy.nodes.set(n, { ...node });
        copy.links = new Map();
        for (const [l, link] of this.links) copy.links.set(l, { ...link });
        return copy;
    }

    #replace(view, change) {
        const places = this.nodes;
        this.nodes = new Map();
        this.links = new Map();
        this.me = number(view.me);
        this.cutOff = view.cut_off === true;
        this.impaired = described(view.impaired);
        this.rejected = counters(view.rejected);
        this.differing = differing(view.differing);
        const inner = { nodes: [], links: [] };
        for (const node of list(view.nodes)) {
            this.#node(node, inner);
            const old = places.get(node?.n);
            const now = this.nodes.get(node?.n);
            // A keyframe has no places: a node that stays keeps its own.
            if (old && now) Object.assign(now, { x: old.x, y: old.y, h: old.h, places: old.places });
        }
        for (const link of list(view.links)) this.#link(link, inner);
        change.keyframe = true;
        change.structure = true;
    }

    #node(said, change) {
        const n = number(said?.n);
        if (n === null) return;
        const old = this.nodes.get(n);
        if (said.gone === true) {
            if (!old) return;
            this.nodes.delete(n);
            for (const [l, link] of this.links) if (link.dialer === n || link.listener === n) this.links.delete(l);
            change.structure = true;
            change.nodes.push({ what: 'gone', node: old });
            return;
        }
        const node = old ?? { n, id: '', label: '', addresses: [], state: 'up', since: this.at, told: null, x: undefined, y: undefined, h: 0 };
        const before = node.state;
        if ('id' in said) node.id = hex(said.id);
        if ('label' in said) node.label = clean(said.label);
        if ('addresses' in said) node.addresses = list(said.addresses).map(clean);
        if ('state' in said) node.state = STATES.has(said.state) ? said.state : 'up';
        if ('since' in said) node.since = number(said.since) ?? node.since;
        if ('told' in said) node.told = told(said.told);
        if (!old) {
            // Without an id a node can't be found again in another stream, so one is made of its number.
            if (node.id === '') node.id = `n${n}`;
            this.nodes.set(n, node);
            change.structure = true;
        }
        change.nodes.push({ what: old ? (before === node.state ? 'changed' : 'state') : 'new', node, before });
    }

    #link(said, change) {
        const l = number(said?.l);
        if (l === null) return;
        const old = this.links.get(l);
        if (said.gone === true) {
            if (!old) return;
            this.links.delete(l);
            change.structure = true;
            change.links.push({ what: 'gone', link: old, told: told(said.told) });
            return;
        }
        const link = old ?? { l, dialer: number(said.dialer), listener: number(said.listener), since: this.at, rtt: null, measured: this.at, loss: 0, stale: false, suspect: false, other: null, disputed: null };
        if (!old) {
            if (!this.nodes.has(link.dialer) || !this.nodes.has(link.listener) || link.dialer === link.listener) return;
            this.links.set(l, link);
            change.structure = true;
        }
        const suspected = link.suspect;
        if ('since' in said) link.since = number(said.since) ?? link.since;
        if ('rtt_us' in said) link.rtt = number(said.rtt_us);
        if ('measured' in said) link.measured = number(said.measured) ?? link.measured;
        if ('loss' in said) link.loss = permille(said.loss);
        if ('stale' in said) link.stale = said.stale === true;
        if ('other' in said) link.other = end(said.other);
        if ('disputed' in said) link.disputed = number(said.disputed);
        if ('suspect' in said) link.suspect = said.suspect === true;
        const what = old ? (suspected === link.suspect ? 'changed' : link.suspect ? 'suspect' : 'cleared') : 'new';
        change.links.push({ what, link });
    }

    #figures(figures, change) {
        const link = Array.isArray(figures) ? this.links.get(figures[0]) : undefined;
        if (!link) return;
        link.rtt = number(figures[1]);
        link.measured = number(figures[2]) ?? this.at;
        link.loss = permille(figures[3]);
        link.stale = figures[4] === 1 || figures[4] === true;
        change.figures.push(link);
    }

    #other(told, change) {
        const link = Array.isArray(told) ? this.links.get(told[0]) : undefined;
        if (!link) return;
        link.other = end(told.slice(1));
        change.figures.push(link);
    }

    #disputed(since, change) {
        const link = Array.isArray(since) ? this.links.get(since[0]) : undefined;
        if (!link) return;
        link.disputed = number(since[1]);
        change.figures.push(link);
    }

    #places(map, change) {
        const kind = map.kind === 'latency' ? 'latency' : 'structure';
        const fit = map.fit && typeof map.fit === 'object' ? { links: number(map.fit.links, -1), heldOut: number(map.fit.held_out, -1) } : null;
        this.fits = { ...this.fits, [kind]: fit };
        for (const place of list(map.places)) {
            const node = Array.isArray(place) ? this.nodes.get(place[0]) : undefined;
            if (!node || !Number.isFinite(place[1]) || !Number.isFinite(place[2])) continue;
            node.places = { ...node.places, [kind]: { x: place[1], y: place[2], h: number(place[3]) ?? 0 } };
        }
        this.arrange(this.wish ?? kind);
        change.map = true;
    }

    /** Places the nodes by the map of that kind; by the other one if there is none. */
    arrange(wish) {
        const kind = wish in this.fits ? wish : Object.keys(this.fits)[0];
        if (kind === undefined) return;
        this.map = { kind, fit: this.fits[kind] };
        for (const node of this.nodes.values()) Object.assign(node, { x: undefined, y: undefined, h: 0 }, node.places?.[kind]);
    }
}

/** An event's object: {name, level, fields}. */
export function readEvent(event) {
    const fields = {};
    for (const [key, value] of Object.entries(event.fields ?? {})) fields[clean(key)] = clean(value);
    return { name: clean(event.name), level: clean(event.level) || 'info', fields };
}

function list(value) {
    return Array.isArray(value) ? value : [];
}

function number(value, least = 0) {
    return Number.isFinite(value) && value >= least ? value : null;
}

// What the other end of a link tells: [rtt, measured, loss].
function end(told) {
    if (!Array.isArray(told) || number(told[0]) === null) return null;
    return { rtt: told[0], measured: Number.isFinite(told[1]) ? told[1] : 0, loss: permille(told[2]) };
}

function differing(value) {
    return new Map(list(value).filter((pair) => Array.isArray(pair) && Number.isFinite(pair[0]) && Number.isFinite(pair[1])));
}

function permille(value) {
    return Math.min(number(value) ?? 0, 1000);
}

function hex(value) {
    return typeof value === 'string' && /^[0-9a-f]{1,64}$/.test(value) ? value : '';
}

function told(value) {
    if (!value || typeof value !== 'object') return null;
    return { by: number(value.by), via: number(value.via) };
}

// The impairment of what the node sends: text, or a table of settings.
function described(value) {
    if (value === null || value === undefined || value === false) return null;
    if (typeof value !== 'object') return clean(value);
    return Object.entries(value).map(([key, part]) => `${clean(key)} ${clean(part)}`).join(', ');
}

function counters(value) {
    const result = {};
    for (const [name, times] of Object.entries(value ?? {})) if (Number.isFinite(times)) result[clean(name)] = times;
    return result;
}
