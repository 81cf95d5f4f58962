//! The topics that there are, and what a node knows of those that it uses.

use crate::{
    error::{self, NAME},
    link::Limits,
    names::base_of,
    reply,
    topic::TopicHandle,
    view,
};
use braid_core::{Error, Result, Topic};
use braid_redis::{Frame, Redis, Value, during, keys::slot};
use bytes::Bytes;
use foldhash::HashMap;
use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

/// A hash with the names of all topics that were ever used, and their numbers of partitions.
const TOPICS: &[u8] = b"braid:topics";
/// How many topics a node remembers the keys of.
const MOST_REMEMBERED: usize = 4096;

/// The list of topics, and those that this node has used.
pub(crate) struct Topics {
    redis: Redis,
    limits: Limits,
    /// As configured.
    partitions: BTreeMap<Topic, u16>,
    known: RwLock<HashMap<Topic, Arc<TopicHandle>>>,
}

impl Topics {
    pub(crate) fn new(redis: Redis, limits: Limits, partitions: BTreeMap<Topic, u16>) -> Self {
        Self {
            redis,
            limits,
            partitions,
            known: RwLock::default(),
        }
    }

    /// A topic that this node has used.
    pub(crate) fn known(&self, topic: &Topic) -> Option<Arc<TopicHandle>> {
        let topics = self.known.read().unwrap_or_else(PoisonError::into_inner);
        topics.get(topic).cloned()
    }

    /// A topic's keys. The first use enters it into the list of topics, with its number of partitions.
    pub(crate) async fn get(&self, topic: &Topic) -> Result<Arc<TopicHandle>> {
        if let Some(known) = self.known(topic) {
            return Ok(known);
        }
        let wanted = self.configured(topic);
        if !enter(&self.redis, topic, wanted).await? && !topic.is_dead_letters() {
            let present = self.partitions_of(topic).await?;
            if present != wanted {
                let text = format!(
                    "partitions: topic `{topic}` has {present}, and this node is configured with {wanted}"
                );
                return Err(error::config(text));
            }
        }
        let handle = Arc::new(TopicHandle::new(topic, wanted, self.limits));
        let mut topics = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if topics.len() >= MOST_REMEMBERED {
            // They are found again; what counts is that the memory is bounded.
            topics.clear();
        }
        Ok(Arc::clone(topics.entry(topic.clone()).or_insert(handle)))
    }

    /// How many partitions this node was told of.
    fn configured(&self, topic: &Topic) -> u16 {
        let topic = base_of(topic);
        self.partitions
            .iter()
            .find(|(of, _)| of.as_str() == topic)
            .map_or(1, |(_, number)| *number)
    }

    /// How many partitions a topic has; those it is configured with, where it isn't listed.
    pub(crate) async fn partitions_of(&self, topic: &Topic) -> Result<u16> {
        let listed = listing(&self.redis, "HGET", vec![base_of(topic).into()]).await;
        let listed = listed.map_err(|error| about(topic, error))?;
        let listed = reply::as_int(&listed).and_then(|number| u16::try_from(number).ok());
        Ok(listed
            .filter(|number| *number > 0)
            .unwrap_or_else(|| self.configured(topic)))
    }

    /// All that were ever used and still are there.
    pub(crate) async fn all(&self) -> Result<Vec<Topic>> {
        let frame = listing(&self.redis, "HGETALL", Vec::new()).await?;
        let listed = reply::as_pairs(&frame).unwrap_or_default().into_iter();
        let listed = listed.filter_map(|(topic, partitions)| {
            let partitions =
                reply::as_int(partitions).and_then(|number| u16::try_from(number).ok());
            Some((
                Topic::new(reply::as_text(topic)?).ok()?,
                partitions.unwrap_or(1),
            ))
        });
        view::topics(&self.redis, listed.collect()).await
    }
}

/// Enters a topic into the list. False if it is there already.
pub(crate) async fn enter(redis: &Redis, topic: &Topic, partitions: u16) -> Result<bool> {
    let args = vec![topic.as_str().into(), i64::from(partitions).into()];
    let entered = listing(redis, "HSETNX", args).await;
    let entered = entered.map_err(|error| about(topic, error))?;
    Ok(reply::as_int(&entered) == Some(1))
}

async fn listing(redis: &Redis, name: &'static str, mut args: Vec<Value>) -> Result<Frame> {
    args.insert(0, Value::Bytes(Bytes::from_static(TOPICS)));
    redis.command(name, slot(TOPICS), args).await
}

fn about(topic: &Topic, error: Error) -> Error {
    during(NAME, "topic", format_args!("topic `{topic}`"), error)
}
