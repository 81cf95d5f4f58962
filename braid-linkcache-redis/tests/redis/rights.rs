//! ACL users: with the documented rules, and with all of them but one.

use crate::{
    documented::{Documented, name_without, named},
    everything::use_everything,
    support::{LinkFleet, quick, token},
};
use braid_core::{ErrorKind, LinkCache as _, SystemClock};
use braid_linkcache_redis::{ACL, LinkCacheConfig};
use braid_redis::{ACL_CONNECTION, ACL_SUBSCRIBER, Secret};
use braid_testkit::{
    SETTLED, real_time,
    redis::{RedisServer, shared_cluster, shared_sentinel},
    within,
};
use futures_util::future::join_all;
use std::sync::Arc;

const README: &str = include_str!("../../README.md");

/// Rules that only some users of this crate need, by the README's table.
const CONDITIONAL: [&str; 4] = ["+cluster|info", "+cluster|slots", "+role", "+select"];

/// Each connection asks for its id, which only topics need. Without the rule everything goes on, but each refusal is in the server's log.
const UNMISSED: &str = "+client|id";

/// The README's user, as the test servers take users.
pub(crate) fn user() -> String {
    documented().user("braid")
}

fn documented() -> Documented {
    Documented::new(README)
}

#[test]
fn readme_and_constants_have_the_same_rules() {
    documented().equals(&[ACL_CONNECTION, ACL_SUBSCRIBER, ACL], &CONDITIONAL);
}

#[test]
fn documented_rules_are_enough_for_everything() {
    real_time().block_on(async {
        let server = RedisServer::builder().acl(&[&user()]).start().await;
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
            assert_eq!(
                named(use_everything(config(cluster.url(), name)), rule).await,
                None
            );
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
        assert_eq!(
            named(use_everything(config(sentinel.url(), "no-role")), "+role").await,
            None
        );
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
        let told = documented
            .rules()
            .filter(|rule| *rule != UNMISSED)
            .map(|rule| {
                let server = if rule == eval { &new_server } else { &server };
                named(
                    use_everything(config(server.url(), &name_without(rule))),
                    rule,
                )
            });
        let unnamed: Vec<_> = join_all(told).await.into_iter().flatten().collect();
        assert!(unnamed.is_empty(), "{}", unnamed.join("\n"));
        all_is_permitted(config(server.url(), &name_without(UNMISSED))).await;
    });
}

#[test]
fn a_missing_pattern_is_told_of() {
    real_time().block_on(async {
        let channels = user()
            .replace(" &braid:*", "")
            .replacen("braid", "no-channels", 1);
        let keys = user()
            .replace("~braid:*", "~other:*")
            .replacen("braid", "no-keys", 1);
        let server = RedisServer::builder()
            .acl(&[&channels, &keys])
            .start()
            .await;
        for (name, rule) in [("no-channels", "&pattern"), ("no-keys", "~pattern")] {
            let mut told = use_everything(config(server.url(), name));
            let first = within("an error", SETTLED, told.recv())
                .await
                .expect("it is refused");
            assert_eq!(first.kind(), ErrorKind::Config, "{first}");
            assert!(first.message().contains(&format!("`{rule}`")), "{first}");
        }
    });
}

#[test]
fn links_of_the_original_need_a_rule_and_a_pattern_of_their_own() {
    real_time().block_on(async {
        let server = RedisServer::builder().start().await;
        documented()
            .add_to(&server, "braid", "+hget ~braid_linker-*")
            .await;
        documented()
            .add_to(&server, "no-hget", "~braid_linker-*")
            .await;
        documented().add_to(&server, "no-keys", "+hget").await;
        for (name, missing) in [
            ("braid", None),
            ("no-hget", Some("`+hget`")),
            ("no-keys", Some("`~pattern`")),
        ] {
            let config = LinkCacheConfig {
                original_parents: vec!["base".try_into().expect("it is legal")],
                ..config(server.url(), name)
            };
            let fleet = LinkFleet::new(config.clone());
            let cache = fleet.connect(config, Arc::new(SystemClock)).await;
            let service = "login".try_into().expect("it is legal");
            match (cache.target(&token(), &service).await, missing) {
                (Ok(None), None) => {}
                (Err(error), Some(rule)) => {
                    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
                    assert!(error.message().contains(rule), "{error}");
                }
                (other, _) => panic!("{name}: {other:?}"),
            }
        }
    });
}

async fn all_is_permitted(config: LinkCacheConfig) {
    let mut told = use_everything(config);
    let first = within("everything", SETTLED, told.recv()).await;
    assert!(first.is_none(), "{first:?}");
}

fn config(url: String, user: &str) -> LinkCacheConfig {
    let mut config = quick(url);
    config.redis.username = Some(user.to_owned());
    config.redis.password = Some(Secret::new("secret"));
    config
}
