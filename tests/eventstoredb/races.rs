//! What happens between two steps of a request, brought about by appends that stand still: a stream is
//! never in two topics, and who follows all events misses none.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use annals::{
    ConfigurationStream, EventStore, EventStoreConfig, NewEvent, Read, TopicConfig,
    server::ServerConfig,
};
use serde_json::Value;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::{
    pausing::{Hands, PausingFactory},
    server::{Answer, Served, ask},
};

/// Longer than any request takes that need not wait.
const PATIENCE: Duration = Duration::from_secs(60);

/// Two servers of a store whose default topic, and all others, can be paused.
struct World {
    adapter: Arc<PausingFactory>,
    hands: Hands,
    store: EventStore,
    servers: [Served; 2],
}

impl World {
    async fn start() -> Self {
        let adapter = Arc::new(PausingFactory::default());
        let hands = Hands::new();
        let config = EventStoreConfig::new(ConfigurationStream::memory())
            .clock(hands.clone())
            .adapter("pausing", Arc::clone(&adapter) as _);
        let store = EventStore::open(config).await.unwrap();
        let default = || ServerConfig::new().default_placement("pausing", "default");
        let servers = [
            Served::with(store.clone(), default()).await,
            Served::with(store.clone(), default()).await,
        ];
        Self {
            adapter,
            hands,
            store,
            servers,
        }
    }

    async fn create(&self, topic: &str) {
        let config = TopicConfig::new(topic, "pausing", topic);
        self.store.create_topic(config).await.unwrap();
    }

    /// The ids of a stream's events in a topic, whether they are shown or not.
    async fn recorded(&self, topic: &str, stream: &str) -> Vec<String> {
        let read = Read::stream(stream).include_deleted();
        let events = self.store.get_events(topic, read).await.unwrap();
        events.iter().map(|event| event.id.to_string()).collect()
    }

    /// Checks that a stream is in this topic and not in the other, and that both servers show it so.
    async fn is_only_in(&self, topic: &str, other: &str, stream: &str, ids: &[&str]) {
        assert_eq!(self.recorded(topic, stream).await, ids, "in {topic}");
        let elsewhere = self.recorded(other, stream).await;
        assert!(elsewhere.is_empty(), "in {other}: {elsewhere:?}");
        for server in &self.servers {
            let path = format!("/streams/{stream}/0/forward/20?embed=rich");
            assert_eq!(ids_of(&server.page(&path).await), ids);
        }
    }

    async fn stop(self) {
        for server in self.servers {
            server.stop().await;
        }
    }
}

/// Begins to append an event, whose id is told, to a stream.
fn append(address: SocketAddr, stream: &str) -> (String, JoinHandle<Answer>) {
    let id = Uuid::new_v4().to_string();
    let body = format!(r#"[{{"eventId":"{id}","eventType":"Happened","data":{{}}}}]"#);
    let request = format!("POST /streams/{stream}");
    let appending = tokio::spawn(async move {
        let content = "Content-Type: application/vnd.eventstore.events+json";
        ask(address, &request, content, &body).await
    });
    (id, appending)
}

async fn created(appending: JoinHandle<Answer>) {
    let answer = tokio::time::timeout(PATIENCE, appending).await;
    let answer = answer.expect("the append ends").unwrap();
    assert_eq!(answer.code, 201, "{answer:?}");
}

/// The ids of a page's events, the oldest first.
fn ids_of(page: &Value) -> Vec<String> {
    let entries = page["entries"].as_array().unwrap().iter().rev();
    entries
        .map(|entry| entry["eventId"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn a_stream_that_is_about_to_begin_in_the_default_topic_begins_in_the_one_that_is_created() {
    let world = World::start().await;
    let [first, second] = &world.servers;
    let mut paused = world.adapter.pause_append("order-1");
    let (late, appending) = append(first.address, "order-1");
    paused.reached().await;
    world.create("order").await;
    let (early, appended) = append(second.address, "order-1");
    created(appended).await;
    paused.go_on();
    created(appending).await;
    let ids = [early.as_str(), late.as_str()];
    world.is_only_in("order", "streams", "order-1", &ids).await;
    world.stop().await;
}

#[tokio::test]
async fn a_stream_that_begins_in_the_default_topic_while_its_category_is_marked_stays_there() {
    let world = World::start().await;
    let [first, second] = &world.servers;
    let mut paused = world.adapter.pause_append("order-1");
    let (early, beginning) = append(first.address, "order-1");
    paused.reached().await;
    world.create("order").await;
    let mut marking = world.adapter.pause_append("$placement-order");
    let (late, appending) = append(second.address, "order-1");
    marking.reached().await;
    paused.go_on();
    created(beginning).await;
    marking.go_on();
    created(appending).await;
    let ids = [early.as_str(), late.as_str()];
    world.is_only_in("streams", "order", "order-1", &ids).await;
    world.stop().await;
}

#[tokio::test]
async fn a_stream_and_its_metadata_begin_in_one_topic() {
    let world = World::start().await;
    let [first, second] = &world.servers;
    let mut paused = world.adapter.pause_append("$$order-1");
    let address = first.address;
    let describing = tokio::spawn(async move {
        let headers = format!(
            "Content-Type: application/json\nES-EventId: {}",
            Uuid::new_v4()
        );
        let request = "POST /streams/order-1/metadata";
        ask(address, request, &headers, r#"{"$maxCount":1}"#).await
    });
    paused.reached().await;
    world.create("order").await;
    let (early, appended) = append(second.address, "order-1");
    created(appended).await;
    paused.go_on();
    created(describing).await;
    world
        .is_only_in("order", "streams", "order-1", &[&early])
        .await;
    assert_eq!(world.recorded("order", "$$order-1").await.len(), 1);
    assert!(world.recorded("streams", "$$order-1").await.is_empty());
    world.stop().await;
}

#[tokio::test]
async fn no_stream_begins_elsewhere_while_its_topic_is_deleted() {
    let world = World::start().await;
    world.create("order").await;
    // By the other API, so that the category is not marked.
    let event = NewEvent::json("Happened", &Value::Null).unwrap();
    let id = event.event_id().to_string();
    let events = annals::Append::new([event]).stream("order-1");
    world.store.append_events("order", events).await.unwrap();
    world.store.delete_topic("order").await.unwrap();
    let (_, appending) = append(world.servers[0].address, "order-1");
    assert_eq!(appending.await.unwrap().code, 404);
    world.store.restore_topic("order").await.unwrap();
    let (late, appending) = append(world.servers[1].address, "order-1");
    created(appending).await;
    let ids = [id.as_str(), late.as_str()];
    world.is_only_in("order", "streams", "order-1", &ids).await;
    world.stop().await;
}

/// Who follows all events, from the first on.
struct Follower<'a> {
    served: &'a Served,
    uri: String,
    seen: Vec<String>,
}

impl<'a> Follower<'a> {
    fn new(served: &'a Served) -> Self {
        let start = "0".repeat(32);
        Self {
            served,
            uri: format!(
                "{}/streams/%24all/filtered/{start}/forward/2?context=eventtype&type=prefix&data=Happened",
                served.base()
            ),
            seen: Vec::new(),
        }
    }

    /// Asks once, and tells whether there was an event.
    async fn poll(&mut self, headers: &str) -> bool {
        let path = self.uri.strip_prefix(&self.served.base()).unwrap();
        let request = format!("GET {path}&embed=rich");
        let headers = format!("Accept: application/vnd.eventstore.atom+json\n{headers}");
        let answer = self.served.ask(&request, &headers, "").await;
        assert_eq!(answer.code, 200, "{answer:?}");
        let page: Value = serde_json::from_str(&answer.body).unwrap();
        let ids = ids_of(&page);
        let is_empty = ids.is_empty();
        self.seen.extend(ids);
        let links = page["links"].as_array().unwrap();
        if let Some(previous) = links.iter().find(|link| link["relation"] == "previous") {
            self.uri = previous["uri"].as_str().unwrap().to_owned();
        }
        !is_empty
    }

    async fn catch_up(&mut self) {
        while self.poll("").await {}
    }
}

#[tokio::test]
async fn who_follows_all_events_misses_none_that_is_recorded_late() {
    let world = World::start().await;
    let [first, second] = &world.servers;
    world.create("slow").await;
    world.create("fast").await;
    let mut ids = Vec::new();
    for stream in ["slow-1", "fast-1"] {
        let (id, appending) = append(first.address, stream);
        created(appending).await;
        ids.push(id);
        world.hands.advance(Duration::from_secs(10));
    }
    let mut follower = Follower::new(second);
    follower.catch_up().await;
    assert_eq!(follower.seen, ids);
    // One has its time first, and can be read last, nearly as late as may be.
    let mut paused = world.adapter.pause_append("slow-1");
    let (late, appending) = append(first.address, "slow-1");
    paused.reached().await;
    world.hands.advance(Duration::from_millis(1));
    let (early, appended) = append(first.address, "fast-1");
    created(appended).await;
    follower.catch_up().await;
    world.hands.advance(Duration::from_millis(4_998));
    follower.catch_up().await;
    paused.go_on();
    created(appending).await;
    follower.catch_up().await;
    world.hands.advance(Duration::from_secs(5));
    follower.catch_up().await;
    ids.extend([late, early]);
    assert_eq!(follower.seen, ids);
    world.stop().await;
}

#[tokio::test]
async fn a_long_poll_of_all_events_misses_none_of_a_topic_that_is_created_meanwhile() {
    let world = World::start().await;
    let [first, second] = &world.servers;
    world.create("fast").await;
    let append = async |stream: &str| {
        world.hands.advance(Duration::from_millis(1));
        let (id, appending) = append(first.address, stream);
        created(appending).await;
        id
    };
    let mut ids = vec![append("fast-1").await];
    let mut follower = Follower::new(second);
    let mut paused = world.adapter.pause_read("fast");
    let others = async {
        paused.reached().await;
        paused.go_on();
        world.create("new").await;
        ids.push(append("new-1").await);
        ids.push(append("fast-1").await);
        world.hands.advance(Duration::from_secs(10));
    };
    tokio::join!(follower.poll("ES-LongPoll: 30"), others);
    follower.catch_up().await;
    assert_eq!(follower.seen, ids);
    world.stop().await;
}

#[tokio::test]
async fn a_long_poll_of_all_events_is_answered_with_those_of_a_topic_that_is_created_meanwhile() {
    let world = World::start().await;
    let [first, second] = &world.servers;
    world.create("fast").await;
    created(append(first.address, "fast-1").1).await;
    world.hands.advance(Duration::from_secs(10));
    let mut follower = Follower::new(second);
    follower.catch_up().await;
    let mut paused = world.adapter.pause_read("fast");
    let others = async {
        paused.reached().await;
        paused.go_on();
        world.create("new").await;
        let event = NewEvent::json("Happened", &Value::Null).unwrap();
        let id = event.event_id().to_string();
        world.store.append_events("new", event).await.unwrap();
        world.hands.advance(Duration::from_secs(10));
        id
    };
    let (found, id) = tokio::join!(follower.poll("ES-LongPoll: 60"), others);
    assert!(found, "the poll has waited for nothing");
    assert_eq!(follower.seen.last(), Some(&id));
    world.stop().await;
}

#[tokio::test]
async fn who_follows_a_single_topic_misses_nothing_of_a_second_that_is_created_meanwhile() {
    let world = World::start().await;
    let [first, second] = &world.servers;
    let append = async |stream: &str| {
        world.hands.advance(Duration::from_millis(1));
        let (id, appending) = append(first.address, stream);
        created(appending).await;
        id
    };
    let mut ids = vec![append("alone").await];
    let mut follower = Follower::new(second);
    follower.catch_up().await;
    assert_eq!(follower.seen, ids, "nothing is held back");
    let mut paused = world.adapter.pause_read("streams");
    let others = async {
        // The topics are listed, and nothing is read.
        paused.reached().await;
        world.create("new").await;
        ids.push(append("new-1").await);
        ids.push(append("alone").await);
        paused.go_on();
    };
    tokio::join!(follower.poll(""), others);
    world.hands.advance(Duration::from_secs(10));
    follower.catch_up().await;
    assert_eq!(follower.seen, ids);
    world.stop().await;
}
