//! ACL users: the documented rules.

use braid_linkcache_redis::ACL;
use braid_redis::{ACL_CONNECTION, ACL_SUBSCRIBER};
use std::collections::BTreeSet;

const README: &str = include_str!("../../README.md");

/// Rules that only some users of this crate need, by the README's table.
const CONDITIONAL: [&str; 4] = ["+cluster|info", "+cluster|slots", "+role", "+select"];

/// The README's user, as the test servers take users.
pub(crate) fn user() -> String {
    format!("braid {}", documented())
}

fn documented() -> &'static str {
    README
        .lines()
        .find_map(|line| line.strip_prefix("ACL SETUSER braid "))
        .expect("the README has the line")
}

#[test]
fn readme_and_constants_have_the_same_rules() {
    let rules = documented().split(' ').filter(|word| word.starts_with('+'));
    let readme: BTreeSet<_> = rules.chain(CONDITIONAL).collect();
    let constants = [ACL_CONNECTION, ACL_SUBSCRIBER, ACL].concat();
    assert_eq!(readme, constants.into_iter().collect());
    let text = README.replace("\\|", "|");
    let rows = text.lines().filter(|line| line.starts_with("| "));
    let mut in_table = |rule| rows.clone().any(|row| row.contains(rule));
    assert!(CONDITIONAL.into_iter().all(&mut in_table));
}
