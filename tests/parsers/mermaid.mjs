// Reads charts with Mermaid's own parser, and compares them with network.json of the same snapshot.
//
// mermaid.mjs PARSERS FOLDER: the first folder has node_modules; the second has pairs of files, N.json and N.mermaid.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const [parsers, folder] = process.argv.slice(2).map((path) => resolve(path));
const { JSDOM } = createRequire(join(parsers, 'node_modules/'))('jsdom');
const { window } = new JSDOM('<!doctype html>');
Object.assign(globalThis, { window, document: window.document });
const module = pathToFileURL(join(parsers, 'node_modules/mermaid/dist/mermaid.core.mjs'));
const { default: mermaid } = await import(module);
mermaid.initialize({ startOnLoad: false });

// The lines that a page shows for a text: Mermaid makes character references of its own signs for them at last.
function lines(text) {
    const element = document.createElement('div');
    element.innerHTML = text.replace(/ﬂ°°/g, '&#').replace(/ﬂ°/g, '&').replace(/¶ß/g, ';');
    for (const child of element.querySelectorAll('*')) {
        assert.equal(child.tagName, 'BR', `markup in ${text}`);
        child.replaceWith('\n');
    }
    return element.textContent.replace(/\u00a0/g, ' ').split('\n');
}

// The lines of a label, by the rules in words: breaks break, tabs are spaces, what deceives is replaced. A word joiner parts the
// pairs of signs that Mermaid replaces when it draws.
function shown(label) {
    const deceptive =
        /[\0-\t\v-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u206f\ufdd0-\ufdef]|\p{Noncharacter_Code_Point}/gu;
    return label
        .replace(/\r\n|[\r\u2028\u2029]/g, '\n')
        .replace(/\t/g, ' ')
        .replace(deceptive, '\ufffd')
        .replace(/\u00a0/g, ' ')
        .replace(/\\(?=n)/g, '\\\u2060')
        .replace(/\$(?=\$)/g, '$\u2060')
        .split('\n');
}

// A label that shows nothing gives way to the id; one of more than 64 characters is cut.
function expected(node, longest) {
    const characters = [...node.label];
    if (!/[^\s\u200b]/u.test(node.label)) {
        return [node.id.slice(0, 10)];
    }
    const cut = characters.length > longest;
    const label = shown(characters.slice(0, longest).join(''));
    if (cut) {
        label[label.length - 1] += '…';
    }
    return label;
}

let charts = 0;
for (const file of readdirSync(folder).filter((name) => name.endsWith('.mermaid'))) {
    const path = join(folder, file);
    const network = JSON.parse(readFileSync(path.replace(/mermaid$/, 'json'), 'utf8'));
    const text = readFileSync(path, 'utf8');
    await mermaid.parse(text);
    const { db } = await mermaid.mermaidAPI.getDiagramFromText(text);
    const vertices = db.getVertices();
    const whole = network.nodes.length <= 32;
    if (whole) {
        assert.equal(vertices.size, network.nodes.length);
    }
    const ids = new Map();
    for (const node of network.nodes) {
        const short = `n${node.id.slice(0, 10)}`;
        const vertex = vertices.get(short);
        if (!vertex) {
            assert(!whole, node.id);
            continue;
        }
        ids.set(short, node.id);
        const label = expected(node, whole ? 64 : 32);
        assert.equal(vertex.labelType, 'string', node.label);
        assert.deepEqual(lines(vertex.text).slice(0, label.length), label, JSON.stringify(node.label));
    }
    const links = new Set(network.links.map((link) => `${link.dialer} ${link.listener}`));
    const edges = db.getEdges();
    for (const edge of edges) {
        assert.equal(edge.type, 'arrow_point');
        assert(links.has(`${ids.get(edge.start)} ${ids.get(edge.end)}`));
    }
    assert.equal(edges.length, whole ? links.size : 99);
    charts += 1;
}
assert(charts > 0, 'no chart');
