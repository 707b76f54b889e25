//! What pages of other origins could have a browser do is refused: reach a server of this machine by a name
//! of their own (DNS rebinding), and write with the credentials that the browser remembers.

use std::net::IpAddr;

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header, uri::Authority},
};

use crate::server::{problem::Problem, state::App};

/// Tells where a browser's request comes from; pages cannot set it.
const SEC_FETCH_SITE: &str = "sec-fetch-site";

pub(super) fn admit(app: &App, request: &Request) -> Result<(), Problem> {
    let allowed = &app.config.allowed_hosts;
    let is_open = !app.access.is_on() && app.config.listen.ip().is_loopback();
    let authority = authority(request);
    if (is_open || !allowed.is_empty()) && !is_allowed(authority.as_ref(), allowed) {
        return Err(Problem::new(
            StatusCode::MISDIRECTED_REQUEST,
            "unknown-host",
            "this server does not answer to the host that the request names; it can be allowed",
        ));
    }
    let is_safe = matches!(
        *request.method(),
        Method::GET | Method::HEAD | Method::OPTIONS
    );
    if is_safe || is_own(request.headers(), authority.as_ref(), allowed) {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::FORBIDDEN,
        "cross-origin",
        "pages of other origins may not write here",
    ))
}

/// Whom the request is for: the authority of HTTP/2, or the `Host` of HTTP/1.
fn authority(request: &Request) -> Option<Authority> {
    if let Some(authority) = request.uri().authority() {
        return Some(authority.clone());
    }
    let host = request.headers().get(header::HOST)?;
    Authority::try_from(host.as_bytes()).ok()
}

fn is_allowed(authority: Option<&Authority>, allowed: &[String]) -> bool {
    let Some(authority) = authority else {
        return false;
    };
    let host = authority.host();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    let is_loopback = match address.parse::<IpAddr>() {
        Ok(address) => address.is_loopback(),
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    };
    is_loopback
        || allowed
            .iter()
            .any(|one| host.eq_ignore_ascii_case(one) || one == address)
}

/// Whether what writes is no browser, or a page of this server.
fn is_own(headers: &HeaderMap, authority: Option<&Authority>, allowed: &[String]) -> bool {
    if let Some(site) = headers.get(SEC_FETCH_SITE) {
        return site == "same-origin" || site == "none";
    }
    let Some(origin) = headers.get(header::ORIGIN) else {
        return true;
    };
    let Some(origin) = origin_authority(origin) else {
        return false;
    };
    let same = authority.is_some_and(|authority| *authority == origin);
    same || allowed
        .iter()
        .any(|one| origin.host().eq_ignore_ascii_case(one))
}

/// The host and port of an `Origin`; `null` has none.
fn origin_authority(origin: &HeaderValue) -> Option<Authority> {
    let origin = origin.to_str().ok()?;
    let (_, authority) = origin.split_once("://")?;
    Authority::try_from(authority).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn authority(text: &str) -> Option<Authority> {
        Authority::try_from(text).ok()
    }

    #[test]
    fn only_names_of_this_machine_and_allowed_ones_are_answered() {
        let allowed = ["events.example.com".to_owned(), "10.0.0.7".to_owned()];
        for host in [
            "localhost",
            "LOCALHOST:2116",
            "127.0.0.1:2116",
            "127.9.9.9",
            "[::1]:2116",
            "Events.example.com",
            "10.0.0.7:80",
        ] {
            assert!(is_allowed(authority(host).as_ref(), &allowed), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "10.0.0.8",
            "0.0.0.0",
            "[::]",
        ] {
            assert!(!is_allowed(authority(host).as_ref(), &allowed), "{host}");
        }
        assert!(!is_allowed(None, &allowed));
    }

    #[test]
    fn pages_of_other_origins_do_not_write() {
        let here = authority("localhost:2116");
        let own = |name: &'static str, value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_static(value));
            is_own(&headers, here.as_ref(), &[])
        };
        assert!(is_own(&HeaderMap::new(), here.as_ref(), &[]));
        assert!(own("sec-fetch-site", "same-origin") && own("sec-fetch-site", "none"));
        assert!(!own("sec-fetch-site", "cross-site") && !own("sec-fetch-site", "same-site"));
        assert!(own("origin", "http://localhost:2116"));
        for origin in [
            "null",
            "http://localhost:2117",
            "http://evil.example",
            "http://localhost",
            "http://localhost:2116@evil.example",
        ] {
            assert!(!own("origin", origin), "{origin}");
        }
    }
}
