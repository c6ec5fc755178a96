// Which colour an RTT has: six steps whose limits are round numbers and fit what the network has, so that five nodes on one machine
// and a thousand around the world both show differences. Pure.

const ROUND = [1, 2, 5];

/** How many colours there are; one more stands for "not measured". */
export const STEPS = 6;
export const UNKNOWN = STEPS;

// RTTs below this, in µs, have one colour: between processes of one machine they say more about its scheduler than about links. At half,
// five nodes on loopback look as if some were far away; at double, kernel and container networks look alike.
const JITTER = 20;

export class RttScale {
    /** Upper limits, in µs, of all steps but the last. */
    limits = [1000, 5000, 20000, 50000, 100000];

    /** Chooses the limits for these RTTs. Returns whether they changed. They stay as long as they fit, so that colours don't flicker. */
    fit(values) {
        if (values.length === 0) return false;
        const sorted = Float64Array.from(values).sort();
        const low = Math.max(JITTER, sorted[Math.floor(sorted.length * 0.1)]);
        const high = Math.max(low, sorted[Math.floor((sorted.length - 1) * 0.95)]);
        const [first, last] = [this.limits[0], this.limits[STEPS - 2]];
        const wide = Math.max(2, high / low);
        const fits = this.fitted && first < low * 5 && last > high / 4 && last / first < wide * 16 && first > low / 8;
        if (fits) return false;
        this.limits = chosen(low, high);
        this.fitted = true;
        return true;
    }

    /** The step of an RTT: 0 is the fastest. */
    step(us) {
        if (us === null || us === undefined) return UNKNOWN;
        for (let i = 0; i < STEPS - 1; i += 1) if (us < this.limits[i]) return i;
        return STEPS - 1;
    }
}

// Five of the numbers 1, 2, 5, 10, … that lie about evenly between low and high.
function chosen(low, high) {
    const series = [];
    for (let decade = 1; decade <= 1e9; decade *= 10) for (const digit of ROUND) series.push(digit * decade);
    const wanted = STEPS - 1;
    // All but the first step begin within the range, so that each colour is used; where RTTs are alike, they are in the second.
    let from = Math.max(0, series.findIndex((value) => value > low) - (high / low < 3 ? 1 : 0));
    let to = Math.max(from, series.findLastIndex((value) => value < high));
    while (to - from + 1 < wanted) {
        if (from > 0 && high / low >= 3) from -= 1;
        if (to - from + 1 < wanted && to < series.length - 1) to += 1;
    }
    return Array.from({ length: wanted }, (_, i) => series[Math.round(from + ((to - from) * i) / (wanted - 1))]);
}
