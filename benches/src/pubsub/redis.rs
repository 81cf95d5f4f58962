//! The server that all sides share.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use braid_testkit::redis::{RedisServer, Reply};

use crate::Result;

/// How long acks may be under way behind the last delivery.
const PATIENCE: Duration = Duration::from_secs(5);

/// A Redis server of the benchmark's own, which keeps nothing on disk. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Redis(Arc<RedisServer>);

impl Redis {
    /// Starts it.
    ///
    /// # Panics
    /// When there is no `redis-server`; the text tells what to do.
    pub async fn start() -> Self {
        Self(Arc::new(RedisServer::builder().start().await))
    }

    /// `redis://127.0.0.1:port`.
    #[must_use]
    pub fn url(&self) -> String {
        self.0.url()
    }

    /// The port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.0.port()
    }

    /// A folder that goes with the server.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        let mut folder = self.0.socket();
        folder.pop();
        folder
    }

    /// Forgets everything.
    pub async fn clear(&self) {
        self.0.command(&["FLUSHALL"]).await;
    }

    /// Takes all entries out of all streams, whosever they are. Their groups stay.
    pub async fn empty(&self) {
        for stream in self.streams().await {
            self.0.command(&["XTRIM", &stream, "MAXLEN", "0"]).await;
        }
    }

    /// Waits until every delivery of every group is acked: what wasn't acked wasn't delivered.
    ///
    /// # Errors
    /// Some aren't.
    pub async fn settled(&self) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        for stream in self.streams().await {
            loop {
                let groups = self.0.command(&["XINFO", "GROUPS", &stream]).await;
                let pending: i64 = groups.items().iter().map(pending).sum();
                if pending == 0 {
                    break;
                }
                if Instant::now() >= end {
                    return Err(format!("{pending} deliveries of {stream} weren't acked").into());
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        Ok(())
    }

    async fn streams(&self) -> Vec<String> {
        let mut streams = Vec::new();
        let mut cursor = "0".to_owned();
        loop {
            let scan = ["SCAN", &cursor, "COUNT", "1000", "TYPE", "stream"];
            let reply = self.0.command(&scan).await;
            let [next, keys] = reply.items() else {
                return streams;
            };
            streams.extend(keys.items().iter().map(Reply::text));
            cursor = next.text();
            if cursor == "0" {
                return streams;
            }
        }
    }
}

/// How many deliveries of a group aren't acked.
fn pending(group: &Reply) -> i64 {
    let fields = group.items().chunks(2);
    let pending = fields
        .filter(|field| field[0].text() == "pending")
        .find_map(|field| field.get(1)?.integer());
    pending.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_group_has_pending_is_read() {
        let bulk = |text: &str| Reply::Bulk(text.as_bytes().to_vec());
        let group = |pending| {
            Reply::Array(vec![
                bulk("name"),
                bulk("pending"),
                bulk("consumers"),
                Reply::Integer(1),
                bulk("pending"),
                Reply::Integer(pending),
            ])
        };
        assert_eq!(pending(&group(7)), 7);
        assert_eq!(pending(&group(0)), 0);
    }
}
