//! Which nodes a balancer lets its policy choose from, and with what weights.

use braid_core::{Error, ErrorKind, Result};
use std::time::Duration;

/// What comes before the policy. By default nothing does: every ready node takes part with its own weight.
#[derive(Clone, Debug, PartialEq)]
pub struct BalancerConfig {
    /// Nodes that are new, or come back, get their full share only after a while. Default `None`: at once.
    pub slow_start: Option<SlowStart>,
    /// Calls stay in a zone as long as its nodes can carry them. Default `None`: zones make no difference.
    pub zone: Option<ZonePreference>,
    /// Calls, and connections, go to a few of the nodes. Default `None`: to all.
    pub subset: Option<Subset>,
    /// How fast latency estimates fade: what was measured this long ago counts e times less than news. Shorter: a node that was slow is
    /// tried again sooner, and more often. Default 10 s.
    pub decay: Duration,
}

/// Nodes that are new get a small share first, that grows in steps to the full one, as Envoy's slow start mode does.
///
/// It begins when a node becomes ready after the first view: it is new, or a new life of a node, was not ready or failed before, or
/// was drained by hand. What discovery repeats begins nothing anew.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SlowStart {
    /// How long it takes. Default 30 s.
    pub window: Duration,
    /// The share in the beginning, of the full one: above 0, at most 1. Default 0.1.
    pub initial: f64,
}

/// Calls stay in a zone; what its nodes can't carry spills over to the other zones, by weight.
///
/// The part that stays is `overprovisioning` times the weight of the zone's nodes that haven't failed, divided by the weight of all of its
/// nodes that take part; at most all. That is how Envoy prefers localities. Without any node in the zone all calls go to the others.
#[derive(Clone, Debug, PartialEq)]
pub struct ZonePreference {
    /// The caller's zone, as [`Node::zone`](braid_core::Node::zone) names it.
    pub zone: String,
    /// How much more than their share the zone's nodes can carry, at least 1. Envoy's 1.4 keeps all calls in the zone until more than 28 %
    /// of it has failed. Infinite: until all of it has.
    pub overprovisioning: f64,
}

/// Calls go to a few of a service's nodes, so that a large fleet doesn't connect everyone to everyone.
///
/// Which ones follows from the names of the client and of the nodes by rendezvous hashing: the same over restarts, different from
/// client to client, and a node that comes or goes changes one place at most. The choice is random in effect, and evens out over many clients
/// only; gRFC A68 (random subsetting) tells what that means. With a [`ZonePreference`] it applies to the zone and to the others separately.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subset {
    /// Who is calling: the node's id, say. Clients of one name use the same nodes.
    pub client: String,
    /// How many nodes that haven't failed there should be, at least 1. Failed ones come on top: each is stood in for.
    pub size: usize,
}

impl Default for BalancerConfig {
    fn default() -> Self {
        Self {
            slow_start: None,
            zone: None,
            subset: None,
            decay: Duration::from_secs(10),
        }
    }
}

impl Default for SlowStart {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(30),
            initial: 0.1,
        }
    }
}

impl ZonePreference {
    /// Prefers `zone`, with Envoy's overprovisioning of 1.4.
    #[must_use]
    pub fn new(zone: impl Into<String>) -> Self {
        Self {
            zone: zone.into(),
            overprovisioning: 1.4,
        }
    }
}

impl BalancerConfig {
    /// Checks what can't be meant. A balancer takes such a config all the same, and goes by the nearest that can be.
    ///
    /// # Errors
    /// `Config`, and which field it is.
    pub fn validate(&self) -> Result<()> {
        let fault = if self.decay.is_zero() {
            "`decay` is zero: no estimate would outlive its measurement"
        } else if self.slow_start.is_some_and(|slow| slow.window.is_zero()) {
            "`slow_start.window` is zero: `None` switches it off"
        } else if !self
            .slow_start
            .is_none_or(|slow| slow.initial > 0.0 && slow.initial <= 1.0)
        {
            "`slow_start.initial` isn't above 0 and at most 1"
        } else if !self
            .zone
            .as_ref()
            .is_none_or(|zone| zone.overprovisioning >= 1.0)
        {
            "`zone.overprovisioning` isn't at least 1"
        } else if self.subset.as_ref().is_some_and(|subset| subset.size == 0) {
            "`subset.size` is 0: no node would get a call"
        } else {
            return Ok(());
        };
        Err(Error::new(
            ErrorKind::Config,
            "balancer",
            "configure",
            fault,
        ))
    }
}
