//! Configs that can't be meant.

use crate::support::{ids, node, reset, weighted};
use braid_balancer::{Balancer, BalancerConfig, SlowStart, SmoothWeighted, Subset, ZonePreference};
use braid_core::{ErrorKind, Update};
use std::{sync::Arc, time::Duration};

fn faulty() -> [(&'static str, BalancerConfig); 5] {
    let base = BalancerConfig::default;
    let slow = |window, initial| Some(SlowStart { window, initial });
    let window = Duration::from_secs(1);
    let zone = ZonePreference {
        overprovisioning: f64::NAN,
        ..ZonePreference::new("a")
    };
    let subset = Subset {
        client: "c".into(),
        size: 0,
    };
    [
        (
            "`decay`",
            BalancerConfig {
                decay: Duration::ZERO,
                ..base()
            },
        ),
        (
            "`slow_start.window`",
            BalancerConfig {
                slow_start: slow(Duration::ZERO, 0.1),
                ..base()
            },
        ),
        (
            "`slow_start.initial`",
            BalancerConfig {
                slow_start: slow(window, 0.0),
                ..base()
            },
        ),
        (
            "`zone.overprovisioning`",
            BalancerConfig {
                zone: Some(zone),
                ..base()
            },
        ),
        (
            "`subset.size`",
            BalancerConfig {
                subset: Some(subset),
                ..base()
            },
        ),
    ]
}

#[test]
fn what_cannot_be_meant_is_named() {
    BalancerConfig::default().validate().unwrap();
    for (field, config) in faulty() {
        let error = config.validate().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains(field), "{error}");
    }
}

#[test]
fn a_balancer_picks_by_the_nearest_that_can_be_meant() {
    for (field, config) in faulty() {
        let balancer = Balancer::<()>::with_config(SmoothWeighted::new(), config);
        balancer.apply([weighted(&[1, 1])], |_| ());
        balancer.apply([Update::Upsert(Arc::new(node("x").with_zone("a")))], |_| ());
        let picked = balancer.pick().expect(field);
        picked.observe(Duration::MAX);
    }
}

#[test]
fn zone_and_subset_come_one_after_the_other() {
    let config = BalancerConfig {
        zone: Some(ZonePreference::new("a")),
        subset: Some(Subset {
            client: "c".into(),
            size: 2,
        }),
        ..BalancerConfig::default()
    };
    let balancer = Balancer::<()>::with_config(SmoothWeighted::new(), config);
    let nodes = (0..9).map(|i| node(&format!("n{i}")).with_zone(if i < 5 { "a" } else { "b" }));
    balancer.apply([reset(nodes)], |_| ());
    let table = balancer.table();
    assert_eq!(table.wanted().len(), 2);
    assert!(ids(table.wanted()).iter().all(|id| *id < "n5"));
    assert_eq!(table.weights(), [1, 1]);
}
