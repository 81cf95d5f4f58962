//! A connection, from the handshake to its end.

use super::greeting::Greeting;
use crate::{client::config::ClientConfig, tasks::Tasks};
use bytes::Bytes;
use h2::{
    Ping, PingPong,
    client::{Builder, SendRequest},
};
use socket2::{SockRef, TcpKeepalive};
use std::{
    net::SocketAddr,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};
use tokio::{
    net::TcpStream,
    time::{Instant, sleep, timeout},
};

/// How long a probed node may take to answer.
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// The system probes a silent connection after this time, and so often after that.
const TCP_KEEP_ALIVE: TcpKeepalive = TcpKeepalive::new()
    .with_time(Duration::from_secs(15))
    .with_interval(Duration::from_secs(5));

/// What the system could not deliver for so long ends the connection.
#[cfg(target_os = "linux")]
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(30);

/// How much of a stream, and of a connection, a node may send ahead of its reader. As hyper's client has them: the standard's 64 KiB
/// hold up large messages.
const STREAM_WINDOW: u32 = 2 << 20;
const CONNECTION_WINDOW: u32 = 5 << 20;

/// How many streams are opened before the peer has said how many it takes: what the standard asks peers to take at least.
const FIRST_STREAMS: usize = 100;

/// How much of a stream is buffered before its body has to wait.
const SEND_BUFFER: usize = 1 << 20;

/// The largest header list that is taken, in bytes.
const MAX_HEADERS: u32 = 16 << 10;

/// An open connection. Whoever has a request on it holds a reference.
#[derive(Debug)]
pub(in crate::client) struct Connection {
    sender: SendRequest<Bytes>,
    opened: Instant,
    closed: AtomicBool,
}

impl Connection {
    /// A handle for one request; `None` when the connection takes no more: it is broken, or its peer has said that it goes away.
    pub(super) fn sender(&self) -> Option<SendRequest<Bytes>> {
        let mut sender = self.sender.clone();
        // A handle of one request has no earlier one to wait for: the answer is there at once.
        let mut context = Context::from_waker(Waker::noop());
        match sender.poll_ready(&mut context) {
            Poll::Ready(Ok(())) => Some(sender),
            Poll::Ready(Err(_)) | Poll::Pending => None,
        }
    }

    pub(in crate::client) fn opened(&self) -> Instant {
        self.opened
    }

    /// It gets no more requests.
    pub(in crate::client) fn is_closed(&self) -> bool {
        self.closed.load(Relaxed)
    }

    pub(in crate::client) fn close(&self) {
        self.closed.store(true, Relaxed);
    }

    /// Has requests under way.
    fn is_busy(self: &Arc<Self>) -> bool {
        // Beside this reference there is the pool's, until it gives the connection up.
        let idle = if self.is_closed() { 1 } else { 2 };
        Arc::strong_count(self) > idle
    }
}

/// Makes a connection. `on_end` is called once, when it has ended, however it ends.
///
/// # Errors
/// Why there is none.
pub(in crate::client) async fn connect(
    address: SocketAddr,
    config: &ClientConfig,
    tasks: &Tasks,
    on_end: impl FnOnce(&Arc<Connection>) + Send + 'static,
) -> Result<Arc<Connection>, String> {
    let stream = TcpStream::connect(address)
        .await
        .map_err(|error| error.to_string())?;
    tune(&stream);
    let (stream, greeted) = Greeting::new(stream);
    let mut http = Builder::new();
    http.enable_push(false)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(MAX_HEADERS)
        .initial_max_send_streams(FIRST_STREAMS)
        .max_send_buffer_size(SEND_BUFFER);
    let (sender, mut connection) = http
        .handshake(stream)
        .await
        .map_err(|error| error.to_string())?;
    let pings = connection.ping_pong();
    let open = Arc::new(Connection {
        sender,
        opened: Instant::now(),
        closed: AtomicBool::new(false),
    });
    let ended = Ended {
        connection: Arc::downgrade(&open),
        on_end: Some(on_end),
    };
    let probed = keep_alive(pings, config.keep_alive, Arc::downgrade(&open));
    tasks.spawn(async move {
        let _ended = ended;
        let result = tokio::select! {
            result = connection => result.map_err(|error| error.to_string()),
            () = probed => Err(format!("no answer within {PING_TIMEOUT:?}")),
        };
        if let Err(error) = result {
            tracing::debug!(%address, %error, "connection failed");
        }
    });
    // Nothing is sent before that, so that a connection that nobody accepted loses no call.
    greeted
        .await
        .map_err(|_| "closed without a greeting".to_owned())?;
    Ok(open)
}

/// What a system can't do is left out: calls go on all the same.
fn tune(stream: &TcpStream) {
    // Small messages aren't held back.
    let _ = stream.set_nodelay(true);
    let socket = SockRef::from(stream);
    let _ = socket.set_tcp_keepalive(&TCP_KEEP_ALIVE);
    #[cfg(target_os = "linux")]
    let _ = socket.set_tcp_user_timeout(Some(TCP_USER_TIMEOUT));
}

/// Probes a connection that has calls in flight; returns when there is no answer.
async fn keep_alive(
    pings: Option<PingPong>,
    interval: Option<Duration>,
    connection: Weak<Connection>,
) {
    let (Some(mut pings), Some(interval)) = (pings, interval) else {
        return std::future::pending().await;
    };
    loop {
        sleep(interval).await;
        let Some(connection) = connection.upgrade() else {
            return std::future::pending().await;
        };
        if connection.is_busy() {
            match timeout(PING_TIMEOUT, pings.ping(Ping::opaque())).await {
                Ok(Ok(_)) => {}
                // The connection's own end tells why.
                Ok(Err(_)) => std::future::pending().await,
                Err(_) => return,
            }
        }
    }
}

/// Tells of the end when the connection's task is over, or is cancelled.
struct Ended<F: FnOnce(&Arc<Connection>)> {
    connection: Weak<Connection>,
    on_end: Option<F>,
}

impl<F: FnOnce(&Arc<Connection>)> Drop for Ended<F> {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.upgrade()
            && let Some(on_end) = self.on_end.take()
        {
            connection.close();
            on_end(&connection);
        }
    }
}
