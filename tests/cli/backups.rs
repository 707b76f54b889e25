//! `annals backup` and `restore`: a whole store comes back, also in another place.

use serde_json::Value;

use crate::{
    exporting::odd_topic,
    run::{Place, text},
};

fn manifest(place: &Place) -> Value {
    let bytes = std::fs::read(place.path("backup/manifest.json")).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

/// A store with a topic in files, one in a database, and deleted ones.
fn store() -> Place {
    let mut place = Place::new();
    let url = crate::servers::postgres().fresh();
    place.set("DATABASE", &url);
    odd_topic(&place, "orders", 100);
    let there = [
        "topic",
        "create",
        "audit",
        "--adapter",
        "postgres",
        "--connection",
        "${DATABASE}",
    ];
    place.good(&there);
    let exported = place.good(&["export", "orders"]);
    place.feed(&["import", "audit"], exported).good();
    for count in [1, 2] {
        place.good(&["topic", "create", "gone"]);
        place
            .feed(&["append", "gone"], crate::run::events(count))
            .good();
        place.good(&["topic", "delete", "gone"]);
    }
    place.good(&["topic", "create", "gone"]);
    place
}

fn exports(place: &Place, data: &str) -> Vec<String> {
    let export = |topic: &&str| place.good(&["export", topic, "--data", data]);
    ["orders", "audit", "gone"].iter().map(export).collect()
}

#[test]
fn a_store_comes_back_with_all_it_had() {
    let place = store();
    let before = exports(&place, "annals-data");
    let backup = text(&place.path("backup")).to_owned();
    let told = place.json(&["backup", &backup]);
    assert_eq!(
        (&told[0]["topics"], &told[0]["deletedTopics"]),
        (&5.into(), &2.into())
    );
    assert_eq!(told[0]["events"], 103 + 103 + 1 + 2);
    place.run(&["backup", &backup]).bad(4);
    let written = manifest(&place);
    let audit = written["topics"]
        .as_array()
        .unwrap()
        .iter()
        .find(|topic| topic["name"] == "audit")
        .unwrap();
    assert_eq!(audit["connection"], "${DATABASE}");
    assert_eq!(
        (&audit["home"], &audit["events"]),
        (&false.into(), &103.into())
    );

    // Elsewhere, and all of it in files.
    let new = text(&place.path("new")).to_owned();
    let restore = [
        "restore",
        &backup,
        "--data",
        &new,
        "--placement",
        &format!("audit=file:{new}"),
    ];
    let told = place.json(&restore);
    assert_eq!(
        (&told[0]["topics"], &told[0]["verified"]),
        (&5.into(), &true.into())
    );
    assert_eq!(exports(&place, &new), before);
    let topics = place.json(&["topic", "list", "--data", &new]);
    assert!(
        topics
            .iter()
            .all(|topic| topic["connection"] == new.as_str()),
        "{topics:?}"
    );
    assert_eq!(
        place
            .json(&["topic", "list", "--deleted", "--data", &new])
            .len(),
        2
    );
    // The deleted ones too: the one deleted last comes back first.
    place.good(&["topic", "delete", "gone", "--data", &new]);
    place.good(&["topic", "restore", "gone", "--data", &new]);
    assert!(place.good(&["export", "gone", "--data", &new]).is_empty());
    place.run(&restore).bad(4);

    // Where it was, in the database: a storage of its own there.
    let again = text(&place.path("again")).to_owned();
    place.good(&["restore", &backup, "--data", &again]);
    assert_eq!(exports(&place, &again), before);
    let audit = place.json(&["topic", "show", "audit", "--data", &again]);
    assert_eq!(audit[0]["connection"], "${DATABASE}");
    assert_eq!(exports(&place, "annals-data"), before);
}

#[test]
fn a_backup_says_that_it_leaves_out_deleted_topics() {
    let place = Place::new();
    odd_topic(&place, "orders", 10);
    place.good(&["topic", "delete", "orders"]);
    let backup = text(&place.path("backup")).to_owned();
    let told = place.good(&["backup", &backup, "--without-deleted"]);
    assert!(told.contains("deleted ones left out"), "{told}");
    assert_eq!(manifest(&place)["withDeleted"], false);
    assert_eq!(manifest(&place)["topics"], serde_json::json!([]));
    let told = place.good(&["restore", &backup, "--data", "new"]);
    assert!(told.contains("the backup has no deleted ones"), "{told}");
}

#[test]
fn a_restore_that_was_interrupted_goes_on() {
    let place = Place::new();
    odd_topic(&place, "gone", 30);
    place.good(&["topic", "delete", "gone"]);
    odd_topic(&place, "gone", 60);
    odd_topic(&place, "orders", 90);
    let backup = text(&place.path("backup")).to_owned();
    place.good(&["backup", &backup]);
    // What an interruption leaves after each step: the deleted topic, half of the next one.
    place
        .feed(
            &[
                "import",
                "gone",
                &format!("{backup}/00001-gone.ndjson"),
                "--create",
                "--data",
                "new",
            ],
            "",
        )
        .good();
    for delete in [false, true] {
        if delete {
            place.good(&["topic", "delete", "gone", "--data", "new"]);
            let file = std::fs::read_to_string(place.path("backup/00002-gone.ndjson")).unwrap();
            let half: String = file
                .lines()
                .take(20)
                .map(|line| format!("{line}\n"))
                .collect();
            place
                .feed(&["import", "gone", "--create", "--data", "new"], half)
                .good();
        }
        place.run(&["restore", &backup, "--data", "new"]).bad(4);
        let copy = if delete { "new" } else { "other" };
        if !delete {
            place
                .feed(
                    &[
                        "import",
                        "gone",
                        &format!("{backup}/00001-gone.ndjson"),
                        "--create",
                        "--data",
                        "other",
                    ],
                    "",
                )
                .good();
        }
        place.good(&["restore", &backup, "--data", copy, "--resume"]);
        for topic in ["gone", "orders"] {
            assert_eq!(
                place.good(&["export", topic, "--data", copy]),
                place.good(&["export", topic])
            );
        }
        assert_eq!(
            place
                .json(&["topic", "list", "--deleted", "--data", copy])
                .len(),
            1
        );
        // Once more, since all is there.
        place.good(&["restore", &backup, "--data", copy, "--resume"]);
    }
}

#[test]
fn a_backup_that_is_damaged_or_not_whole_is_refused() {
    let place = Place::new();
    odd_topic(&place, "orders", 50);
    let backup = text(&place.path("backup")).to_owned();
    place.good(&["backup", &backup]);
    let file = place.path("backup/00001-orders.ndjson");
    let good = std::fs::read_to_string(&file).unwrap();
    let restore = |data: &str| place.run(&["restore", &backup, "--data", data]);
    // A payload that is another one, in a line that can be read.
    std::fs::write(&file, good.replacen("AP/+gA==", "AP/+gQ==", 1)).unwrap();
    assert!(restore("a").bad(6).contains("is not what the backup says"));
    // The last lines are lost.
    let short: String = good
        .lines()
        .take(40)
        .map(|line| format!("{line}\n"))
        .collect();
    std::fs::write(&file, short).unwrap();
    restore("b").bad(6);
    std::fs::write(&file, &good[..good.len() - 20]).unwrap();
    restore("c").bad(6);
    std::fs::remove_file(&file).unwrap();
    restore("d").bad(6);
    assert!(!place.path("d").exists(), "nothing was made");
    std::fs::write(&file, &good).unwrap();
    let unknown = [
        "restore",
        &backup,
        "--data",
        "e",
        "--placement",
        "ordres=file:x",
    ];
    place.run(&unknown).bad(2);
    // A file elsewhere, whatever is in it.
    std::fs::write(place.path("x"), &good).unwrap();
    let escaped = std::fs::read_to_string(place.path("backup/manifest.json")).unwrap();
    std::fs::write(
        place.path("backup/manifest.json"),
        escaped.replace("00001-orders.ndjson", "../x"),
    )
    .unwrap();
    assert!(restore("f").bad(6).contains("names a file"));
    std::fs::remove_file(place.path("backup/manifest.json")).unwrap();
    assert!(restore("g").bad(3).contains("not finished"));
}

/// Changes an entry of the manifest.
fn amend(place: &Place, change: impl FnOnce(&mut Value)) {
    let mut manifest = manifest(place);
    change(&mut manifest);
    let path = place.path("backup/manifest.json");
    std::fs::write(path, manifest.to_string()).unwrap();
}

#[test]
fn a_manifest_that_says_something_else_than_its_files_is_noticed() {
    let place = Place::new();
    odd_topic(&place, "orders", 20);
    let backup = text(&place.path("backup")).to_owned();
    place.good(&["backup", &backup]);
    let whole = manifest(&place);
    let zeros: Value = "0".repeat(64).into();
    for (member, other) in [
        ("events", 19.into()),
        ("bytes", 1.into()),
        ("sha256", zeros),
    ] {
        amend(&place, |manifest| manifest["topics"][0][member] = other);
        let told = place.run(&["restore", &backup, "--data", member]).bad(6);
        assert!(told.contains("is not what the backup says"), "{told}");
        amend(&place, |manifest| *manifest = whole.clone());
    }
    amend(&place, |manifest| manifest["format"] = 2.into());
    let newer = place.run(&["restore", &backup, "--data", "newer"]).bad(2);
    assert!(newer.contains("format 2"), "{newer}");
    assert!(!place.path("newer").exists(), "nothing was made");
}

#[test]
fn a_store_that_has_other_topics_takes_no_backup() {
    let place = Place::new();
    let fill = |data: &str, lines: u64| {
        place.good(&["topic", "create", "gone", "--data", data]);
        let append = ["append", "gone", "--data", data];
        place.feed(&append, crate::run::events(lines)).good();
        place.good(&["topic", "delete", "gone", "--data", data]);
    };
    fill("annals-data", 3);
    fill("annals-data", 5);
    let backup = text(&place.path("backup")).to_owned();
    place.good(&["backup", &backup]);
    // A deleted topic is one, too; and one of the same name is not the same.
    fill("other", 3);
    let restore = ["restore", &backup, "--data", "other"];
    assert!(place.run(&restore).bad(4).contains("has topics"));
    let resumed = place.run(&[&restore[..], &["--resume"]].concat()).bad(6);
    assert!(resumed.contains("is not what the backup says"), "{resumed}");
    // Those of one name are compared in the order in which they were deleted.
    place.good(&["restore", &backup, "--data", "new"]);
    place.good(&["restore", &backup, "--data", "new", "--resume"]);
    let deleted = place.json(&["topic", "list", "--deleted", "--data", "new"]);
    assert_eq!(deleted.len(), 2);
}

#[test]
fn topics_are_restored_with_their_options_where_they_are_wanted() {
    let place = Place::new();
    for topic in ["orders", "audit"] {
        place.good(&["topic", "create", topic, "--option", "sync=never"]);
    }
    let backup = text(&place.path("backup")).to_owned();
    place.good(&["backup", &backup]);
    let shown = |data: &str, topic: &str| {
        let shown = place.json(&["topic", "show", topic, "--data", data]);
        let shown = &shown[0];
        let directory = shown["connection"].as_str().unwrap().to_owned();
        (directory, shown["options"].clone())
    };
    let (here, there) = (place.path("here"), place.path("there"));
    let of = |topic: &str, adapter: &str, path| format!("{topic}={adapter}:{}", text(path));
    let (all, one) = (of("*", "file", &here), of("orders", "file", &there));
    let placed = ["--placement", &*all, "--placement", &*one];
    place.good(&[&["restore", &backup, "--data", "new"][..], &placed].concat());
    let options = serde_json::json!({ "sync": "never" });
    let at = |path| (text(path).to_owned(), options.clone());
    assert_eq!(shown("new", "orders"), at(&there));
    assert_eq!(shown("new", "audit"), at(&here));
    // What files know is nothing to an object store.
    let stored = format!("*=blob:file://{}", text(&place.path("objects")));
    let restore = ["restore", &backup, "--data", "stored", "--placement"];
    place.good(&[&restore[..], &[&*stored]].concat());
    assert_eq!(shown("stored", "orders").1, serde_json::json!({}));
}

#[test]
fn a_password_that_is_not_in_a_backup_is_asked_for() {
    let place = Place::new();
    odd_topic(&place, "orders", 5);
    let backup = text(&place.path("backup")).to_owned();
    place.good(&["backup", &backup]);
    let masked = "postgres://eve:***@localhost/x";
    amend(&place, |manifest| {
        manifest["topics"][0]["connection"] = masked.into();
    });
    // Where it was beside the configuration stream, it is restored beside that.
    place.good(&["restore", &backup, "--data", "new"]);
    amend(&place, |manifest| {
        manifest["topics"][0]["home"] = false.into();
    });
    let asked = place.run(&["restore", &backup, "--data", "other"]).bad(2);
    assert!(asked.contains("--placement 'orders="), "{asked}");
    assert!(!place.path("other").exists(), "nothing was made");
    let there = format!("orders=file:{}", text(&place.path("there")));
    let restore = ["restore", &backup, "--data", "other", "--placement", &there];
    place.good(&restore);
}

#[test]
fn a_secret_option_that_is_not_in_a_backup_is_asked_for() {
    let place = Place::new();
    for topic in ["audit", "orders"] {
        place.good(&["topic", "create", topic, "--option", "sync=never"]);
    }
    let backup = text(&place.path("backup")).to_owned();
    place.good(&["backup", &backup]);
    amend(&place, |manifest| {
        manifest["topics"][1]["options"]["sync"] = "***".into();
    });
    let there = format!("orders=file:{}", text(&place.path("there")));
    for more in [&[][..], &["--placement", &there]] {
        let restore = [&["restore", &backup, "--data", "new"][..], more].concat();
        let asked = place.run(&restore).bad(2);
        assert!(asked.contains("--option 'orders=sync="), "{asked}");
        assert!(!place.path("new").exists(), "nothing was made");
    }
    let unknown = [
        "restore",
        &backup,
        "--data",
        "new",
        "--option",
        "none=sync=never",
    ];
    let refused = place.run(&unknown).bad(2);
    assert!(refused.contains("no topic \"none\""), "{refused}");
    let one = ["--option", "orders=sync=never"];
    let all = [
        "--option",
        "*=segment_bytes=4096",
        "--option",
        "*=sync=always",
    ];
    let restore = ["restore", &backup, "--data", "new"];
    place.good(&[&restore[..], &one, &all].concat());
    let options = |topic: &str| {
        let shown = place.json(&["topic", "show", topic, "--data", "new"]);
        shown[0]["options"].clone()
    };
    let orders = serde_json::json!({ "sync": "never", "segment_bytes": "4096" });
    assert_eq!(options("orders"), orders);
    let audit = serde_json::json!({ "sync": "always", "segment_bytes": "4096" });
    assert_eq!(options("audit"), audit);
    // Where the adapter is another, nothing is kept that would be missing.
    let stored = format!("*=blob:file://{}", text(&place.path("objects")));
    place.good(&[
        "restore",
        &backup,
        "--data",
        "stored",
        "--placement",
        &stored,
    ]);
}
