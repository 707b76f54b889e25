//! A filter as JSON: an object of criteria that are met together, or an array of such objects, of
//! which one has to be met.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, SeqAccess, value::MapAccessDeserializer},
};

use crate::{EventFilter, Timestamp};

/// A filter, as JSON.
#[derive(Debug)]
pub(in crate::server) struct FilterDocument(pub(in crate::server) EventFilter);

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Item {
    #[serde(default)]
    types: Vec<String>,
    #[serde(default)]
    streams: Vec<String>,
    stream_prefix: Option<String>,
    #[serde(default)]
    tags: Vec<String>,
    since: Option<Moment>,
    until: Option<Moment>,
}

struct Moment(Timestamp);

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let wrong = || de::Error::custom(format!("{text:?} is not a moment (RFC 3339)"));
        text.parse().map(Self).map_err(|_| wrong())
    }
}

impl From<Item> for EventFilter {
    fn from(item: Item) -> Self {
        let mut filter = Self::all()
            .types(item.types)
            .streams(item.streams)
            .tags(item.tags);
        if let Some(prefix) = item.stream_prefix {
            filter = filter.stream_prefix(prefix);
        }
        if let Some(Moment(since)) = item.since {
            filter = filter.recorded_since(since);
        }
        if let Some(Moment(until)) = item.until {
            filter = filter.recorded_until(until);
        }
        filter
    }
}

impl<'de> Deserialize<'de> for FilterDocument {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Visitor)
    }
}

struct Visitor;

impl<'de> de::Visitor<'de> for Visitor {
    type Value = FilterDocument;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of criteria, or an array of such objects")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<FilterDocument, A::Error> {
        let item = Item::deserialize(MapAccessDeserializer::new(map))?;
        Ok(FilterDocument(item.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<FilterDocument, A::Error> {
        let mut filter: Option<EventFilter> = None;
        while let Some(item) = items.next_element::<Item>()? {
            let item = item.into();
            filter = Some(match filter {
                Some(filter) => filter.or(item),
                None => item,
            });
        }
        match filter {
            Some(filter) => Ok(FilterDocument(filter)),
            None => Err(de::Error::custom(
                "an empty array of criteria; give one that is empty to mean every event",
            )),
        }
    }
}
