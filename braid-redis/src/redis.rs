//! The handle that a component keeps.

use crate::{
    Dedicated, Frame, RedisConfig, Script, ServerVersion, connect, dedicated,
    error::{code, error, redirected, refusal},
    reply,
    request::Request,
    settings::Settings,
    task::{Ended, Task},
    under_way::UnderWay,
};
use braid_core::{Error, ErrorKind, Result};
use fred::{
    clients::Client,
    error::{Error as FredError, ErrorKind as FredKind},
    interfaces::ClientLike,
    types::{Key, Value},
};
use futures_util::FutureExt;
use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    task::AbortHandle,
    time::{Instant, timeout},
};

/// Between two reconnects that errors ask for.
const RECONNECT_PAUSE: Duration = Duration::from_secs(1);

/// Redis, as a component uses it. A clone is the same connection.
///
/// Commands are pipelined over one connection (one per node of a cluster). Each is written once: a command whose connection was lost is
/// answered with [`Indeterminate`](ErrorKind::Indeterminate) and never sent again. Lost connections are made again, for ever.
#[derive(Clone)]
pub struct Redis(pub(crate) Arc<Shared>);

pub(crate) struct Shared {
    pub(crate) component: &'static str,
    pub(crate) settings: Settings,
    pub(crate) client: Client,
    task: Task,
    under_way: UnderWay<Request, Result<Frame, FredError>>,
    server: ServerVersion,
    /// Replies of any kind. While it stands still, nothing comes from the server.
    replies: AtomicU64,
    last_reconnect: Mutex<Option<Instant>>,
    dedicated: Mutex<Vec<(AbortHandle, Ended)>>,
}

impl Redis {
    /// Connects, for `component`, which errors then name.
    ///
    /// # Errors
    /// At once: `Config`, for a configuration that can't be used, and for refused credentials, certificates or commands; `Unsupported`, for
    /// a server before Redis 7.0. After [`start_timeout`](RedisConfig::start_timeout): `Unavailable`, if the server is away.
    ///
    /// # Cancel safety
    /// A dropped call leaves no connection.
    pub async fn connect(config: &RedisConfig, component: &'static str) -> Result<Self> {
        connect::connect(config, component).await
    }

    pub(crate) fn new(
        component: &'static str,
        settings: Settings,
        client: Client,
        task: Task,
        server: ServerVersion,
    ) -> Self {
        let under_way = UnderWay::new(settings.command_timeout, {
            let client = client.clone();
            move |clerk| {
                let client = client.clone();
                async move {
                    loop {
                        let request: Request = clerk.next().await;
                        clerk.answer(request.send(&client).await);
                    }
                }
            }
        });
        Self(Arc::new(Shared {
            component,
            settings,
            client,
            task,
            under_way,
            server,
            replies: AtomicU64::new(0),
            last_reconnect: Mutex::new(None),
            dedicated: Mutex::new(Vec::new()),
        }))
    }

    /// The client itself. While it has no connection its commands wait, and on a cluster it doesn't follow redirections;
    /// [`error`](crate::error()) translates its errors.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.0.client
    }

    /// Whether there is a connection, as far as is known. A loss is noticed when it is read, or after the command timeout.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.0.client.is_connected() && !self.0.task.is_finished()
    }

    /// Waits for a connection, for the command timeout at most.
    ///
    /// # Errors
    /// `Unavailable`, if there is none; nothing was sent then. `Closed`, if there won't be one.
    ///
    /// # Cancel safety
    /// It can be dropped at any time.
    pub async fn ready(&self, operation: &'static str) -> Result<()> {
        if self.is_connected() {
            return Ok(());
        }
        let within = self.0.settings.command_timeout;
        match timeout(within, self.0.task.connected(&self.0.client)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(self.fail(ErrorKind::Closed, operation, "the client was closed")),
            Err(_) => {
                let text = format!("not connected within {within:?}; nothing was sent");
                Err(self.fail(ErrorKind::Unavailable, operation, &text))
            }
        }
    }

    /// Sends one command and waits for its reply. `slot` says which node of a cluster gets it; subcommands are the first arguments.
    ///
    /// The command must not block on the server: whatever is behind it on the connection would wait. The reply is never an error.
    ///
    /// # Errors
    /// See [`error`](crate::error()); the operation is the command's name.
    ///
    /// # Cancel safety
    /// What was sent happens all the same; the reply is lost.
    pub fn command(
        &self,
        name: &'static str,
        slot: u16,
        args: Vec<Value>,
    ) -> impl Future<Output = Result<Frame>> + Send + '_ {
        self.call(name, Request::Any { name, slot, args })
    }

    /// Appends an entry to a stream: XADD, with an id of the server's, which is the reply. `slot` is the stream's.
    ///
    /// Several at once cost the client a fraction of what [`command`](Self::command) costs: it writes to its socket for each.
    ///
    /// # Errors
    /// As of [`command`](Self::command).
    ///
    /// # Cancel safety
    /// As of [`command`](Self::command).
    pub fn append(
        &self,
        slot: u16,
        stream: Key,
        fields: Vec<(Key, Value)>,
    ) -> impl Future<Output = Result<Frame>> + Send + '_ {
        let request = Request::Append {
            slot,
            stream,
            fields,
        };
        self.call("XADD", request)
    }

    /// Runs a script by its digest, and by its text if the server doesn't know it yet: nothing ran then.
    ///
    /// # Errors
    /// As of [`command`](Self::command); the operation is the script's name.
    ///
    /// # Cancel safety
    /// As of [`command`](Self::command).
    pub async fn run(
        &self,
        script: &Script,
        slot: u16,
        keys: Vec<Value>,
        args: Vec<Value>,
    ) -> Result<Frame> {
        let mut all = Vec::with_capacity(2 + keys.len() + args.len());
        all.push(script.digest());
        all.push(Value::Integer(
            i64::try_from(keys.len()).unwrap_or(i64::MAX),
        ));
        all.extend(keys);
        all.extend(args);
        let again = all.clone();
        let by = |name, args| self.call(script.name(), Request::Any { name, slot, args });
        let result = match by("EVALSHA", all).await {
            Err(unknown) if code(&unknown) == Some("NOSCRIPT") => {
                let mut all = again;
                all[0] = Value::from_static_str(script.source());
                Box::pin(by("EVAL", all)).await
            }
            other => other,
        };
        result.map_err(|error| script.explain(error))
    }

    /// A connection of its own to the node that holds `slot` now, for commands that block.
    ///
    /// # Errors
    /// `Unavailable`, if it can't be made now; `Config`, if the server refuses it.
    ///
    /// # Cancel safety
    /// A dropped call leaves no connection.
    pub async fn dedicated(&self, slot: u16) -> Result<Dedicated> {
        Dedicated::connect(self, slot).await
    }

    /// Which server it is.
    #[must_use]
    pub fn server(&self) -> &ServerVersion {
        &self.0.server
    }

    /// Waits for the replies that are due, for the command timeout at most, and ends every connection, dedicated ones too.
    /// Then no task of this handle is left. Commands fail with `Closed` from then on.
    ///
    /// # Cancel safety
    /// A dropped call may leave connections until the last clone of the handle is dropped.
    pub async fn close(&self) {
        let shared = &*self.0;
        shared.under_way.close().await;
        if self.is_connected() {
            let quit = timeout(shared.settings.command_timeout, shared.client.quit());
            if let Ok(Ok(())) = quit.await {
                // The task ends by itself, as soon as the socket is closed.
                let _ = timeout(shared.settings.command_timeout, shared.task.ended()).await;
            }
        }
        shared.task.abort();
        shared.task.ended().await;
        let dedicated = std::mem::take(&mut *lock(&shared.dedicated));
        for (abort, _) in &dedicated {
            abort.abort();
        }
        for (_, ended) in dedicated {
            ended.await;
        }
    }

    /// Connects a client of one connection, which `close` ends.
    pub(crate) async fn open(&self, client: &Client) -> Result<Task> {
        let shared = &*self.0;
        let task = Task::new(client.connect());
        {
            let mut dedicated = lock(&shared.dedicated);
            dedicated.retain(|(abort, _)| !abort.is_finished());
            dedicated.push((task.abort_handle(), task.ended()));
        }
        // `close` ends the shared task before those that it finds registered.
        if shared.task.is_finished() {
            return Err(self.fail(ErrorKind::Closed, "connect", "the client was closed"));
        }
        let within = 2 * shared.settings.connect_timeout;
        let error = match timeout(within, task.connected(client)).await {
            Ok(Ok(())) => return Ok(task),
            Ok(Err(failed)) => {
                let address = &shared.settings.address;
                connect::failure(shared.component, address, failed.as_ref()).into_error()
            }
            Err(_) => {
                let text = format!("no connection within {within:?}");
                self.fail(ErrorKind::Unavailable, "connect", &text)
            }
        };
        // Its slots may be another node's by now.
        self.refresh();
        Err(error)
    }

    pub(crate) fn fail(&self, kind: ErrorKind, operation: &'static str, text: &str) -> Error {
        let message = format!("{}: {text}", self.0.settings.address);
        Error::new(kind, self.0.component, operation, message)
    }

    async fn call(&self, operation: &'static str, mut request: Request) -> Result<Frame> {
        if !self.is_connected() {
            Box::pin(self.ready(operation)).await?;
        }
        let mut again = self.0.settings.is_clustered().then(|| request.clone());
        let mut redirections = 0;
        loop {
            let before = self.0.replies.load(Ordering::Relaxed);
            let result = self.0.under_way.send(request).await.unwrap_or_else(overdue);
            self.observe(before, &result);
            match again.take() {
                // Sent to a node without its slot, so that nothing was done. fred's table is fresh after MOVED.
                Some(same) if result.as_ref().is_err_and(redirected) => {
                    redirections += 1;
                    if redirections > 1 {
                        return Box::pin(dedicated::follow(self, operation, same)).await;
                    }
                    request = same.clone();
                    again = Some(same);
                }
                _ => return self.conclude(operation, result),
            }
        }
    }

    fn conclude(&self, operation: &'static str, result: Result<Frame, FredError>) -> Result<Frame> {
        let (component, address) = (self.0.component, &self.0.settings.address);
        let frame = result.map_err(|failed| error(component, operation, address, &failed))?;
        match reply::as_error(&frame) {
            None => Ok(frame),
            Some(text) => Err(refusal(component, operation, address, &text)),
        }
    }

    /// Learns from a reply, or from its absence: `before` are the replies that had come when the command was sent.
    fn observe(&self, before: u64, result: &Result<Frame, FredError>) {
        match result {
            Ok(frame) => {
                self.0.replies.fetch_add(1, Ordering::Relaxed);
                if matches!(frame, Frame::SimpleError { data, .. } if is_demoted(data)) {
                    self.reconnect();
                }
            }
            // The same as an error of fred's.
            Err(error) if is_demoted(error.details()) => self.reconnect(),
            Err(error) if *error.kind() == FredKind::Timeout => {
                if self.0.settings.is_clustered() {
                    // Other nodes may know who took the silent one's slots.
                    self.refresh();
                } else if self.0.replies.load(Ordering::Relaxed) == before {
                    self.reconnect();
                }
            }
            Err(_) => {}
        }
    }

    /// Makes the connection again: the server is silent, or no primary any more.
    fn reconnect(&self) {
        if self.may_reconnect(RECONNECT_PAUSE) {
            tracing::info!(component = self.0.component, "connecting to redis anew");
            // The request is on its way after the first look; the rest is only waiting.
            let _ = self.0.client.force_reconnection().now_or_never();
        }
    }

    pub(crate) fn may_reconnect(&self, pause: Duration) -> bool {
        let mut last = lock(&self.0.last_reconnect);
        let now = Instant::now();
        let may = last.is_none_or(|last| now.duration_since(last) >= pause);
        if may {
            *last = Some(now);
        }
        may
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis")
            .field("component", &self.0.component)
            .field("address", &self.0.settings.address)
            .field("server", &self.0.server)
            .field("connected", &self.is_connected())
            .finish_non_exhaustive()
    }
}

fn overdue() -> Result<Frame, FredError> {
    Err(FredError::new(FredKind::Timeout, "no reply in time"))
}

fn is_demoted(error: &str) -> bool {
    error.starts_with("READONLY") || error.starts_with("MASTERDOWN")
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
