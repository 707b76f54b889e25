//! P6 for names: streams, types and tags are text, whatever the text looks like.

use super::{
    case::case_table,
    draft::{Draft, stream_id},
    exact::check_round_trip,
    scene::Scene,
};
use crate::{
    models::{EventFilter, Position},
    repository::ReadPlan,
};

case_table! { Exact:
    names_of_all_kinds_are_kept_apart_and_come_back,
}

/// Names that could leave their place, be taken for something else, or for one another.
const NAMES: [&str; 31] = [
    "",
    " ",
    ".",
    "..",
    "../../etc/passwd",
    "a/../b",
    "/",
    "\\",
    "C:\\x",
    "%",
    "%2e%2e",
    "%00",
    "'",
    "\"",
    "';--",
    "*",
    "?",
    "{a,b}",
    "$all",
    "$-",
    "-",
    "é",
    "e\u{301}",
    "\u{202e}abc",
    "\u{feff}",
    "日本",
    "\u{1f600}",
    "CON",
    "a.events",
    "a\u{a0}b",
    "a",
];

async fn names_of_all_kinds_are_kept_apart_and_come_back(scene: Scene) {
    let long = format!("{}/../{}", "x".repeat(250), "y".repeat(258));
    let wide = "日".repeat(170);
    let names: Vec<&str> = NAMES.into_iter().chain([&*long, &*wide]).collect();
    let event_type =
        |name: &str| -> String { ["T".to_owned(), name.chars().take(80).collect()].concat() };
    let drafts = names
        .iter()
        .map(|name| Draft::to(name).event("Given").event(&event_type(name)));
    let scene = check_round_trip(scene, drafts.collect()).await;
    let log = scene.log().await;
    for name in names {
        assert_eq!(scene.stream(name).await.version.get(), 2, "{name:?}");
        let mut plan = ReadPlan::all_after(Position::START);
        for filter in [
            EventFilter::all().streams([name]),
            EventFilter::all().stream_prefix(name),
            EventFilter::all().types([event_type(name)]),
        ] {
            plan.filter = filter;
            scene.check_read(&log, plan.clone()).await;
        }
        plan.filter = EventFilter::all();
        plan.stream = Some(stream_id(name));
        scene.check_read(&log, plan).await;
    }
}
