//! Checks how the source is laid out: who imports whom, that every file says what it is, and that
//! none grows too long. Breaking a rule has to be a decision, not an accident.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Each layer, and the layers that it may import; itself it always may, unless a rule below says
/// otherwise. Layers are the top-level modules; an adapter is a layer of its own.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("models", &[]),
    ("repository", &["models"]),
    ("repository/memory", &["repository", "models"]),
    ("repository/file", &["repository", "models"]),
    ("repository/postgres", &["repository", "models"]),
    ("repository/blob", &["repository", "models"]),
    ("testing", &["subscription", "repository", "models"]),
    ("write_model", &["repository", "models"]),
    // What fuzzing calls; in tests only.
    (
        "fuzz",
        &["repository", "repository/file", "write_model", "models"],
    ),
    (
        "registry",
        &[
            "repository",
            "repository/memory",
            "repository/file",
            "repository/postgres",
            "repository/blob",
            "models",
        ],
    ),
    ("gate", &["models"]),
    ("detached", &["models"]),
    ("config", &["registry", "repository", "models"]),
    (
        "context",
        &[
            "gate",
            "write_model",
            "registry",
            "config",
            "repository",
            "models",
        ],
    ),
    ("event_stream", &["repository", "models"]),
    ("topic_state", &["context", "repository", "models"]),
    (
        "stream_change",
        &["context", "move_topic", "repository", "models"],
    ),
    // Built as another crate would be.
    ("consumer", &[ROOT, "repository"]),
    ("sync", &[ROOT]),
    // What groups and projections could not process lies in the same place, in the same form.
    ("parking", &[ROOT, "repository"]),
    ("group", &[ROOT, "consumer", "parking", "repository"]),
    // A projection in a database commits in one transaction with its checkpoint.
    (
        "cqrs",
        &[ROOT, "parking", "repository", "repository/postgres"],
    ),
    ("json", &[ROOT]),
    ("server", &[ROOT, "json"]),
    ("bin", &[ROOT]),
    (
        "move_topic",
        &["context", "write_model", "repository", "models"],
    ),
    (
        "subscription",
        &["context", "detached", "write_model", "repository", "models"],
    ),
    (
        "commands",
        &[
            "context",
            "stream_change",
            "topic_state",
            "write_model",
            "registry",
            "move_topic",
            "repository",
            "models",
        ],
    ),
    (
        "queries",
        &[
            "context",
            "topic_state",
            "detached",
            "event_stream",
            "write_model",
            "registry",
            "subscription",
            "repository",
            "models",
        ],
    ),
    (
        "open",
        &[
            "config",
            "context",
            "gate",
            "registry",
            "write_model",
            "move_topic",
            "repository",
            "models",
        ],
    ),
    (
        "event_store",
        &[
            ROOT,
            "open",
            "config",
            "context",
            "commands",
            "queries",
            "event_stream",
            "subscription",
            "repository",
            "models",
        ],
    ),
];

/// The names that the crate's root gives to users.
const ROOT: &str = "the root";

/// Layers whose files are operations that know nothing of one another.
const NO_SIBLINGS: &[&str] = &["commands", "queries"];

/// The most code lines of a file, tests and comments apart.
const MOST_LINES: usize = 400;

/// Files that may be longer, each with its reason.
const LONGER: &[(&str, &str)] = &[];

struct Source {
    /// The path below `src`, with `/`.
    path: String,
    text: String,
}

impl Source {
    /// The layer that the file belongs to, or nothing for the crate's root.
    fn layer(&self) -> Option<String> {
        let module = self.path.trim_end_matches(".rs").trim_end_matches("/mod");
        layer_of(&module.split('/').collect::<Vec<_>>())
    }

    /// The modules in which the file stands, itself last.
    fn modules(&self) -> Vec<&str> {
        let module = self.path.trim_end_matches(".rs").trim_end_matches("/mod");
        module.split('/').collect()
    }

    /// The code without comments, and without what stands in a test module at the end.
    fn code(&self) -> Vec<&str> {
        let tests = self
            .text
            .find("#[cfg(test)]\nmod ")
            .unwrap_or(self.text.len());
        let lines = self.text[..tests].lines();
        lines
            .filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with("//"))
            .collect()
    }

    /// The paths within the crate that the code names, from the crate's root.
    fn imports(&self) -> Vec<Vec<String>> {
        let code = self.code().join("\n");
        let mut found = Vec::new();
        for (at, _) in code.match_indices("crate::") {
            let before = code[..at].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | ':')) {
                continue;
            }
            expand(&code[at + "crate::".len()..], &[], &mut found);
        }
        let modules = self.modules();
        for (at, _) in code.match_indices("super::") {
            let before = code[..at].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | ':')) {
                continue;
            }
            let mut rest = &code[at..];
            let mut depth = usize::from(!self.path.ends_with("/mod.rs")).max(1);
            rest = &rest["super::".len()..];
            while let Some(shorter) = rest.strip_prefix("super::") {
                rest = shorter;
                depth += 1;
            }
            let kept = modules.len().saturating_sub(depth);
            let prefix: Vec<String> = modules[..kept].iter().map(ToString::to_string).collect();
            expand(rest, &prefix, &mut found);
        }
        found
    }
}

/// Adds every path that a `use` tree, or a plain path, begins with: `a::{b::c, d}` is two.
fn expand(text: &str, prefix: &[String], found: &mut Vec<Vec<String>>) {
    let mut path = prefix.to_vec();
    let mut rest = text.trim_start();
    loop {
        if let Some(tree) = rest.strip_prefix('{') {
            for part in parts(tree) {
                expand(part, &path, found);
            }
            return;
        }
        let end = rest
            .find(|c: char| !c.is_alphanumeric() && c != '_')
            .unwrap_or(rest.len());
        if end > 0 {
            path.push(rest[..end].to_owned());
        }
        match rest[end..].strip_prefix("::") {
            Some(next) if end > 0 => rest = next.trim_start(),
            _ => break,
        }
    }
    found.push(path);
}

/// What stands between the commas of a `use` tree, up to its closing brace.
fn parts(tree: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut depth, mut start) = (0_usize, 0);
    for (at, c) in tree.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                parts.push(&tree[start..at]);
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&tree[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts
        .into_iter()
        .filter(|part| !part.trim().is_empty())
        .collect()
}

/// The layer of a module path, the longest that the table knows. A type that is named without its
/// module is of the root.
fn layer_of<S: AsRef<str>>(path: &[S]) -> Option<String> {
    let names: Vec<&str> = path.iter().map(AsRef::as_ref).collect();
    if names.first()?.starts_with(char::is_uppercase) {
        return Some(ROOT.to_owned());
    }
    let layers: BTreeSet<&str> = MAY_IMPORT.iter().map(|(layer, _)| *layer).collect();
    (1..=names.len().min(2))
        .rev()
        .map(|count| names[..count].join("/"))
        .find(|candidate| layers.contains(candidate.as_str()))
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut open: Vec<PathBuf> = vec![root.clone()];
    let mut sources = Vec::new();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(
                fs::read_dir(&path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
        } else if path.extension().is_some_and(|extension| extension == "rs")
            && path.file_name().is_some_and(|name| name != "tests.rs")
        {
            let below = path.strip_prefix(&root).unwrap().to_string_lossy();
            sources.push(Source {
                path: below.replace('\\', "/"),
                text: fs::read_to_string(&path).unwrap(),
            });
        }
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(sources.len() > 20, "the source is here");
    sources
}

fn report(rule: &str, broken: &[String]) {
    assert!(broken.is_empty(), "{rule}\n  {}", broken.join("\n  "));
}

#[test]
fn every_layer_imports_only_what_it_may() {
    let mut broken = Vec::new();
    for source in sources() {
        if source.path == "lib.rs" {
            continue;
        }
        let Some(layer) = source.layer() else {
            broken.push(format!(
                "src/{}: a layer that the table does not have",
                source.path
            ));
            continue;
        };
        let (_, allowed) = MAY_IMPORT.iter().find(|(name, _)| *name == layer).unwrap();
        for import in source.imports() {
            let target = layer_of(&import);
            let fits = match &target {
                Some(target) => *target == layer || allowed.contains(&target.as_str()),
                None => false,
            };
            // A layer names its adapters where it declares them.
            let declares = target.is_some_and(|target| target.starts_with(&format!("{layer}/")))
                && source.path.ends_with("mod.rs");
            if !fits && !declares {
                let path = import.join("::");
                broken.push(format!(
                    "src/{}: `{layer}` may not import `{path}`",
                    source.path
                ));
            }
        }
    }
    report(
        "a layer imports what `MAY_IMPORT` does not allow it",
        &broken,
    );
}

#[test]
fn operations_do_not_import_one_another() {
    let mut broken = Vec::new();
    for source in sources() {
        let modules = source.modules();
        let [layer, own, ..] = modules[..] else {
            continue;
        };
        if !NO_SIBLINGS.contains(&layer) || own == "mod" {
            continue;
        }
        for import in source.imports() {
            let sibling = import.first().is_some_and(|first| first == layer)
                && import.len() > 2
                && import[1] != own;
            if sibling {
                let path = import.join("::");
                broken.push(format!("src/{}: imports its sibling `{path}`", source.path));
            }
        }
    }
    report("an operation imports another one", &broken);
}

#[test]
fn every_file_says_what_it_is() {
    let sources = sources();
    let silent = sources
        .iter()
        .filter(|source| !source.text.starts_with("//! "))
        // The documentation of the crate is its README.
        .filter(|source| !source.text.starts_with("#![doc = include_str!"));
    let silent: Vec<String> = silent
        .map(|source| format!("src/{}", source.path))
        .collect();
    report(
        "a file does not open with a `//!` line that says what it is",
        &silent,
    );
}

#[test]
fn no_file_is_too_long() {
    let mut broken = Vec::new();
    for source in sources() {
        let lines = source.code().len();
        let argued = LONGER.iter().any(|(path, _)| *path == source.path);
        if lines > MOST_LINES && !argued {
            broken.push(format!("src/{}: {lines} code lines", source.path));
        }
        if lines <= MOST_LINES && argued {
            broken.push(format!(
                "src/{}: is short enough now; take it off the list",
                source.path
            ));
        }
    }
    report(
        &format!("a file has more than {MOST_LINES} code lines"),
        &broken,
    );
}

#[test]
fn the_table_has_no_circle() {
    let mut left: Vec<&(&str, &[&str])> = MAY_IMPORT.iter().collect();
    loop {
        let before = left.len();
        let names: BTreeSet<&str> = left.iter().map(|(name, _)| *name).collect();
        left.retain(|(_, imports)| imports.iter().any(|one| names.contains(one)));
        if left.is_empty() {
            return;
        }
        assert!(
            left.len() < before,
            "layers import one another in a circle: {names:?}"
        );
    }
}

#[test]
fn imports_are_found_in_every_form() {
    let source = Source {
        path: "commands/append_events.rs".into(),
        text: "//! x\nuse crate::{models::{Error, Result}, registry::Registry};\n\
               use super::other::f;\n// crate::not\nfn a() { crate::queries::b::<u8>() }\n\
               #[cfg(test)]\nmod tests { use crate::testing; }\n"
            .into(),
    };
    let mut found: Vec<String> = source
        .imports()
        .iter()
        .map(|path| path.join("::"))
        .collect();
    found.sort();
    assert_eq!(
        found,
        [
            "commands::other::f",
            "models::Error",
            "models::Result",
            "queries::b",
            "registry::Registry"
        ]
    );
}
