//! What is read is what was written, byte for byte, whatever it is.

use reqwest::Method;
use serde_json::json;

use crate::http::Site;

const PATH: &str = "/api/v1/topics/t/events";

#[tokio::test]
async fn json_payloads_come_back_as_they_were_written() {
    let site = Site::new().await;
    site.topic("t").await;
    let payloads = [
        "{\"a\" : 1.10, \"a\":2}",
        "[1,\t2]",
        "null",
        "true",
        "\"\"",
        "\"\\u00e9\\/\"",
        "-0.0",
        "1e0",
        "{}",
        "[ ]",
        "12345678901234567890123",
        "\"日本\u{2028}\"",
        "{\"data\":{\"type\":\"x\"}}",
    ];
    for (payload, nth) in payloads.iter().zip(1..) {
        let body = format!("{{\"type\":\"A\",\"data\":{payload},\"metadata\": {payload} }}");
        assert_eq!(site.post_json(PATH, body).await.expect(201)["first"], nth);
        let event = site.get(&format!("{PATH}/{nth}")).await;
        let wanted = format!(",\"data\":{payload},\"metadata\":{payload}}}");
        assert!(
            event.text().ends_with(&wanted),
            "{payload}: {}",
            event.text()
        );
    }
    let page = site.get(&format!("{PATH}?limit=1000")).await;
    let lines = site.get_as(PATH, "application/x-ndjson").await.text();
    let lines: Vec<&str> = lines.lines().collect();
    assert_eq!(lines.len(), payloads.len());
    assert!(
        page.text()
            .starts_with(&format!("{{\"events\":[{}]", lines.join(",")))
    );
    site.close().await;
}

#[tokio::test]
async fn what_is_no_json_for_others_comes_as_base64() {
    let site = Site::new().await;
    site.topic("t").await;
    let long = "9".repeat(400);
    for payload in ["1e400", "\"\\ud800\"", "{\n}", &long] {
        let body = format!("{{\"type\":\"A\",\"data\":{payload}}}");
        let first = site.post_json(PATH, body).await.expect(201)["first"].clone();
        let event = site.get(&format!("{PATH}/{first}")).await.expect(200);
        assert!(event.get("data").is_none());
        // It can be appended as it was read, and is the same.
        let again = json!({ "type": "A", "dataBase64": event["dataBase64"] });
        site.post_json(PATH, again).await.expect(201);
        let first = annals::Position::new(first.as_u64().unwrap());
        let read = annals::Read::all().after(first.previous());
        let read = site.store.get_events("t", read).await.unwrap();
        assert_eq!(read.len(), 2);
        assert!(read.iter().all(|event| event.payload == payload.as_bytes()));
    }
    site.close().await;
}

#[tokio::test]
async fn bytes_and_nothing_come_back_as_they_were_written() {
    let site = Site::new().await;
    site.topic("t").await;
    let bytes: Vec<u8> = (0..=255).collect();
    let base64 = base64(&bytes);
    let event = json!({ "type": "A", "contentType": "x/y", "dataBase64": base64 });
    site.post_json(PATH, &event).await.expect(201);
    let read = site.get(&format!("{PATH}/1")).await.expect(200);
    assert_eq!(read["dataBase64"], base64.as_str());
    assert_eq!(read["contentType"], "x/y");
    site.post_json(PATH, json!({ "type": "A" }))
        .await
        .expect(201);
    site.post_json(PATH, json!({ "type": "A", "dataBase64": "" }))
        .await
        .expect(201);
    let read = site
        .store
        .get_events("t", annals::Read::all())
        .await
        .unwrap();
    assert_eq!(&read[0].payload[..], &bytes[..]);
    assert!(read[1].payload.is_empty() && read[2].payload.is_empty());
    let empty = site.get(&format!("{PATH}/2")).await.expect(200);
    assert!(empty.get("data").is_none() && empty.get("dataBase64").is_none());
    // Not UTF-8 in a JSON body.
    let bad = b"{\"type\":\"A\",\"data\":\"\xff\"}".to_vec();
    let answer = site.send(Method::POST, PATH, "application/json", bad).await;
    answer.problem(400, "invalid-json");
    site.close().await;
}

fn base64(bytes: &[u8]) -> String {
    const SIGNS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let mut number = 0_u32;
        for at in 0..3 {
            number = number << 8 | u32::from(*three.get(at).unwrap_or(&0));
        }
        for at in 0..4 {
            let sign = SIGNS[(number >> (18 - 6 * at)) as usize & 63];
            text.push(if at <= three.len() { sign.into() } else { '=' });
        }
    }
    text
}
