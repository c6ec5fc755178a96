// Searches over the whole graph: shortest paths, and the nodes that are cut off without a given one. Pure; over a Network.

// The weight of a link that has no measurement yet, in µs: above any real path, so that such a link is used only where nothing else
// leads on.
const UNMEASURED = 1e9;

/** The live links of a network as arrays, for many searches. Links carry traffic both ways, whoever dialed. */
export class Graph {
    constructor(network) {
        this.numbers = [...network.nodes.keys()];
        this.index = new Map(this.numbers.map((n, i) => [n, i]));
        this.around = this.numbers.map(() => []);
        for (const link of network.links.values()) {
            const [a, b] = [this.index.get(link.dialer), this.index.get(link.listener)];
            const weight = link.rtt ?? UNMEASURED;
            this.around[a].push({ to: b, weight, link });
            this.around[b].push({ to: a, weight, link });
        }
    }

    /** The least sums of RTTs from node number `n`: {sums, before}, by index. `without` is a number that no path may touch. */
    search(n, without = null) {
        const size = this.numbers.length;
        const sums = new Float64Array(size).fill(Infinity);
        const before = new Array(size).fill(null);
        const start = this.index.get(n);
        const closed = this.index.get(without);
        if (start === undefined || start === closed) return { sums, before };
        sums[start] = 0;
        const heap = new Heap();
        heap.push(0, start);
        while (heap.size > 0) {
            const [sum, at] = heap.pop();
            if (sum > sums[at]) continue;
            for (const step of this.around[at]) {
                const next = sum + step.weight;
                if (step.to === closed || next >= sums[step.to]) continue;
                sums[step.to] = next;
                before[step.to] = { from: at, link: step.link };
                heap.push(next, step.to);
            }
        }
        return { sums, before };
    }

    /** The shortest path between two numbers: {hops: [{n, link}], total}; null if there is none. `total` is null where a hop has no RTT. */
    path(from, to) {
        const { sums, before } = this.search(from);
        const end = this.index.get(to);
        if (end === undefined || !Number.isFinite(sums[end])) return null;
        const hops = [];
        for (let at = end; before[at]; at = before[at].from) hops.unshift({ n: this.numbers[at], link: before[at].link });
        return { hops, total: total(sums[end]) };
    }

    /** The links of the shortest-path tree that begins at `n`. */
    tree(n) {
        return new Set(this.search(n).before.filter(Boolean).map((step) => step.link));
    }

    /** The numbers that `root` could not reach if `n` were gone, and that it reaches now. If `n` is the root itself: all but the largest part of the rest. */
    cutOff(root, n) {
        const reached = this.search(root).sums;
        if (root !== n) {
            const left = this.search(root, n).sums;
            return this.numbers.filter((other, i) => other !== n && Number.isFinite(reached[i]) && !Number.isFinite(left[i]));
        }
        const rest = new Set(this.numbers.filter((other, i) => other !== n && Number.isFinite(reached[i])));
        const parts = [];
        while (rest.size > 0) {
            const { sums } = this.search(rest.values().next().value, n);
            const part = this.numbers.filter((other, i) => Number.isFinite(sums[i]));
            for (const other of part) rest.delete(other);
            parts.push(part);
        }
        return parts.sort((a, b) => b.length - a.length).slice(1).flat();
    }
}

function total(sum) {
    return sum >= UNMEASURED ? null : sum;
}

/** Orders items so that near ones stand together: average linkage, each join with those ends together that are nearest. `distance` is a flat matrix. */
export function nearOrder(size, distance) {
    const apart = Float64Array.from(distance, (value) => (Number.isFinite(value) ? value : 1e12));
    const weight = new Array(size).fill(1);
    const chains = Array.from({ length: size }, (_, i) => [i]);
    const alive = new Set(chains.keys());
    const near = (a, b) => (Number.isFinite(distance[a * size + b]) ? distance[a * size + b] : 1e12);
    const stack = [];
    // Nearest-neighbour chains: two clusters that are each other's nearest are joined, so each join costs one row, not the matrix.
    while (alive.size > 1) {
        if (stack.length === 0) stack.push(alive.values().next().value);
        const top = stack[stack.length - 1];
        const previous = stack[stack.length - 2];
        let best = -1;
        let least = Infinity;
        for (const other of alive) {
            const value = apart[top * size + other];
            if (other !== top && (value < least || (value === least && other === previous))) [best, least] = [other, value];
        }
        if (best !== previous) {
            stack.push(best);
            continue;
        }
        stack.length -= 2;
        chains[top] = joined(chains[top], chains[best], near);
        for (const other of alive) {
            const mean = (apart[top * size + other] * weight[top] + apart[best * size + other] * weight[best]) / (weight[top] + weight[best]);
            apart[top * size + other] = mean;
            apart[other * size + top] = mean;
        }
        weight[top] += weight[best];
        alive.delete(best);
    }
    return size === 0 ? [] : chains[alive.values().next().value];
}

function joined(a, b, near) {
    const ends = [
        [near(a[a.length - 1], b[0]), () => [...a, ...b]],
        [near(a[a.length - 1], b[b.length - 1]), () => [...a, ...b.reverse()]],
        [near(a[0], b[0]), () => [...a.reverse(), ...b]],
        [near(a[0], b[b.length - 1]), () => [...b, ...a]],
    ];
    return ends.reduce((best, end) => (end[0] < best[0] ? end : best))[1]();
}

// A binary heap of (key, value), smallest key first.
class Heap {
    #keys = [];
    #values = [];

    get size() {
        return this.#keys.length;
    }

    push(key, value) {
        let at = this.#keys.length;
        this.#keys.push(key);
        this.#values.push(value);
        while (at > 0) {
            const parent = (at - 1) >> 1;
            if (this.#keys[parent] <= key) break;
            this.#swap(at, parent);
            at = parent;
        }
    }

    pop() {
        const top = [this.#keys[0], this.#values[0]];
        const [key, value] = [this.#keys.pop(), this.#values.pop()];
        if (this.#keys.length > 0) {
            this.#keys[0] = key;
            this.#values[0] = value;
            this.#sink();
        }
        return top;
    }

    #sink() {
        for (let at = 0; ; ) {
            const left = 2 * at + 1;
            let least = at;
            if (left < this.#keys.length && this.#keys[left] < this.#keys[least]) least = left;
            if (left + 1 < this.#keys.length && this.#keys[left + 1] < this.#keys[least]) least = left + 1;
            if (least === at) return;
            this.#swap(at, least);
            at = least;
        }
    }

    #swap(a, b) {
        [this.#keys[a], this.#keys[b]] = [this.#keys[b], this.#keys[a]];
        [this.#values[a], this.#values[b]] = [this.#values[b], this.#values[a]];
    }
}
