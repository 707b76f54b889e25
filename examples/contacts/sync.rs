//! What devices push: each event is judged by the aggregates before it is recorded, and an event that the
//! domain would not have made is refused.

use annals::{
    Error, EventFilter, ExpectedVersion, PushEvent, PushOutcome, Version,
    cqrs::{Aggregate as _, Decision, Metadata, Schema},
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::HashMap;
use uuid::Uuid;

use super::{
    book::{Wish, contact_command, transaction_command},
    contact::Standing,
    decisions::{DeleteContact, OpenTransaction},
    event::{Entity, Event, TOPIC},
    ledger::{Ledger, Shown},
    problem::Problem,
    refusal::Refusal,
};

/// The most events of a push.
pub(crate) const MOST_PUSHED: usize = 500;
/// How often an event is judged again, because something that it depends on was recorded meanwhile.
const TRIES: usize = 10;

/// What a device has made.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pushed {
    /// Which device.
    pub(crate) device: String,
    pub(crate) events: Vec<PushedEvent>,
}

/// An event that a device has made.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PushedEvent {
    pub(crate) id: Uuid,
    pub(crate) stream: String,
    #[serde(rename = "type")]
    pub(crate) event_type: String,
    pub(crate) data: Value,
    /// The version of the stream as the device knows it, its own events before this one included.
    pub(crate) expected_version: u64,
    /// The time of the device, which decides nothing.
    #[serde(default)]
    pub(crate) made_at: Option<String>,
}

/// What the domain says of an event.
enum Verdict {
    /// It is what the domain makes now; unless one of these is recorded meanwhile.
    Fits(Option<EventFilter>),
    Refused(Refusal),
}

/// A stream as it is, and what is decided on it.
struct Judged {
    version: u64,
    decided: Result<Vec<Event>, Refusal>,
    depends_on: Option<EventFilter>,
}

impl Ledger {
    /// Records what a device has made, in order, and tells of each event what came of it.
    pub(crate) async fn take(&self, pushed: Pushed) -> Result<Vec<Value>, Problem> {
        let mut outcomes = Vec::with_capacity(pushed.events.len());
        let mut refused: HashMap<String, Uuid> = HashMap::new();
        for event in pushed.events {
            let (id, stream) = (event.id, event.stream.clone());
            let mut outcome = match refused.get(&stream) {
                Some(before) => json!({ "outcome": "follows", "refused": before }),
                None => self.take_one(&pushed.device, event).await?,
            };
            let recorded = outcome["outcome"] == "accepted" || outcome["outcome"] == "duplicate";
            if !recorded {
                refused.entry(stream).or_insert(id);
            }
            outcome["id"] = json!(id);
            outcomes.push(outcome);
        }
        Ok(outcomes)
    }

    async fn take_one(&self, device: &str, pushed: PushedEvent) -> Result<Value, Problem> {
        let Some(entity) = Entity::of_stream(&pushed.stream) else {
            return Ok(unreadable(
                "there are streams contact-UUID and transaction-UUID",
            ));
        };
        let event = match Event::read(&pushed.event_type, pushed.data.clone()) {
            Ok(event) => event,
            Err(error) => return Ok(unreadable(&error.to_string())),
        };
        for _ in 0..TRIES {
            if let Some(outcome) = self.try_one(device, &pushed, entity, &event).await? {
                return Ok(outcome);
            }
        }
        Err(Problem::behind(pushed.expected_version))
    }

    /// Judges and records an event; none where something that it depends on came between.
    async fn try_one(
        &self,
        device: &str,
        pushed: &PushedEvent,
        entity: Entity,
        event: &Event,
    ) -> Result<Option<Value>, Problem> {
        let looked_to = self.store.get_latest_version(TOPIC).await?;
        let judged = self.judge(entity, event).await?;
        let expected = pushed.expected_version;
        if judged.version < expected {
            let conflict = PushOutcome::Conflict {
                version: Version::new(judged.version),
                events: Vec::new(),
            };
            return told(&conflict).map(Some);
        }
        let said = Metadata::new().with("device", &device)?;
        let said = said.with("made_at", &pushed.made_at)?;
        let new = Schema::new().encode(event, &said)?;
        let new = new.id(pushed.id).tags(event.tags());
        let at = ExpectedVersion::Exact(Version::new(expected));
        let mut push = PushEvent::new(new, pushed.stream.clone(), at);
        // A stream that has gone on never comes back to this version: it is recorded, or in conflict.
        if judged.version == expected {
            match judged.verdict(event) {
                Verdict::Refused(refusal) => return Ok(Some(refusal_told(&refusal))),
                Verdict::Fits(Some(depends_on)) => push = push.unless(depends_on, looked_to),
                Verdict::Fits(None) => {}
            }
        }
        let outcomes = self.store.push(TOPIC, vec![push]).await?;
        match outcomes.first() {
            Some(PushOutcome::Refused(Error::ConditionFailed { .. })) | None => Ok(None),
            Some(outcome) => told(outcome).map(Some),
        }
    }

    /// What the domain makes of the wish that an event fulfils.
    async fn judge(&self, entity: Entity, event: &Event) -> Result<Judged, Problem> {
        let wish = Wish::of(event);
        let id = entity.id().to_string();
        let mismatch = Err(Refusal::NotAsDecided);
        Ok(match (entity, event) {
            (Entity::Contact(contact), Event::ContactDeleted {}) => {
                let decision = DeleteContact {
                    contact,
                    expected: None,
                };
                let state = self.decisions.state(&decision).await?;
                Judged {
                    version: state.contact.version,
                    decided: decision.events(&state),
                    depends_on: Some(decision.filter()),
                }
            }
            (Entity::Contact(_), _) => {
                let found = self.contacts.load(&id).await?;
                let command = contact_command(&wish, 0, None);
                Judged {
                    version: found.version.get(),
                    decided: command.map_or(mismatch, |command| found.state.decide(&command)),
                    depends_on: None,
                }
            }
            (
                Entity::Transaction(transaction),
                Event::TransactionCreated(super::event::TransactionDetails { contact, .. })
                | Event::TransactionRestored { contact },
            ) => {
                let decision = OpenTransaction {
                    transaction,
                    contact: *contact,
                    wish,
                    expected: None,
                };
                let state = self.decisions.state(&decision).await?;
                Judged {
                    version: state.transaction.version,
                    decided: decision.events(&state),
                    depends_on: Some(decision.filter()),
                }
            }
            (Entity::Transaction(_), _) => {
                let found = self.transactions.load(&id).await?;
                let command = transaction_command(&wish, Standing::Missing, None);
                Judged {
                    version: found.version.get(),
                    decided: command.map_or(mismatch, |command| found.state.decide(&command)),
                    depends_on: None,
                }
            }
        })
    }
}

impl Judged {
    fn verdict(self, event: &Event) -> Verdict {
        match self.decided {
            Ok(decided) if decided == std::slice::from_ref(event) => Verdict::Fits(self.depends_on),
            Ok(_) => Verdict::Refused(Refusal::NotAsDecided),
            Err(refusal) => Verdict::Refused(refusal),
        }
    }
}

fn unreadable(reason: &str) -> Value {
    json!({ "outcome": "refused", "reason": "unreadable", "detail": reason })
}

fn refusal_told(refusal: &Refusal) -> Value {
    let mut told = json!({
        "outcome": "refused",
        "reason": refusal.kind(),
        "detail": refusal.to_string(),
    });
    if let Refusal::Invalid(wrong) = refusal {
        told["errors"] = json!(wrong);
    }
    told
}

/// What came of an event, as it is told.
fn told(outcome: &PushOutcome) -> Result<Value, Problem> {
    Ok(match outcome {
        PushOutcome::Accepted { position, version } => {
            json!({ "outcome": "accepted", "position": position, "version": version })
        }
        PushOutcome::Duplicate { position, version } => {
            json!({ "outcome": "duplicate", "position": position, "version": version })
        }
        PushOutcome::Conflict { version, events } => {
            let shown: Result<Vec<_>, _> = events.iter().map(Shown::of).collect();
            json!({ "outcome": "conflict", "version": version, "events": shown? })
        }
        PushOutcome::Follows { refused } => json!({ "outcome": "follows", "refused": refused }),
        PushOutcome::Refused(Error::IdempotencyConflict { .. }) => json!({
            "outcome": "refused",
            "reason": "id-in-use",
            "detail": "another event has this id",
        }),
        PushOutcome::Refused(error) => json!({
            "outcome": "refused",
            "reason": "not-recordable",
            "detail": error.to_string(),
        }),
        _ => json!({ "outcome": "refused", "reason": "unknown", "detail": "it is not known why" }),
    })
}
