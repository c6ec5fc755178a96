// The menu: export of what is shown, and opening a recording, also one that is dropped on the page.

import { byId } from './dom.js';
import { jsonOf, pngOf, save, svgOf } from './export.js';

export function connectMenu(page) {
    const [menu, button, file] = [byId('menu'), byId('menu-button'), byId('file')];
    const toggle = (open) => {
        menu.hidden = !open;
        button.setAttribute('aria-expanded', String(open));
        if (open) menu.querySelector('button').focus();
    };
    button.addEventListener('click', () => toggle(menu.hidden));
    menu.addEventListener('keydown', (event) => {
        if (event.key !== 'Escape') return;
        toggle(false);
        button.focus();
    });
    document.addEventListener('pointerdown', (event) => event.target.closest('.menu') || toggle(false));
    menu.addEventListener('click', async (event) => {
        const kind = event.target.dataset.export;
        toggle(false);
        button.focus();
        if (event.target.id === 'open-file') file.click();
        if (!kind || page.network === null) return;
        const blob = await { svg: svgOf, png: pngOf, json: (_, shown) => jsonOf(shown) }[kind](page.map, page);
        save(blob, `area-net-${Math.round(page.now)}.${kind}`);
    });
    file.addEventListener('change', async () => {
        const chosen = file.files[0];
        file.value = '';
        if (chosen) await page.openFile(chosen);
    });
    addEventListener('dragover', (event) => event.preventDefault());
    addEventListener('drop', (event) => {
        event.preventDefault();
        if (event.dataTransfer.files[0]) page.openFile(event.dataTransfer.files[0]);
    });
}
