//! What is written is read, and what does not fit is said.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::*;
use crate::cqrs::testing::recorded;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Event {
    Unit,
    Newtype(u32),
    Tuple(u32, String),
    Struct {
        a: Option<u32>,
        b: Vec<u8>,
    },
    #[serde(rename = "renamed.v2")]
    Renamed(Box<Inner>),
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Inner {
    c: f64,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Pair(u8, u8);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Only(Vec<String>);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Empty;

fn round<E: Serialize + DeserializeOwned + PartialEq + fmt::Debug>(
    event: E,
    event_type: &str,
    payload: Value,
) {
    let schema = Schema::<E>::new();
    let new = schema.encode(&event, &Metadata::new()).unwrap();
    let recorded = recorded(&new, 1).unwrap();
    assert_eq!(recorded.event_type.as_str(), event_type);
    assert_eq!(recorded.json::<Value>().unwrap(), payload);
    assert!(recorded.metadata.is_empty());
    assert_eq!(schema.decode(&recorded).unwrap(), Some(event));
    assert!(schema.event_types().contains(&event_type.to_owned()));
}

#[test]
fn every_form_is_read_as_it_was_written() {
    round(Event::Unit, "Unit", Value::Null);
    round(Event::Newtype(7), "Newtype", json!(7));
    round(Event::Tuple(7, "x".into()), "Tuple", json!([7, "x"]));
    let event = Event::Struct {
        a: None,
        b: vec![1],
    };
    round(event, "Struct", json!({ "a": null, "b": [1] }));
    round(
        Event::Renamed(Box::new(Inner { c: 0.5 })),
        "renamed.v2",
        json!({ "c": 0.5 }),
    );
    round(Inner { c: 1.0 }, "Inner", json!({ "c": 1.0 }));
    round(Pair(1, 2), "Pair", json!([1, 2]));
    round(Only(vec!["x".into()]), "Only", json!(["x"]));
    round(Empty, "Empty", Value::Null);
    assert_eq!(Schema::<Event>::new().event_types().len(), 5);
}

#[test]
fn what_has_no_name_is_no_event() {
    let encoded = Schema::<u32>::new().encode(&7, &Metadata::new());
    assert!(matches!(encoded, Err(Error::Serialization { .. })));
    assert!(matches!(
        Schema::<Vec<u32>>::new().check(),
        Err(Error::InvalidConfig { .. })
    ));

    #[derive(Deserialize)]
    #[serde(tag = "type")]
    enum Tagged {
        A,
    }
    let check = Schema::<Tagged>::new().check();
    assert!(matches!(check, Err(Error::InvalidConfig { .. })));
    assert!(matches!(
        serde_json::from_str(r#"{"type":"A"}"#).unwrap(),
        Tagged::A
    ));
}

fn of(event_type: &str, payload: &Value, version: u32) -> RecordedEvent {
    let new = NewEvent::json(event_type, payload).unwrap();
    let new = Metadata::new().describe(new, version).unwrap();
    recorded(&new, 1).unwrap()
}

#[test]
fn an_unknown_type_is_an_error_or_left_out_and_a_bad_payload_is_an_error() {
    let schema = Schema::<Event>::new();
    let unknown = schema.decode(&of("Other", &json!({}), 1));
    assert!(
        matches!(unknown, Err(Error::UnknownEventType { event_type, .. }) if event_type == "Other")
    );
    let skip = schema.clone().unknown(Unknown::Skip);
    assert_eq!(skip.decode(&of("Other", &json!({}), 1)).unwrap(), None);
    assert_eq!(
        schema
            .decode(&of("$stream-deleted", &json!({}), 1))
            .unwrap(),
        None
    );
    for schema in [&schema, &skip] {
        let bad = schema.decode(&of("Newtype", &json!("text"), 1));
        assert!(matches!(bad, Err(Error::Serialization { .. })), "{bad:?}");
        let mut trailing = of("Newtype", &json!(7), 1);
        trailing.payload = b"7 8".as_slice().into();
        assert!(schema.decode(&trailing).is_err());
    }
    // A struct is known by its name too.
    let other = Schema::<Inner>::new().decode(&of("Other", &json!({ "c": 1.0 }), 1));
    assert!(matches!(other, Err(Error::UnknownEventType { .. })));
}

#[test]
fn old_versions_are_brought_up_to_date_step_by_step() {
    let schema = Schema::<Event>::new()
        .upcast("Newtype", 2, |old| {
            Ok((old.as_u64().ok_or("no number")? + 1).into())
        })
        .upcast("Newtype", 1, |old| {
            Ok(old["n"].as_u64().ok_or("no n")?.into())
        })
        .rename("Number", 1, "Newtype", 2)
        .retire("Noise", 1);
    schema.check().unwrap();
    assert_eq!(schema.version("Newtype"), 3);
    let read = |event: &RecordedEvent| schema.decode(event).unwrap();
    let seven = Some(Event::Newtype(7));
    assert_eq!(read(&of("Newtype", &json!({ "n": 6 }), 1)), seven);
    assert_eq!(read(&of("Newtype", &json!(6), 2)), seven);
    assert_eq!(read(&of("Newtype", &json!(7), 3)), seven);
    assert_eq!(read(&of("Number", &json!(6), 1)), seven);
    assert_eq!(read(&of("Noise", &json!(6), 1)), None);
    // What is written now says its version, and is read without a step.
    let new = schema.encode(&Event::Newtype(7), &Metadata::new().correlation_id("c"));
    let now = recorded(&new.unwrap(), 1).unwrap();
    let said: Value = now.metadata_json().unwrap();
    assert_eq!(said, json!({ "$correlationId": "c", "$schemaVersion": 3 }));
    assert_eq!(read(&now), seven);
    // A step that fails, and a version from later.
    for bad in [of("Newtype", &json!({}), 1), of("Newtype", &json!(7), 4)] {
        let read = schema.decode(&bad);
        assert!(matches!(read, Err(Error::Serialization { .. })), "{read:?}");
    }
    let types = [
        "Newtype",
        "Noise",
        "Number",
        "Struct",
        "Tuple",
        "Unit",
        "renamed.v2",
    ];
    assert_eq!(schema.event_types(), types);
}

#[test]
fn steps_that_do_not_fit_together_are_refused() {
    let same = |old| Ok(old);
    let new = Schema::<Event>::new;
    let broken = [
        new().upcast("Unit", 0, same),
        new().upcast("Unit", 2, same),
        new().upcast("Unit", 1, same).retire("Unit", 1),
        new().rename("A", 1, "B", 1).rename("B", 1, "A", 1),
        new().rename("A", 1, "Unit", 2),
        new().rename("A", 1, "Unit", 1).upcast("Unit", 2, same),
    ];
    for (nth, schema) in broken.iter().enumerate() {
        let check = schema.check();
        assert!(matches!(check, Err(Error::InvalidConfig { .. })), "{nth}");
        // Also where it is used without having been asked.
        assert!(schema.decode(&of("Unit", &Value::Null, 1)).is_err());
    }
}
