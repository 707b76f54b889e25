//! The web page, clicked through in a headless Chromium: what is asked of it stands in the scripts
//! beside this file. Each has a server and a browser of its own; nothing on the page may fail on the
//! way, ask another host, or break its own policy.
//!
//! `CHROMIUM` names the browser, `PAGE_SCREENSHOTS` a folder that keeps what was seen.

#[path = "../http/mod.rs"]
mod http;

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use annals::{
    Append, Consume, NewEvent,
    server::{ServerConfig, hash_password, new_token},
};
use futures_util::TryStreamExt;
use http::Site;
use reqwest::{StatusCode, header};
use tokio::{process::Command, sync::Semaphore};

/// Browsers are heavy: more at once take longer than one after the other.
static BROWSERS: Semaphore = Semaphore::const_new(2);

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_is_made_filled_looked_through_moved_deleted_restored_and_purged() {
    run("life", Site::new().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_and_events_are_found_by_filters_pages_and_links() {
    run("search", Site::new().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_live_tail_shows_what_others_append() {
    run("live", Site::new().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_lost_on_the_way_is_asked_for_again_and_recorded_once() {
    run("trouble", Site::new().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn consumers_are_seen_with_their_lag() {
    let site = Site::new().await;
    site.memory_topic("orders").await;
    site.memory_topic("quiet").await;
    let event = || NewEvent::json("OrderPlaced", &1).unwrap();
    let append = Append::new(std::iter::repeat_with(event).take(5));
    site.store.append_events("orders", append).await.unwrap();
    let consume = Consume::named("billing");
    let mut consumer = site.store.consume("orders", consume).await.unwrap();
    for _ in 0..3 {
        consumer.try_next().await.unwrap().unwrap();
    }
    consumer.commit().await.unwrap();
    run("consumers", site).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_users_write_is_shown_and_never_run() {
    run("hostile", Site::new().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keyboard_is_enough() {
    run("keyboard", Site::new().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_place_is_accessible_on_a_desk_in_the_dark_and_on_a_phone() {
    run("looks", Site::new().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_signs_in_sees_what_they_may_and_others_are_asked() {
    let (token, password) = (new_token().unwrap(), "päss word:1");
    let rules = format!(
        "[[caller]]\nname = \"admin\"\ntokens = [\"{}\"]\n\
         allow = [{{ topics = [\"*\"], actions = [\"read\", \"append\", \"configure\", \"admin\"] }}]\n\
         [[caller]]\nname = \"person\"\npassword = \"{}\"\n\
         allow = [{{ topics = [\"orders\"], actions = [\"read\"] }}]\n",
        token.sha256,
        hash_password(password).unwrap(),
    );
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("access.toml");
    std::fs::write(&path, rules).unwrap();
    let site = Site::with(ServerConfig::new().access_file(path)).await;
    site.memory_topic("orders").await;
    site.memory_topic("secrets").await;
    let environment = [
        ("ADMIN_TOKEN", &*token.token),
        ("PERSON_PASSWORD", password),
    ];
    run_with("sign_in", &site, &environment).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_the_browser_has_is_not_sent_again() {
    let site = Site::new().await;
    let address = format!("http://{}", site.address);
    for path in ["/", "/page/js/main.js", "/page/css/base.css"] {
        let url = format!("{address}{path}");
        let first = site.client.get(&url).send().await.unwrap();
        assert_eq!(first.status(), StatusCode::OK, "{path}");
        let policy = &first.headers()[header::CONTENT_SECURITY_POLICY];
        let policy = policy.to_str().unwrap();
        assert!(
            policy.contains("default-src 'none'") && !policy.contains("unsafe"),
            "{policy}"
        );
        let tag = first.headers()[header::ETAG].clone();
        let again = site.client.get(&url).header(header::IF_NONE_MATCH, tag);
        let again = again.send().await.unwrap();
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED, "{path}");
        assert!(again.bytes().await.unwrap().is_empty(), "{path}");
    }
    let missing = format!("{address}/page/js/..%2f..%2fmod.rs");
    let missing = site.client.get(missing).send().await.unwrap();
    assert_eq!(missing.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn every_file_of_the_page_is_served() {
    let site = Site::new().await;
    let assets = root().join("src/server/page/assets");
    let mut folders = vec![assets.clone()];
    let mut count = 0;
    while let Some(folder) = folders.pop() {
        for entry in folder.read_dir().unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(&assets).unwrap().display().to_string();
            let url = format!("http://{}/page/{name}", site.address);
            let answer = site.client.get(url).send().await.unwrap();
            assert_eq!(answer.status(), StatusCode::OK, "{name}");
            assert_eq!(
                answer.bytes().await.unwrap(),
                std::fs::read(&path).unwrap(),
                "{name}"
            );
            count += 1;
        }
    }
    assert!(count > 30, "only {count} files");
}

/// Runs a script against the site, and fails as it fails.
async fn run(script: &str, site: Site) {
    run_with(script, &site, &[]).await;
}

async fn run_with(script: &str, site: &Site, environment: &[(&str, &str)]) {
    let _turn = BROWSERS.acquire().await.unwrap();
    let modules = root().join("target/test-servers/browser");
    assert!(
        modules.join("node_modules/puppeteer-core").exists(),
        "scripts/test sets up what drives the browser, below {}",
        modules.display()
    );
    let mut command = Command::new("node");
    command
        .arg(root().join("tests/page/run.mjs"))
        .arg(script)
        .arg(format!("http://{}", site.address))
        .arg(site.directory("browser"))
        .env("BROWSER_MODULES", &modules)
        .env("CHROMIUM", chromium())
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = command.output().await.unwrap();
    assert!(
        output.status.success(),
        "{script}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

fn chromium() -> PathBuf {
    if let Some(given) = std::env::var_os("CHROMIUM") {
        return given.into();
    }
    let places = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&places)
        .flat_map(|place| {
            ["chromium", "chromium-browser", "google-chrome"].map(|name| place.join(name))
        })
        .find(|path| path.is_file());
    found.expect("Chromium is installed, or CHROMIUM says where it is")
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
