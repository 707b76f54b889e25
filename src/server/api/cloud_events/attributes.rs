//! The attributes of a CloudEvent, and what becomes of them in an event.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, MapAccess},
};
use uuid::Uuid;

use crate::{NewEvent, Timestamp};

/// The namespace of event ids that are made of `source` and `id` (UUIDv5, RFC 9562).
const IDS: Uuid = Uuid::from_u128(0x31f0_92c6_7be4_5d09_8a5e_616e_6e61_6c73);
/// The longest name of an attribute.
const MOST_NAME_BYTES: usize = 64;

/// The one version of the specification.
pub(super) const SPECVERSION: &str = "1.0";
/// The stream, where it is not that of the path.
pub(super) const STREAM: &str = "annalsstream";
/// The tags, as a JSON array in a text.
pub(super) const TAGS: &str = "annalstags";
/// Where an event is recorded: these are told, and not heard.
pub(super) const TOLD: [&str; 4] = [
    "annalstopic",
    "annalsposition",
    "annalsversion",
    "annalsrecordedat",
];

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(super) enum Attribute {
    Text(String),
    Number(i64),
    Flag(bool),
}

/// Attributes in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Attributes(pub(super) Vec<(String, Attribute)>);

/// How the data of a structured CloudEvent was written, where that does not follow from its media type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Form {
    /// As `data_base64`.
    Base64,
    /// As a JSON text, which is the payload without its quotes.
    Text,
    /// As JSON, though the media type is another one.
    Json,
}

/// What of a CloudEvent is in an event's metadata.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Stored {
    pub(super) cloudevents: Attributes,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) form: Option<Form>,
}

impl Attributes {
    /// Adds an attribute, or says which rule it breaks.
    pub(super) fn add(&mut self, name: String, value: Attribute) -> Result<(), String> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        if name.is_empty() || name.len() > MOST_NAME_BYTES || !name.bytes().all(allowed) {
            return Err(format!(
                "{name:?} is no name of an attribute: that is up to {MOST_NAME_BYTES} lower-case letters and digits"
            ));
        }
        if self.get(&name).is_some() {
            return Err(format!("the attribute `{name}` is given twice"));
        }
        self.0.push((name, value));
        Ok(())
    }

    pub(super) fn get(&self, name: &str) -> Option<&Attribute> {
        let found = self.0.iter().find(|(own, _)| own == name);
        found.map(|(_, value)| value)
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        match self.get(name)? {
            Attribute::Text(text) => Some(text),
            _ => None,
        }
    }

    fn take(&mut self, name: &str) -> Option<Attribute> {
        let at = self.0.iter().position(|(own, _)| own == name)?;
        Some(self.0.remove(at).1)
    }

    /// A text that is not empty.
    fn take_text(&mut self, name: &str) -> Result<String, String> {
        match self.take(name) {
            Some(Attribute::Text(text)) if !text.is_empty() => Ok(text),
            Some(_) => Err(format!(
                "the attribute `{name}` is a text that is not empty"
            )),
            None => Err(format!("the attribute `{name}` is missing")),
        }
    }

    fn take_optional_text(&mut self, name: &str) -> Result<Option<String>, String> {
        match self.take(name) {
            Some(Attribute::Text(text)) => Ok(Some(text)),
            Some(_) => Err(format!("the attribute `{name}` is a text")),
            None => Ok(None),
        }
    }

    /// The event, and the stream that it names.
    pub(super) fn into_event(
        mut self,
        (content_type, payload): (&str, bytes::Bytes),
        form: Option<Form>,
    ) -> Result<(NewEvent, Option<String>), String> {
        let version = self.take_text("specversion")?;
        if version != SPECVERSION {
            return Err(format!(
                "the attribute `specversion` is {SPECVERSION:?}, and not {version:?}"
            ));
        }
        let event_type = self.take_text("type")?;
        let stream = self.take_optional_text(STREAM)?;
        let tags = tags(self.take_optional_text(TAGS)?)?;
        for told in TOLD {
            self.take(told);
        }
        let id = self.event_id()?;
        self.check()?;
        let stored = Stored {
            cloudevents: self,
            form,
        };
        let metadata = serde_json::to_vec(&stored).map_err(|error| error.to_string())?;
        let mut event = if content_type == "application/json" {
            NewEvent::json_text(event_type, payload)
        } else {
            NewEvent::binary(event_type, content_type, payload)
        };
        event = event.id(id).tags(tags).metadata_bytes(metadata);
        if let Some(stream) = &stream {
            event = event.stream(stream);
        }
        Ok((event, stream))
    }

    /// The id of the event. An `id` that is one is kept nowhere else.
    fn event_id(&mut self) -> Result<Uuid, String> {
        let source = match self.text("source") {
            Some(source) if !source.is_empty() => source.to_owned(),
            _ => return Err("the attribute `source` is missing, empty, or no text".to_owned()),
        };
        let id = self.take_text("id")?;
        // One that is shown as it was given, and is not the same for all who do not care.
        let own = Uuid::parse_str(&id).ok();
        let own = own.filter(|own| !own.is_nil() && !own.is_max() && own.to_string() == id);
        if let Some(own) = own {
            return Ok(own);
        }
        let name = [source.as_bytes(), &[0], id.as_bytes()].concat();
        self.0.insert(0, ("id".to_owned(), Attribute::Text(id)));
        Ok(Uuid::new_v5(&IDS, &name))
    }

    fn check(&self) -> Result<(), String> {
        for name in ["subject", "datacontenttype", "dataschema", "time"] {
            let text = self.get(name).is_none() || self.text(name).is_some_and(|t| !t.is_empty());
            if !text {
                return Err(format!(
                    "the attribute `{name}` is a text that is not empty"
                ));
            }
        }
        match self.text("time") {
            Some(time) if time.parse::<Timestamp>().is_err() => Err(format!(
                "the attribute `time` is RFC 3339, and not {time:?}"
            )),
            _ => Ok(()),
        }
    }
}

fn tags(text: Option<String>) -> Result<Vec<String>, String> {
    let Some(text) = text else {
        return Ok(Vec::new());
    };
    serde_json::from_str(&text)
        .map_err(|_| format!("the attribute `{TAGS}` is a JSON array of texts, and not {text:?}"))
}

impl Serialize for Attributes {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

impl<'de> Deserialize<'de> for Attributes {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Attributes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the attributes of a CloudEvent")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Attributes, A::Error> {
                let mut attributes = Attributes::default();
                while let Some((name, value)) = map.next_entry()? {
                    attributes.add(name, value).map_err(de::Error::custom)?;
                }
                Ok(attributes)
            }
        }
        from.deserialize_map(Visitor)
    }
}

impl<'de> Deserialize<'de> for Attribute {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Attribute;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, a whole number of 32 bits, true or false")
            }

            fn visit_str<E>(self, text: &str) -> Result<Attribute, E> {
                Ok(Attribute::Text(text.to_owned()))
            }

            fn visit_bool<E>(self, flag: bool) -> Result<Attribute, E> {
                Ok(Attribute::Flag(flag))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Attribute, E> {
                match i32::try_from(number) {
                    Ok(_) => Ok(Attribute::Number(number)),
                    Err(_) => Err(E::invalid_value(de::Unexpected::Signed(number), &self)),
                }
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Attribute, E> {
                match i32::try_from(number) {
                    Ok(number) => Ok(Attribute::Number(number.into())),
                    Err(_) => Err(E::invalid_value(de::Unexpected::Unsigned(number), &self)),
                }
            }
        }
        from.deserialize_any(Visitor)
    }
}
