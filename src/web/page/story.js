// What happened, in the order in which it happened: the node's own events, and the changes of the whole network, in words.
// A change of state that is also an event is told once.

import { clean, count, listed } from './text.js';

// The most entries that are kept. They are what a person can scroll through; at half, an hour of churn at 100 nodes is cut; at
// double, the list of events takes longer than a frame to filter.
const LIMIT = 5000;

// How far apart, in ms, a change and its event may be to be one entry. The event and the change come from the same turn of the
// node's loop, in frames beside each other; at half or double nothing changes but for a node that flaps within it.
const SAME = 1500;

/** What each kind of entry is about, for the filter. */
export const TOPICS = { nodes: 'Nodes', links: 'Links', own: 'This node', trouble: 'Refused and failed' };

// How many stories there were: two with as many entries are told apart.
let stories = 0;

export class Story {
    number = (stories += 1);
    /** Entries, oldest first: {at, topic, level, name, text, why, ids, fields}. */
    entries = [];
    /** Grows with each entry, so that a reader sees cheaply whether there is news. */
    version = 0;
    // Number of a node whose state changed in the change that is told → its entry. The links that come and go with it are told there.
    #turned = new Map();

    /** Adds what a change tells. `network` is the view after it. */
    tell(network, change) {
        if (change.event) this.#event(network, change);
        for (const { what, node, before } of change.nodes) {
            if (what === 'new' && node.state === 'up') this.#state(network, change, node, 'node up');
            else if (what === 'state') this.#state(network, change, node, { up: 'node up', unreachable: 'node unreachable', left: 'node left' }[node.state], before);
            else if (what === 'gone') this.#add({ at: change.at, topic: 'nodes', level: 'info', name: 'node forgotten', text: `${called(node)} was forgotten.`, why: '', ids: [node.id], fields: {} });
        }
        for (const { what, link, told } of change.links) this.#link(network, change, what, link, told);
        this.#turned.clear();
    }

    /** Puts entries of the past, which the node's API gave, before those that are known. */
    prepend(entries) {
        const first = this.entries[0]?.at ?? Infinity;
        this.entries = [...entries.filter((entry) => entry.at < first), ...this.entries].slice(-LIMIT);
        this.version += 1;
    }

    #event(network, change) {
        const { name, fields } = change.event;
        const entry = entryOf(change.event, change.at, network);
        const twin = this.#twin(name, change.at, entry.ids[0]);
        if (twin) {
            twin.fields = fields;
            twin.level = entry.level;
            return;
        }
        this.#add(entry);
    }

    #state(network, change, node, name, before) {
        const twin = this.#twin(name, change.at, node.id);
        const why = origin(network, node);
        if (twin) {
            twin.why = why || twin.why;
            twin.ids[0] = node.id;
            this.#turned.set(node.n, twin);
            return;
        }
        const level = node.state === 'unreachable' ? 'warn' : 'info';
        const again = node.state === 'up' && before ? ' again' : '';
        const text = { up: `${called(node)} is up${again}.`, unreachable: `${called(node)} became unreachable: no path of live links leads to it.`, left: `${called(node)} left the network.` }[node.state];
        this.#turned.set(node.n, this.#add({ at: change.at, topic: 'nodes', level, name, text, why, ids: [node.id], fields: {} }));
    }

    #link(network, change, what, link, told) {
        const names = { new: 'link seen', gone: 'link withdrawn', suspect: 'link suspected', cleared: 'link cleared' };
        if (!names[what]) return;
        const [dialer, listener] = [network.nodes.get(link.dialer), network.nodes.get(link.listener)];
        if (!dialer || !listener) return;
        const pair = `${called(dialer)} → ${called(listener)}`;
        const cause = this.#turned.get(link.dialer) ?? this.#turned.get(link.listener);
        if (cause && (what === 'new' || what === 'gone')) {
            const key = what === 'new' ? 'new links' : 'links that are gone';
            cause.links = { ...cause.links, [key]: [...(cause.links?.[key] ?? []), pair] };
            cause.ids.push(...[dialer.id, listener.id].filter((id) => !cause.ids.includes(id)));
            this.version += 1;
            return;
        }
        const text = { new: `The link ${pair} appeared.`, gone: `The link ${pair} is gone.`, suspect: `The link ${pair} is suspected: probes on it are unanswered.`, cleared: `The link ${pair} answers again.` }[what];
        const level = what === 'suspect' ? 'warn' : 'info';
        this.#add({ at: change.at, topic: 'links', level, name: names[what], text, why: what === 'gone' ? messenger(network, told) : '', ids: [dialer.id, listener.id], fields: {} });
    }

    // The entry that tells the same already. An event names a node by the beginning of its id.
    #twin(name, at, id) {
        if (!id) return null;
        for (let i = this.entries.length - 1; i >= 0 && this.entries[i].at >= at - SAME; i -= 1) {
            const entry = this.entries[i];
            if (entry.name === name && entry.ids.length > 0 && (entry.ids[0].startsWith(id) || id.startsWith(entry.ids[0]))) return entry;
        }
        return null;
    }

    #add(entry) {
        this.entries.push(entry);
        this.version += 1;
        // Cut in pieces: `shift` for each entry would copy the whole list.
        if (this.entries.length > LIMIT * 1.2) this.entries.splice(0, this.entries.length - LIMIT);
        return entry;
    }
}

/** A node's name as everybody calls it: the label, or the beginning of its id where the label is empty. */
export function called(node) {
    if (!node) return 'an unknown node';
    return node.label.trim() === '' ? node.id.slice(0, 10) : node.label;
}

/** Why a node's state is what it is: who noticed first, and through whom the news came. */
export function origin(network, node) {
    return messenger(network, node.told, node);
}

function messenger(network, told, subject) {
    if (!told || told.by === null) return '';
    const me = network.nodes.get(network.me);
    const by = network.nodes.get(told.by);
    const via = told.via === null ? null : network.nodes.get(told.via);
    if (told.by === network.me) return 'This node noticed it itself.';
    const said = subject && told.by === subject.n ? `${called(by)} said so itself` : `${called(by)} noticed first`;
    if (!via) return `${said}.`;
    const to = me ? `to ${called(me)} ` : '';
    return told.via === told.by ? `${said}, and told ${me ? called(me) : 'this node'} directly.` : `${said}. The news came ${to}through ${called(via)}.`;
}

const OWN = new Set(['node started', 'waiting for address', 'own addresses changed', 'node stopping', 'node stopped', 'sending impaired', 'cut off', 'link up', 'link replaced', 'link closed', 'link down', 'link restored', 'link suspected', 'node found']);

/** An event of the node's log as an entry. */
export function entryOf({ name, level, fields }, at, network) {
    const id = fields.id && /^[0-9a-f]+$/.test(fields.id) ? fields.id : '';
    const node = id && network ? [...network.nodes.values()].find((candidate) => candidate.id.startsWith(id)) : undefined;
    const topic = ['node up', 'node unreachable', 'node left'].includes(name) ? 'nodes' : OWN.has(name) ? 'own' : 'trouble';
    const own = name.startsWith('link ') && network ? network.nodes.get(network.me)?.id : undefined;
    const ids = [node?.id ?? id, own].filter(Boolean);
    const severity = ['warn', 'error'].includes(level) ? level : 'info';
    return { at, topic, level: severity, name, text: sentence(name, fields), why: '', ids, fields };
}

// A sentence for each event that has one; any other is its name and its fields.
function sentence(name, fields) {
    const peer = fields.peer ?? fields.node ?? 'a node';
    const at = fields.addr ? ` at ${fields.addr}` : '';
    const cause = fields.cause ? `: ${fields.cause}` : '';
    const up = fields.nodes ? ` ${count(Number(fields.nodes), 'node is', 'nodes are')} up now.` : '';
    const known = {
        'node up': () => `${peer} is up.${up}`,
        'node unreachable': () => `${peer} became unreachable: no path of live links leads to it.${up}`,
        'node left': () => `${peer} left the network.${up}`,
        'page served': () => `This page is served${fields.page ? ` at ${fields.page}` : ''}.`,
        'link up': () => `This node has a link with ${peer}${at}; ${fields.dialed_by === 'us' ? 'this node dialed' : 'the peer dialed'}.`,
        'link replaced': () => `A new connection with ${peer} took the place of an older one.`,
        'link closed': () => `The link of this node with ${peer} was closed${cause}.`,
        'link down': () => `The link of this node with ${peer} failed${cause}.`,
        'link suspected': () => `${peer} does not answer probes of this node; the verdict is open.`,
        'link restored': () => `The link of this node with ${peer} answered again.`,
        'cut off': () => 'This node lost its last link.',
        'node started': () => `This node started${fields.listen ? ` and listens on ${fields.listen}` : ''}.`,
        'node stopping': () => 'This node was asked to leave, and says so to the others.',
        'node stopped': () => 'This node closed its connections.',
        'sending impaired': () => `This node impairs what it sends: ${fields.impair ?? ''}.`,
        'node found': () => `A beacon of another node came in${at}.`,
        'dial failed': () => `Dialing ${fields.peer ? `${fields.peer} ` : ''}${fields.addr ? `at ${fields.addr} ` : ''}failed${cause}.`,
        'connection rejected': () => `A connection from ${fields.addr ?? 'outside'} was rejected${cause}.`,
        'input rejected': () => `Something that ${peer} sent was rejected${cause}.`,
        'own identity duplicated': () => `Two nodes run with the key of this node${at}.`,
        'peer identity duplicated': () => `Two nodes run with the key of ${peer}${at}.`,
        'own addresses changed': () => `The addresses of this machine changed${fields.new ? `; new: ${fields.new}` : ''}${fields.lost ? `; lost: ${fields.lost}` : ''}.`,
        'waiting for address': () => `This machine does not have ${fields.listen ?? 'the address to listen on'} yet; the node waits for it.`,
    }[name];
    if (known) return known();
    const rest = Object.entries(fields).map(([key, value]) => `${key} ${value}`);
    const title = name.charAt(0).toUpperCase() + name.slice(1);
    return clean(rest.length ? `${title}: ${listed(rest, 8)}.` : `${title}.`);
}
