//! Reading, counting, acking and settling deliveries.

use super::{Answer, Link, answer, ids, number, size, text, wait};
use crate::{
    consumer::{Lane, Outcome, Settled, Settlement},
    entry::{Entry, millis},
    id::EntryId,
    reply, scripts,
};
use braid_core::Result;
use braid_redis::{Dedicated, Frame, Value};

impl Link {
    /// Reads new messages, waiting for them at the server.
    pub(crate) async fn read(
        &self,
        connection: &Dedicated,
        lane: Lane,
        count: usize,
    ) -> Result<Vec<Entry>> {
        let args = vec![
            Value::from_static_str("GROUP"),
            self.group(lane),
            self.consumer(),
            Value::from_static_str("COUNT"),
            size(count),
            Value::from_static_str("BLOCK"),
            number(millis(self.limits.block)),
            Value::from_static_str("STREAMS"),
            Value::Bytes(self.names.stream.clone()),
            Value::from_static_str(">"),
        ];
        // A read that waits is answered after one block time.
        let frame = connection
            .command("XREADGROUP", args, 2 * self.limits.block)
            .await?;
        Ok(self.decode_all(reply::entries(frame)))
    }

    /// The name of a connection, by which its read can be ended.
    pub(crate) async fn connection(&self, connection: &Dedicated) -> Result<i64> {
        let args = vec![Value::from_static_str("ID")];
        let frame = connection
            .command("CLIENT", args, self.limits.block)
            .await?;
        reply::as_int(&frame).ok_or_else(|| self.unreadable("read"))
    }

    /// Ends the read that waits on a connection.
    pub(crate) async fn unblock(&self, connection: i64) -> Result<()> {
        let args = vec![Value::from_static_str("UNBLOCK"), number(connection)];
        self.command("CLIENT", args).await.map(drop)
    }

    /// What reads whose answers were lost have brought, beside what is known.
    pub(crate) async fn recover(&self, known: &[EntryId]) -> Result<Answer<Vec<Entry>>> {
        let mut args = vec![self.group(Lane::Shared), self.consumer()];
        args.extend(ids(known));
        let frame = self.run(&scripts::RECOVER, Lane::Shared, args).await?;
        Ok(answer(frame).map(|found| self.decode_all(found)))
    }

    /// Counts the hand-out of everything that this consumer has read up to `last`.
    pub(crate) async fn mark(&self, last: EntryId) -> Result<()> {
        self.note("w:", text(last.to_string())).await
    }

    /// Takes one message that is due for another attempt, which is counted. `ticket` is another one for each answer that has come;
    /// `again` after an answer that was lost: what it took is given, if it took any.
    pub(crate) async fn take(
        &self,
        ticket: u64,
        again: bool,
    ) -> Result<Answer<Option<(Entry, u32)>>> {
        let mut args = self.ending(Lane::Shared);
        args.extend([text(ticket.to_string()), number(i64::from(again))]);
        let frame = self.run(&scripts::TAKE, Lane::Shared, args).await?;
        let mut answer = reply::array(frame).into_iter();
        let next_due = wait(answer.next().as_ref());
        let results = match (answer.next(), answer.next(), answer.next()) {
            (Some(attempt), Some(id), Some(fields)) => {
                let entry = Entry::decode(&id, fields, self.names.partition)
                    .ok_or_else(|| self.unreadable("take"))?;
                let attempt = reply::as_int(&attempt).and_then(|n| u32::try_from(n).ok());
                Some((entry, attempt.unwrap_or(u32::MAX)))
            }
            _ => None,
        };
        Ok(Answer { next_due, results })
    }

    /// Puts off what was read and is to be handed out later; gives for each whether it still was early.
    pub(crate) async fn delay(&self, entries: &[(EntryId, u64)]) -> Result<Answer<Vec<bool>>> {
        let mut args = vec![self.group(Lane::Shared), self.consumer()];
        for (id, not_before) in entries {
            args.extend([text(id.to_string()), text(not_before.to_string())]);
        }
        let frame = self.run(&scripts::DELAY, Lane::Shared, args).await?;
        let early = |early: &Frame| reply::as_int(early) == Some(1);
        Ok(answer(frame).map(|all| all.iter().map(early).collect()))
    }

    /// Sends acks. Each counts, whoever holds the message now.
    pub(crate) async fn ack(&self, lane: Lane, ids: &[EntryId]) -> Result<()> {
        let mut args = Vec::with_capacity(2 + ids.len());
        args.extend([Value::Bytes(self.names.stream.clone()), self.group(lane)]);
        args.extend(super::ids(ids));
        self.command("XACK", args).await.map(drop)
    }

    /// Settles deliveries, those of them that are still held.
    pub(crate) async fn settle(
        &self,
        lane: Lane,
        settlements: &[&Settlement],
    ) -> Result<Answer<Vec<Settled>>> {
        let mut args = self.ending(lane);
        args.push(number(i64::from(lane == Lane::Keys)));
        for settlement in settlements {
            let (what, reason) = match &settlement.outcome {
                Outcome::Failed { reason, .. } => ("failed", reason.as_str()),
                Outcome::Dead { reason } => ("dead", reason.as_str()),
                Outcome::Back => ("back", ""),
            };
            args.extend([
                text(settlement.id.to_string()),
                number(i64::from(settlement.attempt)),
                Value::from_static_str(what),
                number(millis(settlement.wait())),
                text(reason),
            ]);
        }
        let frame = self.run(&scripts::SETTLE, lane, args).await?;
        let settled = |frame: &Frame| match reply::as_text(frame) {
            Some("waits") => Settled::Waits,
            Some("dead") => Settled::Dead,
            Some("gone") => Settled::Gone,
            _ => Settled::Lost,
        };
        Ok(answer(frame).map(|results| results.iter().map(settled).collect()))
    }

    /// Starts the claim time of deliveries anew; gives those that are still this consumer's.
    pub(crate) async fn beat(&self, lane: Lane, held: &[(EntryId, u32)]) -> Result<Vec<EntryId>> {
        let mut args = vec![self.group(lane), self.consumer()];
        for (id, attempt) in held {
            args.extend([text(id.to_string()), number(i64::from(*attempt))]);
        }
        let frame = self.run(&scripts::BEAT, lane, args).await?;
        let mine = reply::array(frame);
        Ok(mine
            .iter()
            .filter_map(|id| EntryId::parse(reply::as_text(id)?))
            .collect())
    }
}
