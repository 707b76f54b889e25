//! The addresses that answers name.

use std::fmt;

use axum::http::{HeaderMap, header, request::Parts};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What is written as it is in a part of a path.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// Where the client believes the server to be: `http://host:port/prefix`.
#[derive(Clone, Debug)]
pub(super) struct Base(String);

/// The addresses of one stream.
#[derive(Clone, Debug)]
pub(super) struct StreamUrls {
    base: Base,
    stream: String,
    /// The topic as a query, where it is not the one that the stream's name leads to.
    query: String,
}

impl Base {
    /// What proxies say goes before what the request itself says.
    pub(super) fn of(parts: &Parts) -> Self {
        let headers = &parts.headers;
        let scheme = first(headers, "x-forwarded-proto")
            .filter(|scheme| matches!(*scheme, "http" | "https"))
            .or(parts.uri.scheme_str())
            .unwrap_or("http");
        let host = first(headers, "x-forwarded-host")
            .or_else(|| first(headers, header::HOST.as_str()))
            .or(parts.uri.authority().map(|authority| authority.as_str()))
            .filter(|host| host.bytes().all(is_of_host))
            .unwrap_or("localhost");
        let port = first(headers, "x-forwarded-port").and_then(|port| port.parse::<u16>().ok());
        let host = match port {
            Some(port) => format!("{}:{port}", without_port(host)),
            None => host.to_owned(),
        };
        let prefix = first(headers, "x-forwarded-prefix")
            .map(|prefix| prefix.trim_matches('/'))
            .filter(|prefix| !prefix.is_empty() && prefix.bytes().all(is_of_path))
            .map_or(String::new(), |prefix| format!("/{prefix}"));
        Self(format!("{scheme}://{host}{prefix}"))
    }

    /// The addresses of a stream.
    pub(super) fn stream(&self, stream: &str, topic: Option<&str>) -> StreamUrls {
        let query = topic.map(|topic| format!("?topic={}", encoded(topic)));
        StreamUrls {
            base: self.clone(),
            stream: format!("{self}/streams/{}", encoded(stream)),
            query: query.unwrap_or_default(),
        }
    }
}

impl fmt::Display for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl StreamUrls {
    /// The stream itself.
    pub(super) fn itself(&self) -> String {
        format!("{}{}", self.stream, self.query)
    }

    /// The addresses of another stream, where its name leads to.
    pub(super) fn of_other(&self, stream: &str) -> Self {
        self.base.stream(stream, None)
    }

    /// Something below the stream.
    pub(super) fn below(&self, what: impl fmt::Display) -> String {
        format!("{}/{what}{}", self.stream, self.query)
    }
}

/// A name as a part of a path.
pub(super) fn encoded(name: &str) -> impl fmt::Display {
    utf8_percent_encode(name, SEGMENT)
}

/// The first of the values that several proxies have left.
fn first<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let value = headers.get(name)?.to_str().ok()?;
    let first = value.split(',').next()?.trim();
    Some(first).filter(|first| !first.is_empty())
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

const fn is_of_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'[' | b']')
}

const fn is_of_path(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'~' | b'/' | b'%')
}
