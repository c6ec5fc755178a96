// Draws a scene. The pen is a canvas context or one that writes SVG, so the exported picture is the one on the screen.
//
// The base has links, nodes and labels. The overlay has what glows, hovers or is chosen: it is drawn again each frame while the base
// stands still.

import { GLOW_MS } from './scene.js';
import { UNKNOWN } from './scale.js';
import { rtt, shortLabel } from './text.js';

const FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif';
const STYLES = (UNKNOWN + 1) * 6;

// Gaps in a link that loses packets: none, some, many.
const DASHES = [[], [9, 4], [3, 4]];

// Links on the screen up to which each has its RTT written on it, and above which arrows are left out while the map moves. More figures
// than this hide the links; with twice as many arrows, a map of 1,000 nodes fell from 30 frames a second to 18.
const WITH_FIGURES = 60;
const WITH_ARROWS = 1500;

// Links above which only those are drawn that matter while the map moves, and nodes above which the shortest paths don't. At double,
// moving a map of 10,000 nodes shows five frames a second.
const WITH_ALL_LINKS = 8000;
const WITH_PATHS = 4000;

// Links on the screen above which they are one pixel wide while the map moves: a canvas without a GPU has a way for such lines that is
// three times as fast. At half, a map of 200 nodes gets thinner as it moves; at double, one of 1,000 that is zoomed in falls to 15 frames a second.
const WITH_WIDTH = 1200;

// Lines and discs that are drawn as one path. A canvas without a GPU takes longer where the parts of a path cross each other, and as
// long for setting up a path as for a line: of 1, 8, 24 and 200 lines, 8 gave the most frames at 4,000 links.
const TOGETHER = 8;

// Nodes on the screen above which only what changed has a label while the map moves. At double, a map of 2,000 nodes falls below 30 frames.
const WITH_ROOM = 1500;

// Nodes below this radius, in pixels, are squares: nobody sees the difference, and they take a third of the time.
const SQUARE = 2.6;

// Labels that are drawn at most. At half, a map of 500 nodes looks empty; at double, labels are all that is seen.
const LABELS = 220;

// Links up to which a label keeps clear of them. Each label is compared with each: at double, that takes longer than drawing.
const FEW_LINKS = 160;

/** The sizes of what is drawn: larger for few nodes, and growing slowly as the map is zoomed. */
export function sizes(count, links, zoom) {
    const base = count <= 12 ? 9 : Math.max(2, 13 - 3.1 * Math.log10(count));
    const grow = Math.min(Math.max(zoom ** 0.35, 0.8), 2.2);
    const line = count <= 40 ? 2 : count <= 200 ? 1.5 : count <= 2000 ? 1 : 0.7;
    return {
        radius: Math.min(base * grow, 12),
        line: Math.min(line * Math.max(1, grow * 0.8), 2.4),
        alpha: links <= 150 ? 0.95 : links <= 600 ? 0.75 : Math.max(0.22, Math.min(0.6, 16 / Math.sqrt(links)) * Math.min(grow, 1.6)),
        arrow: Math.max(4.5, Math.min(base * grow, 9)),
        font: count <= 12 ? 14 : 12,
    };
}

/** Draws links, nodes and labels. `camera`: {width, height, x, y, k, zoom}; `fast`: the map moves; `slow`: this machine can't keep up. */
export function paintBase(pen, scene, camera, theme, { fast = false, slow = false } = {}) {
    pen.fillStyle = theme.background;
    pen.fillRect(0, 0, camera.width, camera.height);
    const size = sizes(scene.nodes.length, scene.links.length, camera.zoom);
    project(scene, camera);
    const visible = visibleLinks(scene, camera, size, fast, slow);
    paintSuspects(pen, visible, theme, size);
    paintLinks(pen, visible, theme, size, fast, camera.ratio);
    paintNodes(pen, scene, camera, theme, size);
    paintLabels(pen, scene, visible, camera, theme, size, fast);
}

/** Computes the place of each node on the screen. */
export function project(scene, { width, height, x, y, k }) {
    for (const item of scene.nodes) {
        item.sx = (item.x - x) * k + width / 2;
        item.sy = (item.y - y) * k + height / 2;
    }
}

// Links that are on the screen, with their ends, aside of each other where both directions exist. Of many, while the map moves, only
// those that matter: suspect, losing many packets, of this node, and on the shortest paths from it.
function visibleLinks(scene, camera, size, fast, slow) {
    const result = [];
    const most = slow ? WITH_ARROWS : WITH_ALL_LINKS;
    const sparse = fast && scene.links.length > most && scene.filter.kind === 'all';
    const paths = sparse && scene.network.me !== null && scene.nodes.length <= WITH_PATHS ? scene.backbone() : null;
    const matters = ({ a, b, link }) => link.suspect || link.loss > 50 || a.me || b.me || paths?.has(link);
    for (const item of scene.links) {
        if (!item.shown || (sparse && !matters(item))) continue;
        const { a, b } = item;
        let [x1, y1, x2, y2] = [a.sx, a.sy, b.sx, b.sy];
        if ((x1 < 0 && x2 < 0) || (y1 < 0 && y2 < 0) || (x1 > camera.width && x2 > camera.width) || (y1 > camera.height && y2 > camera.height)) continue;
        const length = Math.hypot(x2 - x1, y2 - y1);
        if (length < 1) continue;
        if (item.twin) {
            const aside = (size.line + 2) / length;
            const [dx, dy] = [(y1 - y2) * aside, (x2 - x1) * aside];
            x1 += dx;
            x2 += dx;
            y1 += dy;
            y2 += dy;
        }
        result.push(clipped({ item, x1, y1, x2, y2, length, ends: true }, camera));
    }
    return result;
}

// A link without the parts that are far off the screen: a canvas without a GPU takes as long for them as for what is seen, and longer
// where they are dashed.
function clipped(link, { width, height }) {
    const room = 40;
    const [dx, dy] = [link.x2 - link.x1, link.y2 - link.y1];
    let [from, to] = [0, 1];
    for (const [step, low, high] of [[dx, -room - link.x1, width + room - link.x1], [dy, -room - link.y1, height + room - link.y1]]) {
        if (step === 0) continue;
        const [a, b] = step > 0 ? [low / step, high / step] : [high / step, low / step];
        from = Math.max(from, a);
        to = Math.min(to, b);
    }
    if (from >= to) return { ...link, x2: link.x1, y2: link.y1, length: 0 };
    if (from === 0 && to === 1) return link;
    const { x1, y1 } = link;
    return { ...link, x1: x1 + dx * from, y1: y1 + dy * from, x2: x1 + dx * to, y2: y1 + dy * to, length: link.length * (to - from), ends: to === 1 };
}

function paintSuspects(pen, visible, theme, size) {
    pen.beginPath();
    let any = false;
    for (const { item, x1, y1, x2, y2 } of visible) {
        if (!item.link.suspect) continue;
        any = true;
        pen.moveTo(x1, y1);
        pen.lineTo(x2, y2);
    }
    if (!any) return;
    pen.globalAlpha = 0.33;
    pen.lineWidth = size.line + Math.min(6, size.radius);
    pen.lineCap = 'round';
    pen.strokeStyle = theme.warn;
    pen.stroke();
    pen.globalAlpha = 1;
    pen.lineCap = 'butt';
}

function paintLinks(pen, visible, theme, size, fast, ratio) {
    const arrows = !fast || visible.length <= WITH_ARROWS;
    const buckets = Array.from({ length: STYLES }, () => []);
    const faint = [];
    for (const link of visible) (link.item.faint ? faint : buckets[link.item.style]).push(link);
    pen.lineWidth = fast && visible.length > WITH_WIDTH ? Math.min(size.line, 1 / ratio) : size.line;
    strokeAll(pen, faint, theme.muted, 0.2, [2, 4]);
    // The slow ones first: they are long, and would hide the short ones.
    for (let style = STYLES - 1; style >= 0; style -= 1) {
        const bucket = buckets[style];
        if (bucket.length === 0) continue;
        const stale = style % 2 === 1;
        const colour = theme.rtt[Math.floor(style / 6)];
        const alpha = stale ? size.alpha * 0.5 : size.alpha;
        strokeAll(pen, bucket, colour, alpha, DASHES[Math.floor(style / 2) % 3]);
        if (arrows) fillArrows(pen, bucket, size, stale ? alpha : Math.min(1, alpha + 0.25));
    }
    pen.setLineDash([]);
    pen.globalAlpha = 1;
}


function strokeAll(pen, bucket, colour, alpha, dash) {
    pen.strokeStyle = colour;
    pen.fillStyle = colour;
    pen.globalAlpha = alpha;
    pen.setLineDash(dash);
    for (let i = 0; i < bucket.length; ) {
        pen.beginPath();
        for (const end = Math.min(i + TOGETHER, bucket.length); i < end; i += 1) {
            const link = bucket[i];
            pen.moveTo(link.x1, link.y1);
            pen.lineTo(link.x2, link.y2);
        }
        pen.stroke();
    }
}

// The arrow points to the listener: who dialed whom.
function fillArrows(pen, bucket, size, alpha) {
    pen.globalAlpha = alpha;
    for (let i = 0; i < bucket.length; ) {
        pen.beginPath();
        for (const end = Math.min(i + TOGETHER, bucket.length); i < end; i += 1) {
            const { x1, y1, x2, y2, length, item, ends } = bucket[i];
            if (!ends || length < size.radius * 2 + size.arrow * 2) continue;
            const [ux, uy] = [(x2 - x1) / length, (y2 - y1) / length];
            const rim = item.b.me ? size.radius * 1.35 + 2 : size.radius + 1;
            const [tx, ty] = [x2 - ux * rim, y2 - uy * rim];
            const [bx, by] = [tx - ux * size.arrow, ty - uy * size.arrow];
            const half = size.arrow * 0.42;
            pen.moveTo(tx, ty);
            pen.lineTo(bx - uy * half, by + ux * half);
            pen.lineTo(bx + uy * half, by - ux * half);
            pen.closePath();
        }
        pen.fill();
    }
}

function onScreen({ sx, sy }, { width, height }, margin) {
    return sx > -margin && sy > -margin && sx < width + margin && sy < height + margin;
}

// A shape for each state, not a colour alone: a disc is up, a ring with a cross is unreachable, a dotted ring left, a ringed disc is this node.
function paintNodes(pen, scene, camera, theme, size) {
    const groups = { up: [], dim: [], unreachable: [], left: [], cut: [], off: [], me: [] };
    for (const item of scene.nodes) {
        if (!onScreen(item, camera, size.radius)) continue;
        if (item.id === scene.off) groups.off.push(item);
        else if (scene.cut.has(item.id)) groups.cut.push(item);
        else if (item.node.state !== 'up') groups[item.node.state].push(item);
        else if (item.me) groups.me.push(item);
        else groups[item.dim ? 'dim' : 'up'].push(item);
    }
    const { radius } = size;
    pen.lineWidth = Math.max(1, radius * 0.28);
    discs(pen, groups.dim, radius * 0.7, theme.muted, 0.35, null);
    discs(pen, groups.up, radius, theme.node, 1, radius > 3 ? theme.background : null);
    discs(pen, groups.cut, radius, theme.background, 1, theme.bad);
    discs(pen, groups.off, radius, theme.background, 1, theme.muted);
    discs(pen, groups.left, radius * 0.85, theme.background, 1, theme.muted, [2, 2]);
    discs(pen, groups.unreachable, radius, theme.background, 1, theme.bad);
    crossOut(pen, groups.unreachable, radius * 0.45, theme.bad);
    crossOut(pen, groups.off, radius * 0.45, theme.muted);
    discs(pen, groups.me, radius * 1.35 + 2, theme.background, 1, theme.accent);
    discs(pen, groups.me, radius * 0.9, theme.accent, 1, null);
    pen.lineWidth = 1.5;
    const pinned = scene.nodes.filter((item) => scene.isPinned(item) && onScreen(item, camera, size.radius));
    for (const { sx, sy } of pinned) {
        pen.fillStyle = theme.text;
        pen.fillRect(sx - 1.5, sy - 1.5, 3, 3);
    }
}

function discs(pen, items, radius, fill, alpha, rim, dash = []) {
    if (items.length === 0) return;
    pen.globalAlpha = alpha;
    pen.fillStyle = fill;
    if (rim) pen.strokeStyle = rim;
    if (radius < SQUARE) {
        // On whole pixels, so that nothing is blended.
        const side = Math.max(2, Math.round(radius * 2));
        for (const { sx, sy } of items) pen.fillRect(Math.round(sx - radius), Math.round(sy - radius), side, side);
        pen.globalAlpha = 1;
        return;
    }
    pen.setLineDash(dash);
    for (let i = 0; i < items.length; ) {
        pen.beginPath();
        for (const end = Math.min(i + TOGETHER, items.length); i < end; i += 1) {
            const { sx, sy } = items[i];
            pen.moveTo(sx + radius, sy);
            pen.arc(sx, sy, radius, 0, Math.PI * 2);
        }
        pen.fill();
        if (rim) pen.stroke();
    }
    pen.setLineDash([]);
    pen.globalAlpha = 1;
}

function crossOut(pen, items, half, colour) {
    if (items.length === 0) return;
    pen.strokeStyle = colour;
    pen.beginPath();
    for (const { sx, sy } of items) {
        pen.moveTo(sx - half, sy - half);
        pen.lineTo(sx + half, sy + half);
        pen.moveTo(sx + half, sy - half);
        pen.lineTo(sx - half, sy + half);
    }
    pen.stroke();
}

// Rectangles that are taken, in cells of the screen, so that a new one is compared with few.
class Taken {
    #cells = new Map();

    isFree(box) {
        for (const key of cells(box)) {
            for (const other of this.#cells.get(key) ?? []) {
                if (box.x < other.x + other.w && other.x < box.x + box.w && box.y < other.y + other.h && other.y < box.y + box.h) return false;
            }
        }
        return true;
    }

    add(box) {
        for (const key of cells(box)) {
            const there = this.#cells.get(key);
            if (there) there.push(box);
            else this.#cells.set(key, [box]);
        }
    }
}

function cells(box) {
    const keys = [];
    for (let x = Math.floor(box.x / 64); x <= Math.floor((box.x + box.w) / 64); x += 1) {
        for (let y = Math.floor(box.y / 32); y <= Math.floor((box.y + box.h) / 32); y += 1) keys.push(x * 4096 + y);
    }
    return keys;
}

const widths = new Map();

function widthOf(pen, font, text) {
    const key = `${font}|${text}`;
    let width = widths.get(key);
    if (width === undefined) {
        if (widths.size > 20000) widths.clear();
        pen.font = font;
        width = pen.measureText(text).width;
        widths.set(key, width);
    }
    return width;
}

function paintLabels(pen, scene, visible, camera, theme, size, fast) {
    const [labels, discs] = [new Taken(), new Taken()];
    const now = performance.now();
    const grave = (item) => (item.me ? 8 : 0) + (scene.cut.has(item.id) ? 4 : 0) + (item.node.state === 'unreachable' ? 2 : 0) + (now - item.glow < GLOW_MS ? 1 : 0);
    let nodes = scene.nodes.filter((item) => onScreen(item, camera, 0));
    // To find room among so many takes longer than a frame.
    if (fast && nodes.length > WITH_ROOM) nodes = nodes.filter((item) => item.me || now - item.glow < GLOW_MS);
    for (const { sx, sy } of nodes) discs.add({ x: sx - size.radius, y: sy - size.radius, w: size.radius * 2, h: size.radius * 2 });
    const order = nodes.map((item) => [grave(item) * 1e6 + item.degree - (item.dim ? 1e5 : 0), item]).sort((a, b) => b[0] - a[0] || (a[1].id < b[1].id ? -1 : 1));
    // Few labels over a dense map, more as there is room: about one for each area of 70 by 60 pixels.
    const most = Math.min(LABELS, Math.ceil((camera.width * camera.height) / 4200), fast ? 120 : LABELS);
    pen.textBaseline = 'middle';
    pen.lineJoin = 'round';
    let drawn = 0;
    for (const [rank, item] of order) {
        if (drawn >= most || (item.dim && drawn > 40)) break;
        // Only a label that matters may cover a node.
        const covers = rank >= 1e6 && nodes.length > 60 && (nodes.length <= 300 || item.me || now - item.glow < GLOW_MS);
        const around = { labels, discs: covers ? null : discs, links: visible.length <= FEW_LINKS ? visible : null, camera };
        if (labelNode(pen, item, around, theme, size)) drawn += 1;
    }
    if (visible.length > WITH_FIGURES) return;
    for (const link of visible) labelLink(pen, link, labels, discs, theme, size);
}

function labelNode(pen, item, { labels, discs, links, camera }, theme, size) {
    const font = `${item.me ? 600 : 500} ${size.font}px ${FONT}`;
    const text = shortLabel(item.node.label.trim() === '' ? item.id.slice(0, 8) : item.node.label);
    const width = widthOf(pen, font, text);
    const gap = (item.me ? size.radius * 1.35 + 2 : size.radius) + (size.radius > 6 ? 7 : 4);
    const high = size.font + 3;
    const { sx, sy } = item;
    const near = gap * 0.72;
    const spots = [
        [sx + gap, sy - high / 2], [sx - gap - width, sy - high / 2], [sx - width / 2, sy + gap - 2], [sx - width / 2, sy - gap - high + 2],
        [sx + near, sy + near - 3], [sx + near, sy - near - high + 3], [sx - near - width, sy + near - 3], [sx - near - width, sy - near - high + 3],
    ];
    let [best, least] = [null, Infinity];
    for (const [x, y] of spots) {
        const box = { x: x - 2, y, w: width + 4, h: high };
        if (box.x < 0 || box.x + box.w > camera.width || !labels.isFree(box) || (discs && !discs.isFree(box))) continue;
        const crossings = links ? links.reduce((sum, link) => sum + (crosses(link, box) ? 1 : 0), 0) : 0;
        if (crossings < least) [best, least] = [box, crossings];
        if (least === 0) break;
    }
    if (!best) return false;
    labels.add(best);
    pen.font = font;
    pen.globalAlpha = item.dim ? 0.5 : 1;
    halo(pen, text, best.x + 2, best.y + high / 2, theme, item.node.state === 'up' ? theme.text : theme.muted);
    pen.globalAlpha = 1;
    return true;
}

// Whether a link runs through a rectangle.
function crosses({ x1, y1, x2, y2 }, { x, y, w, h }) {
    let [from, to] = [0, 1];
    for (const [step, low, high] of [[x2 - x1, x - x1, x + w - x1], [y2 - y1, y - y1, y + h - y1]]) {
        if (step === 0) {
            if (low > 0 || high < 0) return false;
            continue;
        }
        from = Math.max(from, Math.min(low / step, high / step));
        to = Math.min(to, Math.max(low / step, high / step));
    }
    return from < to;
}

function labelLink(pen, { item, x1, y1, x2, y2, length }, labels, discs, theme, size) {
    const { link } = item;
    const parts = [link.rtt === null ? '…' : rtt(link.rtt)];
    if (link.loss > 0) parts.push(`${(link.loss / 10).toFixed(1)} % loss`);
    if (link.suspect) parts.push('suspect');
    else if (link.disputed !== null) parts.push('one end\'s claim');
    else if (link.stale) parts.push('old');
    const text = parts.join(' · ');
    const font = `500 ${size.font - 1.5}px ${FONT}`;
    const width = widthOf(pen, font, text);
    if (length < width * 0.7 + size.radius * 2) return;
    const high = size.font + 3;
    for (const share of [0.5, 0.4, 0.6, 0.32]) {
        const [x, y] = [x1 + (x2 - x1) * share - width / 2, y1 + (y2 - y1) * share - high / 2];
        const box = { x: x - 3, y, w: width + 6, h: high };
        if (!labels.isFree(box) || !discs.isFree(box)) continue;
        labels.add(box);
        pen.font = font;
        pen.globalAlpha = 0.88;
        pen.fillStyle = theme.background;
        pen.fillRect(x - 3, y, width + 6, high);
        pen.globalAlpha = 1;
        pen.fillStyle = link.suspect ? theme.warn : theme.muted;
        pen.fillText(text, x, y + high / 2 + 0.5);
        return;
    }
}

function halo(pen, text, x, y, theme, colour) {
    pen.lineWidth = 3;
    pen.strokeStyle = theme.background;
    pen.strokeText(text, x, y);
    pen.fillStyle = colour;
    pen.fillText(text, x, y);
}

/** Draws what glows, what the pointer is over and what is chosen. `marks`: {hover, hoverLink, chosen, chosenLink, path: Set of links}. */
export function paintOverlay(pen, scene, camera, theme, marks, now, reduced) {
    const size = sizes(scene.nodes.length, scene.links.length, camera.zoom);
    for (const { a, b, glow } of scene.ghosts) line(pen, a, b, theme.bad, size.line + 1, 0.7 * fade(now, glow, reduced), [4, 5]);
    for (const item of scene.links) {
        if (now - item.glow < GLOW_MS && item.shown) {
            const colour = item.glowKind === 'suspect' ? theme.warn : theme.good;
            line(pen, item.a, item.b, colour, size.line + 6, 0.45 * fade(now, item.glow, reduced));
        }
        if (marks.path?.has(item.link)) line(pen, item.a, item.b, theme.accent, size.line + 2.5, 0.75);
        if (item.key === marks.chosenLink || item === marks.hoverLink) line(pen, item.a, item.b, theme.accent, size.line + 5, 0.42);
    }
    for (const item of scene.nodes) {
        if (now - item.glow >= GLOW_MS) continue;
        const light = fade(now, item.glow, reduced);
        const colour = { up: theme.good, unreachable: theme.bad, left: theme.muted }[item.glowKind];
        const grow = reduced ? 7 : 4 + 14 * Math.min(1, (now - item.glow) / 900);
        ring(pen, item, size.radius + grow, colour, 0.8 * light, 3);
        ring(pen, item, size.radius + 3, colour, light, 2);
    }
    if (marks.hover) ring(pen, marks.hover, size.radius + 4, theme.text, 0.8, 1.5);
    if (marks.chosen) {
        ring(pen, marks.chosen, size.radius + 5, theme.accent, 1, 2.5);
        neighbours(pen, scene, marks.chosen, theme, size);
    }
    pen.globalAlpha = 1;
}

// The links of the chosen node stand out of the many.
function neighbours(pen, scene, chosen, theme, size) {
    if (scene.nodes.length <= 60) return;
    for (const item of scene.links) if ((item.a === chosen || item.b === chosen) && item.shown) line(pen, item.a, item.b, theme.rtt[item.step], size.line + 1, 1);
}

function fade(now, since, reduced) {
    const share = Math.max(0, 1 - (now - since) / GLOW_MS);
    // Without motion what changed is marked, and then not: no fading.
    return reduced ? 0.8 : share;
}

function line(pen, a, b, colour, width, alpha, dash = []) {
    pen.globalAlpha = alpha;
    pen.strokeStyle = colour;
    pen.lineWidth = width;
    pen.lineCap = 'round';
    pen.setLineDash(dash);
    pen.beginPath();
    pen.moveTo(a.sx, a.sy);
    pen.lineTo(b.sx, b.sy);
    pen.stroke();
    pen.setLineDash([]);
    pen.lineCap = 'butt';
}

function ring(pen, { sx, sy }, radius, colour, alpha, width) {
    pen.globalAlpha = alpha;
    pen.strokeStyle = colour;
    pen.lineWidth = width;
    pen.beginPath();
    pen.arc(sx, sy, radius, 0, Math.PI * 2);
    pen.stroke();
}
