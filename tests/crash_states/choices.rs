//! Which states of a volume a power cut can leave.
//!
//! A file is written back sector by sector, each as it was at some moment since its last sync, and
//! its size is one that it had on the way. Of the pending changes of a directory any may be there.
//! All files and directories choose on their own. Where that is too many, there are all of one file
//! while the others have everything or nothing, all pairs as far as a bound goes, and a sample
//! drawn by a seed.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use super::volume::{Directory, Entries, File, Node, Tree, Volume, grow};

/// What a disk writes at once.
const SECTOR: usize = 512;

/// How far the enumeration goes before it samples.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Width {
    /// Most moments from which a sector is taken: the first and the last ones.
    pub(crate) moments: usize,
    /// Most combinations within one file that are all taken.
    pub(crate) file: usize,
    /// Most combinations over all files that are all taken.
    pub(crate) all: usize,
    /// Most combinations of two files.
    pub(crate) pair: usize,
    /// How many are drawn beside that.
    pub(crate) drawn: usize,
}

/// A small generator (xorshift64*).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        ((self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % limit as u64) as usize
    }
}

/// What one node may be found as. The first has nothing of what is pending, the last all of it.
enum Variants {
    File(Vec<Arc<Vec<u8>>>),
    Directory(Vec<Entries>),
}

impl Variants {
    fn len(&self) -> usize {
        match self {
            Self::File(all) => all.len(),
            Self::Directory(all) => all.len(),
        }
    }
}

/// Choices for `count` things: all of them if there are few, else those with one thing apart, those
/// up to one or from one on, and some that are drawn. The first chooses 0 everywhere, the last the
/// highest.
fn choose(counts: &[usize], limit: usize, drawn: usize, random: &mut Random) -> Vec<Vec<usize>> {
    let none = vec![0; counts.len()];
    let whole: Vec<usize> = counts.iter().map(|count| count - 1).collect();
    let product = counts
        .iter()
        .try_fold(1_usize, |product, count| product.checked_mul(*count));
    let mut found = BTreeSet::new();
    if product.is_some_and(|product| product <= limit) {
        let mut choice = none.clone();
        loop {
            found.insert(choice.clone());
            let Some(at) = (0..counts.len()).find(|at| choice[*at] < whole[*at]) else {
                break;
            };
            choice[..at].fill(0);
            choice[at] += 1;
        }
    } else {
        for at in 0..counts.len() {
            let mut mixed = whole.clone();
            mixed[..at].fill(0);
            found.insert(mixed);
            let mut mixed = none.clone();
            mixed[..at].clone_from_slice(&whole[..at]);
            found.insert(mixed);
            for value in 0..counts[at] {
                for base in [&none, &whole] {
                    let mut apart = base.clone();
                    apart[at] = value;
                    found.insert(apart);
                }
            }
        }
        for _ in 0..drawn {
            found.insert(counts.iter().map(|count| random.below(*count)).collect());
        }
    }
    found.remove(&none);
    found.remove(&whole);
    let mut all = vec![none];
    all.extend(found);
    all.push(whole);
    all
}

/// The contents that a file may be found with.
fn of_file(file: &File, width: Width, random: &mut Random) -> Vec<Arc<Vec<u8>>> {
    let mut sectors: BTreeMap<usize, Vec<Vec<u8>>> = BTreeMap::new();
    let mut sizes = vec![file.durable.len()];
    let mut content = file.durable.clone();
    let sector = |content: &[u8], number: usize| {
        let mut bytes: Vec<u8> = content
            .iter()
            .skip(number * SECTOR)
            .take(SECTOR)
            .copied()
            .collect();
        bytes.resize(SECTOR, 0);
        bytes
    };
    for (_, change) in &file.pending {
        let before = content.clone();
        change.apply(&mut content);
        for number in 0..content.len().max(before.len()).div_ceil(SECTOR) {
            let (old, new) = (sector(&before, number), sector(&content, number));
            if old != new {
                sectors.entry(number).or_insert_with(|| vec![old]).push(new);
            }
        }
        // A file that grows may have grown in part.
        let between = (before.len() / SECTOR + 1..content.len().div_ceil(SECTOR))
            .map(|number| number * SECTOR)
            .filter(|size| *size < content.len());
        sizes.extend(between);
        if sizes.last() != Some(&content.len()) {
            sizes.push(content.len());
        }
    }
    for all in sectors.values_mut() {
        let few = (all.len() + 1).saturating_sub(width.moments).max(1);
        drop(all.drain(1..few));
    }
    let mut counts: Vec<usize> = sectors.values().map(Vec::len).collect();
    counts.push(sizes.len());
    let mut found = Vec::new();
    for choice in choose(&counts, width.file, width.drawn, random) {
        let (size, versions) = choice.split_last().expect("the size is there");
        let mut content = file.durable.clone();
        content.resize(sizes[*size], 0);
        for ((number, all), version) in sectors.iter().zip(versions) {
            let from = number * SECTOR;
            let to = (from + SECTOR).min(content.len());
            if from < to {
                content[from..to].copy_from_slice(&all[*version][..to - from]);
            }
        }
        found.push(content);
    }
    distinct(found).into_iter().map(Arc::new).collect()
}

/// Every one once. The first stays the first, and the last the last.
fn distinct<T: Clone + Eq + Hash>(all: Vec<T>) -> Vec<T> {
    let last = all.last().cloned();
    let mut seen: HashSet<T> = last.iter().cloned().collect();
    let mut found: Vec<T> = all
        .into_iter()
        .filter(|one| seen.insert(one.clone()))
        .collect();
    found.extend(last);
    found
}

/// The entries that a directory may be found with.
fn of_directory(directory: &Directory, width: Width, random: &mut Random) -> Vec<Entries> {
    let counts = vec![2; directory.pending.len()];
    let mut found = Vec::new();
    for choice in choose(&counts, width.file, width.drawn, random) {
        let mut entries = directory.durable.clone();
        for ((_, change), kept) in directory.pending.iter().zip(choice) {
            if kept == 1 {
                change.apply(&mut entries);
            }
        }
        found.push(entries);
    }
    distinct(found)
}

/// The trees that can be found after a power cut now, each with a hash of it.
pub(crate) fn states(volume: &Volume, width: Width, random: &mut Random) -> Vec<(u64, Tree)> {
    let mut open = Vec::new();
    for (number, node) in volume.nodes.iter().enumerate() {
        let variants = match node {
            Node::File(file) if !file.pending.is_empty() => {
                Variants::File(of_file(file, width, random))
            }
            Node::Directory(directory) if !directory.pending.is_empty() => {
                Variants::Directory(of_directory(directory, width, random))
            }
            _ => continue,
        };
        if variants.len() > 1 {
            open.push((number, variants));
        }
    }
    let counts: Vec<usize> = open.iter().map(|(_, variants)| variants.len()).collect();
    let mut choices = choose(&counts, width.all, width.drawn, random);
    choices.extend(pairs(&counts, width.pair, random));
    let mut seen = HashSet::new();
    choices
        .into_iter()
        .map(|choice| tree(volume, &open, &choice))
        .map(|tree| (hash(&tree), tree))
        .filter(|(hash, _)| seen.insert(*hash))
        .collect()
}

/// Choices in which two files differ, while the others have everything or nothing.
fn pairs(counts: &[usize], most: usize, random: &mut Random) -> Vec<Vec<usize>> {
    let mut found = Vec::new();
    for second in 0..counts.len() {
        for first in 0..second {
            let product = counts[first] * counts[second];
            for number in 0..product.min(most) {
                let pick = if product <= most {
                    number
                } else {
                    random.below(product)
                };
                for kept in [0, 1] {
                    let mut choice: Vec<usize> =
                        counts.iter().map(|count| (count - 1) * kept).collect();
                    choice[first] = pick % counts[first];
                    choice[second] = pick / counts[first];
                    found.push(choice);
                }
            }
        }
    }
    found
}

fn tree(volume: &Volume, open: &[(usize, Variants)], choice: &[usize]) -> Tree {
    let chosen = |node: usize| {
        let at = open
            .binary_search_by_key(&node, |(number, _)| *number)
            .ok()?;
        Some((&open[at].1, choice[at]))
    };
    let content = |node: usize| match (chosen(node), &volume.nodes[node]) {
        (Some((Variants::File(all), one)), _) => Some(Arc::clone(&all[one])),
        // Only one content was left of what is pending, or nothing is.
        (_, Node::File(file)) => Some(Arc::new(file.durable.clone())),
        _ => None,
    };
    let entries = |node: usize| match (chosen(node), &volume.nodes[node]) {
        (Some((Variants::Directory(all), one)), _) => all[one].clone(),
        (_, Node::Directory(directory)) => directory.durable.clone(),
        _ => Entries::new(),
    };
    grow(&content, &entries)
}

fn hash(tree: &Tree) -> u64 {
    let mut hasher = DefaultHasher::new();
    tree.hash(&mut hasher);
    hasher.finish()
}
