//! Reading, on a connection of its own, and what has to be done after one was lost or a group deleted.

use super::Pause;
use crate::{
    consumer::{Consumer, Lane},
    entry::Entry,
    error::{NAME, is_loss},
    keys,
};
use braid_core::{Error, ErrorKind, Result};
use braid_redis::Dedicated;
use std::{
    pin::pin,
    time::{Duration, Instant},
};

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
            if let Err(error) = link.enter().await {
                consumer.setback("list", error);
            }
        }
        Err(error) => consumer.fault(error),
    }
}
