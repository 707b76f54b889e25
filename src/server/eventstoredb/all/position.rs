//! The place of an event among all events of all topics.
//!
//! There is no order over topics in the store, so one is made: by the time at which events were recorded,
//! then by topic, then by position in the topic. It is written as two numbers of 63 bits in hexadecimal,
//! sixteen digits each, as EventStoreDB writes its own: 54 bits of microseconds, 31 bits that tell the
//! topic (where in the configuration it was created), 41 bits of position.

use std::fmt;

use crate::Timestamp;

const POSITION_BITS: u32 = 41;
const TOPIC_BITS: u32 = 31;
const HALF_BITS: u32 = 63;
const HALF: u128 = (1 << HALF_BITS) - 1;

/// A place among all events. The order is that of the fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) at: Timestamp,
    /// The position of the configuration event that created the topic.
    pub(super) topic: u64,
    pub(super) position: u64,
}

impl Place {
    /// Before every event.
    pub(super) const START: Self = Self::before(Timestamp::from_micros(0));
    /// After every event.
    pub(super) const END: Self = Self::before(Timestamp::from_micros(1 << 54));

    /// Before every event that was recorded at this moment.
    pub(super) const fn before(at: Timestamp) -> Self {
        Self {
            at,
            topic: 0,
            position: 0,
        }
    }

    /// The place right behind this one.
    pub(super) const fn next(self) -> Self {
        Self {
            position: self.position.saturating_add(1),
            ..self
        }
    }

    /// The place that a text stands for.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (commit, prepare) = (text.get(..16)?, text.get(16..)?);
        if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let half = |text| u128::from_str_radix(text, 16).ok();
        let (commit, prepare) = (half(commit)?, half(prepare)?);
        if commit > HALF || prepare > HALF {
            return Some(Self::END);
        }
        let whole = commit << HALF_BITS | prepare;
        let bits = |whole: u128, count: u32| u64::try_from(whole & ((1 << count) - 1)).ok();
        let at = bits(whole >> (POSITION_BITS + TOPIC_BITS), 54)?;
        Some(Self {
            at: Timestamp::from_micros(i64::try_from(at).ok()?),
            topic: bits(whole >> POSITION_BITS, TOPIC_BITS)?,
            position: bits(whole, POSITION_BITS)?,
        })
    }

    fn whole(self) -> u128 {
        let at = u128::try_from(self.at.as_micros()).unwrap_or(0);
        let topic = u128::from(self.topic) & ((1 << TOPIC_BITS) - 1);
        let position = u128::from(self.position) & ((1 << POSITION_BITS) - 1);
        at << (POSITION_BITS + TOPIC_BITS) | topic << POSITION_BITS | position
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self >= Self::END {
            return f.write_str("head");
        }
        let whole = self.whole();
        write!(f, "{:016x}{:016x}", whole >> HALF_BITS, whole & HALF)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_as_they_are_written_and_their_texts_have_their_order() {
        let mut places = Vec::new();
        for at in [0, 1, 1_795_000_000_000_000, (1 << 54) - 1] {
            for topic in [0, 1, 511, (1 << 31) - 1] {
                for position in [0, 1, (1 << 41) - 1] {
                    places.push(Place {
                        at: Timestamp::from_micros(at),
                        topic,
                        position,
                    });
                }
            }
        }
        let texts: Vec<_> = places.iter().map(ToString::to_string).collect();
        assert!(places.is_sorted() && texts.is_sorted());
        for (place, text) in places.iter().zip(&texts) {
            assert_eq!(text.len(), 32);
            assert_eq!(Place::parse(text), Some(*place), "{text}");
        }
        assert_eq!(Place::parse(&"f".repeat(32)), Some(Place::END));
        for bad in [
            "",
            "0",
            "head",
            &"0".repeat(33),
            &"g".repeat(32),
            &"é".repeat(16),
        ] {
            assert_eq!(Place::parse(bad), None, "{bad}");
        }
    }
}
