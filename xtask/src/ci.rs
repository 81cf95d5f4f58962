//! `cargo xtask ci`: everything that a change has to pass; what fails cheaply comes first.

use std::time::{Duration, Instant};

use crate::bench;
use crate::codegen::{self, Mode};
use crate::error::{Result, bail};
use crate::instructions;
use crate::workspace::{Package, Workspace};
use crate::{process, programs, setup, test, text, tidy};

/// A run that takes longer is a failure: nobody waits for it.
const LIMIT: Duration = Duration::from_secs(75 * 60);

/// What a step does.
type Run = fn(&Workspace) -> Result;

/// What comes between the set-up, with the check of the Go code, and the tests.
const STEPS: &[(&str, Run)] = &[
    ("fmt", fmt),
    ("clippy", clippy),
    ("tidy", tidy::run),
    ("codegen", |workspace| codegen::run(workspace, Mode::Check)),
    ("docs", docs),
    ("features", features),
    ("quickstart", quickstart),
    ("counts", bench::check),
    ("instructions", instructions::check),
];

/// Runs the command line `ci [--without go]`.
pub(crate) fn command(workspace: &Workspace, args: &[String]) -> Result {
    let tests = match args {
        [] => test::Options::default(),
        [without, go] if without == "--without" && go == setup::GO => test::Options::without_go(),
        _ => bail!(
            "ci takes nothing but --without go, not `{}`",
            args.join(" ")
        ),
    };
    let workspace = workspace.locked();
    let mut done = Vec::new();
    let mut closing = None;
    let verdict = timed(&mut done, "setup", || {
        setup::ensure(&workspace, "ci", tests.left_out())
    })
    .and_then(|()| match tests.left_out() {
        None => timed(&mut done, "go", || programs::check(&workspace)),
        Some(_) => Ok(()),
    })
    .and_then(|()| {
        STEPS
            .iter()
            .try_for_each(|(name, step)| timed(&mut done, name, || step(&workspace)))
    })
    .and_then(|()| {
        timed(&mut done, "test", || {
            let outcome = test::run(&workspace, &tests)?;
            closing = Some(outcome.closing());
            outcome.verdict()
        })
    });
    print!("\n{}", summary(&done));
    if let Some(closing) = closing {
        println!("{closing}");
    }
    verdict
}

/// A step that came to its end.
struct Done {
    name: &'static str,
    good: bool,
    took: Duration,
}

/// Runs one step, takes its time, and fails when the time of all is used up.
fn timed(done: &mut Vec<Done>, name: &'static str, step: impl FnOnce() -> Result) -> Result {
    println!("\n=== {name}");
    let started = Instant::now();
    let verdict = step();
    let (good, took) = (verdict.is_ok(), started.elapsed());
    println!("=== {name}: {} after {}", state(good), text::duration(took));
    done.push(Done { name, good, took });
    verdict?;
    let total = total(done);
    if total > LIMIT {
        bail!(
            "{} so far, more than the {} that a run may take",
            text::duration(total),
            text::duration(LIMIT)
        );
    }
    Ok(())
}

fn total(done: &[Done]) -> Duration {
    done.iter().map(|step| step.took).sum()
}

fn summary(done: &[Done]) -> String {
    let row = |name: &str, state: &str, took| {
        vec![name.to_owned(), state.to_owned(), text::duration(took)]
    };
    let mut rows: Vec<_> = done
        .iter()
        .map(|step| row(step.name, state(step.good), step.took))
        .collect();
    rows.push(row("total", "", total(done)));
    text::columns(&rows)
}

fn state(good: bool) -> &'static str {
    if good { "ok" } else { "FAILED" }
}

fn fmt(workspace: &Workspace) -> Result {
    process::run(&mut workspace.cargo("fmt --all --check"))
}

fn clippy(workspace: &Workspace) -> Result {
    let line = "clippy --workspace --all-targets --all-features -- -D warnings";
    process::run(&mut workspace.cargo(line))
}

fn docs(workspace: &Workspace) -> Result {
    let line = format!(
        "doc --workspace --exclude {} --no-deps --all-features",
        bench::NAME
    );
    let mut cargo = workspace.cargo(&line);
    process::run(cargo.env("RUSTDOCFLAGS", "-D warnings"))
}

/// Runs the first thing that a newcomer runs, in one process and on Redis; it fails unless all of its own checks hold.
fn quickstart(workspace: &Workspace) -> Result {
    let once = "run --example quickstart -- --once";
    process::run(&mut workspace.cargo(once))?;
    process::run(&mut workspace.cargo(&format!("{once} --redis spawn")))
}

/// Checks that each feature of each crate builds alone, without a warning.
fn features(workspace: &Workspace) -> Result {
    let metadata = workspace.metadata()?;
    // The benchmark's features are for nobody to select: `clippy` and `counts` see it with all and without.
    let libraries = metadata
        .members()
        .filter(|member| member.name != bench::NAME);
    for package in libraries {
        for selection in selections(package) {
            // Clippy and not check: it can deny warnings without building the dependencies anew.
            let mut cargo = workspace.cargo("clippy");
            cargo
                .args(["--package", &package.name])
                .args(selection)
                .args(["--", "-D", "warnings"]);
            process::run(&mut cargo)?;
        }
    }
    Ok(())
}

/// Cargo's arguments for the default features, for none, and for each one alone.
fn selections(package: &Package) -> Vec<Vec<&str>> {
    let mut selections = vec![vec![]];
    if !package.features.is_empty() {
        selections.push(vec!["--no-default-features"]);
    }
    let names = package.features.keys().filter(|name| *name != "default");
    selections.extend(names.map(|name| vec!["--no-default-features", "--features", name]));
    selections
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    fn each_feature_is_selected_alone() {
        let features = ["default", "local", "rpc"].map(|name| (name.to_owned(), Vec::new()));
        let package = Package {
            features: features.into(),
            ..Package::default()
        };
        assert_eq!(
            selections(&package)
                .iter()
                .map(|args| args.join(" "))
                .collect::<Vec<_>>(),
            [
                "",
                "--no-default-features",
                "--no-default-features --features local",
                "--no-default-features --features rpc",
            ]
        );
        assert_eq!(selections(&Package::default()), [[""; 0]]);
    }

    #[test]
    fn the_summary_names_the_step_that_failed() {
        let mut done = Vec::new();
        timed(&mut done, "fmt", || Ok(())).unwrap();
        timed(&mut done, "clippy", || Err(Error::told())).unwrap_err();
        let summary = summary(&done);
        let words: Vec<Vec<_>> = summary
            .lines()
            .map(|line| line.split_whitespace().take(2).collect())
            .collect();
        assert_eq!(
            words,
            [["fmt", "ok"], ["clippy", "FAILED"], ["total", "0.0"]]
        );
    }

    #[test]
    fn too_long_a_run_fails() {
        let mut done = vec![Done {
            name: "test",
            good: true,
            took: LIMIT + Duration::from_secs(1),
        }];
        let error = timed(&mut done, "docs", || Ok(())).unwrap_err();
        assert_eq!(
            error.to_string(),
            "75 min 01 s so far, more than the 75 min 00 s that a run may take"
        );
    }
}
