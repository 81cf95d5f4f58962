//! Telling the server: acks, failures, heartbeats, and what a channel needs now and then.

use super::Pause;
use crate::{
    consumer::{Consumer, Lane, Settled, Settlement},
    error::is_loss,
    link::Answer,
};
use braid_core::Result;
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// The most deliveries that one script settles or renews.
const MOST_A_SCRIPT: usize = 200;
/// How long acks are gathered; the timer's grain.
const GATHER: Duration = Duration::from_millis(1);
/// The most acks in one command.
const MOST_ACKS: usize = 1024;

pub(super) async fn acks(consumer: &Consumer) {
    let mut pause = Pause::new();
    loop {
        consumer.wake.acks.notified().await;
        // One command for what comes in this time costs the server a fraction of one command each.
        if !consumer.has_many_acks() {
            tokio::select! {
                () = sleep(GATHER) => {}
                () = consumer.wake.many_acks.notified() => {}
            }
        }
        while let Err(error) = send_acks(consumer).await {
            consumer.fault(error);
            pause.wait().await;
        }
        pause.reset();
    }
}

/// Sends the acks that wait. What could not be sent waits on.
pub(crate) async fn send_acks(consumer: &Consumer) -> Result<()> {
    loop {
        // Twice is as good as once, so that they stay listed until the answer is there.
        let (shared, keyed) = consumer.unsent_acks();
        if shared.is_empty() && keyed.is_empty() {
            return Ok(());
        }
        for (lane, ids) in [(Lane::Shared, shared), (Lane::Keys, keyed)] {
            for some in ids.chunks(MOST_ACKS) {
                match consumer.link.ack(lane, some).await {
                    Err(error) if !is_loss(&error) => return Err(error),
                    _ => {}
                }
            }
        }
        consumer.acks_sent();
    }
}

/// Settles what was dropped.
pub(super) async fn dropped(consumer: &Consumer) {
    let mut pause = Pause::new();
    loop {
        let dropped = consumer.take_dropped();
        if dropped.is_empty() {
            consumer.wake.dropped.notified().await;
            continue;
        }
        settle_all(consumer, dropped, &mut pause).await;
    }
}

/// Settles these, however long it takes.
pub(super) async fn settle_all(
    consumer: &Consumer,
    all: Vec<(Lane, Settlement)>,
    pause: &mut Pause,
) {
    for lane in [Lane::Shared, Lane::Keys] {
        let mine: Vec<_> = all
            .iter()
            .filter(|(of, _)| *of == lane)
            .map(|(_, settlement)| settlement)
            .collect();
        for some in mine.chunks(MOST_A_SCRIPT) {
            let answer = loop {
                match consumer.link.settle(lane, some).await {
                    Ok(answer) => break answer,
                    // Nothing is held of what is gone.
                    Err(error) if is_loss(&error) => break Answer::default(),
                    Err(error) => {
                        consumer.fault(error);
                        pause.wait().await;
                    }
                }
            };
            let results = answer
                .results
                .into_iter()
                .chain(std::iter::repeat(Settled::Lost));
            for (settlement, settled) in some.iter().zip(results) {
                consumer.settled(settlement, lane, settled);
            }
            if lane == Lane::Shared {
                consumer.set_next_due(answer.next_due);
            }
        }
    }
}

/// Looks after the channel: what dead consumers have left, names, marks.
pub(super) async fn tend(consumer: &Consumer) {
    let interval = interval(consumer);
    loop {
        match consumer.link.tend(interval).await {
            Ok(answer) => {
                consumer.set_next_due(answer.next_due);
                if answer.results {
                    consumer.set_has_keys();
                }
            }
            Err(error) => consumer.setback("tend", error),
        }
        sleep(interval).await;
    }
}

/// How often a consumer looks around: well within its claim time.
fn interval(consumer: &Consumer) -> Duration {
    let quarter = consumer.link.options.claim_after / 4;
    quarter.clamp(Duration::from_millis(50), Duration::from_millis(500))
}

/// Keeps what this process has from being claimed.
pub(super) async fn renew(consumer: &Consumer) {
    let interval = consumer.link.options.claim_after / 3;
    loop {
        sleep(interval).await;
        let asked = consumer.to_renew();
        let at = Instant::now();
        let mut mine = foldhash::HashSet::default();
        let mut failed = false;
        for some in asked.chunks(MOST_A_SCRIPT) {
            match consumer.link.beat(Lane::Shared, some).await {
                Ok(renewed) => mine.extend(renewed),
                Err(error) => {
                    consumer.setback("heartbeat", error);
                    failed = true;
                    break;
                }
            }
        }
        if !failed {
            consumer.renewed(at, &asked, &mine);
        }
    }
}

pub(super) async fn retain(consumer: &Consumer) {
    let link = &consumer.link;
    loop {
        // Not all in one moment.
        sleep(
            link.limits
                .retention_interval
                .mul_f64(0.75 + fastrand::f64() / 2.0),
        )
        .await;
        match link.retain().await {
            Ok(forgotten) => {
                for channel in forgotten {
                    tracing::warn!(topic = %link.topic(), channel, "nobody has taken part in this channel for so long that its topic is no longer held back for it");
                }
            }
            Err(error) => consumer.setback("retention", error),
        }
    }
}
