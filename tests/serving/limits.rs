//! Each limit, met for real.

use std::time::Duration;

use annals::server::ServerLimits;
use reqwest::Method;
use tokio::io::AsyncReadExt as _;

use crate::world::{Raw, World, config, limited, problem, send, status, within};

const SHORT: Duration = Duration::from_millis(150);

const APPEND: &str = "POST /api/v1/topics/orders/events HTTP/1.1\r\nhost: localhost\r\n\
                      content-type: application/json\r\n";

/// Limits that a test meets without waiting.
fn small() -> ServerLimits {
    ServerLimits {
        body_bytes: 10_000,
        json_depth: 8,
        header_bytes: 2_000,
        headers: 20,
        header_timeout: SHORT,
        body_timeout: SHORT,
        // What is cut off is not cut off for this.
        keep_alive: Duration::from_secs(3_600),
        ..ServerLimits::default()
    }
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_before_it_is_sent_and_as_it_comes() {
    let world = World::new(limited(small())).await;
    let mut raw = world.raw().await;
    raw.say(&format!("{APPEND}content-length: 10001\r\n\r\n"))
        .await;
    let head = raw.hear_head().await;
    assert!(head.starts_with("HTTP/1.1 413"), "{head}");
    assert!(head.contains("application/problem+json"), "{head}");

    let text = format!(r#"{{"type":"A","data":"{}"}}"#, "x".repeat(20_000));
    let chunks = text
        .into_bytes()
        .chunks(1_000)
        .map(|chunk| Ok::<_, std::io::Error>(chunk.to_vec()))
        .collect::<Vec<_>>();
    let body = reqwest::Body::wrap_stream(futures_util::stream::iter(chunks));
    let (status, kind) = problem(send(world.append().body(body)).await).await;
    assert_eq!((status, kind.as_str()), (413, "too-large"));
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
async fn a_body_may_be_as_large_as_the_limit_says_also_where_that_is_more_than_the_default() {
    let mut limits = ServerLimits::default();
    let usual = usize::try_from(limits.body_bytes).unwrap();
    limits.body_bytes *= 2;
    let world = World::new(limited(limits)).await;
    let padded = |bytes: usize| {
        let event = r#"{"type":"A","data":1}"#;
        world
            .append()
            .body(format!("{event}{}", " ".repeat(bytes - event.len())))
    };
    assert_eq!(status(padded(usual + 1)).await, 201);
    let (status, kind) = problem(send(padded(usual * 2 + 1)).await).await;
    assert_eq!((status, kind.as_str()), (413, "too-large"));
    world.stop().await;
}

#[tokio::test]
async fn json_that_is_nested_too_deeply_is_refused() {
    let world = World::new(limited(small())).await;
    let nested = |depth: usize| {
        let body = format!(
            r#"{{"type":"A","data":{}{}}}"#,
            "[".repeat(depth),
            "]".repeat(depth)
        );
        world.append().body(body)
    };
    assert_eq!(status(nested(7)).await, 201);
    let (status, kind) = problem(send(nested(8)).await).await;
    assert_eq!((status, kind.as_str()), (400, "json-too-deep"));
    world.stop().await;
}

#[tokio::test]
async fn headers_that_are_too_many_or_too_long_are_refused() {
    let world = World::new(limited(small())).await;
    let mut many = world.get("/api/v1/topics");
    for number in 0..25 {
        many = many.header(format!("x-{number}"), "1");
    }
    assert_eq!(problem(send(many).await).await.0, 431);
    let long = world
        .get("/api/v1/topics")
        .header("x-long", "y".repeat(2_000));
    assert_eq!(problem(send(long).await).await.0, 431);
    let path = world.get(&format!("/api/v1/topics/{}", "z".repeat(2_000)));
    assert_eq!(problem(send(path).await).await.0, 431);
    // Far beyond the limits the connection is closed before the headers are kept.
    let mut raw = world.raw().await;
    raw.say("GET / HTTP/1.1\r\nhost: localhost\r\n").await;
    let line = format!("x-many: {}\r\n", "y".repeat(1_000));
    let mut said = 0;
    while said < 1_000
        && tokio::io::AsyncWriteExt::write_all(&mut raw.0, line.as_bytes())
            .await
            .is_ok()
    {
        said += 1;
    }
    assert!(said < 1_000, "the server has taken a megabyte of headers");
    world.stop().await;
}

#[tokio::test]
async fn who_takes_too_long_to_send_a_request_is_cut_off() {
    let world = World::new(limited(small())).await;
    for said in [
        "",
        "G",
        "GET / HTTP/1.1\r\nhost: local",
        "PRI * HTTP/2.0\r\n\r\n",
    ] {
        let mut raw = world.raw().await;
        raw.say(said).await;
        assert_eq!(raw.hear_to_the_end().await, "", "{said}");
    }
    // Also after a request that was fine, and however slowly it trickles in.
    let mut raw = world.raw().await;
    raw.say("GET /health/ready HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await;
    assert!(raw.hear_head().await.starts_with("HTTP/1.1 204"));
    let (mut reading, mut writing) = raw.0.into_split();
    let trickle = tokio::spawn(async move {
        for byte in b"GET / HTTP/1.1\r\nx-slow: "
            .iter()
            .chain([b'x'; 10_000].iter())
        {
            if tokio::io::AsyncWriteExt::write_all(&mut writing, &[*byte])
                .await
                .is_err()
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    let mut heard = Vec::new();
    let _ = within(reading.read_to_end(&mut heard)).await;
    assert!(heard.is_empty());
    trickle.abort();
    world.stop().await;
}

#[tokio::test]
async fn a_body_that_comes_too_slowly_is_given_up() {
    let world = World::new(limited(small())).await;
    let mut raw = world.raw().await;
    raw.say(&format!("{APPEND}content-length: 100\r\n\r\n{{\"type\""))
        .await;
    let head = raw.hear_head().await;
    assert!(head.starts_with("HTTP/1.1 408"), "{head}");

    // Bytes that keep coming do not help where they are too few.
    let raw = world.raw().await;
    let (mut reading, mut writing) = raw.0.into_split();
    let trickle = tokio::spawn(async move {
        let head = format!("{APPEND}content-length: 9000\r\n\r\n");
        let mut bytes = head.into_bytes();
        loop {
            if tokio::io::AsyncWriteExt::write_all(&mut writing, &bytes)
                .await
                .is_err()
            {
                return;
            }
            bytes = b" ".to_vec();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    let mut head = [0; 12];
    within(reading.read_exact(&mut head)).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 408");
    trickle.abort();
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
async fn connections_beyond_the_limit_wait_until_one_is_closed() {
    let limits = ServerLimits {
        connections: 2,
        ..ServerLimits::default()
    };
    let world = World::new(limited(limits)).await;
    const ASK: &str = "GET /health/ready HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let ask = async |raw: &mut Raw| {
        raw.say(ASK).await;
        raw.hear_head().await
    };
    let (mut one, mut two) = (world.raw().await, world.raw().await);
    assert!(ask(&mut one).await.starts_with("HTTP/1.1 204"));
    assert!(ask(&mut two).await.starts_with("HTTP/1.1 204"));
    let mut three = world.raw().await;
    three.say(ASK).await;
    // The others are served for as long as it waits, and it is not.
    for _ in 0..50 {
        assert!(ask(&mut one).await.starts_with("HTTP/1.1 204"));
    }
    let mut byte = [0];
    let early = three.0.try_read(&mut byte);
    assert_eq!(early.unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    drop(two);
    assert!(three.hear_head().await.starts_with("HTTP/1.1 204"));
    drop((one, three));
    world.stop().await;
}

#[tokio::test]
async fn more_requests_than_can_be_worked_on_are_told_to_come_later() {
    let limits = ServerLimits {
        requests: 1,
        ..ServerLimits::default()
    };
    let world = World::new(limited(limits)).await;
    let mut slow = world.raw().await;
    slow.say(&format!(
        "{APPEND}content-length: 40\r\nexpect: 100-continue\r\n\r\n"
    ))
    .await;
    // The server has begun to work on it.
    assert!(slow.hear_head().await.starts_with("HTTP/1.1 100"));
    let answer = send(world.append()).await;
    assert_eq!(answer.headers()["retry-after"], "1");
    assert_eq!(problem(answer).await, (503, "busy".to_owned()));
    slow.say(r#"{"type":"A","data":{"a":"aaaaaaaaaaaaa"}}"#.get(..40).unwrap())
        .await;
    slow.hear_head().await;
    assert_eq!(status(world.append()).await, 201);
    world.stop().await;
}

#[tokio::test]
async fn bodies_of_all_requests_together_are_bounded() {
    let limits = ServerLimits {
        in_flight_bytes: 1_000,
        ..ServerLimits::default()
    };
    let world = World::new(limited(limits)).await;
    let mut slow = world.raw().await;
    slow.say(&format!(
        "{APPEND}content-length: 980\r\nexpect: 100-continue\r\n\r\n"
    ))
    .await;
    assert!(slow.hear_head().await.starts_with("HTTP/1.1 100"));
    let announced = problem(send(world.append()).await).await;
    assert_eq!(announced, (503, "busy".to_owned()));
    // The room is free again when the request is gone.
    drop(slow);
    within(async {
        while status(world.append()).await != 201 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let chunks = (0..30)
        .map(|_| Ok::<_, std::io::Error>(vec![b' '; 100]))
        .collect::<Vec<_>>();
    let body = reqwest::Body::wrap_stream(futures_util::stream::iter(chunks));
    assert_eq!(status(world.append().body(body)).await, 503);
    assert_eq!(status(world.append()).await, 201);
    world.stop().await;
}

#[tokio::test]
async fn idle_connections_are_closed() {
    let limits = ServerLimits {
        keep_alive: SHORT,
        ..ServerLimits::default()
    };
    let world = World::new(limited(limits)).await;
    let mut raw = world.raw().await;
    raw.say("GET /health/ready HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await;
    assert!(raw.hear_head().await.starts_with("HTTP/1.1 204"));
    assert_eq!(raw.hear_to_the_end().await, "");
    world.stop().await;
}

#[tokio::test]
async fn who_takes_nothing_of_an_answer_is_cut_off() {
    let limits = ServerLimits {
        write_timeout: SHORT,
        ..ServerLimits::default()
    };
    let world = World::new(limited(limits)).await;
    let payload = "x".repeat(500_000);
    for _ in 0..40 {
        let body = format!(r#"{{"type":"A","data":"{payload}"}}"#);
        assert_eq!(status(world.append().body(body)).await, 201);
    }
    let mut raw = world.raw().await;
    raw.say("GET /api/v1/topics/orders/events?limit=40 HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await;
    // Nothing is read until the server has given up, which it shows by having no connection left.
    let alone = async {
        loop {
            let text = send(world.get("/metrics")).await.text().await.unwrap();
            if text.contains("\nannals_connections 1\n") {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    within(alone).await;
    let heard = raw.hear_to_the_end().await;
    assert!(
        heard.len() < 40 * 500_000,
        "all of it was sent: {}",
        heard.len()
    );
    world.stop().await;
}

#[tokio::test]
async fn methods_and_paths_that_are_not_there_are_problems_or_empty() {
    let world = World::new(config()).await;
    for (method, path) in [
        (Method::GET, "/api/v1/nothing"),
        (Method::PATCH, "/metrics"),
        (Method::from_bytes(b"BREW").unwrap(), "/metrics"),
    ] {
        let status = status(world.request(method, path)).await;
        assert!([404, 405].contains(&status), "{path} {status}");
    }
    world.stop().await;
}
