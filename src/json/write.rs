//! Events to JSON.

use std::{fmt, io::Write as _};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};

use crate::{RecordedEvent, Timestamp};

/// About how many bytes an event's object has beside its payload and metadata.
const OVERHEAD: usize = 320;

/// Appends the event's object to `out`. There is no line break in it, and none after it.
pub fn write_event(out: &mut Vec<u8>, event: &RecordedEvent) {
    out.reserve(OVERHEAD + event.payload.len() + event.metadata.len());
    out.extend_from_slice(b"{\"topic\":");
    text(out, event.topic.as_str());
    out.extend_from_slice(b",\"position\":");
    number(out, event.position.get());
    out.extend_from_slice(b",\"stream\":");
    text(out, event.stream.as_str());
    out.extend_from_slice(b",\"version\":");
    number(out, event.version.get());
    out.extend_from_slice(b",\"id\":\"");
    let mut id = [0; uuid::fmt::Hyphenated::LENGTH];
    out.extend_from_slice(event.id.hyphenated().encode_lower(&mut id).as_bytes());
    out.extend_from_slice(b"\",\"type\":");
    text(out, event.event_type.as_str());
    out.extend_from_slice(b",\"recordedAt\":");
    moment(out, event.recorded_at);
    out.extend_from_slice(b",\"tags\":[");
    for (nth, tag) in event.tags.iter().enumerate() {
        if nth > 0 {
            out.push(b',');
        }
        text(out, tag);
    }
    out.extend_from_slice(b"],\"contentType\":");
    text(out, event.content_type.as_str());
    bytes(out, "data", &event.payload, event.content_type.is_json());
    bytes(out, "metadata", &event.metadata, true);
    out.push(b'}');
}

/// The event's object as a line, the break at its end included.
#[must_use]
pub fn event_line(event: &RecordedEvent) -> Vec<u8> {
    let mut line = Vec::new();
    write_event(&mut line, event);
    line.push(b'\n');
    line
}

fn text(out: &mut Vec<u8>, text: &str) {
    let plain = |byte: u8| byte >= 0x20 && byte != b'"' && byte != b'\\';
    if text.bytes().all(plain) {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        // Writing text to memory as JSON has no way to fail.
        serde_json::to_writer(out, text).unwrap_or(());
    }
}

fn number(out: &mut Vec<u8>, number: u64) {
    // Writing to memory has no way to fail.
    write!(out, "{number}").unwrap_or(());
}

/// A moment as [`Timestamp`]'s own `Display` shows it, which takes several times as long.
fn moment(out: &mut Vec<u8>, moment: Timestamp) {
    const DAY: i64 = 24 * 60 * 60;
    let micros = moment.as_micros();
    let (seconds, micros) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
    let (days, second) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY));
    let (year, month, day) = date(days);
    if !(0..=9999).contains(&year) {
        // Writing to memory has no way to fail; a timestamp has no character that JSON escapes.
        return write!(out, "\"{moment}\"").unwrap_or(());
    }
    let mut text = *b"\"0000-00-00T00:00:00.000000Z\"";
    for (at, width, number) in [
        (1, 4, year),
        (6, 2, month),
        (9, 2, day),
        (12, 2, second / 3600),
        (15, 2, second / 60 % 60),
        (18, 2, second % 60),
        (21, 6, micros),
    ] {
        let mut rest = number;
        let digits = text.get_mut(at..at + width).unwrap_or_default();
        for digit in digits.iter_mut().rev() {
            // The remainder of a number that is not negative is a digit.
            *digit = b'0' + u8::try_from(rest % 10).unwrap_or(0);
            rest /= 10;
        }
    }
    out.extend_from_slice(&text);
}

/// The date that is so many days after 1970-01-01, in the Gregorian calendar: years are counted from
/// March, so that the day that comes and goes is their last, and eras of 400 years are all alike.
const fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let year = year + era * 400;
    if month < 10 {
        (year, month + 3, day)
    } else {
        (year + 1, month - 9, day)
    }
}

/// `,"name":…` where the bytes are JSON, `,"nameBase64":"…"` where they are not, nothing where there
/// are none.
fn bytes(out: &mut Vec<u8>, name: &str, bytes: &[u8], json: bool) {
    if bytes.is_empty() {
        return;
    }
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    if json && is_one_line(bytes) {
        out.extend_from_slice(b"\":");
        out.extend_from_slice(bytes);
    } else {
        out.extend_from_slice(b"Base64\":\"");
        out.extend_from_slice(STANDARD.encode(bytes).as_bytes());
        out.push(b'"');
    }
}

/// Whether the bytes are one JSON text without line breaks, and without white space around it, which
/// a reader of the line would take for its own.
#[must_use]
pub fn is_one_line(bytes: &[u8]) -> bool {
    let white = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_whitespace);
    !white(bytes.first())
        && !white(bytes.last())
        && !bytes.iter().any(|byte| matches!(byte, b'\n' | b'\r'))
        && serde_json::from_slice::<Readable>(bytes).is_ok()
}

/// A text that every reader can make values of: what only skips one takes half a surrogate pair, numbers
/// beyond all and any depth, and one such payload would make a whole page unreadable for others.
struct Readable;

impl<'de> Deserialize<'de> for Readable {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for Readable {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self, A::Error> {
        while elements.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self, A::Error> {
        while members.next_entry::<Self, Self>()?.is_some() {}
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn is_shown_alike(micros: i64) {
        let own = Timestamp::from_micros(micros);
        let mut text = Vec::new();
        moment(&mut text, own);
        assert_eq!(String::from_utf8(text).unwrap(), format!("\"{own}\""));
    }

    #[test]
    fn a_moment_is_shown_as_everywhere_else() {
        let year = 31_556_952_000_000_i64;
        for micros in [0, -1, 1, 951_782_400_000_000, -62_167_219_200_000_000] {
            is_shown_alike(micros);
        }
        for micros in [
            i64::MIN,
            i64::MAX,
            253_402_207_200_000_000,
            -377_705_116_800_000_000,
        ] {
            is_shown_alike(micros);
        }
        for nth in -3_000..8_100 {
            is_shown_alike(nth * year);
        }
    }

    proptest! {
        #[test]
        fn any_moment_is_shown_as_everywhere_else(micros: i64, near in 0..4_102_444_800_000_000_i64) {
            is_shown_alike(micros);
            is_shown_alike(near);
        }
    }
}
