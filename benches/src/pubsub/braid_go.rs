//! The original, in processes of its own: the program in `go/`, which `cargo xtask bench` builds.

use std::env;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::Result;
use crate::bench::Bench;
use crate::pairs::Side;
use crate::row::{Figures, Row};

use super::{Ours, PUBLISHERS, Redis, deliver_rate};

/// Says where the program is.
const PROGRAM: &str = "BRAID_BENCH_GO";

/// How many messages are published in a block.
const COUNT: usize = 4_096;

/// What two channels have handed out.
#[derive(Debug, Deserialize)]
struct Drained {
    deliveries: f64,
    seconds: f64,
}

/// Its own benchmark, for each of these numbers of publishers.
pub(super) fn publish<T: DeserializeOwned>(
    redis: &Redis,
    time: Duration,
    publishers: &[usize],
) -> Result<T> {
    run(
        redis,
        "publish",
        &format!("{}ms", time.as_millis()),
        publishers,
    )
}

/// Runs it once: it prints JSON.
fn run<T: DeserializeOwned>(
    redis: &Redis,
    what: &str,
    how_much: &str,
    publishers: &[usize],
) -> Result<T> {
    let program = env::var_os(PROGRAM)
        .ok_or_else(|| format!("start me as `cargo xtask bench`: no {PROGRAM}"))?;
    let mut command = Command::new(program);
    // Its logger makes a file.
    command.current_dir(redis.folder()).stderr(Stdio::inherit());
    command.args([what, &format!("127.0.0.1:{}", redis.port()), how_much]);
    command.args(publishers.iter().map(ToString::to_string));
    let output = command.output()?;
    if !output.status.success() {
        return Err(format!("the original's benchmark failed: {}", output.status).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Many tasks publish and two channels are drained, against the same by the original.
pub(super) fn deliver(bench: &mut Bench, row: &Row) -> Result<Figures> {
    let redis = bench.redis();
    let on = bench.runtime();
    let ours = on.block_on(Ours::connect(&redis.url()))?;
    let fanout = on.block_on(ours.fanout())?;
    bench.alternate(row, |side| match side {
        Side::Ours => on.block_on(deliver_rate(&redis, &fanout)),
        Side::Anchor => {
            let Drained {
                deliveries,
                seconds,
            } = run(&redis, "drain", &COUNT.to_string(), &[PUBLISHERS])?;
            on.block_on(redis.empty());
            Ok(deliveries / seconds)
        }
    })
}
