//! Topics in PostgreSQL under load, beside what the same server does without us: single inserts by
//! pgbench, and COPY.

use std::{
    io::Write,
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use annals::{
    Append, ConfigurationStream, EventFilter, EventStore, EventStoreConfig, NewEvent, Position,
    Read, TopicConfig,
};
use serde_json::json;

use super::{
    annals::Annals,
    draft::{Drafts, Ids},
    drive::{self, Load},
    measure::{Times, report},
    servers::{Postgres, binaries},
    target::{Result, Target},
};

/// What a row of the bare tables has.
const COLUMNS: &str = "position bigint NOT NULL, stream text NOT NULL, version bigint NOT NULL, \
                       id uuid NOT NULL, type text NOT NULL, payload json NOT NULL, tags text[], \
                       recorded_at timestamptz NOT NULL";

/// Gives SQL to the server.
fn sql(url: &str, sql: &str) -> Result<()> {
    let mut psql = Command::new("psql")
        .args(["-q", "-v", "ON_ERROR_STOP=1", url])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()?;
    psql.stdin
        .take()
        .ok_or("no input")?
        .write_all(sql.as_bytes())?;
    if psql.wait()?.success() {
        Ok(())
    } else {
        Err("psql failed".into())
    }
}

/// Single inserts into a table without indexes, each a transaction, per second.
fn single_inserts(url: &str, clients: usize, time: Duration) -> Result<f64> {
    let mut script = tempfile::NamedTempFile::new()?;
    writeln!(
        script,
        "INSERT INTO bare VALUES (1, 'stream-00000000000001', 1, gen_random_uuid(), 'Type 42', \
         '{{\"text\":\"{}\"}}', NULL, now());",
        "x".repeat(245)
    )?;
    let output = Command::new(binaries().join("pgbench"))
        .args(["-n", "-M", "prepared", "-f"])
        .arg(script.path())
        .args(["-c", &clients.to_string(), "-j", "2"])
        .args(["-T", &time.as_secs().max(1).to_string(), url])
        .output()?;
    let output = String::from_utf8_lossy(&output.stdout);
    let line = output.lines().find_map(|line| line.strip_prefix("tps = "));
    let rate = line
        .and_then(|line| line.split(' ').next())
        .ok_or("pgbench tells no rate")?;
    let rate: f64 = rate.parse()?;
    report(
        json!({ "work": "insert", "target": "pgbench", "clients": clients }),
        json!({ "inserts_per_s": rate }),
    );
    Ok(rate)
}

pub(crate) async fn open(url: &str, name: &str) -> Result<Annals> {
    let url = format!("{url}&annals.schema={name}");
    let config = EventStoreConfig::new(ConfigurationStream::postgres(&url));
    Annals::open(config, 1, |topic| TopicConfig::postgres(topic, &url)).await
}

/// Appends in all forms, beside single inserts and COPY, on a server of its own.
pub(crate) async fn append(time: Duration) -> Result<()> {
    let server = Postgres::start(&[("max_connections", "200"), ("shared_buffers", "512MB")]);
    let url = server.url().to_owned();
    sql(&url, &format!("CREATE TABLE bare ({COLUMNS});"))?;
    for clients in [1, 16, 64] {
        let inserts = single_inserts(&url, clients, time)?;
        let target: Arc<dyn Target> = Arc::new(open(&url, &format!("single{clients}")).await?);
        let what = json!({ "adapter": "postgres", "inserts_per_s": inserts });
        drive::append(&target, Load::of(clients, time), what).await?;
        target.close().await?;
    }
    for batch in [10, 100, 1000] {
        let target: Arc<dyn Target> = Arc::new(open(&url, &format!("batch{batch}")).await?);
        let load = Load {
            batch,
            ..Load::of(1, time)
        };
        drive::append(&target, load, json!({ "adapter": "postgres" })).await?;
        target.close().await?;
    }
    copy(&url, "batch1000.\"orders-0\"", 200_000)
}

/// COPY of the rows that the load has left in a topic, in transactions of 1,000, into a table with the
/// same columns and without indexes, and into one with the same indexes.
fn copy(url: &str, topic: &str, most: u64) -> Result<()> {
    let copied = Command::new("psql")
        .args(["-q", url, "-c"])
        .arg(format!(
            "COPY (SELECT * FROM {topic} ORDER BY position LIMIT {most}) TO STDOUT"
        ))
        .output()?;
    let copied = String::from_utf8(copied.stdout)?;
    let lines: Vec<&str> = copied.lines().collect();
    if lines.len() < 1000 {
        return Err(format!("{topic} has {} rows", lines.len()).into());
    }
    for (table, with) in [("bare_copy", ""), ("indexed_copy", "INCLUDING INDEXES")] {
        sql(url, &format!("CREATE TABLE {table} (LIKE {topic} {with});"))?;
        let mut text = String::new();
        for rows in lines.chunks_exact(1000) {
            text.push_str(&format!("COPY {table} FROM STDIN;\n"));
            for row in rows {
                text.push_str(row);
                text.push('\n');
            }
            text.push_str("\\.\n");
        }
        let begin = Instant::now();
        sql(url, &text)?;
        let rows = lines.len() / 1000 * 1000;
        let rate = rows as f64 / begin.elapsed().as_secs_f64();
        report(
            json!({ "work": "copy", "table": table, "batch": 1000 }),
            json!({ "rows_per_s": rate }),
        );
    }
    Ok(())
}

/// A topic of many events: a scan beside COPY to standard output, streams, an append with a condition.
pub(crate) async fn big(events: u64, time: Duration) -> Result<()> {
    let server = Postgres::start(&[("shared_buffers", "1GB"), ("max_wal_size", "4GB")]);
    let url = server.url().to_owned();
    let annals = open(&url, "big").await?;
    let store = annals.store.clone();
    let target: Arc<dyn Target> = Arc::new(annals);
    let mut drafts = Drafts::new(0, events / 100, Ids::Ordered).with_tags();
    let begin = Instant::now();
    drive::fill(&target, &mut drafts, events, 100).await?;
    report(
        json!({ "work": "fill", "adapter": "postgres", "events": events }),
        json!({ "events_per_s": events as f64 / begin.elapsed().as_secs_f64() }),
    );
    sql(&url, "VACUUM ANALYZE;")?;
    for _ in 0..3 {
        let begin = Instant::now();
        let copied = Command::new("psql")
            .args(["-q", &url, "-c", "COPY big.\"orders-0\" TO STDOUT"])
            .stdout(Stdio::null())
            .status()?;
        if !copied.success() {
            return Err("COPY failed".into());
        }
        let copied = events as f64 / begin.elapsed().as_secs_f64();
        drive::scan(
            &target,
            1,
            json!({ "adapter": "postgres", "copied_per_s": copied }),
        )
        .await?;
    }
    let stream = store.get_events("orders-0", Read::all().limit(1)).await?;
    let stream = stream.first().ok_or("no events")?.stream.clone();
    let mut times = Times::default();
    for _ in 0..500 {
        let begin = Instant::now();
        let read = store
            .get_events("orders-0", Read::stream(stream.as_str()))
            .await?;
        times.add(begin.elapsed());
        std::hint::black_box(read);
    }
    report(
        json!({ "work": "stream", "adapter": "postgres" }),
        times.percentiles(),
    );
    guarded(&store, time).await?;
    let size = Command::new("psql")
        .args(["-Atc", "SELECT pg_total_relation_size('big.\"orders-0\"') + coalesce((SELECT sum(pg_total_relation_size(c.oid)) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'big' AND c.relkind = 'r' AND c.relname LIKE '%tags%'), 0)", &url])
        .output()?;
    let bytes: f64 = String::from_utf8_lossy(&size.stdout).trim().parse()?;
    report(
        json!({ "work": "size", "adapter": "postgres" }),
        json!({ "bytes_per_event": bytes / events as f64 }),
    );
    target.close().await
}

/// Appends with a condition over a tag, beside those without.
async fn guarded(store: &EventStore, time: Duration) -> Result<()> {
    for guarded in [false, true, false, true] {
        let mut times = Times::default();
        let begin = Instant::now();
        while begin.elapsed() < time {
            let event = NewEvent::json("Guarded", &times.len())?.tag("seat:1");
            let mut append = Append::new([event]);
            if guarded {
                let filter = EventFilter::all().tags(["seat:2"]);
                append = append.unless(filter, Position::START);
            }
            let before = Instant::now();
            store.append_events("orders-0", append).await?;
            times.add(before.elapsed());
        }
        let rate = times.len() as f64 / begin.elapsed().as_secs_f64();
        let mut figures = times.percentiles();
        figures["events_per_s"] = json!(rate);
        report(json!({ "work": "guarded", "condition": guarded }), figures);
    }
    Ok(())
}
