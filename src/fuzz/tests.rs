//! Every decoder, over the corpus that is kept and over random changes of it.
//!
//! `ANNALS_FUZZ` sets how many changed inputs each decoder gets, `ANNALS_SEED` the seed.

use std::{fs, path::Path};

/// A small generator (xorshift64*), so that a run can be repeated by its seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % limit.max(1)
    }

    fn change(&mut self, bytes: &mut Vec<u8>, other: &[u8]) {
        const NUMBERS: [u32; 8] = [0, 1, 0x7f, 0x80, 0xff, 0x7fff_ffff, 0x8000_0000, u32::MAX];
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len());
            match self.below(7) {
                0 if !bytes.is_empty() => bytes[at] ^= 1 << self.below(8),
                1 if !bytes.is_empty() => bytes[at] = self.below(256) as u8,
                2 => bytes.truncate(at),
                3 => drop(bytes.drain(at..(at + self.below(16)).min(bytes.len()))),
                4 => bytes.insert(at, self.below(256) as u8),
                5 if bytes.len() >= at + 4 => {
                    let number = NUMBERS[self.below(8)].to_le_bytes();
                    bytes[at..at + 4].copy_from_slice(&number);
                }
                _ => {
                    let from = self.below(other.len());
                    let part = &other[from..(from + self.below(64)).min(other.len())];
                    let end = (at + part.len()).min(bytes.len());
                    drop(bytes.splice(at..end, part.iter().copied()));
                }
            }
        }
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .and_then(|value| value.parse().ok())
}

fn run(target: &str, check: impl Fn(&[u8]), changes: u64) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let mut corpus: Vec<_> = fs::read_dir(corpus.join(target))
        .unwrap()
        .map(|entry| fs::read(entry.unwrap().path()).unwrap())
        .collect();
    corpus.sort();
    assert!(!corpus.is_empty());
    corpus.iter().for_each(|input| check(input));
    let seed = number("ANNALS_SEED").unwrap_or(1);
    println!("{target}: seed {seed}");
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    for _ in 0..number("ANNALS_FUZZ").unwrap_or(changes) {
        let other = &corpus[random.below(corpus.len())];
        let mut input = corpus[random.below(corpus.len())].clone();
        random.change(&mut input, other);
        check(&input);
    }
}

#[test]
fn records() {
    run("record", super::record, 60_000);
}

#[test]
fn configurations() {
    run("configuration", super::configuration, 10_000);
}

#[cfg(feature = "file")]
#[test]
fn marks() {
    run("mark", super::mark, 60_000);
}

#[cfg(feature = "file")]
#[test]
fn segments() {
    run("segment", super::segment, 5000);
}

#[cfg(feature = "file")]
#[test]
fn index_files() {
    run("index_file", super::index_file, 5000);
}

#[cfg(feature = "file")]
#[test]
fn journals() {
    run("journal", super::journal, 5000);
}
