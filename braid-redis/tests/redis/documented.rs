//! ACL users by a README's line, for the tests of all crates on Redis: the documented one, and ones that lack a rule.

use braid_core::{Error, ErrorKind};
use braid_testkit::{SETTLED, redis::RedisServer};
use std::collections::BTreeSet;
use tokio::{sync::mpsc::UnboundedReceiver, time::timeout};

/// What a README says behind `ACL SETUSER braid`.
pub(crate) struct Documented {
    readme: &'static str,
    words: String,
}

impl Documented {
    pub(crate) fn new(readme: &'static str) -> Self {
        let line = readme
            .lines()
            .find_map(|line| line.strip_prefix("ACL SETUSER braid "));
        Self {
            readme,
            words: line.expect("the README has the line").to_owned(),
        }
    }

    /// With another pattern of keys than the README's example.
    pub(crate) fn with_pattern(mut self, example: &str, pattern: &str) -> Self {
        self.words = self.words.replace(example, pattern);
        self
    }

    /// The user, under a name, as [`RedisServer`] takes users.
    pub(crate) fn user(&self, name: &str) -> String {
        format!("{name} {}", self.words)
    }

    /// The commands of the line.
    pub(crate) fn rules(&self) -> impl Iterator<Item = &str> {
        self.words.split(' ').filter(|word| word.starts_with('+'))
    }

    /// The user without a rule, under [`name_without`] it.
    pub(crate) fn without(&self, rule: &str) -> String {
        let words: Vec<_> = self.words.split(' ').filter(|word| *word != rule).collect();
        format!("{} {}", name_without(rule), words.join(" "))
    }

    /// Adds the user with more rules to a server that runs.
    pub(crate) async fn add_to(&self, server: &RedisServer, name: &str, more: &str) {
        let user = format!("ACL SETUSER {} {more}", self.user(name));
        let words: Vec<_> = user.split_whitespace().collect();
        server.command(&words).await;
    }

    /// Shows that the line and the README's table of what only some users need are the crates' constants.
    pub(crate) fn equals(&self, constants: &[&[&str]], conditional: &[&str]) {
        let readme: BTreeSet<_> = self.rules().chain(conditional.iter().copied()).collect();
        assert_eq!(readme, constants.concat().into_iter().collect());
        let text = self.readme.replace("\\|", "|");
        let rows = text.lines().filter(|line| line.starts_with("| "));
        let in_table = |rule: &&str| rows.clone().any(|row| row.contains(*rule));
        assert!(conditional.iter().all(in_table));
    }
}

pub(crate) fn name_without(rule: &str) -> String {
    format!("no-{}", rule[1..].replace('|', "-"))
}

/// Waits until an error of a user without this rule names it. `Some`: what was told instead.
pub(crate) async fn named(mut told: UnboundedReceiver<Error>, rule: &str) -> Option<String> {
    let command = &rule[1..];
    let mut other = Vec::new();
    let named = async {
        while let Some(error) = told.recv().await {
            let text = error.message();
            if error.kind() == ErrorKind::Config
                && text.contains(&format!("`{command}`"))
                && text.contains(&format!("`{rule}`"))
            {
                return true;
            }
            other.push(error.to_string());
        }
        false
    };
    let in_time = timeout(2 * SETTLED, named).await;
    (in_time != Ok(true)).then(|| format!("{rule}: {other:#?}"))
}
