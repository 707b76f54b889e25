//! What the server takes from devices, and what it does not.

use serde_json::{Value, json};
use uuid::Uuid;

use super::Service;

fn event(stream: &str, event_type: &str, data: Value, expected_version: u64) -> Value {
    json!({
        "id": Uuid::new_v4(),
        "stream": stream,
        "type": event_type,
        "data": data,
        "expected_version": expected_version,
    })
}

fn ada() -> Value {
    json!({ "name": "Ada", "email": null, "phone": null, "note": null })
}

async fn push(service: &Service, events: &[Value]) -> Vec<Value> {
    let body = json!({ "device": "test", "events": events });
    let answer = service.post("/sync/push", body).await;
    assert_eq!(answer.status, 200, "{:?}", answer.body);
    let outcomes = answer.body["outcomes"].as_array().unwrap().clone();
    for (event, outcome) in events.iter().zip(&outcomes) {
        assert_eq!(event["id"], outcome["id"]);
    }
    outcomes
}

fn told(outcomes: &[Value]) -> Vec<&str> {
    let told = outcomes.iter().map(|one| match one["reason"].as_str() {
        Some(reason) => reason,
        None => one["outcome"].as_str().unwrap(),
    });
    told.collect()
}

#[tokio::test]
async fn what_a_device_pushes_is_recorded_once_however_often_it_comes() {
    let service = Service::start(None).await;
    let contact = format!("contact-{}", Uuid::new_v4());
    let events = [
        event(&contact, "ContactCreated", ada(), 0),
        event(&contact, "ContactChanged", json!({ "phone": "1" }), 1),
        event(&contact, "ContactDeleted", json!({}), 2),
    ];
    let first = push(&service, &events).await;
    assert_eq!(told(&first), ["accepted"; 3]);
    let second = push(&service, &events).await;
    assert_eq!(told(&second), ["duplicate"; 3]);
    for (first, second) in first.iter().zip(&second) {
        assert_eq!(first["position"], second["position"]);
        assert_eq!(first["version"], second["version"]);
    }
    let changes = service.get("/sync/changes").await.body;
    let ids: Vec<_> = changes["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["id"])
        .collect();
    assert_eq!(ids, events.iter().map(|one| &one["id"]).collect::<Vec<_>>());
    service.stop().await;
}

/// Events of a contact that has a transaction.
fn of_contact(id: &str) -> Vec<(Value, &'static str)> {
    let contact = format!("contact-{id}");
    vec![
        (
            event(&contact, "ContactDeleted", json!({}), 1),
            "contact-has-transactions",
        ),
        (
            event(&contact, "ContactRestored", json!({}), 1),
            "not-deleted",
        ),
        (
            event(&contact, "ContactCreated", ada(), 1),
            "already-exists",
        ),
        (
            event(&contact, "ContactChanged", json!({ "name": "" }), 1),
            "invalid-fields",
        ),
        (
            event(&contact, "ContactChanged", json!({ "name": "Ada" }), 1),
            "not-as-decided",
        ),
        (
            event(&contact, "ContactChanged", json!({}), 1),
            "not-as-decided",
        ),
        (
            event(&contact, "ContactChanged", json!({ "age": 7 }), 1),
            "unreadable",
        ),
        (event(&contact, "ContactMerged", json!({}), 1), "unreadable"),
        (
            event(&contact, "TransactionDeleted", json!({ "contact": id }), 1),
            "not-as-decided",
        ),
        (event("contact-7", "ContactCreated", ada(), 0), "unreadable"),
        (event("pulled", "ContactCreated", ada(), 0), "unreadable"),
        (
            event(&contact.to_uppercase(), "ContactDeleted", json!({}), 0),
            "unreadable",
        ),
        (
            event(&contact, "ContactChanged", json!({ "name": "B" }), 7),
            "conflict",
        ),
    ]
}

/// Events of transactions, of which one belongs to that contact.
fn of_transactions(id: &str, transaction: &str) -> Vec<(Value, &'static str)> {
    let other = || format!("transaction-{}", Uuid::new_v4());
    let none = Uuid::new_v4();
    let amount = |contact: &str, cents: i64| json!({ "contact": contact, "cents": cents, "description": "", "date": "2026-07-01" });
    vec![
        (
            event(&other(), "TransactionCreated", amount(id, 0), 0),
            "invalid-fields",
        ),
        (
            event(
                &other(),
                "TransactionCreated",
                amount(&none.to_string(), 5),
                0,
            ),
            "no-contact",
        ),
        (
            event(
                transaction,
                "TransactionDeleted",
                json!({ "contact": none }),
                1,
            ),
            "not-as-decided",
        ),
        (
            event(&other(), "TransactionDeleted", json!({ "contact": id }), 0),
            "not-found",
        ),
    ]
}

#[tokio::test]
async fn what_the_domain_would_not_have_made_is_refused() {
    let service = Service::start(None).await;
    let path = service.contact("Ada").await;
    let id = path.trim_start_matches("/contacts/");
    let money = json!({ "cents": 1, "date": "2026-07-01" });
    let paid = service.post(&format!("{path}/transactions"), money).await;
    let transaction = format!("transaction-{}", paid.body["id"].as_str().unwrap());
    let all = [of_contact(id), of_transactions(id, &transaction)];
    for (event, reason) in all.into_iter().flatten() {
        let outcomes = push(&service, std::slice::from_ref(&event)).await;
        assert_eq!(told(&outcomes), [reason], "{event}");
    }
    let head = service.ledger.store.get_latest_version("contacts").await;
    assert_eq!(head.unwrap().get(), 2, "nothing of it is recorded");
    service.stop().await;
}

#[tokio::test]
async fn a_push_on_an_old_version_is_told_what_is_there_and_what_builds_on_it_is_not_taken() {
    let service = Service::start(None).await;
    let path = service.contact("Ada").await;
    service
        .ask("PATCH", &path, &[], json!({ "phone": "1" }))
        .await;
    let contact = path.replacen("/contacts/", "contact-", 1);
    let new = format!("contact-{}", Uuid::new_v4());
    let events = [
        event(&contact, "ContactChanged", json!({ "note": "x" }), 1),
        event(&contact, "ContactChanged", json!({ "note": "y" }), 2),
        event(&new, "ContactCreated", ada(), 0),
    ];
    let outcomes = push(&service, &events).await;
    assert_eq!(told(&outcomes), ["conflict", "follows", "accepted"]);
    assert_eq!(outcomes[0]["version"], 2);
    assert_eq!(outcomes[0]["events"][0]["data"], json!({ "phone": "1" }));
    assert_eq!(outcomes[1]["refused"], events[0]["id"]);
    service.stop().await;
}

#[tokio::test]
async fn changes_come_in_portions_that_neither_miss_nor_repeat() {
    let service = Service::start(None).await;
    for number in 0..11 {
        service.contact(&format!("c{number}")).await;
    }
    for limit in [1, 4, 11, 100] {
        let mut positions = Vec::new();
        let mut since = "start".to_owned();
        loop {
            let path = format!("/sync/changes?since={since}&limit={limit}");
            let changes = service.get(&path).await.body;
            let events = changes["events"].as_array().unwrap();
            positions.extend(events.iter().map(|one| one["position"].as_u64().unwrap()));
            since = changes["next"].as_str().unwrap().to_owned();
            if changes["more"] == json!(false) {
                break;
            }
        }
        assert_eq!(positions, (1..=11).collect::<Vec<_>>(), "{limit}");
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_a_deleted_contact_and_its_new_transaction_that_are_pushed_at_once_one_is_refused() {
    let service = Service::start(None).await;
    for round in 0..60 {
        let path = service.contact(&format!("c{round}")).await;
        let id = path.trim_start_matches("/contacts/");
        let delete = event(&format!("contact-{id}"), "ContactDeleted", json!({}), 1);
        let amount = json!({ "contact": id, "cents": 5, "description": "", "date": "2026-07-01" });
        let transaction = format!("transaction-{}", Uuid::new_v4());
        let create = event(&transaction, "TransactionCreated", amount, 0);
        let (deleted, created) = tokio::join!(
            push(&service, std::slice::from_ref(&delete)),
            push(&service, std::slice::from_ref(&create)),
        );
        let outcome = (told(&deleted)[0], told(&created)[0]);
        let right = [
            ("accepted", "contact-deleted"),
            ("contact-has-transactions", "accepted"),
        ];
        assert!(right.contains(&outcome), "{outcome:?}");
    }
    service.stop().await;
}
