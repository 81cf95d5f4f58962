//! The connection to one node: made at the first call, and again whenever it is gone.

use super::{config::ClientConfig, greeting::Greeting};
use crate::tasks::Tasks;
use braid_balancer::Endpoint;
use http::{Request, Response, uri::Authority};
use hyper::{
    body::Incoming,
    client::conn::http2::{Builder, SendRequest},
};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{net::TcpStream, sync::watch, time::timeout};
use tonic::body::Body;

/// How long a probed node may take to answer.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// A node's connection. Owned by the node's entry in the balancer's table: calls under way finish after it is dropped.
pub(super) struct Connection(Arc<Shared>);

struct Shared {
    address: SocketAddr,
    authority: Authority,
    config: Arc<ClientConfig>,
    tasks: Tasks,
    state: watch::Sender<State>,
}

enum State {
    Idle,
    Connecting,
    Open(SendRequest<Body>),
    Failed(Arc<str>),
}

impl State {
    fn usable(&self) -> Option<&SendRequest<Body>> {
        match self {
            Self::Open(sender) if !sender.is_closed() => Some(sender),
            _ => None,
        }
    }
}

/// A connection that was open a moment ago.
pub(super) struct Sender {
    sender: SendRequest<Body>,
    pub(super) authority: Authority,
}

/// Why a request got no response.
pub(super) enum SendError {
    /// It never left; here it is again.
    Unsent(Box<Request<Body>>),
    /// The node said that it hasn't looked at it.
    Refused(hyper::Error),
    /// It may have been handled.
    Lost(hyper::Error),
}

impl Endpoint for Connection {}

impl Connection {
    pub(super) fn new(address: SocketAddr, config: Arc<ClientConfig>, tasks: Tasks) -> Self {
        let authority = Authority::try_from(address.to_string())
            .expect("an address and a port are an authority");
        Self(Arc::new(Shared {
            address,
            authority,
            config,
            tasks,
            state: watch::Sender::new(State::Idle),
        }))
    }

    /// The open connection; makes it when there is none. Callers at the same time wait for the same attempt, which goes on when they
    /// don't.
    ///
    /// # Errors
    /// Why the attempt failed.
    pub(super) async fn ready(&self) -> Result<Sender, Arc<str>> {
        let shared = &self.0;
        if let Some(sender) = shared.state.borrow().usable() {
            return Ok(shared.sender(sender));
        }
        let mut state = shared.state.subscribe();
        let is_first = shared.state.send_if_modified(|state| {
            let idle = !matches!(state, State::Connecting) && state.usable().is_none();
            if idle {
                *state = State::Connecting;
            }
            idle
        });
        if is_first {
            let attempt = Attempt(Arc::clone(shared));
            shared.tasks.spawn(attempt.run());
        }
        let state = state.wait_for(|state| !matches!(state, State::Connecting));
        match &*state.await.map_err(|_| "closed")? {
            State::Open(sender) => Ok(shared.sender(sender)),
            State::Failed(why) => Err(Arc::clone(why)),
            State::Idle | State::Connecting => Err("closed".into()),
        }
    }
}

impl Shared {
    fn sender(&self, sender: &SendRequest<Body>) -> Sender {
        Sender {
            sender: sender.clone(),
            authority: self.authority.clone(),
        }
    }
}

impl Sender {
    /// # Cancel safety
    /// Dropping the future resets the stream; the connection stays.
    pub(super) async fn send(
        mut self,
        request: Request<Body>,
    ) -> Result<Response<Incoming>, SendError> {
        let sent = self.sender.try_send_request(request).await;
        sent.map_err(|mut error| match error.take_message() {
            Some(request) => SendError::Unsent(Box::new(request)),
            None => {
                let error = error.into_error();
                if is_refusal(&error) {
                    SendError::Refused(error)
                } else {
                    SendError::Lost(error)
                }
            }
        })
    }
}

/// True when the peer said that it hasn't looked at the request: by REFUSED_STREAM, or by a GOAWAY without an error, which fails the streams
/// beyond the last one that it will look at and no others.
fn is_refusal(error: &hyper::Error) -> bool {
    let source = std::error::Error::source(error);
    let h2 = source.and_then(|source| source.downcast_ref::<h2::Error>());
    h2.is_some_and(|error| match error.reason() {
        Some(h2::Reason::REFUSED_STREAM) => error.is_remote(),
        Some(h2::Reason::NO_ERROR) => error.is_go_away() && error.is_remote(),
        _ => false,
    })
}

/// One attempt to connect. Whoever waits for it learns of its end, however it ends.
struct Attempt(Arc<Shared>);

impl Attempt {
    async fn run(self) {
        let shared = &*self.0;
        let limit = shared.config.connect_timeout;
        let state = match timeout(limit, connect(shared)).await {
            Ok(Ok(sender)) => State::Open(sender),
            Ok(Err(why)) => State::Failed(why.into()),
            Err(_) => State::Failed(format!("no connection within {limit:?}").into()),
        };
        shared.state.send_replace(state);
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.0.state.send_if_modified(|state| {
            let cut_short = matches!(state, State::Connecting);
            if cut_short {
                *state = State::Failed("the client is closed".into());
            }
            cut_short
        });
    }
}

async fn connect(shared: &Shared) -> Result<SendRequest<Body>, String> {
    let stream = TcpStream::connect(shared.address)
        .await
        .map_err(|error| error.to_string())?;
    // Small messages aren't held back; a system that can't do that calls all the same.
    let _ = stream.set_nodelay(true);
    let mut http = Builder::new(shared.tasks.clone());
    http.timer(TokioTimer::new())
        .keep_alive_interval(shared.config.keep_alive)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT);
    let (stream, greeted) = Greeting::new(stream);
    let (sender, connection) = http
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| error.to_string())?;
    let address = shared.address;
    shared.tasks.spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%address, %error, "connection failed");
        }
    });
    // Nothing is sent before that, so that a connection that nobody accepted loses no call.
    greeted
        .await
        .map_err(|_| "closed without a greeting".to_owned())?;
    Ok(sender)
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.0.state.borrow();
        f.debug_struct("Connection")
            .field("address", &self.0.address)
            .field("open", &state.usable().is_some())
            .finish_non_exhaustive()
    }
}
