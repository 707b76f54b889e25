//! Which form an answer is asked for in.

use axum::http::{HeaderMap, StatusCode, header};

use crate::server::problem::Problem;

/// A form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    Lines,
    CloudEvent,
    CloudEvents,
}

impl Format {
    pub(super) const fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Lines => "application/x-ndjson",
            Self::CloudEvent => "application/cloudevents+json",
            Self::CloudEvents => "application/cloudevents-batch+json",
        }
    }

    /// How well a media range of `Accept` means this format; 0 where it does not.
    fn fits(self, range: &str) -> u8 {
        if range.eq_ignore_ascii_case(self.media_type()) {
            3
        } else if range.eq_ignore_ascii_case("application/*") {
            2
        } else {
            u8::from(range == "*/*")
        }
    }
}

/// The header `Accept`: media ranges with their weights, in thousandths.
#[derive(Debug)]
pub(super) struct Accept(Vec<(String, u16)>);

impl Accept {
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let mut ranges = Vec::new();
        for value in headers.get_all(header::ACCEPT) {
            let text = value.to_str();
            let text =
                text.map_err(|_| Problem::bad_request("the header `accept` is not ASCII"))?;
            ranges.extend(text.split(',').filter_map(range));
        }
        Ok(Self(ranges))
    }

    /// The one of these formats that is liked most; the first of them where that is the same to the
    /// client.
    pub(super) fn one_of(&self, formats: &[Format]) -> Result<Format, Problem> {
        let mut best: Option<(u16, Format)> = None;
        for format in formats {
            let weight = self.weight(*format);
            if weight > best.map_or(0, |(best, _)| best) {
                best = Some((weight, *format));
            }
        }
        best.map(|(_, format)| format).ok_or_else(|| {
            let offered: Vec<_> = formats.iter().map(|format| format.media_type()).collect();
            Problem::new(
                StatusCode::NOT_ACCEPTABLE,
                "not-acceptable",
                format!("this is to be had as `{}`", offered.join("`, `")),
            )
        })
    }

    fn weight(&self, format: Format) -> u16 {
        if self.0.is_empty() {
            return 1000;
        }
        let fitting = self
            .0
            .iter()
            .map(|(range, weight)| (format.fits(range), *weight));
        fitting
            .filter(|(fit, _)| *fit > 0)
            .max_by_key(|(fit, _)| *fit)
            .map_or(0, |(_, weight)| weight)
    }
}

fn range(text: &str) -> Option<(String, u16)> {
    let mut parts = text.split(';').map(str::trim);
    let range = parts.next().filter(|range| !range.is_empty())?;
    let weight = parts.find_map(|part| part.strip_prefix("q=")?.parse::<f32>().ok());
    let weight = weight.unwrap_or(1.0).clamp(0.0, 1.0) * 1000.0;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is between 0 and 1000"
    )]
    Some((range.to_owned(), weight as u16))
}
