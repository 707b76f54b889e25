//! Where webhooks may go: not into the network in which the server is, unless it is told so.
//!
//! An address is looked at when a webhook is registered, and each time before a connection is made, after
//! its name was resolved: what a name stands for can change.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use reqwest::{
    Url,
    dns::{Addrs, Name, Resolve, Resolving},
};

use crate::server::{groups::invalid, problem::Problem};

/// Resolves names to addresses that may be reached.
#[derive(Clone, Copy, Debug)]
pub(super) struct Resolver {
    pub(super) private: bool,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let private = self.private;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed: Vec<SocketAddr> = found
                .filter(|address| private || is_public(address.ip()))
                .collect();
            if allowed.is_empty() {
                let refused = "the name has no public address, and webhooks reach no others";
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, refused).into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

/// Reads an address that may be called.
pub(super) fn parse(text: &str, private: bool) -> Result<Url, Problem> {
    let url = Url::parse(text).map_err(|error| invalid(format!("`url` is no URL: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(invalid("`url` begins with https:// or http://"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        let detail = "`url` has a user or a password; what is registered can be read by others, so sign \
                      with `secret` instead";
        return Err(invalid(detail));
    }
    if !private {
        check_host(&url)?;
    }
    Ok(url)
}

/// Refuses an address that is written out and not public, or a name of this machine.
fn check_host(url: &Url) -> Result<(), Problem> {
    let host = url.host_str().unwrap_or_default();
    // A dot at the end is the same name.
    let bare = host.trim_start_matches('[').trim_end_matches([']', '.']);
    let local =
        bare.eq_ignore_ascii_case("localhost") || bare.to_ascii_lowercase().ends_with(".localhost");
    let private = bare.parse().is_ok_and(|address| !is_public(address));
    if local || private {
        return Err(invalid(format!(
            "`url` leads to {host}, which is not public; a server has to allow that webhooks reach its own network"
        )));
    }
    Ok(())
}

/// Whether an address is one of the public Internet.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let reserved = match a {
        0 | 10 | 127 => true,
        100 => (64..128).contains(&b),
        169 => b == 254,
        172 => (16..32).contains(&b),
        192 => b == 168 || (b == 0 && (c == 0 || c == 2)) || (b == 88 && c == 99),
        198 => b == 18 || b == 19 || (b == 51 && c == 100),
        203 => b == 0 && c == 113,
        _ => a >= 224,
    };
    !reserved
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, c, ..] = address.segments();
    let [.., g, h] = address.segments();
    let embedded = |high: u16, low: u16| {
        is_public_v4(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)))
    };
    match (a, b) {
        // IPv4 in IPv6, by which one would get around the above.
        (0, 0) => address.to_ipv4_mapped().is_some_and(is_public_v4),
        (0x64, 0xff9b) => embedded(g, h),
        (0x2002, _) => embedded(b, c),
        // Teredo, documentation.
        (0x2001, 0 | 0xdb8) => false,
        _ => a & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_network_of_the_server_is_not_public() {
        for private in [
            "127.0.0.1",
            "127.8.8.8",
            "0.0.0.0",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "192.0.0.8",
            "192.0.2.1",
            "198.18.0.1",
            "203.0.113.9",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "fd00::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::127.0.0.1",
            "64:ff9b::10.0.0.1",
            "2002:7f00:1::",
            "2001::1",
            "2001:db8::1",
            "ff02::1",
            "fec0::1",
        ] {
            assert!(!is_public(private.parse().unwrap()), "{private}");
        }
        for public in [
            "1.1.1.1",
            "172.32.0.1",
            "100.128.0.1",
            "2606:4700::1111",
            "::ffff:8.8.8.8",
        ] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
    }

    #[test]
    fn an_address_is_refused_however_it_is_written() {
        for wrong in [
            "http://127.0.0.1/",
            "http://2130706433/",
            "http://0x7f.1/",
            "http://0177.0.0.1/",
            "http://localhost:80/",
            "http://LOCALHOST/",
            "http://a.localhost/",
            "http://localhost./",
            "http://127.0.0.1./",
            "http://[::1]/",
            "http://[::ffff:127.0.0.1]/",
            "http://169.254.169.254/latest",
            "ftp://example.com/",
            "file:///etc/passwd",
            "http://user:word@example.com/",
            "http://user@example.com/",
            "example.com",
        ] {
            assert!(parse(wrong, false).is_err(), "{wrong}");
        }
        assert!(parse("https://example.com/hook?token=1", false).is_ok());
        assert!(parse("http://127.0.0.1:1/", true).is_ok());
        assert!(parse("ftp://127.0.0.1:1/", true).is_err());
    }
}
