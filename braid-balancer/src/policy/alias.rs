//! Draws by weight in constant time.

use super::Weighted;

/// An alias table, made by Vose's method ("A linear algorithm for generating random numbers with a given distribution", 1991).
///
/// Each slot stands for an equal part of all draws, and is shared by at most two nodes: its own, and an alias.
#[derive(Debug)]
pub(super) struct Alias(Box<[Slot]>);

#[derive(Clone, Copy, Debug)]
struct Slot {
    /// Coins up to this one are the slot's own node's.
    own: u32,
    alias: u32,
}

impl Alias {
    pub(super) fn new(nodes: &[Weighted<'_>]) -> Self {
        let sum: f64 = nodes.iter().map(|node| f64::from(node.weight)).sum();
        let mean = sum / nodes.len() as f64;
        // How full of its own node a slot is. What is over in one fills up the others.
        let mut parts: Vec<f64> = nodes
            .iter()
            .map(|node| f64::from(node.weight) / mean)
            .collect();
        let mut slots: Vec<Slot> = (0..)
            .zip(nodes)
            .map(|(alias, _)| Slot {
                own: u32::MAX,
                alias,
            })
            .collect();
        let (mut small, mut large): (Vec<usize>, Vec<usize>) =
            (0..nodes.len()).partition(|index| parts[*index] < 1.0);
        // Where rounding leaves one over, it fills its slot.
        while let (Some(less), Some(more)) = (small.pop(), large.pop()) {
            slots[less] = Slot {
                own: (parts[less] * f64::from(u32::MAX)) as u32,
                alias: u32::try_from(more).expect("there are fewer nodes than addresses"),
            };
            parts[more] -= 1.0 - parts[less];
            let rest = if parts[more] < 1.0 {
                &mut small
            } else {
                &mut large
            };
            rest.push(more);
        }
        Self(slots.into())
    }

    /// A node's place, by its weight; `None` when there is none.
    #[inline]
    pub(super) fn draw(&self) -> Option<usize> {
        let random = fastrand::u64(..);
        // The upper half chooses the slot: multiplied and shifted, which is cheaper than a remainder.
        let place = ((random >> 32) * self.0.len() as u64) >> 32;
        let slot = self.0.get(place as usize)?;
        let own = random as u32 <= slot.own;
        Some(if own {
            place as usize
        } else {
            slot.alias as usize
        })
    }

    /// Another node's place than `first`, by weight too, unless `first` outweighs all others by far. There are two nodes at least.
    #[inline]
    pub(super) fn draw_other(&self, first: usize) -> Option<usize> {
        for _ in 0..4 {
            let other = self.draw()?;
            if other != first {
                return Some(other);
            }
        }
        let other = fastrand::usize(..self.0.len() - 1);
        Some(other + usize::from(other >= first))
    }
}
