//! The promises under real faults: `cargo xtask chaos`.
//!
//! A scenario ([`scenario`]) is led by one process, the conductor, which starts servers and the processes that use them (publishers,
//! consumers), makes faults, and judges. It believes nobody: what happened is read from the [`history`] that each process writes of
//! itself, line by line, before it goes on. SIGKILL takes nothing from a file that was written to, so that a history tells all that
//! a process did until it was killed. The [`ledger`] adds the histories up.

mod consumer;
mod failover;
mod history;
mod kill;
mod ledger;
mod options;
mod progress;
mod publisher;
mod scenario;
mod stage;

use std::{env, process::ExitCode};

/// A sentence for whoever ran it.
type Error = Box<dyn std::error::Error + Send + Sync>;

/// What may fail, fails with an [`Error`].
type Result<T, E = Error> = std::result::Result<T, E>;

fn main() -> ExitCode {
    let args: Vec<_> = env::args().skip(1).collect();
    let outcome = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        // What this program starts itself as.
        [publisher::ROLE, config] => publisher::run(config).map(|()| true),
        [consumer::ROLE, config] => consumer::run(config).map(|()| true),
        _ => options::Options::parse(args).and_then(|options| scenario::run(&options)),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
