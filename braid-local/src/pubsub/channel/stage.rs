//! The stages of a pending message, and the way from one to the next.

use super::ChannelState;
use crate::pubsub::{
    log::Seq,
    terms::{ConsumerId, HandOut, Member},
};
use braid_core::BootTime;
use std::{sync::Arc, time::Duration};

#[derive(Debug)]
pub(super) struct Pending {
    /// How often it was handed out.
    pub(super) attempts: u32,
    /// It has no attempts left, for this reason, and could not be buried yet.
    pub(super) doom: Option<String>,
    pub(super) stage: Stage,
}

#[derive(Debug)]
pub(super) enum Stage {
    /// Never handed out: an older message of its key is pending.
    Blocked,
    /// May be handed out (or buried) now.
    Available,
    /// May be handed out (or buried) from then on: between two attempts, or before its delay is over.
    Waiting(BootTime),
    /// A consumer has it.
    Held(Hold),
}

#[derive(Debug)]
pub(super) struct Hold {
    pub(super) member: Arc<Member>,
    /// When others may claim it. None while the holder renews by itself.
    pub(super) deadline: Option<BootTime>,
    /// The deadline has passed. The holder keeps it until somebody claims it.
    pub(super) expired: bool,
}

impl ChannelState {
    /// Ends the stages whose time is over.
    pub(super) fn pass_time(&mut self, now: BootTime) {
        while let Some(&(time, seq)) = self.timers.first()
            && time <= now
        {
            self.timers.pop_first();
            let Some(pending) = self.pending.get_mut(&seq) else {
                continue;
            };
            if let Stage::Held(hold) = &mut pending.stage {
                hold.expired = true;
                if let Some(holder) = self.consumers.get_mut(&hold.member.consumer) {
                    holder.held -= 1;
                }
            } else {
                pending.stage = Stage::Available;
            }
            self.available.insert(seq);
        }
    }

    /// The hold that a hand-out stands for, unless it was lost.
    pub(super) fn hold(&self, out: HandOut) -> Option<&Hold> {
        let pending = self.pending.get(&out.seq)?;
        match &pending.stage {
            Stage::Held(hold) if pending.attempts == out.attempt => Some(hold),
            _ => None,
        }
    }

    pub(super) fn hold_by(&mut self, seq: Seq, member: Arc<Member>, now: BootTime) {
        let options = &member.options;
        let deadline = (!options.heartbeat).then(|| now + options.claim_after);
        self.timers.extend(deadline.map(|time| (time, seq)));
        if let Some(holder) = self.consumers.get_mut(&member.consumer) {
            holder.held += 1;
        }
        let hold = Hold {
            member,
            deadline,
            expired: false,
        };
        self.set_stage(seq, Stage::Held(hold));
    }

    pub(super) fn wait(&mut self, seq: Seq, wait: Duration, now: BootTime) {
        if wait.is_zero() {
            self.available.insert(seq);
            self.set_stage(seq, Stage::Available);
        } else {
            self.timers.insert((now + wait, seq));
            self.set_stage(seq, Stage::Waiting(now + wait));
        }
    }

    /// Lets a message that was in no stage, or `Blocked`, be handed out as soon as its delay is over.
    pub(super) fn await_due(&mut self, seq: Seq, due: Option<BootTime>) {
        match due {
            Some(due) => {
                self.timers.insert((due, seq));
                self.set_stage(seq, Stage::Waiting(due));
            }
            None => {
                self.available.insert(seq);
                self.set_stage(seq, Stage::Available);
            }
        }
    }

    pub(super) fn set_stage(&mut self, seq: Seq, stage: Stage) {
        if let Some(pending) = self.pending.get_mut(&seq) {
            pending.stage = stage;
        }
    }

    /// Takes a message out of its stage, and out of what that had entered it into; another stage follows. Returns the holder
    /// if that was full until now.
    pub(super) fn vacate(&mut self, seq: Seq) -> Option<ConsumerId> {
        let stage = &mut self.pending.get_mut(&seq)?.stage;
        match std::mem::replace(stage, Stage::Available) {
            Stage::Blocked => {}
            Stage::Available => {
                self.available.remove(&seq);
            }
            Stage::Waiting(until) => {
                self.timers.remove(&(until, seq));
            }
            Stage::Held(hold) if hold.expired => {
                self.available.remove(&seq);
            }
            Stage::Held(hold) => {
                if let Some(deadline) = hold.deadline {
                    self.timers.remove(&(deadline, seq));
                }
                let holder = self.consumers.get_mut(&hold.member.consumer)?;
                let full = holder.held >= hold.member.options.max_in_flight;
                holder.held -= 1;
                return full.then_some(hold.member.consumer);
            }
        }
        None
    }
}
