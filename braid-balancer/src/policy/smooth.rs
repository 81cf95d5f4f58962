//! Smooth weighted round-robin, as nginx does it.

use super::{Candidates, Picker, Policy, Weighted};
use braid_core::NodeRef;
use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    hint::black_box,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

/// Smooth weighted round-robin: each node gets its share, and as evenly spread as can be.
///
/// # Behavior
/// For nodes sorted by [`NodeRef`] the picks are exactly nginx's (`ngx_http_upstream_round_robin.c`): every node's current weight grows
/// by its weight, the node with the highest one is picked (the first of equals), and the sum of all weights is taken from it.
///
/// That sequence repeats after the sum of the weights, divided by their greatest common divisor. It is worked out when the table
/// changes, so that a pick is one atomic addition and one index. When the sum is above [`SmoothWeighted::MAX_PERIOD`] the weights are
/// scaled down to it, rounded down but at least to 1: with n nodes, a node's share is then off by at most
/// (1 + n · share) / (`MAX_PERIOD` - n).
///
/// A change of the table doesn't begin the sequence anew, which would hit the heaviest node first each time. Nodes keep what they
/// are owed (or owe) from before, and the new sequence is entered where it comes closest to that; if nodes and weights are the
/// same as before, it just goes on.
#[derive(Debug, Default)]
pub struct SmoothWeighted {
    last: Mutex<Option<Turn>>,
}

/// The picks of one table, and what it needs to hand over to the next one.
#[derive(Debug)]
struct Turn {
    nodes: Vec<NodeRef>,
    weights: Vec<u32>,
    // What each node was owed, in picks, over and above what the sequence owes it at its start.
    carried: Vec<f64>,
    // What nodes were owed when they left, the last to leave at the end: they may come back.
    absent: VecDeque<(NodeRef, f64)>,
    wheel: Arc<Wheel>,
}

#[derive(Debug)]
struct Wheel {
    // The sequence, once or several times.
    round: Box<[u32]>,
    cursor: AtomicUsize,
}

/// A wheel goes on turning over tables whose nodes and weights are the same.
#[derive(Debug)]
struct Turning(Arc<Wheel>);

/// Further debts than this are forgotten, in picks.
const MAX_CARRIED: f64 = 2.0;

/// A wheel's round isn't shorter than this by more than half: the end of one costs as much as a pick.
const MIN_ROUND: usize = 1_024;

/// Debts of more nodes than this that have left are forgotten.
const MAX_ABSENT: usize = 256;

impl SmoothWeighted {
    /// The longest sequence, as long as there aren't more nodes than this.
    pub const MAX_PERIOD: u32 = 65_536;

    /// A policy for one balancer.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Policy for SmoothWeighted {
    fn picker(&self, nodes: &[Weighted<'_>]) -> Box<dyn Picker> {
        let weights = reduced(nodes.iter().map(|weighted| weighted.weight));
        let same = |turn: &Turn| {
            let before = turn.nodes.iter().zip(&turn.weights);
            let now = nodes
                .iter()
                .map(|weighted| &weighted.node.node)
                .zip(&weights);
            before.eq(now)
        };
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turn) = last.as_ref().filter(|turn| same(turn)) {
            return Box::new(Turning(Arc::clone(&turn.wheel)));
        }
        let turn = Turn::after(last.as_ref(), nodes, weights);
        let picker = Turning(Arc::clone(&turn.wheel));
        *last = Some(turn);
        Box::new(picker)
    }
}

impl Picker for Turning {
    #[inline]
    fn pick(&self, _: &Candidates<'_>) -> Option<usize> {
        let Wheel { round, cursor } = &*self.0;
        // The node is looked up by what the cursor most likely is, so that the processor fetches it while the cursor moves on, and
        // needn't wait for that first. The black box keeps the compiler from taking the one look-up for the other.
        let guess = cursor.load(Relaxed);
        let guessed = black_box(round.get(guess).copied());
        let mut place = cursor.fetch_add(1, Relaxed);
        if let Some(index) = guessed.filter(|_| place == guess) {
            return Some(index as usize);
        }
        if round.is_empty() {
            return None;
        }
        if place >= round.len() {
            // Whoever completes a round takes it off, so that dividing, which costs as much as the rest, is rare.
            place %= round.len();
            if place == 0 {
                cursor.fetch_sub(round.len(), Relaxed);
            }
        }
        Some(round[place] as usize)
    }
}

impl Turn {
    fn after(before: Option<&Turn>, nodes: &[Weighted<'_>], weights: Vec<u32>) -> Self {
        let sequence = sequence(&weights);
        let total = sequence.len() as f64;
        let mut former = before.map(Turn::owed).unwrap_or_default();
        let mut owed: Vec<f64> = nodes
            .iter()
            .map(|weighted| former.remove(&weighted.node.node).unwrap_or_default())
            .collect();
        // A sequence owes nothing on the whole; what remains over is shared out by weight.
        let over: f64 = owed.iter().sum();
        for (owed, weight) in owed.iter_mut().zip(&weights) {
            *owed -= over * f64::from(*weight) / total;
        }
        let start = closest(&sequence, &weights, &owed);
        let at_start = owed_at(&sequence, &weights, start);
        let carried = owed
            .iter()
            .zip(at_start)
            .map(|(owed, there)| (owed - there).clamp(-MAX_CARRIED, MAX_CARRIED))
            .collect();
        Self {
            nodes: nodes
                .iter()
                .map(|weighted| weighted.node.node.clone())
                .collect(),
            weights,
            carried,
            absent: before.map(|turn| turn.left(former)).unwrap_or_default(),
            wheel: Arc::new(Wheel {
                round: sequence
                    .repeat((MIN_ROUND / sequence.len().max(1)).max(1))
                    .into(),
                cursor: AtomicUsize::new(start),
            }),
        }
    }

    /// What each node is owed now, in picks, those that have left included.
    fn owed(&self) -> HashMap<&NodeRef, f64> {
        let Wheel { round, cursor } = &*self.wheel;
        let period: u32 = self.weights.iter().sum();
        let sequence = &round[..period as usize];
        let place = cursor.load(Relaxed) % sequence.len().max(1);
        let here = owed_at(sequence, &self.weights, place);
        let present = here.iter().zip(&self.carried).map(|(a, b)| a + b);
        let absent = self.absent.iter().map(|(node, owed)| (node, *owed));
        self.nodes.iter().zip(present).chain(absent).collect()
    }

    /// What to remember of the nodes in `owed`, all of which are absent now.
    fn left(&self, owed: HashMap<&NodeRef, f64>) -> VecDeque<(NodeRef, f64)> {
        let before = self.absent.iter().map(|(node, _)| node);
        let mut absent: VecDeque<_> = before
            .chain(&self.nodes)
            .filter_map(|node| owed.get(node).map(|owed| (node.clone(), *owed)))
            .collect();
        absent.drain(..absent.len().saturating_sub(MAX_ABSENT));
        absent
    }
}

/// What the nodes are owed after the first `place` picks of a sequence: their share of these, less what they got.
fn owed_at(sequence: &[u32], weights: &[u32], place: usize) -> Vec<f64> {
    let step = place as f64 / sequence.len().max(1) as f64;
    let mut owed: Vec<f64> = weights.iter().map(|w| f64::from(*w) * step).collect();
    for index in &sequence[..place] {
        owed[*index as usize] -= 1.0;
    }
    owed
}

/// The place in the sequence at which nodes are owed what comes closest (by least squares) to `owed`.
fn closest(sequence: &[u32], weights: &[u32], owed: &[f64]) -> usize {
    // Node i is off by f(i) = p·s(i) - got(i) - owed(i). One more pick adds its share s to each f and takes 1 from that of the picked
    // node, so that Σf² and Σfs can be carried along. They stay small, and so do their rounding errors.
    let total = sequence.len() as f64;
    let shares: Vec<f64> = weights.iter().map(|w| f64::from(*w) / total).collect();
    let ss: f64 = shares.iter().map(|s| s * s).sum();
    let mut fs: f64 = shares.iter().zip(owed).map(|(s, owed)| -s * owed).sum();
    let mut ff: f64 = owed.iter().map(|owed| owed * owed).sum();
    let mut got = vec![0.0; owed.len()];
    let (mut best, mut least) = (0, ff);
    for (picks, index) in sequence.iter().enumerate() {
        // The margin keeps rounding from preferring a later place to an equal earlier one.
        if ff < least - 1e-6 {
            (best, least) = (picks, ff);
        }
        let index = *index as usize;
        ff += 2.0 * fs + ss;
        fs += ss;
        let f = (picks + 1) as f64 * shares[index] - got[index] - owed[index];
        ff += 1.0 - 2.0 * f;
        fs -= shares[index];
        got[index] += 1.0;
    }
    best
}

/// The same proportions in the smallest whole numbers, or near them where these add up to more than the longest period.
fn reduced(weights: impl Iterator<Item = u32>) -> Vec<u32> {
    let mut weights: Vec<u32> = weights.collect();
    divide_by_gcd(&mut weights);
    let sum: u64 = weights.iter().copied().map(u64::from).sum();
    let limit = u64::from(SmoothWeighted::MAX_PERIOD);
    if sum > limit {
        for weight in &mut weights {
            let scaled = u64::from(*weight) * limit / sum;
            *weight = u32::try_from(scaled)
                .expect("at most the limit, which is a u32")
                .max(1);
        }
        divide_by_gcd(&mut weights);
    }
    weights
}

fn divide_by_gcd(weights: &mut [u32]) {
    let gcd = weights.iter().copied().fold(0, |a, b| {
        let (mut a, mut b) = (a, b);
        while b != 0 {
            (a, b) = (b, a % b);
        }
        a
    });
    for weight in weights {
        *weight /= gcd.max(1);
    }
}

/// One period of nginx's picks.
///
/// Nodes of equal weight are picked in turn, so only one of each group has to be looked at: the cost is the period times the number of
/// different weights. The groups' numbers lie apart from their members, so that both loops over them take several at a time.
fn sequence(weights: &[u32]) -> Box<[u32]> {
    let mut by_weight = BTreeMap::<u32, Vec<u32>>::new();
    for (index, weight) in (0..).zip(weights) {
        by_weight.entry(*weight).or_default().push(index);
    }
    let number = |weight: u32| i32::try_from(weight).expect("reduced to the longest period");
    let steps: Vec<i32> = by_weight.keys().map(|weight| number(*weight)).collect();
    let groups: Vec<Vec<u32>> = by_weight.into_values().collect();
    let total: i32 = weights.iter().map(|weight| number(*weight)).sum();
    // What the next member of each group has now; and which one that is.
    let mut current = vec![0; groups.len()];
    let mut next = vec![0; groups.len()];
    (0..total)
        .map(|_| {
            for (current, step) in current.iter_mut().zip(&steps) {
                *current += step;
            }
            let highest = current.iter().copied().fold(i32::MIN, i32::max);
            let (group, picked) = (0..groups.len())
                .filter(|group| current[*group] == highest)
                .map(|group| (group, groups[group][next[group]]))
                .min_by_key(|(_, member)| *member)
                .expect("weights that add up to something come from a node");
            next[group] += 1;
            // The next member has waited as long as this one did, unless a round is complete.
            if next[group] == groups[group].len() {
                next[group] = 0;
                current[group] -= total;
            }
            picked
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_reduced_to_their_proportions() {
        let reduce = |weights: &[u32]| reduced(weights.iter().copied());
        assert!(reduce(&[]).is_empty());
        assert_eq!(reduce(&[7]), [1]);
        assert_eq!(reduce(&[500, 300, 100]), [5, 3, 1]);
        assert_eq!(reduce(&[u32::MAX, u32::MAX]), [1, 1]);
    }

    #[test]
    fn weights_with_a_long_period_are_scaled_within_the_stated_bound() {
        for weights in [
            vec![u32::MAX, 1],
            vec![u32::MAX, u32::MAX - 1, 3, 2, 1],
            (1..=1000).map(|w| w * 7919 + 1).collect(),
        ] {
            let scaled = reduced(weights.iter().copied());
            let sum = |weights: &[u32]| weights.iter().map(|w| f64::from(*w)).sum::<f64>();
            let (n, limit) = (weights.len() as f64, f64::from(SmoothWeighted::MAX_PERIOD));
            assert!(sum(&scaled) <= limit + n);
            for (weight, scaled_weight) in weights.iter().zip(&scaled) {
                let share = f64::from(*weight) / sum(&weights);
                let deviation = (f64::from(*scaled_weight) / sum(&scaled) - share).abs();
                assert!(*scaled_weight >= 1);
                assert!(deviation <= (1.0 + n * share) / (limit - n), "{deviation}");
            }
        }
    }

    #[test]
    fn the_place_that_owes_the_same_is_found_again() {
        let weights = [5, 3, 1];
        let sequence = sequence(&weights);
        for place in 0..sequence.len() {
            let owed = owed_at(&sequence, &weights, place);
            assert_eq!(closest(&sequence, &weights, &owed), place);
        }
    }
}
