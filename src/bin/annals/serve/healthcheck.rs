//! A server is asked whether it is ready: what containers are checked with, without further programs.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    process::ExitCode,
    time::Duration,
};

use super::{arguments::Flags, settings::Settings};

/// How long the server may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) async fn check(flags: &Flags, url: Option<String>) -> ExitCode {
    match ask(flags, url).await {
        Ok(()) => {
            println!("ready");
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("annals: {why}");
            ExitCode::FAILURE
        }
    }
}

async fn ask(flags: &Flags, url: Option<String>) -> Result<(), String> {
    let url = match url {
        Some(url) => url,
        None => own(flags)?,
    };
    let client = reqwest::Client::builder()
        .timeout(PATIENCE)
        .no_proxy()
        // The certificate is for the names of the server and not for the loopback address. Nothing is sent
        // that could be secret, and nothing is believed but whether the server is ready.
        .danger_accept_invalid_certs(true)
        .build()
        .map_err(|error| error.to_string())?;
    let asked = client.get(format!("{}/health/ready", url.trim_end_matches('/')));
    let answer = asked.send().await.map_err(|error| error.to_string())?;
    if answer.status().is_success() {
        return Ok(());
    }
    Err(format!("the server is not ready: {}", answer.status()))
}

/// Where a server with these settings can be reached from here.
fn own(flags: &Flags) -> Result<String, String> {
    let settings = Settings::gather(flags.clone()).map_err(|wrong| wrong.to_string())?;
    let listen = settings.listen();
    let host = match listen.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        address => address,
    };
    let scheme = if settings.tls.is_some() {
        "https"
    } else {
        "http"
    };
    Ok(format!(
        "{scheme}://{}",
        SocketAddr::new(host, listen.port())
    ))
}
