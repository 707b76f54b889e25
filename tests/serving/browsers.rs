//! What pages of other origins could have a browser do.

use reqwest::Method;

use crate::world::{World, config, problem, send, status};

#[tokio::test]
async fn names_that_lead_to_this_machine_by_rebinding_are_not_answered() {
    let world = World::new(config().allow_host("events.example.com")).await;
    let port = world.address.port();
    for host in ["localhost", "127.0.0.1", "[::1]", "events.example.com"] {
        for host in [host.to_owned(), format!("{host}:{port}")] {
            let asked = world.get("/health/ready").header("host", &host);
            assert_eq!(status(asked).await, 204, "{host}");
        }
    }
    for host in ["evil.example", "localhost.evil.example", "192.168.0.1"] {
        for path in [
            "/",
            "/health/ready",
            "/api/v1/topics",
            "/metrics",
            "/streams/x",
        ] {
            let asked = world.get(path).header("host", host);
            let (status, kind) = problem(send(asked).await).await;
            assert_eq!(
                (status, kind.as_str()),
                (421, "unknown-host"),
                "{host} {path}"
            );
        }
    }
    world.stop().await;
}

#[tokio::test]
async fn names_are_looked_at_also_where_none_is_allowed_by_the_configuration() {
    let world = World::new(config()).await;
    for host in ["localhost", "127.0.0.1", "[::1]"] {
        let asked = world.get("/health/ready").header("host", host);
        assert_eq!(status(asked).await, 204, "{host}");
    }
    for host in ["evil.example", "events.example.com", "192.168.0.1"] {
        let asked = world.get("/health/ready").header("host", host);
        let (code, kind) = problem(send(asked).await).await;
        assert_eq!((code, kind.as_str()), (421, "unknown-host"), "{host}");
        let written = world.append().header("host", host);
        assert_eq!(status(written).await, 421, "{host}");
    }
    assert_eq!(
        world
            .store
            .get_latest_version("orders")
            .await
            .unwrap()
            .get(),
        0
    );
    world.stop().await;
}

#[tokio::test]
async fn pages_of_other_origins_may_not_write_and_read_no_answer() {
    let world = World::new(config()).await;
    let here = format!("http://{}", world.address);
    for (name, value) in [
        ("origin", "http://evil.example"),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
    ] {
        let (status, kind) = problem(send(world.append().header(name, value)).await).await;
        assert_eq!(
            (status, kind.as_str()),
            (403, "cross-origin"),
            "{name}: {value}"
        );
        let read = send(world.get("/api/v1/topics").header(name, value)).await;
        assert!(!read.headers().contains_key("access-control-allow-origin"));
        let asked = world
            .request(Method::OPTIONS, "/api/v1/topics/orders/events")
            .header(name, value)
            .header("access-control-request-method", "POST");
        let preflight = send(asked).await;
        assert!(
            !preflight
                .headers()
                .contains_key("access-control-allow-origin")
        );
    }
    assert_eq!(
        world
            .store
            .get_latest_version("orders")
            .await
            .unwrap()
            .get(),
        0
    );
    assert_eq!(status(world.append().header("origin", &here)).await, 201);
    assert_eq!(
        status(world.append().header("sec-fetch-site", "same-origin")).await,
        201
    );
    assert_eq!(status(world.append()).await, 201);
    world.stop().await;
}

#[tokio::test]
async fn every_answer_has_an_id_and_is_not_to_be_guessed_at() {
    let world = World::new(config()).await;
    for path in ["/", "/health/ready", "/api/v1/topics", "/nothing/here"] {
        let answer = send(world.get(path)).await;
        let headers = answer.headers().clone();
        assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
        assert!(!headers["x-request-id"].is_empty(), "{path}");
        if path == "/" && answer.status().is_success() {
            let policy = headers["content-security-policy"].to_str().unwrap();
            assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
        }
    }
    let given = send(
        world
            .get("/health/ready")
            .header("x-request-id", "of-the.client:1"),
    )
    .await;
    assert_eq!(given.headers()["x-request-id"], "of-the.client:1");
    let hostile = send(world.get("/health/ready").header("x-request-id", "a b\"<")).await;
    assert_ne!(hostile.headers()["x-request-id"], "a b\"<");
    world.stop().await;
}
