//! The programs that the interop tests talk to, built from their Go modules.

mod place;

use std::fs;
use std::time::Instant;

use crate::error::{Context as _, Result};
use crate::workspace::Workspace;
use crate::{process, text};

/// Builds them, unless they are there. Go fetches the sources that it doesn't have.
pub(crate) fn build(workspace: &Workspace) -> Result {
    let place = place::place(workspace.root()).context("where the interop programs are")?;
    if place.exists() {
        return Ok(());
    }
    println!("setup: building the interop programs, some minutes the first time");
    let started = Instant::now();
    // Under another name until all are there: a build that was cut short, or one at the same time,
    // does no harm.
    let scratch = place.with_extension(std::process::id().to_string());
    fs::create_dir_all(&scratch).context(scratch.display())?;
    let mut go = workspace.command("go");
    go.current_dir(workspace.root().join(place::MODULE));
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
