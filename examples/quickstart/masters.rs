//! Watches who says that it is the master, every millisecond.

use braid::{Leadership, NodeId, Term};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::{sync::watch, task::JoinHandle, time::MissedTickBehavior};

/// Looks at all candidates at once, every millisecond, and keeps the history of masters.
#[derive(Debug)]
pub(crate) struct Masters {
    seen: Arc<Mutex<Seen>>,
    present: watch::Receiver<Option<Master>>,
    task: JoinHandle<()>,
}

/// A master, as it was seen.
#[derive(Clone, Debug)]
pub(crate) struct Master {
    pub(crate) id: NodeId,
    pub(crate) term: Term,
    pub(crate) since: Instant,
}

#[derive(Debug, Default)]
struct Seen {
    candidates: Vec<(NodeId, Leadership)>,
    overlap: Duration,
}

impl Masters {
    /// Starts to watch.
    pub(crate) fn watch() -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (sender, present) = watch::channel(None);
        let task = tokio::spawn(sample(Arc::clone(&seen), sender));
        Self {
            seen,
            present,
            task,
        }
    }

    /// Watches this candidate too, from now on.
    pub(crate) fn add(&self, id: NodeId, leadership: Leadership) {
        lock(&self.seen).candidates.push((id, leadership));
    }

    /// The master, once there is one other than `former`.
    pub(crate) async fn other_than(
        &self,
        former: Option<&NodeId>,
        within: Duration,
    ) -> Option<Master> {
        let mut present = self.present.clone();
        let another = present.wait_for(|master| {
            master
                .as_ref()
                .is_some_and(|master| Some(&master.id) != former)
        });
        tokio::time::timeout(within, another)
            .await
            .ok()?
            .ok()?
            .clone()
    }

    /// For how long two said at once that they lead.
    pub(crate) fn overlap(&self) -> Duration {
        lock(&self.seen).overlap
    }
}

impl Drop for Masters {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn sample(seen: Arc<Mutex<Seen>>, present: watch::Sender<Option<Master>>) {
    let mut ticks = tokio::time::interval(Duration::from_millis(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = Instant::now();
    loop {
        ticks.tick().await;
        let now = Instant::now();
        let leaders: Vec<(NodeId, Term)> = {
            let mut seen = lock(&seen);
            let leaders: Vec<_> = seen
                .candidates
                .iter()
                .filter_map(|(id, leadership)| Some((id.clone(), leadership.term()?)))
                .collect();
            if leaders.len() > 1 {
                seen.overlap += now - last;
            }
            leaders
        };
        last = now;
        if let Some((id, term)) = leaders.into_iter().next() {
            present.send_if_modified(|master| {
                let news = master.as_ref().is_none_or(|m| m.id != id || m.term != term);
                if news {
                    *master = Some(Master {
                        id,
                        term,
                        since: now,
                    });
                }
                news
            });
        }
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    // A poisoned lock still holds whole figures: each is one assignment.
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}
