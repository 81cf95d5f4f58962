//! `cargo xtask chaos`: the promises under real faults, in their long forms.
//!
//! The work is done by the package of chaos, which this builds as users build and runs. Its short forms are tests, and run with all others.

use std::env;

use crate::error::{Context as _, Error, Result};
use crate::process;
use crate::setup;
use crate::workspace::Workspace;

const RELEASE: &str = "--release --package braid-chaos --bin chaos";

/// Runs the command line `chaos --scenario NAME [--messages N] [--kills N] [--seed N] [--json FILE]`.
pub(crate) fn command(workspace: &Workspace, args: &[String]) -> Result {
    setup::ensure(workspace, "chaos", None)?;
    process::run(&mut workspace.cargo(&format!("build {RELEASE}")))?;
    let mut cargo = workspace.cargo(&format!("run --quiet {RELEASE} --"));
    if env::var_os(setup::REDIS_BIN).is_none_or(|name| name.is_empty()) {
        // So that publishes of every durability take part.
        cargo.env(setup::REDIS_BIN, setup::server_with_waitaof(workspace));
    }
    // Files are named from where the user is.
    cargo.current_dir(env::current_dir().context("the current folder")?);
    // What is wrong is said by the program itself.
    match cargo.args(args).status().context("cargo run")? {
        status if status.success() => Ok(()),
        _ => Err(Error::told()),
    }
}
