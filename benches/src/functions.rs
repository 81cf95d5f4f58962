//! Rows of single functions, whose trend Criterion follows. They only report.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

use serde::Deserialize;

use crate::Result;
use crate::bench::Bench;
use crate::row::{Figures, Row, Unit};
use crate::stats::Estimate;

/// The functions, by the names of their rows.
const NAMES: &[&str] = &[
    "criterion/pick:3",
    "criterion/pick:1000",
    "criterion/route",
    "criterion/message:encode",
    "criterion/message:decode",
    "criterion/key:token",
    "criterion/key:service",
];

/// The rows.
#[must_use]
pub fn rows() -> Vec<Row> {
    let row = |name: &&'static str| Row::timed(name, Unit::Time, measure);
    NAMES.iter().map(row).collect()
}

/// Builds the functions, so that nothing is built while others measure.
///
/// # Errors
/// They don't build.
pub fn build() -> Result<()> {
    status(cargo().args(["bench", "--no-run", "--quiet"]).args(TARGET))
}

// With the features that this program was built with, so that nothing else is built anew.
const TARGET: [&str; 6] = [
    "--package",
    "braid-benches",
    "--features",
    "criterion,pingora",
    "--bench",
    "functions",
];

/// What Criterion calls a row's function.
fn id(name: &str) -> String {
    name.trim_start_matches("criterion/").replace(':', "_")
}

fn measure(bench: &mut Bench, row: &Row) -> Result<Figures> {
    let (id, home) = (id(row.name), home()?);
    let mut cargo = cargo();
    cargo.args(["bench", "--quiet"]).args(TARGET);
    cargo.args(["--", "--exact", &id, "--noplot", "--quiet"]);
    if bench.quick() {
        cargo.args(["--warm-up-time", "0.3", "--measurement-time", "0.7"]);
    }
    status(cargo.env("CRITERION_HOME", &home))?;
    let path = home.join(&id).join("new").join("estimates.json");
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(Figures::alone(read(&text)?))
}

/// Where Criterion keeps what it finds: beside what cargo builds.
fn home() -> Result<PathBuf> {
    let program = env::current_exe()?;
    let target = program.parent().and_then(Path::parent);
    let target = target.ok_or("this program is in no target folder")?;
    Ok(target.join("criterion"))
}

fn cargo() -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // What cargo has told this program of its package is not for build scripts, which would run again.
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            cargo.env_remove(&name);
        }
    }
    cargo.stdin(Stdio::null()).stdout(Stdio::null());
    cargo
}

fn status(command: &mut Command) -> Result<()> {
    let status = command.status()?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("cargo bench failed: {status}").into())
    }
}

/// The median, with its interval, of what Criterion has written.
fn read(estimates: &str) -> Result<Estimate> {
    #[derive(Deserialize)]
    struct Estimates {
        median: Median,
    }
    #[derive(Deserialize)]
    struct Median {
        point_estimate: f64,
        confidence_interval: Interval,
    }
    #[derive(Deserialize)]
    struct Interval {
        lower_bound: f64,
        upper_bound: f64,
    }
    let Median {
        point_estimate,
        confidence_interval,
    } = serde_json::from_str::<Estimates>(estimates)?.median;
    Ok(Estimate {
        middle: point_estimate,
        low: confidence_interval.lower_bound,
        high: confidence_interval.upper_bound,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn estimates_are_read_as_criterion_writes_them() {
        let estimate = |point| {
            format!(
                r#"{{"confidence_interval":{{"confidence_level":0.95,"lower_bound":1.5,
                "upper_bound":2.5}},"point_estimate":{point},"standard_error":0.1}}"#
            )
        };
        let text = format!(
            r#"{{"mean":{},"median":{},"slope":null}}"#,
            estimate(3.0),
            estimate(2.0)
        );
        let expected = Estimate {
            middle: 2.0,
            low: 1.5,
            high: 2.5,
        };
        assert_eq!(read(&text).unwrap(), expected);
        assert!(read("{}").is_err());
    }

    #[test]
    fn each_row_has_a_function_of_its_name() {
        let functions = include_str!("../benches/functions.rs");
        for name in NAMES {
            let id = id(name);
            assert!(functions.contains(&format!("\"{id}\"")), "{id}");
        }
    }
}
