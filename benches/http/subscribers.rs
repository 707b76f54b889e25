//! Live subscribers, all of one topic, while events are appended at a steady rate: whether each gets all,
//! how long after an event was sent, and what the server needs for them.

use std::{
    io::BufRead as _,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::watch,
};

use super::{
    annals::Annals,
    append_request,
    client::Client,
    draft::{Drafts, Ids},
    measure::report,
    server::Server,
    target::{Result, Target as _},
};

/// How long the last events may take to arrive.
const PATIENCE: Duration = Duration::from_secs(10);

/// When each event was sent, by its position, in nanoseconds since the load began; and how many events there
/// will be.
struct Plan {
    begin: Instant,
    sent: Vec<AtomicU64>,
}

/// What one subscriber saw.
#[derive(Default)]
struct Seen {
    /// The position of the last event.
    last: u64,
    missed: u64,
    /// How many events came so many milliseconds after they were sent.
    after: Vec<u64>,
}

pub(crate) async fn run(path: &str, subscribers: usize, rate: u64, time: Duration) -> Result<()> {
    Annals::files(path, 1, &[]).await?.close().await?;
    let server = Server::start(path)?;
    let mut first = Client::connect(&server.address).await?;
    let mut drafts = Drafts::new(0, 100, Ids::Ordered);
    // So that the topic is open before anything is measured.
    first.ask(&append_request(&mut drafts)?).await?;
    let before = server.resident()?;
    let events = rate * time.as_secs();
    let plan = Arc::new(Plan {
        begin: Instant::now(),
        sent: (0..events + 2).map(|_| AtomicU64::new(0)).collect(),
    });
    let (ended, ending) = watch::channel(false);
    let mut tasks = Vec::new();
    for _ in 0..subscribers {
        let stream = subscribe(&server.address).await?;
        tasks.push(tokio::spawn(follow(
            stream,
            Arc::clone(&plan),
            ending.clone(),
        )));
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let connected = server.resident()?;
    let peak = append(&mut first, &mut drafts, &plan, rate, &server).await?;
    let appended_in = plan.begin.elapsed();
    tokio::time::sleep(Duration::from_secs(2)).await;
    ended.send_replace(true);
    let (mut missed, mut behind) = (0, 0);
    let mut after = vec![0_u64; 10_001];
    for task in tasks {
        let seen = task.await??;
        missed += seen.missed;
        behind += u64::from(seen.last != events + 1);
        for (sum, count) in after.iter_mut().zip(seen.after) {
            *sum += count;
        }
    }
    let deliveries: u64 = after.iter().sum();
    let within = |share: f64| within(&after, (deliveries as f64 * share) as u64);
    let each = |kib: u64| kib.saturating_sub(before) as f64 / subscribers as f64;
    report(
        json!({
            "work": "subscribers", "subscribers": subscribers, "wanted_events_per_s": rate,
            "seconds": time.as_secs(),
        }),
        json!({
            "events_per_s": events as f64 / appended_in.as_secs_f64(),
            "deliveries": deliveries,
            "missed": missed,
            "subscribers_that_lack_the_last": behind,
            "p50_ms": within(0.5), "p99_ms": within(0.99), "p999_ms": within(0.999),
            "kib_each_connected": each(connected), "kib_each_peak": each(peak.max(connected)),
        }),
    );
    Ok(())
}

/// The milliseconds within which so many came.
fn within(after: &[u64], wanted: u64) -> usize {
    let mut sum = 0;
    let reached = after.iter().position(|count| {
        sum += count;
        sum > wanted
    });
    reached.unwrap_or(after.len())
}

/// Appends at the rate, and tells the most memory that the server had meanwhile.
async fn append(
    client: &mut Client,
    drafts: &mut Drafts,
    plan: &Plan,
    rate: u64,
    server: &Server,
) -> Result<u64> {
    let mut peak = 0;
    let mut pace = tokio::time::interval(Duration::from_secs(1) / u32::try_from(rate)?);
    // One after the other, so that the n-th event has the n-th position.
    for (position, sent) in plan.sent.iter().enumerate().skip(2) {
        pace.tick().await;
        let request = append_request(drafts)?;
        let now = plan.begin.elapsed().as_nanos() as u64;
        sent.store(now, Ordering::Release);
        if client.ask(&request).await?.status != 201 {
            return Err("an append was refused".into());
        }
        if (position as u64).is_multiple_of(rate) {
            peak = peak.max(server.resident()?);
        }
    }
    Ok(peak)
}

async fn subscribe(address: &str) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(address).await?;
    let request = b"GET /api/v1/topics/orders-0/live?after=1 HTTP/1.1\r\nhost: localhost\r\n\
                    accept: text/event-stream\r\n\r\n";
    stream.write_all(request).await?;
    Ok(stream)
}

async fn follow(
    mut stream: TcpStream,
    plan: Arc<Plan>,
    mut ending: watch::Receiver<bool>,
) -> Result<Seen> {
    let mut seen = Seen {
        last: 1,
        after: vec![0; 10_001],
        ..Seen::default()
    };
    let mut buffer = Vec::with_capacity(64 << 10);
    let last = plan.sent.len() as u64 - 1;
    loop {
        tokio::select! {
            read = stream.read_buf(&mut buffer) => {
                if read? == 0 {
                    return Err("a live stream ended".into());
                }
                let taken = take(&buffer, &plan, &mut seen)?;
                buffer.drain(..taken);
            }
            _ = ending.changed() => break,
        }
    }
    // What was sent and not read yet.
    let more = async {
        while seen.last < last && stream.read_buf(&mut buffer).await? > 0 {
            let taken = take(&buffer, &plan, &mut seen)?;
            buffer.drain(..taken);
        }
        Result::Ok(())
    };
    if let Ok(done) = tokio::time::timeout(PATIENCE, more).await {
        done?;
    }
    Ok(seen)
}

/// Takes the whole lines; each event's first one tells its position.
fn take(buffer: &[u8], plan: &Plan, seen: &mut Seen) -> Result<usize> {
    let now = plan.begin.elapsed().as_nanos() as u64;
    let mut rest = buffer;
    let mut taken = 0;
    let mut id = None;
    loop {
        let line_at = rest;
        let length = rest.skip_until(b'\n')?;
        let line = line_at.get(..length).unwrap_or_default();
        if !line.ends_with(b"\n") {
            // An event is taken with its data, or not yet.
            return Ok(taken);
        }
        if let Some(position) = line.strip_prefix(b"id: ") {
            id = std::str::from_utf8(position)?.trim().parse::<u64>().ok();
        } else if line.starts_with(b"data: {\"topic\"") {
            let position = id.take().ok_or("an event without an id")?;
            if position <= seen.last {
                return Err("an event came twice".into());
            }
            seen.missed += position - seen.last - 1;
            seen.last = position;
            let sent = plan
                .sent
                .get(position as usize)
                .ok_or("an event that was not sent")?;
            let nanos = now.saturating_sub(sent.load(Ordering::Acquire));
            let millis = usize::try_from(nanos / 1_000_000)?.min(seen.after.len() - 1);
            if let Some(count) = seen.after.get_mut(millis) {
                *count += 1;
            }
        }
        if id.is_none() {
            taken = buffer.len() - rest.len();
        }
    }
}
