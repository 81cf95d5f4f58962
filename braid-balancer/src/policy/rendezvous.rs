//! Weighted rendezvous hashing.

use super::{Candidates, Picker, Policy, Weighted, alias::Alias};
use crate::hash;

/// The same key goes to the same node, from every client.
///
/// # Behavior
/// Each node has a hash with the key ([`Balancer::pick_for`](crate::Balancer::pick_for)), and the highest one wins: highest random weight,
/// or rendezvous hashing (Thaler and Ravishankar, "Using name-based mappings to increase hit rates", 1998). With h the hash as a number
/// between 0 and 1 and w the weight, what is compared is -w / ln(h), by which nodes get shares by weight (Schindelhauer and Schomaker,
/// "Weighted distributed hash tables", 2005).
///
/// A node that goes loses its keys to the others by weight, one that comes takes only what it gets; all other keys stay. So does a
/// change of weight. Nodes are told apart by id, so that a restart keeps its keys. Without a key a node is drawn by weight.
///
/// The hash is FNV-1a (64 bits) with the finalizer of SplitMix64, and stays what it is: clients of all versions and platforms agree. A
/// pick looks at every node.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rendezvous;

impl Rendezvous {
    /// A policy for one balancer.
    #[must_use]
    pub fn new() -> Self {
        Self
    }
}

impl Policy for Rendezvous {
    fn picker(&self, nodes: &[Weighted<'_>]) -> Box<dyn Picker> {
        let contestants = nodes.iter().map(|weighted| Contestant {
            hash: hash::stable(weighted.node.node.id.as_str().as_bytes()),
            weight: weighted.weight.into(),
        });
        Box::new(Highest {
            contestants: contestants.collect(),
            alias: Alias::new(nodes),
        })
    }
}

#[derive(Debug)]
struct Highest {
    contestants: Box<[Contestant]>,
    alias: Alias,
}

#[derive(Debug)]
struct Contestant {
    hash: u64,
    weight: f64,
}

impl Picker for Highest {
    fn pick(&self, candidates: &Candidates<'_>) -> Option<usize> {
        let Some(key) = candidates.key() else {
            return self.alias.draw();
        };
        let key = hash::stable(key.as_bytes());
        let score = |node: &Contestant| node.weight / minus_ln(hash::pair(key, node.hash));
        let scores = self.contestants.iter().map(score).enumerate();
        let (winner, _) = scores.reduce(|best, next| if next.1 > best.1 { next } else { best })?;
        Some(winner)
    }
}

/// -ln of a hash as a number between 0 and 1. By basic arithmetic only, which is the same to the last bit on every platform; a library's
/// logarithm isn't.
fn minus_ln(hash: u64) -> f64 {
    // 52 bits, and a half, which is neither 0 nor 1 and still exact.
    let number = (hash >> 12) as f64 + 0.5;
    // number = m · 2^e with m from 1/√2 to √2.
    let bits = number.to_bits();
    let (mut e, mut m) = (
        (bits >> 52) as i32 - 1023,
        f64::from_bits(bits & ((1 << 52) - 1) | 1023 << 52),
    );
    if m > std::f64::consts::SQRT_2 {
        (e, m) = (e + 1, m / 2.0);
    }
    // ln(m) = 2·artanh(s), as a series in s² ≤ 0.03.
    let s = (m - 1.0) / (m + 1.0);
    let square = s * s;
    let series = (0..9)
        .rev()
        .fold(0.0, |sum, i| sum * square + 1.0 / f64::from(2 * i + 1));
    f64::from(52 - e) * std::f64::consts::LN_2 - 2.0 * s * series
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_logarithm_is_one() {
        fastrand::seed(4);
        let extremes = [0, 1, 1 << 11, u64::MAX, u64::MAX >> 1];
        let random = (0..10_000).map(|_| fastrand::u64(..) >> fastrand::u32(..50));
        for hash in extremes.into_iter().chain(random) {
            let expected = -(((hash >> 12) as f64 + 0.5) / (1_u64 << 52) as f64).ln();
            let error = (minus_ln(hash) / expected - 1.0).abs();
            assert!(error < 1e-12, "{hash}: {error}");
        }
    }
}
