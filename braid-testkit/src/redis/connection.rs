//! A connection for the few commands that tests give a server themselves.

use super::reply::{self, Reply};
use std::{fmt, io, net::SocketAddr, path::Path};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpStream, UnixStream},
};

/// What bytes go over.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection to a Redis server, without any of what a client library does: one command after the other, no reconnect, no
/// time-out. Commands on one connection follow each other, which WAIT and MULTI need.
pub struct Connection {
    stream: Box<dyn Stream>,
    arrived: Vec<u8>,
}

impl Connection {
    /// Connects to a server's port, which speaks no TLS.
    ///
    /// # Errors
    /// When nobody accepts the connection.
    pub async fn connect(addr: SocketAddr) -> io::Result<Self> {
        Ok(Self::over(TcpStream::connect(addr).await?))
    }

    /// Connects to a server's socket in the file system.
    ///
    /// # Errors
    /// When nobody accepts the connection.
    pub async fn connect_unix(path: &Path) -> io::Result<Self> {
        Ok(Self::over(UnixStream::connect(path).await?))
    }

    /// Talks over a stream that is already connected, such as one of TLS.
    pub fn over(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        Self {
            stream: Box::new(stream),
            arrived: Vec::new(),
        }
    }

    /// Sends a command and waits for its answer, which may be a [`Reply::Error`].
    ///
    /// # Errors
    /// When the connection ends, or what arrives is no answer of a Redis server.
    ///
    /// # Cancel safety
    /// None: a connection whose command was given up is of no use any more.
    pub async fn command<A: AsRef<[u8]>>(&mut self, command: &[A]) -> io::Result<Reply> {
        let mut bytes = format!("*{}\r\n", command.len()).into_bytes();
        for argument in command {
            let argument = argument.as_ref();
            bytes.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
            bytes.extend_from_slice(argument);
            bytes.extend_from_slice(b"\r\n");
        }
        self.stream.write_all(&bytes).await?;
        self.stream.flush().await?;
        loop {
            if let Some((reply, used)) = reply::parse(&self.arrived)? {
                self.arrived.drain(..used);
                return Ok(reply);
            }
            if self.stream.read_buf(&mut self.arrived).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}
