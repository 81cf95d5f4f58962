//! The server's own benchmark: what it can take.

use std::process::Command;

use crate::Result;
use crate::bench::Bench;
use crate::pairs::Side;
use crate::row::{Figures, Row};

use super::{BODY, Ours, PUBLISHERS, Redis, publish_rate};

/// How many publishes it makes in a block: it measures in whole milliseconds, and this takes about fifty.
const REQUESTS: usize = 25_600;

/// Many tasks by braid, which are on one connection, against one connection that has as many commands in flight.
pub(super) fn compare(bench: &mut Bench, row: &Row) -> Result<Figures> {
    let redis = bench.redis();
    let on = bench.runtime();
    let ours = on.block_on(Ours::connect(&redis.url()))?;
    bench.alternate(row, |side| match side {
        Side::Ours => on.block_on(publish_rate(&redis, &ours.publisher())),
        Side::Anchor => {
            let rate = run(&redis);
            on.block_on(redis.empty());
            rate
        }
    })
}

/// Publishes per second, by its own clock.
fn run(redis: &Redis) -> Result<f64> {
    let mut command = Command::new("redis-benchmark");
    command.args(["--csv", "-h", "127.0.0.1", "-c", "1"]);
    command.args(["-p", &redis.port().to_string()]);
    command.args(["-P", &PUBLISHERS.to_string()]);
    command.args(["-n", &REQUESTS.to_string()]);
    command.args(["XADD", "bench-redis-benchmark", "*", "msg"]);
    command.arg(std::str::from_utf8(BODY)?);
    let output = command.output().map_err(|error| {
        format!(
            "redis-benchmark: {error}; it comes with redis-server: `cargo xtask setup --install`"
        )
    })?;
    let text = String::from_utf8(output.stdout)?;
    rate(&text).ok_or_else(|| {
        let errors = String::from_utf8_lossy(&output.stderr);
        format!("redis-benchmark said `{text}{errors}`").into()
    })
}

/// The second cell of the last line: `"XADD bench * msg test","604809.69","0.404",...`.
fn rate(text: &str) -> Option<f64> {
    let line = text.lines().last()?;
    let cell = line.split(',').nth(1)?;
    cell.trim_matches('"').parse().ok()
}

#[cfg(test)]
mod tests {
    use super::rate;

    #[test]
    fn the_rate_is_found_behind_the_head() {
        let head = "\"test\",\"rps\",\"avg_latency_ms\"\n";
        let line = "\"XADD bench * msg test\",\"604809.69\",\"0.404\"\n";
        assert_eq!(rate(&format!("{head}{line}")), Some(604_809.69));
        assert_eq!(rate(head), None);
        assert_eq!(rate(""), None);
    }
}
