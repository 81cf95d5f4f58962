//! The bare client: what one would write by hand.

use std::collections::HashMap;

use bytes::Bytes;
use fred::clients::Client;
use fred::interfaces::{ClientLike as _, StreamsInterface as _};
use fred::types::config::Config;
use fred::types::{Builder, Key};
use tokio::task::JoinSet;

use crate::Result;
use crate::blocks::Caller;

use super::fanout::{Drain, Fanout};
use super::{BODY, Redis};

const TOPIC: Key = Key::from_static_str("bench-fred");

/// How many entries one read may bring.
const COUNT: u64 = 256;

/// How long a read may wait, in milliseconds. New entries end it.
const BLOCK: u64 = 5_000;

/// The field that holds the body.
const FIELD: &str = "msg";

/// A connection with fred's defaults.
async fn connect(redis: &Redis) -> Result<Client> {
    let client = Builder::from_config(Config::from_url(&redis.url())?).build()?;
    client.init().await?;
    Ok(client)
}

/// Adds one entry after the other.
#[derive(Clone, Debug)]
pub(super) struct Publisher {
    client: Client,
}

impl Publisher {
    pub(super) async fn connect(redis: &Redis) -> Result<Self> {
        let client = connect(redis).await?;
        Ok(Self { client })
    }
}

impl Caller for Publisher {
    async fn call(&mut self) -> Result<()> {
        let fields = (FIELD, Bytes::from_static(BODY));
        let added = self.client.xadd(TOPIC, false, None, "*", fields);
        let _id: String = added.await?;
        Ok(())
    }
}

/// A consumer in a group: reads on a connection of its own, and acks on another one, each batch by one command that the next read doesn't
/// wait for.
#[derive(Debug)]
pub(super) struct Reader {
    reads: Client,
    acks: Client,
    group: &'static str,
}

/// A topic with two groups.
pub(super) async fn fanout(redis: &Redis) -> Result<Fanout<Publisher, Reader>> {
    let publisher = Publisher::connect(redis).await?;
    let acks = connect(redis).await?;
    let mut readers = Vec::new();
    for group in ["channel-1", "channel-2"] {
        let reads = connect(redis).await?;
        let () = reads.xgroup_create(TOPIC, group, "$", true).await?;
        let acks = acks.clone();
        readers.push(Reader { reads, acks, group });
    }
    let readers: [Reader; 2] = readers.try_into().map_err(|_| "there are two groups")?;
    Ok(Fanout::new(publisher, readers))
}

impl Drain for Reader {
    async fn drain(&mut self, count: usize) -> Result<()> {
        let mut acks = JoinSet::new();
        let mut taken = 0;
        while taken < count {
            let read = self
                .reads
                .xreadgroup_map::<String, String, String, Bytes, _, _, _, _>(
                    self.group,
                    "consumer",
                    Some(COUNT),
                    Some(BLOCK),
                    false,
                    TOPIC,
                    ">",
                );
            let entries: Vec<(String, HashMap<String, Bytes>)> =
                read.await?.into_values().flatten().collect();
            if entries.iter().any(|(_, fields)| fields[FIELD] != BODY) {
                return Err("a body isn't what was published".into());
            }
            taken += entries.len();
            let ids: Vec<_> = entries.into_iter().map(|(id, _)| id).collect();
            if ids.is_empty() {
                continue;
            }
            let (client, group) = (self.acks.clone(), self.group);
            acks.spawn(async move { client.xack::<u64, _, _, _>(TOPIC, group, ids).await });
        }
        while let Some(acked) = acks.join_next().await {
            acked??;
        }
        Ok(())
    }
}
