//! A disk as a power cut sees it: what is durable, and what is on its way there.
//!
//! A file or directory is durable as it was at its last sync; every change since is pending, and
//! may be there or not. Syncing a file says nothing of its entry in the directory, and the other
//! way round.

use std::{collections::BTreeMap, sync::Arc};

use super::trace::{Action, Event};

/// The entries of a directory: names and nodes.
pub(crate) type Entries = BTreeMap<String, usize>;

/// A file or directory, which keeps its number whatever its name is.
#[derive(Clone, Debug)]
pub(crate) enum Node {
    File(File),
    Directory(Directory),
}

#[derive(Clone, Debug, Default)]
pub(crate) struct File {
    pub(crate) durable: Vec<u8>,
    /// Each with the line at which its call had returned.
    pub(crate) pending: Vec<(usize, Change)>,
}

#[derive(Clone, Debug)]
pub(crate) enum Change {
    Write(usize, Arc<[u8]>),
    Resize(usize),
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Directory {
    pub(crate) durable: Entries,
    pub(crate) pending: Vec<(usize, EntryChange)>,
    now: Entries,
}

#[derive(Clone, Debug)]
pub(crate) enum EntryChange {
    Add(String, usize),
    Remove(String, usize),
    Move(String, String, usize),
}

/// The nodes; the first one is the root, which is there from the beginning.
#[derive(Clone, Debug)]
pub(crate) struct Volume {
    pub(crate) nodes: Vec<Node>,
}

/// A tree of files as it can be found: paths, and contents where it is a file. A directory comes
/// before what is in it.
pub(crate) type Tree = Vec<(String, Option<Arc<Vec<u8>>>)>;

impl Change {
    pub(crate) fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Write(at, bytes) => {
                let end = at + bytes.len();
                if content.len() < end {
                    content.resize(end, 0);
                }
                content[*at..end].copy_from_slice(bytes);
            }
            Self::Resize(length) => content.resize(*length, 0),
        }
    }
}

impl EntryChange {
    pub(crate) fn apply(&self, entries: &mut Entries) {
        match self {
            Self::Add(name, node) => {
                entries.insert(name.clone(), *node);
            }
            Self::Remove(name, node) => {
                if entries.get(name) == Some(node) {
                    entries.remove(name);
                }
            }
            Self::Move(from, to, node) => {
                if entries.get(from) == Some(node) {
                    entries.remove(from);
                }
                entries.insert(to.clone(), *node);
            }
        }
    }
}

/// Takes what had ended before `began` out of `pending`.
fn covered<T>(pending: &mut Vec<(usize, T)>, began: usize) -> Vec<T> {
    let (done, left) = std::mem::take(pending)
        .into_iter()
        .partition(|(ended, _)| *ended < began);
    *pending = left;
    let done: Vec<(usize, T)> = done;
    done.into_iter().map(|(_, change)| change).collect()
}

fn parent(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

impl Volume {
    /// An empty directory.
    pub(crate) fn empty() -> Self {
        Self {
            nodes: vec![Node::Directory(Directory::default())],
        }
    }

    /// A tree that is durable as it is.
    pub(crate) fn durable(tree: &Tree) -> Self {
        let mut volume = Self::empty();
        for (path, content) in tree {
            let number = volume.nodes.len();
            volume.nodes.push(match content {
                Some(bytes) => Node::File(File {
                    durable: bytes.to_vec(),
                    pending: Vec::new(),
                }),
                None => Node::Directory(Directory::default()),
            });
            let (directory, name) = parent(path);
            let directory = volume.directory(directory);
            directory.durable.insert(name.to_owned(), number);
            directory.now.insert(name.to_owned(), number);
        }
        volume
    }

    /// The same once every call has returned, as when the process was killed.
    pub(crate) fn settled(&self) -> Self {
        let mut settled = self.clone();
        for node in &mut settled.nodes {
            match node {
                Node::File(file) => file.pending.iter_mut().for_each(|(ended, _)| *ended = 0),
                Node::Directory(directory) => directory
                    .pending
                    .iter_mut()
                    .for_each(|(ended, _)| *ended = 0),
            }
        }
        settled
    }

    fn find(&self, path: &str) -> Option<usize> {
        path.split('/')
            .filter(|name| !name.is_empty())
            .try_fold(0, |node, name| match &self.nodes[node] {
                Node::Directory(directory) => directory.now.get(name).copied(),
                Node::File(_) => None,
            })
    }

    fn directory(&mut self, path: &str) -> &mut Directory {
        let node = self.find(path).expect("the directory is there");
        match &mut self.nodes[node] {
            Node::Directory(directory) => directory,
            Node::File(_) => panic!("{path} is no directory"),
        }
    }

    fn change(&mut self, path: &str, ended: usize, change: Change) {
        let node = self.find(path).expect("the file is there");
        match &mut self.nodes[node] {
            Node::File(file) => file.pending.push((ended, change)),
            Node::Directory(_) => panic!("{path} is no file"),
        }
    }

    fn enter(&mut self, directory: &str, ended: usize, change: EntryChange) {
        let directory = self.directory(directory);
        change.apply(&mut directory.now);
        directory.pending.push((ended, change));
    }

    /// Goes on by one event.
    pub(crate) fn apply(&mut self, event: &Event) {
        let ended = event.ended;
        match &event.action {
            Action::Begin(_) | Action::Answer(..) => {}
            Action::Make { path, directory } => {
                if self.find(path).is_some() {
                    return;
                }
                let number = self.nodes.len();
                self.nodes.push(if *directory {
                    Node::Directory(Directory::default())
                } else {
                    Node::File(File::default())
                });
                let (directory, name) = parent(path);
                let change = EntryChange::Add(name.to_owned(), number);
                self.enter(directory, ended, change);
            }
            Action::Write { path, at, bytes } => {
                self.change(path, ended, Change::Write(*at, Arc::clone(bytes)));
            }
            Action::Resize { path, length } => self.change(path, ended, Change::Resize(*length)),
            Action::Rename { from, to } => {
                let node = self.find(from).expect("what is renamed is there");
                let ((directory, old), (target, new)) = (parent(from), parent(to));
                assert_eq!(directory, target, "a rename within one directory");
                let change = EntryChange::Move(old.to_owned(), new.to_owned(), node);
                self.enter(directory, ended, change);
            }
            Action::Remove { path } => {
                let node = self.find(path).expect("what is removed is there");
                let (directory, name) = parent(path);
                let change = EntryChange::Remove(name.to_owned(), node);
                self.enter(directory, ended, change);
            }
            Action::Sync { path, began } => {
                // What was renamed or removed meanwhile has nobody to whom it matters.
                let Some(node) = self.find(path) else { return };
                match &mut self.nodes[node] {
                    Node::File(file) => covered(&mut file.pending, *began)
                        .iter()
                        .for_each(|change| change.apply(&mut file.durable)),
                    Node::Directory(directory) => covered(&mut directory.pending, *began)
                        .iter()
                        .for_each(|change| change.apply(&mut directory.durable)),
                }
            }
        }
    }

    /// The tree that a running system shows, which is also what a killed process leaves.
    pub(crate) fn shown(&self) -> Tree {
        let content = |node: usize| {
            let Node::File(file) = &self.nodes[node] else {
                return None;
            };
            let mut content = file.durable.clone();
            file.pending
                .iter()
                .for_each(|(_, change)| change.apply(&mut content));
            Some(Arc::new(content))
        };
        let entries = |node: usize| match &self.nodes[node] {
            Node::Directory(directory) => directory.now.clone(),
            Node::File(_) => Entries::new(),
        };
        grow(&content, &entries)
    }
}

/// Walks from the root through what the directories name.
pub(crate) fn grow(
    content: &dyn Fn(usize) -> Option<Arc<Vec<u8>>>,
    entries: &dyn Fn(usize) -> Entries,
) -> Tree {
    let mut tree = Tree::new();
    let mut open = vec![(String::new(), 0)];
    while let Some((path, node)) = open.pop() {
        for (name, node) in entries(node) {
            let path = if path.is_empty() {
                name
            } else {
                format!("{path}/{name}")
            };
            let content = content(node);
            if content.is_none() {
                open.push((path.clone(), node));
            }
            tree.push((path, content));
        }
    }
    tree
}
