//! Consumer groups, and what is known of consumers.

use std::collections::{BTreeMap, BTreeSet};

use annals::Consume;
use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::world::{World, append, config, in_files, within};

/// Deliveries that are to be had now, or within some seconds.
async fn take(world: &World, group: &str, max: u64) -> Vec<Value> {
    let path = format!("topics/orders/groups/{group}/take?max={max}&wait=10s");
    let answer = world.ok("POST", &path, None).await;
    answer["deliveries"].as_array().unwrap().clone()
}

async fn answer(world: &World, group: &str, how: &str, deliveries: &[Value]) -> (u16, Value) {
    let tokens: Vec<&Value> = deliveries.iter().map(|one| &one["delivery"]).collect();
    let body = json!({ "deliveries": tokens });
    let path = format!("topics/orders/groups/{group}/{how}");
    world.call("POST", &path, Some(body)).await
}

fn number(delivery: &Value) -> u64 {
    delivery["event"]["data"]["n"].as_u64().unwrap()
}

async fn configure(world: &World, group: &str, settings: Value) {
    let path = format!("topics/orders/groups/{group}");
    world.ok("PUT", &path, Some(settings)).await;
}

#[tokio::test]
async fn two_clients_share_a_group_and_each_stream_keeps_its_order() {
    let world = World::new().await;
    for n in 0..60 {
        append(
            &world.store,
            &format!("order-{}", n % 6),
            "Placed",
            n..n + 1,
        )
        .await;
    }
    append(&world.store, "order-1", "Other", 60..61).await;
    let settings = json!({ "filter": { "types": ["Placed"] }, "partitions": 4 });
    configure(&world, "mailers", settings).await;
    let client = async || {
        let mut seen = Vec::new();
        loop {
            let deliveries = take(&world, "mailers", 4).await;
            if deliveries.is_empty() {
                return seen;
            }
            seen.extend(deliveries.iter().map(number));
            let (status, answered) = answer(&world, "mailers", "ack", &deliveries).await;
            assert_eq!((status, &answered["expired"]), (200, &json!([])));
            if seen.iter().any(|n| *n >= 54) {
                return seen;
            }
        }
    };
    let (mut one, other) = tokio::join!(client(), client());
    while one.len() + other.len() < 60 {
        let rest = take(&world, "mailers", 50).await;
        one.extend(rest.iter().map(number));
        answer(&world, "mailers", "ack", &rest).await;
    }
    assert!(!other.is_empty() && one.len() + other.len() == 60);
    for seen in [&one, &other] {
        let mut last: BTreeMap<u64, u64> = BTreeMap::new();
        for n in seen {
            assert!(
                last.insert(n % 6, *n).is_none_or(|before| before < *n),
                "{seen:?}"
            );
        }
    }
    let all: BTreeSet<u64> = one.into_iter().chain(other).collect();
    assert_eq!(all, BTreeSet::from_iter(0..60));
    world.stop().await;
}

#[tokio::test]
async fn what_is_retried_comes_again_and_what_is_parked_when_it_is_replayed() {
    let world = World::new().await;
    append(&world.store, "a", "Placed", 1..4).await;
    let backoff = json!({ "first": "10ms", "longest": "20ms" });
    configure(
        &world,
        "g",
        json!({ "tries": 2, "backoff": backoff, "partitions": 1 }),
    )
    .await;
    let first = take(&world, "g", 10).await;
    assert_eq!(
        (first.len(), number(&first[0]), &first[0]["attempt"]),
        (1, 1, &json!(1))
    );
    assert_eq!(answer(&world, "g", "retry", &first).await.0, 200);
    let again = take(&world, "g", 10).await;
    assert_eq!((number(&again[0]), &again[0]["attempt"]), (1, &json!(2)));
    // Its last try.
    answer(&world, "g", "retry", &again).await;
    let second = take(&world, "g", 10).await;
    assert_eq!(number(&second[0]), 2);
    let body = json!({ "deliveries": [second[0]["delivery"]], "reason": "nobody wants \"it\"}" });
    world
        .ok("POST", "topics/orders/groups/g/park", Some(body))
        .await;
    let third = take(&world, "g", 10).await;
    assert_eq!(number(&third[0]), 3);
    answer(&world, "g", "ack", &third).await;
    // An answer counts once.
    let (status, problem) = answer(&world, "g", "ack", &third).await;
    assert_eq!(
        (status, &problem["type"]),
        (410, &json!("urn:annals:problem:delivery-expired"))
    );
    let parked = world.ok("GET", "topics/orders/groups/g/parked", None).await;
    let parked = parked["parked"].as_array().unwrap();
    assert_eq!(parked.len(), 2);
    assert_eq!(
        (&parked[0]["tries"], &parked[0]["event"]["data"]["n"]),
        (&json!(2), &json!(1))
    );
    assert_eq!(parked[1]["reason"], "nobody wants \"it\"}");
    assert_eq!(
        world.ok("GET", "topics/orders/groups/g", None).await["parked"],
        2
    );
    let replayed = world
        .ok("POST", "topics/orders/groups/g/replay", None)
        .await;
    assert_eq!(replayed["replayed"], 2);
    let mut back = Vec::new();
    while back.len() < 2 {
        let deliveries = take(&world, "g", 10).await;
        back.extend(deliveries.iter().map(number));
        answer(&world, "g", "ack", &deliveries).await;
    }
    assert_eq!(back, [1, 2]);
    assert_eq!(
        world.ok("GET", "topics/orders/groups/g", None).await["parked"],
        0
    );
    world.stop().await;
}

#[tokio::test]
async fn an_answer_that_comes_too_late_is_said_to_and_the_event_comes_again() {
    let world = World::new().await;
    append(&world.store, "a", "Placed", 1..2).await;
    let backoff = json!({ "first": "10ms", "longest": "10ms" });
    configure(
        &world,
        "g",
        json!({ "answerWithin": "200ms", "backoff": backoff, "partitions": 1 }),
    )
    .await;
    let first = take(&world, "g", 1).await;
    let again = take(&world, "g", 1).await;
    assert_eq!((number(&again[0]), &again[0]["attempt"]), (1, &json!(2)));
    assert_eq!(answer(&world, "g", "ack", &first).await.0, 410);
    world.stop().await;
}

#[tokio::test]
async fn what_a_client_that_hung_up_was_not_given_is_no_try_that_failed() {
    let world = World::new().await;
    configure(&world, "g", json!({ "tries": 1, "partitions": 1 })).await;
    let mut socket = TcpStream::connect(world.address).await.unwrap();
    let request =
        "POST /api/v1/topics/orders/groups/g/take?wait=60s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
    socket.write_all(request.as_bytes()).await.unwrap();
    while world.ok("GET", "topics/orders/groups/g", None).await["members"] != 1 {}
    // The server lets go of the request, and closes the connection on its part.
    socket.shutdown().await.unwrap();
    let mut rest = Vec::new();
    drop(within(socket.read_to_end(&mut rest)).await);
    append(&world.store, "a", "Placed", 1..2).await;
    let given = take(&world, "g", 1).await;
    assert_eq!((number(&given[0]), &given[0]["attempt"]), (1, &json!(1)));
    world.stop().await;
}

#[tokio::test]
async fn settings_that_another_server_was_told_count_at_once() {
    let world = World::new().await;
    let other = World::serve(world.store.clone(), config()).await;
    append(&world.store, "a", "Placed", 1..2).await;
    let backoff = json!({ "first": "10ms", "longest": "10ms" });
    let many = json!({ "tries": 1000, "backoff": backoff, "partitions": 1 });
    configure(&world, "g", many).await;
    let first = take(&world, "g", 1).await;
    answer(&world, "g", "retry", &first).await;
    configure(&other, "g", json!({ "tries": 1, "partitions": 1 })).await;
    let again = take(&world, "g", 1).await;
    answer(&world, "g", "retry", &again).await;
    within(async { while world.ok("GET", "topics/orders/groups/g", None).await["parked"] != 1 {} })
        .await;
    world.stop_serving().await;
    other.stop().await;
}

#[tokio::test]
async fn settings_and_positions_survive_a_restart_and_tokens_do_not() {
    let directory = tempfile::tempdir().unwrap();
    let world = World::serve(in_files(directory.path()).await, config()).await;
    append(&world.store, "a", "Placed", 1..6).await;
    configure(
        &world,
        "g",
        json!({ "from": 2, "tries": 1, "partitions": 1 }),
    )
    .await;
    let first = take(&world, "g", 1).await;
    assert_eq!(number(&first[0]), 3, "it began after position 2");
    answer(&world, "g", "ack", &first).await;
    let in_hand = take(&world, "g", 1).await;
    assert_eq!(number(&in_hand[0]), 4);
    world.stop().await;
    let world = World::serve(in_files(directory.path()).await, config()).await;
    assert_eq!(answer(&world, "g", "ack", &in_hand).await.0, 410);
    let state = world.ok("GET", "topics/orders/groups/g", None).await;
    assert_eq!(
        (&state["settings"]["tries"], &state["position"]),
        (&json!(1), &json!(3))
    );
    // What was in hand was no try that has failed: it is not parked, it comes again.
    let again = take(&world, "g", 1).await;
    assert_eq!(number(&again[0]), 4);
    answer(&world, "g", "ack", &again).await;
    let last = take(&world, "g", 1).await;
    assert_eq!(number(&last[0]), 5);
    world.stop().await;
}

#[expect(clippy::too_many_lines, reason = "one request after the other")]
#[tokio::test]
async fn what_is_wrong_with_a_group_is_said() {
    let world = World::new().await;
    for (method, path, body, status, kind) in [
        (
            "POST",
            "topics/orders/groups/none/take",
            None,
            404,
            "group-not-found",
        ),
        ("GET", "topics/nothing/groups", None, 404, "topic-not-found"),
        (
            "PUT",
            "topics/orders/groups/g",
            Some(json!({ "tris": 1 })),
            422,
            "invalid-config",
        ),
        (
            "PUT",
            "topics/orders/groups/g",
            Some(json!({ "tries": 0 })),
            422,
            "invalid-config",
        ),
        (
            "PUT",
            "topics/orders/groups/g",
            Some(json!({ "from": 9 })),
            422,
            "invalid-config",
        ),
        (
            "PUT",
            "topics/orders/groups/g",
            Some(json!({ "filter": { "typ": 1 } })),
            422,
            "invalid-config",
        ),
        (
            "PUT",
            "topics/nothing/groups/g",
            Some(json!({})),
            404,
            "topic-not-found",
        ),
        (
            "PUT",
            "topics/orders/groups/g",
            Some(json!({ "partitions": 2 })),
            201,
            "",
        ),
        (
            "PUT",
            "topics/orders/groups/g",
            Some(json!({ "partitions": 3 })),
            409,
            "partitions-stay",
        ),
        (
            "PUT",
            "topics/orders/groups/g",
            Some(json!({ "partitions": 2, "tries": 9 })),
            200,
            "",
        ),
        (
            "POST",
            "topics/orders/groups/g/take?max=0",
            None,
            400,
            "bad-request",
        ),
        (
            "POST",
            "topics/orders/groups/g/take?wait=x",
            None,
            400,
            "bad-request",
        ),
        (
            "POST",
            "topics/orders/groups/g/ack",
            Some(json!({ "deliveries": [] })),
            400,
            "bad-request",
        ),
        (
            "POST",
            "topics/orders/groups/g/ack",
            Some(json!({ "deliveries": ["x"] })),
            410,
            "delivery-expired",
        ),
        ("DELETE", "topics/orders/groups/g", None, 204, ""),
        (
            "DELETE",
            "topics/orders/groups/g",
            None,
            404,
            "group-not-found",
        ),
    ] {
        let (found, answer) = world.call(method, path, body.clone()).await;
        assert_eq!(found, status, "{method} {path} {body:?}: {answer}");
        if !kind.is_empty() {
            assert_eq!(
                answer["type"],
                format!("urn:annals:problem:{kind}"),
                "{method} {path}"
            );
        }
    }
    // A request that waits is answered with nothing.
    configure(&world, "h", json!({})).await;
    let nothing = world
        .ok("POST", "topics/orders/groups/h/take?wait=100ms", None)
        .await;
    assert_eq!(nothing, json!({ "deliveries": [] }));
    world.stop().await;
}

#[tokio::test]
async fn a_server_that_stops_answers_who_waits_for_deliveries() {
    let world = World::new().await;
    configure(&world, "g", json!({})).await;
    let url = format!(
        "http://{}/api/v1/topics/orders/groups/g/take?wait=60s",
        world.address
    );
    let waiting = tokio::spawn(reqwest::Client::new().post(url).send());
    // It waits once the server is a member.
    loop {
        let state = world.ok("GET", "topics/orders/groups/g", None).await;
        if state["members"] == 1 {
            break;
        }
    }
    world.stop().await;
    let answer = within(waiting).await.unwrap().unwrap();
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn consumers_of_all_kinds_are_listed_with_their_lag() {
    let world = World::new().await;
    append(&world.store, "a", "Placed", 1..11).await;
    let mut consumer = world
        .store
        .consume("orders", Consume::named("billing"))
        .await
        .unwrap();
    for _ in 0..4 {
        within(consumer.next()).await.unwrap().unwrap();
    }
    consumer.commit().await.unwrap();
    configure(&world, "mailers", json!({ "partitions": 2 })).await;
    let mut done = 0;
    while done < 10 {
        let deliveries = take(&world, "mailers", 10).await;
        done += deliveries.len();
        answer(&world, "mailers", "ack", &deliveries).await;
    }
    // What was answered is recorded a moment later.
    let consumers = loop {
        let list = world.ok("GET", "topics/orders/consumers", None).await;
        if list["consumers"][1]["lag"] == 0 {
            break list["consumers"].clone();
        }
    };
    assert_eq!(consumers.as_array().unwrap().len(), 2, "{consumers}");
    assert_eq!(
        (
            &consumers[0]["name"],
            &consumers[0]["kind"],
            &consumers[0]["position"]
        ),
        (&json!("billing"), &json!("consumer"), &json!(4))
    );
    assert_eq!(
        (&consumers[0]["lag"], &consumers[0]["head"]),
        (&json!(6), &json!(10))
    );
    assert!(consumers[0]["holder"].is_string());
    assert_eq!(
        (&consumers[1]["name"], &consumers[1]["kind"]),
        (&json!("mailers"), &json!("group"))
    );
    let groups = world.ok("GET", "topics/orders/groups", None).await;
    assert_eq!(groups["groups"][0]["lag"], 0);
    drop(consumer);
    world.stop().await;
}
