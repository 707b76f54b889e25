//! Each system call that touches files fails once, at each of its occurrences, while a short program
//! runs: nothing is acknowledged that is not there afterwards, nothing is there that was refused, and
//! the store opens and goes on.
//!
//! The program is this test binary, started anew under `strace`, which injects the errors; it counts
//! occurrences thread by thread. Writes that are cut short are real ones, in `disk_full.rs`.

#![cfg(all(test, feature = "file", target_os = "linux"))]

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::Command,
};

use annals::{
    Append, ConfigurationStream, Error, EventStore, EventStoreConfig, NewEvent, Read, TopicConfig,
};
use futures_util::future::join_all;
use tempfile::TempDir;
use uuid::Uuid;

const DIRECTORY: &str = "ANNALS_EVERY_FAULT_DIRECTORY";

/// The calls, the errors that each may give, and how many occurrences are gone through.
const FAULTS: [(&str, &[&str], usize); 9] = [
    ("pwrite64", &["EIO", "ENOSPC", "EINTR"], 14),
    ("fdatasync", &["EIO", "ENOSPC"], 8),
    ("fsync", &["EIO", "ENOSPC"], 14),
    ("openat", &["EIO", "EMFILE"], 24),
    ("rename", &["EIO", "ENOSPC"], 3),
    ("ftruncate", &["EIO", "ENOSPC"], 3),
    ("unlink", &["EIO"], 2),
    ("unlinkat", &["EIO"], 4),
    ("mkdir", &["EIO", "ENOSPC"], 4),
];

/// The appends of the program: topic, and the lengths of their events.
const APPENDS: [(&str, &[usize]); 7] = [
    ("a", &[100]),
    // These three go at once.
    ("a", &[200]),
    ("b", &[300]),
    ("c", &[10]),
    ("a", &[1500, 1500, 1500]),
    ("a", &[50]),
    ("b", &[60]),
];
const AT_ONCE: std::ops::Range<usize> = 1..4;

fn ids(nth: usize) -> impl Iterator<Item = Uuid> {
    (0..APPENDS[nth].1.len()).map(move |event| Uuid::from_u128((nth * 10 + event + 1) as u128))
}

fn append(nth: usize) -> Append {
    let events = ids(nth).zip(APPENDS[nth].1).map(|(id, length)| {
        let payload = vec![nth as u8; *length];
        NewEvent::binary("Written", "text/plain", payload).id(id)
    });
    Append::new(events).stream("s")
}

async fn open(directory: &Path) -> Result<EventStore, Error> {
    let stream = ConfigurationStream::file(directory.display().to_string());
    EventStore::open(EventStoreConfig::new(stream)).await
}

fn word<T>(answer: &Result<T, Error>) -> &'static str {
    match answer {
        Ok(_) => "ok",
        Err(Error::OutcomeUnknown { .. }) => "unknown",
        Err(_) => "refused",
    }
}

/// The program. Does nothing when run as one test among the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn child_whose_calls_fail() {
    let Ok(directory) = std::env::var(DIRECTORY) else {
        return;
    };
    println!("BEGUN");
    let store = match open(Path::new(&directory)).await {
        Ok(store) => store,
        Err(_) => return println!("ENDED"),
    };
    for topic in ["a", "b", "c"] {
        let config = TopicConfig::file(topic, &directory).option("segment_bytes", "4096");
        let answer = store.create_topic(config).await;
        println!("CREATE {topic} {}", word(&answer));
    }
    let tell = |nth: usize, answer: &Result<_, Error>| println!("APPEND {nth} {}", word(answer));
    let one = async |nth: usize| {
        let answer = store.append_events(APPENDS[nth].0, append(nth)).await;
        tell(nth, &answer);
    };
    one(0).await;
    join_all(AT_ONCE.map(one)).await;
    for nth in AT_ONCE.end..APPENDS.len() {
        one(nth).await;
    }
    println!("DELETE c {}", word(&store.delete_topic("c").await));
    println!("PURGE c {}", word(&store.purge_topic("c").await));
    let _may_fail = store.close().await;
    println!("ENDED");
}

/// What the program was answered, by what it asked; none where it was not begun.
fn run(directory: &Path, inject: &str) -> Option<BTreeMap<String, String>> {
    let call = inject.split(':').next().unwrap();
    let output = Command::new("timeout")
        .args(["60", "strace", "-f", "-o", "/dev/null", "-e"])
        .arg(format!("trace={call}"))
        .args(["-e", &format!("inject={inject}")])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "child_whose_calls_fail", "--nocapture"])
        .env(DIRECTORY, directory)
        .output()
        .expect("strace is installed (scripts/test sees to it)");
    let text = String::from_utf8_lossy(&output.stdout);
    if !text.contains("BEGUN") {
        return None;
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        text.contains("ENDED"),
        "{inject}: it did not end in order: {text}\n{errors}"
    );
    assert!(!errors.contains("panicked"), "{inject}: {errors}");
    let answers = text.lines().filter_map(|line| {
        let at = ["CREATE ", "APPEND ", "DELETE ", "PURGE "]
            .iter()
            .find_map(|word| line.find(word))?;
        let (asked, answer) = line[at..].rsplit_once(' ')?;
        Some((asked.to_owned(), answer.to_owned()))
    });
    Some(answers.collect())
}

/// Opens the store without faults, and holds it against what was answered.
async fn check(directory: &Path, answers: &BTreeMap<String, String>, inject: &str) {
    let store = open(directory)
        .await
        .unwrap_or_else(|error| panic!("{inject}: {error}"));
    let topics: BTreeSet<_> = store
        .list_topics()
        .await
        .unwrap()
        .into_iter()
        .map(|one| one.name.to_string())
        .collect();
    let mut unknown = BTreeSet::new();
    for (nth, (topic, lengths)) in APPENDS.iter().enumerate() {
        let answer = answers
            .get(&format!("APPEND {nth}"))
            .map_or("none", String::as_str);
        // Appends that go at once are answered in any order.
        if !AT_ONCE.contains(&nth) {
            assert!(
                answer != "ok" || !unknown.contains(topic),
                "{inject}: {topic} went on after it was unknown"
            );
        }
        if answer == "unknown" {
            unknown.insert(*topic);
        }
        if *topic == "c" {
            continue;
        }
        let created = answers
            .get(&format!("CREATE {topic}"))
            .map_or("none", String::as_str);
        match created {
            "ok" => assert!(topics.contains(*topic), "{inject}: {topic} is gone"),
            "refused" => assert!(!topics.contains(*topic), "{inject}: {topic} is there"),
            _ => {}
        }
        if !topics.contains(*topic) {
            assert_ne!(answer, "ok", "{inject}");
            continue;
        }
        let events = store.get_events(topic, Read::all()).await.unwrap();
        let there: Vec<_> = ids(nth)
            .filter_map(|id| events.iter().find(|event| event.id == id))
            .collect();
        match answer {
            "ok" => assert_eq!(there.len(), lengths.len(), "{inject}: append {nth} is gone"),
            "unknown" => assert!(
                [0, lengths.len()].contains(&there.len()),
                "{inject}: half of {nth}"
            ),
            _ => assert!(there.is_empty(), "{inject}: append {nth} was refused"),
        }
        for (event, length) in there.iter().zip(*lengths) {
            assert_eq!(event.payload, vec![nth as u8; *length], "{inject}");
        }
        let receipt = store.append_events(topic, append(nth)).await.unwrap();
        assert_eq!(
            receipt.duplicate,
            !there.is_empty(),
            "{inject}: append {nth} again"
        );
    }
    for topic in topics {
        store
            .verify_topic(&topic)
            .await
            .unwrap_or_else(|error| panic!("{inject}: {error}"));
    }
    store.close().await.unwrap();
}

#[test]
fn whatever_fails_nothing_is_lost_and_nothing_is_claimed() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (mut runs, mut refused, mut unknown) = (0, 0, 0);
    for (call, errors, occurrences) in FAULTS {
        for error in errors {
            for when in 1..=occurrences {
                for lasting in ["", "+"] {
                    // A call that is interrupted for ever is tried for ever.
                    if *error == "EINTR" && lasting == "+" {
                        continue;
                    }
                    let inject = format!("{call}:error={error}:when={when}{lasting}");
                    let directory = TempDir::new().unwrap();
                    let Some(answers) = run(directory.path(), &inject) else {
                        continue;
                    };
                    runs += 1;
                    refused += answers
                        .values()
                        .filter(|answer| *answer == "refused")
                        .count();
                    unknown += answers
                        .values()
                        .filter(|answer| *answer == "unknown")
                        .count();
                    runtime.block_on(check(directory.path(), &answers, &inject));
                }
            }
        }
    }
    println!("{runs} runs; {refused} calls were refused, of {unknown} the outcome was unknown");
    assert!(refused > 20 && unknown > 5, "the faults hit nothing");
}
