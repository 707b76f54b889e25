//! The API for those who are online.

use serde_json::{Value, json};

use super::Service;

#[tokio::test]
async fn contacts_are_created_changed_deleted_and_restored() {
    for service in Service::both().await {
        let ada = json!({ "name": "Ada", "email": "ada@example.org", "phone": "1" });
        let created = service.post("/contacts", ada).await;
        assert_eq!((created.status, created.etag.as_str()), (201, "\"1\""));
        let path = created.location;
        let patch = json!({ "phone": null, "note": "met in Paris" });
        let changed = service.ask("PATCH", &path, &[], patch).await;
        assert_eq!((changed.status, changed.etag.as_str()), (200, "\"2\""));
        assert_eq!(changed.body["name"], "Ada");
        assert_eq!(changed.body["phone"], Value::Null);
        let at_least = format!("{path}?at-least={}", changed.position);
        let shown = service.get(&at_least).await;
        assert_eq!(shown.body, changed.body);
        let known = [("if-none-match", shown.etag.as_str())];
        let unchanged = service.ask("GET", &at_least, &known, Value::Null).await;
        assert_eq!(unchanged.status, 304);
        let deleted = service.ask("DELETE", &path, &[], Value::Null).await;
        assert_eq!(
            (deleted.status, &deleted.body["deleted"]),
            (200, &json!(true))
        );
        let at_least = format!("{path}?at-least={}", deleted.position);
        assert_eq!(service.get(&at_least).await.status, 410);
        let seen = service.get(&format!("{at_least}&deleted=true")).await;
        assert_eq!(seen.body, deleted.body);
        let list = format!("/contacts?at-least={}", deleted.position);
        assert_eq!(service.get(&list).await.body["items"], json!([]));
        let change = service
            .ask("PATCH", &path, &[], json!({ "name": "B" }))
            .await;
        assert_eq!(
            (change.status, &change.body["title"]),
            (410, &json!("deleted"))
        );
        let restored = service.post(&format!("{path}/restore"), Value::Null).await;
        assert_eq!(restored.etag, "\"4\"");
        let at_least = format!("{path}?at-least={}", restored.position);
        let shown = service.get(&at_least).await;
        assert_eq!(shown.body["note"], "met in Paris");
        service.stop().await;
    }
}

#[tokio::test]
async fn a_write_that_comes_again_gets_the_first_answer_also_where_it_would_be_refused_now() {
    let service = Service::start(None).await;
    let key = |key: &'static str| [("idempotency-key", key)];
    let ada = json!({ "name": "Ada" });
    let first = service
        .ask("POST", "/contacts", &key("1"), ada.clone())
        .await;
    let path = first.location.clone();
    let known = [("idempotency-key", "2"), ("if-match", "\"1\"")];
    let patch = json!({ "name": "Ada L." });
    let changed = service.ask("PATCH", &path, &known, patch.clone()).await;
    let money = json!({ "cents": 500, "date": "2026-07-01" });
    let transactions = format!("{path}/transactions");
    let paid = service
        .ask("POST", &transactions, &key("3"), money.clone())
        .await;
    let transaction = paid.location.clone();
    let undone = service
        .ask("DELETE", &transaction, &key("4"), Value::Null)
        .await;
    let deleted = service.ask("DELETE", &path, &key("5"), Value::Null).await;
    assert_eq!(
        (paid.status, undone.status, deleted.status),
        (201, 200, 200)
    );
    // All of them would be refused now: the contact is deleted, and at another version.
    let again = [
        (
            &first,
            service.ask("POST", "/contacts", &key("1"), ada).await,
        ),
        (&changed, service.ask("PATCH", &path, &known, patch).await),
        (
            &paid,
            service.ask("POST", &transactions, &key("3"), money).await,
        ),
        (
            &undone,
            service
                .ask("DELETE", &transaction, &key("4"), Value::Null)
                .await,
        ),
        (
            &deleted,
            service.ask("DELETE", &path, &key("5"), Value::Null).await,
        ),
    ];
    for (first, again) in again {
        assert!(!first.again && again.again, "{again:?}");
        assert_eq!(first.status, again.status);
        assert_eq!(first.body, again.body);
        assert_eq!((&first.etag, first.position), (&again.etag, again.position));
        assert_eq!(first.location, again.location);
    }
    assert_eq!(deleted.position, 5, "nothing was recorded twice");
    // Without the key it is refused.
    assert_eq!(
        service.ask("DELETE", &path, &[], Value::Null).await.status,
        410
    );
    service.stop().await;
}

#[tokio::test]
async fn a_key_is_for_one_request() {
    let service = Service::start(None).await;
    let key = [("idempotency-key", "1")];
    let ada = json!({ "name": "Ada" });
    let path = service.ask("POST", "/contacts", &key, ada).await.location;
    let others = [
        ("POST", "/contacts", json!({ "name": "Bob" })),
        ("PATCH", path.as_str(), json!({ "name": "Bob" })),
        ("DELETE", path.as_str(), Value::Null),
        (
            "PATCH",
            "/contacts/00000000-0000-4000-8000-000000000000",
            json!({ "name": "x" }),
        ),
    ];
    for (method, path, body) in others {
        let refused = service.ask(method, path, &key, body).await;
        assert!(
            [404, 422].contains(&refused.status),
            "{method} {path}: {refused:?}"
        );
    }
    let head = service.ledger.store.get_latest_version("contacts").await;
    assert_eq!(head.unwrap().get(), 1);
    service.stop().await;
}

#[tokio::test]
async fn a_version_that_is_not_the_one_expected_is_answered_with_the_actual_one() {
    let service = Service::start(None).await;
    let path = service.contact("Ada").await;
    service
        .ask("PATCH", &path, &[], json!({ "name": "B" }))
        .await;
    let old = [("if-match", "\"1\"")];
    for (method, body) in [("PATCH", json!({ "name": "C" })), ("DELETE", Value::Null)] {
        let refused = service.ask(method, &path, &old, body).await;
        assert_eq!((refused.status, &refused.body["actual"]), (412, &json!(2)));
    }
    let wrong = [("if-match", "W/\"1\"")];
    let refused = service.ask("DELETE", &path, &wrong, Value::Null).await;
    assert_eq!(refused.status, 400);
    let now = [("if-match", "\"2\"")];
    assert_eq!(
        service.ask("DELETE", &path, &now, Value::Null).await.status,
        200
    );
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_open_transaction_is_left_without_a_contact_also_where_both_come_at_once() {
    let service = Service::start(None).await;
    let (mut deleted, mut paid) = (0, 0);
    for round in 0..40 {
        let path = service.contact(&format!("c{round}")).await;
        let transactions = format!("{path}/transactions");
        let money = json!({ "cents": 100, "date": "2026-07-01" });
        let (one, other) = tokio::join!(
            service.ask("DELETE", &path, &[], Value::Null),
            service.post(&transactions, money),
        );
        let outcome = (one.status, other.status);
        assert!([(200, 409), (409, 201)].contains(&outcome), "{outcome:?}");
        deleted += u32::from(one.status == 200);
        paid += u32::from(other.status == 201);
    }
    assert_eq!(deleted + paid, 40);
    service.stop().await;
}

#[tokio::test]
async fn a_contact_with_transactions_is_not_deleted_and_a_deleted_one_gets_none() {
    for service in Service::both().await {
        let path = service.contact("Ada").await;
        let transactions = format!("{path}/transactions");
        let mut made = Vec::new();
        for cents in [500, -200] {
            let money = json!({ "cents": cents, "date": "2026-07-01", "description": "lunch" });
            made.push(service.post(&transactions, money).await);
        }
        let owed = format!("{transactions}?at-least={}", made[1].position);
        assert_eq!(service.get(&owed).await.body["balance_cents"], 300);
        let refused = service.ask("DELETE", &path, &[], Value::Null).await;
        assert_eq!(
            (refused.status, &refused.body["transactions"]),
            (409, &json!(2))
        );
        for one in &made {
            let gone = service.ask("DELETE", &one.location, &[], Value::Null).await;
            assert_eq!(gone.status, 200);
        }
        let deleted = service.ask("DELETE", &path, &[], Value::Null).await;
        assert_eq!(deleted.status, 200);
        let owed = format!("{transactions}?at-least={}", deleted.position);
        assert_eq!(service.get(&owed).await.body["balance_cents"], 0);
        let restore = format!("{}/restore", made[0].location);
        let refused = service.post(&restore, Value::Null).await;
        assert_eq!(
            (refused.status, &refused.body["title"]),
            (409, &json!("contact deleted"))
        );
        service.post(&format!("{path}/restore"), Value::Null).await;
        let restored = service.post(&restore, Value::Null).await;
        let patch = json!({ "cents": 700 });
        let changed = service.ask("PATCH", &made[0].location, &[], patch).await;
        assert_eq!((restored.status, changed.status), (200, 200));
        let owed = format!("{transactions}?at-least={}", changed.position);
        assert_eq!(service.get(&owed).await.body["balance_cents"], 700);
        service.stop().await;
    }
}

#[tokio::test]
async fn lists_are_searched_and_come_in_pages() {
    for service in Service::both().await {
        let names = ["émile", "Zoë", "Ada 100%", "ada_2", "Bob ~ x", "Ада"];
        let mut last = 0;
        for name in names {
            let email = json!({ "name": name, "email": "someone@example.org" });
            last = service.post("/contacts", email).await.position;
        }
        let mut listed = Vec::new();
        let mut after = String::new();
        loop {
            let query = [
                ("limit", "2"),
                ("after", &after),
                ("at-least", &last.to_string()),
            ]
            .map(|(name, value)| (name, value.to_owned()));
            let skip = usize::from(after.is_empty());
            let query: Vec<_> = query
                .into_iter()
                .filter(|(name, _)| skip == 0 || *name != "after")
                .collect();
            let url = format!("{}/contacts", service.base);
            let page = service.client.get(url).query(&query).send().await.unwrap();
            let page: Value = page.json().await.unwrap();
            let items = page["items"].as_array().unwrap().clone();
            assert!(items.len() <= 2);
            listed.extend(
                items
                    .iter()
                    .map(|row| row["name"].as_str().unwrap().to_owned()),
            );
            match page["next"].as_str() {
                Some(next) => after = next.to_owned(),
                None => break,
            }
        }
        assert_eq!(
            listed,
            ["Ada 100%", "ada_2", "Bob ~ x", "Zoë", "émile", "Ада"]
        );
        for (text, found) in [
            ("ADA", 2),
            ("100%25", 1),
            ("_", 1),
            ("%D0%90%D0%B4", 1),
            ("example", 6),
        ] {
            let page = service.get(&format!("/contacts?q={text}")).await;
            assert_eq!(
                page.body["items"].as_array().unwrap().len(),
                found,
                "{text}"
            );
        }
        service.stop().await;
    }
}

#[tokio::test]
async fn all_fields_that_are_wrong_are_named() {
    let service = Service::start(None).await;
    let wrong = json!({ "name": " ", "email": "nobody", "phone": "call me" });
    let refused = service.post("/contacts", wrong).await;
    assert_eq!(refused.status, 422);
    let errors = refused.body["errors"].as_array().unwrap();
    let fields: Vec<_> = errors
        .iter()
        .map(|one| one["field"].as_str().unwrap())
        .collect();
    assert_eq!(fields, ["name", "email", "phone"]);
    let refused = service.client.post(format!("{}/contacts", service.base));
    let refused = refused.body("{").send().await.unwrap();
    assert_eq!(refused.status().as_u16(), 400);
    service.stop().await;
}

#[tokio::test]
async fn what_cannot_be_is_answered_with_a_problem() {
    let service = Service::start(None).await;
    let path = service.contact("Ada").await;
    let none = "/contacts/00000000-0000-4000-8000-000000000000";
    let asked = [
        (
            "POST",
            "/contacts".to_owned(),
            json!({ "name": "x", "nmae": "y" }),
            422,
        ),
        ("POST", "/contacts".to_owned(), json!("x"), 422),
        ("PATCH", path.clone(), json!({ "name": null, "x": 1 }), 422),
        (
            "POST",
            "/transactions".to_owned(),
            json!({ "contact": "x", "cents": 1, "date": "" }),
            422,
        ),
        (
            "POST",
            format!("{path}/transactions"),
            json!({ "cents": 1.5, "date": "2026-01-01" }),
            422,
        ),
        (
            "POST",
            format!("{none}/transactions"),
            json!({ "cents": 1, "date": "2026-01-01" }),
            422,
        ),
        ("GET", none.to_owned(), Value::Null, 404),
        ("DELETE", none.to_owned(), Value::Null, 404),
        ("POST", format!("{none}/restore"), Value::Null, 404),
        ("POST", format!("{path}/restore"), Value::Null, 409),
        ("GET", "/contacts/x".to_owned(), Value::Null, 404),
        ("GET", "/nothing".to_owned(), Value::Null, 404),
        ("PUT", "/contacts".to_owned(), Value::Null, 405),
        ("GET", "/contacts?limit=0".to_owned(), Value::Null, 400),
        ("GET", "/contacts?lmit=1".to_owned(), Value::Null, 400),
        ("GET", "/contacts?after=x".to_owned(), Value::Null, 400),
        ("GET", "/contacts?at-least=99".to_owned(), Value::Null, 400),
        ("GET", "/sync/changes?since=x".to_owned(), Value::Null, 410),
        (
            "POST",
            "/sync/push".to_owned(),
            json!({ "events": [] }),
            422,
        ),
        (
            "POST",
            "/contacts".to_owned(),
            json!({ "name": "x".repeat(2 << 20) }),
            413,
        ),
    ];
    for (method, path, body, status) in asked {
        let answer = service.ask(method, &path, &[], body).await;
        assert_eq!(answer.status, status, "{method} {path}: {:?}", answer.body);
    }
    service.stop().await;
}
