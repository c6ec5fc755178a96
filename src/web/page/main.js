// The page: it connects a source of frames with what shows them, and follows the address.
//
// `Page` owns what is shown: the live network, which the stream changes, or one of the past, which the time machine chose. The
// views read from it and never from the stream.

import { byId, el } from './dom.js';
import { Network } from './stream.js';
import { Story } from './story.js';
import { FileSource, LiveSource } from './source.js';
import { MapView } from './map.js';
import { showLink, showMissing, showNode } from './panels.js';
import { LinksView, NodesView } from './tables.js';
import { MatrixView } from './matrix.js';
import { EventsView } from './events.js';
import { FindingsView } from './findings.js';
import { TimeBar } from './timebar.js';
import { Legend, mapWords, notice, Search, showCounts, showHint, showTip } from './furniture.js';
import { connectMenu } from './menu.js';
import { keepToken, readRoute, stored, VIEWS } from './address.js';
import { LayoutChoice } from './choice.js';

// How often views of text follow the stream, in ms. At half, reading and clicking what moves gets harder; at double it looks stuck.
const TEXT_MS = 500;

// How often the views that search the whole graph follow the stream, in ms. At half, they take a tenth of a core at 300 nodes; at double they look stuck.
const MATRIX_MS = 2000;

// By how much a node's start may be corrected, in ms, before it counts as another run. A clock that is set by more, at half, would empty
// the list of events; at double, a node that is restarted at once would mix the events of two runs.
const RESTART_MS = 2000;

class Page {
    source = null;
    header = null;
    /** The network that is shown. */
    network = null;
    /** Whether that is of the past. */
    past = false;
    // How often the page went back to live.
    #returns = 0;
    #live = new Network();
    #story = new Story();
    #liveStory = this.#story;
    #remembered = null;
    #origin = null;
    #clock = { at: 0, heard: 0 };
    #route = { view: 'map' };
    #series = { key: '', points: null, asked: -Infinity };
    #timer = null;
    #texted = -Infinity;
    #matrixed = -Infinity;
    #legend = new Legend();

    constructor() {
        this.map = new MapView(byId('base'), byId('overlay'), {
            choose: (item) => this.go(`#/node/${item.id}`),
            chooseLink: ({ a, b }) => this.go(`#/link/${a.id}/${b.id}`),
            clear: () => this.close(),
            hover: (item, link, x, y) => showTip(this, item, link, x, y),
            camera: () => this.#legend.measure(this.map.camera.k),
            pinned: () => this.#soon(true),
            covered: () => ({ w: byId('legend').offsetWidth + 12, h: byId('legend').offsetHeight + 12, top: byId('hint').hidden ? 0 : byId('hint').offsetTop + byId('hint').offsetHeight }),
        });
        this.views = {
            nodes: new NodesView(byId('view-nodes'), this),
            links: new LinksView(byId('view-links'), this),
            matrix: new MatrixView(byId('view-matrix'), this),
            events: new EventsView(byId('view-events'), this),
            findings: new FindingsView(byId('view-findings'), this),
        };
        this.layouts = new LayoutChoice(this, () => this.#soon(false));
        this.time = new TimeBar(this);
        this.search = new Search(this);
        this.#listen();
    }

    get scene() {
        return this.map.scene;
    }

    get theme() {
        return this.map.theme;
    }

    get storyVersion() {
        return `${this.#story.number}.${this.#story.version}`;
    }

    /** The time that is shown, in ms since the node's start. A live one goes on between frames. */
    get now() {
        if (this.past) return this.#clock.at;
        return this.#clock.at + Math.min(performance.now() - this.#clock.heard, 6000);
    }

    /** All entries of the story, and those up to the time that is shown. */
    allEntries() {
        return this.#story.entries;
    }

    entries() {
        return this.past ? this.#story.entries.filter((entry) => entry.at <= this.#clock.at) : this.#story.entries;
    }

    // Sources.

    startLive(token) {
        this.source = new LiveSource({
            token,
            map: this.layouts.wished,
            tell: {
                header: (header) => this.#begin(header),
                frames: (frames) => this.#frames(frames),
                state: (state, why) => this.#state(state, why),
            },
        });
        this.source.start();
    }

    async open(bytes) {
        const source = await FileSource.read(bytes);
        this.source?.stop();
        this.source = source;
        source.setMap(this.layouts.wished);
        this.header = source.header;
        this.#story = source.story;
        this.past = true;
        notice(source.damage);
        this.#state('file');
        this.#title();
        await this.time.refresh(true);
        const { from } = await source.range();
        this.scene.network = null;
        await this.show(from);
    }

    /** The nodes have other places. */
    replace() {
        this.map.show(this.network, { still: true });
        this.map.fit(true);
    }

    #begin(header) {
        const again = this.header !== null && this.header.node === header.node;
        this.header = header;
        // A new stream has its own numbers; the story of the same node goes on.
        this.#live = new Network();
        if (!again) {
            this.#liveStory = new Story();
            this.#series = { key: '', points: null, asked: -Infinity };
        }
        if (!this.past) this.#story = this.#liveStory;
        this.#title();
    }

    #frames(frames) {
        const network = this.#live;
        const first = network.nodes.size === 0;
        const changes = frames.map((frame) => {
            const change = network.apply(frame);
            this.#liveStory.tell(network, change);
            return change;
        });
        if (first) this.#settle(network);
        if (this.past) return;
        this.#clock = { at: network.at, heard: performance.now() };
        this.#show(network, changes, first && this.network === null);
        if (first) this.time.refresh(true);
    }

    // A node that was started again counts time anew: what its last run told has no place in it.
    #settle(network) {
        const restarted = this.#origin !== null && network.origin !== null && Math.abs(network.origin - this.#origin) > RESTART_MS;
        this.#origin = network.origin;
        if (restarted) {
            const old = this.#liveStory;
            this.#liveStory = new Story();
            if (this.#story === old) this.#story = this.#liveStory;
        }
        this.#remember();
    }

    // Fetches the events from before this page was opened.
    async #remember() {
        const story = this.#liveStory;
        if (this.#remembered === story) return;
        this.#remembered = story;
        const past = await this.source.past(this.#live).catch(() => []);
        story.prepend(past);
        this.#soon(true);
    }

    #show(network, changes, still) {
        const known = this.network === network && changes !== null;
        const structure = !known || changes.some((change) => change.structure || change.keyframe || change.nodes.length > 0 || change.links.length > 0);
        const map = known && changes.some((change) => change.map);
        this.network = network;
        if (structure || map) this.map.show(network, { still, structure, map });
        if (known) {
            const now = performance.now();
            for (const change of changes) this.scene.glow(change, now);
            this.map.glow();
            if (changes.some((change) => change.figures.length > 0)) this.map.recolour();
        }
        byId('empty').hidden = network.nodes.size > 1;
        byId('empty').classList.toggle('alone', network.nodes.size === 1);
        byId('empty').textContent = network.nodes.size === 1 ? 'No other node is known yet.' : 'No node is known at this time.';
        this.#soon(structure || map);
    }

    // The time machine.

    /** Shows the view at `at`; `speed`: how fast it plays, if it does. */
    async show(at, speed = 0) {
        const [asked, returns] = [this.source, this.#returns];
        // Whoever went back to live while the view was fetched does not want it any more.
        const isWanted = () => asked === this.source && returns === this.#returns;
        try {
            const { network, changes } = await asked.seek(at, speed);
            if (!isWanted()) return;
            this.past = true;
            this.#clock = { at, heard: 0 };
            // If the past comes without places, what the live stream last said still holds for nodes that are the same.
            if (asked.kind === 'live' && network.map === null) this.#keepPlaces(network);
            this.#show(network, changes, this.network === null);
            if (asked.kind === 'live') this.#state('past');
        } catch (error) {
            if (isWanted()) notice(`The view of that time could not be had: ${error.message}`);
        }
    }

    #keepPlaces(network) {
        const places = new Map([...this.#live.nodes.values()].map((node) => [node.id, node]));
        if (this.#live.map === null) return;
        network.map = this.#live.map;
        for (const node of network.nodes.values()) {
            const known = places.get(node.id);
            if (known) Object.assign(node, { x: known.x, y: known.y, h: known.h });
        }
    }

    /** Back to what the stream says. */
    live() {
        if (this.source?.kind !== 'live') return;
        this.past = false;
        this.#returns += 1;
        this.#clock = { at: this.#live.at, heard: performance.now() };
        this.#state('live');
        this.#show(this.#live, null, false);
    }

    /** The source has turned out to be a recording that a program serves. */
    over() {
        if (byId('state').className !== 'state file') this.#state('live');
    }

    #state(state, why = '') {
        if (this.past && state === 'live' && this.source.kind === 'live') state = 'past';
        const texts = { connecting: 'Connecting…', live: 'Live', paused: 'Paused', lost: 'Connection lost', denied: 'Token needed', past: 'The past', file: 'Recording' };
        // A recording that is served is known as one once its range is.
        if (state === 'live' && this.source.isOver) state = 'file';
        byId('state').className = `state ${state}`;
        byId('state-text').textContent = texts[state];
        if (state === 'lost') notice(`No connection with the node: ${why}. The page tries again.`);
        else if (state === 'denied') notice(`The node asks for a token: ${why}.`, { token: true });
        else if (state === 'live') notice('');
        this.time.update();
    }

    #title() {
        const { network, label } = this.header;
        byId('who').replaceChildren(el('strong', {}, network || 'network'), label ? ` as ${label} sees it` : '');
        document.title = [label, network, 'area-net'].filter(Boolean).join(' · ');
    }

    // The address.

    go(hash) {
        if (location.hash === hash) this.follow();
        else location.hash = hash;
    }

    close() {
        const { view } = this.#route;
        if (this.#route.node || this.#route.link) this.go(view === 'map' ? '#/' : `#/${view}`);
    }

    /** Shows what the address says. */
    follow() {
        const route = readRoute(location.hash);
        if (route.token !== undefined) {
            keepToken(route.token);
            history.replaceState(null, '', route.rest || location.pathname);
            this.source?.setToken?.(route.token);
            this.follow();
            return;
        }
        const before = this.#route;
        // A panel opens beside the view that is there; but a table has no room for both on a phone.
        if (route.view === null) route.view = before.view === 'map' || innerWidth < 720 ? 'map' : before.view;
        this.#route = route;
        for (const view of VIEWS) byId(`view-${view}`).hidden = view !== route.view;
        for (const tab of document.querySelectorAll('.tabs a')) {
            if (tab.dataset.view === route.view) tab.setAttribute('aria-current', 'page');
            else tab.removeAttribute('aria-current');
        }
        if (route.view === 'events') this.views.events.about = route.about ?? null;
        byId('tip').hidden = true;
        const panel = byId('panel');
        const opens = Boolean(route.node || route.link);
        const other = route.node !== before.node || route.link?.join() !== before.link?.join();
        panel.hidden = !opens;
        if (!opens) {
            this.setPath(null);
            this.switchOff(null);
            if (other && (before.node || before.link)) byId(route.view === 'map' ? 'overlay' : 'panel').focus({ preventScroll: true });
        }
        if (opens && other) {
            panel.scrollTop = 0;
            this.scene.off = null;
        }
        this.#texted = -Infinity;
        this.#matrixed = -Infinity;
        this.#text();
        if (opens && other) {
            const item = this.scene.byId.get(route.node ?? route.link[0]);
            if (item && route.view === 'map' && !this.map.isVisible(item)) this.map.centre(item);
        }
    }

    // The views of text.

    #soon(structure) {
        if (structure) this.#matrixed = -Infinity;
        const wait = this.#texted + TEXT_MS - performance.now();
        this.#timer ??= setTimeout(() => {
            this.#timer = null;
            this.#text();
        }, Math.max(wait, 0));
    }

    #text() {
        if (this.network === null || this.scene.network === null) return;
        this.#texted = performance.now();
        const states = showCounts(this.network, Object.values(this.network.rejected).reduce((a, b) => a + b, 0));
        byId('overlay').setAttribute('aria-label', mapWords(this.scene, states));
        const legend = this.#legend.update(this.scene, this.theme);
        if (showHint(this.layouts.hint()) || legend) this.map.refit();
        this.#legend.measure(this.map.camera.k);
        byId('unpin').hidden = this.scene.pins === 0;
        this.layouts.update();
        this.#panel();
        const { view } = this.#route;
        if (view === 'matrix' || view === 'findings') {
            if (performance.now() - this.#matrixed > MATRIX_MS) {
                this.views[view].update();
                this.#matrixed = performance.now();
            }
        } else this.views[view]?.update();
        this.time.refresh();
        this.time.update();
    }

    #panel() {
        const { node, link } = this.#route;
        const panel = byId('panel');
        this.map.mark({ chosen: node ? this.#find(node) ?? null : null, chosenLink: link ? `${link[0]}>${link[1]}` : null });
        if (node) {
            const item = this.#find(node);
            if (item) showNode(panel, this, item);
            else showMissing(panel, this, node.slice(0, 16), 'No node with this id is in the view at this time.');
        } else if (link) this.#linkPanel(panel, link.map((id) => this.#find(id)), link);
    }

    #linkPanel(panel, [a, b], ids) {
        if (!a || !b) {
            showMissing(panel, this, 'Link', `The node ${(a ? ids[1] : ids[0]).slice(0, 16)} is not in the view at this time.`);
            return;
        }
        const of = (from, to) => this.scene.links.find((item) => item.a === from && item.b === to)?.link;
        const [link, back] = [of(a, b), of(b, a)];
        const key = `${a.id}>${b.id}`;
        if (this.#series.key !== key) this.#series = { key, points: null, asked: -Infinity };
        const old = performance.now() - this.#series.asked > 4000;
        if (link && old && (this.#series.points === null || this.source.kind === 'live')) this.#fetchSeries(key, link);
        showLink(panel, this, a, b, link, back, this.#series.points);
    }

    async #fetchSeries(key, link) {
        const series = this.#series;
        series.asked = performance.now();
        series.points = await this.source.series(this.network, link).catch(() => series.points ?? { points: [], other: [] });
        if (this.#series === series && series.key === key) this.#soon(false);
    }

    // A node by its id, or by the beginning of it if that is unique.
    #find(id) {
        const known = this.scene.byId.get(id);
        if (known || id.length < 4) return known;
        const found = this.scene.nodes.filter((item) => item.id.startsWith(id));
        return found.length === 1 ? found[0] : undefined;
    }

    // Actions of the views.

    setPath(links) {
        this.map.mark({ path: links });
    }

    centre(item) {
        if (this.#route.view !== 'map') this.#route.view = 'map';
        for (const view of VIEWS) byId(`view-${view}`).hidden = view !== 'map';
        this.map.centre(item);
    }

    filter(kind, id = null) {
        const focus = id ?? this.#route.node ?? this.scene.filter.id;
        this.scene.filter = { kind, id: focus ?? null, text: this.search.text };
        byId('filter').value = kind;
        const lacks = (kind === 'links' || kind === 'paths') && !focus ? 'Choose a node on the map first.' : kind === 'label' && this.search.text.trim() === '' ? 'Type into "Find a node": the map shows what it finds.' : '';
        notice(lacks);
        this.scene.refilter();
        this.map.touch();
    }

    searched(text) {
        if (this.scene.filter.kind !== 'label') return;
        this.scene.filter.text = text;
        this.scene.refilter();
        this.map.touch();
    }

    unpin(item) {
        this.scene.unpin(item);
        this.map.touch();
        this.#soon(true);
    }

    /** Shows what falls apart without a node; null: nothing is switched off. */
    switchOff(id) {
        if (this.scene.off === id) return;
        this.scene.off = id;
        for (const item of this.scene.links) item.faint = false;
        this.scene.refilter();
        for (const item of this.scene.links) item.faint = id !== null && (item.a.id === id || item.b.id === id || this.scene.cut.has(item.a.id) || this.scene.cut.has(item.b.id));
        this.map.touch();
        this.#panel();
    }

    #listen() {
        addEventListener('hashchange', () => this.follow());
        // In a document inside of another one, a link to a fragment leads to the outer document.
        document.addEventListener('click', (event) => {
            const link = event.target.closest?.('a[href^="#"]');
            if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
            event.preventDefault();
            this.go(link.getAttribute('href'));
        });
        document.addEventListener('keydown', (event) => {
            if (event.key !== ' ' || event.target.closest?.('input, select, button, summary, a, textarea')) return;
            event.preventDefault();
            this.time.toggle();
        });
        byId('zoom-in').addEventListener('click', () => this.map.zoomBy(1.4));
        byId('zoom-out').addEventListener('click', () => this.map.zoomBy(1 / 1.4));
        byId('zoom-fit').addEventListener('click', () => this.map.fit());
        byId('filter').addEventListener('change', (event) => this.filter(event.target.value));
        byId('unpin').addEventListener('click', () => {
            this.scene.unpinAll();
            this.map.touch();
            this.#soon(true);
        });
        byId('notice-close').addEventListener('click', () => notice(''));
        byId('token-form').addEventListener('submit', (event) => {
            event.preventDefault();
            keepToken(byId('token').value);
            this.source.setToken(byId('token').value);
            byId('token').value = '';
            notice('');
        });
        connectMenu(this);
        setInterval(() => document.hidden || this.past || this.#soon(false), 1000);
    }

    /** Opens what a person chose or dropped. */
    async openFile(file) {
        try {
            await this.open(new Uint8Array(await file.arrayBuffer()));
        } catch (error) {
            notice(`${file.name} can't be shown. ${error.message}`);
        }
    }
}

async function start() {
    const page = new Page();
    // For the tests that drive this page.
    window.areaNet = page;
    const inside = byId('recording');
    if (inside) {
        const bytes = Uint8Array.from(atob(inside.textContent.trim()), (letter) => letter.charCodeAt(0));
        inside.remove();
        await page.open(bytes).catch((error) => notice(`The recording can't be shown. ${error.message}`));
    } else if (location.protocol === 'file:') notice('This page has no recording. Open one with the button above.');
    else page.startLive(stored('sessionStorage', 'token'));
    page.follow();
}

start();
