//! The command line.

use std::path::PathBuf;

pub(crate) const USAGE: &str = "\
usage: cargo run --example quickstart -- [--once] [--redis URL|spawn] [--report FILE]

  --once         run the scenario, drain and exit: 0 only if every check held
  --redis URL    topics and links on this Redis server, such as redis://127.0.0.1:6379; topics stay there; for one run at a time
  --redis spawn  topics and links on a Redis server that is started for this run (needs the program redis-server)
  --report FILE  write what was counted, as JSON
Without --once the fleet goes on until Ctrl-C, which drains it.";

/// What the user asked for.
#[derive(Debug, Default)]
pub(crate) struct Args {
    pub(crate) once: bool,
    pub(crate) redis: Option<Redis>,
    pub(crate) report: Option<PathBuf>,
}

/// Which Redis server topics and links are on.
#[derive(Debug)]
pub(crate) enum Redis {
    /// One that runs, by its URL.
    At(String),
    /// One for this run only.
    Spawn,
}

impl Args {
    /// Reads the arguments behind the program's name. `Ok(None)`: the user asked for help.
    pub(crate) fn parse(args: impl IntoIterator<Item = String>) -> Result<Option<Self>, String> {
        let mut parsed = Self::default();
        let mut args = args.into_iter();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--once" => parsed.once = true,
                "--redis" => {
                    let server = args
                        .next()
                        .ok_or("--redis needs a URL or `spawn` behind it")?;
                    parsed.redis = Some(match server.as_str() {
                        "spawn" => Redis::Spawn,
                        _ => Redis::At(server),
                    });
                }
                "--report" => {
                    let file = args
                        .next()
                        .ok_or("--report needs a file's name behind it")?;
                    parsed.report = Some(file.into());
                }
                "-h" | "--help" => return Ok(None),
                other => return Err(format!("unknown argument `{other}`")),
            }
        }
        Ok(Some(parsed))
    }
}
