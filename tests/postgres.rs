//! Topics in PostgreSQL through the public API: beside files in one store, seen in plain SQL, under
//! hostile names, on servers that are refused, and damaged by hand.

#![cfg(all(feature = "postgres", feature = "file"))]
#![cfg(test)]

mod servers;

use annals::{
    Append, ConfigurationStream, Error, EventFilter, EventStore, EventStoreConfig, ExpectedVersion,
    HealthStatus, NewEvent, Position, Read, Result, TopicConfig, TopicStatus, Version,
};
use serde_json::json;
use servers::{Postgres, postgres};
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};

/// The schema in a URL of [`Postgres::fresh`].
fn schema(url: &str) -> &str {
    url.rsplit_once("annals.schema=").unwrap().1
}

async fn sql_connection(url: &str) -> PgConnection {
    let plain = url.split("&annals.").next().unwrap();
    PgConnection::connect(plain).await.unwrap()
}

async fn run_sql(url: &str, statements: String) {
    let mut connection = sql_connection(url).await;
    sqlx::raw_sql(AssertSqlSafe(statements))
        .execute(&mut connection)
        .await
        .unwrap();
}

async fn open_in(url: &str) -> Result<EventStore> {
    EventStore::open(EventStoreConfig::new(ConfigurationStream::postgres(url))).await
}

fn counted(number: u64) -> NewEvent {
    NewEvent::json("Counted", &json!({ "number": number })).unwrap()
}

fn is_unavailable(error: &Error, with: &str) -> bool {
    matches!(error, Error::RepositoryUnavailable { reason, .. } if reason.contains(with))
}

#[tokio::test]
async fn files_and_a_database_serve_topics_of_one_store() {
    let url = postgres().fresh();
    let directory = tempfile::tempdir().unwrap();
    let files = directory.path().to_str().unwrap();
    let store = open_in(&url).await.unwrap();
    store
        .create_topic(TopicConfig::postgres("orders", &url))
        .await
        .unwrap();
    store
        .create_topic(TopicConfig::file("archive", files))
        .await
        .unwrap();
    store
        .create_topic(TopicConfig::memory("carts"))
        .await
        .unwrap();
    for topic in ["orders", "archive", "carts"] {
        let placed = NewEvent::json("OrderPlaced", &json!({ "total": 42 })).unwrap();
        let append = Append::new([placed.tag("customer:7")])
            .stream("order-1")
            .expected(ExpectedVersion::NoStream);
        store.append_events(topic, append.clone()).await.unwrap();
        assert!(store.append_events(topic, append).await.unwrap().duplicate);
        let refused = Append::new([counted(1)])
            .stream("order-1")
            .expected(ExpectedVersion::NoStream);
        let error = store.append_events(topic, refused).await.unwrap_err();
        assert!(
            matches!(error, Error::WrongExpectedVersion { .. }),
            "{error}"
        );
        let of_customer = EventFilter::all().tags(["customer:7"]);
        let guarded = Append::new([counted(2)]).unless(of_customer.clone(), Position::START);
        let error = store.append_events(topic, guarded).await.unwrap_err();
        assert!(matches!(error, Error::ConditionFailed { .. }), "{error}");
        let guarded = Append::new([counted(2)]).unless(of_customer, Position::new(1));
        store.append_events(topic, guarded).await.unwrap();
        let events = store.get_events(topic, Read::all()).await.unwrap();
        assert_eq!(events.len(), 2);
        assert_eq!(events[0].json::<serde_json::Value>().unwrap()["total"], 42);
    }
    let health = store.health().await;
    assert_eq!(health.status, HealthStatus::Up, "{health:?}");

    // Another store learns of all that from the same configuration stream. Files have one writer.
    store.close().await.unwrap();
    let again = open_in(&url).await.unwrap();
    let names: Vec<_> = again
        .list_topics()
        .await
        .unwrap()
        .into_iter()
        .map(|one| one.name.to_string())
        .collect();
    assert_eq!(names, ["archive", "carts", "orders"]);
    assert_eq!(again.get_latest_version("orders").await.unwrap().get(), 2);
    assert_eq!(again.get_latest_version("archive").await.unwrap().get(), 2);
    again.close().await.unwrap();
}

#[tokio::test]
async fn a_configuration_in_files_leads_to_topics_in_a_database() {
    let url = postgres().fresh();
    let directory = tempfile::tempdir().unwrap();
    let files = directory.path().to_str().unwrap();
    let config = || {
        let secret = url.clone();
        EventStoreConfig::new(ConfigurationStream::file(files))
            .resolver(move |name| (name == "DATABASE").then(|| secret.clone()))
    };
    let store = EventStore::open(config()).await.unwrap();
    store
        .create_topic(TopicConfig::postgres("orders", "${DATABASE}"))
        .await
        .unwrap();
    for number in 1..=10 {
        store
            .append_events("orders", counted(number))
            .await
            .unwrap();
    }
    store.delete_topic("orders").await.unwrap();
    let error = store
        .append_events("orders", counted(11))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::TopicNotFound { .. }), "{error}");
    let back = store.restore_topic("orders").await.unwrap();
    assert_eq!(back.status, TopicStatus::Active);
    assert_eq!(back.placement.connection, "${DATABASE}");
    store.append_events("orders", counted(11)).await.unwrap();
    store.close().await.unwrap();

    let store = EventStore::open(config()).await.unwrap();
    assert_eq!(store.get_latest_version("orders").await.unwrap().get(), 11);
    store.delete_topic("orders").await.unwrap();
    store.purge_topic("orders").await.unwrap();
    let mut connection = sql_connection(&url).await;
    let left: i64 = sqlx::query_scalar(
        "SELECT (SELECT count(*) FROM pg_class c WHERE c.relnamespace = n.oid AND c.relkind = 'r') \
         + (SELECT count(*) FROM pg_proc p WHERE p.pronamespace = n.oid) FROM pg_namespace n WHERE n.nspname = $1",
    )
    .bind(schema(&url))
    .fetch_one(&mut connection)
    .await
    .unwrap();
    assert_eq!(
        left, 3,
        "the tables of topics, of what was removed, and of versions, and nothing else"
    );
    // The name can be used anew, and starts empty.
    store
        .create_topic(TopicConfig::postgres("orders", "${DATABASE}"))
        .await
        .unwrap();
    assert_eq!(store.get_latest_version("orders").await.unwrap().get(), 0);
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_topic_can_be_read_in_sql() {
    let url = postgres().fresh();
    let store = open_in(&url).await.unwrap();
    store
        .create_topic(TopicConfig::postgres("orders", &url))
        .await
        .unwrap();
    store
        .create_topic(TopicConfig::postgres("sales.2026", &url).option("table", "sales"))
        .await
        .unwrap();
    let text = r#"{ "b": 1, "a": [1.0, 2],  "a": "twice" }"#;
    let raw: Box<serde_json::value::RawValue> = serde_json::from_str(text).unwrap();
    let placed = NewEvent::json("OrderPlaced", &raw)
        .unwrap()
        .tag("customer:7")
        .tag("vip");
    let scan = NewEvent::binary("Scanned", "image/png", vec![0_u8, 1, 255]);
    store
        .append_events("orders", Append::new([placed, scan]).stream("order-1"))
        .await
        .unwrap();
    store.append_events("sales.2026", counted(1)).await.unwrap();
    let mut connection = sql_connection(&url).await;
    let sql = format!(
        "SELECT position, stream, version, type, payload->>'b', payload::text, encode(payload_bytes, 'hex'), \
         content_type, array_to_string(tags, ','), recorded_at > now() - interval '1 minute' \
         FROM {}.orders ORDER BY position",
        schema(&url)
    );
    let rows = sqlx::query(AssertSqlSafe(sql))
        .fetch_all(&mut connection)
        .await
        .unwrap();
    let row = &rows[0];
    assert_eq!((row.get::<i64, _>(0), row.get::<i64, _>(2)), (1, 1));
    assert_eq!(
        (row.get::<&str, _>(1), row.get::<&str, _>(3)),
        ("order-1", "OrderPlaced")
    );
    assert_eq!((row.get::<&str, _>(4), row.get::<&str, _>(5)), ("1", text));
    assert_eq!(
        (row.get::<&str, _>(8), row.get::<bool, _>(9)),
        ("customer:7,vip", true)
    );
    let row = &rows[1];
    assert_eq!(row.get::<Option<&str>, _>(5), None);
    assert_eq!(
        (row.get::<&str, _>(6), row.get::<&str, _>(7)),
        ("0001ff", "image/png")
    );
    let sql = format!(
        "SELECT name, events_table FROM {}.topics ORDER BY name",
        schema(&url)
    );
    let rows = sqlx::query(AssertSqlSafe(sql))
        .fetch_all(&mut connection)
        .await
        .unwrap();
    let names: Vec<(&str, &str)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(
        names,
        [
            ("$configuration", "configuration"),
            ("orders", "orders"),
            ("sales.2026", "sales")
        ]
    );
    store.close().await.unwrap();
}

#[tokio::test]
async fn hostile_names_stay_names() {
    let server = postgres();
    let bystander = server.fresh();
    let guarded = open_in(&bystander).await.unwrap();
    guarded
        .create_topic(TopicConfig::postgres("kept", &bystander))
        .await
        .unwrap();
    guarded.append_events("kept", counted(1)).await.unwrap();
    let kept = schema(&bystander);
    let hostile = [
        format!("x\"; DROP SCHEMA {kept} CASCADE; --"),
        "$annals$; SELECT 1/0; $annals$".to_owned(),
        "@events@ @quote@".to_owned(),
        "'; --".to_owned(),
        "\\".to_owned(),
        "UPPER lower.Ümläut".to_owned(),
        "public\".\"x".to_owned(),
    ];
    for (number, name) in hostile.iter().enumerate() {
        let name: String = name.chars().take(40).collect();
        let schema = format!("{number}{name}{}", std::process::id());
        let topics = |topic: &str| {
            let topic = TopicConfig::postgres(topic, server.url());
            topic.option("schema", &schema).option("table", &name)
        };
        let configuration = ConfigurationStream::postgres(server.url()).option("schema", &schema);
        let store = EventStore::open(EventStoreConfig::new(configuration))
            .await
            .unwrap();
        // Both want one name for their table.
        for topic in ["one", "two"] {
            store.create_topic(topics(topic)).await.unwrap();
            store
                .append_events(topic, Append::new([counted(1)]).stream("'\"; --"))
                .await
                .unwrap();
            let read = Read::stream("'\"; --");
            assert_eq!(
                store.get_events(topic, read).await.unwrap().len(),
                1,
                "{name}"
            );
        }
        store.delete_topic("one").await.unwrap();
        store.purge_topic("one").await.unwrap();
        assert_eq!(
            store.get_latest_version("two").await.unwrap().get(),
            1,
            "{name}"
        );
        store.close().await.unwrap();
    }
    assert_eq!(guarded.get_latest_version("kept").await.unwrap().get(), 1);
    guarded.close().await.unwrap();
}

#[tokio::test]
async fn names_that_are_alike_do_not_meet() {
    let url = postgres().fresh();
    let store = open_in(&url).await.unwrap();
    let long = "x".repeat(128);
    let longer = format!("{}y", "x".repeat(127));
    let names = [
        "orders",
        "Orders",
        "orders_tags",
        "orders_append",
        "orders_pkey",
        "topics",
        "schema_version",
        "configuration",
        &long,
        &longer,
        "a.b",
        "a-b",
    ];
    for (name, number) in names.into_iter().zip(1..) {
        store
            .create_topic(TopicConfig::postgres(name, &url))
            .await
            .unwrap();
        for event in 0..number {
            store
                .append_events(name, counted(event).tag("t"))
                .await
                .unwrap();
        }
    }
    for (name, number) in names.into_iter().zip(1_u64..) {
        assert_eq!(
            store.get_latest_version(name).await.unwrap().get(),
            number,
            "{name}"
        );
        let tagged = Read::all().filter(EventFilter::all().tags(["t"]));
        assert_eq!(
            store.get_events(name, tagged).await.unwrap().len() as u64,
            number
        );
    }
    store.close().await.unwrap();
}

#[tokio::test]
async fn options_that_are_wrong_are_refused_by_name() {
    let url = postgres().fresh();
    let store = open_in(&url).await.unwrap();
    for (key, value) in [
        ("shema", "x"),
        ("schema", ""),
        ("schema", "pg_catalog"),
        ("table", "a\u{1}"),
        ("append_connections", "0"),
        ("lock_timeout_ms", "1"),
        ("unsafe_allow_not_durable", "maybe"),
    ] {
        let topic = TopicConfig::postgres("t", &url).option(key, value);
        let error = store.create_topic(topic).await.unwrap_err();
        assert!(
            matches!(&error, Error::InvalidConfig { key: named, .. } if named.contains(key)),
            "{key}: {error}"
        );
    }
    for url in ["", "./data", "mysql://h/d", "postgres://h:port/d"] {
        let error = store
            .create_topic(TopicConfig::postgres("t", url))
            .await
            .unwrap_err();
        assert!(
            matches!(error, Error::InvalidConfig { .. }),
            "{url}: {error}"
        );
    }
    // A schema is part of the place: to change it is to move.
    store
        .create_topic(TopicConfig::postgres("t", &url))
        .await
        .unwrap();
    let elsewhere = TopicConfig::postgres("t", &url).option("schema", "elsewhere");
    let events = (0..3).map(|number| NewEvent::json("Given", &number).unwrap());
    store.append_events("t", Append::new(events)).await.unwrap();
    let moved = store.update_topic(elsewhere).await.unwrap();
    assert_eq!(moved.former.len(), 1);
    assert_eq!(store.get_events("t", Read::all()).await.unwrap().len(), 3);
    store.close().await.unwrap();
}

#[tokio::test]
async fn servers_that_cannot_be_used_are_named_without_the_password() {
    let server = Postgres::start(&[]);
    let url = server.fresh();
    run_sql(
        &url,
        "DO $$ BEGIN CREATE ROLE locked LOGIN PASSWORD 'right-hunter2'; EXCEPTION WHEN duplicate_object THEN NULL; END $$; \
         DO $$ BEGIN CREATE ROLE poor LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$"
            .to_owned(),
    )
    .await;
    let at = |user: &str, port: u16, database: &str| {
        format!(
            "postgres://{user}@127.0.0.1:{port}/{database}?sslmode=disable&annals.connect_timeout_ms=1000"
        )
    };
    let port = server.port();
    let cases = [
        (at("locked:wrong-hunter2", port, "postgres"), "password"),
        (
            at("annals:wrong-hunter2", port, "no_such_database"),
            "no such database",
        ),
        (
            at("annals:wrong-hunter2", 1, "postgres"),
            "connection to the server failed",
        ),
        (
            at("poor:wrong-hunter2", port, "postgres") + "&annals.schema=poor",
            "not allowed",
        ),
        (
            format!("postgres://annals:wrong-hunter2@127.0.0.1:{port}/postgres?sslmode=require"),
            "TLS",
        ),
    ];
    for (url, reason) in cases {
        let config =
            EventStoreConfig::new(ConfigurationStream::postgres(&url)).allow_plain_secrets();
        let error = EventStore::open(config).await.unwrap_err();
        assert!(is_unavailable(&error, reason), "{reason}: {error:?}");
        assert!(
            !format!("{error} {error:?}").contains("hunter2"),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn a_server_that_may_lose_what_it_acknowledged_is_refused_unless_allowed() {
    let server = Postgres::start(&[("fsync", "off"), ("synchronous_commit", "off")]);
    let error = open_in(server.url()).await.unwrap_err();
    let Error::InvalidConfig { reason, .. } = &error else {
        panic!("{error:?}");
    };
    assert!(
        reason.contains("fsync and synchronous_commit off"),
        "{reason}"
    );
    assert!(reason.contains("unsafe_allow_not_durable"), "{reason}");
    let allowed = server.with("unsafe_allow_not_durable", "true");
    let store = open_in(&allowed).await.unwrap();
    store
        .create_topic(TopicConfig::postgres("t", &allowed))
        .await
        .unwrap();
    store.append_events("t", counted(1)).await.unwrap();
    assert_eq!(store.health().await.status, HealthStatus::Up);
    let error = store
        .create_topic(TopicConfig::postgres("u", server.url()))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::InvalidConfig { .. }), "{error}");
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_server_that_only_takes_reads_says_so() {
    // The roles are known to a server of its own.
    let server = Postgres::start(&[]);
    let url = server.fresh();
    let store = open_in(&url).await.unwrap();
    store
        .create_topic(TopicConfig::postgres("t", &url))
        .await
        .unwrap();
    store.append_events("t", counted(1)).await.unwrap();
    store.close().await.unwrap();
    run_sql(
        &url,
        "DO $$ BEGIN CREATE ROLE reader LOGIN SUPERUSER; EXCEPTION WHEN duplicate_object THEN NULL; END $$; \
         ALTER ROLE reader SET default_transaction_read_only = on"
            .to_owned(),
    )
    .await;
    let reader = url.replace("annals@", "reader@");
    let store = open_in(&reader).await.unwrap();
    let error = store
        .create_topic(TopicConfig::postgres("u", &reader))
        .await
        .unwrap_err();
    assert!(is_unavailable(&error, "only takes reads"), "{error:?}");
    store.close().await.unwrap();
    // A store that only wants to read is served there.
    let config = EventStoreConfig::new(ConfigurationStream::postgres(&reader)).read_only();
    let store = EventStore::open(config).await.unwrap();
    assert_eq!(store.get_latest_version("t").await.unwrap().get(), 1);
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_schema_of_the_first_version_is_brought_up_to_date() {
    let url = postgres().fresh();
    let schema = schema(&url);
    let store = open_in(&url).await.unwrap();
    store
        .create_topic(TopicConfig::postgres("t", &url))
        .await
        .unwrap();
    store.append_events("t", counted(2)).await.unwrap();
    store.close().await.unwrap();
    // As the first version had left it.
    let back = format!(
        "DROP TABLE {schema}.removed; ALTER TABLE {schema}.topics DROP COLUMN version; DELETE FROM {schema}.schema_version WHERE version > 1"
    );
    run_sql(&url, back).await;
    let stores = futures_util::future::join_all((0..4).map(|_| open_in(&url))).await;
    for store in stores {
        let store = store.unwrap();
        assert_eq!(store.get_events("t", Read::all()).await.unwrap().len(), 1);
        store.close().await.unwrap();
    }
    let store = open_in(&url).await.unwrap();
    store.delete_topic("t").await.unwrap();
    store.purge_topic("t").await.unwrap();
    run_sql(&url, format!("SELECT 1 / count(*) FROM {schema}.removed")).await;
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let url = postgres().fresh();
    open_in(&url).await.unwrap().close().await.unwrap();
    run_sql(
        &url,
        format!("INSERT INTO {}.schema_version VALUES (99)", schema(&url)),
    )
    .await;
    let error = open_in(&url).await.unwrap_err();
    assert!(
        matches!(&error, Error::InvalidConfig { reason, .. } if reason.contains("version 99")),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_schema_is_made_once_by_many_who_want_it() {
    let url = postgres().fresh();
    let mut tasks = Vec::new();
    for _ in 0..12 {
        let url = url.clone();
        tasks.push(tokio::spawn(async move {
            let store = open_in(&url).await.unwrap();
            let created = store.create_topic(TopicConfig::postgres("t", &url)).await;
            store.close().await.unwrap();
            created.is_ok()
        }));
    }
    let mut created = 0;
    for task in tasks {
        created += usize::from(task.await.unwrap());
    }
    assert_eq!(created, 1);
}

/// What is done to a table by hand, where it is found, and whether every read finds it.
const DAMAGES: [(&str, &str, bool); 8] = [
    (
        "UPDATE @ SET payload = '{\"number\": 3.0}' WHERE position = 3",
        "position 3",
        true,
    ),
    (
        "UPDATE @ SET type = 'Other' WHERE position = 3",
        "position 3",
        true,
    ),
    (
        "UPDATE @ SET tags = '{x}' WHERE position = 3",
        "position 3",
        true,
    ),
    ("DELETE FROM @ WHERE position = 3", "position 3", true),
    (
        "DELETE FROM @ WHERE position = 3; UPDATE @ SET position = 3 WHERE position = 4",
        "position 4",
        true,
    ),
    (
        "UPDATE @ SET version = 30 WHERE position = 3",
        "position 3",
        false,
    ),
    ("DELETE FROM @_tags WHERE position = 3", "position 3", false),
    (
        "UPDATE @ SET recorded_at = recorded_at - interval '1 day' WHERE position = 3",
        "position 3",
        false,
    ),
];

#[tokio::test]
async fn what_was_changed_by_hand_is_named_and_never_returned() {
    let url = postgres().fresh();
    let store = open_in(&url).await.unwrap();
    let in_schema = schema(&url);
    for (number, (statements, place, in_reads)) in DAMAGES.into_iter().enumerate() {
        let topic = format!("t{number}");
        store
            .create_topic(TopicConfig::postgres(&topic, &url))
            .await
            .unwrap();
        for number in 1..=5 {
            store
                .append_events(&topic, counted(number).tag("t"))
                .await
                .unwrap();
        }
        store.verify_topic(&topic).await.unwrap();
        run_sql(
            &url,
            statements.replace('@', &format!("{in_schema}.{topic}")),
        )
        .await;
        let mut outcomes = vec![store.verify_topic(&topic).await.map(drop)];
        if in_reads {
            outcomes.push(store.get_events(&topic, Read::all()).await.map(drop));
            outcomes.push(
                store
                    .get_events(&topic, Read::all().backward())
                    .await
                    .map(drop),
            );
        }
        for outcome in outcomes {
            let error = outcome.expect_err(statements);
            assert!(
                matches!(error, Error::Corruption { .. }),
                "{statements}: {error:?}"
            );
            assert!(error.to_string().contains(place), "{statements}: {error}");
        }
        let before = store
            .get_events(&topic, Read::all().up_to(Position::new(2)))
            .await;
        assert_eq!(before.unwrap().len(), 2, "{statements}");
    }
    store.close().await.unwrap();
}

#[tokio::test]
async fn an_event_that_is_missing_in_a_stream_is_named() {
    let url = postgres().fresh();
    let store = open_in(&url).await.unwrap();
    store
        .create_topic(TopicConfig::postgres("t", &url))
        .await
        .unwrap();
    for number in 1..=5 {
        let append = counted(number).stream("s");
        store.append_events("t", append).await.unwrap();
    }
    let delete = format!("DELETE FROM {}.t WHERE position = 3", schema(&url));
    run_sql(&url, delete).await;
    let of_stream = "version 3 of stream \"s\" is missing";
    let of_all = "position 3 is missing";
    for (read, reason) in [
        (Read::stream("s"), of_stream),
        (Read::stream("s").backward(), of_stream),
        // Nothing is behind the one that is missing.
        (Read::stream("s").up_to_version(Version::new(3)), of_stream),
        (Read::all().up_to(Position::new(3)), of_all),
        (Read::all().after(Position::new(2)).backward(), of_all),
    ] {
        let error = store.get_events("t", read).await.unwrap_err();
        assert!(error.to_string().contains(reason), "{error}");
    }
    let behind = Read::stream("s").after_version(Version::new(3));
    assert_eq!(store.get_events("t", behind).await.unwrap().len(), 2);
    store.close().await.unwrap();
}

#[tokio::test]
async fn an_append_that_the_server_does_not_take_fails_alone() {
    let url = postgres().fresh();
    let store = open_in(&url).await.unwrap();
    store
        .create_topic(TopicConfig::postgres("t", &url))
        .await
        .unwrap();
    run_sql(
        &url,
        format!(
            "ALTER TABLE {}.t ADD CHECK (type <> 'Poison')",
            schema(&url)
        ),
    )
    .await;
    let mut tasks = Vec::new();
    for number in 0..60_u64 {
        let store = store.clone();
        tasks.push(tokio::spawn(async move {
            let event_type = if number % 10 == 3 { "Poison" } else { "Food" };
            let event = NewEvent::json(event_type, &number).unwrap();
            (event_type, store.append_events("t", event).await)
        }));
    }
    for task in tasks {
        let (event_type, outcome) = task.await.unwrap();
        match event_type {
            "Food" => drop(outcome.unwrap()),
            _ => assert!(is_unavailable(&outcome.unwrap_err(), "refuses the data")),
        }
    }
    assert_eq!(store.get_events("t", Read::all()).await.unwrap().len(), 54);
    store.verify_topic("t").await.unwrap();
    store.close().await.unwrap();
}

#[tokio::test]
async fn payloads_that_only_look_like_json_come_back_as_they_went() {
    let url = postgres().fresh();
    let store = open_in(&url).await.unwrap();
    store
        .create_topic(TopicConfig::postgres("t", &url))
        .await
        .unwrap();
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    let payloads: [&[u8]; 9] = [
        b"",
        b"{",
        b"\"\\u0000\"",
        b"\"\\ud800\"",
        b"\"\xff\"",
        b"1e999999",
        b"\0",
        b" {} ",
        deep.as_bytes(),
    ];
    for payload in payloads {
        for content_type in ["application/json", "application/vnd.x+json", "text/plain"] {
            let event = NewEvent::binary("T", content_type, payload.to_vec());
            let receipt = store.append_events("t", event).await.unwrap();
            let read = Read::all().after(Position::new(receipt.last.get() - 1));
            let read = store.get_events("t", read).await.unwrap();
            assert!(
                *read[0].payload == *payload,
                "{content_type}, {} bytes",
                payload.len()
            );
            assert_eq!(read[0].content_type.as_str(), content_type);
        }
    }
    store.close().await.unwrap();
}

#[tokio::test]
async fn filters_with_texts_that_no_event_can_have_match_nothing() {
    let url = postgres().fresh();
    let store = open_in(&url).await.unwrap();
    store
        .create_topic(TopicConfig::postgres("t", &url))
        .await
        .unwrap();
    store.append_events("t", counted(1)).await.unwrap();
    for filter in [
        EventFilter::all().types(["\0"]),
        EventFilter::all().tags(["a\0"]),
        EventFilter::all().streams(["\0"]),
        EventFilter::all().stream_prefix("\0"),
    ] {
        let read = Read::all().filter(filter.clone());
        assert!(store.get_events("t", read).await.unwrap().is_empty());
        let guarded = Append::new([counted(2)]).unless(filter, Position::START);
        store.append_events("t", guarded).await.unwrap();
    }
    store.close().await.unwrap();
}

#[tokio::test]
async fn what_is_sent_is_encrypted_where_the_url_says_so() {
    let server = Postgres::start(&[("ssl", "on")]);
    let url = server.url().replace("sslmode=disable", "sslmode=require");
    let ours = format!("{url}&annals.application_name=encrypted");
    let store = open_in(&ours).await.unwrap();
    store
        .create_topic(TopicConfig::postgres("t", &ours))
        .await
        .unwrap();
    store.append_events("t", counted(1)).await.unwrap();
    let mut connection = sql_connection(server.url()).await;
    let row = sqlx::query(
        "SELECT count(*), count(*) FILTER (WHERE s.ssl) FROM pg_stat_ssl s \
         JOIN pg_stat_activity a USING (pid) WHERE a.application_name = 'encrypted'",
    )
    .fetch_one(&mut connection)
    .await
    .unwrap();
    let (all, encrypted): (i64, i64) = (row.get(0), row.get(1));
    assert!(all > 1 && all == encrypted, "{encrypted} of {all}");
    store.close().await.unwrap();
    // Nobody vouches for the server.
    let strict = server
        .url()
        .replace("sslmode=disable", "sslmode=verify-full");
    let error = open_in(&strict).await.unwrap_err();
    assert!(
        matches!(error, Error::RepositoryUnavailable { .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_server_without_a_free_connection_says_so_and_is_used_when_it_has_one() {
    let server = Postgres::start(&[("max_connections", "12")]);
    let url = server.with("append_connections", "1") + "&annals.read_connections=8";
    let store = open_in(&url).await.unwrap();
    // Its connections are not those of the configuration.
    let own = url.clone() + "&annals.application_name=own";
    store
        .create_topic(TopicConfig::postgres("t", &own))
        .await
        .unwrap();
    store.close().await.unwrap();
    let store = open_in(&url).await.unwrap();
    let mut others = Vec::new();
    // Those that were closed before are free a little later.
    let mut full = 0;
    while full < 10 {
        if let Ok(connection) = PgConnection::connect(server.url()).await {
            others.push(connection);
            full = 0;
        } else {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            full += 1;
        }
    }
    let mut refused = 0;
    let mut appends = Vec::new();
    for number in 0..20 {
        let store = store.clone();
        appends.push(tokio::spawn(async move {
            store.append_events("t", counted(number)).await
        }));
    }
    // What reads at once needs more connections than there are.
    let reads: Vec<_> = (0..16)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { store.get_events("t", Read::all()).await })
        })
        .collect();
    let mut unread = 0;
    for read in reads {
        if let Err(error) = read.await.unwrap() {
            assert!(is_unavailable(&error, "no connection left"), "{error:?}");
            unread += 1;
        }
    }
    assert!(unread > 0, "there was a connection left");
    for append in appends {
        match append.await.unwrap() {
            Ok(_) => {}
            Err(error) => {
                assert!(is_unavailable(&error, "no connection left"), "{error:?}");
                refused += 1;
            }
        }
    }
    assert!(refused > 0, "there was a connection left");
    for connection in others {
        connection.close().await.unwrap();
    }
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    store.append_events("t", counted(21)).await.unwrap();
    let log = store.get_events("t", Read::all()).await.unwrap();
    assert_eq!(log.len(), 21 - refused);
    store.close().await.unwrap();
}
