//! Publishes that wait for replicas, or for the disk.
//!
//! WAIT and WAITAOF speak for everything that was written on their connection before. So a batch of publishes goes onto one pinned
//! connection with one of them behind it, while the next batch gathers. The connection is never made again by itself: if it is lost
//! between a publish and its WAIT, that publish is `Indeterminate`, instead of a WAIT on a new connection that knows nothing of it.

use crate::{config::Durability, error::NAME, names::TopicNames, reply};
use braid_core::{Error, ErrorKind, Result};
use braid_redis::{Dedicated, Frame, Redis, Script, Value};
use futures_util::future::join_all;
use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::sync::{Mutex as TurnMutex, oneshot};

/// How long the disk may take.
const DISK: Duration = Duration::from_secs(5);
/// The most publishes of one batch.
const MOST: usize = 512;

/// Publishes with a durability beyond the primary's memory.
pub(crate) struct Committer {
    redis: Redis,
    durability: Durability,
    /// One line for each slot: topics of a slot share a connection.
    lines: Mutex<HashMap<u16, Arc<Line>>>,
}

/// Those that publish to one slot.
#[derive(Default)]
struct Line {
    waiting: Mutex<Vec<Job>>,
    /// Whoever holds it carries the next batch.
    connection: TurnMutex<Option<Dedicated>>,
}

struct Job {
    name: &'static str,
    args: Vec<Value>,
    done: oneshot::Sender<Result<Frame>>,
}

impl Committer {
    pub(crate) fn new(redis: Redis, durability: Durability) -> Self {
        Self {
            redis,
            durability,
            lines: Mutex::default(),
        }
    }

    pub(crate) async fn commit_script(
        &self,
        names: &TopicNames,
        script: &Script,
        keys: Vec<Value>,
        args: Vec<Value>,
    ) -> Result<Frame> {
        // By its text: on a connection of its own nothing says whether the server knows the digest.
        let mut all = vec![Value::from_static_str(script.source())];
        all.push(Value::Integer(
            i64::try_from(keys.len()).unwrap_or(i64::MAX),
        ));
        all.extend(keys);
        all.extend(args);
        let result = self.commit(names, "EVAL", all).await;
        result.map_err(|error| script.explain(error))
    }

    /// Publishes, and waits until it is as durable as is asked for.
    pub(crate) async fn commit(
        &self,
        names: &TopicNames,
        name: &'static str,
        args: Vec<Value>,
    ) -> Result<Frame> {
        let line = {
            let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(lines.entry(names.slot).or_default())
        };
        let (done, mut result) = oneshot::channel();
        lock(&line.waiting).push(Job { name, args, done });
        // The first one carries the batch of all that wait; the others find theirs done when it is their turn.
        let mut connection = tokio::select! {
            biased;
            result = &mut result => return result.unwrap_or_else(|_| Err(self.lost())),
            connection = line.connection.lock() => connection,
        };
        loop {
            let batch: Vec<_> = {
                let mut waiting = lock(&line.waiting);
                let count = waiting.len().min(MOST);
                waiting.drain(..count).collect()
            };
            if batch.is_empty() {
                break;
            }
            self.carry(names.slot, &mut connection, batch).await;
            if let Ok(result) = result.try_recv() {
                return result;
            }
        }
        drop(connection);
        result.await.unwrap_or_else(|_| Err(self.lost()))
    }

    async fn carry(&self, slot: u16, connection: &mut Option<Dedicated>, batch: Vec<Job>) {
        let open = match connection.take().filter(|open| !open.is_lost()) {
            Some(open) => open,
            None => match self.redis.dedicated(slot).await {
                Ok(open) => open,
                Err(error) => {
                    for job in batch {
                        let text = error.message().to_owned();
                        let _ = job
                            .done
                            .send(Err(Error::new(error.kind(), NAME, "publish", text)));
                    }
                    return;
                }
            },
        };
        let patience = Duration::from_secs(5) + self.patience();
        let (jobs, answers): (Vec<_>, Vec<_>) = batch
            .into_iter()
            .map(|job| (job.done, open.command(job.name, job.args, patience)))
            .unzip();
        let (wait, args) = match self.durability {
            Durability::Replicated { n, timeout } => {
                ("WAIT", vec![i64::from(n), crate::entry::millis(timeout)])
            }
            Durability::Durable | Durability::Fast => {
                ("WAITAOF", vec![1, 0, crate::entry::millis(DISK)])
            }
        };
        let args = args.into_iter().map(Value::Integer).collect();
        let (answers, waited) = tokio::join!(join_all(answers), open.command(wait, args, patience));
        let reached = waited.and_then(|frame| self.reached(&frame));
        let sound = reached.is_ok()
            && answers.iter().all(
                |answer| !matches!(answer, Err(error) if error.kind() == ErrorKind::Indeterminate),
            );
        for (done, answer) in jobs.into_iter().zip(answers) {
            let result = answer.and_then(|frame| match &reached {
                Ok(()) => Ok(frame),
                Err(error) => Err(Error::new(
                    ErrorKind::Indeterminate,
                    NAME,
                    "publish",
                    format!("the primary has it; {}", error.message()),
                )),
            });
            let _ = done.send(result);
        }
        if sound {
            *connection = Some(open);
        }
    }

    fn patience(&self) -> Duration {
        match self.durability {
            Durability::Replicated { timeout, .. } => timeout,
            Durability::Durable | Durability::Fast => DISK,
        }
    }

    /// Whether as many have it as should.
    fn reached(&self, frame: &Frame) -> Result<()> {
        let (got, wanted, what) = match self.durability {
            Durability::Replicated { n, .. } => (reply::count(frame), n as usize, "replicas"),
            Durability::Durable | Durability::Fast => {
                let local = reply::as_array(frame).and_then(|answer| answer.first());
                (local.map_or(0, reply::count), 1, "disks")
            }
        };
        if got >= wanted {
            return Ok(());
        }
        let text = format!("{got} of {wanted} {what} confirmed it in time");
        Err(Error::new(ErrorKind::Indeterminate, NAME, "publish", text))
    }

    fn lost(&self) -> Error {
        let text = "whoever carried the batch was cancelled";
        Error::new(ErrorKind::Indeterminate, NAME, "publish", text)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Committer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Committer")
            .field("durability", &self.durability)
            .finish_non_exhaustive()
    }
}
