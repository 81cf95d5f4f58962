//! Messages with keys: the lease, what its former holders have left, and hand-outs.

use super::{Link, number, size, text, wait};
use crate::{
    consumer::Lane,
    entry::{Entry, millis},
    id::EntryId,
    key_lane::Candidate,
    reply, scripts,
};
use braid_core::Result;
use std::time::Duration;

/// Who holds the lease on a channel's keys.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Lease {
    /// This consumer, as before.
    Renewed,
    /// This consumer, from now on; and the connections by which former holders may still be reading.
    Taken(Vec<i64>),
    Anothers,
}

/// What became of the wish to hand out a message with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Marked {
    Handed(u32),
    /// It is due later.
    Early(Duration),
    /// It is a dead letter now, or gone.
    Over,
    /// It waits since the dead letters are full.
    Waits,
    /// Somebody else hands these out now.
    Lost,
}

/// A message that a former holder of the lease has left.
#[derive(Debug)]
pub(crate) struct Adopted {
    pub(crate) id: EntryId,
    pub(crate) wait: Duration,
    /// How often it was handed out.
    pub(crate) handed: u32,
    /// `None` when it was gone from the stream, or was this consumer's and isn't asked for.
    pub(crate) entry: Option<Entry>,
}

impl Link {
    /// Says by which connection messages with keys are read.
    pub(crate) async fn reads_by(&self, connection: i64) -> Result<()> {
        self.note("r:", number(connection)).await
    }

    /// Takes or renews the lease.
    pub(crate) async fn lease(&self, time: Duration) -> Result<Lease> {
        let args = vec![self.consumer(), number(millis(time))];
        let frame = self.run(&scripts::LEASE, Lane::Keys, args).await?;
        let answer = reply::as_array(&frame).ok_or_else(|| self.unreadable("lease"))?;
        let flag = |at: usize| answer.get(at).and_then(reply::as_int) == Some(1);
        if !flag(0) {
            return Ok(Lease::Anothers);
        }
        if flag(1) {
            return Ok(Lease::Renewed);
        }
        let readers = answer.get(2).and_then(reply::as_array).unwrap_or_default();
        Ok(Lease::Taken(
            readers.iter().filter_map(reply::as_int).collect(),
        ))
    }

    /// Takes over what former holders of the lease have left behind this id. `None` when the lease is lost.
    pub(crate) async fn adopt(
        &self,
        behind: EntryId,
        most: usize,
        only_others: bool,
    ) -> Result<Option<Vec<Adopted>>> {
        let args = vec![
            self.group(Lane::Keys),
            self.consumer(),
            text(behind.to_string()),
            size(most),
            number(i64::from(only_others)),
        ];
        let frame = self.run(&scripts::ADOPT, Lane::Keys, args).await?;
        if reply::is_null(&frame) {
            return Ok(None);
        }
        let mut adopted = Vec::new();
        for frame in reply::array(frame) {
            let mut parts = reply::array(frame).into_iter();
            let id = parts.next().ok_or_else(|| self.unreadable("adopt"))?;
            let handed = parts.next().as_ref().and_then(reply::as_int).unwrap_or(0);
            let due = wait(parts.next().as_ref()).unwrap_or_default();
            let entry = parts
                .next()
                .and_then(|fields| Entry::decode(&id, fields, self.names.partition));
            let id = reply::as_text(&id).and_then(EntryId::parse);
            adopted.push(Adopted {
                id: id.ok_or_else(|| self.unreadable("adopt"))?,
                wait: due,
                handed: u32::try_from(handed).unwrap_or(u32::MAX),
                entry,
            });
        }
        Ok(Some(adopted))
    }

    /// Counts the hand-out of a message with a key.
    pub(crate) async fn mark_keyed(&self, candidate: Candidate) -> Result<Marked> {
        let mut args = self.ending(Lane::Keys);
        args.extend([
            text(candidate.id.to_string()),
            text(candidate.not_before.unwrap_or(0).to_string()),
            number(candidate.handed.map_or(-1, i64::from)),
        ]);
        let frame = self.run(&scripts::MARK, Lane::Keys, args).await?;
        let answer = reply::as_array(&frame).ok_or_else(|| self.unreadable("hand-out"))?;
        let value = answer
            .get(1)
            .and_then(reply::as_int)
            .and_then(|n| u64::try_from(n).ok());
        Ok(match answer.first().and_then(reply::as_text) {
            Some("handed") => Marked::Handed(
                value
                    .and_then(|n| u32::try_from(n).ok())
                    .unwrap_or(u32::MAX),
            ),
            Some("early") => Marked::Early(Duration::from_millis(value.unwrap_or(0))),
            Some("dead" | "gone") => Marked::Over,
            Some("waits") => Marked::Waits,
            _ => Marked::Lost,
        })
    }
}
