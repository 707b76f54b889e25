//! Passwords are checked: slowly on purpose, so on threads of their own, few at once, and not for each
//! request of a caller that was known a moment ago.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    num::NonZero,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use argon2::{Argon2, PasswordVerifier as _, password_hash::phc::PasswordHash};
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use tokio::{sync::Semaphore, task::spawn_blocking};

/// How long a password is known that was right.
const KNOWN: Duration = Duration::from_secs(300);

/// The most passwords that are known at once.
const MOST_KNOWN: usize = 1_024;

/// Passwords that wait to be checked; more are told to come later.
const MOST_WAITING: usize = 64;

/// Each takes 19 MiB while it is checked.
const MOST_AT_ONCE: usize = 4;

/// A name with its password, mixed with what only this process knows.
type Key = [u8; 32];

pub(super) struct Passwords {
    /// Mixed into keys, so that they tell nothing of passwords to who sees the memory of another run.
    salt: [u64; 4],
    /// The hashes that right passwords have, by key. Held only to look up and to enter.
    known: Mutex<HashMap<Key, (Arc<str>, Instant)>>,
    turns: Arc<Semaphore>,
    waiting: AtomicUsize,
}

/// Too many passwords wait to be checked.
#[derive(Debug)]
pub(super) struct Busy;

impl Passwords {
    pub(super) fn new() -> Self {
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        Self {
            salt: [0, 1, 2, 3].map(|number: u64| RandomState::new().hash_one(number)),
            known: Mutex::default(),
            turns: Arc::new(Semaphore::new(cores.min(MOST_AT_ONCE))),
            waiting: AtomicUsize::new(0),
        }
    }

    /// The hash that this password was found to have a while ago.
    pub(super) fn known(&self, name: &str, password: &str) -> Option<Arc<str>> {
        let key = self.key(name, password);
        let mut known = self.known.lock();
        let (hash, since) = known.get(&key)?;
        if since.elapsed() < KNOWN {
            return Some(Arc::clone(hash));
        }
        known.remove(&key);
        None
    }

    /// Whether the password has this hash.
    pub(super) async fn check(
        &self,
        name: &str,
        password: &str,
        hash: &Arc<str>,
    ) -> Result<bool, Busy> {
        let _waiting = Waiting::begin(&self.waiting)?;
        let turn = Arc::clone(&self.turns)
            .acquire_owned()
            .await
            .map_err(|_| Busy)?;
        // Who waited behind the same password need not check it again.
        if self.known(name, password).as_ref() == Some(hash) {
            return Ok(true);
        }
        let (text, against) = (password.to_owned(), Arc::clone(hash));
        let checked = spawn_blocking(move || {
            // Goes on where the request is dropped, and so keeps its turn.
            let _turn = turn;
            let hash = PasswordHash::new(&against).ok()?;
            Argon2::default()
                .verify_password(text.as_bytes(), &hash)
                .ok()
        });
        let is_right = matches!(checked.await, Ok(Some(())));
        if is_right {
            self.remember(self.key(name, password), Arc::clone(hash));
        }
        Ok(is_right)
    }

    fn remember(&self, key: Key, hash: Arc<str>) {
        let mut known = self.known.lock();
        if known.len() >= MOST_KNOWN {
            known.retain(|_, (_, since)| since.elapsed() < KNOWN);
        }
        if known.len() >= MOST_KNOWN {
            known.clear();
        }
        known.insert(key, (hash, Instant::now()));
    }

    fn key(&self, name: &str, password: &str) -> Key {
        let mut hasher = Sha256::new();
        for word in self.salt {
            hasher.update(word.to_le_bytes());
        }
        hasher.update((name.len() as u64).to_le_bytes());
        hasher.update(name.as_bytes());
        hasher.update(password.as_bytes());
        hasher.finalize().into()
    }
}

/// One that waits; gone with the request.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn begin(waiting: &'a AtomicUsize) -> Result<Self, Busy> {
        let before = waiting.fetch_add(1, Ordering::AcqRel);
        let this = Self(waiting);
        if before < MOST_WAITING {
            Ok(this)
        } else {
            Err(Busy)
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Whether this is a hash that passwords can be checked against; if not, why.
pub(super) fn check(hash: &str) -> Result<(), &'static str> {
    if !hash.starts_with("$argon2id$") || PasswordHash::new(hash).is_err() {
        return Err("is not an Argon2id hash");
    }
    Ok(())
}
