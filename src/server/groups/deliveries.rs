//! Deliveries: taken, and answered.

use axum::{
    Json,
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{sync::oneshot, time::Instant};
use uuid::Uuid;

use super::{
    Captured, Span,
    configure::found,
    member::{How, Request, Taken, Taker},
};
use crate::{
    json::write_event,
    server::{
        access::{Action, Caller},
        api::{
            body,
            query::{self, Query},
        },
        problem::Problem,
        state::App,
    },
};

/// How many deliveries are taken at once, at the most.
const MOST: u64 = 1000;
/// How long a request for deliveries waits, at the most.
const LONGEST: std::time::Duration = std::time::Duration::from_secs(60);
/// How often a group that was left just now is joined anew.
const TRIES: usize = 3;

/// The answers to deliveries.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Answers {
    deliveries: Vec<String>,
    reason: Option<String>,
}

/// `POST /topics/T/groups/G/take`
pub(super) async fn take(
    State(app): State<App>,
    caller: Caller,
    Captured((topic, group)): Captured<(String, String)>,
    uri: Uri,
) -> Result<Response, Problem> {
    caller.may(Action::Read, &topic)?;
    let mut query = Query::of(&uri)?;
    let max = query.number("max")?.unwrap_or(10);
    let wait: Option<Span> = query.parsed("wait", "a span of time such as 5s")?;
    query.finish()?;
    if !(1..=MOST).contains(&max) {
        let detail = format!("the query parameter `max` is from 1 to {MOST}, and not {max}");
        return Err(Problem::bad_request(detail));
    }
    let wait = wait.map_or(std::time::Duration::ZERO, |span| span.0.min(LONGEST));
    let max = usize::try_from(max).unwrap_or(usize::MAX);
    let settings = found(&app, &topic, &group).await?;
    // A moment at least: what is ready has to come from the member's task.
    let until = Instant::now() + wait.max(std::time::Duration::from_millis(50));
    for _ in 0..TRIES {
        let member = app.groups.member(&app.store, (&topic, &group), &settings);
        let member = member.await?;
        let (reply, taken) = oneshot::channel();
        let taker = Taker { max, until, reply };
        if member.send(Request::Take(taker)).await.is_err() {
            continue;
        }
        let mut stopping = app.stopping.subscribe();
        let taken = tokio::select! {
            taken = taken => taken,
            _ = stopping.wait_for(|stopping| *stopping) => return Ok(document(&[])),
        };
        match taken {
            Ok(taken) => return Ok(document(&taken?)),
            // The member has left meanwhile.
            Err(_) if Instant::now() < until => {}
            Err(_) => return Ok(document(&[])),
        }
    }
    Ok(document(&[]))
}

fn document(taken: &[Taken]) -> Response {
    let mut out = b"{\"deliveries\":[".to_vec();
    for (at, one) in taken.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        let head = format!(
            "{{\"delivery\":\"{}\",\"attempt\":{},\"event\":",
            one.token, one.attempt
        );
        out.extend_from_slice(head.as_bytes());
        write_event(&mut out, &one.event);
        out.push(b'}');
    }
    out.extend_from_slice(b"]}");
    ([(header::CONTENT_TYPE, "application/json")], out).into_response()
}

/// `POST /topics/T/groups/G/ack`
pub(super) async fn ack(
    State(app): State<App>,
    caller: Caller,
    Captured(names): Captured<(String, String)>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Problem> {
    answer(&app, &caller, names, (&uri, &headers, body), |_| How::Done).await
}

/// `POST /topics/T/groups/G/retry`
pub(super) async fn retry(
    State(app): State<App>,
    caller: Caller,
    Captured(names): Captured<(String, String)>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Problem> {
    answer(&app, &caller, names, (&uri, &headers, body), How::Failed).await
}

/// `POST /topics/T/groups/G/park`
pub(super) async fn park(
    State(app): State<App>,
    caller: Caller,
    Captured(names): Captured<(String, String)>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Problem> {
    answer(&app, &caller, names, (&uri, &headers, body), How::Park).await
}

async fn answer(
    app: &App,
    caller: &Caller,
    (topic, group): (String, String),
    (uri, headers, body): (&Uri, &HeaderMap, Body),
    how: impl FnOnce(String) -> How + Send,
) -> Result<Json<Value>, Problem> {
    caller.may(Action::Read, &topic)?;
    query::none(uri)?;
    let body = body::read_json(headers, body).await?;
    let answers: Answers = serde_json::from_slice(&body)
        .map_err(|error| Problem::bad_request(format!("the answers: {error}")))?;
    if answers.deliveries.is_empty() || answers.deliveries.len() as u64 > MOST {
        let detail = format!("`deliveries` has 1 to {MOST} tokens");
        return Err(Problem::bad_request(detail));
    }
    found(app, &topic, &group).await?;
    let how = how(answers
        .reason
        .unwrap_or_else(|| "the client says so".to_owned()));
    let tokens = answers.deliveries.iter();
    // What is no token is one that nobody has given.
    let tokens: Vec<Uuid> = tokens
        .map(|token| token.parse().unwrap_or_default())
        .collect();
    let valid = match app.groups.joined(&topic, &group) {
        Some(member) => {
            let (reply, valid) = oneshot::channel();
            let request = Request::Answer { tokens, how, reply };
            match member.send(request).await {
                Ok(()) => valid.await.unwrap_or_default(),
                Err(_) => Vec::new(),
            }
        }
        None => Vec::new(),
    };
    let valid = |at: usize| valid.get(at).copied().unwrap_or_default();
    let (mut answered, mut expired) = (Vec::new(), Vec::new());
    for (at, token) in answers.deliveries.into_iter().enumerate() {
        if valid(at) {
            answered.push(token);
        } else {
            expired.push(token);
        }
    }
    if answered.is_empty() {
        let detail = "not one of the deliveries is valid any more: their time to answer is over, they \
                      were answered already, or the server was started anew; they are delivered again \
                      unless they were answered";
        let problem = Problem::new(StatusCode::GONE, "delivery-expired", detail);
        return Err(problem.with("expired", expired));
    }
    Ok(Json(json!({ "answered": answered, "expired": expired })))
}
