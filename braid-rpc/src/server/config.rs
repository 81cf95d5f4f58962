//! The server's configuration.

use braid_core::{Error, ErrorKind, Result};
use std::time::Duration;

/// How a [`Server`](super::Server) listens and what it lets in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerConfig {
    /// Where to listen. `":14222"`: all interfaces, IPv4 and IPv6 where the machine has both. `"127.0.0.1:0"`: one address, and a port
    /// that the system chooses. `"localhost:14222"`: a name, of whose addresses the first that can be had is taken. Default `":14222"`.
    pub listen: String,
    /// The largest message that a caller may send, in bytes. Above it the call fails with RESOURCE_EXHAUSTED. tonic's generated services
    /// have a limit of their own (4 MiB unless `max_decoding_message_size` says otherwise): the smaller one counts. Default 4 MiB.
    pub max_request: usize,
    /// The largest message that a handler may answer with, in bytes. Above it the call fails with RESOURCE_EXHAUSTED. Default 4 MiB.
    pub max_response: usize,
    /// How long a draining server goes on accepting connections after it has told the present ones to go away. Whoever hasn't heard yet
    /// that this node leaves is served instead of refused. Zero: not at all. Default 100 ms.
    pub linger: Duration,
    /// After how long a silence a connection is probed; it is closed when 10 s more bring no answer. `None`: never. Default 30 s.
    pub keep_alive: Option<Duration>,
    /// Serves `grpc.health.v1`. Default true.
    pub health: bool,
    /// Serves reflection, `v1` and `v1alpha`. Default true.
    pub reflection: bool,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: ":14222".to_owned(),
            max_request: 4 << 20,
            max_response: 4 << 20,
            linger: Duration::from_millis(100),
            keep_alive: Some(Duration::from_secs(30)),
            health: true,
            reflection: true,
        }
    }
}

impl ServerConfig {
    /// The default, but listening there.
    #[must_use]
    pub fn listen(address: impl Into<String>) -> Self {
        Self {
            listen: address.into(),
            ..Self::default()
        }
    }

    pub(super) fn validate(&self) -> Result<()> {
        let fault = if self.max_request == 0 || self.max_response == 0 {
            "a limit of 0 bytes lets no message through"
        } else if self.keep_alive == Some(Duration::ZERO) {
            "`keep_alive` is zero: `None` switches it off"
        } else {
            return Ok(());
        };
        Err(Error::new(ErrorKind::Config, "rpc", "bind", fault))
    }
}
