//! The files of the page, in the program.

use std::sync::LazyLock;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};

/// One file.
pub(super) struct Asset {
    name: &'static str,
    pub(super) content_type: &'static str,
    pub(super) bytes: &'static [u8],
    /// Its `ETag`, with the quotes.
    pub(super) tag: String,
}

/// The file of this name.
pub(super) fn find(name: &str) -> Option<&'static Asset> {
    ASSETS.iter().find(|asset| asset.name == name)
}

static ASSETS: LazyLock<Vec<Asset>> = LazyLock::new(|| FILES.iter().map(Asset::new).collect());

impl Asset {
    fn new(&(name, bytes): &(&'static str, &'static [u8])) -> Self {
        let digest = Sha256::digest(bytes);
        Self {
            name,
            content_type: content_type(name),
            bytes,
            tag: format!("\"{}\"", URL_SAFE_NO_PAD.encode(digest)),
        }
    }
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_bytes!(concat!("assets/", $name)))),*]
    };
}

const FILES: &[(&str, &[u8])] = files![
    "index.html",
    "icon.svg",
    "css/base.css",
    "css/parts.css",
    "css/views.css",
    "js/api.js",
    "js/body-view.js",
    "js/dialog.js",
    "js/dom.js",
    "js/event-list.js",
    "js/event-pages.js",
    "js/event.js",
    "js/exact-json.js",
    "js/format.js",
    "js/health.js",
    "js/json-tree.js",
    "js/main.js",
    "js/notice.js",
    "js/plot.js",
    "js/poll.js",
    "js/router.js",
    "js/samples.js",
    "js/session.js",
    "js/theme.js",
    "js/topic-forms.js",
    "js/topic-frame.js",
    "js/append-form.js",
    "js/read-events.js",
    "js/live-stream.js",
    "js/views/consumers.js",
    "js/views/event.js",
    "js/views/events.js",
    "js/views/health.js",
    "js/views/live.js",
    "js/views/placement.js",
    "js/views/sign-in.js",
    "js/views/stream.js",
    "js/views/streams.js",
    "js/views/throughput.js",
    "js/views/topics.js",
];
