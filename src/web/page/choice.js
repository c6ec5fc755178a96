// The choice of the layout: a person makes it. If nobody did and a map of latencies may mean nothing, the page chooses structure.

import { stored } from './address.js';
import { judged } from './furniture.js';

export class LayoutChoice {
    #app;
    #changed;
    // The layout that the person, or the page itself, chose in this run of the page.
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

    /** The hint about the layout, as `showHint` takes it. Chooses structure if nobody chose and the map of latencies is
     * poor, or of a network so small that nobody can tell: a few nodes on one machine would dance with each measurement. */
    hint() {
        const { scene, source } = this.#app;
        const verdict = judged(scene);
        const heldOut = verdict === 'poor' ? scene.network.map.fit.heldOut : null;
        const nobody = this.#chosen === null && stored('localStorage', 'layout') === null;
        // A recording begins with a few nodes, which says nothing of its maps.
        const doubts = verdict === 'poor' || (verdict === 'unjudged' && source.kind === 'live');
        if (doubts && nobody && this.#has('structure')) {
            this.#fit = heldOut;
            this.#chosen = 'structure';
            this.#ask('structure');
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
        const { scene } = this.#app;
        const shown = scene.placing === 'places' ? scene.network.map.kind : 'structure';
        for (const button of this.#buttons()) {
            button.setAttribute('aria-pressed', String(button.dataset.layout === shown));
            // A recording without places has the page's own layout, which shows structure.
            button.disabled = button.dataset.layout !== shown && !this.#has(button.dataset.layout);
        }
    }

    #choose(layout) {
        this.#chosen = layout;
        stored('localStorage', 'layout', layout);
        this.#fit = null;
        this.#closed = false;
        if (this.#has(layout)) this.#ask(layout);
        this.#changed();
    }

    // Whether there is a map of that layout, or will be.
    #has(layout) {
        const { source } = this.#app;
        return source.kind === 'live' || source.maps.has(layout);
    }

    #ask(layout) {
        this.#app.source.setMap(layout);
        // The stream brings the map of a node. That of a recording is there, and that of the past is asked for.
        if (this.#app.source.kind === 'file') this.#app.replace();
        else if (this.#app.past) this.#app.show(this.#app.now);
    }

    #buttons() {
        return document.querySelectorAll('#layouts button');
    }
}
