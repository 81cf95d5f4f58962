//! The command line.

use std::path::PathBuf;

pub(crate) const USAGE: &str = "\
usage: cargo run --example quickstart -- [--once] [--report FILE]

  --once         run the scenario, drain and exit: 0 only if every check held
  --report FILE  write what was counted, as JSON
Without --once the fleet goes on until Ctrl-C, which drains it.";

/// What the user asked for.
#[derive(Debug, Default)]
pub(crate) struct Args {
    pub(crate) once: bool,
    pub(crate) report: Option<PathBuf>,
}

impl Args {
    /// Reads the arguments behind the program's name. `Ok(None)`: the user asked for help.
    pub(crate) fn parse(args: impl IntoIterator<Item = String>) -> Result<Option<Self>, String> {
        let mut parsed = Self::default();
        let mut args = args.into_iter();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--once" => parsed.once = true,
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
