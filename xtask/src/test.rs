//! `cargo xtask test`: every test of the workspace, and the conformance table.

use std::collections::BTreeSet;
use std::env;
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

/// What is said of a run without these.
const WITHOUT_GO: &str = "\nWITHOUT GO: the interop tests were left out. That braid and programs not written here \
    understand each other\nis NOT shown by this run.\n\n";

/// What the names of all tests that start a Redis server hold, those of its backends apart.
const REDIS: &str = "redis";

/// What the names of all conformance tests on Redis hold.
const ON_REDIS: &str = "conformance::redis";

/// How many of these run at a time, on two cores or more: they wait for claim times and the like, for most of their time. More don't make it
/// quicker, and take each other's time until claims come early.
const AT_A_TIME: &str = "12";
const TEST_THREADS: &str = "RUST_TEST_THREADS";

/// Runs the command line `test [--only BACKEND] [--without go] [cargo test args]...`.
pub(crate) fn command(workspace: &Workspace, args: &[String]) -> Result {
    let options = Options::parse(args)?;
    if options.only.is_none_or(|backend| backend.on_redis) {
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
    left_out: Option<&'static str>,
    good: bool,
}

/// Runs the tests, what they print passed through, then shows table, problems and time.
pub(crate) fn run(workspace: &Workspace, options: &Options<'_>) -> Result<Outcome> {
    let cases = table::parse(&read_cases(workspace)?)?;
    let started = Instant::now();
    let mut results = Results::default();
    let mut good = true;
    for run in options.runs() {
        let mut cargo = workspace.cargo("test");
        if run.mostly_wait && env::var_os(TEST_THREADS).is_none() {
            cargo.env(TEST_THREADS, AT_A_TIME);
        }
        let status = process::stream(cargo.args(&run.args), |line| results.read(line))?;
        good &= status.success();
    }

    let mut problems = results.problems();
    if !good && results.totals().failed == 0 {
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
        left_out: options.without_go.then_some(WITHOUT_GO),
        good: good && problems.is_empty(),
    })
}

impl Outcome {
    /// The last words of a run: what was left out, and a line such as `12 passed, 0 failed`.
    pub(crate) fn closing(&self) -> String {
        let Totals { passed, failed, .. } = self.totals;
        let left_out = self.left_out.unwrap_or_default();
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

    fn backends(&self) -> Vec<&'static Backend> {
        BACKENDS
            .iter()
            .filter(|backend| self.takes(backend))
            .collect()
    }

    fn takes(&self, backend: &Backend) -> bool {
        self.only.is_none_or(|only| only.name == backend.name)
    }

    /// The runs of `cargo test` that it takes. What waits most of the time has one of its own, unless the user says what to run.
    fn runs(&self) -> Vec<Run> {
        let (cargo, mut program) = self.arguments();
        let waits = self.backends().iter().any(|backend| backend.on_redis);
        if !waits || !self.cargo_args.is_empty() {
            return vec![Run::new(&cargo, &program, false)];
        }
        let mut waiting = cargo.clone();
        waiting.push("--tests".to_owned());
        let mut others = program.clone();
        others.extend(["--skip", ON_REDIS].map(str::to_owned));
        program.push(ON_REDIS.to_owned());
        vec![
            Run::new(&cargo, &others, false),
            Run::new(&waiting, &program, true),
        ]
    }

    /// The arguments of `cargo test`, and behind `--` those of the test programs.
    fn arguments(&self) -> (Vec<String>, Vec<String>) {
        // One failure must not hide the next.
        let mut cargo = vec!["--all-features", "--no-fail-fast"];
        let mut own = self.cargo_args.split(|arg| arg == "--");
        let own_cargo = own.next().unwrap_or_default();
        // Cargo would take `--workspace` over a package that the user names.
        let names_package = |arg: &String| arg.starts_with("-p") || arg.starts_with("--package");
        if !own_cargo.iter().any(names_package) {
            // The benchmark's tests are run where it is built: see `bench::check`.
            cargo.extend(["--workspace", "--exclude", bench::NAME]);
            let taken: Vec<_> = self
                .backends()
                .iter()
                .flat_map(|backend| backend.packages)
                .collect();
            let all = BACKENDS.iter().flat_map(|backend| backend.packages);
            let left_out: BTreeSet<_> = all.filter(|package| !taken.contains(package)).collect();
            cargo.extend(
                left_out
                    .into_iter()
                    .flat_map(|package| ["--exclude", package]),
            );
        }
        let mut cargo: Vec<_> = cargo.into_iter().map(str::to_owned).collect();
        cargo.extend_from_slice(own_cargo);
        let mut program: Vec<_> = own.flatten().cloned().collect();
        let mut skip = |name: &str| program.extend(["--skip", name].map(str::to_owned));
        if self.without_go {
            skip(INTEROP);
        }
        match self.only {
            Some(only) if only.on_redis => BACKENDS
                .iter()
                .filter(|other| other.on_redis && other.name != only.name)
                .for_each(|other| skip(&format!("conformance::{}::", other.name))),
            Some(_) => skip(REDIS),
            None => {}
        }
        (cargo, program)
    }
}

/// One run of `cargo test`.
struct Run {
    args: Vec<String>,
    mostly_wait: bool,
}

impl Run {
    fn new(cargo: &[String], program: &[String], mostly_wait: bool) -> Self {
        let mut args = cargo.to_vec();
        if !program.is_empty() {
            args.push("--".to_owned());
            args.extend_from_slice(program);
        }
        Self { args, mostly_wait }
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

    fn check(args: &[&str], cargo_test: &[&str]) {
        let args: Vec<_> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let options = Options::parse(&args).unwrap();
        let runs = options.runs();
        let lines: Vec<_> = runs.iter().map(|run| run.args.join(" ")).collect();
        assert_eq!(lines, cargo_test);
    }

    #[test]
    fn arguments_reach_cargo() {
        let features = "--all-features --no-fail-fast";
        let all = &format!("{features} --workspace --exclude braid-benches");
        let own_run = "--skip conformance::redis";
        check(
            &[],
            &[
                &format!("{all} -- {own_run}"),
                &format!("{all} --tests -- conformance::redis"),
            ],
        );
        check(
            &["--without", "go"],
            &[
                &format!("{all} -- --skip interop:: {own_run}"),
                &format!("{all} --tests -- --skip interop:: conformance::redis"),
            ],
        );
        check(
            &["--only", "local"],
            &[&format!(
                "{all} --exclude braid-linkcache-redis --exclude braid-pubsub-redis -- --skip interop:: --skip redis"
            )],
        );
        let others = "--skip conformance::redis_cluster:: --skip conformance::redis_sentinel:: --skip conformance::redis_tls::";
        check(
            &["--only", "redis"],
            &[
                &format!("{all} --exclude braid-local -- --skip interop:: {others} {own_run}"),
                &format!(
                    "{all} --exclude braid-local --tests -- --skip interop:: {others} conformance::redis"
                ),
            ],
        );
        check(
            &["--without", "go", "p1", "--", "--nocapture"],
            &[&format!("{all} p1 -- --nocapture --skip interop::")],
        );
        check(&["p1", "--", "-p"], &[&format!("{all} p1 -- -p")]);
        check(
            &["-p", "braid-core"],
            &[&format!("{features} -p braid-core")],
        );
        check(
            &["--only", "local", "--without", "go", "--package=x"],
            &[&format!(
                "{features} --package=x -- --skip interop:: --skip redis"
            )],
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
            let left_out = options.without_go.then_some(WITHOUT_GO);
            Outcome {
                totals,
                left_out,
                good: true,
            }
            .closing()
        };
        assert_eq!(closing(&Options::default()), "7 passed, 0 failed");
        let without = closing(&Options::without_go());
        assert!(without.starts_with("\nWITHOUT GO: the interop tests were left out."));
        assert!(without.ends_with("\n7 passed, 0 failed"));
    }

    #[test]
    fn an_unknown_backend_is_named() {
        let args = ["--only", "dish"].map(str::to_owned);
        let error = Options::parse(&args).unwrap_err();
        assert_eq!(
            error.to_string(),
            "there is no backend `dish`; --only takes one of: local, redis, redis_cluster, redis_sentinel, redis_tls"
        );
    }
}
