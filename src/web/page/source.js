// The sources of frames: a running node, or a recording. Both give the view at any time, and the history of a link.

import { Lines, readEvent, readHeader, StreamError } from './stream.js';
import { Timeline } from './timeline.js';
import { entryOf } from './story.js';

// After how long without a byte a live stream counts as dead. The node sends a heartbeat at least every 5 s. At half, one late heartbeat
// reconnects; at double, a page beside a dead node looks alive for half a minute.
const SILENCE_MS = 15000;

// The wait before the first new attempt, and the longest one; each is twice the one before. At half, pages load a node that is starting;
// at double, a page notices a restarted node late.
const RETRY_MS = 400;
const RETRY_MAX_MS = 10000;

// How much history is fetched ahead while it plays, in ms of it. At half there are twice as many requests; at double, the first second of
// playing waits for what may never be shown.
const AHEAD_MS = 60000;

/** A node that answers over HTTP. `tell` has the methods header, frames, state. */
export class LiveSource {
    kind = 'live';
    /** Whether it is a recording that a program serves: nothing will change. */
    isOver = false;
    #tell;
    #token;
    #map;
    #origin = null;
    #abort = null;
    #stopped = false;
    #wake = () => {};
    #window = null;
    // The newest time that the node told. Of a later one there is no view yet, and a stream up to it would wait for it.
    #newest = 0;

    constructor({ tell, token, map }) {
        this.#tell = tell;
        this.#token = token;
        this.#map = map;
    }

    start() {
        document.addEventListener('visibilitychange', this.#visibility);
        this.#run();
    }

    stop() {
        this.#stopped = true;
        document.removeEventListener('visibilitychange', this.#visibility);
        this.#abort?.abort();
        this.#wake();
    }

    /** Asks the node for another map; the stream begins anew, and the past is fetched again. */
    setMap(map) {
        this.#map = map;
        this.#window = null;
        this.#reconnect();
    }

    setToken(token) {
        this.#token = token;
        this.#reconnect();
    }

    #reconnect() {
        this.#abort?.abort();
        this.#wake();
    }

    // A hidden page holds no connection: browsers allow six a host, over all tabs.
    #visibility = () => {
        if (document.hidden) this.#abort?.abort();
        else this.#wake();
    };

    async #run() {
        let wait = RETRY_MS;
        while (!this.#stopped) {
            if (document.hidden) {
                this.#tell.state('paused');
                await this.#pause(null);
                continue;
            }
            this.#tell.state('connecting');
            const began = performance.now();
            const failure = await this.#stream();
            if (this.#stopped) return;
            if (failure === null) continue;
            if (performance.now() - began > SILENCE_MS) wait = RETRY_MS;
            this.#tell.state(failure.denied ? 'denied' : 'lost', failure.message);
            await this.#pause(failure.denied ? null : wait);
            wait = Math.min(wait * 2, RETRY_MAX_MS);
        }
    }

    // Waits for `ms`, or for ever, and ends early if somebody wakes it.
    #pause(ms) {
        return new Promise((resolve) => {
            const timer = ms === null ? null : setTimeout(resolve, ms);
            this.#wake = () => {
                clearTimeout(timer);
                resolve();
            };
        });
    }

    // Reads one stream to its end. Returns null if this page ended it, else why it failed.
    async #stream() {
        const abort = new AbortController();
        this.#abort = abort;
        let heard = performance.now();
        let silent = false;
        const watch = setInterval(() => {
            if (performance.now() - heard < SILENCE_MS) return;
            silent = true;
            abort.abort();
        }, 1000);
        try {
            const response = await this.#get(`/v1/stream?from=live&map=${this.#map}`, abort.signal);
            const lines = new Lines();
            const decoder = new TextDecoder();
            const reader = response.body.getReader();
            let header = null;
            for (;;) {
                const { done, value } = await reader.read();
                if (done) return new Error('the node ended the stream');
                heard = performance.now();
                const values = lines.push(decoder.decode(value, { stream: true }));
                if (values.length === 0) continue;
                if (header === null) {
                    header = readHeader(values.shift());
                    this.#tell.header(header);
                    this.#tell.state('live');
                }
                for (const frame of values) {
                    if (Number.isFinite(frame.origin)) this.#origin = frame.origin;
                    if (Number.isFinite(frame.at)) this.#newest = frame.at;
                }
                if (values.length > 0) this.#tell.frames(values);
            }
        } catch (error) {
            if (silent) return new Error(`the node sent nothing for ${SILENCE_MS / 1000} s`);
            if (abort.signal.aborted) return null;
            return error;
        } finally {
            clearInterval(watch);
            abort.abort();
        }
    }

    async #get(path, signal) {
        const headers = this.#token ? { authorization: `Bearer ${this.#token}` } : {};
        const response = await fetch(path, { headers, signal, cache: 'no-store' });
        if (response.ok) return response;
        const body = await response.json().catch(() => null);
        const said = body?.error?.what ?? `status ${response.status}`;
        const error = new Error(body?.error?.hint ? `${said}; ${body.error.hint}` : said);
        error.denied = response.status === 401 || response.status === 403;
        throw error;
    }

    async #json(path) {
        return (await this.#get(path)).json();
    }

    /** From when to when the node remembers, in ms since its start. */
    async range() {
        if (this.#origin === null) return null;
        const history = await this.#json('/v1/history');
        this.isOver = history.live === false;
        const range = { from: history.from_ms - this.#origin, to: history.to_ms - this.#origin };
        this.#newest = Math.max(this.#newest, range.to);
        return range;
    }

    /** The view at `at`. `speed`: it plays that many times as fast, so what follows is fetched too, and playing needs no request a frame. */
    async seek(at, speed = 0) {
        const known = this.#window;
        if (known && at >= known.from && at <= known.to) return known.timeline.seek(at);
        const from = Math.min(at, this.#newest);
        const timeline = await this.#fetch(from, speed > 0 ? from + AHEAD_MS * Math.max(1, speed / 6) : from);
        return timeline.seek(at);
    }

    /** The time of the next or the last news around `at`, within what is fetched around it. */
    async step(at, forward) {
        const timeline = await this.#fetch(forward ? at : Math.max(0, at - AHEAD_MS), forward ? at + AHEAD_MS : at);
        return timeline.step(at, forward);
    }

    async #fetch(from, wanted) {
        const to = Math.max(from, Math.min(wanted, this.#newest));
        const unix = (at) => Math.round(this.#origin + at);
        const response = await this.#get(`/v1/stream?from=${unix(from)}&to=${unix(to)}&map=${this.#map}`);
        const timeline = Timeline.parse(await response.text());
        this.#window = { timeline, from, to };
        return timeline;
    }

    /** What was measured on the link between two nodes: {points, other}, each [[at, rtt, loss], …]. */
    async series(network, link) {
        const [a, b] = [network.nodes.get(link.dialer), network.nodes.get(link.listener)];
        const answer = await this.#json(`/v1/link/${encodeURIComponent(a.id)}/${encodeURIComponent(b.id)}`);
        const series = (said) => (said ?? []).filter(Array.isArray).map(([ms, rtt, loss]) => [ms - this.#origin, rtt, loss]);
        return { points: series(answer.series), other: series(answer.other_series) };
    }

    /** The causes that the node sees for links that are slower than usual, at `at` or, if that is null, now. */
    async slow(at) {
        const answer = await this.#json(at === null ? '/v1/explain' : `/v1/explain?at=${Math.round(this.#origin + at)}`);
        return Array.isArray(answer.slow) ? answer.slow : null;
    }

    /** The events before this page was opened, as entries of the story. */
    async past(network) {
        const answer = await this.#json('/v1/events');
        return (answer.events ?? []).map((said) => entryOf(readEvent(said.event ?? said), (said.at_ms ?? 0) - this.#origin, network));
    }
}

/** A recording: all of it in memory. */
export class FileSource {
    kind = 'file';
    #timeline;

    constructor(timeline) {
        this.#timeline = timeline;
    }

    /** Reads bytes, packed with gzip or not. A file that was cut off is read up to there. */
    static async read(bytes) {
        const packed = bytes[0] === 0x1f && bytes[1] === 0x8b;
        const text = packed ? await unpack(bytes) : new TextDecoder().decode(bytes);
        return new FileSource(Timeline.parse(text));
    }

    get header() {
        return this.#timeline.header;
    }

    /** The kinds of map in it. */
    get maps() {
        return this.#timeline.kinds;
    }

    /** Shows another map. */
    setMap(map) {
        this.#timeline.wish(map);
    }

    get story() {
        return this.#timeline.story;
    }

    /** A sentence about lines that were no JSON, or an empty text. */
    get damage() {
        const { broken } = this.#timeline;
        if (broken === 0) return '';
        return broken === 1 ? 'The recording was cut off: its last line is not complete.' : `${broken} lines of the recording could not be read.`;
    }

    stop() {}

    async range() {
        return { from: this.#timeline.from, to: this.#timeline.to };
    }

    async seek(at) {
        return this.#timeline.seek(at);
    }

    async step(at, forward) {
        return this.#timeline.step(at, forward);
    }

    async series(network, link) {
        return this.#timeline.series(link.l);
    }

    async past() {
        return [];
    }

    // Only a running node knows which RTTs are usual.
    async slow() {
        return null;
    }
}

async function unpack(bytes) {
    if (typeof DecompressionStream === 'undefined') throw new StreamError('This browser can\'t unpack gzip; unpack the recording first.');
    const reader = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip')).getReader();
    const decoder = new TextDecoder();
    let text = '';
    try {
        for (;;) {
            const { done, value } = await reader.read();
            if (done) return text + decoder.decode();
            text += decoder.decode(value, { stream: true });
        }
    } catch {
        // A file that was cut off is good up to its end.
        if (text === '') throw new StreamError('This file is packed with gzip, and damaged.');
        return text;
    }
}
