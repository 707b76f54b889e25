//! Who may do what.

use std::{fmt::Write as _, fs, path::Path, sync::LazyLock};

use annals::{
    TopicConfig,
    server::{NewToken, ServerConfig, new_token},
};
use reqwest::{Method, RequestBuilder};
use serde_json::json;

use crate::world::{World, config, problem, send, status, store, within};

/// What callers show. Hashing a password takes a while, so it is done once.
struct Shown {
    admin: NewToken,
    reader: NewToken,
    appender: NewToken,
    password: String,
}

static SHOWN: LazyLock<Shown> = LazyLock::new(|| Shown {
    admin: new_token().unwrap(),
    reader: new_token().unwrap(),
    appender: new_token().unwrap(),
    password: cheap_hash("correct horse"),
});

/// As `hash_password` makes, and cheaper to check: a debug build takes seconds for one.
fn cheap_hash(password: &str) -> String {
    use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, Version};
    let params = Params::new(2_048, 1, 1, None).unwrap();
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    argon2
        .hash_password(password.as_bytes())
        .unwrap()
        .to_string()
}

fn rules() -> String {
    let shown = &*SHOWN;
    let mut text = String::new();
    let mut caller = |name: &str, secret: &str, allow: &str| {
        write!(
            text,
            "[[caller]]\nname = \"{name}\"\n{secret}\nallow = [{allow}]\n"
        )
        .unwrap();
    };
    let token = |token: &NewToken| format!("tokens = [\"{}\"]", token.sha256);
    caller(
        "admin",
        &token(&shown.admin),
        r#"{ topics = ["*"], actions = ["read", "append", "configure", "admin"] }"#,
    );
    caller(
        "reader",
        &token(&shown.reader),
        r#"{ topics = ["orders", "shop-*"], actions = ["read"] }"#,
    );
    caller(
        "appender",
        &token(&shown.appender),
        r#"{ topics = ["shop-*"], actions = ["read", "append"] },
           { topics = ["new-*"], actions = ["configure"] }"#,
    );
    caller(
        "person",
        &format!("password = \"{}\"", shown.password),
        r#"{ topics = ["orders"], actions = ["read", "append"] }"#,
    );
    text.push_str("[anonymous]\nallow = [{ topics = [\"public-*\"], actions = [\"read\"] }]\n");
    text
}

fn controlled(path: &Path, text: &str) -> ServerConfig {
    fs::write(path, text).unwrap();
    config().access_file(path)
}

/// A server with topics that callers may do different things with.
async fn world(path: &Path) -> World {
    let store = store().await;
    for name in ["shop-eu", "public-news", "payments"] {
        store.create_topic(TopicConfig::memory(name)).await.unwrap();
    }
    World::over(store, controlled(path, &rules())).await
}

#[derive(Clone, Copy, Debug)]
enum As {
    Nobody,
    Wrong,
    Admin,
    Reader,
    Appender,
    Person,
}

fn by(request: RequestBuilder, caller: As) -> RequestBuilder {
    let shown = &*SHOWN;
    match caller {
        As::Nobody => request,
        As::Wrong => request.bearer_auth("annals_wrong"),
        As::Admin => request.bearer_auth(&shown.admin.token),
        As::Reader => request.bearer_auth(&shown.reader.token),
        // A token is a password too, for clients that know nothing else.
        As::Appender => request.basic_auth("appender", Some(&shown.appender.token)),
        As::Person => request.basic_auth("person", Some("correct horse")),
    }
}

fn read(world: &World, topic: &str) -> RequestBuilder {
    world.get(&format!("/api/v1/topics/{topic}/events"))
}

fn append(world: &World, topic: &str) -> RequestBuilder {
    world
        .request(Method::POST, &format!("/api/v1/topics/{topic}/events"))
        .json(&json!({ "type": "Happened", "data": {} }))
}

fn create(world: &World, topic: &str) -> RequestBuilder {
    world
        .request(Method::POST, "/api/v1/topics")
        .json(&json!({ "name": topic, "adapter": "memory", "connection": "" }))
}

fn administer(world: &World) -> RequestBuilder {
    world.get("/api/v1/health")
}

/// What is asked, and what is answered: to nobody, a wrong token, admin, reader, appender, person.
fn table(world: &World) -> Vec<(&'static str, RequestBuilder, [u16; 6])> {
    vec![
        (
            "read orders",
            read(world, "orders"),
            [401, 401, 200, 200, 403, 200],
        ),
        (
            "read shop-eu",
            read(world, "shop-eu"),
            [401, 401, 200, 200, 200, 403],
        ),
        (
            "read public-news",
            read(world, "public-news"),
            [200, 401, 200, 403, 403, 403],
        ),
        (
            "read payments",
            read(world, "payments"),
            [401, 401, 200, 403, 403, 403],
        ),
        (
            "read what is not there",
            read(world, "none"),
            [401, 401, 404, 403, 403, 403],
        ),
        (
            "append to orders",
            append(world, "orders"),
            [401, 401, 201, 403, 403, 201],
        ),
        (
            "append to shop-eu",
            append(world, "shop-eu"),
            [401, 401, 201, 403, 201, 403],
        ),
        (
            "append to public-news",
            append(world, "public-news"),
            [401, 401, 201, 403, 403, 403],
        ),
        (
            "create what is there",
            create(world, "shop-eu"),
            [401, 401, 409, 403, 403, 403],
        ),
        ("health", administer(world), [401, 401, 200, 403, 403, 403]),
        (
            "metrics",
            world.get("/metrics"),
            [401, 401, 200, 403, 403, 403],
        ),
        (
            "live",
            world.get("/health/ready"),
            [204, 401, 204, 204, 204, 204],
        ),
    ]
}

#[tokio::test]
async fn each_caller_may_do_what_is_allowed_with_topics_of_its_patterns_and_nothing_else() {
    use As::{Admin, Appender, Nobody, Person, Reader, Wrong};
    let directory = tempfile::tempdir().unwrap();
    let world = world(&directory.path().join("access.toml")).await;
    for (what, request, expected) in table(&world) {
        let callers = [Nobody, Wrong, Admin, Reader, Appender, Person];
        for (caller, expected) in callers.into_iter().zip(expected) {
            let asked = by(request.try_clone().unwrap(), caller);
            let answer = send(asked).await;
            assert_eq!(answer.status().as_u16(), expected, "{what} as {caller:?}");
            if expected == 401 {
                let challenge = answer.headers()["www-authenticate"].to_str().unwrap();
                assert!(challenge.contains("Basic") && challenge.contains("Bearer"));
            }
        }
    }
    assert_eq!(status(by(create(&world, "new-1"), As::Appender)).await, 201);
    assert_eq!(status(by(create(&world, "new-1"), As::Person)).await, 403);
    world.stop().await;
}

#[tokio::test]
async fn a_list_of_topics_shows_only_what_its_caller_may_read() {
    let directory = tempfile::tempdir().unwrap();
    let world = world(&directory.path().join("access.toml")).await;
    let names = async |caller| {
        let answer = send(by(world.get("/api/v1/topics"), caller)).await;
        let body: serde_json::Value = answer.json().await.unwrap();
        let topics = body["topics"].as_array().unwrap();
        let name = |topic: &serde_json::Value| topic["name"].as_str().unwrap().to_owned();
        let mut names: Vec<_> = topics.iter().map(name).collect();
        names.sort();
        names
    };
    assert_eq!(names(As::Reader).await, ["orders", "shop-eu"]);
    assert_eq!(names(As::Nobody).await, ["public-news"]);
    assert_eq!(names(As::Admin).await.len(), 4);
    world.stop().await;
}

#[tokio::test]
async fn who_may_append_and_not_read_is_shown_no_events_of_others() {
    let directory = tempfile::tempdir().unwrap();
    let (writer, both) = (new_token().unwrap(), new_token().unwrap());
    let rules = format!(
        "[[caller]]\nname = \"writer\"\ntokens = [\"{}\"]\n\
         allow = [{{ topics = [\"*\"], actions = [\"append\"] }}]\n\
         [[caller]]\nname = \"both\"\ntokens = [\"{}\"]\n\
         allow = [{{ topics = [\"*\"], actions = [\"append\", \"read\"] }}]\n",
        writer.sha256, both.sha256,
    );
    let world = World::new(controlled(&directory.path().join("access.toml"), &rules)).await;
    let push = async |caller: &NewToken, id: u128| {
        let id = uuid::Uuid::from_u128(id);
        let event = json!({ "id": id, "type": "Happened", "expectedVersion": 0 });
        let request = world.request(Method::POST, "/api/v1/topics/orders/push");
        let request = request.json(&json!({ "events": [event] }));
        let answer = send(request.bearer_auth(&caller.token)).await;
        let answer: serde_json::Value = answer.json().await.unwrap();
        answer["outcomes"][0].clone()
    };
    assert_eq!(push(&both, 1).await["outcome"], "accepted");
    let shown = push(&both, 2).await;
    assert_eq!(shown["events"][0]["position"], 1);
    let hidden = push(&writer, 3).await;
    assert_eq!(hidden["outcome"], "conflict");
    assert_eq!(
        (&hidden["version"], &hidden["events"]),
        (&json!(1), &json!([]))
    );
    world.stop().await;
}

#[tokio::test]
async fn what_is_no_credential_is_refused_whatever_it_looks_like() {
    let directory = tempfile::tempdir().unwrap();
    let world = world(&directory.path().join("access.toml")).await;
    let long = format!("Bearer {}", "x".repeat(8000));
    for shown in [
        "",
        "Bearer",
        "Bearer ",
        "Basic",
        "Basic %%%",
        "Basic cGVyc29u",
        "Digest username=\"admin\"",
        "Bearer annals_",
        &long,
    ] {
        let asked = read(&world, "public-news").header("authorization", shown);
        let (status, kind) = problem(send(asked).await).await;
        assert_eq!(
            (status, kind.as_str()),
            (401, "unauthorized"),
            "{shown:.40}"
        );
    }
    // The hash that stands in the file is no token, and a caller's token is not another's password.
    let hash = read(&world, "orders").bearer_auth(&SHOWN.admin.sha256);
    assert_eq!(status(hash).await, 401);
    let other = read(&world, "orders").basic_auth("person", Some(&SHOWN.admin.token));
    assert_eq!(status(other).await, 401);
    world.stop().await;
}

/// The access file of one caller that may read these topics.
fn reads(pattern: &str, sha256: &str) -> String {
    format!(
        "[[caller]]\nname = \"one\"\ntokens = [\"{sha256}\"]\n\
         allow = [{{ topics = [\"{pattern}\"], actions = [\"read\"] }}]\n"
    )
}

#[tokio::test]
async fn a_token_is_compared_as_a_whole() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("access.toml");
    let token = new_token().unwrap();
    let other = |at: usize| {
        let mut digits = token.sha256.clone();
        let digit = if digits[at..].starts_with('0') {
            "1"
        } else {
            "0"
        };
        digits.replace_range(at..=at, digit);
        digits
    };
    for (sha256, expected) in [
        (token.sha256.clone(), 200),
        (other(0), 401),
        (other(31), 401),
        (other(63), 401),
    ] {
        let world = World::new(controlled(&path, &reads("*", &sha256))).await;
        let bearer = read(&world, "orders").bearer_auth(&token.token);
        assert_eq!(status(bearer).await, expected, "{sha256}");
        let basic = read(&world, "orders").basic_auth("one", Some(&token.token));
        assert_eq!(status(basic).await, expected, "{sha256}");
        world.stop().await;
    }
}

#[tokio::test]
async fn a_pattern_is_of_whole_names() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("access.toml");
    let token = new_token().unwrap();
    let names = ["orders-eu", "orders2", "my-orders"];
    for (pattern, allowed) in [
        ("orders-*", &["orders-eu"][..]),
        ("orders", &["orders"]),
        ("orders*", &["orders", "orders-eu", "orders2"]),
        ("*-orders", &["my-orders"]),
        ("orders?", &["orders2"]),
    ] {
        let store = store().await;
        for name in names {
            store.create_topic(TopicConfig::memory(name)).await.unwrap();
        }
        let config = controlled(&path, &reads(pattern, &token.sha256));
        let world = World::over(store, config).await;
        for name in ["orders"].into_iter().chain(names) {
            let asked = read(&world, name).bearer_auth(&token.token);
            let expected = if allowed.contains(&name) { 200 } else { 403 };
            assert_eq!(status(asked).await, expected, "{pattern} {name}");
        }
        world.stop().await;
    }
}

#[tokio::test]
async fn wrong_passwords_and_unknown_names_are_refused_alike_and_bounded() {
    let directory = tempfile::tempdir().unwrap();
    let world = world(&directory.path().join("access.toml")).await;
    let guess = |name: &str, password: &str| {
        read(&world, "orders").basic_auth(name.to_owned(), Some(password.to_owned()))
    };
    let wrong = problem(send(guess("person", "wrong")).await).await;
    let unknown = problem(send(guess("nobody", "wrong")).await).await;
    assert_eq!(wrong, unknown);
    assert_eq!(wrong.0, 401);
    // So many at once are not all worked on; those who hold a token do not feel it.
    let guesses = (0..300).map(|number| {
        let request = guess("person", &format!("guess {number}"));
        tokio::spawn(async move { status(request).await })
    });
    let guesses: Vec<_> = guesses.collect();
    assert_eq!(status(by(read(&world, "orders"), As::Reader)).await, 200);
    let mut statuses = Vec::new();
    for guess in guesses {
        statuses.push(within(guess).await.unwrap());
    }
    assert!(
        statuses.iter().all(|status| [401, 429].contains(status)),
        "{statuses:?}"
    );
    assert!(statuses.contains(&429), "{statuses:?}");
    assert_eq!(status(by(read(&world, "orders"), As::Person)).await, 200);
    world.stop().await;
}

#[tokio::test]
async fn a_changed_file_is_taken_up_and_a_broken_one_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("access.toml");
    let world = world(&path).await;
    let asked = || status(by(read(&world, "orders"), As::Reader));
    let until = async |expected: u16| {
        within(async {
            while asked().await != expected {
                tokio::task::yield_now().await;
            }
        })
        .await;
    };
    assert_eq!(asked().await, 200);
    fs::write(
        &path,
        rules().replace("\"orders\", \"shop-*\"", "\"shop-*\""),
    )
    .unwrap();
    world.reload.now();
    until(403).await;
    fs::write(&path, "").unwrap();
    world.reload.now();
    until(401).await;
    fs::write(&path, rules()).unwrap();
    world.reload.now();
    until(200).await;
    for broken in [
        "caller = 7",
        "[[caller]]\nname = \"x\"\npassword = \"plain\"",
    ] {
        fs::write(&path, broken).unwrap();
        world.reload.now();
        assert_eq!(asked().await, 200);
    }
    fs::remove_file(&path).unwrap();
    world.reload.now();
    assert_eq!(asked().await, 200);
    world.stop().await;
}

#[tokio::test]
async fn a_changed_file_is_noticed_without_being_told() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("access.toml");
    let config = controlled(&path, &rules()).reload_interval(std::time::Duration::from_millis(10));
    let world = World::new(config).await;
    assert_eq!(status(by(read(&world, "orders"), As::Reader)).await, 200);
    fs::write(&path, "").unwrap();
    within(async {
        while status(by(read(&world, "orders"), As::Reader)).await != 401 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    world.stop().await;
}

#[tokio::test]
async fn a_live_stream_ends_when_its_caller_may_not_read_any_more() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("access.toml");
    let config = controlled(&path, &rules()).live_heartbeat(std::time::Duration::from_millis(20));
    let world = World::new(config).await;
    let live = by(world.get("/api/v1/topics/orders/live"), As::Reader);
    let mut stream = send(live).await;
    assert_eq!(stream.status().as_u16(), 200);
    assert!(within(stream.chunk()).await.unwrap().is_some());
    fs::write(&path, "").unwrap();
    world.reload.now();
    // Whatever is still sent, it comes to an end.
    within(async { while let Ok(Some(_)) = stream.chunk().await {} }).await;
    world.stop().await;
}

#[tokio::test]
async fn a_long_answer_is_broken_off_when_its_caller_may_not_read_any_more() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("access.toml");
    let world = world(&path).await;
    // More than is on its way while nobody takes it.
    let event = json!({ "type": "A", "data": "x".repeat(500_000) });
    for _ in 0..40 {
        let request = append(&world, "orders").json(&event);
        assert_eq!(status(by(request, As::Admin)).await, 201);
    }
    let lines = read(&world, "orders").header("accept", "application/x-ndjson");
    let mut answer = send(by(lines, As::Reader)).await;
    assert_eq!(answer.status().as_u16(), 200);
    assert!(within(answer.chunk()).await.unwrap().is_some());
    fs::write(&path, "").unwrap();
    world.reload.now();
    within(async {
        while status(by(read(&world, "orders"), As::Reader)).await != 401 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let broken = within(async {
        loop {
            match answer.chunk().await {
                Ok(Some(_)) => {}
                Ok(None) => return false,
                Err(_) => return true,
            }
        }
    })
    .await;
    assert!(broken, "all of it was sent");
    world.stop().await;
}

#[tokio::test]
async fn a_file_that_cannot_be_used_is_refused_at_the_start_without_repeating_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("access.toml");
    let store = store().await;
    for text in [
        "[[caller]]\nname = \"a\"\npassword = \"hunter2\"",
        "[[caller]]\nname = \"a\"\ntokens = [\"hunter2\"]",
        "[[caller]]\nname = \"a\"\nallow = [{ topics = [\"*\"], actions = [\"fly\"] }]",
        "[[caller]]\nname = \"a\"\n[[caller]]\nname = \"a\"",
    ] {
        let config = controlled(&path, text);
        let error = annals::server::Server::bind(&store, config)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}
