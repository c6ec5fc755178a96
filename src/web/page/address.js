// The page's address and what outlives a reload.

/** The views, as the address calls them. */
export const VIEWS = ['map', 'nodes', 'links', 'matrix', 'events', 'findings'];

// `#/node/ID`, `#/link/A/B`, `#/matrix`, `#/events?about=ID`, `#token=…`, which may follow any of them after `&`.
export function readRoute(hash) {
    const token = /[#&]token=([^&]*)/.exec(hash);
    if (token) return { token: decode(token[1]), rest: hash.replace(/[#&]token=[^&]*/, '') };
    const [path, query] = hash.replace(/^#\/?/, '').split('?');
    const parts = path.split('/').map(decode);
    if (parts[0] === 'node' && parts[1]) return { view: null, node: parts[1] };
    if (parts[0] === 'link' && parts[1] && parts[2]) return { view: null, link: [parts[1], parts[2]] };
    return { view: VIEWS.includes(parts[0]) ? parts[0] : 'map', about: new URLSearchParams(query ?? '').get('about') ?? undefined };
}

function decode(text) {
    try {
        return decodeURIComponent(text);
    } catch {
        return text;
    }
}

// What outlives a reload. Storage may be forbidden, and then it doesn't.
export function stored(storage, key, value) {
    try {
        if (value !== undefined) window[storage].setItem(key, value);
        return window[storage].getItem(key);
    } catch {
        return null;
    }
}

export function keepToken(token) {
    stored('sessionStorage', 'token', token);
}
