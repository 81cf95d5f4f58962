//! Links that are listed and moved.

use super::*;

fn held_by(links: &Links, now: u64, node: &Node) -> Vec<String> {
    let mut held: Vec<_> = links
        .some(at(now), &node.node, usize::MAX)
        .into_iter()
        .map(|(service, token)| format!("{service} {}", token.as_str()))
        .collect();
    held.sort();
    held
}

#[test]
fn a_link_moves_and_lives_anew() {
    let (a, b) = (node("a", "1"), node("b", "1"));
    let (user, mut links) = (token("u"), fleet(&[&a, &b]));
    assert_eq!(links.claim(at(0), &user, &a), Ok(Claim::Won));
    assert_eq!(links.relink(at(90), &user, &a.node, &b), Ok(true));
    assert_eq!(
        (links.count(at(90), &a.node), links.count(at(90), &b.node)),
        (0, 1)
    );
    assert!(!links.unlink(at(90), &user, &service(), &a.node));
    assert_eq!(links.count(at(189), &b.node), 1);
    // Once more, as by who got no answer: renewed, and nothing else.
    assert_eq!(links.relink(at(189), &user, &a.node, &b), Ok(true));
    assert_eq!(links.relink(at(189), &user, &b.node, &b), Ok(true));
    assert_eq!(links.count(at(288), &b.node), 1);
    assert_eq!(links.count(at(289), &b.node), 0);
    assert_eq!(links.relink(at(289), &user, &b.node, &a), Ok(false));
}

#[test]
fn who_does_not_hold_a_link_moves_nothing() {
    let (a, b, c) = (node("a", "1"), node("b", "1"), node("c", "1"));
    let mut elsewhere = b.clone();
    elsewhere.service = ServiceName::new("mail").unwrap();
    let (user, mut links) = (token("u"), fleet(&[&a, &b, &c]));
    assert_eq!(links.relink(at(0), &user, &a.node, &b), Ok(false), "none");
    assert_eq!(links.claim(at(0), &user, &a), Ok(Claim::Won));
    assert_eq!(links.relink(at(0), &user, &c.node, &b), Ok(false));
    let other_life = node("a", "2");
    assert_eq!(links.relink(at(0), &user, &other_life.node, &b), Ok(false));
    assert_eq!(links.relink(at(0), &user, &a.node, &elsewhere), Ok(false));
    assert_eq!(links.count(at(0), &a.node), 1);
    assert_eq!(links.counts(at(0)).len(), 1);
}

#[test]
fn nobody_moves_to_a_node_that_takes_no_links() {
    let (a, gone) = (node("a", "1"), node("gone", "1"));
    let [closed, told, down] = ["closed", "told", "down"].map(|id| node(id, "1"));
    let (user, mut links) = (token("u"), fleet(&[&a, &closed, &told, &down]));
    assert_eq!(links.claim(at(0), &user, &a), Ok(Claim::Won));
    links.close(at(0), &closed.node);
    links.down(at(0), &down.node);
    let draining = told.clone().with_state(NodeState::Draining);
    links.update(at(0), &service(), &upsert(&draining));
    for (node, refusal) in [
        (&closed, Refusal::Draining),
        (&told, Refusal::Draining),
        (&draining, Refusal::Draining),
        (&down, Refusal::Gone),
    ] {
        let refused = links.relink(at(0), &user, &a.node, node);
        assert_eq!(refused, Err(refusal), "{}", node.node);
        assert_eq!(held_by(&links, 0, &a), ["login u"]);
        assert_eq!(links.count(at(0), &node.node), 0);
    }
    // Whose absence begins to count with the first try.
    assert_eq!(
        links.claim(at(0), &token("early"), &gone),
        Ok(Claim::Won),
        "within the grace period"
    );
    let refused = links.relink(at(5), &user, &a.node, &gone);
    assert_eq!(refused, Err(Refusal::Gone));
    assert_eq!(held_by(&links, 5, &a), ["login u"]);
    // To where it is already, it stays.
    links.close(at(5), &a.node);
    assert_eq!(links.relink(at(5), &user, &a.node, &a), Ok(true));
}

#[test]
fn a_link_of_a_former_life_is_not_moved() {
    let (former, present) = (node("a", "1"), node("a", "2"));
    let (user, mut links) = (token("u"), fleet(&[&former]));
    assert_eq!(links.claim(at(0), &user, &former), Ok(Claim::Won));
    links.update(at(1), &service(), &reset(&[&present]));
    let moved = links.relink(at(1), &user, &former.node, &present);
    assert_eq!(moved, Ok(false), "it has ended");
    assert_eq!(links.count(at(1), &present.node), 0);
}

#[test]
fn what_a_node_holds_is_listed_up_to_a_limit() {
    let (a, mut b) = (node("a", "1"), node("b", "1"));
    let mut links = fleet(&[&a, &b]);
    for user in ["u", "v", "w"] {
        assert_eq!(links.claim(at(0), &token(user), &a), Ok(Claim::Won));
    }
    assert_eq!(links.claim(at(0), &token("x"), &b), Ok(Claim::Won));
    b.service = ServiceName::new("mail").unwrap();
    assert_eq!(links.claim(at(0), &token("x"), &b), Ok(Claim::Won));
    assert_eq!(held_by(&links, 0, &a), ["login u", "login v", "login w"]);
    assert_eq!(held_by(&links, 0, &b), ["login x", "mail x"]);
    for limit in 0..5 {
        let some = links.some(at(0), &a.node, limit);
        assert_eq!(some.len(), limit.min(3));
    }
    // The one that is used stays; the list is no use.
    assert!(links.target(at(50), &token("v"), &service()).is_some());
    assert_eq!(held_by(&links, 99, &a).len(), 3);
    assert_eq!(held_by(&links, 100, &a), ["login v"], "not swept yet");
    assert_eq!(links.some(at(100), &a.node, 1).len(), 1);
    assert_eq!(held_by(&links, 150, &a), [""; 0]);
}
