//! Slow start: who warms up, and how far.

use super::Member;
use crate::{Health, SlowStart};
use braid_core::{BootTime, NodeRef};
use std::{collections::BTreeMap, time::Duration};

/// Steps on the way from the first share to the full one.
const STEPS: u32 = 9;

/// What slow start remembers of the nodes.
#[derive(Debug, Default)]
pub(crate) struct Warmup {
    states: BTreeMap<NodeRef, State>,
    /// A view has been seen: who comes from now on is new.
    begun: bool,
    next: Option<BootTime>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Will warm up when it takes calls.
    Cold,
    Warming(BootTime),
    Warm,
}

impl Warmup {
    /// Moves on to `now`; sets what part of each member's weight counts.
    pub(crate) fn advance(
        &mut self,
        members: &mut [Member<'_>],
        slow_start: Option<&SlowStart>,
        now: BootTime,
    ) {
        let Some(slow_start) = slow_start else {
            *self = Self {
                begun: self.begun || !members.is_empty(),
                ..Self::default()
            };
            if self.begun {
                let warm = |member: &Member<'_>| (member.node.node.clone(), State::Warm);
                self.states = members.iter().map(warm).collect();
            }
            return;
        };
        let mut before = std::mem::take(&mut self.states);
        self.next = None;
        for member in &mut *members {
            let node = &member.node.node;
            let state = before.remove(node).unwrap_or(match self.begun {
                true => State::Cold,
                false => State::Warm,
            });
            let state = match (member.takes_part(), member.health) {
                (false, _) | (_, Health::Failed) => State::Cold,
                (true, Health::Pending) => state,
                (true, Health::Ready) => match state {
                    State::Cold => State::Warming(now),
                    other => other,
                },
            };
            let state = match state {
                State::Warming(since) => match step(slow_start, now.saturating_since(since)) {
                    Some((percent, until)) => {
                        member.percent = percent;
                        let at = since + until;
                        self.next = Some(self.next.map_or(at, |next| next.min(at)));
                        state
                    }
                    None => State::Warm,
                },
                other => other,
            };
            self.states.insert(node.clone(), state);
        }
        self.begun |= !members.is_empty();
    }

    /// The node has another life, or another place, and nothing of the former one counts for it.
    pub(crate) fn forget(&mut self, node: &NodeRef) {
        self.states.remove(node);
    }

    /// When somebody's share grows next.
    pub(crate) fn next(&self) -> Option<BootTime> {
        self.next
    }
}

/// The part of the weight that counts after `elapsed`, in percent, and until when; `None` when that is all of it for good.
fn step(slow_start: &SlowStart, elapsed: Duration) -> Option<(u32, Duration)> {
    let window = slow_start.window;
    if elapsed >= window {
        return None;
    }
    let steps = (elapsed.as_nanos() * u128::from(STEPS) / window.as_nanos()) as u32;
    let initial = (slow_start.initial * 100.0).clamp(1.0, 100.0) as u32;
    // Rounded up, so that the step has been made when its time has come.
    let until = (window.as_nanos() * u128::from(steps + 1)).div_ceil(u128::from(STEPS));
    let until = Duration::from_nanos(u64::try_from(until).unwrap_or(u64::MAX));
    Some((initial + (100 - initial) * steps / STEPS, until))
}
