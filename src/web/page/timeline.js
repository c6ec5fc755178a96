// A recording in memory, and the view at any time in it. Pure.

import { Lines, Network, readHeader, StreamError } from './stream.js';
import { Story } from './story.js';

// How many copies of the network the timeline keeps, so that a jump replays only what follows the nearest one. Each costs about
// 150 bytes a node and link. At half, a jump in a long recording takes twice as long; at double, a recording of 1,000 nodes takes
// 50 MB more.
const CHECKPOINTS = 32;

// Nodes and links in all copies together, about: 40 MB. Fewer copies are kept of a larger network.
const COPIED = 250000;

// The longest series that is made of a recording: about the width of the widest sparkline, twice. More would not be seen.
const POINTS = 600;

export class Timeline {
    header = null;
    frames = [];
    story = new Story();
    /** Lines that could not be read: more than one means a damaged file, one that it was cut off. */
    broken = 0;
    /** The kinds of map in it. */
    kinds = new Set();
    #wish = 'latency';
    #checkpoints = [];
    #cursor = null;
    #index = 0;

    /** Reads a whole recording. Throws a StreamError that says why it can't be read. */
    static parse(text) {
        const lines = new Lines();
        const values = [...lines.push(text), ...lines.end()];
        if (values.length === 0) throw new StreamError('This file is empty, or contains no line of JSON.');
        const timeline = new Timeline(readHeader(values[0]));
        timeline.broken = lines.broken;
        timeline.add(values.slice(1));
        return timeline;
    }

    constructor(header) {
        this.header = header;
    }

    get empty() {
        return this.frames.length === 0;
    }

    get from() {
        return this.frames[0]?.at ?? 0;
    }

    get to() {
        return this.frames[this.frames.length - 1]?.at ?? 0;
    }

    /** Appends frames. The first of all must have the whole view. */
    add(frames) {
        if (this.empty && frames.length > 0 && !frames[0].view) throw new StreamError('This recording has no view of the network in its first frame.');
        let last = this.to;
        const network = new Network();
        const first = this.empty;
        for (const frame of frames) {
            // A frame without a time belongs to the one before it.
            last = Math.max(last, Number.isFinite(frame.at) ? frame.at : last);
            frame.at = last;
            this.frames.push(frame);
            if (frame.map && typeof frame.map === 'object') this.kinds.add(frame.map.kind);
        }
        if (!first) return;
        // One pass over the recording gives the story and the checkpoints.
        let next = 50;
        this.frames.forEach((frame, index) => {
            if (index >= next) {
                this.#checkpoints.push({ index, network: network.clone() });
                const copies = Math.min(CHECKPOINTS, COPIED / (network.nodes.size + network.links.size + 1));
                next = index + Math.max(50, Math.ceil(this.frames.length / Math.max(copies, 1)));
            }
            this.story.tell(network, network.apply(frame));
        });
        this.#rewind({ index: 0, network: new Network() });
    }

    /** From now on, nodes are placed by the map of that kind. */
    wish(kind) {
        this.#wish = kind;
        this.#cursor.wish = kind;
        this.#cursor.arrange(kind);
    }

    /** The view at `at`. The changes since the last call are given if time went on by a step, and null after a jump. */
    seek(at) {
        const here = this.#cursor.at;
        let checkpoint = null;
        for (const candidate of this.#checkpoints) if (candidate.network.at <= at) checkpoint = candidate;
        const jumps = at < here || (checkpoint && checkpoint.index > this.#index);
        if (jumps) this.#rewind(checkpoint ?? { index: 0, network: new Network() });
        const changes = [];
        while (this.#index < this.frames.length && (this.#index === 0 || this.frames[this.#index].at <= at)) {
            const change = this.#cursor.apply(this.frames[this.#index]);
            if (!jumps) changes.push(change);
            this.#index += 1;
        }
        return { network: this.#cursor, changes: jumps ? null : changes };
    }

    /** The time of the next frame with news after `at`, or of the last before it; null if there is none. */
    step(at, forward) {
        const news = (frame) => frame.nodes || frame.links || frame.event || frame.view || frame.figures || 'cut_off' in frame;
        if (forward) {
            for (let i = this.#after(at); i < this.frames.length; i += 1) if (news(this.frames[i])) return this.frames[i].at;
            return null;
        }
        for (let i = this.#after(at) - 1; i >= 0; i -= 1) if (this.frames[i].at < at && news(this.frames[i])) return this.frames[i].at;
        return null;
    }

    /** What was measured on a link by its number: {points, other}, each [[at, rtt, loss], …]. */
    series(l) {
        const points = [];
        const other = [];
        const tell = ([rtt, measured, loss]) => {
            if (rtt !== null && (other[other.length - 1]?.[0] ?? -Infinity) < measured) other.push([measured, rtt, loss]);
        };
        for (const frame of this.frames) {
            for (const figures of frame.figures ?? []) if (figures[0] === l) points.push([frame.at, figures[1], figures[3]]);
            for (const link of frame.view?.links ?? []) if (link.l === l) points.push([frame.at, link.rtt_us, link.loss]);
            for (const link of frame.links ?? []) if (link.l === l && 'rtt_us' in link) points.push([frame.at, link.rtt_us, link.loss ?? 0]);
        }
        for (const frame of this.frames) {
            for (const link of [...(frame.view?.links ?? []), ...(frame.links ?? [])]) if (link.l === l && Array.isArray(link.other)) tell(link.other);
            for (const told of frame.others ?? []) if (told[0] === l) tell(told.slice(1));
        }
        return { points: thin(points), other: thin(other) };
    }

    // The index of the first frame after `at`.
    #after(at) {
        let low = 0;
        let high = this.frames.length;
        while (low < high) {
            const middle = (low + high) >> 1;
            if (this.frames[middle].at <= at) low = middle + 1;
            else high = middle;
        }
        return low;
    }

    #rewind({ index, network }) {
        this.#index = index;
        this.#cursor = network.clone();
        this.wish(this.#wish);
    }
}

function thin(points) {
    const every = Math.ceil(points.length / POINTS);
    return every > 1 ? points.filter((_, index) => index % every === 0) : points;
}
