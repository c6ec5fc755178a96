// The map's colours, taken from the style sheet, so that page and canvas agree and a change of the scheme reaches both.

import { STEPS } from './scale.js';

export function readTheme() {
    const style = getComputedStyle(document.documentElement);
    const read = (name) => style.getPropertyValue(name).trim();
    const rtt = Array.from({ length: STEPS }, (_, i) => read(`--rtt-${i}`));
    return {
        dark: matchMedia('(prefers-color-scheme: dark)').matches,
        background: read('--map'),
        text: read('--text'),
        muted: read('--muted'),
        accent: read('--accent'),
        node: read('--node'),
        warn: read('--warn'),
        bad: read('--bad'),
        good: read('--good'),
        // The last is for links without a measurement.
        rtt: [...rtt, read('--rtt-none')],
    };
}
