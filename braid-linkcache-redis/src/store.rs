//! What is asked of the server, each in one step there.

use crate::{
    config::LinkCacheConfig,
    error::{NAME, Refusal, unreadable},
    keys::{Bucket, Buckets, Common, Known, Namespace, owner, owner_text},
    push,
    scripts::{
        CLAIM, CLOSE, COUNT, DOWN, ENTER, LINKS, RELINK, REPORT, RESIGN, SUM, TARGET, TEND, UNLINK,
        WATCH,
    },
};
use braid_core::{Error, ErrorKind, NodeRef, Result, ServiceName, Token};
use braid_redis::{Frame, Redis, Script, Value, during, reply};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use std::{
    collections::BTreeSet,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::time::timeout;

/// How long anything waits for a connection. Longer than one takes to be made again when the server is there, far shorter than users
/// wait.
const CONNECTED: Duration = Duration::from_millis(250);

/// How many links one step ends or forgets at most: about a millisecond of the server's time.
const STEP: i64 = 500;

/// How many commands of one look at all buckets are under way at a time.
const AT_A_TIME: usize = 32;

/// How long it is remembered at least that a node is closed.
const REMEMBERED: Duration = Duration::from_secs(24 * 3600);

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

/// A link as the server has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) node: NodeRef,
    /// Until it ends, unless it is renewed.
    pub(crate) left: Duration,
}

/// What came of a claim.
#[derive(Debug)]
pub(crate) enum Claimed {
    Won,
    Held(Held),
    Refused(Refusal),
}

/// What came of a move.
#[derive(Debug)]
pub(crate) enum Moved {
    Done,
    /// The link isn't the former node's.
    NotHeld,
    Refused(Refusal),
}

/// What a node may be closed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    Draining,
    /// Somebody said so.
    Gone,
    /// Discovery hasn't told of it for the grace period.
    Absent,
}

impl Mark {
    fn member(self, node: &NodeRef) -> String {
        let node = owner_text(node);
        match self {
            Self::Draining => format!("d{node}"),
            Self::Gone => format!("g{node}"),
            Self::Absent => format!("a{node}"),
        }
    }

    fn read(member: &str) -> Option<(NodeRef, Self)> {
        let mark = match member.as_bytes().first()? {
            b'd' => Self::Draining,
            b'g' => Self::Gone,
            b'a' => Self::Absent,
            _ => return None,
        };
        Some((owner(&member[1..])?, mark))
    }
}

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

    // ===== a token's link =====

    pub(crate) async fn target(
        &self,
        token: &Token,
        service: &ServiceName,
    ) -> Result<Option<Held>> {
        let buckets = self.buckets_of(service);
        let bucket = buckets.of(token);
        let keys = vec![bucket.link_of(token).into(), bucket.nodes.clone().into()];
        let args = vec![bucket.held.clone().into(), value(token), self.ttl()];
        let reply = self.run(&TARGET, bucket.slot, keys, args).await;
        held(
            &reply.map_err(|error| about("target", service, error))?,
            0,
            "target",
        )
    }

    /// `known` is why the node gets no new link, as far as this process knows; `replaced` is a holder that is gone.
    pub(crate) async fn claim(
        &self,
        token: &Token,
        service: &ServiceName,
        node: &NodeRef,
        known: Option<Refusal>,
        replaced: Option<&NodeRef>,
    ) -> Result<Claimed> {
        let buckets = self.entered(service).await?;
        let bucket = buckets.of(token);
        let args = vec![
            bucket.held.clone().into(),
            owner_text(node).into(),
            value(token),
            self.ttl(),
            refusal_text(known).into(),
            replaced.map(owner_text).unwrap_or_default().into(),
            push::ended(service, token).into(),
            self.channel.clone().into(),
        ];
        let reply = self
            .run(&CLAIM, bucket.slot, link_keys(bucket, token), args)
            .await;
        let reply = reply.map_err(|error| about("claim", service, error))?;
        match status(&reply) {
            Some("won") => Ok(Claimed::Won),
            Some("held") => match held(&reply, 1, "claim")? {
                Some(held) => Ok(Claimed::Held(held)),
                None => Err(unreadable("claim", "no holder")),
            },
            Some(other) => Ok(Claimed::Refused(refusal("claim", other)?)),
            None => Err(unreadable("claim", "no status")),
        }
    }

    /// `owner`: whoever may hold it; `until`: only a link that was made by then, in milliseconds since 1970. `None` is any.
    pub(crate) async fn unlink(
        &self,
        token: &Token,
        service: &ServiceName,
        owner: Option<&NodeRef>,
        until: Option<u64>,
    ) -> Result<bool> {
        let buckets = self.buckets_of(service);
        let bucket = buckets.of(token);
        let args = vec![
            bucket.held.clone().into(),
            owner.map(owner_text).unwrap_or_default().into(),
            value(token),
            until
                .map(|until| until.to_string())
                .unwrap_or_default()
                .into(),
            push::ended(service, token).into(),
            self.channel.clone().into(),
        ];
        let keys = vec![bucket.link_of(token).into()];
        let reply = self.run(&UNLINK, bucket.slot, keys, args).await;
        let reply = reply.map_err(|error| about("unlink", service, error))?;
        Ok(int("unlink", &reply)? == 1)
    }

    pub(crate) async fn relink(
        &self,
        token: &Token,
        service: &ServiceName,
        from: &NodeRef,
        to: &NodeRef,
        known: Option<Refusal>,
    ) -> Result<Moved> {
        let buckets = self.entered(service).await?;
        let bucket = buckets.of(token);
        let args = vec![
            bucket.held.clone().into(),
            owner_text(from).into(),
            owner_text(to).into(),
            value(token),
            self.ttl(),
            refusal_text(known).into(),
            push::ended(service, token).into(),
            self.channel.clone().into(),
        ];
        let reply = self
            .run(&RELINK, bucket.slot, link_keys(bucket, token), args)
            .await;
        let reply = reply.map_err(|error| about("relink", service, error))?;
        match status(&reply) {
            Some("moved") => Ok(Moved::Done),
            Some("none") => Ok(Moved::NotHeld),
            Some(other) => Ok(Moved::Refused(refusal("relink", other)?)),
            None => Err(unreadable("relink", "no status")),
        }
    }

    // ===== a node's links =====

    /// How many links a node has in each of these buckets; those without any are left out.
    pub(crate) async fn counts(
        &self,
        all: Vec<Place>,
        node: &NodeRef,
    ) -> Result<Vec<(Place, u64)>> {
        let counts = self.each(all, |(buckets, number)| async move {
            let bucket = &buckets.all[number];
            let reply = self.run(
                &COUNT,
                bucket.slot,
                vec![bucket.held_by(node).into()],
                vec![],
            );
            count("count", &reply.await?)
        });
        let mut counts = counts.await?;
        counts.retain(|(_, count)| *count > 0);
        Ok(counts)
    }

    pub(crate) async fn links(
        &self,
        node: &NodeRef,
        limit: usize,
    ) -> Result<Vec<(ServiceName, Token)>> {
        let mut links = Vec::new();
        for (buckets, number) in self.everywhere().await? {
            let left = limit.saturating_sub(links.len());
            if left == 0 {
                break;
            }
            let bucket = &buckets.all[number];
            let left = vec![i64::try_from(left).unwrap_or(i64::MAX).into()];
            let reply = self.run(&LINKS, bucket.slot, vec![bucket.held_by(node).into()], left);
            for token in reply::as_array(&reply.await?).unwrap_or_default() {
                let token = reply::as_text(token).and_then(|token| Token::new(token).ok());
                let token = token.ok_or_else(|| unreadable("links", "a token"))?;
                links.push((buckets.service.clone(), token));
            }
        }
        Ok(links)
    }

    /// Ends all links of a node, in steps.
    pub(crate) async fn down(&self, node: &NodeRef) -> Result<u64> {
        let name = &owner_text(node);
        let ended = self.each(self.everywhere().await?, |(buckets, number)| async move {
            let bucket = &buckets.all[number];
            let mut ended = 0;
            loop {
                let args = vec![
                    bucket.held.clone().into(),
                    bucket.link.clone().into(),
                    name.clone().into(),
                    STEP.into(),
                    push::gone(node).into(),
                    self.channel.clone().into(),
                ];
                let reply = self.run(&DOWN, bucket.slot, vec![bucket.nodes.clone().into()], args);
                let reply = reply.await?;
                let Some([step, left]) = reply::as_array(&reply) else {
                    return Err(unreadable("down", "no two counts"));
                };
                ended += count("down", step)?;
                if count("down", left)? == 0 {
                    return Ok(ended);
                }
            }
        });
        Ok(ended.await?.into_iter().map(|(_, ended)| ended).sum())
    }

    /// Closes a node for new links in all services, those that are listed later too.
    pub(crate) async fn close(&self, node: &NodeRef, mark: Mark) -> Result<()> {
        let marks = &[mark.member(node)];
        self.mark(self.common.slot, self.list_of(mark), marks)
            .await?;
        self.mark_all(self.everywhere().await?, marks).await?;
        Ok(())
    }

    /// The nodes that are marked as absent.
    pub(crate) async fn absent(&self) -> Result<Vec<NodeRef>> {
        let marks = self.marks(&self.common.absent).await?;
        Ok(marks.into_iter().map(|(node, _)| node).collect())
    }

    /// The nodes that somebody has closed.
    pub(crate) async fn marked(&self) -> Result<Vec<(NodeRef, Mark)>> {
        self.marks(&self.common.closed).await
    }

    async fn marks(&self, list: &Bytes) -> Result<Vec<(NodeRef, Mark)>> {
        let all = vec![list.clone().into(), 0.into(), (-1).into()];
        let reply = self.command("ZRANGE", self.common.slot, all).await?;
        let marks = reply::as_array(&reply).unwrap_or_default().iter();
        let marks = marks.map(|mark| {
            let mark = reply::as_text(mark).and_then(Mark::read);
            mark.ok_or_else(|| unreadable("marks", "a node"))
        });
        marks.collect()
    }

    /// A node that was gone is back.
    pub(crate) async fn reopen(&self, node: &NodeRef, mark: Mark) -> Result<()> {
        let member = &mark.member(node);
        let args = |key: &Bytes| vec![key.clone().into(), member.clone().into()];
        let common = args(self.list_of(mark));
        let removed = self.command("ZREM", self.common.slot, common).await?;
        if reply::as_int(&removed) == Some(0) {
            return Ok(());
        }
        self.each(self.everywhere().await?, |(buckets, number)| async move {
            let bucket = &buckets.all[number];
            self.command("ZREM", bucket.slot, args(&bucket.closed))
                .await
        })
        .await?;
        Ok(())
    }

    /// Forgets what has ended by itself, and tells how many links each node has in a service.
    pub(crate) async fn tend(&self, service: &ServiceName) -> Result<Vec<(NodeRef, u64)>> {
        let buckets = self.buckets_of(service);
        let told = self.each(places(&buckets), |(buckets, number)| async move {
            let bucket = &buckets.all[number];
            let args = vec![bucket.held.clone().into(), STEP.into()];
            let reply = self.run(&TEND, bucket.slot, vec![bucket.nodes.clone().into()], args);
            counts_in("tend", &reply.await?)
        });
        Ok(told
            .await?
            .into_iter()
            .flat_map(|(_, counts)| counts)
            .collect())
    }

    // ===== the fleet =====

    /// The services that are listed, by this process too.
    pub(crate) async fn services(&self) -> Result<BTreeSet<ServiceName>> {
        let list = vec![self.common.services.clone().into()];
        let reply = self.command("SMEMBERS", self.common.slot, list).await?;
        let names = reply::as_array(&reply).unwrap_or_default().iter();
        let names = names.map(|name| {
            let name = reply::as_text(name).and_then(|name| ServiceName::new(name).ok());
            name.ok_or_else(|| unreadable("services", "a name"))
        });
        names.collect()
    }

    /// Lists services, closes in them whoever is closed, and compares how many buckets they have.
    ///
    /// # Errors
    /// `Config`: the fleet has another number of buckets.
    pub(crate) async fn enter(&self, services: &[ServiceName]) -> Result<()> {
        let common = &self.common;
        let keys = [&common.services, &common.closed, &common.buckets];
        let keys = keys.map(|key| key.clone().into()).to_vec();
        let mut args: Vec<Value> = vec![
            i64::from(self.buckets).into(),
            push::EMPTIED.into(),
            self.channel.clone().into(),
        ];
        args.extend(
            services
                .iter()
                .map(|service| service.as_str().to_owned().into()),
        );
        let reply = self.run(&ENTER, common.slot, keys, args).await?;
        let [buckets, closed @ ..] = reply::as_array(&reply).unwrap_or_default() else {
            return Err(unreadable("enter", "nothing"));
        };
        if reply::as_int(buckets) != Some(self.buckets.into()) {
            let text = format!(
                "buckets: {} here, but the fleet has {}",
                self.buckets,
                reply::as_text(buckets).unwrap_or("another number")
            );
            return Err(Error::new(ErrorKind::Config, NAME, "connect", text));
        }
        let closed = closed
            .iter()
            .map(|node| reply::as_text(node).map(str::to_owned));
        let closed: Option<Vec<String>> = closed.collect();
        let closed = closed.ok_or_else(|| unreadable("enter", "a node"))?;
        for service in services {
            let buckets = self.buckets_of(service);
            if !closed.is_empty() {
                self.mark_all(places(&buckets), &closed).await?;
            }
            let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
            known.enter(service);
        }
        Ok(())
    }

    /// Whether this process looks after what has ended, for as long as `lease`; and whether all services of this process are listed.
    pub(crate) async fn watch(&self, process: &str, lease: Duration) -> Result<(bool, bool)> {
        let keys = [&self.common.keeper, &self.common.services];
        let keys = keys.map(|key| key.clone().into()).to_vec();
        let args = vec![process.to_owned().into(), millis(lease)];
        let reply = self.run(&WATCH, self.common.slot, keys, args).await?;
        let Some([ours, listed]) = reply::as_array(&reply) else {
            return Err(unreadable("watch", "no two numbers"));
        };
        let known = self.entered_services().len() as u64;
        let listed = count("watch", listed)? >= known && !self.unlisted.load(Ordering::Relaxed);
        Ok((count("watch", ours)? == 1, listed))
    }

    /// Gives the looking after up, if this process does it.
    pub(crate) async fn resign(&self, process: &str) -> Result<()> {
        let keeper = vec![self.common.keeper.clone().into()];
        let process = vec![process.to_owned().into()];
        self.run(&RESIGN, self.common.slot, keeper, process).await?;
        Ok(())
    }

    /// The counts that were published last.
    pub(crate) async fn told(&self) -> Result<Vec<(String, u64)>> {
        let key = vec![self.common.told.clone().into()];
        let reply = self.command("HGETALL", self.common.slot, key).await?;
        let pairs = reply::as_pairs(&reply).unwrap_or_default().into_iter();
        let pairs = pairs.map(|(id, number)| {
            let id = reply::as_text(id).ok_or_else(|| unreadable("told", "an id"))?;
            Ok((id.to_owned(), count("told", number)?))
        });
        pairs.collect()
    }

    /// Writes down that a count was published.
    pub(crate) async fn tell(&self, id: &str, number: u64) -> Result<()> {
        let key = self.common.told.clone();
        let slot = self.common.slot;
        if number == 0 {
            let args = vec![key.into(), id.to_owned().into()];
            self.command("HDEL", slot, args).await?;
        } else {
            let args = vec![key.into(), id.to_owned().into(), number.to_string().into()];
            self.command("HSET", slot, args).await?;
        }
        Ok(())
    }

    pub(crate) async fn publish(&self, message: String) -> Result<()> {
        let args = vec![self.channel.clone().into(), message.into()];
        self.command("PUBLISH", self.common.slot, args).await?;
        Ok(())
    }

    /// Tells how many links each node has in the memory of a process, for as long as `lease`.
    pub(crate) async fn report(
        &self,
        process: &str,
        lease: Duration,
        counts: &[(NodeRef, u64)],
    ) -> Result<()> {
        let keys = vec![
            self.common.counts_of(process).into(),
            self.common.processes.clone().into(),
        ];
        let mut args = vec![process.to_owned().into(), millis(lease)];
        for (node, count) in counts {
            args.extend([owner_text(node).into(), count.to_string().into()]);
        }
        self.run(&REPORT, self.common.slot, keys, args).await?;
        Ok(())
    }

    /// How many links each node has in the memories of all processes but one.
    pub(crate) async fn others(&self, but: &str) -> Result<Vec<(NodeRef, u64)>> {
        let processes = vec![self.common.processes.clone().into()];
        let args = vec![self.common.counts.clone().into(), but.to_owned().into()];
        let reply = self.run(&SUM, self.common.slot, processes, args).await?;
        counts_in("others", &reply)
    }

    /// All buckets of all services.
    pub(crate) async fn everywhere(&self) -> Result<Vec<Place>> {
        let services = self.services().await?;
        let buckets = services.iter().map(|service| self.buckets_of(service));
        Ok(buckets.flat_map(|buckets| places(&buckets)).collect())
    }

    /// The services of this process may be listed no more.
    pub(crate) fn unlist(&self) {
        self.unlisted.store(true, Ordering::Relaxed);
    }

    /// Lists the services of this process again.
    pub(crate) async fn relist(&self) -> Result<()> {
        // What is said meanwhile counts for the next time.
        self.unlisted.store(false, Ordering::Relaxed);
        let listed = self.enter(&self.entered_services()).await;
        if listed.is_err() {
            self.unlist();
        }
        listed
    }

    /// The services that this process has listed.
    pub(crate) fn entered_services(&self) -> Vec<ServiceName> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.entered().cloned().collect()
    }

    /// A service's buckets, once it is listed.
    async fn entered(&self, service: &ServiceName) -> Result<Arc<Buckets>> {
        let known = {
            let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
            known.get_entered(service)
        };
        if let Some(buckets) = known {
            return Ok(buckets);
        }
        Box::pin(self.enter(std::slice::from_ref(service))).await?;
        Ok(self.buckets_of(service))
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

    /// Where the fleet's marks of this kind are, beside those in the buckets.
    fn list_of(&self, mark: Mark) -> &Bytes {
        match mark {
            Mark::Draining | Mark::Gone => &self.common.closed,
            Mark::Absent => &self.common.absent,
        }
    }

    async fn mark(&self, slot: u16, closed: &Bytes, marks: &[String]) -> Result<()> {
        let mut args = vec![millis(REMEMBERED.max(self.ttl))];
        args.extend(marks.iter().map(|mark| mark.clone().into()));
        self.run(&CLOSE, slot, vec![closed.clone().into()], args)
            .await?;
        Ok(())
    }

    async fn mark_all(&self, all: Vec<Place>, marks: &[String]) -> Result<()> {
        self.each(all, |(buckets, number)| async move {
            let bucket = &buckets.all[number];
            self.mark(bucket.slot, &bucket.closed, marks).await
        })
        .await?;
        Ok(())
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

fn link_keys(bucket: &Bucket, token: &Token) -> Vec<Value> {
    let keys = [
        bucket.link_of(token),
        bucket.closed.clone(),
        bucket.nodes.clone(),
    ];
    keys.map(Value::from).to_vec()
}

fn value(token: &Token) -> Value {
    token.as_str().to_owned().into()
}

fn millis(duration: Duration) -> Value {
    i64::try_from(duration.as_millis())
        .unwrap_or(i64::MAX)
        .into()
}

fn refusal_text(refusal: Option<Refusal>) -> &'static str {
    match refusal {
        None => "",
        Some(Refusal::Draining) => "d",
        Some(Refusal::Gone) => "g",
    }
}

fn refusal(operation: &'static str, text: &str) -> Result<Refusal> {
    match text {
        "d" => Ok(Refusal::Draining),
        "g" | "a" => Ok(Refusal::Gone),
        _ => Err(unreadable(operation, "an unknown status")),
    }
}

fn status(reply: &Frame) -> Option<&str> {
    reply::as_text(reply::as_array(reply)?.first()?)
}

/// The link of which the time left and the holder stand at `place`; `None` when the reply ends before.
fn held(reply: &Frame, place: usize, operation: &'static str) -> Result<Option<Held>> {
    let items = reply::as_array(reply).ok_or_else(|| unreadable(operation, "no array"))?;
    match items.get(place..).unwrap_or_default() {
        [] => Ok(None),
        [left, node] => {
            let node = reply::as_text(node).and_then(owner);
            let node = node.ok_or_else(|| unreadable(operation, "a node"))?;
            let left = Duration::from_millis(count(operation, left)?);
            Ok(Some(Held { node, left }))
        }
        _ => Err(unreadable(operation, "no link")),
    }
}

/// Nodes, each with a number.
fn counts_in(operation: &'static str, reply: &Frame) -> Result<Vec<(NodeRef, u64)>> {
    let pairs = reply::as_pairs(reply).ok_or_else(|| unreadable(operation, "no pairs"))?;
    let counts = pairs.into_iter().map(|(node, number)| {
        let node = reply::as_text(node).and_then(owner);
        let node = node.ok_or_else(|| unreadable(operation, "a node"))?;
        Ok((node, count(operation, number)?))
    });
    counts.collect()
}

fn int(operation: &'static str, frame: &Frame) -> Result<i64> {
    reply::as_int(frame).ok_or_else(|| unreadable(operation, "no number"))
}

fn count(operation: &'static str, frame: &Frame) -> Result<u64> {
    Ok(u64::try_from(int(operation, frame)?).unwrap_or(0))
}

/// Names the service, never the token.
fn about(operation: &'static str, service: &ServiceName, error: Error) -> Error {
    during(NAME, operation, format!("links of `{service}`"), error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*};

    /// Any reply; often one that is nearly right.
    fn frame() -> impl Strategy<Value = Frame> {
        let text = |data: Bytes| Frame::BlobString {
            data,
            attributes: None,
        };
        let leaf = prop_oneof![
            Just(Frame::Null),
            any::<i64>().prop_map(|data| Frame::Number {
                data,
                attributes: None
            }),
            vec(any::<u8>(), 0..12).prop_map(move |data| text(data.into())),
            Just("1:a:1:b").prop_map(move |node| text(node.into())),
            Just("held").prop_map(move |status| text(status.into())),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            vec(inner, 0..4).prop_map(|data| Frame::Array {
                data,
                attributes: None,
            })
        })
    }

    proptest! {
        #[test]
        fn any_reply_is_read_without_a_panic(reply in frame(), text in ".{0,20}") {
            if let Ok(Some(link)) = held(&reply, 0, "target") {
                prop_assert_eq!(owner(&owner_text(&link.node)), Some(link.node));
            }
            let _ = held(&reply, 1, "claim");
            let _ = counts_in("tend", &reply);
            let _ = count("count", &reply);
            let _ = status(&reply).map(|status| refusal("claim", status));
            let _ = Mark::read(&text);
        }
    }
}
