//! The task that appends to one topic.
//!
//! It takes all that waits, sends it in one statement, answers, and looks again: while one group is
//! made durable, the next one gathers. Nothing of it depends on those who wait for the outcome.
//!
//! When the connection is lost on the way, the server may have recorded the group or not. Then the
//! task ends the server's process that had the group, so that it cannot record it later, and sends
//! the group again: what is recorded is recognised by its ids.

use std::{collections::HashSet, sync::Arc, time::Duration};

use tokio::{
    sync::{OwnedSemaphorePermit, mpsc, oneshot},
    task::JoinSet,
    time::Instant,
};

use super::{
    catalog,
    codec::number,
    connection::ServerProcess,
    errors::{Failure, Kind},
    facts::settle,
    group::{Finding, first_of, run_of, send},
    rows::bigint_at,
    sessions::Lent,
    shared::{Args, Shared},
    topic::Core,
};
use crate::{
    models::{AppendReceipt, Position, Result, Timestamp, Version},
    repository::AppendBatch,
};

/// The most appends of a group.
const GROUP_APPENDS: usize = 512;
/// A group is full when it has so many bytes.
const GROUP_BYTES: usize = 8 << 20;
/// How often those who were answered are let run before the next group, where they do come back.
const MOST_YIELDS: usize = 16;
/// How long the task waits between two tries to find out what came of a group.
const RETRY: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));

/// How long the first group waits for the head, which is needed only if its connection is lost.
const FIRST_LOOK: Duration = Duration::from_secs(1);

/// An append that waits.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) batch: Arc<AppendBatch>,
    pub(super) now: Timestamp,
    pub(super) weight: usize,
    pub(super) reply: oneshot::Sender<Result<AppendReceipt>>,
    /// The room that it takes in the queue.
    pub(super) permit: OwnedSemaphorePermit,
}

impl Request {
    /// Tells whoever waits; nobody does where the future was dropped.
    fn answer(self, outcome: Result<AppendReceipt>) {
        drop(self.permit);
        drop(self.reply.send(outcome));
    }
}

/// What happens to a group that was sent once.
enum Attempt {
    Done(Vec<Finding>),
    /// Nothing was done.
    Failed(Failure),
    /// This process of the server may have done it, or may yet.
    Lost(Failure, Option<ServerProcess>),
}

#[derive(Debug)]
pub(super) struct Writer {
    shared: Arc<Shared>,
    core: Arc<Core>,
    /// The head, as of the last answer.
    head: Option<u64>,
    /// Refused appends that are being looked into.
    refused: JoinSet<()>,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, core: Arc<Core>) -> Self {
        Self {
            shared,
            core,
            head: None,
            refused: JoinSet::new(),
        }
    }

    /// Works until nobody can send any more, and everything is answered.
    pub(super) async fn run(mut self, mut requests: mpsc::UnboundedReceiver<Request>) {
        self.head = self.first_head().await;
        let mut left = None;
        let mut answered = 0;
        loop {
            let first = match left.take() {
                Some(request) => request,
                None => match requests.recv().await {
                    Some(request) => request,
                    None => break,
                },
            };
            let (group, over) = gather(first, &mut requests, answered).await;
            left = over;
            answered = group.len();
            self.append(group).await;
            while self.refused.try_join_next().is_some() {}
        }
        while self.refused.join_next().await.is_some() {}
    }

    /// The head before the first group, if it can be had.
    async fn first_head(&self) -> Option<u64> {
        let arguments = Args::new().with(None::<&str>);
        let sql = Arc::clone(&self.core.sql.state);
        let asking = self.shared.fetch(sql, arguments);
        let rows = tokio::time::timeout(FIRST_LOOK, asking).await.ok()?.ok()?;
        bigint_at(rows.first()?, 1).ok()
    }

    async fn append(&mut self, group: Vec<Request>) {
        let failure = match self.attempt(&group).await {
            Attempt::Done(findings) => return self.deliver(group, findings, None),
            Attempt::Failed(failure) => failure,
            Attempt::Lost(failure, server) => {
                let before = self.head;
                match self.find_out(&group, failure, server).await {
                    Attempt::Done(findings) => {
                        return self.deliver(group, findings, Some(before));
                    }
                    Attempt::Failed(failure) => failure,
                    Attempt::Lost(failure, _) => {
                        for request in group {
                            request.answer(Err(failure.clone().unknown()));
                        }
                        return;
                    }
                }
            }
        };
        if failure.kind == Kind::Data && group.len() > 1 {
            // One of them is not taken. Each is tried alone, so that it fails alone.
            for request in group {
                Box::pin(self.append(vec![request])).await;
            }
            return;
        }
        for request in group {
            let error = failure.clone();
            let error = error.error(&self.shared.name, Some(&self.core.topic));
            request.answer(Err(error));
        }
    }

    /// Sends the group once.
    async fn attempt(&mut self, group: &[Request]) -> Attempt {
        match self.shared.appends.take().await {
            Ok(lent) => self.attempt_on(lent, group).await,
            Err(failure) => Attempt::Failed(failure),
        }
    }

    async fn attempt_on(&mut self, mut lent: Lent, group: &[Request]) -> Attempt {
        let batches: Vec<_> = group
            .iter()
            .map(|request| (&*request.batch, request.now))
            .collect();
        let sending = send(&mut lent.session.connection, &self.core, &batches);
        let patience = self.shared.address.patience();
        let sent = match tokio::time::timeout(patience, sending).await {
            Ok(sent) => sent,
            Err(_) => Err(Failure::timed_out("appending")),
        };
        match sent {
            Ok(findings) => {
                self.shared.appends.give_back(lent);
                Attempt::Done(findings)
            }
            Err(failure) if failure.spares_session() => {
                self.shared.appends.give_back(lent);
                Attempt::Failed(failure)
            }
            Err(failure) => Attempt::Lost(failure, Some(lent.session.server)),
        }
    }

    /// Finds out what came of a group after its connection was lost, and completes it.
    async fn find_out(
        &mut self,
        group: &[Request],
        mut failure: Failure,
        mut server: Option<ServerProcess>,
    ) -> Attempt {
        tracing::debug!(repository = %self.shared.name, topic = %self.core.topic, %failure,
            "lost a connection while appending");
        let deadline = Instant::now() + self.shared.address.settings.outcome_timeout;
        let (mut pause, longest) = RETRY;
        loop {
            if let Ok(mut lent) = self.shared.appends.take_new().await
                && end(&mut lent, server.as_ref()).await
            {
                server = None;
                match self.attempt_on(lent, group).await {
                    Attempt::Done(findings) => return Attempt::Done(findings),
                    // The data alone is in the way of the answer.
                    Attempt::Failed(failure) if failure.kind == Kind::Data => {
                        return Attempt::Failed(failure);
                    }
                    // It is gone, unless another build has changed it since: then it may hold the group.
                    Attempt::Failed(again) if again.kind == Kind::Gone => {
                        let found = catalog::find(&self.shared, self.core.storage).await;
                        return match found {
                            Ok(None) => Attempt::Failed(again),
                            _ => Attempt::Lost(failure, server),
                        };
                    }
                    Attempt::Failed(again) => failure = again,
                    Attempt::Lost(again, by) => {
                        failure = again;
                        server = by;
                    }
                }
            }
            if Instant::now() + pause > deadline {
                return Attempt::Lost(failure, server);
            }
            tokio::time::sleep(pause).await;
            pause = longest.min(pause * 2);
        }
    }

    /// Answers a group that the server has done. Where it was sent more than once, `before` is the
    /// head before that: what is recognised beyond it is what was written then.
    fn deliver(
        &mut self,
        group: Vec<Request>,
        findings: Vec<Finding>,
        before: Option<Option<u64>>,
    ) {
        let mut written = None;
        let mut ours = HashSet::new();
        for (request, finding) in group.into_iter().zip(findings) {
            match finding {
                Finding::Written { head, version } => {
                    written = Some(head);
                    let receipt = AppendReceipt::new(
                        Position::new(first_of(head, &request.batch)),
                        Position::new(head),
                        Version::new(version),
                    );
                    request.answer(Ok(receipt));
                }
                Finding::Refused(mut facts) => {
                    // It may have been written before the topic was sealed: then it is not refused.
                    facts.sealed &= before.is_none() || run_of(&facts).is_none();
                    let first_time = match (before, run_of(&facts)) {
                        (Some(Some(before)), Some((first, last))) if first > before => {
                            written = written.max(Some(last));
                            ours.insert(first)
                        }
                        _ => false,
                    };
                    let (shared, core) = (Arc::clone(&self.shared), Arc::clone(&self.core));
                    self.refused.spawn(async move {
                        let mut settled = settle(&shared, &core, &request.batch, &facts).await;
                        if let Ok(receipt) = &mut settled {
                            receipt.duplicate &= !first_time;
                        }
                        request.answer(settled);
                    });
                }
            }
        }
        if let Some(head) = written {
            self.head = Some(head);
            self.shared.heads.tell(self.core.storage, head);
            self.shared.notifier.tell(self.core.storage, head);
        }
    }
}

/// What goes to the server together: an append, what waits behind it, and what comes from those who were
/// answered just now, where they come back at once. Clients that append one after the other would miss the
/// group by microseconds otherwise, and be in every second one. Tells what does not fit any more, too.
async fn gather(
    first: Request,
    requests: &mut mpsc::UnboundedReceiver<Request>,
    answered: usize,
) -> (Vec<Request>, Option<Request>) {
    let mut bytes = first.weight;
    let mut group = vec![first];
    let mut expected = None;
    for _ in 0..=MOST_YIELDS {
        let before = group.len();
        while group.len() < GROUP_APPENDS
            && let Ok(next) = requests.try_recv()
        {
            if bytes + next.weight > GROUP_BYTES {
                return (group, Some(next));
            }
            bytes += next.weight;
            group.push(next);
        }
        let nobody_came = expected.is_some() && group.len() == before;
        let expected = *expected.get_or_insert(group.len() + answered);
        if nobody_came || group.len() >= expected.min(GROUP_APPENDS) {
            break;
        }
        tokio::task::yield_now().await;
    }
    (group, None)
}

/// Ends a process of the server, and tells whether it is gone.
async fn end(lent: &mut Lent, server: Option<&ServerProcess>) -> bool {
    let Some(server) = server else {
        return true;
    };
    let ending = sqlx::query_scalar::<_, i64>(
        "SELECT count(*) FROM (SELECT pg_terminate_backend(a.pid, 1000) AS ended FROM pg_stat_activity a \
         WHERE a.pid = $1 AND a.backend_start::text = $2) e WHERE NOT e.ended",
    )
    .bind(server.pid)
    .bind(&server.started)
    .fetch_one(&mut lent.session.connection);
    let patience = Duration::from_secs(5);
    let left = tokio::time::timeout(patience, ending).await;
    matches!(left, Ok(Ok(left)) if number(left) == 0)
}
