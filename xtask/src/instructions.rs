//! `cargo xtask instructions`: how many instructions picks, routes and messages take, against the limits that stand beside them.
//!
//! The functions are in the package of benchmarks, and gungraun counts them under valgrind. Its runner is a program of its own that has to be of
//! exactly its version; it lies in the user's cache, so that nothing changes that the user has installed.

use std::path::PathBuf;
use std::time::Instant;

use crate::bench;
use crate::error::{Context as _, Error, Result, bail};
use crate::workspace::{Metadata, Workspace};
use crate::{process, programs, setup, text};

/// Runs the command line `instructions`.
pub(crate) fn command(workspace: &Workspace, args: &[String]) -> Result {
    if !args.is_empty() {
        bail!("instructions takes nothing, not `{}`", args.join(" "));
    }
    setup::ensure(workspace, "instructions", None)?;
    check(workspace)
}

/// Fails when something takes more instructions than its limit.
pub(crate) fn check(workspace: &Workspace) -> Result {
    let runner = Runner::of(&workspace.metadata()?)?;
    let line = format!(
        "bench --package {} --features gungraun --bench instructions",
        bench::NAME
    );
    process::run(
        workspace
            .cargo(&line)
            .env("GUNGRAUN_RUNNER", runner.program()),
    )
}

/// Installs the runner, unless it is there.
pub(crate) fn install(workspace: &Workspace) -> Result {
    let runner = Runner::of(&workspace.metadata()?)?;
    if runner.program().exists() {
        return Ok(());
    }
    println!("setup: building what counts instructions; it takes a minute or two");
    let started = Instant::now();
    // With the versions that it was released with. Not optimised, which takes half as long: it but starts valgrind and reads what that writes.
    let locked = workspace.locked();
    let mut cargo = locked.cargo("install --debug gungraun-runner --version");
    cargo.arg(format!("={}", runner.version));
    process::run(cargo.arg("--root").arg(&runner.root))?;
    println!(
        "setup: it is in {} after {}",
        runner.root.display(),
        text::duration(started.elapsed())
    );
    Ok(())
}

/// Where the runner is, installed or not.
#[derive(Debug)]
struct Runner {
    version: String,
    /// One for each version, so that checkouts that differ don't get in each other's way.
    root: PathBuf,
}

impl Runner {
    fn of(metadata: &Metadata) -> Result<Self> {
        let mut packages = metadata.packages.iter();
        let version = packages
            .find(|package| package.name == "gungraun")
            .map(|package| package.version.clone())
            .ok_or_else(|| {
                Error::new("no package depends on gungraun, so its runner has no version")
            })?;
        let cache = programs::cache().context("where the runner of gungraun is")?;
        let root = cache
            .join("braid/tools")
            .join(format!("gungraun-runner-{version}"));
        Ok(Self { version, root })
    }

    fn program(&self) -> PathBuf {
        let name = format!("gungraun-runner{}", std::env::consts::EXE_SUFFIX);
        self.root.join("bin").join(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Package;

    #[test]
    fn the_runner_is_of_the_version_that_the_lock_file_has() {
        let package = |name: &str, version: &str| Package {
            name: name.to_owned(),
            version: version.to_owned(),
            ..Package::default()
        };
        let mut metadata = Metadata {
            packages: vec![
                package("gungraun-macros", "1.0.0"),
                package("gungraun", "0.20.1"),
            ],
            ..Metadata::default()
        };
        let runner = Runner::of(&metadata).unwrap();
        assert_eq!(runner.version, "0.20.1");
        assert!(runner.root.ends_with("braid/tools/gungraun-runner-0.20.1"));
        assert!(runner.program().starts_with(&runner.root));
        metadata.packages.pop();
        let error = Runner::of(&metadata).unwrap_err();
        assert!(error.to_string().contains("gungraun"), "{error}");
    }

    #[test]
    fn arguments_are_refused() {
        let workspace = Workspace::find().unwrap();
        let error = command(&workspace, &["--quick".to_owned()]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "instructions takes nothing, not `--quick`"
        );
    }
}
