//! The id of a request, by which its answer and its lines in the log are found together.

use std::{
    fmt::Write as _,
    hash::{BuildHasher, RandomState},
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
};

use axum::http::{HeaderMap, HeaderName, HeaderValue};

pub(super) static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest id that is taken from a client.
const LONGEST: usize = 64;

/// Differs from process to process, so that ids of different runs do.
static RUN: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one("annals"));

static NEXT: AtomicU64 = AtomicU64::new(1);

/// The id that the client has given, where it is short and plain, or else one of our own.
pub(super) fn request_id(headers: &HeaderMap) -> HeaderValue {
    match headers.get(&REQUEST_ID) {
        Some(given) if is_plain(given.as_bytes()) => given.clone(),
        _ => next(),
    }
}

fn is_plain(id: &[u8]) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(byte);
    !id.is_empty() && id.len() <= LONGEST && id.iter().all(plain)
}

fn next() -> HeaderValue {
    let mut id = String::with_capacity(25);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    // Writing to a text does not fail, and hexadecimal digits are a header's value.
    let _ = write!(id, "{:08x}-{number:x}", *RUN >> 32);
    HeaderValue::try_from(id).unwrap_or_else(|_| HeaderValue::from_static("-"))
}
