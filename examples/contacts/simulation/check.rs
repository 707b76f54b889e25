//! Whether everything is as it has to be at the end. What the server has recorded is read as anybody can
//! read it; what follows from it is told by a model of its own, that knows fields and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use annals::SyncToken;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::{
    Result,
    book::{Book, Wish},
    contact::Contact,
    device::{Device, Remote, Server},
    event::Entity,
    transaction::Transaction,
};

/// What is wrong.
#[derive(Debug, Default)]
pub(crate) struct Wrong(pub(crate) Vec<String>);

impl Wrong {
    fn say(&mut self, wrong: bool, what: impl FnOnce() -> String) {
        if wrong {
            self.0.push(what());
        }
    }
}

/// Every entity by its stream: its fields, with `version` and `deleted`.
type Model = BTreeMap<String, Map<String, Value>>;

/// The whole log, as the server gives it.
pub(crate) async fn read_log(server: &Server) -> Result<Vec<Remote>> {
    let (mut log, mut token) = (Vec::new(), SyncToken::START);
    loop {
        let changes = server.changes(token).await?;
        log.extend(changes.events);
        token = changes.next;
        if !changes.more {
            return Ok(log);
        }
    }
}

/// Positions and versions without a gap, each id once, and nothing that the domain would not have made.
pub(crate) fn check_log(log: &[Remote], wrong: &mut Wrong) {
    let mut book = Book::default();
    let mut ids = BTreeSet::new();
    for (event, position) in log.iter().zip(1_u64..) {
        let Remote {
            id,
            stream,
            version,
            ..
        } = event;
        let told = event.position;
        wrong.say(told != position, || {
            format!("position {told} where {position} has to be")
        });
        wrong.say(!ids.insert(*id), || format!("the id {id} is there twice"));
        let (Some(entity), Ok(decoded)) = (Entity::of_stream(stream), event.event()) else {
            wrong.say(true, || format!("position {position} is not of the domain"));
            continue;
        };
        let next = book.version(entity) + 1;
        wrong.say(*version != next, || {
            format!("{stream} goes on with {version}, and not with {next}")
        });
        let decided = book.decide(entity, &Wish::of(&decoded));
        wrong.say(decided != Ok(Some(decoded.clone())), || {
            format!("position {position} of {stream}: {decoded:?}, where it is {decided:?}")
        });
        book.apply(entity, &decoded);
    }
}

/// What follows from the log.
fn model(log: &[Remote]) -> Result<Model> {
    let mut model = Model::new();
    for event in log {
        let data: Map<String, Value> = serde_json::from_str(event.data.get())?;
        let entity = model.entry(event.stream.clone()).or_default();
        if event.event_type.ends_with("Created") {
            entity.insert("deleted".to_owned(), json!(false));
        }
        if event.event_type.ends_with("Deleted") || event.event_type.ends_with("Restored") {
            let deleted = event.event_type.ends_with("Deleted");
            entity.insert("deleted".to_owned(), json!(deleted));
        } else {
            entity.extend(data);
        }
        entity.insert("version".to_owned(), json!(event.version));
    }
    Ok(model)
}

fn compare(who: &str, model: &Model, found: &Model, wrong: &mut Wrong) {
    let streams: BTreeSet<_> = model.keys().chain(found.keys()).collect();
    for stream in streams {
        let (Some(expected), Some(found)) = (model.get(stream), found.get(stream)) else {
            let has = found.contains_key(stream);
            wrong.say(true, || format!("{who}: {stream} is there: {has}"));
            continue;
        };
        let fields: BTreeSet<_> = expected.keys().chain(found.keys()).collect();
        for field in fields {
            let (expected, found) = (expected.get(field), found.get(field));
            wrong.say(expected != found, || {
                format!("{who}: {field} of {stream} is {found:?}, and has to be {expected:?}")
            });
        }
    }
}

/// A book as the model has it.
fn of_book(book: &Book) -> Result<Model> {
    let mut found = Model::new();
    let mut add = |entity: Entity, details: Value, deleted: bool, version: u64| {
        let mut fields = match details {
            Value::Object(fields) => fields,
            _ => Map::new(),
        };
        fields.insert("deleted".to_owned(), json!(deleted));
        fields.insert("version".to_owned(), json!(version));
        found.insert(entity.to_string(), fields);
    };
    for (id, contact) in &book.contacts {
        let Contact {
            details,
            deleted,
            version,
        } = contact;
        let details = serde_json::to_value(details)?;
        add(Entity::Contact(*id), details, *deleted, *version);
    }
    for (id, transaction) in &book.transactions {
        let Transaction {
            details,
            deleted,
            version,
        } = transaction;
        let details = serde_json::to_value(details)?;
        add(Entity::Transaction(*id), details, *deleted, *version);
    }
    Ok(found)
}

/// What the API shows, page by page.
async fn of_server(server: &Server, at_least: usize) -> Result<Model> {
    let mut found = Model::new();
    for kind in ["contact", "transaction"] {
        let mut after: Option<String> = None;
        loop {
            let url = format!("{}/{kind}s", server.base);
            let mut request = server.client.get(url);
            request = request.query(&[("deleted", "true"), ("limit", "7")]);
            request = request.query(&[("at-least", at_least)]);
            if let Some(after) = &after {
                request = request.query(&[("after", after)]);
            }
            let answer = request.send().await?.error_for_status()?;
            let mut page: Value = answer.json().await?;
            let items = page["items"].take();
            for item in serde_json::from_value::<Vec<Map<String, Value>>>(items)? {
                let mut item = item;
                let id = item.remove("id").unwrap_or_default();
                for shown_only in ["created_at", "changed_at"] {
                    item.remove(shown_only);
                }
                let id = id.as_str().unwrap_or_default();
                if found.insert(format!("{kind}-{id}"), item).is_some() {
                    return Err(format!("the {kind} {id} is listed twice").into());
                }
            }
            after = page["next"].as_str().map(str::to_owned);
            if after.is_none() {
                break;
            }
        }
    }
    Ok(found)
}

/// What contacts owe, from the model and by the API.
async fn check_balances(server: &Server, model: &Model, wrong: &mut Wrong) -> Result<()> {
    let mut owed: BTreeMap<String, i64> = BTreeMap::new();
    for (stream, fields) in model {
        if stream.starts_with("contact-") {
            owed.entry(stream.clone()).or_default();
        } else if fields["deleted"] == json!(false) {
            let contact = fields["contact"].as_str().unwrap_or_default();
            let cents = fields["cents"].as_i64().unwrap_or_default();
            *owed.entry(format!("contact-{contact}")).or_default() += cents;
            let of_deleted = model
                .get(&format!("contact-{contact}"))
                .is_none_or(|contact| contact["deleted"] == json!(true));
            wrong.say(of_deleted, || format!("{stream} is open without a contact"));
        }
    }
    for (stream, cents) in owed {
        let id = stream.trim_start_matches("contact-");
        let url = format!("{}/contacts/{id}/transactions?limit=1", server.base);
        let answer = server.client.get(url).send().await?.error_for_status()?;
        let answer: Value = answer.json().await?;
        let told = answer["balance_cents"].as_i64();
        wrong.say(told != Some(cents), || {
            format!("{stream} owes {cents}, and the server says {told:?}")
        });
    }
    Ok(())
}

/// The server and the devices against the log.
pub(crate) async fn check_states(
    server: &Server,
    devices: &[Device],
    log: &[Remote],
    wrong: &mut Wrong,
) -> Result<()> {
    let model = model(log)?;
    let shown = of_server(server, log.len()).await?;
    compare("the server", &model, &shown, wrong);
    check_balances(server, &model, wrong).await?;
    for device in devices {
        let mirror = of_book(device.mirror())?;
        compare(&device.name, &model, &mirror, wrong);
        let view = of_book(&device.view())?;
        let name = format!("{}, as its user sees it", device.name);
        compare(&name, &model, &view, wrong);
    }
    Ok(())
}

/// What was made is recorded once, as it was meant, or was given up and shown to be: nothing is lost,
/// nothing is there that nobody has made.
pub(crate) fn check_fates(
    devices: &[Device],
    recorded: &[Uuid],
    refused: &[Uuid],
    log: &[Remote],
    wrong: &mut Wrong,
) {
    let by_id: BTreeMap<Uuid, &Remote> = log.iter().map(|event| (event.id, event)).collect();
    let mut explained = BTreeSet::new();
    for device in devices {
        let name = &device.name;
        for (id, made) in device.made() {
            let dropped = device.dropped().get(id);
            match (by_id.get(id), dropped) {
                (Some(event), None) => {
                    explained.insert(*id);
                    let meant = event
                        .event()
                        .is_ok_and(|event| is_meant(&made.wish, &event));
                    let same = event.stream == made.entity.to_string();
                    wrong.say(!meant || !same, || {
                        format!("{name} has made {made:?}, and {event:?} is recorded")
                    });
                }
                (None, Some(_)) => {}
                (None, None) => wrong.say(true, || format!("{name} has made {made:?}: it is lost")),
                (Some(_), Some(reason)) => wrong.say(true, || {
                    format!("{name} was told that {made:?} is given up ({reason}), and it is not")
                }),
            }
            explained.insert(crate::device::bringing_back(*id));
        }
    }
    for id in recorded {
        wrong.say(!by_id.contains_key(id), || {
            format!("the desk was told that {id} is done, and it is not")
        });
        explained.insert(*id);
    }
    for id in refused {
        wrong.say(by_id.contains_key(id), || {
            format!("the desk was told that {id} is refused, and it is recorded")
        });
    }
    for event in log {
        wrong.say(!explained.contains(&event.id), || {
            format!("nobody has made {event:?}")
        });
    }
}

/// Whether an event is what was wished, or a part of it where the rest was so already.
fn is_meant(wish: &Wish, event: &crate::event::Event) -> bool {
    let is_part = |wished: Value, done: Value| match (wished, done) {
        (Value::Object(wished), Value::Object(done)) => done
            .iter()
            .all(|(field, value)| wished.get(field) == Some(value)),
        _ => false,
    };
    match (wish, Wish::of(event)) {
        (Wish::ChangeContact(wished), Wish::ChangeContact(done)) => {
            is_part(json!(wished), json!(done))
        }
        (Wish::ChangeTransaction(wished), Wish::ChangeTransaction(done)) => {
            is_part(json!(wished), json!(done))
        }
        (wished, done) => *wished == done,
    }
}
