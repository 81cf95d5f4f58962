//! What was counted, and whether it is what braid promises.

use braid::Handle;
use serde::Serialize;
use std::{collections::BTreeMap, fmt::Display, path::Path};

/// Every figure of a run. All are counted from what happened, none is assumed.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    /// What the fleet ran on.
    pub(crate) backends: Backends,
    /// Calls made, of every kind.
    pub(crate) calls: u64,
    /// Calls that failed.
    pub(crate) errors: u64,
    /// Tokenless calls by the node that answered, in the phase with exactly three login nodes.
    pub(crate) per_node: BTreeMap<String, u64>,
    /// Calls with a token that another node answered although the user's node was still there.
    pub(crate) sticky_violations: u64,
    /// Links that moved because their node left.
    pub(crate) links_moved: u64,
    /// Messages published.
    pub(crate) messages_published: u64,
    /// Deliveries, over all channels, repeated ones included.
    pub(crate) messages_delivered: u64,
    /// Messages that a channel never got.
    pub(crate) messages_lost: u64,
    /// For how long two candidates said at once that they lead.
    pub(crate) masters_overlap_ms: f64,
    /// From the order to stop the master to the next one.
    pub(crate) failover_ms: Option<f64>,
    /// Calls that the late joiner answered.
    pub(crate) joiner_calls: u64,
    /// Whether every node finished what it had in flight and ended without an error.
    pub(crate) drained: bool,
    /// The checks, by what they say.
    pub(crate) checks: Vec<Check>,
}

/// The backends of a node, by the names of their components.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Backends {
    pubsub: &'static str,
    discover: &'static str,
    linkcache: Option<&'static str>,
}

impl Backends {
    /// Those of this node.
    pub(crate) fn of(node: &Handle) -> Self {
        Self {
            pubsub: node.pubsub().name(),
            discover: node.discover().name(),
            linkcache: node.links().map(|links| links.name()),
        }
    }
}

/// One check.
#[derive(Debug, Serialize)]
pub(crate) struct Check {
    pub(crate) says: String,
    pub(crate) held: bool,
}

impl Report {
    /// Notes who answered a call without a token.
    pub(crate) fn answered(&mut self, node: String) {
        *self.per_node.entry(node).or_default() += 1;
    }

    /// Notes and shows a check.
    pub(crate) fn check(&mut self, held: bool, says: impl Display) {
        let mark = if held { "ok  " } else { "FAIL" };
        println!("   {mark} {says}");
        self.checks.push(Check {
            says: says.to_string(),
            held,
        });
    }

    /// Whether every check held.
    pub(crate) fn holds(&self) -> bool {
        self.checks.iter().all(|check| check.held)
    }

    /// Writes the report as JSON.
    pub(crate) fn write(&self, file: &Path) -> Result<(), String> {
        let named = |error: &dyn Display| format!("{}: {error}", file.display());
        let text = serde_json::to_string_pretty(self).map_err(|error| named(&error))?;
        std::fs::write(file, text + "\n").map_err(|error| named(&error))
    }
}
