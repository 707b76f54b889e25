//! Clients that go away in the middle.

use annals::{Append, NewEvent};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::http::Site;

#[tokio::test]
async fn a_client_that_goes_away_in_its_body_has_appended_nothing() {
    let site = Site::new().await;
    site.topic("t").await;
    let body = json!([{ "type": "A" }, { "type": "B" }]).to_string();
    for sent in [0, 1, body.len() / 2, body.len() - 1] {
        let mut connection = TcpStream::connect(site.address).await.unwrap();
        let head = format!(
            "POST /api/v1/topics/t/events HTTP/1.1\r\nhost: localhost\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        connection.write_all(head.as_bytes()).await.unwrap();
        connection
            .write_all(&body.as_bytes()[..sent])
            .await
            .unwrap();
        // The server is told that there is no more to come, and closes.
        connection.shutdown().await.unwrap();
        let mut answer = Vec::new();
        connection
            .read_to_end(&mut answer)
            .await
            .unwrap_or_default();
        assert!(!String::from_utf8_lossy(&answer).contains(" 201 "));
    }
    assert_eq!(site.store.get_latest_version("t").await.unwrap().get(), 0);
    site.post_json("/api/v1/topics/t/events", body)
        .await
        .expect(201);
    site.close().await;
}

#[tokio::test]
async fn a_client_that_goes_away_in_an_answer_disturbs_nobody() {
    let site = Site::new().await;
    site.topic("t").await;
    let payload = serde_json::to_vec(&"x".repeat(1_000)).unwrap();
    for _ in 0..20 {
        let events = (0..1_000).map(|_| NewEvent::json_text("A", payload.clone()));
        site.store
            .append_events("t", Append::new(events))
            .await
            .unwrap();
    }
    for accept in ["application/x-ndjson", "application/json"] {
        let mut connection = TcpStream::connect(site.address).await.unwrap();
        let head = format!(
            "GET /api/v1/topics/t/events?limit=10000 HTTP/1.1\r\nhost: localhost\r\naccept: {accept}\r\n\r\n"
        );
        connection.write_all(head.as_bytes()).await.unwrap();
        let mut some = [0; 1_000];
        connection.read_exact(&mut some).await.unwrap();
        assert!(some.starts_with(b"HTTP/1.1 200 "));
        drop(connection);
    }
    let page = site
        .get("/api/v1/topics/t/events?limit=10")
        .await
        .expect(200);
    assert_eq!(page["events"].as_array().unwrap().len(), 10);
    // It can be closed: nothing is left that reads.
    site.close().await;
}

#[tokio::test]
async fn requests_of_one_connection_are_answered_in_their_order() {
    let site = Site::new().await;
    site.topic("t").await;
    let event = r#"{"type":"A"}"#;
    let append = format!(
        "POST /api/v1/topics/t/streams/s/events HTTP/1.1\r\nhost: localhost\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{event}",
        event.len()
    );
    let last =
        "GET /api/v1/topics/t/streams/s HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    let requests = format!("{}{last}", append.repeat(20));
    let answers = site.raw(requests.as_bytes()).await;
    assert_eq!(answers.matches("HTTP/1.1 201 ").count(), 20);
    for version in 1..=20 {
        assert_eq!(
            answers
                .matches(&format!("\"version\":{version},\"duplicate\""))
                .count(),
            1
        );
    }
    assert!(answers.ends_with(r#""version":20}"#), "{answers}");
    site.close().await;
}
