// The map on the page: two canvases, a camera, the pointer and the keys. It draws only when something moved or changed.

import { Scene } from './scene.js';
import { paintBase, paintOverlay, project, sizes } from './paint.js';
import { readTheme } from './theme.js';

// Room around the picture when it is fitted, in pixels: for labels, and for what floats over the map.
const MARGIN = { left: 70, right: 90, top: 72, bottom: 64 };
const NARROW = { left: 36, right: 44, top: 64, bottom: 60 };

// After how long without movement, in ms, the map is drawn in full again.
const STILL_MS = 140;

// Frames that take longer than this on average, in ms, make the map leave out more while it moves: 30 a second are the aim. At half, fast
// machines leave out what they could draw; at double, slow ones stutter.
const SLOW_MS = 38;

// The least time between two drawings that only colours changed for, in ms; and how often longer than drawing takes the pause is. A node
// sends figures many times a second; at half, drawing them takes twice the processor time; at double, a change of colour looks late.
const COLOURS_MS = 250;
const COLOURS_SHARE = 6;

// While the page opens, the camera jumps where it later glides.
const OPENING_MS = 3000;

export class MapView {
    scene = new Scene();
    #base;
    #overlay;
    #basePen;
    #overlayPen;
    #theme = null;
    #camera = { width: 0, height: 0, ratio: 1, x: 0, y: 0, k: 1, zoom: 1 };
    #fit = { x: 0, y: 0, k: 1 };
    // Whether the camera follows the picture; a person who moves it takes it over.
    #auto = true;
    #goal = null;
    #scheduled = false;
    #dirty = { base: true, overlay: true };
    #movedAt = -Infinity;
    #coloursAt = -Infinity;
    #coloursTimer = null;
    #cost = 10;
    // The mean time between the frames of this movement, when the last one was, and whether they were too slow.
    #pace = { mean: 16, last: 0, slow: false };
    #full = false;
    #pointers = new Map();
    #drag = null;
    #hover = null;
    #hoverLink = null;
    #marks = { chosen: null, chosenLink: null, path: null };
    #reduced = matchMedia('(prefers-reduced-motion: reduce)');
    #on;
    #began = performance.now();
    /** Milliseconds that the last drawings took, for measurements. */
    costs = [];

    /** `on`: {choose(item), chooseLink(item), clear(), hover(item, link, x, y), camera(), pinned(item), covered() → {w, h} of the corner that the legend covers, and how far down the hint reaches}. */
    constructor(base, overlay, on) {
        this.#base = base;
        this.#overlay = overlay;
        // Opaque, so that the browser need not blend the largest part of the page.
        this.#basePen = base.getContext('2d', { alpha: false });
        this.#overlayPen = overlay.getContext('2d');
        this.#on = on;
        this.#theme = readTheme();
        matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
            this.#theme = readTheme();
            this.touch();
        });
        new ResizeObserver(() => this.#resize()).observe(overlay);
        this.#listen();
    }

    get camera() {
        return this.#camera;
    }

    get theme() {
        return this.#theme;
    }

    get marks() {
        return { ...this.#marks, hover: this.#hover, hoverLink: this.#hoverLink };
    }

    /** Shows a network; `changes` since the last one glow, if there are any. */
    show(network, { still = false, structure = true, map = false } = {}) {
        const before = this.scene.placing;
        const first = this.scene.network === null;
        if (structure || this.scene.network !== network) this.scene.show(network, { still });
        else if (map) this.scene.place();
        if (first || before !== this.scene.placing) this.#auto = true;
        // Another kind of places has another scale: hops or µs. A glide over five orders of magnitude shows nothing for seconds.
        if (first || before !== this.scene.placing) this.#refit(true);
        this.touch();
    }

    /** Colours changed: drawn soon, but not for each of many. */
    recolour() {
        const pause = Math.max(COLOURS_MS, this.#cost * COLOURS_SHARE);
        const wait = this.#coloursAt + pause - performance.now();
        this.#coloursTimer ??= setTimeout(() => {
            this.#coloursTimer = null;
            this.#coloursAt = performance.now();
            this.scene.stale();
            this.scene.restyle();
            this.touch();
        }, Math.max(wait, 0));
    }

    mark(marks) {
        Object.assign(this.#marks, marks);
        this.#dirty.overlay = true;
        this.#schedule();
    }

    glow() {
        this.#dirty.overlay = true;
        this.#schedule();
    }

    /** Everything is drawn anew. */
    touch() {
        this.#dirty.base = true;
        this.#schedule();
    }

    fit(jump = false) {
        this.#auto = true;
        this.#goal = null;
        this.#refit(jump);
        this.#schedule();
    }

    /** Fits again if nobody has moved the camera: what covers the map changed. */
    refit() {
        if (!this.#auto || this.scene.network === null) return;
        this.#refit(performance.now() - this.#began < OPENING_MS);
        this.touch();
    }

    zoomBy(factor, x = this.#camera.width / 2, y = this.#camera.height / 2) {
        const camera = this.#camera;
        const k = Math.min(Math.max(camera.k * factor, this.#fit.k * 0.25), this.#fit.k * 80);
        const [wx, wy] = [(x - camera.width / 2) / camera.k + camera.x, (y - camera.height / 2) / camera.k + camera.y];
        camera.x = wx - (x - camera.width / 2) / k;
        camera.y = wy - (y - camera.height / 2) / k;
        camera.k = k;
        this.#taken();
    }

    panBy(dx, dy) {
        this.#camera.x -= dx / this.#camera.k;
        this.#camera.y -= dy / this.#camera.k;
        this.#taken();
    }

    /** Brings a node to the middle, near enough to see what is around it. */
    centre(item) {
        const { k } = this.#camera;
        this.#auto = false;
        const wanted = this.scene.nodes.length > 60 ? Math.max(k, this.#fit.k * 2.5) : k;
        this.#goal = { x: item.tx, y: item.ty, k: wanted };
        this.#schedule();
    }

    isVisible(item) {
        project(this.scene, this.#camera);
        return item.sx > 20 && item.sy > 20 && item.sx < this.#camera.width - 20 && item.sy < this.#camera.height - 20;
    }

    /** Draws the picture with another pen: for the export. */
    paintWith(pen, theme = this.#theme) {
        paintBase(pen, this.scene, this.#camera, theme);
        paintOverlay(pen, this.scene, this.#camera, theme, { ...this.#marks, hover: null, hoverLink: null }, performance.now(), true);
    }

    #taken() {
        this.#auto = false;
        this.#goal = null;
        this.#movedAt = performance.now();
        this.#camera.zoom = this.#camera.k / this.#fit.k;
        this.#on.camera();
        this.touch();
    }

    #resize() {
        const { clientWidth: width, clientHeight: height } = this.#overlay;
        if (width === 0 || height === 0) return;
        const ratio = Math.min(devicePixelRatio || 1, 2);
        for (const canvas of [this.#base, this.#overlay]) {
            canvas.width = Math.round(width * ratio);
            canvas.height = Math.round(height * ratio);
        }
        this.#basePen.setTransform(ratio, 0, 0, ratio, 0, 0);
        this.#overlayPen.setTransform(ratio, 0, 0, ratio, 0, 0);
        Object.assign(this.#camera, { width, height, ratio });
        this.#refit(this.#auto);
        this.#dirty.base = true;
        // A new size empties a canvas; drawing at once spares a frame of nothing. An opaque one is black until then.
        this.#basePen.fillStyle = this.#theme.background;
        this.#basePen.fillRect(0, 0, width, height);
        this.#frame(performance.now());
    }

    // Computes the camera that shows everything. Takes it at once, or as the goal.
    #refit(jump) {
        const { w, h, top } = this.#on.covered();
        const room = this.#camera.width < 640 ? NARROW : MARGIN;
        const margin = { ...room, top: Math.max(room.top, top + 28) };
        this.#fit = this.#fitted(margin);
        // A node under the legend would not be seen: room is made beside it or above it, whichever leaves the larger picture.
        const hidden = (fit) => this.scene.nodes.some(({ tx, ty }) => (tx - fit.x) * fit.k < w - this.#camera.width / 2 && (ty - fit.y) * fit.k > this.#camera.height / 2 - h);
        if (w > 0 && hidden(this.#fit)) {
            const beside = this.#fitted({ ...margin, left: w + 24 });
            const above = this.#fitted({ ...margin, bottom: h + 24 });
            this.#fit = beside.k > above.k ? beside : above;
        }
        if (!this.#auto) return;
        if (jump) Object.assign(this.#camera, this.#fit, { zoom: 1 });
        else this.#goal = { ...this.#fit };
    }

    #fitted(margin) {
        const box = this.scene.box();
        const { width, height } = this.#camera;
        const [w, h] = [Math.max(width - margin.left - margin.right, 50), Math.max(height - margin.top - margin.bottom, 50)];
        const span = this.scene.nodes.length < 2 ? 1 : 1e-9;
        const full = Math.min(w / Math.max(box.right - box.left, span), h / Math.max(box.bottom - box.top, span));
        // Two nodes in opposite corners are no picture.
        const k = this.scene.nodes.length > 3 ? full : Math.min(full, 480 / Math.max(box.right - box.left, box.bottom - box.top, span));
        return {
            k,
            x: (box.left + box.right) / 2 + (margin.right - margin.left) / 2 / k,
            y: (box.top + box.bottom) / 2 + (margin.bottom - margin.top) / 2 / k,
        };
    }

    #schedule() {
        if (this.#scheduled) return;
        this.#scheduled = true;
        requestAnimationFrame((now) => {
            this.#scheduled = false;
            this.#frame(now);
        });
    }

    #frame(now) {
        if (this.scene.network === null || this.#camera.width === 0) return;
        const reduced = this.#reduced.matches;
        if (this.scene.advance(reduced)) {
            if (this.#auto) this.#refit(false);
            this.#movedAt = now;
            this.#dirty.base = true;
        }
        if (this.#goal) this.#approach(reduced, now);
        const moving = now - this.#movedAt < STILL_MS;
        this.#measure(now, moving);
        if (this.#dirty.base || (!moving && !this.#full)) this.#drawBase(moving);
        const glows = this.scene.glows(now);
        if (this.#dirty.overlay || glows) this.#drawOverlay(now, reduced);
        this.#dirty.overlay = glows;
        if (glows || this.#goal || moving || !this.#full) this.#schedule();
    }

    #measure(now, moving) {
        const pace = this.#pace;
        const took = now - pace.last;
        pace.last = now;
        if (!moving || took > 500) {
            Object.assign(pace, { mean: 16, slow: false });
            return;
        }
        pace.mean += (took - pace.mean) * 0.15;
        // Until it stands still: what comes and goes while it moves would flicker.
        pace.slow ||= pace.mean > SLOW_MS;
    }

    #drawBase(moving) {
        const began = performance.now();
        paintBase(this.#basePen, this.scene, this.#camera, this.#theme, { fast: moving, slow: this.#pace.slow });
        const took = performance.now() - began;
        if (!moving) this.#cost = took;
        this.costs.push(took);
        if (this.costs.length > 600) this.costs.shift();
        this.#full = !moving;
        this.#dirty = { base: false, overlay: true };
    }

    #drawOverlay(now, reduced) {
        this.#overlayPen.clearRect(0, 0, this.#camera.width, this.#camera.height);
        paintOverlay(this.#overlayPen, this.scene, this.#camera, this.#theme, this.marks, now, reduced);
    }

    #approach(reduced, now) {
        const [camera, goal] = [this.#camera, this.#goal];
        const share = reduced ? 1 : 0.2;
        camera.x += (goal.x - camera.x) * share;
        camera.y += (goal.y - camera.y) * share;
        camera.k *= (goal.k / camera.k) ** share;
        const near = Math.abs(goal.x - camera.x) * camera.k < 0.3 && Math.abs(goal.y - camera.y) * camera.k < 0.3 && Math.abs(goal.k / camera.k - 1) < 0.002;
        if (near) {
            Object.assign(camera, goal);
            this.#goal = null;
        }
        camera.zoom = camera.k / this.#fit.k;
        this.#movedAt = now;
        this.#dirty.base = true;
        this.#on.camera();
    }

    #listen() {
        const area = this.#overlay;
        area.addEventListener('pointerdown', (event) => this.#down(event));
        area.addEventListener('pointermove', (event) => this.#move(event));
        area.addEventListener('pointerup', (event) => this.#up(event));
        area.addEventListener('pointercancel', (event) => this.#up(event));
        area.addEventListener('pointerleave', () => this.#over(null, null, 0, 0));
        area.addEventListener('dblclick', (event) => {
            const item = this.#nodeAt(event.offsetX, event.offsetY);
            if (item && this.scene.isPinned(item)) this.scene.unpin(item);
            else if (!item) this.zoomBy(1.8, event.offsetX, event.offsetY);
            this.touch();
        });
        area.addEventListener('wheel', (event) => {
            event.preventDefault();
            const lines = event.deltaMode === 1 ? 18 : 1;
            this.zoomBy(Math.exp(-event.deltaY * lines * 0.0016), event.offsetX, event.offsetY);
        }, { passive: false });
        area.addEventListener('keydown', (event) => this.#key(event));
    }

    #key(event) {
        const actions = {
            ArrowLeft: () => this.panBy(60, 0), ArrowRight: () => this.panBy(-60, 0), ArrowUp: () => this.panBy(0, 60), ArrowDown: () => this.panBy(0, -60),
            '+': () => this.zoomBy(1.3), '=': () => this.zoomBy(1.3), '-': () => this.zoomBy(1 / 1.3), 0: () => this.fit(), Escape: () => this.#on.clear(),
        };
        const action = event.ctrlKey || event.metaKey || event.altKey ? null : actions[event.key];
        if (!action) return;
        event.preventDefault();
        action();
    }

    #down(event) {
        if (event.button !== 0) return;
        this.#overlay.setPointerCapture(event.pointerId);
        this.#pointers.set(event.pointerId, { x: event.offsetX, y: event.offsetY });
        const item = this.#pointers.size === 1 ? this.#nodeAt(event.offsetX, event.offsetY) : null;
        this.#drag = { item, x: event.offsetX, y: event.offsetY, moved: false };
    }

    #move(event) {
        const [x, y] = [event.offsetX, event.offsetY];
        const last = this.#pointers.get(event.pointerId);
        if (!last) {
            const item = this.#nodeAt(x, y);
            this.#over(item, item ? null : this.#linkAt(x, y), x, y);
            return;
        }
        if (this.#pointers.size === 2) this.#pinch(event.pointerId, x, y);
        else if (this.#drag.moved || Math.hypot(x - this.#drag.x, y - this.#drag.y) > 4) this.#dragTo(x, y, last);
        this.#pointers.set(event.pointerId, { x, y });
    }

    #dragTo(x, y, last) {
        // The first step makes up for what was waited for, to tell a click from a drag.
        const from = this.#drag.moved ? last : this.#drag;
        this.#drag.moved = true;
        if (!this.#drag.item) {
            this.panBy(x - from.x, y - from.y);
            return;
        }
        const { k, width, height } = this.#camera;
        this.#auto = false;
        this.scene.pin(this.#drag.item, (x - width / 2) / k + this.#camera.x, (y - height / 2) / k + this.#camera.y);
        this.#movedAt = performance.now();
        this.touch();
    }

    #pinch(id, x, y) {
        const [first, second] = [...this.#pointers.entries()].map(([pointer, at]) => (pointer === id ? { before: at, now: { x, y } } : { before: at, now: at }));
        const apart = (when) => Math.hypot(first[when].x - second[when].x, first[when].y - second[when].y);
        const middle = (when) => [(first[when].x + second[when].x) / 2, (first[when].y + second[when].y) / 2];
        const [[bx, by], [nx, ny]] = [middle('before'), middle('now')];
        this.panBy(nx - bx, ny - by);
        this.zoomBy(apart('now') / Math.max(apart('before'), 1), nx, ny);
        this.#drag.moved = true;
    }

    #up(event) {
        if (!this.#pointers.delete(event.pointerId)) return;
        const drag = this.#drag;
        if (this.#pointers.size > 0) return;
        this.#drag = null;
        if (drag.moved) {
            if (drag.item) this.#on.pinned(drag.item);
            return;
        }
        if (event.type !== 'pointerup') return;
        const link = drag.item ? null : this.#linkAt(drag.x, drag.y);
        if (drag.item) this.#on.choose(drag.item);
        else if (link) this.#on.chooseLink(link);
        else this.#on.clear();
    }

    #over(item, link, x, y) {
        if (item || link) this.#on.hover(item, link, x, y);
        else if (this.#hover || this.#hoverLink) this.#on.hover(null, null, 0, 0);
        if (item === this.#hover && link === this.#hoverLink) return;
        [this.#hover, this.#hoverLink] = [item, link];
        this.#overlay.classList.toggle('pointing', item !== null || link !== null);
        this.glow();
    }

    #nodeAt(x, y) {
        const reach = sizes(this.scene.nodes.length, this.scene.links.length, this.#camera.zoom).radius + 6;
        let [best, least] = [null, reach * reach];
        for (const item of this.scene.nodes) {
            const square = (item.sx - x) ** 2 + (item.sy - y) ** 2;
            if (square < least) [best, least] = [item, square];
        }
        return best;
    }

    #linkAt(x, y) {
        let [best, least] = [null, 6];
        for (const item of this.scene.links) {
            if (!item.shown) continue;
            const { a, b } = item;
            const [dx, dy] = [b.sx - a.sx, b.sy - a.sy];
            const square = dx * dx + dy * dy;
            if (square === 0) continue;
            const share = Math.min(1, Math.max(0, ((x - a.sx) * dx + (y - a.sy) * dy) / square));
            // Of two that lie beside each other, the one on whose side the pointer is.
            const side = item.twin ? (((x - a.sx) * dy - (y - a.sy) * dx) / Math.sqrt(square)) * 0.2 : 0;
            const far = Math.hypot(a.sx + dx * share - x, a.sy + dy * share - y) + side;
            if (far < least) [best, least] = [item, far];
        }
        return best;
    }
}
