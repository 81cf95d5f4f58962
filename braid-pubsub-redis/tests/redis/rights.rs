//! ACL users: with the documented rules, and with all of them but one.

use crate::{
    documented::{Documented, name_without, named},
    everything::use_everything,
};
use braid_core::{ErrorKind, NewMessage, PubSub as _, Topic};
use braid_pubsub_redis::{ACL, Durability, PubSubConfig, RedisConfig, RedisPubSub};
use braid_redis::{ACL_CONNECTION, Secret};
use braid_testkit::{
    SETTLED, real_time,
    redis::{RedisServer, shared_cluster, shared_sentinel},
    within,
};
use futures_util::future::join_all;
use std::time::Duration;

const README: &str = include_str!("../../README.md");

/// The README's user, under another name and with topics of this pattern, as [`RedisServer`] takes users.
pub(crate) fn user(name: &str, topics: &str) -> String {
    let pattern = format!("~{topics}");
    documented().with_pattern("~chat.*", &pattern).user(name)
}

fn documented() -> Documented {
    Documented::new(README)
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
    let some = ["+wait", "+waitaof"];
    documented().equals(&[ACL_CONNECTION, ACL, &some], &CONDITIONAL);
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
            documented()
                .add_to(node, "braid", "+cluster|slots +cluster|info")
                .await;
            documented().add_to(node, "no-slots", "+cluster|info").await;
            documented().add_to(node, "no-info", "+cluster|slots").await;
        }
        all_is_permitted(config(cluster.url(), "braid")).await;
        for (name, rule) in [("no-slots", "+cluster|slots"), ("no-info", "+cluster|info")] {
            let unnamed = told_without(config(cluster.url(), name), rule).await;
            assert_eq!(unnamed, None);
        }
    });
}

#[test]
fn documented_rules_are_enough_behind_sentinel() {
    real_time().block_on(async {
        let sentinel = shared_sentinel().await;
        for server in [sentinel.primary(), sentinel.replica()] {
            documented().add_to(server, "braid", "+role").await;
            documented().add_to(server, "no-role", "").await;
        }
        all_is_permitted(config(sentinel.url(), "braid")).await;
        let unnamed = told_without(config(sentinel.url(), "no-role"), "+role").await;
        assert_eq!(unnamed, None);
    });
}

#[test]
fn a_missing_rule_is_named_by_whatever_needs_it() {
    real_time().block_on(async {
        let documented = documented();
        let users = documented.rules().map(|rule| documented.without(rule));
        let users: Vec<_> = users.collect();
        let users: Vec<_> = users.iter().map(String::as_str).collect();
        let server = RedisServer::builder().acl(&users).start().await;
        // Once others have sent the scripts, this rule isn't needed.
        let eval = "+eval";
        let new_server = RedisServer::builder()
            .acl(&[&documented.without(eval)])
            .start()
            .await;
        let told = documented.rules().map(|rule| {
            let server = if rule == eval { &new_server } else { &server };
            told_without(config(server.url(), &name_without(rule)), rule)
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

/// Does everything as a user without this rule. `Some`: what was told instead of its name.
async fn told_without(config: PubSubConfig, rule: &str) -> Option<String> {
    named(use_everything(config, &format!("chat.{rule}")), rule).await
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
