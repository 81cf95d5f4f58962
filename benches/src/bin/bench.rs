//! The benchmark, as `cargo xtask bench` runs it.

use std::env;
use std::process::ExitCode;

use braid_benches::options::Options;
use braid_benches::{Result, rpc, run};

fn main() -> ExitCode {
    match start() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            let mut cause = error.source();
            while let Some(error) = cause {
                eprintln!("  because: {error}");
                cause = error.source();
            }
            ExitCode::FAILURE
        }
    }
}

fn start() -> Result<bool> {
    let args: Vec<_> = env::args().skip(1).collect();
    // What this program starts itself as.
    if args == [rpc::SERVE] {
        return rpc::serve().map(|()| true);
    }
    run::run(&Options::parse(args)?)
}
