//! Policies by name.

use crate::support::{counts, weighted};
use braid_balancer::{Balancer, PolicyKind};
use braid_core::ErrorKind;

#[test]
fn every_kind_is_found_by_its_name_and_picks() {
    for kind in PolicyKind::ALL {
        assert_eq!(kind.to_string().parse::<PolicyKind>().unwrap(), kind);
        let balancer = Balancer::<()>::new(kind.build());
        assert!(balancer.pick_for("key").is_none());
        balancer.apply([weighted(&[1, 1, 1])], |_| ());
        assert_eq!(counts(&balancer, 300).len(), 3, "{kind}");
        assert!(balancer.pick_for("key").is_some());
    }
}

#[test]
fn an_unknown_name_is_told_the_known_ones() {
    let error = "round-robin".parse::<PolicyKind>().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    for part in [
        "`round-robin`",
        "smooth-weighted",
        "weighted-random",
        "peak-ewma",
        "least-request",
        "rendezvous",
    ] {
        assert!(error.to_string().contains(part), "{error}");
    }
}
