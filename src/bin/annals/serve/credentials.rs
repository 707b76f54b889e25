//! Credentials for an access file are made.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use annals::server::{hash_password, new_token};

use super::Failure;

/// The token on the first line, for the caller; the line of the access file on the second.
pub(super) fn token() -> Result<(), Failure> {
    let made = new_token()?;
    println!("{}", made.token);
    println!("tokens = [\"{}\"]", made.sha256);
    Ok(())
}

/// Reads a password, and prints the line of the access file.
pub(super) fn password() -> Result<(), Failure> {
    let input = io::stdin();
    if input.is_terminal() {
        eprint!("password (it is shown as you type): ");
        io::stderr().flush()?;
    }
    let mut line = String::new();
    input.lock().read_line(&mut line)?;
    let password = line.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        return Err(Failure::Wrong(super::Wrong::new("the password is empty")));
    }
    println!("password = \"{}\"", hash_password(password)?);
    Ok(())
}
