//! The files of the page, which the binary contains.

/// A file of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asset {
    /// Its media type.
    pub content_type: &'static str,
    /// Its content.
    pub bytes: &'static [u8],
}

macro_rules! assets {
    ($($name:literal,)*) => {
        const ASSETS: &[(&str, &[u8])] = &[$(($name, include_bytes!(concat!("page/", $name))),)*];
    };
}

assets! {
    "dom.js",
    "events.js",
    "export.js",
    "furniture.js",
    "graph.js",
    "icon.svg",
    "index.html",
    "layout.js",
    "main.js",
    "map.js",
    "matrix.js",
    "paint.js",
    "panels.js",
    "scale.js",
    "scene.js",
    "source.js",
    "story.js",
    "stream.js",
    "style.css",
    "tables.js",
    "text.js",
    "theme.js",
    "timebar.js",
    "timeline.js",
}

/// The file of that name.
#[must_use]
pub fn asset(name: &str) -> Option<Asset> {
    let (name, bytes) = ASSETS.iter().find(|(it, _)| *it == name)?;
    let content_type = match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    };
    Some(Asset {
        content_type,
        bytes,
    })
}
