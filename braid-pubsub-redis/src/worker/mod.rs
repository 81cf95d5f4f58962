//! What goes on behind one subscription: reading, counting hand-outs, acks, heartbeats, leaving.
//!
//! One task a subscription. Its parts wait for the consumer's state ([`crate::consumer`]) to change, and each talks to the server in its
//! own time: a read that waits delays no ack.

mod reading;
mod telling;

pub(crate) use self::{reading::read_lane, telling::send_acks};

use self::telling::{acks, dropped, renew, retain, settle_all, tend};
use crate::{
    consumer::{Consumer, Lane, Next},
    error::{NAME, is_loss},
    keys,
};
use braid_core::{Error, ErrorKind};
use std::{sync::Arc, time::Duration};
use tokio::time::sleep;

/// The most entries that one read brings.
pub(crate) const MOST_A_READ: usize = 256;

/// Runs until the channel is left and everything that was handed out is settled.
pub(crate) async fn run(consumer: Arc<Consumer>) {
    let _end = EndOnDrop(&consumer);
    let working = async {
        let keys = async {
            tokio::select! {
                () = consumer.leaving.cancelled() => {}
                () = keys::run(&consumer) => {}
            }
        };
        tokio::join!(
            read_lane(&consumer, Lane::Shared),
            hand_out(&consumer),
            keys
        );
        leave(&consumer).await;
    };
    tokio::select! {
        () = working => {}
        () = async { tokio::join!(
                Box::pin(acks(&consumer)),
                Box::pin(dropped(&consumer)),
                Box::pin(tend(&consumer)),
                Box::pin(renew(&consumer)),
                Box::pin(retain(&consumer))
            ); } => {}
    }
    // What was settled last: its acks may not have been sent.
    if let Err(error) = send_acks(&consumer).await {
        tracing::warn!(topic = %consumer.link.topic(), channel = %consumer.link.channel(), %error, "acks were not sent: these messages will be delivered again");
    }
    if let Err(error) = consumer.link.leave(false, &consumer.held()).await {
        consumer.setback("leave", error);
    }
}

/// However the worker ends, nobody waits for it any more.
struct EndOnDrop<'a>(&'a Consumer);

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        self.0.ended();
    }
}

/// Waits longer from fault to fault.
#[derive(Debug)]
pub(crate) struct Pause(Duration);

impl Pause {
    pub(crate) const fn new() -> Self {
        Self(Duration::from_millis(50))
    }

    pub(crate) async fn wait(&mut self) {
        // Half of it by chance, so that a fleet doesn't come back in one moment.
        sleep(self.0.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
        self.0 = (self.0 * 2).min(Duration::from_secs(2));
    }

    pub(crate) fn reset(&mut self) {
        *self = Self::new();
    }
}

/// Counts attempts, whereupon the messages can be taken.
async fn hand_out(consumer: &Consumer) {
    let link = &consumer.link;
    let mut pause = Pause::new();
    let mut ticket = 0;
    // The answer to a take was lost: whether somebody still waits for it or not, what it took has to be handed out.
    let mut untold = false;
    while !consumer.leaving.is_cancelled() {
        let next = match untold {
            true => Ok(Next::Due),
            false => consumer.next(),
        };
        let outcome = match next {
            Ok(Next::Read(last, count)) => {
                let marked = link.mark(last).await;
                marked.map(|()| consumer.marked(last, count))
            }
            Ok(Next::Keyed(candidate)) => keys::hand_out(consumer, candidate).await,
            Ok(Next::Due) => {
                let taken = link.take(ticket, untold).await;
                untold = taken.as_ref().is_err_and(|error| !is_loss(error));
                taken.map(|answer| {
                    ticket += 1;
                    consumer.set_next_due(answer.next_due);
                    if let Some((entry, attempt)) = answer.results {
                        consumer.taken(entry, attempt);
                    }
                })
            }
            Err(next) => {
                let due = async {
                    match next {
                        Some(due) => tokio::time::sleep_until(due.into()).await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    () = consumer.wake.hand_out.notified() => {}
                    () = due => {}
                    () = consumer.leaving.cancelled() => {}
                }
                continue;
            }
        };
        match outcome {
            Ok(()) => pause.reset(),
            // The reader finds out too, and heals it.
            Err(error) if is_loss(&error) => pause.wait().await,
            Err(error) => {
                consumer.fault(error);
                pause.wait().await;
            }
        }
    }
}

/// Gives back what nobody has seen, leaves, and waits until what was handed out is settled.
async fn leave(consumer: &Consumer) {
    let mut pause = Pause::new();
    let giving_back = async {
        settle_all(consumer, consumer.clear_buffered(), &mut pause).await;
        let (_, keyed) = consumer.holds();
        consumer.link.leave(keyed > 0, &consumer.held()).await
    };
    // A server that is away finds out by the claim time.
    let patience = Duration::from_secs(5);
    let left = match tokio::time::timeout(patience, giving_back).await {
        Ok(left) => left,
        Err(_) => {
            let text = format!(
                "channel `{}` of topic `{}` could not be left in {patience:?}",
                consumer.link.channel(),
                consumer.link.topic()
            );
            Err(Error::new(ErrorKind::Timeout, NAME, "leave", text))
        }
    };
    consumer.left_with(left.err());
    loop {
        let settled = consumer.wake.settled.notified();
        let (held, keyed) = consumer.holds();
        if held == 0 {
            return;
        }
        if keyed > 0 {
            // The next holder of the lease would hand these out a second time.
            let renewing = sleep(consumer.link.options.claim_after / 3);
            tokio::select! {
                () = settled => {}
                () = renewing => {
                    let _ = consumer.link.lease(consumer.link.options.claim_after).await;
                }
            }
        } else {
            settled.await;
        }
    }
}
