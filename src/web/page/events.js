// The events as a list in words, with a filter.

import { el, nodePath, refill } from './dom.js';
import { clock, count, listed } from './text.js';
import { called, TOPICS } from './story.js';

// How many entries the list shows before "more" is asked for. At double, a list takes longer than a frame to build.
const SHOWN = 200;

/** One entry. It can be opened if it says who noticed first, or has fields. */
export function logEntry(app, entry) {
    const { origin } = app.network;
    const fields = Object.entries(entry.fields).filter(([, value]) => value !== '');
    const key = `${entry.at}${entry.name}${entry.ids.join()}`;
    const links = Object.entries(entry.links ?? {});
    const body = entry.why || fields.length > 0 || links.length > 0
        ? el('details', { 'data-key': key }, el('summary', { 'data-key': `s${key}` }, entry.text),
            entry.why ? el('p.why', {}, entry.why) : null,
            links.map(([title, pairs]) => el('p.why', {}, `${count(pairs.length, title.replace('links', 'link').replace('are', 'is'), title)}: ${listed(pairs, 12)}.`)),
            fields.length > 0 ? el('dl', {}, fields.map(([name, value]) => [el('dt', {}, name), el('dd', {}, value)])) : null)
        : el('span', {}, entry.text);
    return el('li', {}, el('time', {}, clock(entry.at, origin)), el(`span.sign.${entry.level}`, { title: entry.level }), body);
}

export class EventsView {
    #root;
    #app;
    #list;
    #lead;
    #about;
    #topics = new Set(Object.keys(TOPICS));
    #words = '';
    #grave = false;
    #limit = SHOWN;
    #shown = '';
    /** The id of the node that the events must be about, or null. */
    about = null;

    constructor(root, app) {
        this.#root = root;
        this.#app = app;
        this.#lead = el('p.lead', { role: 'status' });
        this.#about = el('p');
        this.#list = el('div');
        const toggle = ([topic, name]) => el('label.toggle', {}, el('input', { type: 'checkbox', checked: true, onchange: (event) => this.#choose(topic, event.target.checked) }), name);
        root.append(el('h2', { id: 'events-title' }, 'Events'), this.#lead,
            el('div.controls', {},
                el('input', { type: 'search', placeholder: 'Filter by text', 'aria-label': 'Filter events by text', oninput: (event) => this.#search(event.target.value) }),
                Object.entries(TOPICS).map(toggle),
                el('label.toggle', {}, el('input', { type: 'checkbox', onchange: (event) => this.#onlyGrave(event.target.checked) }), 'Warnings only')),
            this.#about, this.#list);
    }

    #choose(topic, on) {
        if (on) this.#topics.add(topic);
        else this.#topics.delete(topic);
        this.update(true);
    }

    #search(text) {
        this.#words = text.trim().toLowerCase();
        this.update(true);
    }

    #onlyGrave(on) {
        this.#grave = on;
        this.update(true);
    }

    /** Shows the events up to the time that is shown. */
    update(force = false) {
        const app = this.#app;
        const entries = app.entries();
        const sign = `${app.storyVersion}|${entries.length}|${this.about}`;
        if (!force && sign === this.#shown) return;
        this.#shown = sign;
        const wanted = entries.filter((entry) => this.#topics.has(entry.topic) && (!this.#grave || entry.level !== 'info')
            && (this.about === null || entry.ids.includes(this.about)) && (this.#words === '' || this.#matches(entry)));
        this.#lead.textContent = entries.length === 0 ? 'This list shows what happens in the network.'
            : `${count(wanted.length, 'event')} of ${entries.length.toLocaleString('en')}, newest first. Open one to see who noticed it first and how the news came here.`;
        const item = this.about === null ? null : app.scene.byId.get(this.about);
        refill(this.#about, this.about === null ? null : el('span.row', {}, 'Only about ', item ? el('a', { href: nodePath(item.id) }, called(item.node)) : 'a node that is gone', ' · ', el('a', { href: '#/events' }, 'show all')));
        const newest = wanted.slice(-this.#limit).reverse();
        const nothing = entries.length === 0 ? 'Nothing has happened since this page was opened.' : 'No event fits the filter.';
        refill(this.#list,
            newest.length > 0 ? el('ol.log', {}, newest.map((entry) => logEntry(app, entry))) : el('p.muted', {}, nothing),
            wanted.length > newest.length ? el('button.more', { type: 'button', 'data-key': 'more', onclick: () => this.#more() }, `Show ${Math.min(SHOWN, wanted.length - newest.length)} more`) : null);
    }

    #more() {
        this.#limit += SHOWN;
        this.update(true);
    }

    #matches(entry) {
        return `${entry.text} ${entry.name} ${entry.why} ${Object.values(entry.fields).join(' ')}`.toLowerCase().includes(this.#words);
    }
}
