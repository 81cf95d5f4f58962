//! The way back from a delivery to its channel.

use super::{
    NAME,
    subscription::Membership,
    terms::{Failed, Failure, HandOut, Then},
};
use braid_core::{Acknowledge, BoxFuture, Error, ErrorKind, Ownership, Result};
use std::{sync::Arc, time::Duration};
use tokio_util::task::task_tracker::TaskTrackerToken;

/// One hand-out that isn't settled. Dropped, it counts as failed.
#[derive(Debug)]
pub(super) struct Receipt {
    membership: Arc<Membership>,
    out: HandOut,
    settled: bool,
    /// What a draining node waits for.
    _outstanding: TaskTrackerToken,
}

impl Receipt {
    pub(super) fn new(
        membership: Arc<Membership>,
        out: HandOut,
        outstanding: TaskTrackerToken,
    ) -> Self {
        Self {
            membership,
            out,
            settled: false,
            _outstanding: outstanding,
        }
    }

    fn fail(&mut self, reason: String, then: Then) -> Failed {
        self.settled = true;
        let Membership {
            node, topic, seat, ..
        } = &*self.membership;
        let failure = Failure { reason, then };
        node.broker.fail(topic, seat, self.out, failure)
    }
}

impl Acknowledge for Receipt {
    fn ack(mut self: Box<Self>) -> BoxFuture<'static, Result<()>> {
        Box::pin(async move {
            self.settled = true;
            let Membership {
                node, topic, seat, ..
            } = &*self.membership;
            node.broker.ack(topic, seat, self.out);
            Ok(())
        })
    }

    fn retry(
        mut self: Box<Self>,
        reason: String,
        after: Option<Duration>,
    ) -> BoxFuture<'static, Result<Ownership>> {
        Box::pin(async move {
            let then = after.map_or(Then::Backoff, Then::Wait);
            Ok(match self.fail(reason, then) {
                Failed::Lost => Ownership::Lost,
                Failed::Done | Failed::NoGrave => Ownership::Held,
            })
        })
    }

    fn dead_letter(mut self: Box<Self>, reason: String) -> BoxFuture<'static, Result<Ownership>> {
        Box::pin(async move {
            match self.fail(reason, Then::DeadLetter) {
                Failed::Lost => Ok(Ownership::Lost),
                Failed::Done => Ok(Ownership::Held),
                Failed::NoGrave => {
                    let topic = self.membership.topic.name();
                    let text =
                        format!("topic `{topic}` has no dead letters: the message is retried");
                    Err(Error::new(ErrorKind::Rejected, NAME, "dead-letter", text))
                }
            }
        })
    }

    fn heartbeat(&self) -> BoxFuture<'_, Result<Ownership>> {
        Box::pin(async move {
            let Membership {
                node, topic, seat, ..
            } = &*self.membership;
            Ok(node.broker.heartbeat(topic, seat, self.out))
        })
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        if !self.settled {
            let now = Then::Wait(Duration::ZERO);
            self.fail("dropped unsettled".to_owned(), now);
        }
    }
}
