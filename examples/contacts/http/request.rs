//! What all requests share: their headers, their bodies, and what they ask of the read model.

use annals::Position;
use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Query, Request},
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header, request::Parts},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use uuid::Uuid;

use super::{etag, path_of, row_response};
use crate::{
    book::Wish,
    event::Entity,
    ledger::{Answer, Ledger, Terms},
    problem::Problem,
    rows::{Details, Find, Row, read_place},
};

/// The namespace of ids and fingerprints that are made from what a client has sent.
const REQUESTS: Uuid = Uuid::from_u128(0x0b5f_6a1c_93d7_5c52_8a0e_436f_6e74_6163);

/// A request that writes.
pub(super) struct Write {
    pub(super) terms: Terms,
    body: Bytes,
}

impl<S: Send + Sync> FromRequest<S> for Write {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let key = text(&parts.headers, "idempotency-key")?.map(str::to_owned);
        if key
            .as_ref()
            .is_some_and(|key| key.is_empty() || key.len() > 200)
        {
            return Err(Problem::bad_request(
                "an Idempotency-Key has 1 to 200 characters",
            ));
        }
        let expected = match text(&parts.headers, "if-match")? {
            None | Some("*") => None,
            Some(tag) => Some(version(tag).ok_or_else(|| {
                let detail = "If-Match is an ETag as this service gives them, such as \"3\", or *";
                Problem::bad_request(detail)
            })?),
        };
        let what = format!("{} {}\n", parts.method, parts.uri.path());
        let body = Bytes::from_request(Request::from_parts(parts, body), state).await;
        let body = body.map_err(|error| {
            let large = error.status() == StatusCode::PAYLOAD_TOO_LARGE;
            let kind = if large { "too-large" } else { "bad-request" };
            Problem::new(error.status(), kind, error.body_text())
        })?;
        let fingerprint = Uuid::new_v5(&REQUESTS, &[what.as_bytes(), &body].concat());
        Ok(Self {
            terms: Terms {
                key,
                expected,
                fingerprint,
            },
            body,
        })
    }
}

impl Write {
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        serde_json::from_slice(&self.body).map_err(|error| {
            let status = match error.classify() {
                serde_json::error::Category::Data => StatusCode::UNPROCESSABLE_ENTITY,
                _ => StatusCode::BAD_REQUEST,
            };
            let detail = format!("the body is not as it has to be: {error}");
            Problem::new(status, "invalid-body", detail)
        })
    }

    /// The id of what is created: made from the key, so that a request that comes again means the same.
    pub(super) fn new_id(&self) -> Uuid {
        match &self.terms.key {
            Some(key) => Uuid::new_v5(&REQUESTS, format!("id\n{key}").as_bytes()),
            None => Uuid::new_v4(),
        }
    }

    /// Carries out a wish, and answers with how the entity is then.
    pub(super) async fn carry_out<D: Details + Serialize>(
        &self,
        ledger: &Ledger,
        entity: Entity,
        wish: Wish,
    ) -> Result<Response, Problem> {
        let creates = matches!(wish, Wish::CreateContact(_) | Wish::CreateTransaction(_));
        let answer: Answer<D> = ledger.carry_out(entity, wish, &self.terms).await?;
        let status = if creates {
            StatusCode::CREATED
        } else {
            StatusCode::OK
        };
        let mut response = row_response(status, &answer.row);
        let headers = response.headers_mut();
        headers.insert("position", answer.position.get().into());
        if creates && let Ok(path) = HeaderValue::from_str(&path_of(entity)) {
            headers.insert(header::LOCATION, path);
        }
        if answer.again {
            headers.insert("idempotency-replayed", HeaderValue::from_static("true"));
        }
        Ok(response)
    }
}

fn text<'headers>(
    headers: &'headers HeaderMap,
    name: &str,
) -> Result<Option<&'headers str>, Problem> {
    let mut all = headers.get_all(name).iter();
    let Some(value) = all.next() else {
        return Ok(None);
    };
    match (value.to_str(), all.next()) {
        (Ok(text), None) => Ok(Some(text.trim())),
        _ => Err(Problem::bad_request(format!("{name} is one line of text"))),
    }
}

fn version(tag: &str) -> Option<u64> {
    let digits = tag.strip_prefix('"')?.strip_suffix('"')?;
    digits.parse().ok().filter(|version| etag(*version) == tag)
}

/// An id in the path; what is none names nothing.
pub(super) fn id_of(text: &str) -> Result<Uuid, Problem> {
    text.parse().map_err(|_| {
        let detail = format!("{text:?} is not an id: these are UUIDs");
        Problem::new(StatusCode::NOT_FOUND, "not-found", detail)
    })
}

/// What a reader asks.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Asked {
    #[serde(default)]
    at_least: u64,
    #[serde(default)]
    q: String,
    #[serde(default)]
    deleted: bool,
    contact: Option<Uuid>,
    after: Option<String>,
    #[serde(default = "usual")]
    limit: usize,
}

const fn usual() -> usize {
    50
}

/// A request that reads; the read model has come to where it wants it.
pub(super) struct Look {
    pub(super) find: Find,
    known: Option<String>,
}

impl FromRequestParts<Ledger> for Look {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, ledger: &Ledger) -> Result<Self, Problem> {
        let asked: Asked = query(&parts.uri)?;
        if !(1..=500).contains(&asked.limit) {
            return Err(Problem::bad_request("limit is 1 to 500"));
        }
        let after = asked.after.map(|after| {
            let wrong = "after is `next` of an earlier page";
            read_place(&after).ok_or_else(|| Problem::bad_request(wrong))
        });
        let find = Find {
            contact: asked.contact,
            text: asked.q.to_lowercase(),
            deleted: asked.deleted,
            after: after.transpose()?,
            limit: asked.limit,
        };
        let known = text(&parts.headers, "if-none-match")?.map(str::to_owned);
        let at_least = Position::new(asked.at_least);
        ledger.views.wait_for(&ledger.store, at_least).await?;
        Ok(Self { find, known })
    }
}

impl Look {
    /// A row that was looked for by its id; nothing where the client has it.
    pub(super) fn show<D: Serialize>(&self, row: Option<Row<D>>) -> Result<Response, Problem> {
        let row = row.ok_or(crate::refusal::Refusal::NotFound)?;
        if row.deleted && !self.find.deleted {
            let gone = Problem::from(crate::refusal::Refusal::Deleted);
            return Err(gone.with("version", row.version));
        }
        let tag = etag(row.version);
        if self.known.as_ref() == Some(&tag) {
            return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response());
        }
        Ok(row_response(StatusCode::OK, &row))
    }
}

/// What stands behind the question mark.
pub(super) fn query<T: DeserializeOwned>(uri: &Uri) -> Result<T, Problem> {
    match Query::try_from_uri(uri) {
        Ok(Query(asked)) => Ok(asked),
        Err(error) => Err(Problem::bad_request(error.body_text())),
    }
}
