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

/// What the names of all interop tests begin with, and of no other test.
const INTEROP: &str = "interop::";

/// Runs the command line `test [--only BACKEND] [--without go] [cargo test args]...`.
pub(crate) fn command(workspace: &Workspace, args: &[String]) -> Result {
    let options = Options::parse(args)?;
    if options.only.is_none() {
        setup::ensure(workspace, "test", options.left_out())?;
    }
    let outcome = run(workspace, &options)?;
    println!("{}", outcome.closing());
    outcome.verdict()
}

/// Which tests to run.
#[derive(Debug, Default)]
pub(crate) struct Options<'a> {
    /// The only backend that takes part; none for all.
    only: Option<&'static Backend>,
    /// Leaves out the interop tests, which need Go.
    without_go: bool,
    /// Handed to `cargo test`.
    cargo_args: &'a [String],
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    totals: Totals,
    /// What is to be said of tests that were left out.
    left_out: Option<String>,
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
        left_out: options
            .without_go
            .then(|| options.without_go_notice(results.totals())),
        good: status.success() && problems.is_empty(),
    })
}

impl Outcome {
    /// The last words of a run: what was left out, and a line such as `12 passed, 0 failed`.
    pub(crate) fn closing(&self) -> String {
        let Totals { passed, failed, .. } = self.totals;
        let left_out = self.left_out.as_deref().unwrap_or_default();
        format!("{left_out}{passed} passed, {failed} failed")
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
        let mut options = Self::default();
        let mut rest = args;
        loop {
            rest = match rest {
                [only, name, rest @ ..] if only == "--only" => {
                    options.only = Some(backend(name)?);
                    // What runs in this process needs nothing else.
                    options.without_go = true;
                    rest
                }
                [without, name, rest @ ..] if without == "--without" => {
                    if name != setup::GO {
                        bail!("the tests can do without go, not without `{name}`");
                    }
                    options.without_go = true;
                    rest
                }
                [only] if only == "--only" => bail!("--only needs the name of a backend"),
                [without] if without == "--without" => bail!("--without needs a name: go"),
                cargo_args => {
                    options.cargo_args = cargo_args;
                    return Ok(options);
                }
            }
        }
    }

    /// All tests that need no Go.
    pub(crate) fn without_go() -> Self {
        Self {
            without_go: true,
            ..Self::default()
        }
    }

    /// The requirement that these tests do without.
    pub(crate) fn left_out(&self) -> Option<&'static str> {
        self.without_go.then_some(setup::GO)
    }

    fn without_go_notice(&self, totals: Totals) -> String {
        let count = if self.cargo_args.is_empty() {
            format!("{} interop tests", totals.filtered)
        } else {
            // A filter of the user's counts in there.
            "the interop tests".to_owned()
        };
        format!(
            "\nWITHOUT GO: {count} were left out. That braid and programs not written here \
             understand each other\nis NOT shown by this run.\n\n"
        )
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
        if self.without_go {
            if !args.contains(&"--") {
                args.push("--");
            }
            args.extend(["--skip", INTEROP]);
        }
        args
    }
}

fn backend(name: &str) -> Result<&'static Backend> {
    let Some(backend) = BACKENDS.iter().find(|backend| backend.name == name) else {
        let known: Vec<_> = BACKENDS.iter().map(|backend| backend.name).collect();
        bail!(
            "there is no backend `{name}`; --only takes one of: {}",
            known.join(", ")
        );
    };
    Ok(backend)
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
        let skip = "--skip interop::";
        check(&[], all);
        check(&["--only", "local"], &format!("{all} -- {skip}"));
        check(
            &["--without", "go", "p1", "--", "--nocapture"],
            &format!("{all} p1 -- --nocapture {skip}"),
        );
        check(&["p1", "--", "-p"], &format!("{all} p1 -- -p"));
        check(
            &["-p", "braid-core"],
            "--all-features --no-fail-fast -p braid-core",
        );
        check(
            &["--only", "local", "--without", "go", "--package=x"],
            "--all-features --no-fail-fast --package=x -- --skip interop::",
        );
    }

    #[test]
    fn only_go_can_be_done_without() {
        for (name, message) in [
            (
                Some("rust"),
                "the tests can do without go, not without `rust`",
            ),
            (None, "--without needs a name: go"),
        ] {
            let args: Vec<_> = ["--without"]
                .into_iter()
                .chain(name)
                .map(str::to_owned)
                .collect();
            assert_eq!(Options::parse(&args).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn what_was_left_out_is_said_before_the_last_line() {
        let totals = Totals {
            passed: 7,
            filtered: 3,
            ..Totals::default()
        };
        let closing = |options: &Options<'_>| {
            let left_out = options
                .without_go
                .then(|| options.without_go_notice(totals));
            Outcome {
                totals,
                left_out,
                good: true,
            }
            .closing()
        };
        assert_eq!(closing(&Options::default()), "7 passed, 0 failed");
        let without = closing(&Options::without_go());
        assert!(without.starts_with("\nWITHOUT GO: 3 interop tests were left out."));
        assert!(without.ends_with("\n7 passed, 0 failed"));
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
