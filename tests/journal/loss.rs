//! What a power cut can take from the segments of a store: what only the journal has made durable.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

pub(crate) fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let from = entry.unwrap().path();
        let to = to.join(from.file_name().unwrap());
        if from.is_dir() {
            fs::create_dir(&to).unwrap();
            copy(&from, &to);
        } else {
            fs::copy(&from, &to).unwrap();
        }
    }
}

fn number(bytes: &[u8], at: usize, length: usize) -> u64 {
    bytes[at..at + length]
        .iter()
        .rev()
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// The places in segments of which the journal speaks: as ARCHITECTURE.md draws it.
fn journaled(directory: &Path) -> BTreeMap<PathBuf, Vec<(u64, usize)>> {
    let mut places = BTreeMap::<_, Vec<_>>::new();
    for nth in 0..2 {
        let Ok(bytes) = fs::read(directory.join(format!("journal-{nth}"))) else {
            continue;
        };
        let mut at = 4096;
        while bytes.get(at..at + 4) == Some(b"JRNL") {
            let end = at + 16 + number(&bytes, at + 8, 4) as usize;
            at += 16;
            while at < end {
                let storage = uuid::Uuid::from_slice(&bytes[at..at + 16]).unwrap();
                let path = directory
                    .join("topics")
                    .join(storage.to_string())
                    .join(format!("{:020}.log", number(&bytes, at + 16, 8)));
                let length = number(&bytes, at + 32, 4) as usize;
                let place = (number(&bytes, at + 24, 8), length);
                places.entry(path).or_default().push(place);
                at += 40 + length;
            }
            at = end.next_multiple_of(512);
        }
    }
    places
}

/// Takes from the segments what the journal holds, as a power cut can.
pub(crate) fn lose_journaled(directory: &Path, zeroed: bool) -> usize {
    let places = journaled(directory);
    for (path, places) in &places {
        let mut bytes = fs::read(path).unwrap();
        for (at, length) in places {
            bytes[*at as usize..*at as usize + length].fill(0);
        }
        if !zeroed {
            let last = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0);
            bytes.truncate(last + 1);
        }
        fs::write(path, bytes).unwrap();
    }
    places.values().map(Vec::len).sum()
}
