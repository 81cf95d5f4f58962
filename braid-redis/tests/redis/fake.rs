//! Servers that aren't Redis: too old, or cutting connections.

use std::net::SocketAddr;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// What a fake server does with a command, by its words in capitals.
pub(crate) enum Answer {
    /// Writes this.
    Reply(String),
    /// Closes the connection.
    Cut,
}

/// A server that answers as told, one connection at a time or many. It ends when it is dropped.
pub(crate) struct Fake {
    pub(crate) addr: SocketAddr,
    task: JoinHandle<()>,
}

impl Fake {
    pub(crate) async fn start(
        answer: impl Fn(&[String]) -> Answer + Clone + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr = listener.local_addr().expect("it is bound");
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, answer.clone()));
            }
        });
        Self { addr, task }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://{}", self.addr)
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The greetings of a server of this version.
pub(crate) fn greet(words: &[String], version: &str) -> Option<Answer> {
    let reply = match words.first().map(String::as_str)? {
        "PING" => "+PONG\r\n".to_owned(),
        "CLIENT" => ":1\r\n".to_owned(),
        "INFO" => {
            let text = format!("redis_version:{version}\r\nredis_mode:standalone\r\n");
            format!("${}\r\n{text}\r\n", text.len())
        }
        "QUIT" => return Some(Answer::Cut),
        _ => return None,
    };
    Some(Answer::Reply(reply))
}

async fn serve(mut stream: TcpStream, answer: impl Fn(&[String]) -> Answer) {
    let mut arrived = Vec::new();
    loop {
        while let Some((words, used)) = parse(&arrived) {
            arrived.drain(..used);
            match answer(&words) {
                Answer::Reply(text) => {
                    if stream.write_all(text.as_bytes()).await.is_err() {
                        return;
                    }
                }
                Answer::Cut => return,
            }
        }
        match stream.read_buf(&mut arrived).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
}

/// One command, if it is all there.
fn parse(bytes: &[u8]) -> Option<(Vec<String>, usize)> {
    let mut at = 0;
    let mut line = || {
        let rest = bytes.get(at..)?;
        let end = rest.windows(2).position(|pair| pair == b"\r\n")?;
        at += end + 2;
        Some(String::from_utf8_lossy(&rest[..end]).into_owned())
    };
    let first = line()?;
    let Some(count) = first.strip_prefix('*') else {
        // fred greets in one line.
        return Some((first.split(' ').map(str::to_owned).collect(), at));
    };
    let count: usize = count.parse().ok()?;
    let mut words = Vec::new();
    for _ in 0..count {
        line()?;
        words.push(line()?);
    }
    Some((words, at))
}
