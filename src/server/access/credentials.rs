//! Credentials are made: tokens, and hashes of passwords.

use std::io;

use argon2::{Argon2, PasswordHasher as _};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rustls::crypto::ring;
use sha2::{Digest as _, Sha256};

use super::rules::Digest;

/// What tokens begin with, so that they are known where one turns up.
pub(super) const PREFIX: &str = "annals_";

/// A token that was just made: 256 random bits.
#[non_exhaustive]
pub struct NewToken {
    /// The token, for the caller and nobody else.
    pub token: String,
    /// Its SHA-256 in hexadecimal, for the access file.
    pub sha256: String,
}

/// Makes a token for an access file.
///
/// # Errors
/// That of the operating system, where it gives no random numbers.
pub fn new_token() -> io::Result<NewToken> {
    let mut random = [0; 32];
    ring::default_provider()
        .secure_random
        .fill(&mut random)
        .map_err(|_| io::Error::other("the operating system gives no random numbers"))?;
    let token = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random));
    let sha256 = digest(&token)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Ok(NewToken { token, sha256 })
}

/// Hashes a password by Argon2id for an access file. It takes some 50 ms, on purpose.
///
/// # Errors
/// [`io::ErrorKind::InvalidInput`] for a password that cannot be hashed; that of the operating system, where
/// it gives no random numbers.
pub fn hash_password(password: &str) -> io::Result<String> {
    let hash = Argon2::default().hash_password(password.as_bytes());
    let hash =
        hash.map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error.to_string()))?;
    Ok(hash.to_string())
}

pub(super) fn digest(token: &str) -> Digest {
    Sha256::digest(token.as_bytes()).into()
}
