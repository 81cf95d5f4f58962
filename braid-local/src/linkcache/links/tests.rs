//! The links' state machine: rules one by one, then every short history against a model of them.

use super::*;
use braid_core::Uid;

const TTL: Duration = Duration::from_secs(100);
const GRACE: Duration = Duration::from_secs(5);

fn at(seconds: u64) -> BootTime {
    BootTime::from_origin(Duration::from_secs(seconds))
}

fn service() -> ServiceName {
    ServiceName::new("login").unwrap()
}

fn token(text: &str) -> Token {
    Token::new(text).unwrap()
}

fn node(id: &str, uid: &str) -> Node {
    let node = NodeRef::new(NodeId::new(id).unwrap(), Uid::new(uid).unwrap());
    Node::new(service(), node, "127.0.0.1:1".parse().unwrap())
}

fn upsert(node: &Node) -> Update {
    Update::Upsert(Arc::new(node.clone()))
}

fn reset(nodes: &[&Node]) -> Update {
    Update::Reset(nodes.iter().map(|&node| Arc::new(node.clone())).collect())
}

/// Links of a fleet that discovery has told of these nodes.
fn fleet(nodes: &[&Node]) -> Links {
    let mut links = Links::new(TTL, GRACE);
    links.services.entry(service()).or_default();
    links.update(at(0), &service(), &reset(nodes));
    links
}

#[test]
fn the_first_claim_wins_and_the_others_learn_of_it() {
    let (a, b) = (node("a", "1"), node("b", "1"));
    let (user, mut links) = (token("u"), fleet(&[&a, &b]));
    assert_eq!(links.claim(at(0), &user, &a), Ok(Claim::Won));
    assert_eq!(
        links.claim(at(0), &user, &b),
        Ok(Claim::Held(a.node.clone()))
    );
    assert_eq!(links.claim(at(0), &user, &a), Ok(Claim::Won), "renewed");
    assert_eq!(links.target(at(0), &user, &service()), Some(a.node.clone()));
    assert_eq!(links.count(at(0), &a.node), 1);
}

#[test]
fn a_late_unlink_by_a_former_owner_changes_nothing() {
    let (a, b) = (node("a", "1"), node("b", "1"));
    let (user, mut links) = (token("u"), fleet(&[&a, &b]));
    assert_eq!(links.claim(at(0), &user, &a), Ok(Claim::Won));
    assert_eq!(links.leave(at(1), &user), 1);
    assert_eq!(links.claim(at(2), &user, &b), Ok(Claim::Won));
    assert!(!links.unlink(at(3), &user, &service(), &a.node));
    assert_eq!(links.target(at(3), &user, &service()), Some(b.node.clone()));
    assert!(links.unlink(at(3), &user, &service(), &b.node));
    assert_eq!(links.target(at(3), &user, &service()), None);
}

#[test]
fn use_renews_a_link_and_neglect_ends_it() {
    let a = node("a", "1");
    let (user, mut links) = (token("u"), fleet(&[&a]));
    assert_eq!(links.claim(at(0), &user, &a), Ok(Claim::Won));
    assert_eq!(
        links.target(at(99), &user, &service()),
        Some(a.node.clone())
    );
    assert_eq!(
        links.target(at(198), &user, &service()),
        Some(a.node.clone())
    );
    assert_eq!(links.count(at(297), &a.node), 1);
    assert_eq!(
        links.count(at(298), &a.node),
        0,
        "not swept, and counts as absent"
    );
    assert_eq!(links.target(at(298), &user, &service()), None);
    assert!(!links.unlink(at(298), &user, &service(), &a.node));
}

#[test]
fn what_a_sweep_finds_expired_is_spared_when_it_was_claimed_meanwhile() {
    let a = node("a", "1");
    let (user, mut links) = (token("u"), fleet(&[&a]));
    assert_eq!(links.claim(at(0), &user, &a), Ok(Claim::Won));
    assert_eq!(links.expired(at(99)), (vec![], at(100)));
    let (expired, next) = links.expired(at(100));
    assert_eq!((expired.len(), next), (1, at(200)));
    assert_eq!(links.claim(at(100), &user, &a), Ok(Claim::Won));
    links.remove_expired(at(100), &expired);
    assert_eq!(links.count(at(100), &a.node), 1);
    links.remove_expired(at(200), &expired);
    assert!(links.services[&service()].link(&user).is_none());
}

#[test]
fn a_node_is_gone_when_it_was_absent_for_the_grace_period() {
    let (a, b) = (node("a", "1"), node("b", "1"));
    let (user, mut links) = (token("u"), fleet(&[&a, &b]));
    assert_eq!(links.claim(at(0), &user, &a), Ok(Claim::Won));
    links.update(at(10), &service(), &Update::Remove(a.node.clone()));
    // More news of others doesn't start the grace period anew.
    links.update(at(12), &service(), &upsert(&b));
    assert_eq!(
        links.target(at(14), &user, &service()),
        Some(a.node.clone())
    );
    assert_eq!(links.target(at(15), &user, &service()), None);
    assert_eq!(links.count(at(15), &a.node), 0);
    let late = token("late");
    assert_eq!(links.claim(at(15), &late, &a), Err(Refusal::Gone));
    assert_eq!(links.claim(at(15), &user, &b), Ok(Claim::Won));
}

#[test]
fn a_node_that_is_back_within_the_grace_period_keeps_its_links() {
    let a = node("a", "1");
    let (user, mut links) = (token("u"), fleet(&[&a]));
    assert_eq!(links.claim(at(0), &user, &a), Ok(Claim::Won));
    links.update(at(10), &service(), &Update::Remove(a.node.clone()));
    links.update(at(14), &service(), &upsert(&a));
    assert_eq!(
        links.target(at(50), &user, &service()),
        Some(a.node.clone())
    );
    // Its next absence has a grace period of its own.
    links.update(at(60), &service(), &reset(&[]));
    assert_eq!(links.count(at(64), &a.node), 1);
    assert_eq!(links.count(at(65), &a.node), 0);
}

#[test]
fn a_node_that_is_back_after_it_was_gone_starts_without_links() {
    let a = node("a", "1");
    let (user, mut links) = (token("u"), fleet(&[&a]));
    assert_eq!(links.claim(at(0), &user, &a), Ok(Claim::Won));
    links.update(at(10), &service(), &Update::Remove(a.node.clone()));
    links.update(at(20), &service(), &upsert(&a));
    assert_eq!(links.target(at(20), &user, &service()), None, "revived");
    assert_eq!(links.claim(at(20), &user, &a), Ok(Claim::Won));
}

#[test]
fn a_link_to_a_former_life_is_never_followed_and_is_replaced() {
    let (former, present) = (node("a", "1"), node("a", "2"));
    let (user, mut links) = (token("u"), fleet(&[&former]));
    assert_eq!(links.claim(at(0), &user, &former), Ok(Claim::Won));
    links.update(at(1), &service(), &reset(&[&present]));
    assert_eq!(links.target(at(1), &user, &service()), None);
    assert_eq!(links.claim(at(1), &user, &present), Ok(Claim::Won));
    assert_eq!(
        links.claim(at(1), &user, &former),
        Ok(Claim::Held(present.node.clone()))
    );
    assert_eq!(links.leave(at(1), &user), 1);
    assert_eq!(links.claim(at(1), &user, &former), Err(Refusal::Gone));
}

#[test]
fn a_draining_node_keeps_its_links_and_gets_no_new_one() {
    let (a, b) = (node("a", "1"), node("b", "1"));
    let (old, new) = (token("old"), token("new"));
    let mut links = fleet(&[&a, &b]);
    assert_eq!(links.claim(at(0), &old, &a), Ok(Claim::Won));

    links.update(
        at(1),
        &service(),
        &upsert(&a.clone().with_state(NodeState::Draining)),
    );
    assert_eq!(links.claim(at(1), &new, &a), Err(Refusal::Draining));
    assert_eq!(
        links.claim(at(1), &old, &a),
        Ok(Claim::Won),
        "an old link is honoured"
    );
    links.update(at(2), &service(), &upsert(&a));
    assert_eq!(
        links.claim(at(2), &new, &a),
        Ok(Claim::Won),
        "it drains no more"
    );

    links.close(at(3), &b.node);
    links.update(at(4), &service(), &upsert(&b));
    assert_eq!(links.claim(at(4), &token("b"), &b), Err(Refusal::Draining));
    let told = b.clone().with_state(NodeState::Draining);
    assert_eq!(
        links.claim(at(4), &token("b"), &told),
        Err(Refusal::Draining)
    );
    let next_life = node("b", "2");
    links.update(at(5), &service(), &reset(&[&a, &next_life]));
    assert_eq!(links.claim(at(5), &token("b"), &next_life), Ok(Claim::Won));
}

#[test]
fn a_node_that_is_not_ready_keeps_its_links() {
    let a = node("a", "1");
    let (user, mut links) = (token("u"), fleet(&[&a]));
    assert_eq!(links.claim(at(0), &user, &a), Ok(Claim::Won));
    links.update(
        at(1),
        &service(),
        &upsert(&a.clone().with_state(NodeState::NotReady)),
    );
    assert_eq!(
        links.target(at(50), &user, &service()),
        Some(a.node.clone())
    );
}

#[test]
fn a_node_that_went_down_gets_links_again_when_it_was_absent_and_is_back() {
    let a = node("a", "1");
    let mut links = fleet(&[&a]);
    for user in ["u", "v"] {
        assert_eq!(links.claim(at(0), &token(user), &a), Ok(Claim::Won));
    }
    assert_eq!(links.down(at(1), &a.node), 2);
    assert_eq!(links.down(at(1), &a.node), 0);
    links.update(at(1), &service(), &upsert(&a));
    assert_eq!(links.claim(at(1), &token("u"), &a), Err(Refusal::Gone));
    links.update(at(2), &service(), &Update::Remove(a.node.clone()));
    links.update(at(3), &service(), &upsert(&a));
    assert_eq!(links.claim(at(3), &token("u"), &a), Ok(Claim::Won));
}

#[test]
fn nobody_is_absent_while_nobody_watches() {
    let a = node("a", "1");
    let (user, mut links) = (token("u"), Links::new(TTL, GRACE));
    assert_eq!(links.claim(at(0), &user, &a), Ok(Claim::Won));
    assert_eq!(
        links.target(at(50), &user, &service()),
        Some(a.node.clone())
    );
    // A watch that tells of nobody starts the grace period, and one that ends stops it.
    links.update(at(60), &service(), &reset(&[]));
    links.forget_presence(at(64), None);
    assert_eq!(
        links.target(at(70), &user, &service()),
        Some(a.node.clone())
    );
    links.update(at(71), &service(), &upsert(&node("b", "1")));
    assert_eq!(
        links.target(at(90), &user, &service()),
        Some(a.node.clone())
    );
}

#[test]
fn a_user_who_leaves_has_no_link_to_any_service() {
    let (a, mut b) = (node("a", "1"), node("b", "1"));
    b.service = ServiceName::new("mail").unwrap();
    let (user, mut links) = (token("u"), fleet(&[&a]));
    assert_eq!(links.claim(at(0), &user, &a), Ok(Claim::Won));
    assert_eq!(links.claim(at(0), &user, &b), Ok(Claim::Won));
    assert_eq!(links.claim(at(0), &token("other"), &a), Ok(Claim::Won));
    assert_eq!(links.leave(at(0), &user), 2);
    assert_eq!(links.leave(at(0), &user), 0);
    assert_eq!(links.count(at(0), &a.node), 1);
}

#[test]
fn nothing_is_remembered_of_nodes_for_ever() {
    let mut links = fleet(&[]);
    for life in 0..100 {
        let a = node("a", &life.to_string());
        links.update(at(0), &service(), &reset(&[&a]));
        assert_eq!(links.claim(at(0), &token("u"), &a), Ok(Claim::Won));
        links.close(at(0), &a.node);
        links.down(at(0), &node("b", &life.to_string()).node);
    }
    links.update(at(0), &service(), &reset(&[]));
    links.tidy(at(5));
    assert_eq!(links.counts(at(5)).len(), 0);
    let day = TTL.as_secs() + REMEMBERED.as_secs() + 10;
    links.tidy(at(day));
    assert_eq!(links.marks.len(), 0);
    assert!(format!("{links:?}").contains("owners: []"), "{links:?}");
}

#[test]
fn debug_shows_no_token() {
    let a = node("a", "1");
    let mut links = fleet(&[&a]);
    assert_eq!(links.claim(at(0), &token("sentinel"), &a), Ok(Claim::Won));
    let text = format!("{links:?}");
    assert!(
        text.contains("links: 1") && !text.contains("sentinel"),
        "{text}"
    );
}

// ===== every short history =====

#[derive(Clone, Copy, Debug)]
enum Step {
    Claim(Who),
    Unlink(Who),
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

    fn claim(&mut self, who: Who) -> Result<Claim, Refusal> {
        match self.holder() {
            Some(held) if held != who => return Ok(Claim::Held(held.node().node)),
            Some(_) => {}
            None if self.down[who as usize] => return Err(Refusal::Gone),
            None if self.present[who as usize] => {}
            None => {
                if self.gone_from[who as usize].is_none() {
                    self.note_absence(who);
                }
                if self.is_gone(who) {
                    return Err(Refusal::Gone);
                }
            }
        }
        self.holder = Some((who, self.now + Self::TTL));
        Ok(Claim::Won)
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
    const STEPS: [Step; 12] = [
        Step::Claim(A),
        Step::Claim(B),
        Step::Claim(Next),
        Step::Unlink(A),
        Step::Unlink(B),
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
