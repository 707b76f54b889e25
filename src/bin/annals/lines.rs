//! Lines of standard input, or of a file, in bounded memory.

use std::path::Path;

use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, BufReader};

use super::failure::Failure;

/// The longest line: an event with the largest payload and metadata that there can be, in base64.
const MOST: u64 = 48 << 20;

/// Lines, counted from 1.
pub(crate) struct Lines {
    from: Box<dyn AsyncBufRead + Send + Unpin>,
    name: String,
    line: Vec<u8>,
    number: u64,
    bytes: u64,
}

impl Lines {
    pub(crate) fn of_input() -> Self {
        let input = BufReader::with_capacity(64 << 10, tokio::io::stdin());
        Self::new(Box::new(input), "standard input")
    }

    /// Of a file; standard input where there is none, or it is `-`.
    pub(crate) async fn of(path: Option<&Path>) -> Result<Self, Failure> {
        let Some(path) = path.filter(|path| *path != Path::new("-")) else {
            return Ok(Self::of_input());
        };
        let name = path.display().to_string();
        let file = tokio::fs::File::open(path)
            .await
            .map_err(|error| Failure::io(&name, &error))?;
        let file = BufReader::with_capacity(256 << 10, file);
        Ok(Self::new(Box::new(file), &name))
    }

    pub(crate) fn new(from: Box<dyn AsyncBufRead + Send + Unpin>, name: &str) -> Self {
        Self {
            from,
            name: name.to_owned(),
            line: Vec::new(),
            number: 0,
            bytes: 0,
        }
    }

    /// Where they come from.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The number of the line that was given last.
    pub(crate) const fn number(&self) -> u64 {
        self.number
    }

    /// How many bytes were read.
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The line that was given last.
    pub(crate) fn line(&self) -> &[u8] {
        &self.line
    }

    /// Reads the next line that is not blank; false at the end. What is given up half way is lost.
    pub(crate) async fn advance(&mut self) -> Result<bool, Failure> {
        loop {
            self.line.clear();
            let mut some = (&mut self.from).take(MOST + 1);
            let read = some
                .read_until(b'\n', &mut self.line)
                .await
                .map_err(|error| Failure::io(&self.name, &error))?;
            if read == 0 {
                return Ok(false);
            }
            self.number += 1;
            self.bytes += read as u64;
            if self.line.len() as u64 > MOST {
                return Err(self.wrong(&format!("it is longer than {MOST} bytes")));
            }
            if !self.line.trim_ascii().is_empty() {
                return Ok(true);
            }
        }
    }

    /// What is wrong with the line that was given last.
    pub(crate) fn wrong(&self, reason: &str) -> Failure {
        let Self { name, number, .. } = self;
        Failure::usage(format!("{name}, line {number}: {reason}")).with("line", *number)
    }
}
