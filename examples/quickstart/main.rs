//! braid in one process: a fleet of a gate, login and mail nodes on real gRPC ports, with everything else in memory.
//!
//! `cargo run --example quickstart` shows it and goes on until Ctrl-C; `-- --once` exits after the scenario, with 0 only if every
//! check held; `-- --redis spawn` has topics and links on a Redis server.

mod args;
mod backends;
mod live;
mod masters;
mod members;
mod observed;
mod report;
mod scenario;
mod topics;
mod users;

use crate::{args::Args, backends::Backends, scenario::Fleet};
use std::process::ExitCode;
use tokio::sync::watch;

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

/// Runs the scenario, goes on if asked to, drains, and tells whether every check held. The first Ctrl-C drains, whenever it comes; a
/// second one ends at once.
async fn show(args: &Args) -> Result<bool, String> {
    let interrupts = interrupts();
    let backends = Backends::prepare(args.redis.as_ref()).await?;
    let mut fleet = Fleet::start(&backends)
        .await
        .map_err(|error| backends.advice(&error))?;
    tokio::select! {
        ran = fleet.run() => match ran {
            Err(error) => fleet.report.check(false, error),
            Ok(()) if args.once => {}
            Ok(()) => live::go_on(&fleet, interrupted(&interrupts, 1)).await,
        },
        () = interrupted(&interrupts, 1) => fleet.report.check(false, "the scenario was interrupted"),
    }
    let report = tokio::select! {
        report = fleet.drain() => report,
        () = interrupted(&interrupts, 2) => return Err("not drained: forced to end".into()),
    };
    if let Some(file) = &args.report {
        report.write(file)?;
    }
    let held = report.checks.iter().filter(|check| check.held).count();
    println!("\n{held} of {} checks held", report.checks.len());
    Ok(report.holds())
}

/// Counts the Ctrl-C's.
fn interrupts() -> watch::Receiver<u32> {
    let (sender, receiver) = watch::channel(0);
    tokio::spawn(async move {
        while tokio::signal::ctrl_c().await.is_ok() {
            sender.send_modify(|count| *count += 1);
        }
    });
    receiver
}

/// Ends when there have been so many.
async fn interrupted(interrupts: &watch::Receiver<u32>, count: u32) {
    if interrupts
        .clone()
        .wait_for(|seen| *seen >= count)
        .await
        .is_err()
    {
        std::future::pending::<()>().await;
    }
}
