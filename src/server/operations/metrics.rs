//! What is counted while requests are served. Handles are looked up by what requests have in common, so that
//! no label is written out for a request.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::http::{Method, StatusCode};
use metrics::{Counter, Histogram, Key, Label, Level, Metadata, Recorder, SharedString, Unit};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use parking_lot::{Mutex, RwLock};

/// The upper bounds of latencies, in seconds.
const SECONDS: &[f64] = &[
    0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
    10.0,
];

/// The name of what matches no route: paths that clients make up get no label of their own.
const UNMATCHED: &str = "unmatched";

pub(super) static ABOUT: Metadata<'static> =
    Metadata::new("annals::server", Level::INFO, Some("annals::server"));

/// The measurements of one server. Not the recorder of the process, which has only one.
pub(in crate::server) struct Metrics {
    recorder: PrometheusRecorder,
    appends: Counter,
    duplicates: Counter,
    events_appended: Counter,
    bytes_appended: Counter,
    events_read: Counter,
    connections_total: Counter,
    slow_heads: Counter,
    dropped: Counter,
    connections: AtomicUsize,
    requests: AtomicUsize,
    /// What was measured of each route. Written only when a route, a method and a status meet first.
    routes: RwLock<HashMap<Box<str>, Vec<Measured>>>,
    /// Those who follow topics. Held only to add, remove and copy.
    followers: Arc<Mutex<Followers>>,
}

struct Measured {
    method: Method,
    status: StatusCode,
    count: Counter,
    seconds: Histogram,
}

#[derive(Default)]
struct Followers {
    next: u64,
    all: HashMap<u64, Arc<Following>>,
}

/// One that follows a topic.
pub(super) struct Following {
    pub(super) kind: &'static str,
    pub(super) name: String,
    pub(super) topic: String,
    pub(super) position: AtomicU64,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    pub(in crate::server) fn new() -> Self {
        let recorder = recorder();
        let counter = |name: &'static str, about: &'static str| {
            recorder.describe_counter(name.into(), None, SharedString::const_str(about));
            recorder.register_counter(&Key::from_static_name(name), &ABOUT)
        };
        recorder.describe_counter(
            "annals_http_requests_total".into(),
            None,
            SharedString::const_str("Requests that were answered."),
        );
        recorder.describe_histogram(
            "annals_http_request_duration_seconds".into(),
            Some(Unit::Seconds),
            SharedString::const_str("From a request's headers to its answer's."),
        );
        Self {
            appends: counter("annals_appends_total", "Appends that were recorded."),
            duplicates: counter(
                "annals_duplicate_appends_total",
                "Appends that had been recorded before.",
            ),
            events_appended: counter("annals_events_appended_total", "Events that were recorded."),
            bytes_appended: counter(
                "annals_bytes_appended_total",
                "Bytes of the payloads of events that were recorded.",
            ),
            events_read: counter(
                "annals_events_read_total",
                "Events that were sent to readers.",
            ),
            connections_total: counter("annals_connections_total", "Connections accepted."),
            slow_heads: counter(
                "annals_slow_requests_total",
                "Connections closed because the headers of a request took too long to come.",
            ),
            dropped: counter(
                "annals_http_requests_dropped_total",
                "Requests whose client had gone before the answer.",
            ),
            recorder,
            connections: AtomicUsize::new(0),
            requests: AtomicUsize::new(0),
            routes: RwLock::default(),
            followers: Arc::default(),
        }
    }

    /// An append was recorded: so many events, and bytes of their payloads.
    pub(in crate::server) fn appended(&self, events: usize, bytes: usize, duplicate: bool) {
        if duplicate {
            return self.duplicates.increment(1);
        }
        self.appends.increment(1);
        self.events_appended.increment(events as u64);
        self.bytes_appended.increment(bytes as u64);
    }

    /// So many events were sent to a reader or a subscriber.
    pub(in crate::server) fn read(&self, events: u64) {
        self.events_read.increment(events);
    }

    /// One follows a topic from now on, until what this returns is dropped: a `live` subscriber, a `group`, a
    /// `webhook`. Groups and webhooks have names; those who have none are counted together.
    pub(in crate::server) fn follows(
        &self,
        kind: &'static str,
        name: &str,
        topic: &str,
        position: u64,
    ) -> Follower {
        let following = Arc::new(Following {
            kind,
            name: name.to_owned(),
            topic: topic.to_owned(),
            position: AtomicU64::new(position),
        });
        let mut followers = self.followers.lock();
        let number = followers.next;
        followers.next += 1;
        followers.all.insert(number, Arc::clone(&following));
        Follower {
            number,
            following,
            followers: Arc::clone(&self.followers),
        }
    }

    /// A connection is open, until what this returns is dropped.
    pub(in crate::server) fn connection(&self) -> Open<'_> {
        self.connections_total.increment(1);
        self.connections.fetch_add(1, Ordering::Relaxed);
        Open(&self.connections)
    }

    pub(in crate::server) fn slow_head(&self) {
        self.slow_heads.increment(1);
    }

    /// A request has come. How many are worked on now, this one too.
    pub(in crate::server) fn request_begins(&self) -> usize {
        self.requests.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The client of a request has gone before it was answered.
    pub(in crate::server) fn request_dropped(&self) {
        self.requests.fetch_sub(1, Ordering::Relaxed);
        self.dropped.increment(1);
    }

    /// A request was answered.
    pub(in crate::server) fn request_ends(
        &self,
        method: &Method,
        route: Option<&str>,
        status: StatusCode,
        took: Duration,
    ) {
        self.requests.fetch_sub(1, Ordering::Relaxed);
        let route = route.unwrap_or(UNMATCHED);
        let is = |one: &&Measured| one.status == status && one.method == *method;
        if let Some(known) = self.routes.read().get(route)
            && let Some(measured) = known.iter().find(is)
        {
            return measured.record(took);
        }
        let measured = self.measure(method, route, status);
        measured.record(took);
        let mut routes = self.routes.write();
        let known = routes.entry(route.into()).or_default();
        // Another request may have been first. Methods that clients make up are not kept.
        if !known.iter().any(|one| is(&one)) && label(method) != OTHER {
            known.push(measured);
        }
    }

    fn measure(&self, method: &Method, route: &str, status: StatusCode) -> Measured {
        let mut labels = vec![
            Label::from_static_parts("method", label(method)),
            Label::new("route", route.to_owned()),
        ];
        let key = Key::from_parts("annals_http_request_duration_seconds", labels.clone());
        let seconds = self.recorder.register_histogram(&key, &ABOUT);
        labels.push(Label::new("status", status.as_u16().to_string()));
        let key = Key::from_parts("annals_http_requests_total", labels);
        Measured {
            method: method.clone(),
            status,
            count: self.recorder.register_counter(&key, &ABOUT),
            seconds,
        }
    }

    /// Puts what was measured in order, so that it does not pile up where nobody asks for it.
    pub(in crate::server) fn upkeep(&self) {
        self.handle().run_upkeep();
    }

    pub(super) fn handle(&self) -> PrometheusHandle {
        self.recorder.handle()
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    pub(super) fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }

    pub(super) fn followers(&self) -> Vec<Arc<Following>> {
        self.followers.lock().all.values().cloned().collect()
    }
}

/// A recorder with our bounds of latencies.
pub(super) fn recorder() -> PrometheusRecorder {
    // Fails only for no bounds at all.
    let builder = PrometheusBuilder::new().set_buckets(SECONDS);
    builder.unwrap_or_default().build_recorder()
}

impl Measured {
    fn record(&self, took: Duration) {
        self.count.increment(1);
        self.seconds.record(took.as_secs_f64());
    }
}

const OTHER: &str = "other";

/// Clients can make methods up, and get no label of their own for them.
fn label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => OTHER,
    }
}

/// A connection that is open.
pub(in crate::server) struct Open<'a>(&'a AtomicUsize);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One that follows a topic; its lag is the topic's head less where it is.
pub(in crate::server) struct Follower {
    number: u64,
    following: Arc<Following>,
    followers: Arc<Mutex<Followers>>,
}

impl Follower {
    /// It has come to this position.
    pub(in crate::server) fn at(&self, position: u64) {
        self.following.position.store(position, Ordering::Relaxed);
    }
}

impl fmt::Debug for Follower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follower").finish_non_exhaustive()
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.followers.lock().all.remove(&self.number);
    }
}
