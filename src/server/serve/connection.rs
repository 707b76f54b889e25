//! One connection: its requests are handed to the router, and it is closed when it is done or does nothing.

use std::{
    convert::Infallible,
    error::Error,
    future::Future,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
};

use axum::{Router, body::Body, extract::Request, response::Response};
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::OwnedSemaphorePermit,
    time::{sleep, timeout},
};
use tower::Service;
use tracing::debug;

use super::{
    activity::{Activity, Busy, Verdict},
    intake,
    patient::Patient,
    router,
    tls::Tls,
};
use crate::server::{ServerLimits, state::App};

/// How often a connection of HTTP/2 is asked whether it is still there, and how long it may take to tell.
const PING: std::time::Duration = std::time::Duration::from_secs(20);

/// What hyper may read ahead, in bytes, where the limit of headers is smaller: what large bodies come in.
const BUFFER: usize = 128 << 10;

/// What all connections share.
#[derive(Debug)]
pub(super) struct Served {
    pub(super) app: App,
    router: Router,
    builder: Builder<TokioExecutor>,
    tls: Option<Tls>,
}

impl Served {
    pub(super) fn new(app: App, tls: Option<Tls>) -> Self {
        Self {
            router: router::router(Arc::clone(&app)),
            builder: builder(&app.config.limits),
            app,
            tls,
        }
    }
}

/// The limits as hyper has them, a little wider than ours, so that most of what is too much comes to be
/// answered with a problem that says what the limit is.
fn builder(limits: &ServerLimits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_headers(limits.headers.saturating_mul(2))
        .max_buf_size(limits.header_bytes.saturating_mul(2).max(BUFFER));
    let list = limits.header_bytes.saturating_mul(2);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING)
        .max_concurrent_streams(limits.streams)
        .max_send_buf_size(64 << 10)
        .max_header_list_size(u32::try_from(list).unwrap_or(u32::MAX));
    builder
}

/// Serves a connection until it is closed.
pub(super) async fn serve(stream: TcpStream, served: Arc<Served>, _slot: OwnedSemaphorePermit) {
    let _open = served.app.metrics.connection();
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%error, "a connection was gone before it was served");
        return;
    }
    let limits = &served.app.config.limits;
    let activity = Arc::new(Activity::new());
    let stream = Patient::new(stream, Arc::clone(&activity), limits.write_timeout);
    let Some(tls) = &served.tls else {
        return drive(stream, &served, activity).await;
    };
    match timeout(limits.header_timeout, tls.acceptor().accept(stream)).await {
        Ok(Ok(stream)) => drive(stream, &served, activity).await,
        Ok(Err(error)) => debug!(%error, "a client did not agree on TLS"),
        Err(_) => debug!("a client took too long to agree on TLS"),
    }
}

async fn drive<S>(stream: S, served: &Arc<Served>, activity: Arc<Activity>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let limits = &served.app.config.limits;
    let requests = Requests {
        served: Arc::clone(served),
        activity: Arc::clone(&activity),
    };
    let connection = served
        .builder
        .serve_connection(TokioIo::new(stream), requests);
    let mut connection = pin!(connection);
    let mut stopping = pin!(served.app.stopped());
    let mut watch = pin!(sleep(limits.header_timeout.min(limits.keep_alive)));
    let mut closing = false;
    loop {
        tokio::select! {
            biased;
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    debug!(error = %cause(&*error), "a connection broke");
                }
                return;
            }
            () = stopping.as_mut(), if !closing => {
                closing = true;
                connection.as_mut().graceful_shutdown();
            }
            () = watch.as_mut() => {
                let again = match activity.judge(limits) {
                    Verdict::Ask(after) => after,
                    Verdict::Idle if !closing => {
                        closing = true;
                        connection.as_mut().graceful_shutdown();
                        limits.header_timeout
                    }
                    Verdict::Idle => return,
                    Verdict::SlowHead => {
                        debug!("a client took too long to send a request");
                        return served.app.metrics.slow_head();
                    }
                };
                watch.as_mut().reset(tokio::time::Instant::now() + again);
            }
        }
    }
}

/// The innermost reason: hyper's own says only that there is one.
fn cause<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    error.source().map_or(error, cause)
}

/// Hands the requests of a connection to the router.
struct Requests {
    served: Arc<Served>,
    activity: Arc<Activity>,
}

impl hyper::service::Service<Request<Incoming>> for Requests {
    type Response = Response<Answer>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let busy = self.activity.begin();
        let request = intake::receive(request, &self.served.app);
        // A clone of the router is a clone of an `Arc`, and it is always ready.
        let answer = self.served.router.clone().call(request);
        Box::pin(async move {
            let response = match answer.await {
                Ok(response) => response,
                Err(never) => match never {},
            };
            Ok(response.map(|body| Answer { body, _busy: busy }))
        })
    }
}

/// The body of an answer; the connection is busy until it is sent.
struct Answer {
    body: Body,
    _busy: Busy,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
