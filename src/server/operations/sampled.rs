//! What is looked up when metrics are asked for: heads of topics, how far those who follow are behind, how
//! repositories are. It is rendered by a recorder of its own each time, so that what is gone is not shown.

use std::{collections::BTreeMap, time::Duration};

use futures_util::{StreamExt as _, stream};
use metrics::{Key, Label, Recorder, SharedString};
use metrics_exporter_prometheus::PrometheusRecorder;
use tokio::time::timeout;

use super::metrics::{ABOUT, recorder};
use crate::{
    HealthStatus, TopicInfo,
    server::state::{App, Shared},
};

/// The most topics whose heads are shown, in the order of their names: more would make too many series.
const MOST_TOPICS: usize = 1_000;

/// Topics that are asked for their heads at once.
const AT_ONCE: usize = 8;

/// How long heads may take in all. Those that are not known then are left out.
const PATIENCE: Duration = Duration::from_secs(3);

/// All metrics as text.
pub(super) async fn render(app: &App) -> String {
    let gauges = Gauges(recorder());
    let mut heads = BTreeMap::new();
    // Dropped where it takes too long: what was found by then is shown.
    let _ = timeout(PATIENCE, find_heads(app, &mut heads)).await;
    gauges.server(app);
    gauges.repositories(app).await;
    for (topic, head) in &heads {
        let labels = vec![Label::new("topic", topic.clone())];
        gauges.set(
            "annals_topic_head",
            "The position of a topic's last event.",
            labels,
            *head,
        );
    }
    gauges.followers(app, &heads);
    let mut text = app.metrics.handle().render();
    text.push_str(&gauges.0.handle().render());
    text
}

async fn find_heads(app: &Shared, heads: &mut BTreeMap<String, f64>) {
    let Ok(mut topics) = app.store.list_topics().await else {
        return;
    };
    topics.truncate(MOST_TOPICS);
    let head = |topic: TopicInfo| async move {
        let name = topic.name.to_string();
        let head = app.store.get_latest_version(&name).await.ok()?;
        Some((name, head.get() as f64))
    };
    let mut found = stream::iter(topics).map(head).buffer_unordered(AT_ONCE);
    while let Some(found) = found.next().await {
        heads.extend(found);
    }
}

struct Gauges(PrometheusRecorder);

impl Gauges {
    fn set(&self, name: &'static str, about: &'static str, labels: Vec<Label>, value: f64) {
        let recorder = &self.0;
        recorder.describe_gauge(name.into(), None, SharedString::const_str(about));
        let gauge = recorder.register_gauge(&Key::from_parts(name, labels), &ABOUT);
        gauge.set(value);
    }

    fn server(&self, app: &Shared) {
        let metrics = &app.metrics;
        let set = |name, about, value: f64| self.set(name, about, Vec::new(), value);
        set(
            "annals_connections",
            "Connections that are open.",
            metrics.connections() as f64,
        );
        set(
            "annals_http_requests_in_flight",
            "Requests that are worked on.",
            metrics.requests() as f64,
        );
        set(
            "annals_http_bodies_in_flight_bytes",
            "Bytes of the bodies of requests that are worked on.",
            app.in_flight.bytes() as f64,
        );
        self.set(
            "annals_build_info",
            "The version of the server, as a label; always 1.",
            vec![Label::from_static_parts(
                "version",
                env!("CARGO_PKG_VERSION"),
            )],
            1.0,
        );
    }

    async fn repositories(&self, app: &Shared) {
        let report = app.health.of(&app.store).await;
        for health in &report.repositories {
            let labels = || vec![Label::new("repository", health.repository.clone())];
            let up = match health.status {
                HealthStatus::Up => 1.0,
                HealthStatus::Degraded => 0.5,
                HealthStatus::Down => 0.0,
            };
            self.set(
                "annals_repository_up",
                "1 for a repository that works, 0.5 for a degraded one, 0 for one that is down.",
                labels(),
                up,
            );
            self.set(
                "annals_repository_latency_seconds",
                "How long a repository took to tell how it is.",
                labels(),
                health.latency.as_secs_f64(),
            );
        }
    }

    fn followers(&self, app: &Shared, heads: &BTreeMap<String, f64>) {
        let mut groups: BTreeMap<_, (f64, Option<f64>)> = BTreeMap::new();
        let followers = app.metrics.followers();
        for one in &followers {
            let key = (one.kind, one.name.as_str(), one.topic.as_str());
            let (count, most) = groups.entry(key).or_default();
            *count += 1.0;
            if let Some(head) = heads.get(&one.topic) {
                let position = one.position.load(std::sync::atomic::Ordering::Relaxed) as f64;
                *most = Some(most.unwrap_or(0.0).max(head - position));
            }
        }
        for ((kind, name, topic), (count, lag)) in groups {
            let labels = || {
                vec![
                    Label::from_static_parts("kind", kind),
                    Label::new("name", name.to_owned()),
                    Label::new("topic", topic.to_owned()),
                ]
            };
            self.set(
                "annals_followers",
                "Live subscribers, groups and webhooks that follow a topic.",
                labels(),
                count,
            );
            if let Some(lag) = lag {
                self.set(
                    "annals_follower_lag_events",
                    "How many events the last of them is behind the topic's head.",
                    labels(),
                    lag,
                );
            }
        }
    }
}
