//! Who sends: HTTP with limits.

use std::{fmt, time::Duration};

use reqwest::{Client, Response, StatusCode, redirect};

use super::{signature::signature, target};
use crate::{
    Clock, RecordedEvent, SystemClock,
    json::write_event,
    server::{ServerConfig, config::Secrets},
};

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(10);
/// How much of an answer is read, so that its connection can be used again.
const READ: usize = 16 * 1024;

/// Sends events.
#[derive(Debug)]
pub(super) struct Sender {
    client: Client,
    pub(super) private: bool,
    secrets: Secrets,
}

/// One delivery.
pub(super) struct Letter<'a> {
    pub(super) webhook: &'a str,
    pub(super) url: &'a str,
    /// `${NAME}`.
    pub(super) secret: Option<&'a str>,
    pub(super) timeout: Duration,
    pub(super) event: &'a RecordedEvent,
    pub(super) attempt: u32,
}

/// What came of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Done,
    /// The receiver wants no more.
    Gone,
    Failed(String),
}

impl Sender {
    /// Without proxies, which would reach what this server may not; without redirects, which lead
    /// elsewhere than what was registered.
    pub(super) fn new(config: &ServerConfig) -> Result<Self, String> {
        let private = config.private_webhooks;
        let client = Client::builder()
            .user_agent(concat!("annals/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT)
            .redirect(redirect::Policy::none())
            .no_proxy()
            .dns_resolver(target::Resolver { private })
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self {
            client,
            private,
            secrets: config.secrets.clone(),
        })
    }

    /// Sends an event, and waits for the answer.
    pub(super) async fn send(&self, letter: Letter<'_>) -> Outcome {
        let Ok(url) = target::parse(letter.url, self.private) else {
            return failed("this server may not send to the address any more");
        };
        let mut body = Vec::new();
        write_event(&mut body, letter.event);
        let mut request = self
            .client
            .post(url)
            .timeout(letter.timeout)
            .header("content-type", "application/json")
            .header("annals-delivery", letter.event.id.to_string())
            .header("annals-attempt", letter.attempt)
            .header("annals-webhook", letter.webhook)
            .header("annals-position", letter.event.position.get());
        if let Some(secret) = letter.secret {
            let Some(secret) = self.secret(secret) else {
                return failed(
                    "its secret is not set where the server runs, or not one that may be named there",
                );
            };
            let seconds = SystemClock.now().as_micros() / 1_000_000;
            let signature = signature(secret.as_bytes(), seconds, &body);
            request = request.header("annals-signature", signature);
        }
        match request.body(body).send().await {
            Ok(answer) => {
                let status = answer.status();
                read(answer).await;
                match status {
                    StatusCode::GONE => Outcome::Gone,
                    status if status.is_success() => Outcome::Done,
                    status => Outcome::Failed(format!("the answer was {status}")),
                }
            }
            // Its text has the address, which may have a token in it.
            Err(error) => Outcome::Failed(reason(&error.without_url())),
        }
    }

    /// The secret of a name: what is in the place of `${NAME}`.
    pub(super) fn secret(&self, given: &str) -> Option<String> {
        self.secrets.get(name_of(given)?)
    }
}

/// `NAME` of `${NAME}`.
pub(super) fn name_of(given: &str) -> Option<&str> {
    let name = given.strip_prefix("${")?.strip_suffix('}')?;
    let fits = !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    fits.then_some(name)
}

/// Reads what is small, and lets go of the rest with its connection.
async fn read(mut answer: Response) {
    let mut read = 0;
    while let Ok(Some(chunk)) = answer.chunk().await {
        read += chunk.len();
        if read > READ {
            return;
        }
    }
}

fn failed(reason: &str) -> Outcome {
    Outcome::Failed(reason.to_owned())
}

/// An error with what caused it.
fn reason(error: &dyn std::error::Error) -> String {
    struct Chain<'a>(&'a dyn std::error::Error);
    impl fmt::Display for Chain<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "{}", self.0)?;
            let mut cause = self.0.source();
            while let Some(error) = cause {
                write!(f, ": {error}")?;
                cause = error.source();
            }
            Ok(())
        }
    }
    Chain(error).to_string()
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    #[tokio::test]
    async fn a_name_that_leads_to_this_machine_leads_nowhere() {
        let listener = tokio::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)));
        let listener = listener.await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let url = format!("http://localhost:{port}/");
        let config = ServerConfig::new().allow_private_webhooks(false);
        // Also where the name itself would have been let through.
        let strict = Sender::new(&config).unwrap().client;
        let refused = strict.post(&url).send().await.unwrap_err();
        assert!(
            reason(&refused).contains("no public address"),
            "{refused:?}"
        );
        let config = ServerConfig::new().allow_private_webhooks(true);
        let free = Sender::new(&config).unwrap().client;
        tokio::select! {
            accepted = listener.accept() => drop(accepted.unwrap()),
            answered = free.post(&url).send() => panic!("nobody has answered: {answered:?}"),
        }
    }
}
