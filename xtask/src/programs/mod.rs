//! The programs that the interop tests talk to, built from their Go modules.

mod place;

pub(crate) use self::place::cache;

use std::fs;
use std::process::Command;
use std::time::Instant;

use crate::error::{Context as _, Result, bail};
use crate::workspace::Workspace;
use crate::{process, text};

/// Builds them, unless they are there. Go fetches the sources that it doesn't have.
pub(crate) fn build(workspace: &Workspace) -> Result {
    let place = place::place(workspace.root()).context("where the interop programs are")?;
    if place.exists() {
        return Ok(());
    }
    println!(
        "setup: building the interop programs; with nothing in Go's cache it takes a minute or two"
    );
    let started = Instant::now();
    // Under another name until all are there: a build that was cut short, or one at the same time,
    // does no harm.
    let scratch = place.with_extension(std::process::id().to_string());
    fs::create_dir_all(&scratch).context(scratch.display())?;
    let mut go = command(workspace, "go");
    // `tool` stands for the programs of others that go.mod names. Nobody debugs them.
    go.args(["build", "-v", "-trimpath", "-ldflags=-s -w", "-o"])
        .arg(&scratch)
        .args(["tool", "./peer"]);
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
    let unformatted = process::output(command(workspace, "gofmt").args(["-l", "."]))?;
    if !unformatted.is_empty() {
        let files = unformatted.lines().collect::<Vec<_>>().join(", ");
        bail!("{}: not as gofmt writes it: {files}", place::MODULE);
    }
    process::run(command(workspace, "go").args(["vet", "-trimpath", "./..."]))
}

/// A program of Go's, to be run in the module.
fn command(workspace: &Workspace, program: &str) -> Command {
    let mut command = workspace.command(program);
    command.current_dir(workspace.root().join(place::MODULE));
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_changes_with_each_name_and_each_byte() {
        let root = std::env::temp_dir().join(format!("braid-place-{}", std::process::id()));
        let module = root.join(place::MODULE);
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
            let place = place::place(&root).unwrap();
            assert_eq!(place::place(&root).unwrap(), place);
            assert!(!places.contains(&place), "{path} makes no difference");
            places.push(place);
        }
        fs::remove_dir_all(&root).unwrap();
    }
}
