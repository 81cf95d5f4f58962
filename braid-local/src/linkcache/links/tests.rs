//! The links' state machine, rule by rule.

mod histories;
mod moves;

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
    assert_eq!(
        links.target(at(0), &user, &service()).cloned(),
        Some(a.node.clone())
    );
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
    assert_eq!(
        links.target(at(3), &user, &service()).cloned(),
        Some(b.node.clone())
    );
    assert!(links.unlink(at(3), &user, &service(), &b.node));
    assert_eq!(links.target(at(3), &user, &service()).cloned(), None);
}

#[test]
fn use_renews_a_link_and_neglect_ends_it() {
    let a = node("a", "1");
    let (user, mut links) = (token("u"), fleet(&[&a]));
    assert_eq!(links.claim(at(0), &user, &a), Ok(Claim::Won));
    assert_eq!(
        links.target(at(99), &user, &service()).cloned(),
        Some(a.node.clone())
    );
    assert_eq!(
        links.target(at(198), &user, &service()).cloned(),
        Some(a.node.clone())
    );
    assert_eq!(links.count(at(297), &a.node), 1);
    assert_eq!(
        links.count(at(298), &a.node),
        0,
        "not swept, and counts as absent"
    );
    assert_eq!(links.target(at(298), &user, &service()).cloned(), None);
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
        links.target(at(14), &user, &service()).cloned(),
        Some(a.node.clone())
    );
    assert_eq!(links.target(at(15), &user, &service()).cloned(), None);
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
        links.target(at(50), &user, &service()).cloned(),
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
    assert_eq!(
        links.target(at(20), &user, &service()).cloned(),
        None,
        "revived"
    );
    assert_eq!(links.claim(at(20), &user, &a), Ok(Claim::Won));
}

#[test]
fn a_link_to_a_former_life_is_never_followed_and_is_replaced() {
    let (former, present) = (node("a", "1"), node("a", "2"));
    let (user, mut links) = (token("u"), fleet(&[&former]));
    assert_eq!(links.claim(at(0), &user, &former), Ok(Claim::Won));
    links.update(at(1), &service(), &reset(&[&present]));
    assert_eq!(links.target(at(1), &user, &service()).cloned(), None);
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
        links.target(at(50), &user, &service()).cloned(),
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
        links.target(at(50), &user, &service()).cloned(),
        Some(a.node.clone())
    );
    // A watch that tells of nobody starts the grace period, and one that ends stops it.
    links.update(at(60), &service(), &reset(&[]));
    links.forget_presence(at(64), None);
    assert_eq!(
        links.target(at(70), &user, &service()).cloned(),
        Some(a.node.clone())
    );
    links.update(at(71), &service(), &upsert(&node("b", "1")));
    assert_eq!(
        links.target(at(90), &user, &service()).cloned(),
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
