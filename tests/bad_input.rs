//! Bad input: every rule of names, sizes and settings is said by the right error, and nothing is
//! written or made.

#![cfg(test)]

use std::path::{Path, PathBuf};

use annals::{
    Append, ConfigurationStream, Error, EventStore, EventStoreConfig, Limits, NewEvent, Position,
    Read, TopicConfig,
};
use serde_json::json;
use tempfile::TempDir;

struct Fixture {
    store: EventStore,
    directory: TempDir,
}

const TOPICS: [&str; 2] = ["memory", "file"];

impl Fixture {
    async fn new() -> Self {
        Self::with(|config| config).await
    }

    async fn with(settings: impl FnOnce(EventStoreConfig) -> EventStoreConfig) -> Self {
        let directory = TempDir::new().unwrap();
        let data = directory.path().join("data");
        let config = EventStoreConfig::new(ConfigurationStream::file(text(&data)));
        let store = EventStore::open(settings(config)).await.unwrap();
        let this = Self { store, directory };
        for config in [TopicConfig::memory("memory"), this.in_files("file")] {
            this.store.create_topic(config).await.unwrap();
        }
        for topic in TOPICS {
            this.store
                .append_events(topic, Append::new([event("First")]).stream("one"))
                .await
                .unwrap();
        }
        this
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn in_files(&self, topic: &str) -> TopicConfig {
        TopicConfig::file(topic, text(&self.data()))
    }

    /// Appends to each topic, sees the append refused, and sees that nothing was written.
    async fn refused(&self, append: Append) -> Error {
        let mut answer = None;
        for topic in TOPICS {
            let error = self
                .store
                .append_events(topic, append.clone())
                .await
                .unwrap_err();
            assert!(!error.is_retryable(), "{error}");
            let head = self.store.get_latest_version(topic).await.unwrap();
            assert_eq!(head.get(), 1, "{error}");
            let one = self.store.get_stream(topic, "one").await.unwrap();
            assert_eq!(one.version.get(), 1, "{error}");
            answer = Some(error);
        }
        answer.unwrap()
    }

    /// What is configured and what is on disk, to compare.
    async fn made(&self) -> (Vec<annals::TopicInfo>, Vec<PathBuf>) {
        let mut paths = Vec::new();
        walk(self.directory.path(), &mut paths);
        paths.sort();
        (self.store.list_topics().await.unwrap(), paths)
    }
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

fn walk(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, found);
        }
        found.push(path);
    }
}

fn event(event_type: &str) -> NewEvent {
    NewEvent::json(event_type, &json!({})).unwrap()
}

#[tokio::test]
async fn a_topic_name_that_breaks_the_rule_is_refused_and_the_rule_is_said() {
    let at = Fixture::new().await;
    let before = at.made().await;
    let long = "x".repeat(129);
    let huge = "x".repeat(1 << 20);
    for name in [
        "",
        ".",
        "..",
        ".hidden",
        "-a",
        "_a",
        "a b",
        "a/b",
        "../escape",
        "/etc/passwd",
        "a\\b",
        "a\0b",
        "a\nb",
        "a:b",
        "a%2fb",
        "ä",
        "日本",
        "$configuration",
        "a$",
        "a\u{202e}b",
        &long,
        &huge,
    ] {
        for config in [TopicConfig::memory(name), at.in_files(name)] {
            let error = at.store.create_topic(config).await.unwrap_err();
            assert!(matches!(error, Error::InvalidTopicName { .. }), "{error}");
            let said = error.to_string();
            assert!(said.contains("128") && said.contains("letter"), "{said}");
            assert!(said.len() < 2000, "{}", said.len());
        }
        // Where a topic is only looked for, there is none of that name.
        let error = at.store.append_events(name, event("A")).await.unwrap_err();
        assert!(matches!(error, Error::TopicNotFound { .. }), "{error}");
        assert!(error.to_string().len() < 2000);
        let error = at.store.delete_topic(name).await.unwrap_err();
        assert!(matches!(error, Error::TopicNotFound { .. }), "{error}");
    }
    assert_eq!(at.made().await, before);
    at.store.close().await.unwrap();
}

#[tokio::test]
async fn the_longest_and_oddest_names_that_are_allowed_work() {
    let at = Fixture::new().await;
    let longest = "x".repeat(128);
    for name in ["0", "CON", "a..", "a.-_9", "A", "a", "topic.json", &longest] {
        at.store.create_topic(at.in_files(name)).await.unwrap();
        let receipt = at.store.append_events(name, event("A")).await.unwrap();
        assert_eq!(receipt.first, Position::new(1), "{name}");
    }
    at.store.close().await.unwrap();
}

#[tokio::test]
async fn an_event_that_breaks_a_rule_is_named_with_the_reason() {
    let at = Fixture::new().await;
    let ok = || event("Fine");
    let bad = [
        (event(""), "type"),
        (event(&"x".repeat(257)), "256"),
        (event("$stream-deleted"), "$"),
        (event("$"), "$"),
        (event("a\nb"), "control"),
        (ok().stream("x".repeat(513)), "512"),
        (ok().stream("a\0b"), "control"),
        (ok().stream("a\u{85}b"), "control"),
        (ok().tags(vec!["t"; 65]), "64"),
        (ok().tag("x".repeat(257)), "256"),
        (ok().tag(""), "tag"),
        (ok().tag("a\u{1f}b"), "control"),
        (NewEvent::binary("A", "", "x"), "content type"),
        (NewEvent::binary("A", "a\nb", "x"), "control"),
    ];
    for (event, reason) in bad {
        let append = Append::new([ok(), ok(), event, ok()]).stream("one");
        let error = at.refused(append).await;
        assert!(
            matches!(error, Error::InvalidEvent { index: 2, .. }),
            "{error}"
        );
        let said = error.to_string();
        assert!(said.contains(reason) && said.contains('2'), "{said}");
    }
    let good = [
        event(&"x".repeat(256)),
        ok().stream("x".repeat(512)),
        ok().stream("../../../etc/passwd"),
        ok().stream("a/b\\c:d%00*?\"<>|"),
        ok().tags((0..64).map(|tag| format!("{tag:0256}"))),
        event("not $reserved"),
    ];
    for topic in TOPICS {
        let append = Append::new(good.clone());
        let receipt = at.store.append_events(topic, append).await.unwrap();
        assert_eq!(receipt.last.get(), 7);
        let hostile = Read::stream("../../../etc/passwd");
        assert_eq!(at.store.get_events(topic, hostile).await.unwrap().len(), 1);
    }
    at.store.close().await.unwrap();
}

#[tokio::test]
async fn a_stream_id_that_breaks_the_rule_is_refused_everywhere() {
    let at = Fixture::new().await;
    for id in ["a\nb", "\0", "\u{7f}", &"x".repeat(513)] {
        let error = at.refused(Append::new([event("A")]).stream(id)).await;
        assert!(matches!(error, Error::InvalidStreamId { .. }), "{error}");
        for topic in TOPICS {
            let answers = [
                at.store.get_stream(topic, id).await.unwrap_err(),
                at.store.delete_stream(topic, id).await.unwrap_err(),
                at.store.restore_stream(topic, id).await.unwrap_err(),
                at.store
                    .get_events(topic, Read::stream(id))
                    .await
                    .unwrap_err(),
            ];
            for error in answers {
                assert!(matches!(error, Error::InvalidStreamId { .. }), "{error}");
            }
        }
    }
    at.store.close().await.unwrap();
}

#[tokio::test]
async fn an_append_that_breaks_a_rule_as_a_whole_is_refused() {
    let at = Fixture::new().await;
    let twice = event("A");
    let appends = [
        Append::new([]),
        Append::new([]).stream("one").idempotency_key("key"),
        Append::new([twice.clone(), event("B"), twice]),
        Append::new([event("A")]).idempotency_key(""),
        Append::new([event("A")]).idempotency_key("k".repeat(513)),
        Append::new([event("A"), {
            let given = event("B");
            let id = given.event_id();
            given.id(id)
        }])
        .idempotency_key("key"),
    ];
    for append in appends {
        let error = at.refused(append).await;
        assert!(matches!(error, Error::InvalidAppend { .. }), "{error}");
    }
    at.store.close().await.unwrap();
}

#[tokio::test]
async fn what_is_too_large_is_refused_with_limit_and_size() {
    let at = Fixture::new().await;
    const MIB: usize = 1 << 20;
    let bytes = |size: usize| NewEvent::binary("Bytes", "text/plain", vec![b'x'; size]);
    let cases = [
        (Append::new([bytes(MIB + 1)]), MIB, MIB + 1),
        (
            Append::new([event("A"), event("B").metadata_bytes(vec![b'x'; MIB + 1])]),
            MIB,
            MIB + 1,
        ),
        (Append::new((0..10_001).map(|_| event("A"))), 10_000, 10_001),
        (
            Append::new((0..16).map(|_| bytes(MIB))),
            16 * MIB,
            16 * MIB + 16 * ("Bytes".len() + "text/plain".len()),
        ),
    ];
    for (append, limit, actual) in cases {
        let error = at.refused(append).await;
        let Error::TooLarge {
            limit: told,
            actual: found,
            ..
        } = error
        else {
            panic!("{error}")
        };
        assert_eq!((told, found), (limit as u64, actual as u64));
    }
    for topic in TOPICS {
        let largest = Append::new([bytes(MIB)]);
        at.store.append_events(topic, largest).await.unwrap();
        let most = Append::new((0..10_000).map(|_| event("A")));
        let receipt = at.store.append_events(topic, most).await.unwrap();
        assert_eq!(receipt.last.get(), 10_002);
    }
    at.store.close().await.unwrap();
}

#[tokio::test]
async fn limits_can_be_set_but_not_beyond_sixteen_mebibytes() {
    let unlimited = Limits {
        payload_bytes: usize::MAX,
        append_bytes: usize::MAX,
        append_events: usize::MAX,
        ..Limits::default()
    };
    let at = Fixture::with(|config| config.limits(unlimited)).await;
    let bytes = |size: usize| NewEvent::binary("B", "b", vec![b'x'; size]);
    for append in [
        Append::new([bytes((16 << 20) + 1)]),
        Append::new([bytes(16 << 20)]),
        Append::new((0..10_001).map(|_| event("A"))),
    ] {
        let error = at.refused(append).await;
        assert!(matches!(error, Error::TooLarge { .. }), "{error}");
    }
    for topic in TOPICS {
        let largest = Append::new([bytes((16 << 20) - 2)]);
        at.store.append_events(topic, largest).await.unwrap();
        let read = at.store.get_events(topic, Read::all()).await.unwrap();
        assert_eq!(read[1].payload.len(), (16 << 20) - 2);
    }
    at.store.close().await.unwrap();
}

#[tokio::test]
async fn a_setting_that_is_wrong_is_named_with_what_is_allowed() {
    let at = Fixture::new().await;
    let before = at.made().await;
    let data = text(&at.data());
    let cases = [
        (
            TopicConfig::new("bad", "files", &data),
            "adapter",
            "`memory`",
        ),
        (TopicConfig::new("bad", "", &data), "adapter", "`file`"),
        (TopicConfig::file("bad", ""), "connection", "directory"),
        (TopicConfig::file("bad", "a\0b"), "connection", "directory"),
        (
            TopicConfig::file("bad", "${ANNALS_TEST_MISSING}/x"),
            "connection",
            "`ANNALS_TEST_MISSING`",
        ),
        (TopicConfig::file("bad", "${OPEN"), "connection", "`}`"),
        (
            at.in_files("bad").option("segment", "1"),
            "`segment`",
            "`segment_bytes`",
        ),
        (
            at.in_files("bad").option("sync", "sometimes"),
            "`sync`",
            "`always`",
        ),
        (
            at.in_files("bad").option("segment_bytes", "4095"),
            "`segment_bytes`",
            "4096",
        ),
        (
            at.in_files("bad").option("segment_bytes", "-1"),
            "`segment_bytes`",
            "4096",
        ),
        (
            TopicConfig::memory("bad").option("sync", "always"),
            "`sync`",
            "no options",
        ),
        (
            TopicConfig::new("bad", "custom", "x://user:secret@host"),
            "connection",
            "${NAME}",
        ),
        (
            at.in_files("bad").option("password", "secret"),
            "`password`",
            "${NAME}",
        ),
    ];
    for (config, key, allowed) in cases {
        let shown = format!("{config:?}");
        let error = at.store.create_topic(config).await.unwrap_err();
        let Error::InvalidConfig { key: named, reason } = &error else {
            panic!("{shown}: {error}")
        };
        assert!(named.contains(key), "{shown}: {error}");
        assert!(reason.contains(allowed), "{shown}: {error}");
        assert!(!error.is_retryable());
    }
    assert_eq!(at.made().await, before);
    at.store.create_topic(at.in_files("bad")).await.unwrap();
    at.store.close().await.unwrap();
}

#[tokio::test]
async fn a_store_with_a_wrong_configuration_stream_does_not_open() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "not a directory").unwrap();
    let invalid = [
        ConfigurationStream::new("files", "x"),
        ConfigurationStream::file(""),
        ConfigurationStream::file("${ANNALS_TEST_MISSING}"),
        ConfigurationStream::file(text(&directory.path().join("new"))).option("sink", "x"),
        ConfigurationStream::memory().option("sync", "always"),
    ];
    for configuration in invalid {
        let shown = format!("{configuration:?}");
        let opened = EventStore::open(EventStoreConfig::new(configuration)).await;
        assert!(
            matches!(opened, Err(Error::InvalidConfig { .. })),
            "{shown}: {opened:?}"
        );
    }
    let no_directory = ConfigurationStream::file(text(&file));
    let opened = EventStore::open(EventStoreConfig::new(no_directory)).await;
    assert!(
        matches!(opened, Err(Error::RepositoryUnavailable { .. })),
        "{opened:?}"
    );
    let never = ConfigurationStream::file(text(&directory.path().join("never")));
    let opened = EventStore::open(EventStoreConfig::new(never).read_only()).await;
    assert!(opened.is_err(), "{opened:?}");
    assert!(!directory.path().join("never").exists());
    assert_eq!(std::fs::read(&file).unwrap(), b"not a directory");
}

#[tokio::test]
async fn a_topic_that_is_refused_makes_no_directory() {
    let at = Fixture::new().await;
    let elsewhere = at.directory.path().join("elsewhere");
    let wrong_option = TopicConfig::file("bad", text(&elsewhere)).option("sink", "x");
    let error = at.store.create_topic(wrong_option).await.unwrap_err();
    assert!(matches!(error, Error::InvalidConfig { .. }), "{error}");
    assert!(!elsewhere.exists(), "a directory was made for nothing");
    at.store.close().await.unwrap();
}

#[tokio::test]
#[ignore = "a repository that no topic uses and that could not be opened stays in the report"]
async fn a_topic_that_could_not_be_created_leaves_health_as_it_was() {
    let at = Fixture::new().await;
    let file = at.directory.path().join("file");
    std::fs::write(&file, "not a directory").unwrap();
    let no_directory = TopicConfig::file("bad", text(&file));
    let error = at.store.create_topic(no_directory).await.unwrap_err();
    assert!(
        matches!(error, Error::RepositoryUnavailable { .. }),
        "{error}"
    );
    let report = at.store.health().await;
    assert_eq!(report.status, annals::HealthStatus::Up, "{report:?}");
    at.store.close().await.unwrap();
}
