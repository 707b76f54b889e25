//! As little of a client of HTTP/1.1 as a load needs, so that the server and not the client is measured:
//! one request at a time on a connection that is kept, answers with a length.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::target::Result;

/// A connection.
#[derive(Debug)]
pub(crate) struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// An answer; its body is in the client's buffer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    begin: usize,
    end: usize,
}

impl Client {
    pub(crate) async fn connect(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: Vec::with_capacity(64 << 10),
        })
    }

    /// Sends a request, head and body, and reads the answer.
    pub(crate) async fn ask(&mut self, request: &[u8]) -> Result<Answer> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        let begin = loop {
            if let Some(end) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            self.more().await?;
        };
        let head = std::str::from_utf8(self.buffer.get(..begin).unwrap_or_default())?;
        let status: u16 = head.get(9..12).ok_or("no status")?.parse()?;
        let length: usize = head
            .lines()
            .find_map(|line| {
                let (name, value) = line.split_once(':')?;
                let is_length = name.eq_ignore_ascii_case("content-length");
                is_length.then(|| value.trim().parse().ok()).flatten()
            })
            .or_else(|| (status == 204).then_some(0))
            .ok_or("an answer without a length")?;
        while self.buffer.len() < begin + length {
            self.more().await?;
        }
        Ok(Answer {
            status,
            begin,
            end: begin + length,
        })
    }

    pub(crate) fn body(&self, answer: Answer) -> &[u8] {
        self.buffer
            .get(answer.begin..answer.end)
            .unwrap_or_default()
    }

    async fn more(&mut self) -> Result<()> {
        if self.stream.read_buf(&mut self.buffer).await? == 0 {
            return Err("the server has closed the connection".into());
        }
        Ok(())
    }
}
