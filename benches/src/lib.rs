//! What braid costs, measured beside what it is built on.
//!
//! `cargo xtask bench` runs the program `bench` of this package. A [`row::Row`] says what is measured and what its [`goal::Goal`] is. Figures
//! that depend on time are taken by [`pairs`]: braid and its anchor in turn, block by block, until [`stats`] is sure enough of their
//! ratio. Figures that are counts come from the program `counts`, whose allocator counts. Single functions are left to Criterion
//! ([`functions`]). [`documents`] puts what came out into the tables of the documents.
//!
//! The README beside this tells how to read it all.

pub mod balancer;
pub mod bench;
pub mod blocks;
pub mod counts;
pub mod cpu;
pub mod documents;
pub mod functions;
pub mod glob;
pub mod goal;
pub mod machine;
pub mod nodes;
pub mod options;
pub mod pairs;
pub mod pubsub;
pub mod random;
pub mod row;
pub mod rpc;
pub mod run;
pub mod stats;
pub mod timed;

/// The echo service that calls go to: generated from `proto/echo.proto` by `cargo xtask codegen`.
#[allow(missing_docs, unreachable_pub, clippy::pedantic, clippy::all)]
#[rustfmt::skip]
#[path = "generated/bench.rs"]
pub mod echo;

use std::path::PathBuf;

/// A sentence for whoever ran it.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// What may fail, fails with an [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Another program of this package: cargo puts them beside each other.
fn sibling(name: &str) -> Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name(name);
    let path = path.with_extension(std::env::consts::EXE_EXTENSION);
    if path.exists() {
        Ok(path)
    } else {
        Err(format!(
            "{} isn't built; start me as `cargo xtask bench`",
            path.display()
        )
        .into())
    }
}
