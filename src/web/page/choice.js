// Which layout the map has: a person's choice, or, where a map of latencies would mean nothing, structure.

import { stored } from './address.js';
import { poorFit } from './furniture.js';

export class LayoutChoice {
    #app;
    #changed;
    // What was chosen in this run of the page: by the person, or by the page itself.
    #chosen = null;
    // The poor fit for which the page chose structure; null if it didn't.
    #fit = null;
    #closed = false;

    /** `changed` is called when what the map says about its layout changes. */
    constructor(app, changed) {
        this.#app = app;
        this.#changed = changed;
        for (const button of this.#buttons()) button.addEventListener('click', () => this.#choose(button.dataset.layout));
    }

    /** The layout that the node is asked for. */
    get wished() {
        return (this.#chosen ?? stored('localStorage', 'layout')) === 'structure' ? 'structure' : 'latency';
    }

    /** What is to be said about the layout, as `showHint` takes it. Chooses structure where nobody chose and the fit is poor. */
    hint() {
        const { scene, source } = this.#app;
        const heldOut = poorFit(scene);
        const nobody = this.#chosen === null && stored('localStorage', 'layout') === null;
        if (heldOut !== null && nobody && source.kind === 'live') {
            this.#fit = heldOut;
            this.#chosen = 'structure';
            source.setMap('structure');
        }
        const close = () => {
            this.#fit = null;
            this.#closed = true;
            this.#changed();
        };
        if (this.#fit !== null) return { heldOut: this.#fit, shown: 'structure', other: () => this.#choose('latency'), close };
        return heldOut === null || this.#closed ? null : { heldOut, shown: 'latency', other: () => this.#choose('structure'), close };
    }

    /** Marks the layout that is shown. */
    update() {
        const { scene, source } = this.#app;
        const shown = scene.placing === 'places' ? scene.network.map.kind : 'structure';
        for (const button of this.#buttons()) {
            button.setAttribute('aria-pressed', String(button.dataset.layout === shown));
            // A recording without places has the page's own layout, which shows structure.
            button.disabled = source.kind === 'file' && button.dataset.layout !== shown;
        }
    }

    #choose(layout) {
        this.#chosen = layout;
        stored('localStorage', 'layout', layout);
        this.#fit = null;
        this.#closed = false;
        if (this.#app.source.kind === 'live') this.#app.source.setMap(layout);
        this.#changed();
    }

    #buttons() {
        return document.querySelectorAll('#layouts button');
    }
}
