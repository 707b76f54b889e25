//! How long work gets on, on standard error, where that is a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::common::Common;

const TICK: Duration = Duration::from_millis(200);

/// A bar that runs to `length` events.
pub(crate) fn events(common: &Common, what: &str, length: u64) -> ProgressBar {
    let template = "{msg} [{bar:30}] {human_pos}/{human_len} events ({per_sec}, {eta} left)";
    styled(common, ProgressBar::new(length), what, template)
}

/// The same for bytes, the number of which may not be known.
pub(crate) fn bytes(common: &Common, what: &str, length: Option<u64>) -> ProgressBar {
    match length {
        Some(length) => {
            let template = "{msg} [{bar:30}] {bytes}/{total_bytes} ({bytes_per_sec}, {eta} left)";
            styled(common, ProgressBar::new(length), what, template)
        }
        None => {
            let template = "{spinner} {msg} {bytes} ({bytes_per_sec})";
            styled(common, ProgressBar::no_length(), what, template)
        }
    }
}

/// Something that takes its time.
pub(crate) fn spinner(common: &Common, what: &str) -> ProgressBar {
    let template = "{spinner} {msg} ({elapsed})";
    styled(common, ProgressBar::no_length(), what, template)
}

fn styled(common: &Common, bar: ProgressBar, what: &str, template: &str) -> ProgressBar {
    if common.json {
        return ProgressBar::hidden();
    }
    // A template that indicatif does not take would be a fault of this file; its own bar does too.
    let style = ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ");
    let bar = bar.with_style(style).with_message(what.to_owned());
    if !bar.is_hidden() {
        bar.enable_steady_tick(TICK);
    }
    bar
}
