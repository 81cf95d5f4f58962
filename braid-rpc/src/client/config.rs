//! The client's configuration.

use super::backoff::Backoff;
use braid_balancer::{BalancerConfig, PolicyKind};
use braid_core::{Error, ErrorKind, Result};
use std::time::Duration;

/// How a [`Client`](super::Client) calls.
#[derive(Clone, Debug, PartialEq)]
pub struct ClientConfig {
    /// How long a call by name may take that doesn't say so itself. For calls of typed clients, which may be streams, it bounds the way to
    /// a node only: from when the request is on its way they have no timeout but their own. Default 10 s.
    pub timeout: Duration,
    /// How long a connection may take to be made. Default 2 s.
    pub connect_timeout: Duration,
    /// How long a call waits for the one node that it must go to (it is linked there, or names it) when discovery doesn't show that node:
    /// the caller's view may lag behind. Default 500 ms.
    pub node_wait: Duration,
    /// How often a connection with calls in flight is probed by an HTTP/2 ping; it is closed when 10 s bring no answer. `None`: never.
    /// Whatever is set, the system probes silent connections (TCP keep-alive after 15 s, and 30 s for what isn't acknowledged), which
    /// finds a host that is gone; the ping finds a process that is frozen. Servers on grpc-go, unless told otherwise, take a ping every five
    /// minutes and cut connections that send more while they answer nothing. Default 5 min 10 s.
    pub keep_alive: Option<Duration>,
    /// The most connections to one node. Default 4.
    pub max_connections: usize,
    /// With more calls in flight to a node than this for each of its connections, one more is made. Default 100, which is what servers
    /// commonly allow as streams of one connection.
    pub calls_per_connection: usize,
    /// How long to wait before a node that couldn't be reached is tried again.
    pub backoff: Backoff,
    /// Picks among a service's nodes, unless the service has a policy of its own. Default smooth weighted round-robin.
    pub policy: PolicyKind,
    /// Which of a service's nodes take part: slow start, zone, subset. By default all do, at once.
    pub balancing: BalancerConfig,
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
            keep_alive: Some(Duration::from_secs(310)),
            max_connections: 4,
            calls_per_connection: 100,
            backoff: Backoff::default(),
            policy: PolicyKind::default(),
            balancing: BalancerConfig::default(),
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
        } else if self.max_connections == 0 || self.calls_per_connection == 0 {
            "no call can be made without a connection: `max_connections` and `calls_per_connection` are above zero"
        } else if self.backoff.max < self.backoff.base {
            "`backoff.max` is below `backoff.base`"
        } else {
            return self.balancing.validate();
        };
        Err(Error::new(ErrorKind::Config, "rpc", "client", fault))
    }
}
