//! The worker's side of a consumer: what was read comes in, what is to be told goes out.

use super::{Consumer, Item, Lane, Next, Outcome, Settlement, wake};
use crate::{entry::Entry, id::EntryId, worker};
use braid_core::{Error, ErrorKind};
use foldhash::HashSet;
use std::time::{Duration, Instant};

impl Consumer {
    /// How many may be read now; none while it is better to wait for more room.
    pub(crate) fn room(&self, lane: Lane) -> usize {
        let most = self.options().max_in_flight;
        let state = self.state();
        let buffered = state.unmarked.len() + state.marked.len();
        let (room, starving) = match lane {
            Lane::Shared => (state.free(most, &self.limit), buffered == 0),
            // What its key holds back counts too, but not against the partition's share: one key would keep the others out.
            Lane::Keys => {
                let room = self.limit.most().saturating_sub(state.lane.len());
                (room, !state.lane.has_ready())
            }
        };
        if room >= (most / 2).max(1) || (starving && room > 0) {
            room.min(worker::MOST_A_READ)
        } else {
            0
        }
    }

    /// Takes in what was read.
    pub(crate) fn read(&self, entries: Vec<Entry>, read_at: Instant) {
        let mut state = self.state();
        state.troubled = false;
        let state = &mut *state;
        for entry in entries {
            let item = Item {
                id: entry.id,
                lane: Lane::Shared,
                message: entry.message,
                since: read_at,
            };
            state.unmarked.push_back(item);
        }
        self.wake.hand_out.notify_one();
    }

    /// Takes in messages with keys, each with its time to wait and how often it was handed out.
    pub(crate) fn read_keyed(&self, entries: impl IntoIterator<Item = (Entry, Duration, u32)>) {
        let now = Instant::now();
        let mut state = self.state();
        state.troubled = false;
        for (entry, wait, handed) in entries {
            let id = entry.id;
            if state.acks_of_keys.contains(&id) || state.unsent_of_keys.contains(&id) {
                continue;
            }
            state.lane.push(entry, now + wait, handed);
            if let Some(attempt) = state.held.get(&id).map(|held| held.attempt) {
                // The lease was away and has come back; its handler still has it.
                let _ = state.lane.take(id, now, attempt);
            }
        }
        drop(state);
        self.wake.hand_out.notify_one();
    }

    /// Acks what was read and is for others to hand out.
    pub(crate) fn ack_read(&self, lane: Lane, ids: Vec<EntryId>) {
        if ids.is_empty() {
            return;
        }
        match lane {
            Lane::Shared => self.state().acks.extend(ids),
            Lane::Keys => self.state().acks_of_keys.extend(ids),
        }
        self.wake.acks.notify_one();
    }

    /// What to hand out next, if somebody waits for it; else when to look again.
    pub(crate) fn next(&self) -> std::result::Result<Next, Option<Instant>> {
        let mut state = self.state();
        let now = Instant::now();
        let demand = state.demands(&self.limit);
        if demand && state.marked.is_empty() {
            if let Some(candidate) = state.lane.next(now) {
                return Ok(Next::Keyed(candidate));
            }
            if state.next_due.is_some_and(|due| due <= now) {
                return Ok(Next::Due);
            }
        }
        if state.wants_next(&self.limit) && !state.unmarked.is_empty() {
            let count = state.window.size().min(state.unmarked.len());
            return Ok(Next::Read(state.unmarked[count - 1].id, count));
        }
        if !demand {
            return Err(None);
        }
        Err(state
            .next_due
            .into_iter()
            .chain(state.lane.next_due())
            .min())
    }

    /// The attempts of the first that were read are counted.
    pub(crate) fn marked(&self, last: EntryId, count: usize) {
        let now = Instant::now();
        let waker = {
            let mut state = self.state();
            let state = &mut *state;
            for _ in 0..count {
                match state.unmarked.pop_front() {
                    Some(mut item) if item.id <= last => {
                        let stale = now.saturating_duration_since(item.since.max(state.renewed));
                        if stale < self.options().claim_after {
                            item.since = now;
                        }
                        state.marked.push_back(item);
                    }
                    Some(item) => {
                        state.unmarked.push_front(item);
                        break;
                    }
                    None => break,
                }
            }
            state.waker.take()
        };
        wake(waker);
    }

    /// The attempt of a message with a key is counted.
    pub(crate) fn marked_keyed(&self, id: EntryId, attempt: u32) {
        let now = Instant::now();
        let waker = {
            let mut state = self.state();
            let Some(message) = state.lane.take(id, now, attempt) else {
                return;
            };
            state.marked.push_back(Item {
                id,
                lane: Lane::Keys,
                message,
                since: now,
            });
            state.waker.take()
        };
        wake(waker);
    }

    /// A message was taken for another attempt, which is counted.
    pub(crate) fn taken(&self, entry: Entry, attempt: u32) {
        let waker = {
            let mut state = self.state();
            let mut message = entry.message;
            message.attempt = attempt;
            state.marked.push_back(Item {
                id: entry.id,
                lane: Lane::Shared,
                message,
                since: Instant::now(),
            });
            state.waker.take()
        };
        wake(waker);
    }

    /// A message with a key is done with, or comes again.
    pub(crate) fn keyed(&self, id: EntryId, again: Option<Duration>) {
        let mut state = self.state();
        match again {
            Some(wait) => {
                let due = Instant::now() + wait;
                state.lane.again(id, due);
            }
            None => state.lane.done(id),
        }
    }

    /// The server may have counted a hand-out of this message, which didn't take place.
    pub(crate) fn unsure_keyed(&self, id: EntryId) {
        self.state().lane.unsure(id);
    }

    /// Another consumer hands out the messages with keys now.
    pub(crate) fn lease_lost(&self) {
        self.state().lane.clear();
    }

    pub(crate) fn take_back_overdue(&self) -> Option<Instant> {
        if self.options().heartbeat {
            return None;
        }
        let next = self
            .state()
            .lane
            .take_back(Instant::now(), self.options().claim_after);
        if self.state().lane.has_ready() || next.is_some() {
            self.wake.hand_out.notify_one();
        }
        next
    }

    pub(crate) fn set_next_due(&self, due: Option<Duration>) {
        let due = due.map(|wait| Instant::now() + wait);
        self.state().next_due = due;
        if due.is_some() {
            self.wake.hand_out.notify_one();
        }
    }

    pub(crate) fn set_has_keys(&self) {
        let new = !std::mem::replace(&mut self.state().has_keys, true);
        if new {
            self.wake.keys.notify_one();
        }
    }

    /// There are no messages with keys any more: what was known of them was deleted.
    pub(crate) fn no_keys(&self) {
        self.state().has_keys = false;
    }

    pub(crate) fn has_keys(&self) -> bool {
        self.state().has_keys
    }

    /// The acks that the server may not have yet: those of the shared lane, and those of messages with keys.
    pub(crate) fn unsent_acks(&self) -> (Vec<EntryId>, Vec<EntryId>) {
        let mut state = self.state();
        let state = &mut *state;
        state.unsent.append(&mut state.acks);
        state.unsent_of_keys.append(&mut state.acks_of_keys);
        (state.unsent.clone(), state.unsent_of_keys.clone())
    }

    /// What [`unsent_acks`](Self::unsent_acks) gave last is on the server.
    pub(crate) fn acks_sent(&self) {
        let mut state = self.state();
        state.unsent.clear();
        state.unsent_of_keys.clear();
    }

    pub(crate) fn take_dropped(&self) -> Vec<(Lane, Settlement)> {
        std::mem::take(&mut self.state().dropped)
    }

    /// What the claim time has to be started anew for: all that is buffered, and what is handed out unless that is its holder's part.
    pub(crate) fn to_renew(&self) -> Vec<(EntryId, u32)> {
        let state = self.state();
        let buffered = state.unmarked.iter().chain(&state.marked);
        let buffered = buffered
            .filter(|item| item.lane == Lane::Shared)
            .map(|item| (item.id, item.message.attempt));
        let held = state
            .held
            .iter()
            .filter(|(_, held)| held.lane == Lane::Shared && self.options().heartbeat)
            .map(|(id, held)| (*id, held.attempt));
        buffered.chain(held).collect()
    }

    /// The claim time of `asked` was started anew at `at`, but for what is no longer this consumer's.
    pub(crate) fn renewed(&self, at: Instant, asked: &[(EntryId, u32)], mine: &HashSet<EntryId>) {
        let mut state = self.state();
        state.renewed = at;
        if mine.len() < asked.len() {
            let lost = crate::id::lost(asked, mine);
            let here = |item: &Item| {
                item.lane == Lane::Keys || !lost.contains(&(item.id, item.message.attempt))
            };
            state.unmarked.retain(here);
            state.marked.retain(here);
        }
    }

    /// Forgets what was not handed out. Gives the messages with keys among it whose hand-outs are counted already.
    pub(crate) fn clear_buffered(&self) -> Vec<(Lane, Settlement)> {
        let mut state = self.state();
        state.lane.clear();
        state.unmarked.clear();
        let marked = std::mem::take(&mut state.marked);
        let keyed = marked.into_iter().filter(|item| item.lane == Lane::Keys);
        let back = |item: Item| {
            let settlement = Settlement {
                id: item.id,
                attempt: item.message.attempt,
                outcome: Outcome::Back,
            };
            (item.lane, settlement)
        };
        keyed.map(back).collect()
    }

    /// Everything of the shared lane that is here.
    pub(crate) fn known(&self) -> Vec<EntryId> {
        let state = self.state();
        let buffered = state
            .unmarked
            .iter()
            .chain(&state.marked)
            .map(|item| item.id);
        // What is settled may not be so on the server yet.
        let settled = state.acks.iter().chain(&state.unsent).copied();
        buffered
            .chain(state.held.keys().copied())
            .chain(settled)
            .collect()
    }

    /// What is handed out and not settled, or settled and not sent.
    pub(crate) fn held(&self) -> Vec<EntryId> {
        let state = self.state();
        let dropped = state.dropped.iter().map(|(_, settlement)| settlement.id);
        let settled = state.acks.iter().chain(&state.unsent).copied();
        state
            .held
            .keys()
            .copied()
            .chain(dropped)
            .chain(settled)
            .collect()
    }

    /// How much is handed out and not settled: altogether, and of messages with keys.
    pub(crate) fn holds(&self) -> (usize, usize) {
        let state = self.state();
        let keyed = state.held.values().filter(|held| held.lane == Lane::Keys);
        (state.held.len() + state.dropped.len(), keyed.count())
    }

    /// Tells the subscription of a fault, once until something goes well again.
    pub(crate) fn fault(&self, error: Error) {
        let waker = {
            let mut state = self.state();
            if std::mem::replace(&mut state.troubled, true) {
                return;
            }
            tracing::warn!(topic = %self.link.topic(), channel = %self.link.channel(), %error, "the subscription goes on after a fault");
            state.faults.push_back(error);
            state.waker.take()
        };
        wake(waker);
    }

    /// What the worker does beside reading and handing out went wrong, and is tried again. The reader finds out about servers that
    /// are away. That something is not permitted nobody else would tell, so that the subscription is told, once.
    pub(crate) fn setback(&self, task: &'static str, error: Error) {
        let refused = error.kind() == ErrorKind::Config;
        if refused && self.state().refusals.insert(error.to_string()) {
            self.tell(error);
        } else {
            tracing::debug!(topic = %self.link.topic(), channel = %self.link.channel(), %error, task, "went wrong behind the subscription");
        }
    }

    /// Tells the subscription of something that has happened and is over.
    pub(crate) fn tell(&self, error: Error) {
        self.state().troubled = false;
        self.fault(error);
        self.state().troubled = false;
    }
}
