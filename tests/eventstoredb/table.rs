//! Requests, and exactly what is answered to them: `requests.http`.
//!
//! A block is a request and its answer, `->` between them and `====` behind; blocks are sent in order.
//! The body of a request stands in one line; that of an answer too, and white space between the members
//! of a document is not compared. `{base}` is the server's address, `{time}` any time, `{id}` any id.
//! Headers that are not among [`COMPARED`] are not looked at; those that are have to be there, or not,
//! exactly as the table says.

use std::{fmt::Write as _, fs, path::Path};

use annals::{
    ConfigurationStream, EventStore, EventStoreConfig, TopicConfig, server::ServerConfig,
};

use super::server::{Answer, Served};

/// The headers that the table speaks of.
const COMPARED: &[&str] = &[
    "allow",
    "cache-control",
    "content-type",
    "es-currentversion",
    "etag",
    "kurrent-currentversion",
    "location",
    "vary",
];

const TABLE: &str = include_str!("requests.http");

#[tokio::test]
async fn every_request_of_the_table_is_answered_exactly_so() {
    is_answered_so("memory", "").await;
}

#[tokio::test]
async fn every_request_of_the_table_is_answered_exactly_so_where_topics_are_in_files() {
    let directory = tempfile::tempdir().unwrap();
    is_answered_so("file", directory.path().to_str().unwrap()).await;
}

/// Sends the table to a server whose topics are there.
async fn is_answered_so(adapter: &str, connection: &str) {
    let config = EventStoreConfig::new(ConfigurationStream::new(adapter, connection));
    let store = EventStore::open(config).await.unwrap();
    for topic in ["order", "sealed"] {
        let topic = TopicConfig::new(topic, adapter, connection);
        store.create_topic(topic).await.unwrap();
    }
    let config = ServerConfig::new().default_placement(adapter, connection);
    let served = Served::with(store, config).await;
    let (mut wrong, mut actual_table) = (0, String::new());
    for block in TABLE
        .split("====\n")
        .filter(|block| !block.trim().is_empty())
    {
        let (asked, expected) = block.split_once("->\n").unwrap_or((block, ""));
        let (comments, asked) = comments_of(asked);
        let actual = shown(&served, &send(&served, asked).await);
        if actual.trim() != expected.trim() {
            wrong += 1;
            eprintln!("{comments}{asked}->\n{expected}\nbut it was\n{actual}");
        }
        write!(actual_table, "{comments}{asked}->\n{actual}\n====\n").unwrap();
    }
    // For the eye of whoever changes an answer on purpose.
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("requests-{adapter}.http"));
    fs::write(&path, actual_table).unwrap();
    assert_eq!(wrong, 0, "all that was answered is in {}", path.display());
    let store = served.store.clone();
    served.stop().await;
    store.close().await.unwrap();
}

fn comments_of(block: &str) -> (String, &str) {
    let rest = block.trim_start_matches('\n');
    let mut at = 0;
    for line in rest.lines() {
        if !line.starts_with('#') {
            break;
        }
        at += line.len() + 1;
    }
    (rest[..at].to_owned(), &rest[at..])
}

async fn send(served: &Served, asked: &str) -> Answer {
    let (head, body) = asked.split_once("\n\n").unwrap_or((asked.trim_end(), ""));
    let (request, headers) = head.split_once('\n').unwrap_or((head, ""));
    served
        .ask(request, headers, body.trim_end_matches('\n'))
        .await
}

fn shown(served: &Served, answer: &Answer) -> String {
    let mut text = format!("{} {}\n", answer.code, answer.reason);
    for (name, value) in &answer.headers {
        if COMPARED.contains(&name.as_str()) {
            writeln!(text, "{name}: {value}").unwrap();
        }
    }
    if !answer.body.is_empty() {
        write!(text, "\n{}\n", answer.body).unwrap();
    }
    let text = text.replace(&served.base(), "{base}");
    let text = text.replace(&served.address.to_string(), "{host}");
    replace_ids(&replace_times(&text))
}

/// Times, in the one form in which they are written.
fn replace_times(text: &str) -> String {
    let parts: Vec<&str> = text.split("\"updated\":\"20").collect();
    let parts = parts.iter().enumerate().map(|(nth, part)| match nth {
        0 => (*part).to_owned(),
        _ => format!("{{time}}{}", &part[part.find('"').unwrap()..]),
    });
    parts.collect::<Vec<_>>().join("\"updated\":\"")
}

/// Ids that the server has made, which only addresses of single events have.
fn replace_ids(text: &str) -> String {
    match text.split_once("/incoming/") {
        Some((before, after)) => {
            let end = after.find(['\n', '?']).unwrap_or(after.len());
            format!("{before}/incoming/{{id}}{}", &after[end..])
        }
        None => text.to_owned(),
    }
}
