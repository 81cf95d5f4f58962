//! One channel as a pure state machine: who is handed what, when, and what a settled delivery leads to.
//!
//! No locks, timers or wakers in here: methods take the present moment, and return whom their change concerns ([`Wake`]).
//!
//! A message of the channel is either *unread* (at the cursor or behind it in the log) or *pending*, in one of the stages of
//! [`stage`]. Hand-outs are pulled, nothing is buffered for a consumer: a message that is out is in a handler's hands.
//! The attempt's number grows with each hand-out, so a message and an attempt name one hand-out, and with it its owner.

mod stage;
mod view;

use self::stage::{Pending, Stage};
use super::{
    grave::{Buried, DeadLetter, Graveyard},
    log::{Log, Seq},
    terms::{ChannelId, ConsumerId, Failed, Failure, HandOut, Member, Next, NodeKey, Then, Wake},
};
use braid_core::{Backoff, BootTime, Channel, ChannelKind, Ownership};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

/// The wait before a message that could not be buried is looked at again.
pub(super) const BURIAL_RETRY: Duration = Duration::from_secs(1);

/// What a channel acts upon and in.
pub(super) struct Env<'a> {
    pub(super) now: BootTime,
    pub(super) log: &'a mut Log,
    pub(super) graves: &'a mut dyn Graveyard,
}

const EXPIRED: &str = "not settled within the claim time";
const ABANDONED: &str = "not settled before its node was shut down";

#[derive(Debug)]
pub(super) struct ChannelState {
    id: ChannelId,
    name: Channel,
    kind: ChannelKind,
    consumers: HashMap<ConsumerId, Consumer>,
    attendance: Attendance,
    /// Everything from here on is unread.
    cursor: Seq,
    unread: usize,
    pending: BTreeMap<Seq, Pending>,
    /// What may be handed out now: stage `Available`, and `Held` beyond its deadline.
    available: BTreeSet<Seq>,
    /// When a stage ends by itself: `Waiting`, and `Held` with a deadline.
    timers: BTreeSet<(BootTime, Seq)>,
    /// The pending messages of each key in order. All but the first are `Blocked`.
    keys: HashMap<String, VecDeque<Seq>>,
}

/// Whether a channel is taken care of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attendance {
    /// It has consumers.
    Present,
    /// The last one left then.
    Vacant(BootTime),
    /// It has been vacant for too long: it is no reader of the log any more.
    Forgotten,
    /// It has consumers again, and none of them knows that it was forgotten.
    Returned,
}

#[derive(Debug)]
struct Consumer {
    member: Arc<Member>,
    /// When it last asked.
    seen: BootTime,
    /// How many deliveries count as its own: held, and not expired.
    held: usize,
}

impl ChannelState {
    /// A channel whose first message is `cursor` or what follows it.
    pub(super) fn new(
        id: ChannelId,
        name: Channel,
        kind: ChannelKind,
        cursor: Seq,
        log: &mut Log,
    ) -> Self {
        Self {
            id,
            kind,
            attendance: Attendance::Present,
            consumers: HashMap::new(),
            cursor,
            unread: log.add_reader(cursor, &name),
            pending: BTreeMap::new(),
            available: BTreeSet::new(),
            timers: BTreeSet::new(),
            keys: HashMap::new(),
            name,
        }
    }

    pub(super) fn id(&self) -> ChannelId {
        self.id
    }

    pub(super) fn kind(&self) -> ChannelKind {
        self.kind
    }

    pub(super) fn join(&mut self, member: Member, log: &mut Log, now: BootTime) {
        let consumer = Consumer {
            member: Arc::new(member),
            seen: now,
            held: 0,
        };
        self.consumers.insert(consumer.member.consumer, consumer);
        match self.attendance {
            Attendance::Forgotten => {
                self.unread = log.add_reader(self.cursor, &self.name);
                self.attendance = Attendance::Returned;
            }
            Attendance::Vacant(_) => self.attendance = Attendance::Present,
            Attendance::Present | Attendance::Returned => {}
        }
    }

    /// What the consumer holds it may still settle.
    pub(super) fn leave(&mut self, consumer: ConsumerId, now: BootTime) {
        let left = self.consumers.remove(&consumer).is_some();
        if left && self.consumers.is_empty() {
            self.attendance = Attendance::Vacant(now);
        }
    }

    /// The channel goes, and needs nothing any more.
    pub(super) fn dissolve(mut self, log: &mut Log) {
        self.give_up(log);
    }

    /// Stops holding the topic back when nobody has taken care of the channel for this long. True when that is new.
    pub(super) fn forget(&mut self, after: Duration, log: &mut Log, now: BootTime) -> bool {
        let long = |since| now.saturating_since(since) > after;
        let forgets = matches!(self.attendance, Attendance::Vacant(since) if long(since));
        if forgets {
            self.give_up(log);
            self.attendance = Attendance::Forgotten;
        }
        forgets
    }

    pub(super) fn name(&self) -> &Channel {
        &self.name
    }

    /// Whether the channel will need a message that is for this channel only, if for one.
    pub(super) fn needs(&self, only: Option<&str>) -> bool {
        self.attendance != Attendance::Forgotten
            && only.is_none_or(|only| only == self.name.as_str())
    }

    /// The topic has one more message that the channel needs.
    pub(super) fn appended(&mut self) {
        self.unread += 1;
    }

    /// The oldest message that may be handed out, for a consumer that has room for it.
    ///
    /// Hand-outs wake nobody, although they start claim times: a consumer with room that waits was woken by whatever made this
    /// message available, and learns the claim time when it looks; one without room is woken when it gets some.
    pub(super) fn next(&mut self, consumer: ConsumerId, env: &mut Env<'_>) -> Next {
        self.pass_time(env.now);
        let Some(member) = self.consumers.get_mut(&consumer) else {
            return Next::Gone;
        };
        member.seen = env.now;
        if self.attendance == Attendance::Returned {
            self.attendance = Attendance::Present;
            return Next::Forgotten;
        }
        if member.held < member.member.options.max_in_flight {
            while let Some(seq) = self.available.pop_first().or_else(|| self.read(env)) {
                match self.verdict(seq) {
                    Some((reason, without_grave)) => {
                        self.bury(seq, reason, without_grave, env);
                        // Its key's next one may be due already.
                        self.pass_time(env.now);
                    }
                    None => return self.hand_out(seq, consumer, env),
                }
            }
        }
        let until = self.timers.first().map(|(time, _)| *time);
        Next::Idle { until }
    }

    /// The message is done with, whoever holds it.
    pub(super) fn ack(&mut self, seq: Seq, log: &mut Log) -> Wake {
        if self.pending.contains_key(&seq) {
            self.finish(seq, log)
        } else {
            Wake::Nobody
        }
    }

    /// The attempt failed.
    pub(super) fn fail(&mut self, out: HandOut, failure: Failure, env: &mut Env<'_>) -> Failed {
        let Some(hold) = self.hold(out) else {
            return Failed::Lost;
        };
        let options = &hold.member.options;
        let (backoff, max_attempts) = (options.backoff, options.max_attempts);
        self.vacate(out.seq);
        let wait = match failure.then {
            Then::Backoff => Some(backoff.after(out.attempt)),
            Then::Wait(wait) => Some(wait),
            Then::DeadLetter => None,
        };
        if let Some(wait) = wait.filter(|_| out.attempt < max_attempts) {
            self.wait(out.seq, wait, env.now);
            return Failed::Done;
        }
        match self.bury(out.seq, failure.reason, longest(&backoff), env) {
            Buried::Nowhere => Failed::NoGrave,
            Buried::Done | Buried::Later => Failed::Done,
        }
    }

    /// Starts the claim time anew, where there is one.
    pub(super) fn heartbeat(&mut self, out: HandOut, now: BootTime) -> Ownership {
        let Some(hold) = self.hold(out) else {
            return Ownership::Lost;
        };
        let member = Arc::clone(&hold.member);
        self.vacate(out.seq);
        self.hold_by(out.seq, member, now);
        Ownership::Held
    }

    /// A node is gone: what it holds counts as failed. True when there was anything.
    pub(super) fn abandon(&mut self, node: NodeKey, env: &mut Env<'_>) -> bool {
        let of_node = |(seq, pending): (&Seq, &Pending)| match &pending.stage {
            Stage::Held(hold) if hold.member.node == node => Some(HandOut {
                seq: *seq,
                attempt: pending.attempts,
            }),
            _ => None,
        };
        let held: Vec<HandOut> = self.pending.iter().filter_map(of_node).collect();
        for out in &held {
            let failure = Failure {
                reason: ABANDONED.to_owned(),
                then: Then::Wait(Duration::ZERO),
            };
            self.fail(*out, failure, env);
        }
        !held.is_empty()
    }

    /// Nothing of the log is needed any more, and what is out is lost to its holders.
    fn give_up(&mut self, log: &mut Log) {
        for seq in std::mem::take(&mut self.pending).into_keys() {
            log.release(seq);
        }
        log.release_from(self.cursor, &self.name);
        self.unread = 0;
        self.available.clear();
        self.timers.clear();
        self.keys.clear();
    }

    // ===== hand-out =====

    /// Reads up to the first message that neither its key nor its delay holds back. Each message is read once.
    fn read(&mut self, env: &Env<'_>) -> Option<Seq> {
        while self.unread > 0 {
            let (seq, message) = env.log.first_from(self.cursor)?;
            self.cursor = seq + 1;
            if !message.is_for(&self.name) {
                continue;
            }
            self.unread -= 1;
            let free = message.key.as_ref().is_none_or(|key| {
                let queue = self.keys.entry(key.clone()).or_default();
                queue.push_back(seq);
                queue.len() == 1
            });
            let pending = Pending {
                attempts: 0,
                doom: None,
                stage: Stage::Blocked,
            };
            self.pending.insert(seq, pending);
            if !free {
                continue;
            }
            let due = env.log.due(seq).filter(|due| *due > env.now);
            if due.is_none() {
                self.set_stage(seq, Stage::Available);
                return Some(seq);
            }
            self.await_due(seq, due);
        }
        None
    }

    /// Why an available message must be buried instead of handed out, and the wait if there is no place for it.
    fn verdict(&self, seq: Seq) -> Option<(String, Duration)> {
        let pending = self.pending.get(&seq)?;
        if let Stage::Held(hold) = &pending.stage {
            let options = &hold.member.options;
            return (pending.attempts >= options.max_attempts)
                .then(|| (EXPIRED.to_owned(), longest(&options.backoff)));
        }
        let reason = pending.doom.clone()?;
        Some((reason, BURIAL_RETRY))
    }

    fn hand_out(&mut self, seq: Seq, consumer: ConsumerId, env: &Env<'_>) -> Next {
        let member = Arc::clone(&self.consumers[&consumer].member);
        self.hold_by(seq, member, env.now);
        let pending = self.pending.get_mut(&seq).expect("available is pending");
        pending.attempts += 1;
        let attempt = pending.attempts;
        let message = env.log.message(seq);
        let mut message = message.expect("the log keeps what is pending").clone();
        message.attempt = attempt;
        Next::Message(message, HandOut { seq, attempt })
    }

    // ===== ends =====

    /// The channel is done with a pending message.
    fn finish(&mut self, seq: Seq, log: &mut Log) -> Wake {
        let was_full = self.vacate(seq);
        self.pending.remove(&seq);
        let unblocked = self.unblock(seq, log);
        log.release(seq);
        match was_full {
            _ if unblocked => Wake::Channel,
            Some(consumer) => Wake::Consumer(consumer),
            None => Wake::Nobody,
        }
    }

    /// Lets the next message of the key pass; true when there is one.
    fn unblock(&mut self, seq: Seq, log: &Log) -> bool {
        let key = log.message(seq).and_then(|message| message.key.as_ref());
        let Some(queue) = key.and_then(|key| self.keys.get_mut(key)) else {
            return false;
        };
        debug_assert_eq!(queue.front(), Some(&seq), "only the first is handed out");
        queue.pop_front();
        if let Some(&next) = queue.front() {
            self.await_due(next, log.due(next));
            return true;
        }
        if let Some(key) = key {
            self.keys.remove(key);
        }
        false
    }

    /// Moves a message that is in no stage now to the dead letters. Where that fails it waits: to be buried later, or, where
    /// there is no place at all, for one more attempt after `without_grave`.
    fn bury(
        &mut self,
        seq: Seq,
        reason: String,
        without_grave: Duration,
        env: &mut Env<'_>,
    ) -> Buried {
        let pending = self.pending.get_mut(&seq).expect("a failed one is pending");
        let letter = DeadLetter {
            channel: &self.name,
            message: env.log.message(seq).expect("the log keeps what is pending"),
            attempts: pending.attempts,
            reason: &reason,
            again: pending.doom.is_some(),
        };
        let buried = env.graves.bury(letter);
        match buried {
            Buried::Done => {
                self.finish(seq, env.log);
            }
            Buried::Later => {
                pending.doom = Some(reason);
                self.wait(seq, BURIAL_RETRY, env.now);
            }
            Buried::Nowhere => self.wait(seq, without_grave, env.now),
        }
        buried
    }
}

/// The wait of a message that would be a dead letter if there were a place for it.
fn longest(backoff: &Backoff) -> Duration {
    backoff.max.max(BURIAL_RETRY)
}
