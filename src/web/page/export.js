// Export of what is shown: the picture as SVG or PNG, the data as JSON.

import { moment, roundRtt } from './text.js';
import { scaleLength, STEPS } from './scale.js';

/** A pen with the part of a canvas context that the map draws with, which writes SVG. */
export class SvgPen {
    fillStyle = '#000';
    strokeStyle = '#000';
    lineWidth = 1;
    lineCap = 'butt';
    lineJoin = 'miter';
    globalAlpha = 1;
    font = '12px sans-serif';
    textBaseline = 'alphabetic';
    textAlign = 'left';
    #dash = [];
    #path = [];
    #out = [];
    #ruler = document.createElement('canvas').getContext('2d');

    constructor(width, height) {
        this.width = width;
        this.height = height;
    }

    beginPath() {
        this.#path = [];
    }

    moveTo(x, y) {
        this.#path.push(`M${short(x)} ${short(y)}`);
    }

    lineTo(x, y) {
        this.#path.push(`L${short(x)} ${short(y)}`);
    }

    closePath() {
        this.#path.push('Z');
    }

    // Whole circles only: nothing else is drawn.
    arc(x, y, radius) {
        this.#path.push(`M${short(x + radius)} ${short(y)}A${short(radius)} ${short(radius)} 0 1 1 ${short(x - radius)} ${short(y)}A${short(radius)} ${short(radius)} 0 1 1 ${short(x + radius)} ${short(y)}`);
    }

    rect(x, y, width, height) {
        this.#path.push(`M${short(x)} ${short(y)}h${short(width)}v${short(height)}h${short(-width)}Z`);
    }

    setLineDash(dash) {
        this.#dash = dash;
    }

    stroke() {
        if (this.#path.length === 0) return;
        const dash = this.#dash.length > 0 ? ` stroke-dasharray="${this.#dash.join(' ')}"` : '';
        this.#out.push(`<path d="${this.#path.join('')}" fill="none" stroke="${escape(this.strokeStyle)}" stroke-width="${short(this.lineWidth)}" stroke-linecap="${this.lineCap}"${dash}${this.#opacity()}/>`);
    }

    fill() {
        if (this.#path.length === 0) return;
        this.#out.push(`<path d="${this.#path.join('')}" fill="${escape(this.fillStyle)}"${this.#opacity()}/>`);
    }

    fillRect(x, y, width, height) {
        this.#out.push(`<rect x="${short(x)}" y="${short(y)}" width="${short(width)}" height="${short(height)}" fill="${escape(this.fillStyle)}"${this.#opacity()}/>`);
    }

    measureText(text) {
        this.#ruler.font = this.font;
        return this.#ruler.measureText(text);
    }

    fillText(text, x, y) {
        this.#text(text, x, y, `fill="${escape(this.fillStyle)}"`);
    }

    strokeText(text, x, y) {
        this.#text(text, x, y, `fill="none" stroke="${escape(this.strokeStyle)}" stroke-width="${short(this.lineWidth)}" stroke-linejoin="round"`);
    }

    #text(text, x, y, paint) {
        const [, weight, size, family] = /^(?:(\d+|bold) )?([\d.]+)px (.*)$/.exec(this.font);
        const base = this.textBaseline === 'middle' ? ' dominant-baseline="central"' : '';
        this.#out.push(`<text x="${short(x)}" y="${short(y)}" font-family="${escape(family)}" font-size="${size}"${weight ? ` font-weight="${weight}"` : ''}${base} ${paint}${this.#opacity()}>${escape(text)}</text>`);
    }

    #opacity() {
        return this.globalAlpha < 1 ? ` opacity="${short(this.globalAlpha)}"` : '';
    }

    /** The whole document. */
    document() {
        return `<svg xmlns="http://www.w3.org/2000/svg" width="${this.width}" height="${this.height}" viewBox="0 0 ${this.width} ${this.height}">\n${this.#out.join('\n')}\n</svg>\n`;
    }
}

function short(number) {
    return String(Math.round(number * 100) / 100);
}

// Text of others becomes text in XML too. Control characters, which XML forbids, were replaced when it was read.
function escape(text) {
    const names = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };
    return String(text).replace(/[&<>"']/g, (sign) => names[sign]);
}

/** Draws the map, the legend and a line of text that says when it was, with either pen. */
export function paintPicture(pen, map, app) {
    const { theme, camera } = map;
    map.paintWith(pen);
    const { network, header } = app;
    const limits = map.scene.scale.limits;
    pen.textBaseline = 'middle';
    pen.font = '11px system-ui, sans-serif';
    for (let i = 0; i < STEPS; i += 1) {
        pen.fillStyle = theme.rtt[i];
        pen.fillRect(16 + i * 48, camera.height - 34, 46, 6);
        if (i === STEPS - 1) continue;
        pen.fillStyle = theme.muted;
        pen.fillText(roundRtt(limits[i]), 16 + (i + 1) * 48 - 14, camera.height - 20);
    }
    if (map.scene.placing === 'places' && map.scene.network.map.kind === 'latency') {
        const length = scaleLength(camera.k);
        pen.fillStyle = theme.text;
        pen.fillRect(16, camera.height - 52, length * camera.k, 2);
        pen.fillText(`${roundRtt(length)} round trip`, 22 + length * camera.k, camera.height - 51);
    }
    pen.fillStyle = theme.text;
    pen.font = '600 13px system-ui, sans-serif';
    pen.fillText(`${header?.network ?? ''} as ${header?.label ?? 'this node'} saw it, ${moment(network.at, network.origin)}`, 16, 20);
}

export function svgOf(map, app) {
    const pen = new SvgPen(Math.round(map.camera.width), Math.round(map.camera.height));
    paintPicture(pen, map, app);
    return new Blob([pen.document()], { type: 'image/svg+xml' });
}

/** Twice the size of the screen, so that it can be printed. */
export function pngOf(map, app) {
    const canvas = document.createElement('canvas');
    Object.assign(canvas, { width: map.camera.width * 2, height: map.camera.height * 2 });
    const pen = canvas.getContext('2d', { alpha: false });
    pen.scale(2, 2);
    paintPicture(pen, map, app);
    return new Promise((resolve, reject) => canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error('This browser could not make a PNG.'))), 'image/png'));
}

/** The view as data, nodes by id. */
export function jsonOf(app) {
    const { network, header } = app;
    const id = (n) => network.nodes.get(n)?.id ?? null;
    const unix = (at) => (network.origin === null ? null : Math.round(network.origin + at));
    const data = {
        format: 1,
        network: header?.network ?? null,
        node: id(network.me),
        at_ms: unix(network.at),
        since_start_ms: Math.round(network.at),
        cut_off: network.cutOff,
        nodes: [...network.nodes.values()].map((node) => ({ id: node.id, label: node.label, addresses: node.addresses, state: node.state, changed_ms: unix(node.since), told: node.told && { by: id(node.told.by), via: id(node.told.via) } })),
        links: [...network.links.values()].map((link) => ({ dialer: id(link.dialer), listener: id(link.listener), since_ms: unix(link.since), rtt_us: link.rtt, measured_ms: unix(link.measured), stale: link.stale, loss_percent: link.loss / 10, suspect: link.suspect, measured_by: link.listener === network.me ? 'listener' : 'dialer', other: link.other && { rtt_us: link.other.rtt, measured_ms: unix(link.other.measured), loss_percent: link.other.loss / 10 }, disputed_since_ms: link.disputed === null ? null : unix(link.disputed) })),
    };
    return new Blob([`${JSON.stringify(data, null, 1)}\n`], { type: 'application/json' });
}

/** Hands a file to the person. */
export function save(blob, name) {
    const address = URL.createObjectURL(blob);
    const link = document.createElement('a');
    Object.assign(link, { href: address, download: name });
    document.body.append(link);
    link.click();
    link.remove();
    // The download has taken it by then; at once would be too early in some browsers.
    setTimeout(() => URL.revokeObjectURL(address), 10000);
}
