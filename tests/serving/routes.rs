//! Every route asks whether its caller may do what it does, before it does anything.

use std::{collections::BTreeSet, fmt::Write as _, fs, path::Path};

use annals::{
    TopicConfig,
    server::{NewToken, new_token},
};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::world::{World, config, problem, send, status, store};

const ACTIONS: [&str; 4] = ["read", "append", "configure", "admin"];

/// The routes below `/api/v1` that speak of a topic, and what a caller has to be allowed.
const ROUTES: &[(&str, &str, &[&str])] = &[
    ("post", "/topics", &["configure"]),
    ("get", "/topics/{topic}", &["read"]),
    ("put", "/topics/{topic}", &["configure"]),
    ("delete", "/topics/{topic}", &["configure"]),
    ("get", "/topics/{topic}/move", &["read"]),
    ("delete", "/topics/{topic}/move", &["configure"]),
    ("post", "/topics/{topic}/restore", &["configure"]),
    ("post", "/topics/{topic}/purge", &["admin"]),
    ("delete", "/topics/{topic}/former", &["configure"]),
    ("post", "/topics/{topic}/verify", &["admin"]),
    ("get", "/topics/{topic}/events", &["read"]),
    ("post", "/topics/{topic}/events", &["append"]),
    ("get", "/topics/{topic}/events/{position}", &["read"]),
    ("get", "/topics/{topic}/streams/{stream}/events", &["read"]),
    (
        "post",
        "/topics/{topic}/streams/{stream}/events",
        &["append"],
    ),
    ("get", "/topics/{topic}/streams//events", &["read"]),
    ("post", "/topics/{topic}/streams//events", &["append"]),
    ("get", "/topics/{topic}/streams", &["read"]),
    ("get", "/topics/{topic}/streams/{stream}", &["read"]),
    ("delete", "/topics/{topic}/streams/{stream}", &["append"]),
    (
        "post",
        "/topics/{topic}/streams/{stream}/restore",
        &["append"],
    ),
    ("get", "/topics/{topic}/streams/", &["read"]),
    ("delete", "/topics/{topic}/streams/", &["append"]),
    ("post", "/topics/{topic}/streams//restore", &["append"]),
    ("get", "/topics/{topic}/types", &["read"]),
    ("get", "/topics/{topic}/changes", &["read"]),
    ("post", "/topics/{topic}/push", &["append"]),
    ("get", "/topics/{topic}/live", &["read"]),
    ("get", "/topics/{topic}/streams/{stream}/live", &["read"]),
    ("get", "/topics/{topic}/streams//live", &["read"]),
    ("get", "/topics/{topic}/consumers", &["read"]),
    ("get", "/topics/{topic}/groups", &["read"]),
    ("put", "/topics/{topic}/groups/{group}", &["configure"]),
    ("get", "/topics/{topic}/groups/{group}", &["read"]),
    ("delete", "/topics/{topic}/groups/{group}", &["configure"]),
    ("post", "/topics/{topic}/groups/{group}/take", &["read"]),
    ("post", "/topics/{topic}/groups/{group}/ack", &["read"]),
    ("post", "/topics/{topic}/groups/{group}/retry", &["read"]),
    ("post", "/topics/{topic}/groups/{group}/park", &["read"]),
    ("get", "/topics/{topic}/groups/{group}/parked", &["read"]),
    (
        "post",
        "/topics/{topic}/groups/{group}/replay",
        &["configure"],
    ),
    ("put", "/webhooks/{name}", &["configure", "read"]),
    ("get", "/webhooks/{name}", &["configure"]),
    ("delete", "/webhooks/{name}", &["configure"]),
    ("post", "/webhooks/{name}/pause", &["configure"]),
    ("post", "/webhooks/{name}/resume", &["configure"]),
    ("get", "/webhooks/{name}/parked", &["configure", "read"]),
    ("post", "/webhooks/{name}/replay", &["configure"]),
];

/// Those that show everybody what they may see.
const OPEN: &[(&str, &str)] = &[
    ("get", "/topics"),
    ("get", "/webhooks"),
    ("get", "/openapi.json"),
];

/// Somebody who may do these things with these topics.
struct Caller {
    name: String,
    token: NewToken,
    topics: &'static str,
    actions: Vec<&'static str>,
}

impl Caller {
    fn new(name: &str, topics: &'static str, actions: Vec<&'static str>) -> Self {
        let (name, token) = (name.to_owned(), new_token().unwrap());
        Self {
            name,
            token,
            topics,
            actions,
        }
    }

    /// One who may do all of this and nothing else.
    fn only(actions: &[&'static str]) -> Self {
        Self::new(
            &format!("only-{}", actions.join("-")),
            "*",
            actions.to_vec(),
        )
    }

    /// One who may do anything but this.
    fn without(action: &'static str) -> Self {
        let others = ACTIONS.into_iter().filter(|other| *other != action);
        Self::new(&format!("without-{action}"), "*", others.collect())
    }
}

async fn world(path: &Path, callers: &[Caller]) -> World {
    let mut rules = String::new();
    for Caller {
        name,
        token,
        topics,
        actions,
    } in callers
    {
        let (sha256, actions) = (&token.sha256, json!(actions));
        write!(
            rules,
            "[[caller]]\nname = \"{name}\"\ntokens = [\"{sha256}\"]\n\
             allow = [{{ topics = [\"{topics}\"], actions = {actions} }}]\n"
        )
        .unwrap();
    }
    fs::write(path, rules).unwrap();
    let store = store().await;
    let other = TopicConfig::memory("elsewhere");
    store.create_topic(other).await.unwrap();
    let config = config().access_file(path).allow_private_webhooks(true);
    World::over(store, config).await
}

/// A request that this route would take.
fn asked(world: &World, method: &str, path: &str) -> RequestBuilder {
    let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
    let named = path
        .replace("{topic}", "orders")
        .replace("{stream}", "s")
        .replace("{position}", "1")
        .replace("{group}", "g")
        .replace("{name}", "hook");
    let body = match path {
        "/topics" => json!({ "name": "orders", "adapter": "memory", "connection": "" }),
        "/webhooks/{name}" => json!({ "topic": "orders", "url": "http://127.0.0.1:9/" }),
        "/topics/{topic}" => json!({ "adapter": "memory", "connection": "" }),
        _ => json!({}),
    };
    let request = world.request(method.clone(), &format!("/api/v1{named}"));
    if [Method::GET, Method::DELETE].contains(&method) {
        request
    } else {
        request.json(&body)
    }
}

fn by(request: RequestBuilder, caller: &Caller) -> RequestBuilder {
    request.bearer_auth(&caller.token.token)
}

#[tokio::test]
async fn the_routes_that_are_tried_are_all_that_there_are() {
    let world = World::new(config()).await;
    let document = send(world.get("/api/v1/openapi.json")).await;
    let document: Value = document.json().await.unwrap();
    let mut described = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        let methods = item.as_object().unwrap().keys();
        let methods = methods.filter(|name| *name != "parameters");
        described.extend(methods.map(|method| (method.clone(), path.clone())));
    }
    let routes = ROUTES.iter().map(|(method, path, _)| (*method, *path));
    let tried = routes.chain(OPEN.iter().copied());
    let tried = tried.map(|(method, path)| (method.to_owned(), path.to_owned()));
    assert_eq!(tried.collect::<BTreeSet<_>>(), described);
    world.stop().await;
}

#[tokio::test]
async fn every_route_wants_what_it_does_to_be_allowed_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let mut callers: Vec<Caller> = ACTIONS.into_iter().map(Caller::without).collect();
    callers.extend(ACTIONS.map(|action| Caller::only(&[action])));
    callers.push(Caller::only(&["configure", "read"]));
    callers.push(Caller::new("elsewhere", "elsewhere", ACTIONS.to_vec()));
    let world = world(&directory.path().join("access.toml"), &callers).await;
    let named = |name: &str| callers.iter().find(|caller| caller.name == name).unwrap();
    let configures = named("only-configure-read");
    // They have settings that the requests below would change.
    for (path, settings) in [
        ("topics/orders/groups/g", json!({ "tries": 7 })),
        (
            "webhooks/hook",
            json!({ "topic": "orders", "url": "http://127.0.0.1:9/before" }),
        ),
    ] {
        let made = world.request(Method::PUT, &format!("/api/v1/{path}"));
        let made = status(by(made.json(&settings), configures)).await;
        assert_eq!(made, 201, "{path}");
    }
    let known = async || {
        let mut known = Vec::new();
        for path in [
            "/topics/orders",
            "/topics/orders/groups/g",
            "/webhooks/hook",
        ] {
            let answer = send(by(world.get(&format!("/api/v1{path}")), configures)).await;
            known.push(answer.json::<Value>().await.unwrap());
        }
        known
    };
    let before = known().await;
    for (method, path, needed) in ROUTES {
        let request = asked(&world, method, path);
        let again = || request.try_clone().unwrap();
        let what = format!("{method} {path}");
        let (found, kind) = problem(send(again()).await).await;
        assert_eq!((found, &*kind), (401, "unauthorized"), "{what} as nobody");
        let lacking = needed.iter().map(|action| format!("without-{action}"));
        for name in lacking.chain(["elsewhere".to_owned()]) {
            let (found, kind) = problem(send(by(again(), named(&name))).await).await;
            assert_eq!((found, &*kind), (403, "forbidden"), "{what} as {name}");
        }
    }
    assert_eq!(
        known().await,
        before,
        "who is refused has changed something"
    );
    // Those who may get further, whatever they find: by then some of it is gone.
    for (method, path, needed) in ROUTES {
        let name = format!("only-{}", needed.join("-"));
        let found = status(by(asked(&world, method, path), named(&name))).await;
        assert!(
            ![401, 403].contains(&found),
            "{method} {path} as {name}: {found}"
        );
    }
    world.stop().await;
}
