//! Every short history of one token against a model of the rules.

use super::*;

#[derive(Clone, Copy, Debug)]
enum Step {
    Claim(Who),
    Unlink(Who),
    Relink(Who, Who),
    Leave,
    /// Three seconds pass, and what is over is swept.
    Pass,
    /// Discovery tells who is there.
    Tell(&'static [Who]),
    Down(Who),
}

/// `B` is a node, `A` another one, `Next` the next life of `A`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    A,
    Next,
    B,
}

impl Who {
    const ALL: [Self; 3] = [Self::A, Self::Next, Self::B];

    fn node(self) -> Node {
        match self {
            Self::A => node("a", "1"),
            Self::Next => node("a", "2"),
            Self::B => node("b", "1"),
        }
    }
}

/// The rules once more, for one token, with nothing but scalars: each node's place is its number in [`Who`].
#[derive(Default)]
struct Model {
    now: u64,
    holder: Option<(Who, u64)>,
    present: [bool; 3],
    down: [bool; 3],
    /// From when on a node counts as gone, where it is absent and was named since then.
    gone_from: [Option<u64>; 3],
}

impl Model {
    const TTL: u64 = 7;

    fn is_gone(&self, who: Who) -> bool {
        self.gone_from[who as usize].is_some_and(|from| from <= self.now)
    }

    fn holder(&self) -> Option<Who> {
        let (who, until) = self.holder?;
        (self.now < until && !self.is_gone(who)).then_some(who)
    }

    /// An absent node's absence counts from the first time that somebody cares.
    fn note_absence(&mut self, who: Who) {
        let replaced = match who {
            Who::A => self.present[Who::Next as usize],
            Who::Next => self.present[Who::A as usize],
            Who::B => false,
        };
        let from = if replaced {
            0
        } else {
            self.now + GRACE.as_secs()
        };
        let gone_from = &mut self.gone_from[who as usize];
        *gone_from = Some(gone_from.map_or(from, |before| before.min(from)));
    }

    fn admit(&mut self, who: Who) -> Result<(), Refusal> {
        if self.down[who as usize] {
            return Err(Refusal::Gone);
        }
        if !self.present[who as usize] {
            if self.gone_from[who as usize].is_none() {
                self.note_absence(who);
            }
            if self.is_gone(who) {
                return Err(Refusal::Gone);
            }
        }
        Ok(())
    }

    fn claim(&mut self, who: Who) -> Result<Claim, Refusal> {
        match self.holder() {
            Some(held) if held != who => return Ok(Claim::Held(held.node().node)),
            Some(_) => {}
            None => self.admit(who)?,
        }
        self.holder = Some((who, self.now + Self::TTL));
        Ok(Claim::Won)
    }

    fn relink(&mut self, from: Who, to: Who) -> Result<bool, Refusal> {
        match self.holder() {
            Some(held) if held == to => {}
            Some(held) if held == from => self.admit(to)?,
            _ => return Ok(false),
        }
        self.holder = Some((to, self.now + Self::TTL));
        Ok(true)
    }

    fn end(&mut self, ends: bool) -> bool {
        if ends {
            self.holder = None;
        }
        ends
    }

    fn apply(&mut self, step: Step) -> String {
        let holder = self.holder();
        match step {
            Step::Claim(who) => format!("{:?}", self.claim(who)),
            Step::Unlink(who) => self.end(holder == Some(who)).to_string(),
            Step::Relink(from, to) => format!("{:?}", self.relink(from, to)),
            Step::Leave => usize::from(self.end(holder.is_some())).to_string(),
            Step::Down(who) => {
                self.down[who as usize] = true;
                self.gone_from[who as usize] = None;
                self.end(self.holder.is_some_and(|(held, _)| held == who));
                usize::from(holder == Some(who)).to_string()
            }
            Step::Pass => {
                self.now += 3;
                self.end(self.holder().is_none());
                for gone_from in &mut self.gone_from {
                    gone_from.take_if(|from| *from + Self::TTL <= self.now);
                }
                String::new()
            }
            Step::Tell(present) => {
                self.end(holder.is_none());
                let before = self.present;
                self.present = Who::ALL.map(|who| present.contains(&who));
                for who in Who::ALL {
                    let (is, was) = (self.present[who as usize], before[who as usize]);
                    if is {
                        self.gone_from[who as usize] = None;
                        self.down[who as usize] &= was;
                    } else if self.gone_from[who as usize].is_some() || holder == Some(who) {
                        self.note_absence(who);
                    }
                }
                String::new()
            }
        }
    }
}

fn apply(links: &mut Links, now: &mut u64, step: Step) -> String {
    let user = token("u");
    match step {
        Step::Claim(who) => format!("{:?}", links.claim(at(*now), &user, &who.node())),
        Step::Unlink(who) => links
            .unlink(at(*now), &user, &service(), &who.node().node)
            .to_string(),
        Step::Relink(from, to) => {
            let moved = links.relink(at(*now), &user, &from.node().node, &to.node());
            format!("{moved:?}")
        }
        Step::Leave => links.leave(at(*now), &user).to_string(),
        Step::Down(who) => links.down(at(*now), &who.node().node).to_string(),
        Step::Pass => {
            *now += 3;
            let (expired, _) = links.expired(at(*now));
            links.remove_expired(at(*now), &expired);
            links.tidy(at(*now));
            String::new()
        }
        Step::Tell(present) => {
            let nodes: Vec<Node> = present.iter().map(|who| who.node()).collect();
            links.update(
                at(*now),
                &service(),
                &reset(&nodes.iter().collect::<Vec<_>>()),
            );
            String::new()
        }
    }
}

#[test]
fn every_short_history_follows_the_rules() {
    use Who::{A, B, Next};
    const STEPS: [Step; 14] = [
        Step::Claim(A),
        Step::Claim(B),
        Step::Claim(Next),
        Step::Unlink(A),
        Step::Unlink(B),
        Step::Relink(A, B),
        Step::Relink(B, Next),
        Step::Leave,
        Step::Pass,
        Step::Down(A),
        Step::Tell(&[A, B]),
        Step::Tell(&[B]),
        Step::Tell(&[Next, B]),
        Step::Tell(&[A, Next, B]),
    ];
    const LENGTH: u32 = 4;
    for history in 0..STEPS.len().pow(LENGTH) {
        let mut model = Model::default();
        let mut links = Links::new(Duration::from_secs(Model::TTL), GRACE);
        links.services.entry(service()).or_default();
        let mut now = 0;
        // All begin with A and B, and a link to A.
        let steps = [Step::Tell(&[A, B]), Step::Claim(A)].into_iter();
        let steps =
            steps.chain((0..LENGTH).map(|i| STEPS[history / STEPS.len().pow(i) % STEPS.len()]));
        let mut done = Vec::new();
        for step in steps {
            done.push(step);
            let (expected, result) = (model.apply(step), apply(&mut links, &mut now, step));
            assert_eq!(result, expected, "the last step of {done:?}");
            let holder = model.holder();
            for who in Who::ALL {
                let count = links.count(at(now), &who.node().node);
                assert_eq!(
                    count,
                    usize::from(holder == Some(who)),
                    "{who:?} after {done:?}"
                );
            }
            let total: u64 = links.counts(at(now)).values().sum();
            assert!(total <= 1, "after {done:?}");
        }
    }
}
