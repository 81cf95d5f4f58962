//! A TCP proxy that makes faults between a client and its server (feature `proxy`).
//!
//! ```
//! # use std::time::Duration;
//! # use tokio::{io::{AsyncReadExt, AsyncWriteExt}, net::{TcpListener, TcpStream}};
//! # braid_testkit::real_time().block_on(async {
//! # let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
//! let proxy = braid_testkit::proxy::Proxy::start(server.local_addr().unwrap()).await;
//! let mut client = TcpStream::connect(proxy.addr()).await.unwrap();
//! proxy.delay(Duration::from_millis(20));
//! client.write_all(b"late, but all of it").await.unwrap();
//! let passed = async || proxy.bytes_from_clients() == 19;
//! braid_testkit::eventually("all of it", Duration::from_secs(5), passed).await;
//! proxy.cut();
//! assert!(client.read_u8().await.is_err());
//! # });
//! ```
//!
//! It works in real time, and its tasks belong to the runtime that it was started on.

mod link;
mod state;

use self::state::{Door, Shared};
use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::task::AbortOnDropHandle;

/// A TCP proxy on a loopback port. Dropping it closes the port and all connections.
#[derive(Debug)]
#[must_use = "a proxy that is dropped is closed"]
pub struct Proxy {
    addr: SocketAddr,
    shared: Arc<Shared>,
    _task: AbortOnDropHandle<()>,
}

impl Proxy {
    /// A proxy before this server, which passes on everything. A connection to the server is made for each one of a client.
    ///
    /// # Panics
    /// When there is no free port.
    pub async fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("there is a free port");
        let addr = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared::new(server));
        let task = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Self {
            addr,
            shared,
            _task: AbortOnDropHandle::new(task),
        }
    }

    /// Where clients connect to.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// From now on bytes arrive this much later, in each direction; zero for at once. It limits no throughput.
    pub fn delay(&self, delay: Duration) {
        self.shared.state().delay = delay;
    }

    /// From now on at most this many bytes a second pass, per connection and direction; `None` for any number.
    pub fn throttle(&self, bytes_per_second: impl Into<Option<u32>>) {
        self.shared.state().throttle = bytes_per_second.into();
    }

    /// Resets all connections (RST), on both sides. New ones are taken. One over which nothing has come back yet may be new: a client
    /// can connect before the proxy has seen it.
    pub fn cut(&self) {
        self.shared.state().links(|link| link.cut.cancel());
    }

    /// From now on new connections are reset as soon as they are there. Those that are open stay.
    pub fn refuse(&self) {
        self.shared.state().door = Door::Refuse;
    }

    /// From now on nothing passes and nobody is told, as when the other host has vanished: open connections stay, and new ones are
    /// taken without reaching the server. What is sent gets lost.
    pub fn half_open(&self) {
        let mut state = self.shared.state();
        state.door = Door::Silent;
        state.links(link::Link::silence);
    }

    /// New connections reach the server again. Those that went silent stay silent for ever, until they are closed or
    /// [`cut`](Self::cut): bytes of theirs are lost.
    pub fn heal(&self) {
        self.shared.state().door = Door::Open;
    }

    /// Once: the next request that holds these bytes is passed on, and when its answer comes, that is swallowed and the connection
    /// reset, on both sides. So the server has done what the client will never learn of. No bytes at all mean any request.
    ///
    /// The bytes are looked for in what arrives together, so a mark close to the request's beginning is sure to be found. Requests that
    /// the client sent on this connection before should have been answered: their answer would be taken for this one's.
    pub fn swallow_next_reply_and_cut(&self, mark: impl AsRef<[u8]>) {
        self.shared.state().swallow = Some(mark.as_ref().to_vec());
    }

    /// How many connections of clients are open.
    #[must_use]
    pub fn connections(&self) -> usize {
        let mut count = 0;
        self.shared.state().links(|_| count += 1);
        count
    }

    /// How many bytes clients have sent, swallowed ones too.
    #[must_use]
    pub fn bytes_from_clients(&self) -> u64 {
        self.shared.from_clients.sum()
    }

    /// How many bytes the server has sent, swallowed ones too.
    #[must_use]
    pub fn bytes_from_server(&self) -> u64 {
        self.shared.from_server.sum()
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    // Ends with this future: an open proxy has an owner, and so has each of its connections.
    let mut links = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                // A client that is gone already.
                let Ok((client, _)) = accepted else { continue };
                links.spawn(link::run(client, Arc::clone(&shared)));
            }
            Some(_) = links.join_next() => {}
        }
    }
}
