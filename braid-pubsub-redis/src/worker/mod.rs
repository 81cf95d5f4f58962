//! What goes on behind one subscription: reading, counting hand-outs, acks, heartbeats, leaving.
//!
//! One task a subscription. Its parts wait for the consumer's state ([`crate::consumer`]) to change, and each talks to the server in its
//! own time: a read that waits delays no ack.

use crate::{
    consumer::{Consumer, Lane, Next, Settled, Settlement},
    entry::Entry,
    error::{NAME, is_loss},
    keys,
    link::Answer,
};
use braid_core::{Error, ErrorKind, Result};
use braid_redis::Dedicated;
use std::{
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::time::sleep;

/// The most entries that one read brings.
pub(crate) const MOST_A_READ: usize = 256;
/// The most deliveries that one script settles or renews.
const MOST_A_SCRIPT: usize = 200;
/// How long acks are gathered; the timer's grain.
const GATHER: Duration = Duration::from_millis(1);
/// The most acks in one command.
const MOST_ACKS: usize = 1024;

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

// ===== reading =====

/// Reads new messages as there is room for them, on a connection of its own, until the channel is left.
pub(crate) async fn read_lane(consumer: &Consumer, lane: Lane) {
    let mut connection = None;
    // A read's answer may have been lost: what it brought is found among what is pending.
    let mut unsure = false;
    let mut pause = Pause::new();
    while !consumer.leaving.is_cancelled() {
        let room = consumer.room(lane);
        if room == 0 {
            tokio::select! {
                () = consumer.wake.room(lane).notified() => {}
                () = consumer.leaving.cancelled() => {}
            }
            continue;
        }
        let outcome = match connection.take() {
            Some((open, id)) if !unsure => {
                match Box::pin(read(consumer, &open, id, lane, room)).await {
                    Ok(entries) => {
                        connection = Some((open, id));
                        take_in(consumer, lane, entries).await;
                        Ok(())
                    }
                    Err(error) if is_loss(&error) => {
                        connection = Some((open, id));
                        heal(consumer, lane, &error).await;
                        // Whoever deletes over and over isn't answered in a loop.
                        pause.wait().await;
                        if lane == Lane::Keys {
                            keys::there(consumer).await;
                        }
                        continue;
                    }
                    Err(error) => {
                        unsure = true;
                        Err(error)
                    }
                }
            }
            open => match prepare(consumer, open, lane, unsure).await {
                Ok(open) => {
                    connection = Some(open);
                    unsure = false;
                    Ok(())
                }
                Err(error) => Err(error),
            },
        };
        match outcome {
            Ok(()) => pause.reset(),
            Err(error) => {
                consumer.fault(error);
                tokio::select! {
                    () = pause.wait() => {}
                    () = consumer.leaving.cancelled() => {}
                }
            }
        }
    }
}

/// Opens a connection to read by, and finds what the last one has lost.
async fn prepare(
    consumer: &Consumer,
    open: Option<(Dedicated, i64)>,
    lane: Lane,
    unsure: bool,
) -> Result<(Dedicated, i64)> {
    let link = &consumer.link;
    let open = match open {
        Some(open) => open,
        None => {
            let open = link.redis.dedicated(link.names.slot).await?;
            let id = link.connection(&open).await?;
            if lane == Lane::Keys {
                link.reads_by(id).await?;
            }
            (open, id)
        }
    };
    if unsure {
        match lane {
            Lane::Shared => {
                let answer = link.recover(&consumer.known()).await?;
                consumer.set_next_due(answer.next_due);
                take_in(consumer, lane, answer.results).await;
            }
            Lane::Keys => drop(keys::adopt(consumer, false).await?),
        }
    }
    Ok(open)
}

/// One read, which ends at once when the channel is left: what comes after that would have to wait for its claim time.
async fn read(
    consumer: &Consumer,
    open: &Dedicated,
    id: i64,
    lane: Lane,
    room: usize,
) -> Result<Vec<Entry>> {
    let link = &consumer.link;
    let mut reading = pin!(link.read(open, lane, room));
    tokio::select! {
        biased;
        read = &mut reading => return read,
        () = consumer.leaving.cancelled() => {}
    }
    link.unblock(id).await?;
    reading.await
}

async fn take_in(consumer: &Consumer, lane: Lane, entries: Vec<Entry>) {
    let read_at = Instant::now();
    let channel = consumer.link.channel();
    let (mut mine, mut others, mut later) =
        (Vec::with_capacity(entries.len()), Vec::new(), Vec::new());
    for entry in entries {
        let has_key = entry.message.key.is_some();
        if has_key {
            consumer.set_has_keys();
        }
        if has_key != (lane == Lane::Keys) || !entry.message.is_for(channel) {
            // The channel's other group hands it out, or another channel.
            others.push(entry.id);
        } else if lane == Lane::Shared && entry.not_before.is_some() {
            later.push(entry);
        } else {
            mine.push(entry);
        }
    }
    consumer.ack_read(lane, others);
    if !later.is_empty() {
        mine.extend(put_off(consumer, later).await);
        mine.sort_by_key(|entry| entry.id);
    }
    match lane {
        Lane::Shared => consumer.read(mine, read_at),
        Lane::Keys => consumer.read_keyed(mine.into_iter().map(|entry| (entry, Duration::ZERO, 0))),
    }
}

/// Puts off what is to be handed out later; gives what is due already.
async fn put_off(consumer: &Consumer, entries: Vec<Entry>) -> Vec<Entry> {
    let times: Vec<_> = entries
        .iter()
        .map(|entry| (entry.id, entry.not_before.unwrap_or_default()))
        .collect();
    let mut pause = Pause::new();
    loop {
        match consumer.link.delay(&times).await {
            Ok(answer) => {
                consumer.set_next_due(answer.next_due);
                let early = answer.results.into_iter().chain(std::iter::repeat(false));
                return entries
                    .into_iter()
                    .zip(early)
                    .filter_map(|(entry, early)| (!early).then_some(entry))
                    .collect();
            }
            Err(error) => {
                consumer.fault(error);
                pause.wait().await;
            }
        }
    }
}

/// Makes the channel again after its group, or the whole topic, was deleted.
async fn heal(consumer: &Consumer, lane: Lane, loss: &Error) {
    let link = &consumer.link;
    match link.join(true).await {
        Ok(joined) => {
            if lane == Lane::Keys {
                // None of them is pending any more.
                consumer.lease_lost();
                if !joined.has_keys {
                    consumer.no_keys();
                }
            }
            let text = format!(
                "channel `{}` of topic `{}` was deleted and made again; what was in it may be lost: {loss}",
                link.channel(),
                link.topic()
            );
            consumer.tell(Error::new(ErrorKind::NotFound, NAME, "read", text));
        }
        Err(error) => consumer.fault(error),
    }
}

// ===== handing out =====

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

// ===== telling the server =====

async fn acks(consumer: &Consumer) {
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
async fn dropped(consumer: &Consumer) {
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
async fn settle_all(consumer: &Consumer, all: Vec<(Lane, Settlement)>, pause: &mut Pause) {
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
async fn tend(consumer: &Consumer) {
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
async fn renew(consumer: &Consumer) {
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

async fn retain(consumer: &Consumer) {
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

// ===== leaving =====

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
