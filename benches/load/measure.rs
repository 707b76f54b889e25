//! Times, and the lines that tell of them.

use std::time::Duration;

use serde_json::{Value, json};

/// Durations of one kind of call.
#[derive(Debug, Default)]
pub(crate) struct Times(Vec<u64>);

impl Times {
    pub(crate) fn add(&mut self, time: Duration) {
        self.0.push(time.as_nanos() as u64);
    }

    pub(crate) fn merge(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The time within which this share of the calls was done, in microseconds.
    fn within(sorted: &[u64], share: f64) -> f64 {
        let at = ((sorted.len() as f64 * share) as usize).min(sorted.len().saturating_sub(1));
        sorted.get(at).map_or(0.0, |nanos| *nanos as f64 / 1000.0)
    }

    /// The 50th, 95th and 99th percentile in microseconds.
    pub(crate) fn percentiles(mut self) -> Value {
        self.0.sort_unstable();
        json!({
            "p50_us": Self::within(&self.0, 0.50),
            "p95_us": Self::within(&self.0, 0.95),
            "p99_us": Self::within(&self.0, 0.99),
        })
    }
}

/// Prints one line of the report: the fields of both objects.
pub(crate) fn report(what: Value, figures: Value) {
    let (Value::Object(mut line), Value::Object(more)) = (what, figures) else {
        return;
    };
    line.extend(more);
    println!("{}", Value::Object(line));
}
