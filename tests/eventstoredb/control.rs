//! Who may do what: an access file is kept to by this API too.

use annals::{
    Append, ConfigurationStream, EventStore, EventStoreConfig, NewEvent, Read, TopicConfig,
    server::{NewToken, ServerConfig, new_token},
};
use serde_json::json;
use tempfile::TempDir;

use super::server::{Answer, Served};

const EVENTS: &str = "Content-Type: application/vnd.eventstore.events+json";
const ONE: &str =
    r#"[{"eventId":"00000000-0000-4000-8000-000000000001","eventType":"T","data":{"a":1}}]"#;
/// A link to an event of a topic that its reader may not read.
const LINK: &str =
    r#"[{"eventId":"00000000-0000-4000-8000-000000000002","eventType":"$>","data":"0@secret-1"}]"#;

struct World {
    served: Served,
    reader: NewToken,
    writer: NewToken,
    /// Of the access file, which is read again and again.
    _directory: TempDir,
}

#[derive(Clone, Copy, Debug)]
enum As {
    Nobody,
    Wrong,
    /// May read `order`.
    Reader,
    /// May read `order` and the default topic, and append to them.
    Writer,
}

impl World {
    /// A server with topics for orders and for secrets.
    async fn start() -> Self {
        let config = EventStoreConfig::new(ConfigurationStream::memory());
        let store = EventStore::open(config).await.unwrap();
        for topic in ["order", "secret"] {
            store
                .create_topic(TopicConfig::memory(topic))
                .await
                .unwrap();
        }
        let event = NewEvent::json("T", &json!({ "hidden": "truth" })).unwrap();
        let append = Append::new([event]).stream("secret-1");
        store.append_events("secret", append).await.unwrap();
        let (reader, writer) = (new_token().unwrap(), new_token().unwrap());
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("access.toml");
        let text = format!(
            "[[caller]]\nname = \"reader\"\ntokens = [\"{}\"]\n\
             allow = [{{ topics = [\"order\"], actions = [\"read\"] }}]\n\
             [[caller]]\nname = \"writer\"\ntokens = [\"{}\"]\n\
             allow = [{{ topics = [\"order\", \"streams\"], actions = [\"read\", \"append\"] }}]\n",
            reader.sha256, writer.sha256
        );
        std::fs::write(&path, text).unwrap();
        let config = ServerConfig::new()
            .default_placement("memory", "")
            .access_file(&path);
        let served = Served::with(store, config).await;
        Self {
            served,
            reader,
            writer,
            _directory: directory,
        }
    }

    async fn ask(&self, caller: As, request: &str, headers: &str, body: &str) -> Answer {
        let shown = match caller {
            As::Nobody => None,
            As::Wrong => Some("annals_wrong"),
            As::Reader => Some(self.reader.token.as_str()),
            As::Writer => Some(self.writer.token.as_str()),
        };
        let shown = shown.map(|token| format!("Authorization: Bearer {token}"));
        let headers = format!("{headers}\n{}", shown.unwrap_or_default());
        self.served.ask(request, headers.trim(), body).await
    }

    async fn post(&self, caller: As, path: &str, body: &str) -> u16 {
        let request = format!("POST {path}");
        self.ask(caller, &request, EVENTS, body).await.code
    }

    async fn get(&self, caller: As, path: &str) -> Answer {
        let accept = "Accept: application/vnd.eventstore.atom+json";
        self.ask(caller, &format!("GET {path}"), accept, "").await
    }
}

#[tokio::test]
async fn only_who_may_append_to_a_topic_writes_and_deletes_its_streams() {
    let world = World::start().await;
    let paths = [
        "/streams/order-1",
        "/streams/order-1/metadata",
        "/streams/order-1?topic=order",
        "/streams/plain",
        "/streams/secret-1",
        "/streams/order-1?topic=secret",
    ];
    for path in paths {
        for (caller, code) in [(As::Nobody, 401), (As::Wrong, 401), (As::Reader, 403)] {
            assert_eq!(
                world.post(caller, path, ONE).await,
                code,
                "{caller:?} {path}"
            );
            let deletion = format!("DELETE {path}");
            let deletion = world.ask(caller, &deletion, "", "").await;
            let is_metadata = path.ends_with("/metadata");
            assert!(is_metadata || deletion.code == code, "{caller:?} {path}");
        }
    }
    let hidden = ["/streams/secret-1", "/streams/order-1?topic=secret"];
    for path in hidden {
        assert_eq!(world.post(As::Writer, path, ONE).await, 403, "{path}");
        let deletion = format!("DELETE {path}");
        let deletion = world.ask(As::Writer, &deletion, "", "").await;
        assert_eq!(deletion.code, 403, "{path}");
    }
    // Nothing of it was done.
    let store = &world.served.store;
    assert_eq!(store.get_latest_version("order").await.unwrap().get(), 0);
    assert_eq!(store.get_latest_version("secret").await.unwrap().get(), 1);
    let topics = store.list_topics().await.unwrap();
    assert!(topics.iter().all(|topic| topic.name.as_str() != "streams"));
    for path in ["/streams/order-1", "/streams/plain"] {
        assert_eq!(world.post(As::Writer, path, ONE).await, 201, "{path}");
        let deletion = format!("DELETE {path}");
        let deletion = world.ask(As::Writer, &deletion, "", "").await;
        assert_eq!(deletion.code, 204, "{path}");
    }
    world.served.stop().await;
}

#[tokio::test]
async fn only_who_may_read_a_topic_reads_its_streams() {
    let world = World::start().await;
    for path in ["/streams/order-1", "/streams/plain"] {
        assert_eq!(world.post(As::Writer, path, ONE).await, 201, "{path}");
    }
    let below = ["", "/0", "/head/backward/5", "/0/forward/5", "/metadata"];
    for (stream, query, reader, writer) in [
        ("order-1", "", 200, 200),
        ("order-1", "?topic=order", 200, 200),
        ("plain", "", 403, 200),
        ("secret-1", "", 403, 403),
        ("secret-2", "", 403, 403),
        ("order-1", "?topic=secret", 403, 403),
    ] {
        for below in below {
            let path = format!("/streams/{stream}{below}{query}");
            for (caller, code) in [
                (As::Nobody, 401),
                (As::Wrong, 401),
                (As::Reader, reader),
                (As::Writer, writer),
            ] {
                let answer = world.get(caller, &path).await;
                assert_eq!(answer.code, code, "{caller:?} {path}: {answer:?}");
                assert!(!answer.body.contains("truth"), "{caller:?} {path}");
            }
        }
        let request = format!("GET /streams/{stream}/7/forward/5{query}");
        let polled = world.ask(As::Reader, &request, "ES-LongPoll: 1", "").await;
        assert_eq!(polled.code, reader, "{request}");
    }
    world.served.stop().await;
}

#[tokio::test]
async fn all_events_are_those_of_topics_that_may_be_read_and_links_lead_to_no_others() {
    let world = World::start().await;
    assert_eq!(world.post(As::Writer, "/streams/order-1", LINK).await, 201);
    assert_eq!(world.post(As::Writer, "/streams/plain", ONE).await, 201);
    let start = "0".repeat(32);
    let all = [
        "/streams/%24all?embed=body".to_owned(),
        format!("/streams/%24all/{start}/forward/9?embed=body"),
        "/streams/%24all/filtered?embed=body".to_owned(),
    ];
    for path in &all {
        for caller in [As::Nobody, As::Wrong] {
            assert_eq!(world.get(caller, path).await.code, 401, "{caller:?} {path}");
        }
        let answer = world.get(As::Reader, path).await;
        assert_eq!(answer.code, 200, "{path}: {answer:?}");
        let page: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(page["entries"].as_array().unwrap().len(), 1, "{page}");
        assert!(answer.body.contains("order-1"), "{path}");
        assert!(!answer.body.contains("truth"), "{path}");
    }
    let linking = world.get(As::Reader, "/streams/order-1?embed=body").await;
    assert_eq!(linking.code, 200);
    assert!(!linking.body.contains("truth"), "{}", linking.body);
    let read = Read::stream("order-1");
    let recorded = world.served.store.get_events("order", read).await.unwrap();
    assert_eq!(recorded.len(), 1);
    world.served.stop().await;
}
