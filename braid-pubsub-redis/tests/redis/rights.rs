//! ACL users: with the documented rules, and with all of them but one.

use crate::everything::use_everything;
use braid_core::{ErrorKind, NewMessage, PubSub as _, Topic};
use braid_pubsub_redis::{ACL, Durability, PubSubConfig, RedisConfig, RedisPubSub};
use braid_redis::{ACL_CONNECTION, Secret};
use braid_testkit::{
    SETTLED, real_time,
    redis::{RedisServer, shared_cluster, shared_sentinel},
    within,
};
use futures_util::future::join_all;
use std::{collections::BTreeSet, time::Duration};
use tokio::time::timeout;

const README: &str = include_str!("../../README.md");

/// The README's user, under another name and with topics of this pattern, as [`RedisServer`] takes users.
pub(crate) fn user(name: &str, topics: &str) -> String {
    let words = documented().replace("~chat.*", &format!("~{topics}"));
    format!("{name} {words}")
}

fn documented() -> &'static str {
    README
        .lines()
        .find_map(|line| line.strip_prefix("ACL SETUSER braid "))
        .expect("the README has the line")
}

/// The commands of the README's line.
fn rules() -> impl Iterator<Item = &'static str> {
    documented().split(' ').filter(|word| word.starts_with('+'))
}

/// Rules that only some users of this crate need, by the README's table.
const CONDITIONAL: [&str; 6] = [
    "+cluster|info",
    "+cluster|slots",
    "+role",
    "+select",
    "+wait",
    "+waitaof",
];

#[test]
fn readme_and_constants_have_the_same_rules() {
    let readme: BTreeSet<_> = rules().chain(CONDITIONAL).collect();
    let constants = [ACL_CONNECTION, ACL, &["+wait", "+waitaof"]].concat();
    assert_eq!(readme, constants.into_iter().collect());
    let text = README.replace("\\|", "|");
    let rows = text.lines().filter(|line| line.starts_with("| "));
    let mut in_table = |rule| rows.clone().any(|row| row.contains(rule));
    assert!(CONDITIONAL.into_iter().all(&mut in_table));
}

#[test]
fn documented_rules_are_enough_for_everything() {
    real_time().block_on(async {
        let server = RedisServer::builder()
            .acl(&[&user("braid", "chat.*")])
            .start()
            .await;
        all_is_permitted(config(server.url(), "braid")).await;
    });
}

#[test]
fn documented_rules_are_enough_on_a_cluster() {
    real_time().block_on(async {
        let cluster = shared_cluster().await;
        for node in cluster.nodes() {
            add_user(node, "braid", "+cluster|slots +cluster|info").await;
            add_user(node, "no-slots", "+cluster|info").await;
            add_user(node, "no-info", "+cluster|slots").await;
        }
        all_is_permitted(config(cluster.url(), "braid")).await;
        for (name, rule) in [("no-slots", "+cluster|slots"), ("no-info", "+cluster|info")] {
            let unnamed = named(config(cluster.url(), name), rule).await;
            assert_eq!(unnamed, None);
        }
    });
}

#[test]
fn documented_rules_are_enough_behind_sentinel() {
    real_time().block_on(async {
        let sentinel = shared_sentinel().await;
        for server in [sentinel.primary(), sentinel.replica()] {
            add_user(server, "braid", "+role").await;
            add_user(server, "no-role", "").await;
        }
        all_is_permitted(config(sentinel.url(), "braid")).await;
        let unnamed = named(config(sentinel.url(), "no-role"), "+role").await;
        assert_eq!(unnamed, None);
    });
}

#[test]
fn a_missing_rule_is_named_by_whatever_needs_it() {
    real_time().block_on(async {
        let users: Vec<_> = rules().map(without).collect();
        let users: Vec<_> = users.iter().map(String::as_str).collect();
        let server = RedisServer::builder().acl(&users).start().await;
        // Once others have sent the scripts, this rule isn't needed.
        let eval = "+eval";
        let new_server = RedisServer::builder().acl(&[&without(eval)]).start().await;
        let told = rules().map(|rule| {
            let server = if rule == eval { &new_server } else { &server };
            named(config(server.url(), &name_without(rule)), rule)
        });
        let unnamed: Vec<_> = join_all(told).await.into_iter().flatten().collect();
        assert!(unnamed.is_empty(), "{}", unnamed.join("\n"));
    });
}

#[test]
fn a_durable_publish_names_the_rule_that_it_misses() {
    real_time().block_on(async {
        let server = RedisServer::builder()
            .acl(&[&user("braid", "chat.*")])
            .start()
            .await;
        let config = PubSubConfig {
            durability: Durability::Replicated {
                n: 1,
                timeout: Duration::from_secs(1),
            },
            ..config(server.url(), "braid")
        };
        let pubsub = RedisPubSub::connect(config).await.expect("it may connect");
        let topic = Topic::new("chat.durable").expect("it is short");
        let error = pubsub.publish(&topic, NewMessage::new("body")).await;
        let error = error.expect_err("it may not wait");
        // It is there, on the primary.
        assert_eq!(error.kind(), ErrorKind::Indeterminate);
        assert!(error.message().contains("`+wait`"), "{error}");
    });
}

#[test]
fn a_topic_of_another_pattern_is_refused() {
    real_time().block_on(async {
        let server = RedisServer::builder()
            .acl(&[&user("braid", "chat.*")])
            .start()
            .await;
        let mut told = use_everything(config(server.url(), "braid"), "mail.all");
        let first = within("an error", SETTLED, told.recv()).await;
        let first = first.expect("a publish is refused");
        assert_eq!(first.kind(), ErrorKind::Config, "{first}");
        assert!(
            first.message().contains("`~pattern`") && first.message().contains("mail.all"),
            "{first}"
        );
    });
}

async fn all_is_permitted(config: PubSubConfig) {
    let mut told = use_everything(config, "chat.all");
    let first = within("everything", SETTLED, told.recv()).await;
    assert!(first.is_none(), "{first:?}");
}

/// Does everything as a user without this rule, until an error names it. `Some`: what was told instead.
async fn named(config: PubSubConfig, rule: &str) -> Option<String> {
    let command = &rule[1..];
    let mut told = use_everything(config, &format!("chat.{rule}"));
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
    let in_time = timeout(SETTLED, named).await;
    (in_time != Ok(true)).then(|| format!("{rule}: {other:#?}"))
}

fn config(url: String, user: &str) -> PubSubConfig {
    PubSubConfig {
        redis: RedisConfig {
            username: Some(user.to_owned()),
            password: Some(Secret::new("secret")),
            ..RedisConfig::new(url)
        },
        ..PubSubConfig::default()
    }
}

/// The README's user with more rules, on a server that runs.
async fn add_user(server: &RedisServer, name: &str, more: &str) {
    let user = format!("ACL SETUSER {} {more}", user(name, "chat.*"));
    let words: Vec<_> = user.split_whitespace().collect();
    server.command(&words).await;
}

fn name_without(rule: &str) -> String {
    format!("no-{}", rule[1..].replace('|', "-"))
}

fn without(rule: &str) -> String {
    let all = user(&name_without(rule), "chat.*");
    let words: Vec<_> = all.split(' ').filter(|word| *word != rule).collect();
    words.join(" ")
}
