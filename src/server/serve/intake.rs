//! The body of a request, as it comes: how much, how fast and how deeply nested is watched over here, once
//! for all handlers.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderMap, StatusCode, header},
};
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::server::{ServerLimits, problem::Problem, state::App};

/// Why a body is not read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    TooLarge,
    TooSlow,
    TooDeep,
    NoRoom,
}

/// What is known of a body. The room that it takes is given back when the request has been worked on.
#[derive(Debug)]
pub(super) struct Intake {
    app: App,
    refused: AtomicU8,
    held: AtomicU64,
}

/// Bytes of bodies that are worked on, of all requests.
#[derive(Debug, Default)]
pub(in crate::server) struct InFlight(AtomicU64);

impl InFlight {
    fn take(&self, bytes: u64, limit: u64) -> bool {
        let taken = self
            .0
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |held| {
                held.checked_add(bytes).filter(|held| *held <= limit)
            });
        taken.is_ok()
    }

    pub(in crate::server) fn bytes(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

impl Refusal {
    const ALL: [Self; 4] = [Self::TooLarge, Self::TooSlow, Self::TooDeep, Self::NoRoom];

    /// What the client is answered.
    pub(super) fn problem(self, limits: &ServerLimits) -> Problem {
        match self {
            Self::TooLarge => Problem::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "too-large",
                "the body is larger than this server takes",
            )
            .with("limit", limits.body_bytes),
            Self::TooSlow => Problem::new(
                StatusCode::REQUEST_TIMEOUT,
                "body-too-slow",
                "the body came too slowly, or not to its end",
            ),
            Self::TooDeep => Problem::new(
                StatusCode::BAD_REQUEST,
                "json-too-deep",
                "the arrays and objects of the body are nested too deeply",
            )
            .with("limit", limits.json_depth),
            Self::NoRoom => Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "busy",
                "too much is being sent to this server at once; try again later",
            ),
        }
    }
}

impl Intake {
    /// Why the body was not read to its end, where it was not.
    pub(super) fn refused(&self) -> Option<Refusal> {
        let code = self.refused.load(Ordering::Acquire);
        let index = usize::from(code).checked_sub(1)?;
        Refusal::ALL.get(index).copied()
    }

    fn refuse(&self, refusal: Refusal) {
        self.refused.store(refusal as u8 + 1, Ordering::Release);
    }

    /// Takes room for so many bytes, until the request has been worked on.
    fn take(&self, bytes: u64) -> Result<(), Refusal> {
        let limit = self.app.config.limits.in_flight_bytes;
        if !self.app.in_flight.take(bytes, limit) {
            return Err(Refusal::NoRoom);
        }
        self.held.fetch_add(bytes, Ordering::AcqRel);
        Ok(())
    }
}

impl Drop for Intake {
    fn drop(&mut self) {
        let held = self.held.load(Ordering::Acquire);
        self.app.in_flight.0.fetch_sub(held, Ordering::AcqRel);
    }
}

/// The request with its body under watch. What is known of the body goes with it, as an extension.
pub(super) fn receive(request: Request<Incoming>, app: &App) -> Request {
    let (mut parts, incoming) = request.into_parts();
    if incoming.is_end_stream() {
        return Request::from_parts(parts, Body::empty());
    }
    let intake = Arc::new(Intake {
        app: Arc::clone(app),
        refused: AtomicU8::new(0),
        held: AtomicU64::new(0),
    });
    let limits = &app.config.limits;
    let announced = incoming.size_hint().exact();
    let admitted = match announced {
        Some(length) if length > limits.body_bytes => Err(Refusal::TooLarge),
        Some(length) => intake.take(length),
        None => Ok(()),
    };
    if let Err(refusal) = admitted {
        intake.refuse(refusal);
    }
    let now = Instant::now();
    let body = Watched {
        incoming,
        reserved: announced.is_some(),
        depth: Depth::of(&parts.headers, limits.json_depth, announced),
        received: 0,
        begun: now,
        last: now,
        waiting: None,
        intake: Arc::clone(&intake),
    };
    parts.extensions.insert(intake);
    Request::from_parts(parts, Body::new(body))
}

/// A body under watch.
struct Watched {
    incoming: Incoming,
    /// Whether the room for all of it is taken already.
    reserved: bool,
    depth: Option<Depth>,
    received: u64,
    begun: Instant,
    last: Instant,
    /// Runs while more is awaited.
    waiting: Option<Pin<Box<Sleep>>>,
    intake: Arc<Intake>,
}

/// A body was not read to its end.
#[derive(Debug)]
struct Refused(Refusal);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Refusal::TooLarge => "the body is too large",
            Refusal::TooSlow => "the body came too slowly",
            Refusal::TooDeep => "the body is nested too deeply",
            Refusal::NoRoom => "there is no room for the body",
        })
    }
}

impl std::error::Error for Refused {}

impl Watched {
    fn admit(&mut self, data: &[u8]) -> Result<(), Refusal> {
        let bytes = data.len() as u64;
        self.received = self.received.saturating_add(bytes);
        if self.received > self.intake.app.config.limits.body_bytes {
            return Err(Refusal::TooLarge);
        }
        if !self.reserved {
            self.intake.take(bytes)?;
        }
        let admits = |depth: &mut Depth| depth.admits(data);
        if self.depth.as_mut().is_none_or(admits) {
            return Ok(());
        }
        Err(Refusal::TooDeep)
    }

    /// Until when more has to come: soon after the last bytes, and all in all at the rate that is asked.
    fn deadline(&self) -> Instant {
        let limits = &self.intake.app.config.limits;
        let earned = self.received / limits.body_rate.max(1);
        let all = self.begun + limits.body_timeout + std::time::Duration::from_secs(earned);
        all.min(self.last + limits.body_timeout)
    }

    fn fail(&self, refusal: Refusal) -> Poll<Option<Result<Frame<Bytes>, Refused>>> {
        self.intake.refuse(refusal);
        Poll::Ready(Some(Err(Refused(refusal))))
    }
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        let boxed = |failed: Option<Result<Frame<Bytes>, Refused>>| {
            failed.map(|result| result.map_err(Into::into))
        };
        if let Some(refusal) = this.intake.refused() {
            return this.fail(refusal).map(boxed);
        }
        match Pin::new(&mut this.incoming).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                this.waiting = None;
                this.last = Instant::now();
                let admitted = frame.data_ref().map_or(Ok(()), |data| this.admit(data));
                match admitted {
                    Ok(()) => Poll::Ready(Some(Ok(frame))),
                    Err(refusal) => this.fail(refusal).map(boxed),
                }
            }
            Poll::Ready(other) => Poll::Ready(other.map(|result| result.map_err(Into::into))),
            Poll::Pending => {
                let deadline = this.deadline();
                let waiting = this
                    .waiting
                    .get_or_insert_with(|| Box::pin(sleep_until(deadline)));
                ready!(waiting.as_mut().poll(context));
                this.fail(Refusal::TooSlow).map(boxed)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

/// How deeply JSON is nested, counted as it comes: parsers that only skip values do not look.
#[derive(Debug)]
struct Depth {
    limit: u32,
    depth: u32,
    in_text: bool,
    escaped: bool,
}

impl Depth {
    fn of(headers: &HeaderMap, limit: u32, announced: Option<u64>) -> Option<Self> {
        let is_json = headers
            .get(header::CONTENT_TYPE)
            .is_none_or(|kind| contains(kind.as_bytes(), b"json"));
        // Of fewer bytes nothing can be nested so deeply.
        let is_short = announced.is_some_and(|length| length <= u64::from(limit));
        (is_json && !is_short).then_some(Self {
            limit,
            depth: 0,
            in_text: false,
            escaped: false,
        })
    }

    fn admits(&mut self, data: &[u8]) -> bool {
        for byte in data {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' if self.in_text => self.escaped = true,
                b'"' => self.in_text = !self.in_text,
                b'{' | b'[' if !self.in_text => {
                    self.depth = self.depth.saturating_add(1);
                    if self.depth > self.limit {
                        return false;
                    }
                }
                b'}' | b']' if !self.in_text => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
        }
        true
    }
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack
        .windows(needle.len())
        .any(|window| window.eq_ignore_ascii_case(needle))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn depth(limit: u32) -> Depth {
        Depth {
            limit,
            depth: 0,
            in_text: false,
            escaped: false,
        }
    }

    #[test]
    fn nesting_is_counted_across_the_pieces_in_which_a_body_comes() {
        let mut counted = depth(3);
        assert!(counted.admits(b"[[1,2],{\"a\":"));
        assert!(counted.admits(b"[1]}]"));
        assert_eq!(counted.depth, 0);
        assert!(counted.admits(b"[[["));
        assert!(!counted.admits(b"["));
    }

    #[test]
    fn brackets_in_texts_are_not_counted() {
        let mut counted = depth(2);
        assert!(counted.admits(br#"{"a[[[[":"]]{{{ \" [[[[ \\"#));
        assert!(counted.admits(br#"","b":[1]}"#));
        assert_eq!(counted.depth, 0);
    }

    #[test]
    fn room_is_given_up_to_the_limit_and_not_beyond() {
        let room = InFlight::default();
        assert!(room.take(10, 16) && room.take(6, 16));
        assert!(!room.take(1, 16) && !room.take(u64::MAX, 16));
        assert_eq!(room.bytes(), 16);
    }
}
