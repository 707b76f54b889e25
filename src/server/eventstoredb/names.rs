//! What streams and event types are called here, and what they are called in the store.
//!
//! The store keeps event types that begin with `$` for itself, and EventStoreDB's clients write some
//! (`$metadata`, `$>`), so a `$` at the beginning is recorded as `%24`, and a `%` there as `%25`. A
//! topic's default stream has no name in the store; here it is called `$default`.

use std::borrow::Cow;

use crate::TopicName;

/// The stream of all events.
pub(super) const ALL: &str = "$all";
/// What the stream without a name is called.
const DEFAULT: &str = "$default";
/// What the name of a metadata stream begins with.
const METADATA: &str = "$$";
/// The type of the events of metadata streams.
pub(super) const METADATA_TYPE: &str = "$metadata";

/// An event type as it is recorded.
pub(super) fn recorded_type(shown: &str) -> String {
    match shown.chars().next() {
        Some('$') => format!("%24{}", shown.get(1..).unwrap_or_default()),
        Some('%') => format!("%25{}", shown.get(1..).unwrap_or_default()),
        _ => shown.to_owned(),
    }
}

/// An event type as it is shown.
pub(super) fn shown_type(recorded: &str) -> Cow<'_, str> {
    if let Some(rest) = recorded.strip_prefix("%24") {
        return format!("${rest}").into();
    }
    match recorded.strip_prefix("%25") {
        Some(rest) => format!("%{rest}").into(),
        None => recorded.into(),
    }
}

/// A stream's name as it is recorded.
pub(super) fn recorded_stream(shown: &str) -> &str {
    if shown == DEFAULT { "" } else { shown }
}

/// A stream's name as it is shown.
pub(super) fn shown_stream(recorded: &str) -> &str {
    if recorded.is_empty() {
        DEFAULT
    } else {
        recorded
    }
}

/// The stream of a stream's metadata.
pub(super) fn metadata_stream(stream: &str) -> String {
    format!("{METADATA}{stream}")
}

/// The stream whose metadata a stream has.
pub(super) fn described_stream(stream: &str) -> Option<&str> {
    stream.strip_prefix(METADATA)
}

/// The category of a stream, where it can be the name of a topic: what is before the first `-`. A
/// metadata stream has the category of the stream that it speaks of.
pub(super) fn category(stream: &str) -> Option<&str> {
    let stream = described_stream(stream).unwrap_or(stream);
    let (category, _) = stream.split_once('-')?;
    TopicName::new(category).is_ok().then_some(category)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_shown_as_it_was_sent() {
        for shown in [
            "a",
            "$",
            "$>",
            "$metadata",
            "%",
            "%24",
            "%25x",
            "%é",
            "é$",
            "$$a",
        ] {
            let recorded = recorded_type(shown);
            assert!(!recorded.starts_with('$'), "{recorded}");
            assert_eq!(shown_type(&recorded), shown);
        }
    }

    #[test]
    fn a_category_is_what_can_name_a_topic_before_the_first_dash() {
        let cases = [
            ("order-42", Some("order")),
            ("order-42-7", Some("order")),
            ("$$order-42", Some("order")),
            ("order", None),
            ("-42", None),
            ("$ce-order", None),
            ("or der-1", None),
        ];
        for (stream, expected) in cases {
            assert_eq!(category(stream), expected, "{stream}");
        }
    }
}
