//! The one macro that makes each case a named test, and the list of cases behind it.

/// Makes each case a test named `conformance::<backend>::<case>`.
///
/// Each suite is named with an expression that makes its harness, evaluated anew for every case, within the harness's runtime
/// (`.await` is allowed). The expression sees what the surrounding module sees. Suites that the backend has no trait of are left
/// out; `announce` has more cases for a `discover` whose backend lets nodes register themselves.
///
/// No case can be left out or skipped: what a backend doesn't keep shows as a failed test.
#[macro_export]
macro_rules! conformance {
    (backend = $backend:ident; $($suite:ident = $harness:expr;)+) => {
        #[cfg(test)]
        mod conformance {
            mod $backend {
                #[allow(unused_imports, reason = "the harnesses may be named by full paths")]
                use super::super::*;

                $($crate::__cases! { $suite [$crate::__test] [$harness] })+
            }
        }
    };
}

/// One suite's cases, handed to another macro.
#[doc(hidden)]
#[macro_export]
macro_rules! __cases {
    (pubsub [$($with:tt)+] $args:tt) => {
        $($with)+! { $args pubsub
            p1_publish_subscribe
            p1_acked_is_not_repeated
            p1_concurrent_subscribers
            p1_many_topics_at_once
            p1_many_publishers
            p1_resend_on_error
            p1_no_ack_no_next
            p1_continue_after_a_subscriber_closes
            p1_concurrent_close
            p1_continue_after_errors
            p1_in_order
            p1_publisher_close
            p1_topic_names_of_every_kind
            p1_message_context
            p1_cancel_a_subscription
            p1_old_messages_on_request
            p1_consumer_groups
            p1_impossible_subscription_is_refused
            p1_ephemeral_channel_goes_with_its_consumer
            p1_ten_times_in_parallel
            p1_delayed_message_waits_for_its_time
            p1_delayed_messages_outlive_their_consumers
            p1_broadcast_read_shows_every_message
            p3_frozen_consumers_messages_are_redelivered
            p3_killed_consumers_messages_are_redelivered
            p3_late_ack_counts
            p3_late_heartbeat_steals_nothing_back
            p3_late_failures_change_nothing
            p4_slow_handler_keeps_its_message
            p4_buffered_messages_do_not_age_out
            p4_heartbeat_by_hand_keeps_the_message
            p5_poison_message_is_dead_lettered
            p5_one_channels_poison_is_the_others_message
            p5_explicit_dead_letter
            p5_prefetched_is_never_dead_lettered
            p5_attempts_are_counted_over_restarts
            p5_message_that_kills_its_consumer_is_dead_lettered
            p5_message_that_freezes_its_consumers_is_dead_lettered
            p5_panicking_handler_is_retried_then_dead_lettered
            p5_crashes_lose_no_poison
            p5_redrive_reaches_only_the_channel_that_gave_up
            p5_redrive_takes_as_many_as_asked
            p5_redrive_survives_its_crash
            p7_stalled_channel_loses_nothing
            p7_cap_is_an_error_for_the_publisher
            p7_slow_reader_holds_nothing_back
            p7_view_tells_how_far_a_channel_is
            p7_forgotten_channel_stops_holding_the_topic_back
            p8_restarts_leave_no_consumer_names
            p9_blocked_read_delays_nothing
            p9_dropped_subscribe_strands_nothing
            p9_dropped_delivery_is_delivered_again
            p10_dedup_key_makes_one_delivery_within_the_window
            p10_concurrent_duplicates_make_one_delivery
            p12_failing_message_holds_back_its_key
            p12_order_per_key_over_consumers_and_failures
            p12_order_per_key_over_a_crash
            p12_delayed_message_holds_back_its_key
            p13_drain_finishes_what_is_in_flight
            p13_forced_end_leaves_pending_and_loses_nothing
            p13_slow_consumer_is_bounded
            p15_restarts_leave_no_channels
            s2_pubsub_leaves_no_task
        }
    };
    (discover [$($with:tt)+] $args:tt) => {
        $($with)+! { $args discover
            d0_watch_starts_with_a_reset
            d0_changes_are_seen_in_order
            d0_restart_is_a_removal_and_then_an_upsert
            d0_services_are_kept_apart
            d0_every_process_sees_the_same
            d0_watch_ends_with_its_backend
            d6_slow_watcher_is_told_the_latest_state
            d6_view_never_passes_through_empty
            d6_churn_equals_the_oracle
            r1_service_update_tells_each_change_once
            s2_discover_leaves_no_task
        }
    };
    (announce [$($with:tt)+] $args:tt) => {
        $($with)+! { $args discover
            d0_announced_node_is_visible_until_withdrawn
            d0_duplicate_node_id_is_a_conflict
            d0_closed_backend_announces_nothing
        }
    };
    (elector [$($with:tt)+] $args:tt) => {
        $($with)+! { $args elector
            e0_lone_candidate_leads_and_stays
            e0_followers_know_their_leader
            e0_services_elect_apart
            e0_terms_rise_with_every_leader
            e0_resigning_lets_another_lead
            e0_resigned_candidate_stays_away_for_a_lease
            e0_restarted_candidate_is_another_one
            e3_clock_jump_ends_the_leadership_at_the_first_look
            e3_frozen_leader_writes_nothing_stale
            e4_killed_leader_is_replaced_within_its_lease
            e4_graceful_stop_hands_over_within_a_second
            e4_lease_is_released_only_after_the_leaders_task
            e4_task_that_ignores_its_end_is_reported
            e4_stubborn_task_does_not_hold_up_the_stop
            e8_fifty_candidates_have_one_winner
            e8_candidates_survive_a_server_that_is_away
            r2_change_state_tells_each_change
            s2_elector_leaves_no_task
        }
    };
    (linkcache [$($with:tt)+] $args:tt) => {
        $($with)+! { $args linkcache
            l0_claim_target_and_unlink
            l0_leave_ends_every_link_of_a_user
            l0_down_ends_every_link_of_a_node
            l0_closed_cache_says_so
            l1_late_unlink_changes_nothing
            l1_unlinks_that_cross_a_reconnect_leave_the_new_link
            l1_concurrent_claims_have_one_winner
            l1_interleavings_equal_the_model
            l3_unused_link_ends_with_its_time_to_live
            l3_use_renews_a_link
            l3_frozen_process_knows_no_expired_link
            l3_killed_nodes_links_go_after_the_grace
            l3_flicker_of_discovery_keeps_links
            l3_former_life_is_never_followed
            l3_node_that_is_not_ready_keeps_its_links
            l3_draining_node_gets_no_new_link
            l5_names_and_tokens_of_every_kind
            l5_empty_and_oversized_are_refused
            l6_drain_ends_when_no_link_is_left
            l6_drain_ends_when_the_last_link_expires
            l6_abandoned_drain_keeps_the_node_closed
            l6_counts_are_right_after_crashes
            l6_links_lists_what_a_node_holds
            l6_relink_is_one_step
            l6_relink_begins_the_time_to_live_anew
            l6_nobody_moves_to_a_draining_node
            l6_rebalance_moves_a_share_and_asks_the_owner
            l6_rebalance_leaves_who_is_not_handed_over
            r3_published_token_ends_its_links_everywhere
            r4_link_numbers_are_published_per_node
            s2_linkcache_leaves_no_task
        }
    };
}

/// The tests of one suite.
#[doc(hidden)]
#[macro_export]
macro_rules! __test {
    ([$harness:expr] $suite:ident $($case:ident)+) => {
        $(
            #[test]
            fn $case() {
                $crate::run(async || $harness, $crate::$suite::$case);
            }
        )+
    };
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    /// Trait and test.
    type Case = (String, String);

    macro_rules! names {
        ([$contract:literal] $module:ident $($case:ident)+) => {
            [$(($contract.to_owned(), stringify!($case).to_owned())),+]
        };
    }

    fn in_the_macro() -> Vec<Case> {
        let mut cases = Vec::new();
        cases.extend(crate::__cases! { pubsub [names] ["pubsub"] });
        cases.extend(crate::__cases! { discover [names] ["discover"] });
        cases.extend(crate::__cases! { announce [names] ["discover"] });
        cases.extend(crate::__cases! { elector [names] ["elector"] });
        cases.extend(crate::__cases! { linkcache [names] ["linkcache"] });
        cases
    }

    fn in_the_table() -> Vec<Case> {
        let rows = include_str!("../CASES.md")
            .lines()
            .filter(|line| line.starts_with('|'));
        // Head and rule.
        let rows = rows.skip(2).map(|row| {
            let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
            let [id, test, contract, backends, shows] = cells[..] else {
                panic!("a row has five cells: {row}");
            };
            let prefix = format!("{}_", id.to_lowercase());
            assert!(test.starts_with(&prefix), "{test} shows {id}");
            assert!(!backends.is_empty() && !shows.is_empty(), "{row}");
            (contract.to_owned(), test.to_owned())
        });
        rows.collect()
    }

    /// Every case function of the crate.
    fn in_the_sources() -> Vec<Case> {
        let mut cases = Vec::new();
        for contract in ["pubsub", "discover", "elector", "linkcache"] {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("src")
                .join(contract);
            for file in fs::read_dir(folder).unwrap() {
                let text = fs::read_to_string(file.unwrap().path()).unwrap();
                let functions = text
                    .lines()
                    .filter_map(|line| line.strip_prefix("pub async fn "));
                let named = functions.filter_map(|line| line.split_once('<'));
                cases.extend(named.map(|(test, _)| (contract.to_owned(), test.to_owned())));
            }
        }
        cases
    }

    #[test]
    fn table_and_macro_and_sources_list_the_same_cases() {
        let set = |cases: Vec<Case>| {
            let (count, set) = (cases.len(), cases.into_iter().collect::<BTreeSet<_>>());
            assert_eq!(set.len(), count, "a case stands twice in one list");
            set
        };
        let (listed, table, sources) = (
            set(in_the_macro()),
            set(in_the_table()),
            set(in_the_sources()),
        );
        let only =
            |a: &BTreeSet<Case>, b: &BTreeSet<Case>| a.difference(b).cloned().collect::<Vec<_>>();
        assert_eq!(only(&listed, &table), [], "in the macro, not in CASES.md");
        assert_eq!(only(&table, &listed), [], "in CASES.md, not in the macro");
        assert_eq!(only(&sources, &listed), [], "a function that no test runs");
        assert_eq!(only(&listed, &sources), [], "a test without a function");
    }
}
