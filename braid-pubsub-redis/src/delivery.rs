//! The way back of one delivery.

use crate::{
    consumer::{Consumer, Lane, Outcome, Settled, Settlement},
    error::{NAME, closed, is_loss},
    id::EntryId,
    link::Answer,
};
use braid_core::{Acknowledge, BoxFuture, Error, ErrorKind, Ownership, Result};
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

#[derive(Debug)]
pub(crate) struct Receipt {
    consumer: Arc<Consumer>,
    id: EntryId,
    attempt: u32,
    lane: Lane,
    /// Nothing is left to be done when it is dropped.
    settled: bool,
}

impl Receipt {
    pub(crate) fn new(consumer: Arc<Consumer>, id: EntryId, attempt: u32, lane: Lane) -> Self {
        Self {
            consumer,
            id,
            attempt,
            lane,
            settled: false,
        }
    }

    fn backoff(&self) -> Duration {
        let link = &self.consumer.link;
        let backoff = &link.options.backoff;
        match link.has_dead_letters() || self.attempt < link.options.max_attempts {
            true => backoff.after(self.attempt),
            // Nowhere else to go: tried on, but not in a loop.
            false => backoff.max.max(Duration::from_secs(1)),
        }
    }

    /// Carries the outcome to the server. Dropped before the answer is there, the worker settles it as dropped, which changes
    /// nothing if this has come through.
    async fn settle(mut self: Box<Self>, outcome: Outcome) -> Result<Ownership> {
        if self.consumer.is_ended() {
            self.settled = true;
            return Err(closed("settle", self.consumer.link.topic()));
        }
        let settlement = Settlement {
            id: self.id,
            attempt: self.attempt,
            outcome,
        };
        let answer = match self.consumer.link.settle(self.lane, &[&settlement]).await {
            // Nothing is held of what is gone.
            Err(error) if is_loss(&error) => Answer::default(),
            answer => answer?,
        };
        self.settled = true;
        let settled = answer.results.first().copied().unwrap_or(Settled::Lost);
        self.consumer.settled(&settlement, self.lane, settled);
        if self.lane == Lane::Shared {
            self.consumer.set_next_due(answer.next_due);
        }
        Ok(match settled {
            Settled::Lost => Ownership::Lost,
            Settled::Waits | Settled::Dead | Settled::Gone => Ownership::Held,
        })
    }
}

impl Acknowledge for Receipt {
    fn ack(mut self: Box<Self>) -> BoxFuture<'static, Result<()>> {
        self.settled = true;
        if self.consumer.acked(self.id, self.lane) {
            return Box::pin(Taken);
        }
        let result = Err(closed("ack", self.consumer.link.topic()));
        Box::pin(std::future::ready(result))
    }

    fn retry(
        self: Box<Self>,
        reason: String,
        after: Option<Duration>,
    ) -> BoxFuture<'static, Result<Ownership>> {
        let wait = after.unwrap_or_else(|| self.backoff());
        Box::pin(self.settle(Outcome::Failed { wait, reason }))
    }

    fn dead_letter(mut self: Box<Self>, reason: String) -> BoxFuture<'static, Result<Ownership>> {
        if !self.consumer.link.has_dead_letters() {
            let topic = self.consumer.link.topic();
            let text = format!(
                "topic `{topic}` has no dead letters; message {} stays held until it is retried",
                self.id
            );
            let error = Error::new(ErrorKind::Rejected, NAME, "dead-letter", text);
            // Dropping it counts as a failed attempt.
            self.settled = false;
            return Box::pin(async move {
                drop(self);
                Err(error)
            });
        }
        Box::pin(self.settle(Outcome::Dead { reason }))
    }

    fn heartbeat(&self) -> BoxFuture<'_, Result<Ownership>> {
        Box::pin(async move {
            let link = &self.consumer.link;
            if self.consumer.is_ended() {
                return Err(closed("heartbeat", link.topic()));
            }
            let mine = match link.beat(self.lane, &[(self.id, self.attempt)]).await {
                Err(error) if is_loss(&error) => Vec::new(),
                mine => mine?,
            };
            if mine.is_empty() {
                return Ok(Ownership::Lost);
            }
            if self.lane == Lane::Keys {
                self.consumer.touched(self.id);
            }
            Ok(Ownership::Held)
        })
    }
}

/// What comes of nearly every ack. Boxing it allocates nothing.
struct Taken;

impl Future for Taken {
    type Output = Result<()>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        if !self.settled {
            let outcome = Outcome::Failed {
                wait: self.drop_wait(),
                reason: "dropped unsettled".to_owned(),
            };
            let settlement = Settlement {
                id: self.id,
                attempt: self.attempt,
                outcome,
            };
            self.consumer.dropped(self.lane, settlement);
        }
    }
}

impl Receipt {
    /// What is dropped comes again at once.
    fn drop_wait(&self) -> Duration {
        match self.consumer.link.has_dead_letters()
            || self.attempt < self.consumer.link.options.max_attempts
        {
            true => Duration::ZERO,
            false => self.backoff(),
        }
    }
}
