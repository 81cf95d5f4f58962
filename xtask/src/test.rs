//! `cargo xtask test`: every test of the workspace, and the conformance table.

use std::fs;
use std::time::{Duration, Instant};

use crate::bench;
use crate::error::{Context as _, Error, Result, bail};
use crate::process;
use crate::results::{Results, Totals};
use crate::setup;
use crate::table::{self, BACKENDS, Backend, Table};
use crate::text;
use crate::workspace::Workspace;

/// Runs the command line `test [--only BACKEND] [cargo test args]...`.
pub(crate) fn command(workspace: &Workspace, args: &[String]) -> Result {
    let options = Options::parse(args)?;
    if options.only.is_none() {
        setup::ensure(workspace, "test")?;
    }
    let outcome = run(workspace, &options)?;
    println!("{}", outcome.closing_line());
    outcome.verdict()
}

/// Which tests to run.
#[derive(Debug, Default)]
pub(crate) struct Options<'a> {
    /// The only backend that takes part; none for all.
    only: Option<&'static Backend>,
    /// Handed to `cargo test`.
    cargo_args: &'a [String],
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    totals: Totals,
    good: bool,
}

/// Runs the tests, what they print passed through, then shows table, problems and time.
pub(crate) fn run(workspace: &Workspace, options: &Options<'_>) -> Result<Outcome> {
    let cases = table::parse(&read_cases(workspace)?)?;
    let started = Instant::now();
    let mut results = Results::default();
    let mut cargo = workspace.cargo("test");
    let status = process::stream(cargo.args(options.cargo_test()), |line| results.read(line))?;

    let mut problems = results.problems();
    if !status.success() && results.totals().failed == 0 {
        problems.push(
            "cargo test failed though no test did: something did not build, or a test program died"
                .to_owned(),
        );
    }
    if options.cargo_args.is_empty() {
        let table = Table::new(&cases, &results, &options.backends());
        println!("\nconformance, case by backend:\n\n{}", table.text());
        problems.extend(table.problems());
    } else {
        println!("\nonly a part was asked for, so the conformance table is not judged");
    }
    report(&problems, started.elapsed());
    Ok(Outcome {
        totals: results.totals(),
        good: status.success() && problems.is_empty(),
    })
}

impl Outcome {
    /// The last line of a run: `12 passed, 0 failed`.
    pub(crate) fn closing_line(&self) -> String {
        format!(
            "{} passed, {} failed",
            self.totals.passed, self.totals.failed
        )
    }

    pub(crate) fn verdict(&self) -> Result {
        if self.good {
            Ok(())
        } else {
            Err(Error::told())
        }
    }
}

impl<'a> Options<'a> {
    fn parse(args: &'a [String]) -> Result<Self> {
        match args {
            [only, name, cargo_args @ ..] if only == "--only" => {
                let Some(backend) = BACKENDS.iter().find(|backend| backend.name == name) else {
                    let known = BACKENDS
                        .iter()
                        .map(|backend| backend.name)
                        .collect::<Vec<_>>();
                    bail!(
                        "there is no backend `{name}`; --only takes one of: {}",
                        known.join(", ")
                    );
                };
                Ok(Self {
                    only: Some(backend),
                    cargo_args,
                })
            }
            [only] if only == "--only" => bail!("--only needs the name of a backend"),
            cargo_args => Ok(Self {
                only: None,
                cargo_args,
            }),
        }
    }

    fn backends(&self) -> Vec<&'static Backend> {
        BACKENDS
            .iter()
            .filter(|backend| self.takes(backend))
            .collect()
    }

    fn takes(&self, backend: &Backend) -> bool {
        self.only.is_none_or(|only| only.name == backend.name)
    }

    /// The arguments of `cargo test`.
    fn cargo_test(&self) -> Vec<&str> {
        let mut args = vec!["--all-features"];
        // One failure must not hide the next.
        args.push("--no-fail-fast");
        // Cargo would take `--workspace` over a package that the user names.
        let names_package = |arg: &String| arg.starts_with("-p") || arg.starts_with("--package");
        let own = self.cargo_args.iter().take_while(|arg| *arg != "--");
        if !own.clone().any(names_package) {
            // The benchmark's tests are run where it is built: see `bench::check`.
            args.extend(["--workspace", "--exclude", bench::NAME]);
            for left_out in BACKENDS.iter().filter(|backend| !self.takes(backend)) {
                args.extend(
                    left_out
                        .packages
                        .iter()
                        .flat_map(|package| ["--exclude", package]),
                );
            }
        }
        args.extend(self.cargo_args.iter().map(String::as_str));
        args
    }
}

fn read_cases(workspace: &Workspace) -> Result<String> {
    fs::read_to_string(workspace.root().join(table::CASES)).context(table::CASES)
}

fn report(problems: &[String], elapsed: Duration) {
    for problem in problems {
        // To the same stream as the results, so that they stay in order.
        println!("problem: {problem}");
    }
    println!("the tests took {}", text::duration(elapsed));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(args: &[&str], cargo_test: &str) {
        let args: Vec<_> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let options = Options::parse(&args).unwrap();
        assert_eq!(options.cargo_test().join(" "), cargo_test);
    }

    #[test]
    fn arguments_reach_cargo() {
        let all = "--all-features --no-fail-fast --workspace --exclude braid-benches";
        check(&[], all);
        check(&["--only", "local"], all);
        check(&["p1", "--", "-p"], &format!("{all} p1 -- -p"));
        check(
            &["-p", "braid-core"],
            "--all-features --no-fail-fast -p braid-core",
        );
        check(
            &["--only", "local", "--package=x"],
            "--all-features --no-fail-fast --package=x",
        );
    }

    #[test]
    fn an_unknown_backend_is_named() {
        let args = ["--only", "dish"].map(str::to_owned);
        let error = Options::parse(&args).unwrap_err();
        assert_eq!(
            error.to_string(),
            "there is no backend `dish`; --only takes one of: local"
        );
    }
}
