//! A server as the clients of a history see it: what they ask goes over HTTP.

use std::time::Duration;

use annals::json::RecordedEventDocument;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::history::{
    client::{Served, now},
    record::{
        AppendAnswer, AppendCall, Ask, Change, ChangeAnswer, Delivery, Expected, Filter,
        ReadAnswer, ReadCall, Receipt, Refusal, Seen, Start, State, SubscriptionCall,
    },
};

/// How long an answer is waited for. A server that is killed ends its connections at once.
const PATIENCE: Duration = Duration::from_secs(20);
/// The most events of a page.
const PAGE: u64 = 10_000;

/// A server at an address, and connections to it.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    base: String,
    http: reqwest::Client,
}

/// An answer that came whole.
struct Answer {
    status: StatusCode,
    body: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// What kind of problem it tells of.
    fn problem(&self) -> String {
        let problem = self.json()["type"].as_str().unwrap_or_default().to_owned();
        problem.rsplit(':').next().unwrap_or_default().to_owned()
    }

    fn number(&self, name: &str) -> u64 {
        self.json()[name].as_u64().unwrap_or_default()
    }

    fn text(&self) -> String {
        format!("{} {}", self.status, String::from_utf8_lossy(&self.body))
    }
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

impl Server {
    pub(crate) fn at(address: &str) -> Self {
        let http = reqwest::Client::builder()
            .timeout(PATIENCE)
            .build()
            .unwrap();
        Self {
            base: format!("http://{address}/api/v1"),
            http,
        }
    }

    /// `None` where no whole answer came.
    async fn ask(
        &self,
        method: Method,
        path: &str,
        key: Option<&str>,
        body: Option<Value>,
    ) -> Option<Answer> {
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        if let Some(body) = body {
            request = request
                .header("content-type", "application/json")
                .body(body.to_string());
        }
        let answer = request.send().await.ok()?;
        let status = answer.status();
        let body = answer.bytes().await.ok()?.to_vec();
        Some(Answer { status, body })
    }

    /// Follows a topic until `enough`, or until the stream ends.
    pub(crate) async fn follow(
        &self,
        topic: &str,
        start: u64,
        filter: Filter,
        enough: Duration,
    ) -> SubscriptionCall {
        let query: String = filter
            .0
            .iter()
            .flat_map(|item| &item.tags)
            .fold(format!("after={start}"), |query, tag| {
                format!("{query}&tag={}", encoded(tag))
            });
        let mut call = SubscriptionCall {
            start: Start::After(start),
            stream: None,
            filter,
            started: now(),
            delivered: Vec::new(),
            position: start,
            to_the_end: false,
            failed: None,
        };
        let request = self
            .http
            .get(format!("{}/topics/{topic}/live?{query}", self.base))
            .header("accept", "text/event-stream");
        let end = tokio::time::Instant::now() + enough;
        let Ok(Ok(mut answer)) = tokio::time::timeout_at(end, request.send()).await else {
            call.failed = Some("no answer".to_owned());
            return call;
        };
        if answer.status() != StatusCode::OK {
            call.failed = Some(answer.status().to_string());
            return call;
        }
        call.started = now();
        let mut text = Vec::new();
        while let Ok(chunk) = tokio::time::timeout_at(end, answer.chunk()).await {
            let Ok(Some(chunk)) = chunk else {
                call.failed = Some("it ended".to_owned());
                break;
            };
            text.extend_from_slice(&chunk);
            take(&mut text, &mut call);
        }
        call
    }
}

/// Takes the whole messages out of what has come.
fn take(text: &mut Vec<u8>, call: &mut SubscriptionCall) {
    while let Some(end) = text.windows(2).position(|pair| pair == b"\n\n") {
        let message: Vec<u8> = text.drain(..end + 2).collect();
        let message = String::from_utf8(message).unwrap();
        let field = |name: &str| message.lines().find_map(|line| line.strip_prefix(name));
        let named = field("event:").map(str::trim);
        let Some(data) = field("data:").map(str::trim) else {
            continue;
        };
        match named {
            None | Some("message") => {
                let document: RecordedEventDocument<'_> = serde_json::from_str(data).unwrap();
                let event = document.into_event().unwrap();
                assert_eq!(
                    field("id:").map(str::trim),
                    Some(&*event.position.to_string()),
                    "the id of a message is the position of its event"
                );
                call.position = event.position.get();
                call.delivered.push(Delivery {
                    at: now(),
                    seen: Seen::of(&event),
                });
            }
            Some("caught-up") => {
                let told: Value = serde_json::from_str(data).unwrap();
                call.position = call.position.max(told["position"].as_u64().unwrap());
            }
            Some(_) => {}
        }
    }
}

impl Served for Server {
    async fn append(&self, topic: &str, call: &AppendCall) -> AppendAnswer {
        let events: Vec<_> = call
            .events
            .iter()
            .map(|event| {
                let mut one = json!({
                    "type": event.event_type,
                    "stream": event.stream,
                    "tags": event.tags,
                    "contentType": event.content_type,
                    "dataBase64": STANDARD.encode(&event.payload),
                });
                if call.key.is_none() {
                    one["id"] = json!(event.id);
                }
                one
            })
            .collect();
        let expected = match call.expected {
            Expected::Any => json!("any"),
            Expected::NoStream => json!("noStream"),
            Expected::StreamExists => json!("streamExists"),
            Expected::Exact(version) => json!(version),
        };
        let mut body = json!({ "events": events, "expectedVersion": expected });
        if let Some(unless) = &call.unless {
            let items: Vec<_> = unless
                .filter
                .0
                .iter()
                .map(|item| json!({ "tags": item.tags }))
                .collect();
            body["unless"] = json!({ "filter": items, "after": unless.after });
        }
        let path = format!("/topics/{topic}/streams/{}/events", encoded(&call.stream));
        let key = call.key.as_deref();
        let Some(answer) = self.ask(Method::POST, &path, key, Some(body)).await else {
            return AppendAnswer::Unknown;
        };
        append_answer(call, &answer)
    }

    async fn change(&self, topic: &str, stream: &str, change: Change) -> ChangeAnswer {
        let path = format!("/topics/{topic}/streams/{}", encoded(stream));
        let answer = match change {
            Change::Delete => self.ask(Method::DELETE, &path, None, None).await,
            Change::Restore => {
                let path = format!("{path}/restore");
                self.ask(Method::POST, &path, None, None).await
            }
        };
        let Some(answer) = answer else {
            return ChangeAnswer::Unknown;
        };
        match (answer.status.as_u16(), answer.problem().as_str()) {
            (200, _) => ChangeAnswer::Done {
                version: answer.number("version"),
            },
            (_, "stream-not-found") => ChangeAnswer::NotFound,
            (500, _) | (_, "outcome-unknown") => ChangeAnswer::Unknown,
            _ => ChangeAnswer::Refused(answer.text()),
        }
    }

    async fn read(&self, topic: &str, mut ask: Ask) -> ReadCall {
        let limit = *ask.limit.get_or_insert(PAGE);
        let of_stream = ask.stream.as_deref();
        let mut path = match of_stream {
            Some(stream) => format!("/topics/{topic}/streams/{}/events", encoded(stream)),
            None => format!("/topics/{topic}/events"),
        };
        path.push_str(&format!("?limit={limit}"));
        for tag in ask.filter.0.iter().flat_map(|item| &item.tags) {
            path.push_str(&format!("&tag={}", encoded(tag)));
        }
        if ask.backward {
            path.push_str("&direction=backward");
        }
        if ask.include_deleted {
            path.push_str("&includeDeleted=true");
        }
        let answer = self.ask(Method::GET, &path, None, None).await;
        let (seen, looked_to, told) = match answer {
            None => (Vec::new(), None, ReadAnswer::Broken("no answer".to_owned())),
            Some(answer) if answer.problem() == "stream-deleted" => {
                (Vec::new(), None, ReadAnswer::StreamDeleted)
            }
            Some(answer) if answer.status == StatusCode::OK => {
                let (seen, looked_to) = page(&answer.body);
                (seen, Some(looked_to), ReadAnswer::Ended)
            }
            Some(answer) => (Vec::new(), None, ReadAnswer::Broken(answer.text())),
        };
        ReadCall {
            ask,
            seen,
            looked_to,
            answer: told,
        }
    }

    async fn head(&self, topic: &str) -> Option<u64> {
        let path = format!("/topics/{topic}");
        let answer = self.ask(Method::GET, &path, None, None).await?;
        answer.json()["head"].as_u64()
    }

    async fn state(&self, topic: &str, stream: &str) -> Option<State> {
        let path = format!("/topics/{topic}/streams/{}", encoded(stream));
        let answer = self.ask(Method::GET, &path, None, None).await?;
        match (answer.status.as_u16(), answer.problem().as_str()) {
            (200, _) => Some(State {
                version: answer.number("version"),
                deleted: answer.json()["deleted"] == true,
            }),
            (_, "stream-not-found") => Some(State::default()),
            _ => None,
        }
    }
}

fn append_answer(call: &AppendCall, answer: &Answer) -> AppendAnswer {
    let receipt = || Receipt {
        first: answer.number("first"),
        last: answer.number("last"),
        version: answer.number("version"),
    };
    let refusal = match (answer.status.as_u16(), answer.problem().as_str()) {
        (201, _) => return AppendAnswer::Recorded(receipt()),
        (200, _) => return AppendAnswer::Duplicate(receipt()),
        (_, "outcome-unknown") | (500, _) => return AppendAnswer::Unknown,
        (_, "wrong-expected-version") => Refusal::WrongVersion {
            stream: call.stream.clone(),
            expected: call.expected,
            actual: answer.number("actual"),
        },
        (_, "condition-failed") => Refusal::ConditionFailed {
            position: answer.number("position"),
        },
        (_, "stream-deleted") => Refusal::StreamDeleted {
            stream: call.stream.clone(),
        },
        (_, "idempotency-conflict") => Refusal::IdConflict {
            position: answer.number("position"),
        },
        (_, "topic-sealed") => Refusal::Sealed,
        (503 | 429, _) => Refusal::Other(answer.text()),
        _ => panic!("not an answer to {call:?}: {}", answer.text()),
    };
    AppendAnswer::Refused(refusal)
}

/// The events of a page, and up to where it has looked.
fn page(body: &[u8]) -> (Vec<Seen>, u64) {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Page<'a> {
        #[serde(borrow)]
        events: Vec<RecordedEventDocument<'a>>,
        looked_to: u64,
    }
    let page: Page<'_> = serde_json::from_slice(body).unwrap();
    let events = page.events.into_iter();
    let seen = events.map(|document| Seen::of(&document.into_event().unwrap()));
    (seen.collect(), page.looked_to)
}
