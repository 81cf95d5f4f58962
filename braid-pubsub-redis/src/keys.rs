//! Messages with keys: whoever holds the channel's lease is the only one to read them, so that their order is kept.

use crate::{
    consumer::{Consumer, Lane},
    entry::Entry,
    error::is_loss,
    id::EntryId,
    key_lane::Candidate,
    link::{Lease, Marked},
    worker::{Pause, read_lane},
};
use braid_core::Result;
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until};

/// How many messages of the former holder one script takes over.
const MOST_A_SCRIPT: usize = 100;

/// Holds the lease as long as it can, once the channel has messages with keys.
pub(crate) async fn run(consumer: &Consumer) {
    there(consumer).await;
    let lease = consumer.link.options.claim_after;
    loop {
        match consumer.link.lease(lease).await {
            Ok(held @ (Lease::Taken(_) | Lease::Renewed)) => {
                if let Lease::Taken(readers) = held {
                    // A former holder that stands still may have a read waiting, which would take what comes next.
                    for reader in readers {
                        if let Err(error) = consumer.link.unblock(reader).await {
                            consumer.setback("unblock", error);
                        }
                    }
                }
                tokio::select! {
                    () = hold(consumer, lease) => {}
                    () = async {
                        if Box::pin(take_over(consumer)).await {
                            tokio::join!(
                                Box::pin(read_lane(consumer, Lane::Keys)),
                                take_back(consumer),
                                Box::pin(look_again(consumer))
                            );
                        }
                    } => {}
                }
                consumer.lease_lost();
            }
            Ok(Lease::Anothers) => {}
            Err(error) => consumer.setback("lease", error),
        }
        sleep((lease / 4).clamp(Duration::from_millis(50), Duration::from_millis(500))).await;
    }
}

/// Waits until the channel has messages with keys, or is left.
pub(crate) async fn there(consumer: &Consumer) {
    let there = async {
        while !consumer.has_keys() {
            consumer.wake.keys.notified().await;
        }
    };
    tokio::select! {
        () = there => {}
        () = consumer.leaving.cancelled() => {}
    }
}

/// Renews the lease; returns when it is lost.
async fn hold(consumer: &Consumer, lease: Duration) {
    let mut until = Instant::now() + lease;
    loop {
        tokio::select! {
            () = sleep(lease / 3) => {}
            () = consumer.wake.lease.notified() => {}
        }
        let asked = Instant::now();
        match consumer.link.lease(lease).await {
            // Counted from when it was asked for. Whoever held it in between has left, and its messages are to be taken over.
            Ok(Lease::Renewed) => until = asked + lease,
            Ok(_) => return,
            Err(error) => {
                consumer.setback("lease", error);
                if Instant::now() >= until {
                    return;
                }
            }
        }
    }
}

/// Takes over what the former holder has left, in order. False when the lease is lost meanwhile.
async fn take_over(consumer: &Consumer) -> bool {
    let mut pause = Pause::new();
    loop {
        match adopt(consumer, false).await {
            Ok(held) => return held,
            Err(error) => {
                consumer.fault(error);
                pause.wait().await;
            }
        }
    }
}

/// Looks again for what others have read all the same: a former holder that stood still with a read on its way.
async fn look_again(consumer: &Consumer) {
    loop {
        sleep(consumer.link.options.claim_after / 2).await;
        if let Err(error) = adopt(consumer, true).await {
            consumer.setback("keys that others have read", error);
        }
    }
}

/// Takes in everything that is pending in the group of keys. False when the lease is lost.
pub(crate) async fn adopt(consumer: &Consumer, only_others: bool) -> Result<bool> {
    let mut behind = EntryId::default();
    loop {
        let Some(adopted) = consumer
            .link
            .adopt(behind, MOST_A_SCRIPT, only_others)
            .await?
        else {
            return Ok(false);
        };
        let Some(last) = adopted.last() else {
            return Ok(true);
        };
        behind = last.id;
        let entries = adopted
            .into_iter()
            .filter_map(|adopted| Some((adopted.entry?, adopted.wait, adopted.handed)));
        let channel = consumer.link.channel();
        let (keyed, others): (Vec<_>, Vec<_>) = entries
            .partition(|(entry, ..)| entry.message.key.is_some() && entry.message.is_for(channel));
        // Read by the former holder, who had no time to ack them.
        let others = others
            .into_iter()
            .map(|(entry, ..): (Entry, _, _)| entry.id);
        consumer.ack_read(Lane::Keys, others.collect());
        consumer.read_keyed(keyed);
    }
}

/// Takes back what is out beyond its claim time without a heartbeat.
async fn take_back(consumer: &Consumer) {
    loop {
        match consumer.take_back_overdue() {
            Some(next) => sleep_until(next.into()).await,
            None => sleep(consumer.link.options.claim_after / 4).await,
        }
    }
}

/// Counts the hand-out of the first message of a key, which can be taken then.
pub(crate) async fn hand_out(consumer: &Consumer, candidate: Candidate) -> Result<()> {
    let id = candidate.id;
    let marked = match consumer.link.mark_keyed(candidate).await {
        // Nothing is pending in what is gone.
        Err(error) if is_loss(&error) => Marked::Over,
        Err(error) => {
            consumer.unsure_keyed(id);
            return Err(error);
        }
        Ok(marked) => marked,
    };
    match marked {
        Marked::Handed(attempt) => consumer.marked_keyed(id, attempt),
        Marked::Early(wait) => consumer.keyed(id, Some(wait)),
        Marked::Over => consumer.keyed(id, None),
        Marked::Waits => consumer.keyed(id, Some(Duration::from_secs(1))),
        Marked::Lost => {
            consumer.keyed(id, Some(Duration::from_secs(1)));
            // It finds out who has the lease.
            consumer.wake.lease.notify_one();
        }
    }
    Ok(())
}
