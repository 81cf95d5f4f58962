//! A connection of one's own.

use crate::{
    Frame, Redis,
    error::{error, redirection, refusal},
    reply,
    request::Request,
    task::Task,
};
use braid_core::{Error, ErrorKind, Result};
use fred::{
    clients::Client,
    interfaces::{ClientLike, ClusterInterface},
    types::{
        CustomCommand, Value,
        config::{Options, Server},
    },
};
use futures_util::future::join;
use std::{fmt, time::Duration};

/// How often one command follows a redirection.
const REDIRECTIONS: u32 = 5;

/// One connection, for commands that block or belong together. It is never made again: when it is lost every command fails, and
/// [`Redis::dedicated`] makes another one.
///
/// Several commands may be under way at once: they are pipelined, in the order of their first polls. Dropping it closes the connection,
/// also while the server blocks on it; what is under way is answered with `Indeterminate`.
pub struct Dedicated {
    redis: Redis,
    client: Client,
    task: Task,
}

impl Dedicated {
    pub(crate) async fn connect(redis: &Redis, slot: u16) -> Result<Self> {
        let server = redis.node(slot).await?;
        Self::to(redis, server).await
    }

    async fn to(redis: &Redis, server: Option<Server>) -> Result<Self> {
        let client = redis.0.settings.dedicated_client(server);
        let task = redis.open(&client).await?;
        Ok(Self {
            redis: redis.clone(),
            client,
            task,
        })
    }

    /// Sends one command and waits for its reply, for `within` at most; a command that blocks must be given more than it blocks for.
    /// The reply is never an error.
    ///
    /// # Errors
    /// As of [`Redis::command`]. `Unavailable` with the code `MOVED`: another node holds the slot now, make another connection.
    /// After a `Timeout` the command is still under way, and later ones wait for it.
    ///
    /// # Cancel safety
    /// What was sent happens all the same; the reply is lost. Drop the connection too if that matters.
    pub async fn command(
        &self,
        name: &'static str,
        args: Vec<Value>,
        within: Duration,
    ) -> Result<Frame> {
        let component = self.redis.0.component;
        if self.task.is_finished() {
            return Err(self.unsent(name));
        }
        let options = Options {
            timeout: Some(within),
            ..Options::default()
        };
        let client = self.client.with_options(&options);
        let command = CustomCommand::new_static(name, 0_u16, false);
        let result = tokio::select! {
            biased;
            result = client.custom_raw(command, args) => result,
            // fred keeps its queue when its task ends, so that a command put there in that moment would wait for its timeout.
            _ = self.task.ended() => {
                let text = "the connection was lost; the command may have been done";
                return Err(self.redis.fail(ErrorKind::Indeterminate, name, text));
            }
        };
        let address = &self.redis.0.settings.address;
        let frame = result.map_err(|failed| {
            let error = error(component, name, address, &failed);
            // It was still in the queue when the connection ended.
            if error.kind() == ErrorKind::Closed {
                self.unsent(name)
            } else {
                error
            }
        })?;
        match reply::as_error(&frame) {
            None => Ok(frame),
            Some(text) => {
                if text.starts_with("MOVED") {
                    self.redis.refresh();
                }
                Err(refusal(component, name, address, &text))
            }
        }
    }

    fn unsent(&self, name: &'static str) -> Error {
        let text = "the connection was lost before; nothing was sent";
        self.redis.fail(ErrorKind::Unavailable, name, text)
    }

    /// Whether the connection has been lost.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.task.is_finished()
    }
}

impl fmt::Debug for Dedicated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dedicated")
            .field("component", &self.redis.0.component)
            .field("lost", &self.is_lost())
            .finish_non_exhaustive()
    }
}

/// Sends a command to wherever the cluster says, over connections made for it: for a slot that is just moving from one node to
/// another. None of the nodes that point elsewhere has executed it.
pub(crate) async fn follow(
    redis: &Redis,
    operation: &'static str,
    request: Request,
) -> Result<Frame> {
    let (name, slot, args) = request.into_parts();
    let within = redis.0.settings.command_timeout;
    let mut connection = Dedicated::connect(redis, slot).await?;
    let mut ask = false;
    for _ in 0..REDIRECTIONS {
        let command = connection.command(name, args.clone(), within);
        let result = if ask {
            let (asked, result) =
                join(connection.command("ASKING", Vec::new(), within), command).await;
            asked.and(result)
        } else {
            command.await
        };
        let Err(error) = result else { return result };
        let Some((asks, host, port)) = redirection(&error) else {
            return Err(error);
        };
        let server = server(redis, &connection, host, port);
        ask = asks;
        connection = Dedicated::to(redis, Some(server)).await?;
    }
    let text = "the slot keeps moving; nothing was done";
    Err(redis.fail(ErrorKind::Unavailable, operation, text))
}

/// The node that a redirection names, with the name that its certificate must have. Without a host it is that of the node that said so.
fn server(redis: &Redis, from: &Dedicated, host: &str, port: u16) -> Server {
    let host = if host.is_empty() {
        let hosts = from.client.client_config().server.hosts();
        hosts.first().map(|server| server.host.to_string())
    } else {
        Some(host.to_owned())
    }
    .unwrap_or_default();
    let state = redis.0.client.cached_cluster_state();
    state
        .map(|state| state.unique_primary_nodes())
        .unwrap_or_default()
        .into_iter()
        .find(|server| *server.host == *host && server.port == port)
        .unwrap_or_else(|| Server::new(host, port))
}
