//! The client's configuration.

use braid_core::{Error, ErrorKind, Result};
use std::time::Duration;

/// How a [`Client`](super::Client) calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientConfig {
    /// How long a call by name may take that doesn't say so itself. For calls of typed clients, which may be streams, it bounds the way to
    /// a node only: from when the request is on its way they have no timeout but their own. Default 10 s.
    pub timeout: Duration,
    /// How long a connection may take to be made. Default 2 s.
    pub connect_timeout: Duration,
    /// How long a call waits for the one node that it must go to (it is linked there, or names it) when discovery doesn't show that node:
    /// the caller's view may lag behind. Default 500 ms.
    pub node_wait: Duration,
    /// After how long a silence a connection with calls in flight is probed; it is closed when 10 s more bring no answer. `None`: never.
    /// grpc-go's servers, unless told otherwise, refuse probes more often than every five minutes. Default 30 s.
    pub keep_alive: Option<Duration>,
    /// The largest message that `send` sends, in bytes. Default 4 MiB.
    pub max_request: usize,
    /// The largest message that is taken as a reply, in bytes. Typed clients have a limit of their own (4 MiB unless
    /// `max_decoding_message_size` says otherwise): the smaller one counts. Default 4 MiB.
    pub max_response: usize,
    /// Compresses what `send` sends with gzip; the other side has to accept that. Compressed replies are always read. Default false.
    pub gzip: bool,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(2),
            node_wait: Duration::from_millis(500),
            keep_alive: Some(Duration::from_secs(30)),
            max_request: 4 << 20,
            max_response: 4 << 20,
            gzip: false,
        }
    }
}

impl ClientConfig {
    pub(super) fn validate(&self) -> Result<()> {
        let fault = if self.timeout.is_zero() || self.connect_timeout.is_zero() {
            "no call can be made in no time: `timeout` and `connect_timeout` are above zero"
        } else if self.max_request == 0 || self.max_response == 0 {
            "a limit of 0 bytes lets no message through"
        } else if self.keep_alive == Some(Duration::ZERO) {
            "`keep_alive` is zero: `None` switches it off"
        } else {
            return Ok(());
        };
        Err(Error::new(ErrorKind::Config, "rpc", "client", fault))
    }
}
