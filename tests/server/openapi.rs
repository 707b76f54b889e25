//! The description of the API is true: it has the routes that there are, and no others; its examples are
//! accepted; and others take it for a description.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use reqwest::Method;
use serde_json::{Value, json};

use crate::http::{Answer, Site};

const DOCUMENT: &str = "/api/v1/openapi.json";
const METHODS: [&str; 5] = ["get", "post", "put", "delete", "patch"];
/// The parts of the server that have routes below `/api/v1`.
const PARTS: [&str; 4] = ["api", "live", "groups", "webhooks"];

type Routes = BTreeMap<String, BTreeSet<String>>;

/// The routes that the source has.
fn routes() -> Routes {
    let server = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/server");
    let mut open: Vec<PathBuf> = PARTS.iter().map(|part| server.join(part)).collect();
    let mut routes = Routes::new();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(
                fs::read_dir(&path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let source = fs::read_to_string(&path).unwrap();
            let source = source.split("#[cfg(test)]").next().unwrap();
            for route in source.split(".route(").skip(1) {
                let (_, rest) = route.split_once('"').unwrap();
                let (path, rest) = rest.split_once('"').unwrap();
                let end = rest.find([';', '}']).unwrap_or(rest.len());
                let named = rest[..end].trim_matches([',', ' ', ')', '\n']);
                // The handlers of a path can have a name.
                let handlers = match source.split_once(&format!("let {named} = ")) {
                    Some((_, named)) => format!(" {}", named.split(';').next().unwrap()),
                    None => rest[..end].to_owned(),
                };
                let has = |method: &&str| {
                    let called = [format!(" {method}("), format!(".{method}(")];
                    called.iter().any(|call| handlers.contains(call))
                };
                let found = METHODS.iter().filter(|method| has(method));
                let methods = routes.entry(path.to_owned()).or_default();
                methods.extend(found.map(ToString::to_string));
            }
        }
    }
    routes
}

fn described(document: &Value) -> Routes {
    let paths = document["paths"].as_object().unwrap().iter();
    paths
        .map(|(path, item)| {
            let members = item.as_object().unwrap().keys();
            let methods = members.filter(|member| METHODS.contains(&member.as_str()));
            (path.clone(), methods.cloned().collect())
        })
        .collect()
}

#[tokio::test]
async fn every_route_is_described_and_every_description_is_a_route() {
    let site = Site::new().await;
    site.memory_topic("t").await;
    let document = site.get(DOCUMENT).await.expect(200);
    let described = described(&document);
    assert_eq!(described, routes());
    assert!(described.len() > 15);
    // And the server has them: it names the methods of a path where another one is tried.
    for (path, methods) in described {
        let path = path
            .replace("{topic}", "t")
            .replace("{stream}", "s")
            .replace("{position}", "1");
        let path = path.replace(['{', '}'], "");
        let request = site.request(Method::TRACE, &format!("/api/v1{path}"));
        let answer = Answer::of(request).await;
        assert_eq!(answer.status, 405, "{path}: {}", answer.text());
        let allowed: BTreeSet<String> = answer
            .header("allow")
            .split(',')
            .map(|method| method.trim().to_lowercase())
            .filter(|method| method != "head")
            .collect();
        assert_eq!(allowed, methods, "{path}");
    }
    site.close().await;
}

#[tokio::test]
async fn the_examples_of_the_description_are_accepted() {
    let site = Site::new().await;
    let document = site.get(DOCUMENT).await.expect(200);
    let mut tried = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in METHODS {
            let Some(contents) = item[method]["requestBody"]["content"].as_object() else {
                continue;
            };
            for (kind, content) in contents {
                let mut examples: Vec<&Value> = content.get("example").into_iter().collect();
                if let Some(more) = content["examples"].as_object() {
                    examples.extend(more.values().map(|example| &example["value"]));
                }
                // Tokens of deliveries and public addresses are nothing that can be shown beforehand.
                let shown = !path.contains("/groups/") && !path.contains("/webhooks/");
                assert!(
                    !examples.is_empty() || !shown,
                    "{method} {path} {kind} has no example"
                );
                for example in examples {
                    let topic = format!("t{tried}");
                    site.topic(&topic).await;
                    let path = path.replace("{topic}", &topic).replace("{stream}", "s");
                    let path = path.replace("{group}", "g");
                    let body = match example {
                        Value::String(text) => text.clone(),
                        other => other.to_string(),
                    };
                    let method = method.to_uppercase().parse().unwrap();
                    let answer = site
                        .send(method, &format!("/api/v1{path}"), kind, body)
                        .await;
                    assert!(
                        answer.status.is_success(),
                        "{path}: {example}: {}",
                        answer.text()
                    );
                    tried += 1;
                }
            }
        }
    }
    assert!(tried >= 15, "{tried}");
    site.close().await;
}

#[tokio::test]
async fn what_is_answered_has_the_members_that_are_described() {
    let site = Site::new().await;
    site.topic("t").await;
    let event = json!({ "type": "A", "stream": "s", "tags": ["x"], "data": 1, "metadata": 2 });
    let receipt = site
        .post_json("/api/v1/topics/t/events", event)
        .await
        .expect(201);
    let document = site.get(DOCUMENT).await.expect(200);
    for (schema, answer) in [
        ("Receipt", receipt),
        ("Topic", site.get("/api/v1/topics/t").await.expect(200)),
        (
            "Event",
            site.get("/api/v1/topics/t/events/1").await.expect(200),
        ),
        (
            "Page",
            site.get("/api/v1/topics/t/events").await.expect(200),
        ),
        (
            "StreamState",
            site.get("/api/v1/topics/t/streams/s").await.expect(200),
        ),
        (
            "Streams",
            site.get("/api/v1/topics/t/streams").await.expect(200),
        ),
        (
            "Types",
            site.get("/api/v1/topics/t/types").await.expect(200),
        ),
        (
            "Changes",
            site.get("/api/v1/topics/t/changes").await.expect(200),
        ),
        ("Problem", site.get("/api/v1/topics/none").await.expect(404)),
    ] {
        let schema = &document["components"]["schemas"][schema];
        let described = schema["properties"].as_object().unwrap();
        for member in answer.as_object().unwrap().keys() {
            assert!(described.contains_key(member), "{member} of {answer}");
        }
        for member in schema["required"].as_array().unwrap() {
            assert!(
                answer.get(member.as_str().unwrap()).is_some(),
                "{member} of {answer}"
            );
        }
    }
    site.close().await;
}

#[tokio::test]
async fn a_validator_takes_it_for_a_description() {
    let site = Site::new().await;
    let document = site.get(DOCUMENT).await;
    let version = document.json()["info"]["version"].clone();
    assert_eq!(version, env!("CARGO_PKG_VERSION"));
    // It comes with the object store that other tests use; `scripts/test` installs both.
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("target"),
        PathBuf::from,
    );
    let mut validator = Command::new(target.join("test-servers/venv/bin/python"))
        .args(["-m", "openapi_spec_validator", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("`scripts/test` has installed the validator");
    validator
        .stdin
        .take()
        .unwrap()
        .write_all(&document.body)
        .unwrap();
    assert!(validator.wait().unwrap().success());
    site.close().await;
}
