// Findings that need the whole graph: bridges and articulation points, links with faster detours, nodes with bad links.
// Pure; over a Graph.

import { LOSSY } from './scene.js';

// How much faster a detour must be to be told, as a share of the direct RTT. Below, the jitter of two measurements makes and unmakes it.
const DETOUR_GAIN = 0.1;

// The bad links from which on a node is said to be the culprit, and their share of its links. With one bad link, either end could be.
const CULPRIT_LINKS = 2;
const CULPRIT_SHARE = 0.6;

/** Nodes and links without which part of the network is cut off from `root`: {points: [{n, cut: [n]}], bridges: [{link, cut: [n]}]}, the worst first. */
export function holds(graph, root) {
    const start = graph.index.get(root);
    const points = new Map();
    const bridges = [];
    if (start === undefined) return { points: [], bridges };
    const { found, low, order, child } = visit(graph, start);
    const below = (at) => order.slice(found[at], found[at] + child[at].size).map((index) => graph.numbers[index]);
    const fromStart = [];
    for (const at of order) {
        const { parent, link } = child[at];
        if (parent < 0) continue;
        if (low[at] > found[parent]) bridges.push({ link, cut: below(at) });
        if (parent === start) fromStart.push(below(at));
        else if (low[at] >= found[parent]) points.set(parent, [...(points.get(parent) ?? []), ...below(at)]);
    }
    // Without the root the parts below it fall apart from each other; the largest counts as the network.
    const rest = fromStart.sort((a, b) => b.length - a.length).slice(1).flat();
    if (rest.length > 0) points.set(start, rest);
    const worst = (a, b) => b.cut.length - a.cut.length;
    return { points: [...points].map(([at, cut]) => ({ n: graph.numbers[at], cut })).sort(worst), bridges: bridges.sort(worst) };
}

// Depth first, without recursion: a chain of ten thousand nodes would end the stack. Tarjan, 1972.
function visit(graph, start) {
    const size = graph.numbers.length;
    const found = new Int32Array(size).fill(-1);
    const low = new Int32Array(size);
    const next = new Int32Array(size);
    const child = new Array(size).fill(null);
    const order = [start];
    const stack = [start];
    found[start] = 0;
    child[start] = { parent: -1, link: null, size: 1 };
    while (stack.length > 0) {
        const at = stack[stack.length - 1];
        const step = graph.around[at][next[at]];
        if (step === undefined) {
            stack.pop();
            const { parent } = child[at];
            if (parent < 0) continue;
            low[parent] = Math.min(low[parent], low[at]);
            child[parent].size += child[at].size;
            continue;
        }
        next[at] += 1;
        if (step.link === child[at].link) continue;
        if (found[step.to] >= 0) {
            low[at] = Math.min(low[at], found[step.to]);
            continue;
        }
        found[step.to] = order.length;
        low[step.to] = order.length;
        child[step.to] = { parent: at, link: step.link, size: 1 };
        order.push(step.to);
        stack.push(step.to);
    }
    return { found, low, order, child };
}

/** Links that two others beat: [{link, over, total}], the largest gain first. */
export function detours(graph) {
    const best = new Map();
    graph.around.forEach((steps, from) => {
        const direct = new Map();
        for (const step of steps) if (step.link.rtt !== null && step.link.rtt < (direct.get(step.to)?.rtt ?? Infinity)) direct.set(step.to, step.link);
        for (const [middle, first] of direct) {
            for (const step of graph.around[middle]) {
                const link = direct.get(step.to);
                if (step.to <= from || !link || step.link.rtt === null) continue;
                const total = first.rtt + step.link.rtt;
                if (total < link.rtt * (1 - DETOUR_GAIN) && total < (best.get(link)?.total ?? Infinity)) best.set(link, { link, over: graph.numbers[middle], total });
            }
        }
    });
    return [...best.values()].sort((a, b) => b.link.rtt - b.total - (a.link.rtt - a.total));
}

/** Nodes most of whose links lose packets or are suspect, while those of their peers are well: [{n, bad, links}]. */
export function culprits(graph) {
    const isBad = ({ link }) => link.suspect || link.loss >= LOSSY;
    const bad = graph.around.map((steps) => steps.filter(isBad).length);
    const share = (at) => bad[at] / Math.max(graph.around[at].length, 1);
    const accused = graph.numbers.map((n, at) => ({ n, at, bad: bad[at], links: graph.around[at].length })).filter(({ at, bad: many }) => many >= CULPRIT_LINKS && share(at) >= CULPRIT_SHARE);
    // A node whose bad links all lead to one that is worse is a victim.
    return accused.filter(({ at }) => graph.around[at].filter(isBad).some(({ to }) => share(to) <= share(at))).sort((a, b) => b.bad - a.bad);
}
