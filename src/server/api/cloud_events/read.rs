//! Structured CloudEvents, one or many.

use std::{borrow::Cow, fmt};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess},
};
use serde_json::value::RawValue;

use super::{
    super::{append_body::Wanted, body},
    attributes::{Attribute, Attributes, Form},
};
use crate::{Error, server::problem::Problem};

/// A CloudEvent in the JSON format.
struct Document<'a> {
    attributes: Attributes,
    data: Option<&'a RawValue>,
    base64: Option<String>,
}

/// `application/cloudevents+json`.
pub(in crate::server::api) fn of_one(text: &[u8]) -> Result<Wanted, Problem> {
    let mut wanted = Wanted::new();
    add(&mut wanted, body::parse(text)?)?;
    Ok(wanted)
}

/// `application/cloudevents-batch+json`.
pub(in crate::server::api) fn of_batch(text: &[u8]) -> Result<Wanted, Problem> {
    let mut wanted = Wanted::new();
    for document in body::parse::<Vec<Document<'_>>>(text)? {
        add(&mut wanted, document)?;
    }
    Ok(wanted)
}

fn add(wanted: &mut Wanted, document: Document<'_>) -> Result<(), Error> {
    let index = wanted.events.len();
    let invalid = |reason| Error::InvalidEvent { index, reason };
    let content_type = document.attributes.text("datacontenttype");
    let content_type = content_type.unwrap_or("application/json").to_owned();
    let (payload, form) = document.payload(&content_type).map_err(invalid)?;
    let event = document
        .attributes
        .into_event((&content_type, payload), form);
    let (event, stream) = event.map_err(invalid)?;
    wanted.push(event, stream.as_deref());
    Ok(())
}

/// Whether a payload of this media type is JSON.
pub(super) fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    let subtype = essence.split_once('/').map_or("", |(_, subtype)| subtype);
    subtype.eq_ignore_ascii_case("json") || subtype.to_ascii_lowercase().ends_with("+json")
}

impl Document<'_> {
    /// The payload, and how it was written where the media type does not tell.
    fn payload(&self, content_type: &str) -> Result<(Bytes, Option<Form>), String> {
        match (self.data, &self.base64) {
            (Some(_), Some(_)) => {
                Err("both `data` and `data_base64` are given; give one of them".to_owned())
            }
            (None, None) => Ok((Bytes::new(), None)),
            (None, Some(base64)) => match STANDARD.decode(base64) {
                Ok(payload) => Ok((payload.into(), Some(Form::Base64))),
                Err(error) => Err(format!("`data_base64` is not base64: {error}")),
            },
            (Some(data), None) if is_json(content_type) => Ok((copied(data), None)),
            (Some(data), None) => match serde_json::from_str::<Cow<'_, str>>(data.get()) {
                Ok(text) => Ok((text.into_owned().into(), Some(Form::Text))),
                Err(_) => Ok((copied(data), Some(Form::Json))),
            },
        }
    }
}

fn copied(data: &RawValue) -> Bytes {
    Bytes::copy_from_slice(data.get().as_bytes())
}

impl<'de> Deserialize<'de> for Document<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(Visitor)
    }
}

struct Visitor;

impl<'de> de::Visitor<'de> for Visitor {
    type Value = Document<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a CloudEvent")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Document<'de>, A::Error> {
        let mut document = Document {
            attributes: Attributes::default(),
            data: None,
            base64: None,
        };
        while let Some(name) = map.next_key::<String>()? {
            match name.as_str() {
                "data" if document.data.is_some() => return Err(twice("data")),
                "data_base64" if document.base64.is_some() => return Err(twice("data_base64")),
                "data" => document.data = Some(map.next_value()?),
                "data_base64" => document.base64 = Some(map.next_value()?),
                // An attribute that is null is not there.
                _ => {
                    if let Some(value) = map.next_value::<Option<Attribute>>()? {
                        let added = document.attributes.add(name, value);
                        added.map_err(de::Error::custom)?;
                    }
                }
            }
        }
        Ok(document)
    }
}

fn twice<E: de::Error>(name: &'static str) -> E {
    E::duplicate_field(name)
}
