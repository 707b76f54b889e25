//! Filters as the server is asked for them.

use bytestring::ByteString;
use serde_json::{Map, Value};

use super::codec::Moment;
use crate::models::{EventFilter, FilterItem, Timestamp};

/// What the server is asked for a condition.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Guard {
    /// No event can match.
    Nothing,
    /// Every event with this tag matches, and no other: what most conditions are.
    Tag(String),
    /// The items, as JSON.
    Items(String),
}

/// A text with a zero byte is in no event, and the server does not take it.
fn possible(text: &ByteString) -> bool {
    !text.contains('\0')
}

/// The item without what cannot be; none where nothing can match it.
pub(super) fn possible_item(item: &FilterItem) -> Option<FilterItem> {
    let mut item = item.clone();
    let left = |texts: &mut Vec<ByteString>| {
        let asked = !texts.is_empty();
        texts.retain(possible);
        !asked || !texts.is_empty()
    };
    let whole = left(&mut item.types)
        && left(&mut item.streams)
        && item.tags.iter().all(possible)
        && item.stream_prefix.as_ref().is_none_or(possible);
    whole.then_some(item)
}

impl Guard {
    pub(super) fn of(filter: &EventFilter) -> Self {
        let items: Vec<_> = filter.items().iter().filter_map(possible_item).collect();
        match &*items {
            [] => Self::Nothing,
            [item] if item.tags.len() == 1 && is_only_tags(item) => Self::Tag(
                item.tags
                    .first()
                    .map(ToString::to_string)
                    .unwrap_or_default(),
            ),
            items => {
                Self::Items(Value::from(items.iter().map(json).collect::<Vec<_>>()).to_string())
            }
        }
    }
}

fn is_only_tags(item: &FilterItem) -> bool {
    let rest = FilterItem {
        tags: Vec::new(),
        ..item.clone()
    };
    rest == FilterItem::default()
}

fn json(item: &FilterItem) -> Value {
    let mut criteria = Map::new();
    let mut texts = |name: &str, texts: &[ByteString]| {
        if !texts.is_empty() {
            let texts: Vec<_> = texts.iter().map(|text| Value::from(&**text)).collect();
            criteria.insert(name.to_owned(), Value::from(texts));
        }
    };
    texts("types", &item.types);
    texts("streams", &item.streams);
    texts("tags", &item.tags);
    if let Some(prefix) = &item.stream_prefix {
        criteria.insert("prefix".to_owned(), Value::from(&**prefix));
    }
    let mut moment = |name: &str, moment: Option<Timestamp>| {
        if let Some(moment) = moment {
            criteria.insert(name.to_owned(), Value::from(timestamp(moment)));
        }
    };
    moment("since", item.since);
    moment("until", item.until);
    Value::from(criteria)
}

/// A moment as the server reads it.
fn timestamp(moment: Timestamp) -> String {
    match (
        Moment::of(moment),
        jiff::Timestamp::from_microsecond(moment.as_micros()),
    ) {
        (Some(_), Ok(shown)) if moment.as_micros() > -62_135_596_800_000_000 => {
            format!("{shown:.6}")
        }
        _ if moment.as_micros() < 0 => "-infinity".to_owned(),
        _ => "infinity".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_match_is_not_asked_for() {
        assert_eq!(
            Guard::of(&EventFilter::all().types(["a\0"])),
            Guard::Nothing
        );
        assert_eq!(
            Guard::of(&EventFilter::all().tags(["a", "\0"])),
            Guard::Nothing
        );
        assert_eq!(
            Guard::of(&EventFilter::all().tags(["a"])),
            Guard::Tag("a".to_owned())
        );
        assert_eq!(
            Guard::of(&EventFilter::all().types(["a\0", "'b\""])),
            Guard::Items(r#"[{"types":["'b\""]}]"#.to_owned())
        );
        assert_eq!(
            Guard::of(&EventFilter::all()),
            Guard::Items("[{}]".to_owned())
        );
    }

    #[test]
    fn moments_beyond_the_calendar_are_infinite() {
        assert_eq!(timestamp(Timestamp::from_micros(i64::MIN)), "-infinity");
        assert_eq!(timestamp(Timestamp::from_micros(i64::MAX)), "infinity");
        assert_eq!(
            timestamp(Timestamp::from_micros(1)),
            "1970-01-01T00:00:00.000001Z"
        );
    }
}
