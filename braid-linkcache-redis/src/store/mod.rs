//! What is asked of the server, each in one step there.

mod fleet;
mod nodes;
mod replies;
mod tokens;

pub(crate) use self::{
    nodes::Mark,
    tokens::{Claimed, Held, Moved},
};

use crate::{
    config::LinkCacheConfig,
    error::NAME,
    keys::{Buckets, Common, Known, Namespace},
};
use braid_core::{Error, ErrorKind, Result, ServiceName};
use braid_redis::{Frame, Redis, Script, Value, during};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use std::{
    sync::{Arc, PoisonError, RwLock, atomic::AtomicBool},
    time::Duration,
};
use tokio::time::timeout;

/// How long anything waits for a connection. Longer than one takes to be made again when the server is there, far shorter than users
/// wait.
const CONNECTED: Duration = Duration::from_millis(250);

/// How many commands of one look at all buckets are under way at a time.
const AT_A_TIME: usize = 32;

#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) redis: Redis,
    namespace: Namespace,
    /// Hears which links have ended.
    pub(crate) channel: Bytes,
    common: Common,
    buckets: u16,
    ttl: Duration,
    known: RwLock<Known>,
    /// The server may have been emptied since this process has listed its services.
    unlisted: AtomicBool,
}

/// A bucket of a service, by its number.
pub(crate) type Place = (Arc<Buckets>, usize);

impl Store {
    pub(crate) fn new(redis: Redis, config: &LinkCacheConfig) -> Self {
        let namespace = Namespace::new(&config.namespace);
        Self {
            redis,
            channel: namespace.channel(),
            common: Common::new(&namespace),
            namespace,
            buckets: config.buckets,
            ttl: config.ttl,
            known: RwLock::default(),
            unlisted: AtomicBool::new(false),
        }
    }

    /// All buckets of all services.
    pub(crate) async fn everywhere(&self) -> Result<Vec<Place>> {
        let services = self.services().await?;
        let buckets = services.iter().map(|service| self.buckets_of(service));
        Ok(buckets.flat_map(|buckets| places(&buckets)).collect())
    }

    fn buckets_of(&self, service: &ServiceName) -> Arc<Buckets> {
        {
            let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(buckets) = known.get(service) {
                return buckets;
            }
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.insert(&self.namespace, service, self.buckets)
    }

    /// Does something in many buckets, some at a time.
    async fn each<T, F>(
        &self,
        all: Vec<Place>,
        work: impl Fn(Place) -> F,
    ) -> Result<Vec<(Place, T)>>
    where
        F: Future<Output = Result<T>>,
    {
        let done = all.into_iter().map(|place| {
            let done = work(place.clone());
            async move {
                match done.await {
                    Ok(done) => Ok((place, done)),
                    Err(error) => Err(about(error.operation(), &place.0.service, error)),
                }
            }
        });
        stream::iter(done)
            .buffer_unordered(AT_A_TIME)
            .try_collect()
            .await
    }

    pub(crate) async fn command(
        &self,
        name: &'static str,
        slot: u16,
        args: Vec<Value>,
    ) -> Result<Frame> {
        self.connected(name).await?;
        self.redis.command(name, slot, args).await
    }

    async fn run(
        &self,
        script: &Script,
        slot: u16,
        keys: Vec<Value>,
        args: Vec<Value>,
    ) -> Result<Frame> {
        self.connected(script.name()).await?;
        self.redis.run(script, slot, keys, args).await
    }

    /// Fails soon when there is no connection: nobody waits for a server that is away.
    async fn connected(&self, operation: &'static str) -> Result<()> {
        if self.redis.is_connected() {
            return Ok(());
        }
        match timeout(CONNECTED, self.redis.ready(operation)).await {
            Ok(ready) => ready,
            Err(_) => {
                let text = format!("redis: not connected within {CONNECTED:?}; nothing was sent");
                Err(Error::new(ErrorKind::Unavailable, NAME, operation, text))
            }
        }
    }

    fn ttl(&self) -> Value {
        millis(self.ttl)
    }
}

fn places(buckets: &Arc<Buckets>) -> Vec<Place> {
    let numbers = 0..buckets.all.len();
    numbers
        .map(|number| (Arc::clone(buckets), number))
        .collect()
}

fn millis(duration: Duration) -> Value {
    i64::try_from(duration.as_millis())
        .unwrap_or(i64::MAX)
        .into()
}

/// Names the service, never the token.
fn about(operation: &'static str, service: &ServiceName, error: Error) -> Error {
    during(NAME, operation, format!("links of `{service}`"), error)
}
