// The page's own layout, for streams without a map: linked nodes are near each other, all others apart. The same network in the same order gives
// the same picture. A change moves what is near it and leaves the rest where it is.
//
// It begins with distances in hops to a few pivots, squeezed to two dimensions (Brandes and Pich, 2007), which unfolds the graph, then
// lets springs and repulsion work (Fruchterman and Reingold, 1991), with far groups taken as one body (Barnes and Hut, 1986).

// Nodes whose distances to all others begin the layout. At half, symmetric graphs fold; at double it takes twice as long and looks the same.
const PIVOTS = 16;

// How far a node may move in a step, in lengths of a link: at the start, after a change, and where it comes to rest. A change moves at
// half this heat too little for a new node to find its place; at double the whole picture moves with each change.
const START = 0.4;
const CHANGE = 0.08;
const REST = 0.004;

// The share of the heat that remains after each step. 0.9 stops before it is untangled; 0.98 takes twice as many steps.
const COOLING = 0.955;

// Forces between bodies that are computed in a frame, about: 4 ms in a browser without a GPU. At half the layout takes twice as long to
// settle; at double a frame at 1,000 nodes has no time left to draw.
const WORK = 120000;

// How wide a group may be seen from a node, as width by distance, to count as one body. At half it costs four times as much; at double
// groups shift visibly.
const OPENING = 0.9;

export class Layout {
    // All nodes, and those that have links: only these push and pull. One without stays where it was, or stands at the rim.
    #all = [];
    #nodes = [];
    #rim = [];
    #alone = new Set();
    #pairs = new Int32Array(0);
    #heat = 0;
    #tree = new Quadtree();

    /** Whether the next step moves anything. */
    get moving() {
        return this.#heat > REST;
    }

    /** Takes the nodes, objects with `lx`, `ly` (undefined if new) and `pinned`, and pairs of their indices. */
    update(nodes, pairs) {
        const linked = new Set(pairs.flat());
        const place = new Map();
        const before = this.#all.length;
        this.#all = nodes;
        this.#nodes = nodes.filter((_, i) => linked.has(i) && place.set(i, place.size));
        const size = this.#nodes.length;
        const seen = new Set();
        const flat = [];
        for (const [from, to] of pairs) {
            const [a, b] = [place.get(from), place.get(to)];
            const key = a < b ? a * size + b : b * size + a;
            if (a === b || seen.has(key)) continue;
            seen.add(key);
            flat.push(a, b);
        }
        this.#pairs = Int32Array.from(flat);
        // A node that has links again stands where its new peers are: from the rim, springs alone would take minutes to bring it there.
        for (const node of this.#nodes) if (this.#alone.has(node) && !node.pinned) node.lx = undefined;
        this.#alone = new Set(nodes.filter((_, i) => !linked.has(i)));
        const placed = this.#nodes.filter((node) => node.lx !== undefined).length;
        const anew = before === 0 || placed * 2 < size;
        if (placed * 2 < size) this.#begin();
        else this.#place();
        this.#heat = Math.max(this.#heat, anew && placed < size ? START : CHANGE);
        this.#rim = nodes.filter((node, i) => !linked.has(i) && (node.lx === undefined || this.#rim.includes(node)));
        this.#stand();
    }

    // Nodes without links that were never anywhere stand on an arc at the right, outside of the others.
    #stand() {
        if (this.#rim.length === 0) return;
        const reach = 1.1 + this.#nodes.reduce((most, { lx, ly }) => Math.max(most, Math.hypot(lx, ly)), 0);
        const step = Math.min(Math.max(0.5, reach * 0.06) / reach, (2 * Math.PI) / this.#rim.length);
        this.#rim.forEach((node, i) => {
            if (node.pinned && node.lx !== undefined) return;
            const angle = (i - (this.#rim.length - 1) / 2) * step;
            node.lx = reach * Math.cos(angle);
            node.ly = reach * Math.sin(angle);
        });
    }

    /** As many steps as a frame has time for. The number depends on the size alone, so that the result doesn't depend on the machine. */
    advance() {
        const size = this.#nodes.length;
        const each = size <= 150 ? size * size : size * 90;
        const steps = Math.min(8, Math.max(1, Math.floor(WORK / Math.max(each, 1))));
        for (let i = 0; i < steps && this.moving; i += 1) this.#step();
    }

    /** All the steps until it rests: for a picture that must be still at once. */
    settle() {
        while (this.moving) this.#step();
    }

    #step() {
        const nodes = this.#nodes;
        const size = nodes.length;
        const fx = new Float64Array(size);
        const fy = new Float64Array(size);
        this.#repel(fx, fy);
        for (let i = 0; i < this.#pairs.length; i += 2) {
            const [a, b] = [this.#pairs[i], this.#pairs[i + 1]];
            const dx = nodes[b].lx - nodes[a].lx;
            const dy = nodes[b].ly - nodes[a].ly;
            const pull = Math.min(Math.hypot(dx, dy), 8);
            fx[a] += dx * pull;
            fy[a] += dy * pull;
            fx[b] -= dx * pull;
            fy[b] -= dy * pull;
        }
        for (let i = 0; i < size; i += 1) {
            const node = nodes[i];
            if (node.pinned) continue;
            // Everything is drawn a little to the middle, so that parts without a link between them stay in the picture.
            const x = fx[i] - node.lx * 0.06;
            const y = fy[i] - node.ly * 0.06;
            const force = Math.hypot(x, y);
            if (force === 0) continue;
            const way = Math.min(force * 0.15, this.#heat) / force;
            node.lx += x * way;
            node.ly += y * way;
        }
        this.#stand();
        this.#heat *= COOLING;
        if (!this.moving) this.#heat = 0;
    }

    #repel(fx, fy) {
        const nodes = this.#nodes;
        const size = nodes.length;
        if (size > 150) {
            this.#tree.build(nodes);
            for (let i = 0; i < size; i += 1) this.#tree.push(nodes[i], i, fx, fy);
            return;
        }
        for (let i = 0; i < size; i += 1) {
            for (let j = 0; j < i; j += 1) {
                const dx = nodes[i].lx - nodes[j].lx || (i - j) * 1e-3;
                const dy = nodes[i].ly - nodes[j].ly || 1e-3;
                const push = 1 / Math.max(dx * dx + dy * dy, 0.02);
                fx[i] += dx * push;
                fy[i] += dy * push;
                fx[j] -= dx * push;
                fy[j] -= dy * push;
            }
        }
    }

    // A new node stands at its neighbours, a little aside.
    #place() {
        const nodes = this.#nodes;
        const reach = nodes.reduce((most, node) => (node.lx === undefined ? most : Math.max(most, Math.hypot(node.lx, node.ly))), 1);
        for (let round = 0; round < 2; round += 1) {
            nodes.forEach((node, i) => {
                if (node.lx !== undefined) return;
                let [x, y, near] = [0, 0, 0];
                for (let p = 0; p < this.#pairs.length; p += 2) {
                    const other = this.#pairs[p] === i ? this.#pairs[p + 1] : this.#pairs[p + 1] === i ? this.#pairs[p] : -1;
                    if (other < 0 || nodes[other].lx === undefined) continue;
                    x += nodes[other].lx;
                    y += nodes[other].ly;
                    near += 1;
                }
                if (near === 0 && round === 0) return;
                // The golden angle: nodes that come one after the other don't fall on each other.
                const angle = i * 2.399963;
                const aside = near === 0 ? reach + 0.5 : 0.6;
                node.lx = (near ? x / near : 0) + aside * Math.cos(angle);
                node.ly = (near ? y / near : 0) + aside * Math.sin(angle);
            });
        }
    }

    #begin() {
        const size = this.#nodes.length;
        const around = Array.from({ length: size }, () => []);
        for (let p = 0; p < this.#pairs.length; p += 2) {
            around[this.#pairs[p]].push(this.#pairs[p + 1]);
            around[this.#pairs[p + 1]].push(this.#pairs[p]);
        }
        const columns = [];
        const nearest = new Float64Array(size).fill(Infinity);
        for (let pivot = 0, k = Math.min(PIVOTS, size); columns.length < k; ) {
            const hops = breadthFirst(around, pivot);
            columns.push(hops);
            for (let i = 0; i < size; i += 1) nearest[i] = Math.min(nearest[i], hops[i]);
            pivot = nearest.indexOf(nearest.reduce((a, b) => Math.max(a, b), 0));
        }
        const axes = principal(columns, size);
        // The springs do the rest sooner where links begin about as long as they will be.
        let length = 0;
        for (let p = 0; p < this.#pairs.length; p += 2) {
            const [a, b] = [this.#pairs[p], this.#pairs[p + 1]];
            length += Math.hypot(axes[0][a] - axes[0][b], axes[1][a] - axes[1][b]) / (this.#pairs.length / 2);
        }
        const scale = length > 0 ? 1.4 / length : 1;
        this.#nodes.forEach((node, i) => {
            if (node.pinned && node.lx !== undefined) return;
            // Nodes with equal distances to all pivots would fall together: each a little aside.
            const angle = i * 2.399963;
            node.lx = axes[0][i] * scale + 0.3 * Math.cos(angle);
            node.ly = axes[1][i] * scale + 0.3 * Math.sin(angle);
        });
    }
}

function breadthFirst(around, start) {
    const hops = new Float64Array(around.length).fill(-1);
    hops[start] = 0;
    const queue = [start];
    for (let head = 0; head < queue.length; head += 1) {
        for (const other of around[queue[head]]) {
            if (hops[other] >= 0) continue;
            hops[other] = hops[queue[head]] + 1;
            queue.push(other);
        }
    }
    const far = hops.reduce((a, b) => Math.max(a, b), 0) + 2;
    return hops.map((value) => (value < 0 ? far : value));
}

// The two directions in which the distances to the pivots differ most, as coordinates of each node.
function principal(columns, size) {
    const k = columns.length;
    const squares = columns.map((hops) => hops.map((value) => value * value));
    const rows = new Float64Array(size);
    const means = squares.map((column) => column.reduce((a, b) => a + b, 0) / size);
    for (let i = 0; i < size; i += 1) for (const column of squares) rows[i] += column[i] / k;
    const mean = means.reduce((a, b) => a + b, 0) / k;
    const centred = squares.map((column, c) => column.map((value, i) => -0.5 * (value - rows[i] - means[c] + mean)));
    const product = centred.map((a) => centred.map((b) => a.reduce((sum, value, i) => sum + value * b[i], 0)));
    const found = [];
    for (let axis = 0; axis < 2; axis += 1) {
        let vector = Array.from({ length: k }, (_, i) => Math.cos(i * (axis + 1)) + 0.1);
        for (let round = 0; round < 60; round += 1) {
            vector = product.map((row) => row.reduce((sum, value, i) => sum + value * vector[i], 0));
            for (const other of found) {
                const along = other.reduce((sum, value, i) => sum + value * vector[i], 0);
                vector = vector.map((value, i) => value - along * other[i]);
            }
            const norm = Math.hypot(...vector) || 1;
            vector = vector.map((value) => value / norm);
        }
        found.push(vector);
    }
    return found.map((vector) => {
        const axis = new Float64Array(size);
        centred.forEach((column, c) => column.forEach((value, i) => (axis[i] += value * vector[c])));
        return axis;
    });
}

// Bodies in squares in squares, each with its mass and centre. Flat arrays, reused by every step.
class Quadtree {
    build(nodes) {
        const room = nodes.length * 8 + 64;
        if (!this.child || this.child.length < room * 4) {
            this.child = new Int32Array(room * 4);
            this.mass = new Float64Array(room);
            this.x = new Float64Array(room);
            this.y = new Float64Array(room);
            this.width = new Float64Array(room);
            this.body = new Int32Array(room);
        }
        let [left, right, top, bottom] = [Infinity, -Infinity, Infinity, -Infinity];
        for (const { lx, ly } of nodes) {
            left = Math.min(left, lx);
            right = Math.max(right, lx);
            top = Math.min(top, ly);
            bottom = Math.max(bottom, ly);
        }
        this.nodes = nodes;
        this.used = 0;
        this.middleX = (left + right) / 2;
        this.middleY = (top + bottom) / 2;
        this.half = Math.max(right - left, bottom - top, 1e-6) / 2;
        this.#cell(this.half * 2);
        for (let i = 0; i < nodes.length; i += 1) this.#insert(i);
    }

    #cell(width) {
        const cell = this.used;
        this.used += 1;
        this.child.fill(-1, cell * 4, cell * 4 + 4);
        this.mass[cell] = 0;
        this.x[cell] = 0;
        this.y[cell] = 0;
        this.width[cell] = width;
        this.body[cell] = -1;
        return cell;
    }

    #insert(index) {
        const { lx, ly } = this.nodes[index];
        let [cell, x, y, half, body] = [0, this.middleX, this.middleY, this.half, index];
        for (let depth = 0; ; depth += 1) {
            const mass = this.mass[cell];
            this.x[cell] = (this.x[cell] * mass + lx) / (mass + 1);
            this.y[cell] = (this.y[cell] * mass + ly) / (mass + 1);
            this.mass[cell] = mass + 1;
            // Bodies in the same place end in one cell; so do those for which there is no more room.
            if (mass === 0 || depth > 24 || this.used + 4 > this.mass.length) {
                if (mass === 0) this.body[cell] = body;
                return;
            }
            half /= 2;
            const first = this.body[cell];
            if (first >= 0) {
                const other = this.nodes[first];
                const into = this.#quadrant(cell, other.lx > x, other.ly > y, half);
                this.mass[into] = 1;
                this.x[into] = other.lx;
                this.y[into] = other.ly;
                this.body[into] = first;
                this.body[cell] = -1;
            }
            cell = this.#quadrant(cell, lx > x, ly > y, half);
            x += lx > x ? half : -half;
            y += ly > y ? half : -half;
        }
    }

    #quadrant(cell, right, low, half) {
        const at = cell * 4 + (right ? 1 : 0) + (low ? 2 : 0);
        if (this.child[at] < 0) this.child[at] = this.#cell(half * 2);
        return this.child[at];
    }

    /** Adds what all others push `node`, number `index`, with. */
    push(node, index, fx, fy) {
        const stack = [0];
        let [x, y] = [0, 0];
        while (stack.length > 0) {
            const cell = stack.pop();
            const dx = node.lx - this.x[cell];
            const dy = node.ly - this.y[cell];
            const square = dx * dx + dy * dy;
            const single = this.body[cell] >= 0;
            if (single && this.body[cell] === index) continue;
            if (single || this.width[cell] * this.width[cell] < OPENING * OPENING * square) {
                const push = this.mass[cell] / Math.max(square, 0.02);
                x += dx * push;
                y += dy * push;
                continue;
            }
            for (let at = cell * 4; at < cell * 4 + 4; at += 1) if (this.child[at] >= 0) stack.push(this.child[at]);
        }
        fx[index] += x;
        fy[index] += y;
    }
}
