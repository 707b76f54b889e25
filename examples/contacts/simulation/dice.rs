//! Chance, from a seed.

/// splitmix64, <https://prng.di.unimi.it/splitmix64.c>.
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    /// Those of one who takes part.
    pub(crate) fn of(seed: u64, who: &str) -> Self {
        let mut dice = Self(seed);
        for byte in who.bytes() {
            dice.0 ^= u64::from(byte);
            dice.roll();
        }
        dice
    }

    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.roll() % limit.max(1)
    }

    pub(crate) fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of these, if there is one.
    pub(crate) fn pick<T>(&mut self, from: impl IntoIterator<Item = T>) -> Option<T> {
        let mut from: Vec<T> = from.into_iter().collect();
        if from.is_empty() {
            return None;
        }
        let which = self.below(from.len() as u64);
        Some(from.swap_remove(which as usize))
    }

    pub(crate) fn id(&mut self) -> uuid::Uuid {
        uuid::Uuid::from_u64_pair(self.roll(), self.roll())
    }
}
