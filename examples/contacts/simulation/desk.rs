//! Somebody who is always online, and uses the API as a web page does: `If-Match`, an `Idempotency-Key` on
//! every write, and the same request again until there is an answer.

use std::time::Duration;

use annals::Append;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{dice::Dice, user};
use crate::{
    Result,
    device::Server,
    event::{ContactDetails, TransactionDetails},
    rows::{Page, Row},
};

/// A request as often as it is sent.
struct Asked {
    method: Method,
    path: String,
    body: Option<Value>,
    expected: Option<u64>,
    key: String,
}

/// An answer.
#[derive(PartialEq)]
struct Answered {
    status: StatusCode,
    body: String,
    etag: String,
    position: u64,
    again: bool,
}

pub(crate) struct Desk {
    server: Server,
    dice: Dice,
    seed: u64,
    /// The ids of the events that were made, and of those that were refused.
    pub(crate) recorded: Vec<Uuid>,
    pub(crate) refused: Vec<Uuid>,
}

impl Desk {
    pub(crate) fn new(server: Server, seed: u64) -> Self {
        Self {
            server,
            dice: Dice::of(seed, "desk"),
            seed,
            recorded: Vec::new(),
            refused: Vec::new(),
        }
    }

    pub(crate) async fn work(mut self, operations: u64) -> Result<Self> {
        for number in 0..operations {
            self.do_one(number).await?;
        }
        Ok(self)
    }

    /// Does one thing, and has the service say it again.
    async fn do_one(&mut self, number: u64) -> Result<()> {
        let Some(asked) = self.something(number).await? else {
            return Ok(());
        };
        let first = self.ask(&asked).await?;
        let id = Append::keyed_id(&asked.key, 0);
        if !first.status.is_success() {
            if first.status.is_server_error() || first.status == StatusCode::BAD_REQUEST {
                return Err(format!("{}: {}", first.status, first.body).into());
            }
            self.refused.push(id);
            return Ok(());
        }
        self.recorded.push(id);
        let second = self.ask(&asked).await?;
        let same = (first.status, &first.body, &first.etag, first.position)
            == (second.status, &second.body, &second.etag, second.position);
        if !same || !second.again {
            let what = format!("{} and then {}", first.body, second.body);
            return Err(format!("the same request was answered otherwise: {what}").into());
        }
        self.see(&asked, &first).await
    }

    /// Whether the read model shows what was written.
    async fn see(&self, asked: &Asked, answered: &Answered) -> Result<()> {
        let row: Value = serde_json::from_str(&answered.body)?;
        let kind = if row["cents"].is_null() {
            "contacts"
        } else {
            "transactions"
        };
        let id = row["id"].as_str().unwrap_or_default();
        let at_least = answered.position;
        let path = format!("/{kind}/{id}?deleted=true&at-least={at_least}");
        let shown: Value = serde_json::from_str(&self.get(&path).await?)?;
        if shown["version"].as_u64() < row["version"].as_u64() {
            let path = &asked.path;
            return Err(format!("{path}: {row} was written, and then {shown} is read").into());
        }
        Ok(())
    }

    async fn something(&mut self, number: u64) -> Result<Option<Asked>> {
        let contacts = self.get("/contacts?deleted=true&limit=500").await?;
        let contacts: Page<Row<ContactDetails>> = serde_json::from_str(&contacts)?;
        let transactions = self.get("/transactions?deleted=true&limit=500").await?;
        let transactions: Page<Row<TransactionDetails>> = serde_json::from_str(&transactions)?;
        let contact = self.dice.pick(contacts.items);
        let transaction = self.dice.pick(transactions.items);
        let (method, path, body, expected) = match (self.dice.below(6), contact, transaction) {
            (0, _, _) | (_, None, _) => {
                let details = user::contact_details(&mut self.dice);
                (Method::POST, "/contacts".to_owned(), json!(details), None)
            }
            (1 | 2, Some(row), _) => {
                // Something new, so that it is recorded.
                let patch = json!({ "note": format!("desk {number}") });
                let path = format!("/contacts/{}", row.id);
                (Method::PATCH, path, patch, Some(row.version))
            }
            (3, Some(row), _) => {
                let path = format!("/contacts/{}", row.id);
                match row.deleted {
                    true => (Method::POST, format!("{path}/restore"), Value::Null, None),
                    false => (Method::DELETE, path, Value::Null, Some(row.version)),
                }
            }
            (4, _, Some(row)) => {
                let path = format!("/transactions/{}", row.id);
                match row.deleted {
                    true => (Method::POST, format!("{path}/restore"), Value::Null, None),
                    false => (Method::DELETE, path, Value::Null, Some(row.version)),
                }
            }
            (_, Some(row), _) => {
                let details = user::transaction_details(&mut self.dice, row.id);
                (
                    Method::POST,
                    "/transactions".to_owned(),
                    json!(details),
                    None,
                )
            }
        };
        Ok(Some(Asked {
            method,
            path,
            body: (!body.is_null()).then_some(body),
            expected,
            key: format!("desk {} {number}", self.seed),
        }))
    }

    /// Asks until there is an answer.
    async fn ask(&self, asked: &Asked) -> Result<Answered> {
        let url = format!("{}{}", self.server.base, asked.path);
        patiently(|| async {
            let mut request = self.server.client.request(asked.method.clone(), &url);
            request = request.header("idempotency-key", &asked.key);
            if let Some(version) = asked.expected {
                request = request.header("if-match", format!("\"{version}\""));
            }
            if let Some(body) = &asked.body {
                request = request.json(body);
            }
            let answer = request.send().await?;
            let header = |name: &str| {
                let value = answer.headers().get(name);
                let text = value.and_then(|value| value.to_str().ok());
                text.unwrap_or_default().to_owned()
            };
            let (etag, position) = (header("etag"), header("position"));
            let again = header("idempotency-replayed") == "true";
            Ok(Answered {
                status: answer.status(),
                body: answer.text().await?,
                etag,
                position: position.parse().unwrap_or_default(),
                again,
            })
        })
        .await
    }

    async fn get(&self, path: &str) -> Result<String> {
        let url = format!("{}{path}", self.server.base);
        let answered = patiently(|| async {
            let answer = self.server.client.get(&url).send().await?;
            Ok(Answered {
                status: answer.status(),
                body: answer.text().await?,
                etag: String::new(),
                position: 0,
                again: false,
            })
        })
        .await?;
        if !answered.status.is_success() {
            return Err(format!("{path}: {}: {}", answered.status, answered.body).into());
        }
        Ok(answered.body)
    }
}

/// Asks again where nothing has come back, or the service is not there.
async fn patiently<F: Future<Output = reqwest::Result<Answered>>>(
    ask: impl Fn() -> F,
) -> Result<Answered> {
    let mut tries = 0;
    loop {
        match ask().await {
            Ok(answered) if answered.status != StatusCode::SERVICE_UNAVAILABLE => {
                return Ok(answered);
            }
            Err(error) if tries > 500 => return Err(error.into()),
            Ok(answered) if tries > 500 => return Err(answered.body.into()),
            _ => tries += 1,
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
