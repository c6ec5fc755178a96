// Text as a person reads it: hostile text made harmless, figures with their units, and the colour scale's labels.

// Control characters, and those that change the direction of what follows or hide it. A label that contains them could make the
// text around it look like something else, on the canvas as well as in the page.
const UNSAFE = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;

// The longest text that the page takes from outside, in characters. The wire's limit for a label is far below it; at half, long
// causes in events would be cut; at double, one hostile event could fill the page.
const LONGEST = 600;

/** Any value as text without control and bidi characters, each shown as U+FFFD. */
export function clean(value) {
    if (value === null || value === undefined) return '';
    const text = typeof value === 'string' ? value : typeof value === 'object' ? JSON.stringify(value) : String(value);
    return (text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text).replace(UNSAFE, '\ufffd');
}

/** A label for the map: short enough to be drawn, since one that is too long hides the nodes beside it. */
export function shortLabel(label, limit = 24) {
    const text = clean(label);
    const letters = [...text];
    return letters.length > limit ? `${letters.slice(0, limit - 1).join('')}…` : text;
}

/** A round-trip time with three significant digits and the unit that suits it. */
export function rtt(us) {
    if (us === null || us === undefined) return '–';
    if (us < 1000) return `${Math.round(us)} µs`;
    const ms = us / 1000;
    if (ms < 10) return `${ms.toFixed(2)} ms`;
    if (ms < 100) return `${ms.toFixed(1)} ms`;
    if (ms < 10000) return `${Math.round(ms)} ms`;
    return `${(ms / 1000).toFixed(1)} s`;
}

/** A round RTT, which needs no digits behind the point. */
export function roundRtt(us) {
    return rtt(us).replace(/\.0+ /, ' ');
}

/** A loss that is given in 1/1000, as a percentage. */
export function loss(permille) {
    if (!permille) return '0 %';
    return `${(permille / 10).toFixed(permille < 100 ? 1 : 0)} %`;
}

/** A span of time in its two largest units. */
export function span(ms) {
    const seconds = Math.max(0, Math.round(ms / 1000));
    if (seconds < 1) return 'less than a second';
    if (seconds < 60) return `${seconds} s`;
    const minutes = Math.floor(seconds / 60);
    if (minutes < 60) return seconds % 60 ? `${minutes} min ${seconds % 60} s` : `${minutes} min`;
    const hours = Math.floor(minutes / 60);
    if (hours < 48) return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
    return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

const two = (number) => String(number).padStart(2, '0');

/** The time of day, in the reader's zone. Without an origin (a simulation), the time since the start. */
export function clock(at, origin, withMillis = false) {
    if (origin === null) {
        const seconds = Math.floor(at / 1000);
        const rest = withMillis ? `.${String(Math.floor(at % 1000)).padStart(3, '0')}` : '';
        const hours = Math.floor(seconds / 3600);
        return `${hours ? `${hours}:` : ''}${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}${rest}`;
    }
    const date = new Date(origin + at);
    const millis = withMillis ? `.${String(date.getMilliseconds()).padStart(3, '0')}` : '';
    return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}${millis}`;
}

/** The date and the time of day, or the time since the start. */
export function moment(at, origin) {
    if (origin === null) return `${clock(at, origin, true)} after the start`;
    const date = new Date(origin + at);
    return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${clock(at, origin)}`;
}

/** `1 node`, `2 nodes`. */
export function count(number, one, many = `${one}s`) {
    return `${number.toLocaleString('en')} ${number === 1 ? one : many}`;
}

/** A list in words, cut after `limit` items. */
export function listed(items, limit = 6) {
    if (items.length <= 1) return items.join('');
    if (items.length > limit) return `${items.slice(0, limit).join(', ')} and ${(items.length - limit).toLocaleString('en')} more`;
    return `${items.slice(0, -1).join(', ')} and ${items[items.length - 1]}`;
}
