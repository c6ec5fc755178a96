// The controls and texts around the map: the legend with its scale bar, counts, the tip at the pointer, messages, and the search.

import { byId, el, nodePath, refill, svg } from './dom.js';
import { count, loss, roundRtt, rtt, span } from './text.js';
import { called } from './story.js';
import { matches } from './scene.js';
import { scaleLength, STEPS } from './scale.js';

// Below this correlation of predicted and measured RTT on links that the fit has not seen, distances on a latency map mean nothing.
const POOR_FIT = 0.5;

// Nodes that a search lists.
const FOUND = 12;

/** The legend: colours, signs, and on a latency map the scale bar and how good the fit is. `update` returns whether it changed. */
export class Legend {
    #shown = '';
    #bar = null;

    update(scene, theme) {
        const latency = scene.placing === 'places' && scene.network.map.kind === 'latency';
        const fit = latency ? scene.network.map.fit : null;
        const used = {
            loss: scene.links.some(({ link }) => link.loss >= 10),
            suspect: scene.links.some(({ link }) => link.suspect),
            stale: scene.links.some(({ link }) => link.stale),
            unreachable: scene.nodes.some(({ node }) => node.state === 'unreachable'),
            left: scene.nodes.some(({ node }) => node.state === 'left'),
            unknown: scene.links.some(({ link }) => link.rtt === null),
        };
        const sign = JSON.stringify([scene.scale.limits, latency, fit, used, theme.dark]);
        if (sign === this.#shown) return false;
        this.#shown = sign;
        this.#bar = latency ? el('div.bar-line') : null;
        const quality = fit && fit.links !== null ? `Distance and RTT correlate ${fit.links.toFixed(2)} on links${fit.heldOut === null ? '' : `, ${fit.heldOut.toFixed(2)} on pairs that the map has not seen`}` : null;
        refill(byId('legend'),
            latency ? el('div.scale', {}, this.#bar, el('span', { id: 'scale-text' })) : null,
            ramp(scene.scale),
            el('ul.marks', {}, mark(line(), 'from dialer to listener'), used.loss ? mark(line('k-dash'), 'loses packets') : null,
                used.suspect ? mark(sketch(svg('path.k-suspect', { d: 'M2 7H24' }), svg('path.k-line', { d: 'M2 7H24' })), 'suspect') : null,
                used.stale ? mark(sketch(svg('path.k-line', { d: 'M2 7H24', opacity: 0.35 })), 'old figure') : null,
                used.unknown ? mark(el('span.pip.swatch-6'), 'not measured') : null),
            el('ul.marks', {}, mark(sketch(svg('circle.k-me', { cx: 13, cy: 7, r: 6 }), svg('circle.k-dot', { cx: 13, cy: 7, r: 3.4 })), 'this node'),
                used.unreachable ? mark(sketch(svg('circle.k-bad', { cx: 13, cy: 7, r: 5 }), svg('path.k-bad', { d: 'M11 5l4 4m0-4l-4 4' })), 'unreachable') : null,
                used.left ? mark(sketch(svg('circle.k-left', { cx: 13, cy: 7, r: 5 })), 'left') : null),
            quality ? el('p', { class: 'fit' }, quality) : null);
        return true;
    }

    /** The bar that shows how far a round RTT is. `k` is pixels for each µs. */
    measure(k) {
        if (!this.#bar?.isConnected) return;
        const length = scaleLength(k);
        this.#bar.style.width = `${Math.max(4, length * k)}px`;
        byId('scale-text').textContent = `${roundRtt(length)} round trip`;
    }
}

/** The colours of RTTs with their limits. */
export function ramp(scale) {
    const step = (_, i) => el('li', {}, el(`div.swatch.swatch-${i}`), i < STEPS - 1 ? el('span.limit', {}, limit(scale.limits, i)) : null);
    return el('ul.ramp', { 'aria-label': 'Colours of round-trip times, from fast to slow' }, Array.from({ length: STEPS }, step));
}

// A limit with its unit, which is left out where the next one has the same.
function limit(limits, i) {
    const [number, unit] = roundRtt(limits[i]).split(' ');
    return i + 1 < limits.length && roundRtt(limits[i + 1]).endsWith(` ${unit}`) ? number : `${number} ${unit}`;
}

function sketch(...parts) {
    return svg('svg', { width: 26, height: 14, viewBox: '0 0 26 14', 'aria-hidden': 'true' }, parts);
}

function line(kind) {
    return sketch(svg(kind ? `path.k-line.${kind}` : 'path.k-line', { d: 'M2 7H24' }), svg('path.k-line', { d: 'M18 3l6 4-6 4' }));
}

function mark(sign, text) {
    return el('li', {}, sign, text);
}

/** The counts in the corner. */
export function showCounts(network, rejected) {
    const states = { up: 0, unreachable: 0, left: 0 };
    for (const node of network.nodes.values()) states[node.state] += 1;
    const chip = (number, word, kind = 'chip') => (number > 0 ? el(`span.${kind}`, {}, el('b', {}, number.toLocaleString('en')), word) : null);
    refill(byId('counts'),
        network.cutOff ? el('span.chip.bad', {}, 'This node is cut off') : null,
        network.impaired ? el('span.chip.warn', {}, `Impaired: ${network.impaired}`) : null,
        chip(states.up, 'up'), chip(states.unreachable, 'unreachable', 'chip.bad'), chip(states.left, 'left'),
        chip(network.links.size, network.links.size === 1 ? 'link' : 'links'),
        rejected > 0 ? el('span.chip', {}, el('b', {}, rejected.toLocaleString('en')), rejected === 1 ? 'input refused' : 'inputs refused') : null);
    return states;
}

/** A sentence about the map for those who can't see it. */
export function mapWords(scene, states) {
    return `Map of the network: ${count(states.up, 'node')} up, ${states.unreachable} unreachable, ${states.left} left, ${count(scene.links.length, 'link')}.`;
}

/** How good a map of latencies is: 'poor', 'good', or 'unjudged' if the network is too small to tell; null if there is none. */
export function judged(scene) {
    if (scene.placing !== 'places' || scene.network.map.kind !== 'latency') return null;
    const heldOut = scene.network.map.fit?.heldOut ?? null;
    if (heldOut === null) return 'unjudged';
    return heldOut < POOR_FIT ? 'poor' : 'good';
}

/** Says how good a latency map would be, and offers the other layout. `hint`: null, or {heldOut, shown, other()}. Returns whether it changed. */
export function showHint(hint) {
    const box = byId('hint');
    const sign = hint === null ? '' : `${hint.shown} ${hint.heldOut}`;
    if (box.dataset.sign === sign) return false;
    box.dataset.sign = sign;
    box.hidden = hint === null;
    if (hint === null) return true;
    const figure = hint.heldOut.toFixed(2).replace('-', '−');
    const text = hint.shown === 'latency' ? `Distances here say little: the RTTs of this network don't fit on a plane (${figure} on pairs that the map has not seen).`
        : `The RTTs of this network don't fit on a plane (${figure} on pairs that such a map has not seen), so the map shows structure.`;
    refill(box, el('span', {}, text), el('button', { type: 'button', onclick: hint.other }, hint.shown === 'latency' ? 'Show structure' : 'Show latency'),
        el('button.quiet', { type: 'button', 'aria-label': 'Close this hint', onclick: hint.close }, '✕'));
    return true;
}

/** The tip at the pointer. */
export function showTip(app, item, link, x, y) {
    const tip = byId('tip');
    tip.hidden = !item && !link;
    if (tip.hidden) return;
    if (item) {
        const { node } = item;
        const lines = [item.me ? 'this node' : `${node.state} for ${span(app.now - node.since)}`, node.addresses[0], count(item.degree, 'link')];
        refill(tip, el('strong', {}, called(node)), lines.filter(Boolean).map((text) => el('span', {}, text)));
    } else {
        const parts = [rtt(link.link.rtt), link.link.loss > 0 ? `${loss(link.link.loss)} loss` : '', link.link.suspect ? 'suspect' : '', link.link.disputed === null ? '' : 'one end\'s claim', link.link.stale ? 'old figure' : ''];
        refill(tip, el('strong', {}, `${called(link.a.node)} → ${called(link.b.node)}`), el('span', {}, parts.filter(Boolean).join(' · ')));
    }
    const { clientWidth: width, clientHeight: height } = tip.parentElement;
    const left = x + 16 + tip.offsetWidth > width ? x - 16 - tip.offsetWidth : x + 16;
    const top = y + 16 + tip.offsetHeight > height ? y - 12 - tip.offsetHeight : y + 16;
    tip.style.transform = `translate(${Math.max(4, left)}px, ${Math.max(4, top)}px)`;
}

/** A message below the bar; an empty text hides it. */
export function notice(text, { token = false } = {}) {
    byId('notice').hidden = text === '';
    byId('notice-text').textContent = text;
    byId('token-form').hidden = !token;
}

/** The search: a list of nodes while one types, and the map's filter "what the search finds". */
export class Search {
    #app;
    #input = byId('search');
    #list = byId('found');
    #found = [];
    #at = 0;

    constructor(app) {
        this.#app = app;
        this.#input.addEventListener('input', () => this.#search());
        this.#input.addEventListener('focus', () => this.#search());
        this.#input.addEventListener('blur', () => setTimeout(() => this.#close(), 150));
        this.#input.addEventListener('keydown', (event) => this.#key(event));
        byId('search-form').addEventListener('submit', (event) => {
            event.preventDefault();
            this.#choose(this.#at);
        });
        document.addEventListener('keydown', (event) => {
            if (event.key !== '/' || event.ctrlKey || event.metaKey || /^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement?.tagName)) return;
            event.preventDefault();
            this.#input.focus();
        });
    }

    get text() {
        return this.#input.value;
    }

    #search() {
        const { scene } = this.#app;
        this.#app.searched(this.text);
        this.#found = this.text.trim() === '' || scene.network === null ? [] : scene.nodes.filter(({ node }) => matches(node, this.text)).slice(0, FOUND);
        this.#at = 0;
        this.#fill();
    }

    #fill() {
        const none = this.text.trim() !== '' && this.#found.length === 0;
        const open = document.activeElement === this.#input && (this.#found.length > 0 || none);
        this.#list.hidden = !open;
        this.#input.setAttribute('aria-expanded', String(open));
        if (open && !none) this.#input.setAttribute('aria-activedescendant', `found-${this.#at}`);
        else this.#input.removeAttribute('aria-activedescendant');
        const option = ({ node }, i) => el('li', { role: 'option', id: `found-${i}`, 'aria-selected': String(i === this.#at), onpointerdown: () => this.#choose(i) }, el('span', {}, called(node)), el('span.mono', {}, node.addresses[0] ?? node.id.slice(0, 10)));
        refill(this.#list, none ? el('li', { role: 'option', 'aria-disabled': 'true', 'aria-selected': 'false' }, 'No node is called so, and none has such an address.') : this.#found.map(option));
    }

    #key(event) {
        const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
        if (event.key === 'Escape') {
            this.#input.value = '';
            this.#search();
            this.#input.blur();
        } else if (step && this.#found.length > 0) {
            event.preventDefault();
            this.#at = (this.#at + step + this.#found.length) % this.#found.length;
            this.#fill();
        }
    }

    #choose(i) {
        const item = this.#found[i];
        if (!item) return;
        this.#close();
        location.hash = nodePath(item.id);
        this.#app.centre(item);
    }

    #close() {
        this.#list.hidden = true;
        this.#input.setAttribute('aria-expanded', 'false');
    }
}
