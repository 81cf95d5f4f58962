//! The scenarios, and how one is run.

use crate::{Result, failover, kill, options::Options, progress::Progress};
use futures_util::future::LocalBoxFuture;
use serde::Serialize;
use std::fs;

/// Faults to make, and a promise that they must not break.
#[derive(Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) does: &'static str,
    /// What is published unless another number is asked for.
    pub(crate) messages: usize,
    /// The faults that are made unless another number is asked for.
    pub(crate) kills: usize,
    run: for<'a> fn(&'a Options, &'a mut Progress) -> LocalBoxFuture<'a, Result<Verdict>>,
}

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "pubsub-kill",
        does: "consumers of two channels are killed and frozen; no acked message is lost, and few come twice",
        messages: 1_000_000,
        kills: 50,
        run: |options, progress| Box::pin(kill::run(options, progress)),
    },
    Scenario {
        name: "pubsub-failover",
        does: "the primary is cut off its replica and killed, which sentinels promote; no replicated message is lost",
        messages: 50_000,
        kills: 5,
        run: |options, progress| Box::pin(failover::run(options, progress)),
    },
];

/// How a scenario ended.
#[derive(Debug)]
pub(crate) struct Verdict {
    json: String,
    held: bool,
}

impl Verdict {
    pub(crate) fn new(held: bool, counts: &impl Serialize) -> Result<Self> {
        let json = serde_json::to_string_pretty(counts)?;
        Ok(Self { json, held })
    }
}

/// Runs what is asked for, shows the verdict, and gives whether the promise held.
pub(crate) fn run(options: &Options) -> Result<bool> {
    let mut progress = Progress::new();
    progress.say(&options.line());
    let runtime = braid_testkit::real_time();
    let verdict = runtime.block_on((options.scenario.run)(options, &mut progress));
    let verdict = verdict.map_err(|error| format!("{error}\nreplay with: {}", options.line()))?;
    println!("{}", verdict.json);
    if let Some(path) = &options.json {
        fs::write(path, verdict.json + "\n")
            .map_err(|error| format!("{}: {error}", path.display()))?;
    }
    if verdict.held {
        progress.say("the promise held");
    } else {
        progress.say(&format!(
            "THE PROMISE DID NOT HOLD; replay with: {}",
            options.line()
        ));
    }
    Ok(verdict.held)
}
