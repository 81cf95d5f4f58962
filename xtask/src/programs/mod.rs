//! The programs that are built from Go modules: the ones that the interop tests talk to, and the original's benchmark.

mod place;

pub(crate) use self::place::cache;

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use self::place::{INTEROP, Module, ORIGINAL};
use crate::error::{Context as _, Result, bail};
use crate::workspace::Workspace;
use crate::{process, text};

/// The original's benchmark.
const BENCH: Module = Module {
    name: "bench",
    path: "benches/go",
};

/// Builds what the interop tests talk to.
pub(crate) fn build_interop(workspace: &Workspace) -> Result {
    // `tool` stands for the programs of others that go.mod names.
    build(workspace, &INTEROP, &["tool", "./peer"])?;
    build(workspace, &ORIGINAL, &["./original"])
}

/// Builds the original's benchmark.
pub(crate) fn build_bench(workspace: &Workspace) -> Result {
    build(workspace, &BENCH, &["."])
}

/// Where the original's benchmark is, built or not.
pub(crate) fn bench(workspace: &Workspace) -> Result<PathBuf> {
    let place = place::place(workspace.root(), &BENCH);
    // Go names a program after its module.
    Ok(place.context("where Go's programs are")?.join("bench"))
}

/// Builds the programs of a module, unless they are there. Go fetches the sources that it doesn't have.
fn build(workspace: &Workspace, module: &Module, programs: &[&str]) -> Result {
    let place = place::place(workspace.root(), module).context("where Go's programs are")?;
    if place.exists() {
        return Ok(());
    }
    println!(
        "setup: building the programs of {}; with nothing in Go's cache it takes a minute or two",
        module.path
    );
    let started = Instant::now();
    // Under another name until all are there: a build that was cut short, or one at the same time,
    // does no harm.
    let scratch = place.with_extension(std::process::id().to_string());
    fs::create_dir_all(&scratch).context(scratch.display())?;
    let mut go = command(workspace, module, "go");
    // Nobody debugs them.
    go.args(["build", "-v", "-trimpath", "-ldflags=-s -w", "-o"])
        .arg(&scratch)
        .args(programs);
    let built = process::run(&mut go).and_then(|()| {
        fs::rename(&scratch, &place)
            .or_else(|error| if place.exists() { Ok(()) } else { Err(error) })
            .context(place.display())
    });
    if scratch.exists() {
        fs::remove_dir_all(&scratch).context(scratch.display())?;
    }
    built?;
    println!(
        "setup: they are in {} after {}",
        place.display(),
        text::duration(started.elapsed())
    );
    Ok(())
}

/// Checks the Go code as `fmt` and `clippy` check the Rust code.
pub(crate) fn check(workspace: &Workspace) -> Result {
    for module in [&INTEROP, &ORIGINAL, &BENCH] {
        let unformatted = process::output(command(workspace, module, "gofmt").args(["-l", "."]))?;
        if !unformatted.is_empty() {
            let files = unformatted.lines().collect::<Vec<_>>().join(", ");
            bail!("{}: not as gofmt writes it: {files}", module.path);
        }
        process::run(command(workspace, module, "go").args(["vet", "-trimpath", "./..."]))?;
    }
    Ok(())
}

/// A program of Go's, to be run in a module.
fn command(workspace: &Workspace, module: &Module, program: &str) -> Command {
    let mut command = workspace.command(program);
    command.current_dir(workspace.root().join(module.path));
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_changes_with_each_name_and_each_byte() {
        let root = std::env::temp_dir().join(format!("braid-place-{}", std::process::id()));
        let module = root.join(INTEROP.path);
        fs::create_dir_all(module.join("peer")).unwrap();
        let mut places = Vec::new();
        for (path, text) in [
            ("go.mod", "1"),
            ("go.mod", "2"),
            ("peer/a.go", ""),
            ("peer/b.go", ""),
            ("peer/b.go", "3"),
        ] {
            fs::write(module.join(path), text).unwrap();
            let place = place::place(&root, &INTEROP).unwrap();
            assert_eq!(place::place(&root, &INTEROP).unwrap(), place);
            assert!(!places.contains(&place), "{path} makes no difference");
            places.push(place);
        }
        fs::remove_dir_all(&root).unwrap();
    }
}
