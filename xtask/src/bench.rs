//! `cargo xtask bench`: what braid costs, beside what it is built on.
//!
//! The work is done by the package of benchmarks, which this builds as users build and runs. It is no part of other tasks, since what it
//! compares with takes minutes to build; only its counts are, which need none of that: see [`check`].

use std::env;

use crate::error::{Context as _, Error, Result};
use crate::process;
use crate::programs;
use crate::setup;
use crate::workspace::Workspace;

/// The package.
pub(crate) const NAME: &str = "braid-benches";

/// The same for cargo, built as users build: the release profile, with nothing set.
const RELEASE: &str = "--release --package braid-benches --features criterion,pingora,sea-streamer";

/// What calls and picks allocate: what `cargo run --package braid-benches --bin counts` prints, without its anchor's line.
const COUNTS: &str = "benches/counts.txt";

/// Runs the command line `bench [--filter GLOB]... [--quick] [--json FILE] [--check]`.
pub(crate) fn command(workspace: &Workspace, args: &[String]) -> Result {
    setup::ensure(workspace, "bench", None)?;
    process::run(&mut workspace.cargo(&format!("build {RELEASE} --bins")))?;
    let mut cargo = workspace.cargo(&format!("run --quiet {RELEASE} --bin bench --"));
    // Files are named from where the user is.
    cargo.current_dir(env::current_dir().context("the current folder")?);
    cargo.env("BRAID_BENCH_GO", programs::bench(workspace)?);
    // What is wrong is said by the program itself.
    match cargo.args(args).status().context("cargo run")? {
        status if status.success() => Ok(()),
        _ => Err(Error::told()),
    }
}

/// Tests the package, and fails when a call or a pick allocates more than what is written down.
///
/// In the profile of the tests, which is built in a fifth of the time: the counts differ by a few from those of the rows, but grow with them.
pub(crate) fn check(workspace: &Workspace) -> Result {
    process::run(&mut workspace.cargo(&format!("test --package {NAME} --lib")))?;
    let counts = format!("run --package {NAME} --bin counts -- --check {COUNTS}");
    process::run(&mut workspace.cargo(&counts))
}
