// Elements made in code. Text is always a text node, so nothing that came from outside can become markup.

const SVG = 'http://www.w3.org/2000/svg';

/** `el('a.quiet', {href: '#/'}, 'text', child, …)`. A property that begins with `on` is a listener; null children are left out. */
export function el(tag, properties = {}, ...children) {
    const [name, ...classes] = tag.split('.');
    const element = document.createElement(name);
    if (classes.length > 0) element.className = classes.join(' ');
    return filled(element, properties, children);
}

/** As `el`, for SVG. */
export function svg(tag, properties = {}, ...children) {
    const [name, ...classes] = tag.split('.');
    const element = document.createElementNS(SVG, name);
    if (classes.length > 0) element.setAttribute('class', classes.join(' '));
    return filled(element, properties, children);
}

function filled(element, properties, children) {
    for (const [name, value] of Object.entries(properties)) {
        if (value === null || value === undefined || value === false) continue;
        if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
        else element.setAttribute(name, value === true ? '' : value);
    }
    element.append(...children.flat(2).filter((child) => child !== null && child !== undefined && child !== ''));
    return element;
}

export const byId = (id) => document.getElementById(id);

/** Replaces what is in `parent`. The focus stays on the control with the same `data-key`, and open details stay open. */
export function refill(parent, ...children) {
    const active = parent.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
    const open = new Set([...parent.querySelectorAll('details[open][data-key]')].map((details) => details.dataset.key));
    const top = parent.scrollTop;
    parent.replaceChildren(...children.flat(2).filter((child) => child !== null && child !== undefined));
    for (const details of parent.querySelectorAll('details[data-key]')) if (open.has(details.dataset.key)) details.open = true;
    if (active !== undefined) [...parent.querySelectorAll('[data-key]')].find((child) => child.dataset.key === active)?.focus({ preventScroll: true });
    parent.scrollTop = top;
}

/** The path of a node's page, and of a link's. */
export const nodePath = (id) => `#/node/${encodeURIComponent(id)}`;
export const linkPath = (a, b) => `#/link/${encodeURIComponent(a)}/${encodeURIComponent(b)}`;
