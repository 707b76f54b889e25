//! Entries as JSON lines, one file for each process.

use std::{
    collections::HashMap,
    io::{self, BufRead, Write},
};

use super::record::Entry;

/// Writes one entry.
///
/// A call whose process may die is written twice: when it begins, with an outcome that is not known
/// and an end that never comes, and when it has ended. The second replaces the first.
pub(crate) fn write(to: &mut impl Write, entry: &Entry) -> io::Result<()> {
    let mut line = serde_json::to_vec(entry)?;
    line.push(b'\n');
    to.write_all(&line)
}

/// Reads entries. A last line that the death of its process cut off is left out: the call it is
/// of is there as it was begun.
pub(crate) fn read(from: impl BufRead, entries: &mut Vec<Entry>) -> io::Result<()> {
    let mut places: HashMap<(u32, u32, u64), usize> = HashMap::new();
    let mut lines = from.split(b'\n').peekable();
    while let Some(line) = lines.next() {
        let entry: Entry = match serde_json::from_slice(&line?) {
            Ok(entry) => entry,
            Err(_) if lines.peek().is_none() => break,
            Err(error) => return Err(error.into()),
        };
        let key = (entry.process, entry.client, entry.op);
        match places.get(&key) {
            Some(&place) => entries[place] = entry,
            None => {
                places.insert(key, entries.len());
                entries.push(entry);
            }
        }
    }
    Ok(())
}

/// Bytes as hexadecimal digits.
pub(crate) mod hex {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    const DIGITS: &[u8; 16] = b"0123456789abcdef";

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        let digit = |value: u8| char::from(DIGITS[usize::from(value)]);
        let text: String = bytes
            .iter()
            .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
            .collect();
        to.serialize_str(&text)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(from)?;
        let value = |digit: &u8| {
            let found = DIGITS.iter().position(|one| one == digit);
            found.and_then(|value| u8::try_from(value).ok())
        };
        let byte = |pair: &[u8]| match pair {
            [high, low] => Some(value(high)? << 4 | value(low)?),
            _ => None,
        };
        let bytes: Option<_> = text.as_bytes().chunks(2).map(byte).collect();
        bytes.ok_or_else(|| D::Error::custom("not hexadecimal"))
    }
}
