//! P6: an event read is an event written.

use bytes::Bytes;
use uuid::Uuid;

use super::{case::case_table, draft::Draft, scene::Scene};
use crate::{
    models::{EventFilter, Position, RecordedEvent},
    repository::{BatchEvent, ReadPlan},
};

case_table! { Exact:
    payloads_of_all_kinds_come_back_byte_for_byte,
    metadata_and_content_types_come_back_as_they_were,
    tags_keep_their_order_and_their_repetitions,
    ids_of_all_kinds_come_back,
    large_events_come_back,
    events_carry_their_topic_and_stream,
}

/// Appends drafts, and checks what is read of them, before and after a reopening.
pub(super) async fn check_round_trip(scene: Scene, drafts: Vec<Draft>) -> Scene {
    let mut written = Vec::new();
    for draft in drafts {
        written.extend(draft.batch().events.iter().cloned());
        scene.write(draft).await;
    }
    check_recorded(&scene.log().await, &written);
    let scene = scene.reopened().await;
    check_recorded(&scene.log().await, &written);
    let verified = scene.repository.verify(&scene.placement).await.unwrap();
    assert_eq!(verified.events, written.len() as u64);
    scene
}

fn check_recorded(log: &[RecordedEvent], written: &[BatchEvent]) {
    assert_eq!(log.len(), written.len());
    for (recorded, event) in log.iter().zip(written) {
        assert_eq!(recorded.id, event.id);
        assert_eq!(recorded.stream, event.stream);
        assert_eq!(recorded.event_type, event.event_type);
        assert!(
            recorded.payload == event.payload,
            "{} bytes were written and {} read, other than they were",
            event.payload.len(),
            recorded.payload.len()
        );
        assert_eq!(recorded.content_type, event.content_type);
        assert_eq!(recorded.metadata, event.metadata);
        let tags = |tags: &crate::models::Tags| -> Vec<String> {
            tags.iter().map(ToOwned::to_owned).collect()
        };
        assert_eq!(tags(&recorded.tags), tags(&event.tags));
    }
}

/// Payloads that something on the way could be tempted to improve.
fn payloads() -> Vec<Bytes> {
    let all_bytes: Vec<u8> = (0..=255).collect();
    let mut payloads: Vec<Bytes> = [
        &b""[..],
        b"\0",
        b"\n",
        b"{}",
        b"null",
        b" { \"b\" : 1 , \"a\":1.0, \"b\":2 }\r\n",
        b"{\"n\":12345678901234567890.1234567890e-5}",
        b"{\"\\u0000\":\"\\ud800\"}",
        b"[1,]",
        b"\xff\xfe\x00\x01",
        b"\xc3\x28",
        b"\xef\xbb\xbf{}",
        "grüße, 日本 \u{1f600}".as_bytes(),
        b"\\x00 \\N '); drop table events; --",
    ]
    .into_iter()
    .map(Bytes::from_static)
    .collect();
    payloads.extend(
        all_bytes
            .iter()
            .map(|byte| Bytes::copy_from_slice(&[*byte])),
    );
    payloads.push(all_bytes.into());
    for length in [
        7, 8, 9, 63, 64, 65, 511, 512, 513, 4095, 4096, 4097, 65_535, 65_536,
    ] {
        payloads.push(vec![0; length].into());
        payloads.push(vec![0xa5; length].into());
    }
    payloads
}

async fn payloads_of_all_kinds_come_back_byte_for_byte(scene: Scene) {
    let mut drafts: Vec<Draft> = payloads()
        .into_iter()
        .enumerate()
        .map(|(number, payload)| {
            let content_type = ["application/json", "application/octet-stream"][number % 2];
            Draft::to("s")
                .event("Given")
                .payload(payload)
                .content_type(content_type)
        })
        .collect();
    // The same in one append.
    let together = payloads()
        .into_iter()
        .fold(Draft::to("t"), |draft, payload| {
            draft.event("Given").payload(payload)
        });
    drafts.push(together);
    check_round_trip(scene, drafts).await;
}

async fn metadata_and_content_types_come_back_as_they_were(scene: Scene) {
    let mut drafts: Vec<Draft> = payloads()
        .into_iter()
        .map(|metadata| Draft::to("s").event("Given").metadata(metadata))
        .collect();
    let long = "x".repeat(256);
    for text in [
        "application/json",
        "text/plain; charset=\"utf-8\"",
        "é",
        "-",
        &long,
    ] {
        drafts.push(Draft::to("s").event("Given").content_type(text));
        drafts.push(Draft::to("s").event("Given").content_type(text).payload(""));
    }
    check_round_trip(scene, drafts).await;
}

async fn tags_keep_their_order_and_their_repetitions(scene: Scene) {
    let long: Vec<String> = (0..64)
        .map(|n| format!("{n:02}{}", "ü".repeat(127)))
        .collect();
    let numbered: Vec<String> = (0..64).rev().map(|n| format!("t:{n}")).collect();
    let hostile = [
        "../..", "'", "\"", "%", "%2e", "\\", "*", "a b", "x:1,y:2", "{a}", "ß", " ",
    ];
    let drafts = vec![
        Draft::to("s").event("Given"),
        Draft::to("s").event("Given").tags(&["b", "a", "b", "B"]),
        Draft::to("s").event("Given").tags(&long),
        Draft::to("s").event("Given").tags(&numbered),
        Draft::to("s").event("Given").tags(&hostile),
    ];
    let scene = check_round_trip(scene, drafts).await;
    let log = scene.log().await;
    for tag in hostile.iter().chain(&["b", "B", "a", "t:7", "t:77", "A"]) {
        let mut plan = ReadPlan::all_after(Position::START);
        plan.filter = EventFilter::all().tags([*tag]);
        scene.check_read(&log, plan).await;
    }
}

async fn ids_of_all_kinds_come_back(scene: Scene) {
    let ids = [
        0,
        1,
        u128::MAX,
        0x0000_0000_0000_7000_8000_636f_6e66_6967,
        1 << 127,
    ];
    let drafts: Vec<Draft> = ids
        .into_iter()
        .map(|id| Draft::to("s").event("Given").id(Uuid::from_u128(id)))
        .collect();
    let scene = check_round_trip(scene, drafts.clone()).await;
    for (draft, position) in drafts.into_iter().zip(1..) {
        assert_eq!(scene.repeat(draft).await.first.get(), position);
    }
}

async fn large_events_come_back(scene: Scene) {
    let bytes = |length: usize, step: usize| -> Vec<u8> {
        (0..length).map(|n| (n * step % 251) as u8).collect()
    };
    let drafts = vec![
        Draft::to("s").event("Given").payload(bytes(1 << 20, 7)),
        Draft::to("s").event("Given"),
        Draft::to("s")
            .event("Given")
            .metadata(bytes(1 << 20, 11))
            .payload(""),
        (0..6).fold(Draft::to("s"), |draft, n| {
            draft.event("Given").payload(bytes(1 << 20, n))
        }),
        Draft::to("s")
            .event("Given")
            .payload(bytes((16 << 20) - 4096, 13)),
        Draft::to("s").event("Given"),
    ];
    check_round_trip(scene, drafts).await;
}

async fn events_carry_their_topic_and_stream(scene: Scene) {
    let other = scene.other_topic("other.topic_2-x").await;
    for topic in [&scene, &other] {
        topic
            .write(Draft::to("s").event("Given").event("Given").in_stream(""))
            .await;
        let log = topic.log().await;
        assert!(log.iter().all(|event| event.topic == topic.placement.topic));
        assert_eq!((log[0].stream.as_str(), log[1].stream.as_str()), ("s", ""));
    }
}
