// The time machine's bar: a slider over the history, play, step, speed, and the way back to live.

import { byId } from './dom.js';
import { clock, moment } from './text.js';

// How often, in ms, a live history's bounds are asked for while the past is shown. At half there are twice as many requests; at double
// the slider's end lags behind.
const RANGE_MS = 5000;

// A slider's steps: finer than its pixels.
const STEPS = 1000;

export class TimeBar {
    #app;
    #root = byId('time');
    #slider = byId('slider');
    #out = byId('shown-time');
    #activity = byId('activity');
    #range = null;
    #playing = false;
    #frame = 0;
    #asked = -Infinity;
    // The latest time that was asked for, while an answer is awaited: only the newest counts.
    #wanted = null;
    #busy = false;
    #drawn = '';

    /** `app`: {source, network, isLive, show(at, speed) → Promise, live(), over(), entries} */
    constructor(app) {
        this.#app = app;
        this.#slider.addEventListener('input', () => this.#slide());
        byId('play').addEventListener('click', () => this.toggle());
        byId('step-back').addEventListener('click', () => this.step(false));
        byId('step-on').addEventListener('click', () => this.step(true));
        byId('live').addEventListener('click', () => this.live());
    }

    get playing() {
        return this.#playing;
    }

    async refresh(force = false) {
        if (!force && performance.now() - this.#asked < RANGE_MS) return;
        this.#asked = performance.now();
        const range = await this.#app.source?.range().catch(() => null);
        if (range) this.#range = range;
        if (this.#app.source?.isOver) this.#app.over();
        this.update();
    }

    /** Shows the time that is shown. */
    update() {
        const { network, past } = this.#app;
        const live = this.#app.source?.kind === 'live';
        document.body.classList.toggle('recording', !live);
        this.#root.classList.toggle('playing', this.#playing);
        byId('play').setAttribute('aria-label', this.#playing ? 'Pause' : 'Play');
        byId('live').setAttribute('aria-pressed', String(live && !past));
        this.#slider.disabled = this.#range === null;
        for (const id of ['play', 'step-back', 'step-on']) byId(id).disabled = this.#range === null;
        if (!network) return;
        const at = this.#app.now;
        const text = network.origin === null ? `${clock(at, null, true)} / ${clock(this.#range?.to ?? at, null)}` : innerWidth < 720 ? clock(at, network.origin) : moment(at, network.origin);
        this.#out.textContent = text;
        if (this.#range) {
            const { from, to } = this.#range;
            const end = live ? Math.max(to, past ? 0 : at) : to;
            this.#slider.value = live && !past ? STEPS : Math.round(((at - from) / Math.max(end - from, 1)) * STEPS);
            this.#slider.setAttribute('aria-valuetext', text);
        }
        this.#draw();
    }

    #at() {
        const { from, to } = this.#range;
        return from + ((to - from) * Number(this.#slider.value)) / STEPS;
    }

    #slide() {
        if (this.#range === null) return;
        // Before `pause`, which puts the slider where the shown time is.
        const at = this.#at();
        this.pause();
        this.#go(at);
    }

    // Goes to a time. While an answer is awaited, only the newest wish is kept.
    async #go(at, speed = 0) {
        this.#wanted = { at, speed };
        if (this.#busy) return;
        this.#busy = true;
        while (this.#wanted) {
            const wish = this.#wanted;
            this.#wanted = null;
            await this.#app.show(wish.at, wish.speed);
        }
        this.#busy = false;
        this.update();
    }

    async step(forward) {
        this.pause();
        const at = await this.#app.source.step(this.#app.now, forward).catch(() => null);
        if (at !== null) await this.#go(at);
    }

    toggle() {
        if (this.#playing) this.pause();
        else this.play();
    }

    play() {
        if (!this.#range) return;
        const { from, to } = this.#range;
        // At the end, playing begins at the start.
        let at = this.#app.past ? this.#app.now : from;
        if (at >= to - 1) at = from;
        this.#playing = true;
        let last = performance.now();
        const frame = (now) => {
            if (!this.#playing) return;
            const speed = Number(byId('speed').value);
            at += (now - last) * speed;
            last = now;
            if (this.#app.source.kind === 'live') this.refresh();
            if (at >= this.#range.to) {
                this.pause();
                if (this.#app.source.kind === 'live') this.live();
                else this.#go(this.#range.to);
                return;
            }
            // Playing doesn't run ahead of the node's answers.
            if (this.#busy) at = Math.min(at, this.#app.now + 1000);
            this.#go(at, speed);
            this.#frame = requestAnimationFrame(frame);
        };
        this.#frame = requestAnimationFrame(frame);
        this.update();
    }

    pause() {
        this.#playing = false;
        cancelAnimationFrame(this.#frame);
        this.update();
    }

    live() {
        this.pause();
        this.#wanted = null;
        this.#app.live();
        this.refresh(true);
    }

    // Marks the times of events, warnings in the colour of warnings.
    #draw() {
        const canvas = this.#activity;
        const width = canvas.clientWidth;
        if (width === 0 || this.#range === null) return;
        const entries = this.#app.allEntries();
        const { from, to } = this.#range;
        const sign = `${width}|${this.#app.storyVersion}|${Math.round(from / 1000)}|${Math.round(to / 1000)}|${this.#app.theme.dark}`;
        if (sign === this.#drawn) return;
        this.#drawn = sign;
        const ratio = Math.min(devicePixelRatio || 1, 2);
        Object.assign(canvas, { width: width * ratio, height: 16 * ratio });
        const pen = canvas.getContext('2d');
        pen.scale(ratio, ratio);
        const bins = Math.max(1, Math.floor(width / 4));
        const [many, grave] = [new Float64Array(bins), new Float64Array(bins)];
        for (const entry of entries) {
            const bin = Math.floor(((entry.at - from) / Math.max(to - from, 1)) * bins);
            if (bin < 0 || bin >= bins) continue;
            many[bin] += 1;
            if (entry.level !== 'info') grave[bin] += 1;
        }
        const most = many.reduce((a, b) => Math.max(a, b), 1);
        const high = (value) => (value === 0 ? 0 : 3 + (Math.log1p(value) / Math.log1p(most)) * 11);
        for (let bin = 0; bin < bins; bin += 1) {
            if (many[bin] === 0) continue;
            const x = (bin / bins) * width;
            pen.fillStyle = this.#app.theme.muted;
            pen.globalAlpha = 0.45;
            pen.fillRect(x, 16 - high(many[bin]), 3, high(many[bin]));
            pen.fillStyle = this.#app.theme.warn;
            pen.globalAlpha = 1;
            pen.fillRect(x, 16 - high(grave[bin]), 3, high(grave[bin]));
        }
    }
}
