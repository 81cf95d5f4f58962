//! braid in one process: a fleet of a gate, login and mail nodes on real gRPC ports, with everything else in memory.
//!
//! `cargo run --example quickstart` shows it and goes on until Ctrl-C; `-- --once` exits after the scenario, with 0 only if every
//! check held.

mod args;
mod live;
mod masters;
mod members;
mod observed;
mod report;
mod scenario;
mod topics;
mod users;

use crate::{args::Args, scenario::Fleet};
use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    let args = match Args::parse(std::env::args().skip(1)) {
        Ok(Some(args)) => args,
        Ok(None) => {
            println!("{}", args::USAGE);
            return ExitCode::SUCCESS;
        }
        Err(fault) => {
            eprintln!("{fault}\n\n{}", args::USAGE);
            return ExitCode::from(2);
        }
    };
    match show(&args).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(fault) => {
            eprintln!("{fault}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the scenario, goes on if asked to, drains, and tells whether every check held.
async fn show(args: &Args) -> Result<bool, String> {
    let mut fleet = Fleet::start().await.map_err(|error| error.to_string())?;
    let ran = fleet.run().await;
    if let Err(error) = &ran {
        fleet.report.check(false, error);
    } else if !args.once {
        live::until_interrupted(&fleet).await;
    }
    let report = tokio::select! {
        report = fleet.drain() => report,
        () = asked_again(), if !args.once => return Err("not drained: forced to end".into()),
    };
    if let Some(file) = &args.report {
        report.write(file)?;
    }
    let held = report.checks.iter().filter(|check| check.held).count();
    println!("\n{held} of {} checks held", report.checks.len());
    Ok(report.holds())
}

/// Ends when the process is interrupted once more.
async fn asked_again() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
