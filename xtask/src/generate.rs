//! The generator behind `codegen`, built only with the feature of that name.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use tonic_prost_build::Config;

use crate::codegen::{Mode, Unit};
use crate::error::{Context as _, Result, bail};
use crate::process;
use crate::workspace::Workspace;

/// Generated files by name.
type Files = BTreeMap<String, Vec<u8>>;

/// Generates every unit, then writes or compares.
pub(crate) fn run(workspace: &Workspace, units: &[Unit], mode: Mode) -> Result {
    let mut stale = Vec::new();
    for unit in units {
        let generated = generate(workspace, unit)?;
        let out_dir = workspace.root().join(unit.out_dir);
        let committed = read(&out_dir)?;
        let differing = differing(&generated, &committed);
        if mode == Mode::Write {
            write(&out_dir, &generated, &differing)?;
        }
        println!(
            "{}: {} files, {} of them changed",
            unit.out_dir,
            generated.len(),
            differing.len()
        );
        stale.extend(
            differing
                .iter()
                .map(|name| format!("{}/{name}", unit.out_dir)),
        );
    }
    if mode == Mode::Check && !stale.is_empty() {
        bail!(
            "not what `cargo xtask codegen` generates: {}; run it and commit the result",
            stale.join(", ")
        );
    }
    Ok(())
}

/// Generates one unit in a scratch folder and returns what came out.
fn generate(workspace: &Workspace, unit: &Unit) -> Result<Files> {
    let scratch = Scratch::new(workspace)?;
    let mut compiler = protox::Compiler::new([workspace.root().join(unit.proto_dir)])
        .and_then(|mut compiler| {
            compiler.open_files(unit.protos)?;
            Ok(compiler)
        })
        .context(format_args!("compiling {}", unit.proto_dir))?;
    // The comments become documentation.
    compiler.include_imports(true).include_source_info(true);
    let descriptors = compiler.file_descriptor_set();

    let mut config = Config::new();
    config.bytes(["."]);
    // No `connect` on the clients: they run over a braid channel, and their crates need none of
    // tonic's transport.
    tonic_prost_build::configure()
        .build_transport(false)
        .out_dir(&scratch.0)
        .compile_fds_with_config(descriptors, config)
        .context(format_args!("generating code for {}", unit.proto_dir))?;

    format(workspace, &scratch.0)?;
    let mut files = read(&scratch.0)?;
    if let Some(name) = unit.descriptor_set {
        // The comments are of no use to reflection, and would go over the wire.
        compiler.include_source_info(false);
        files.insert(name.to_owned(), compiler.encode_file_descriptor_set());
    }
    Ok(files)
}

/// Formats the generated files with the workspace's own settings, so that `cargo fmt --check`
/// accepts them.
fn format(workspace: &Workspace, dir: &Path) -> Result {
    let mut rustfmt = workspace.command("rustfmt");
    rustfmt
        .args(["--edition", "2024", "--config-path"])
        .arg(workspace.root());
    rustfmt.args(read(dir)?.keys().map(|name| dir.join(name)));
    process::output(&mut rustfmt).map(drop)
}

/// The names of files that are in one set only, or differ.
fn differing(generated: &Files, committed: &Files) -> Vec<String> {
    let mut names: Vec<_> = generated.keys().chain(committed.keys()).cloned().collect();
    names.sort_unstable();
    names.dedup();
    names.retain(|name| generated.get(name) != committed.get(name));
    names
}

/// The files of one folder; none if there is no such folder.
fn read(dir: &Path) -> Result<Files> {
    let reading = || format!("reading {}", dir.display());
    let mut files = Files::new();
    if !dir.exists() {
        return Ok(files);
    }
    for entry in fs::read_dir(dir).context(reading())? {
        let entry = entry.context(reading())?;
        let name = entry.file_name().to_string_lossy().into_owned();
        files.insert(name, fs::read(entry.path()).context(reading())?);
    }
    Ok(files)
}

/// Replaces the files named in `differing`; one that is no longer generated goes.
fn write(dir: &Path, generated: &Files, differing: &[String]) -> Result {
    fs::create_dir_all(dir).context(format_args!("creating {}", dir.display()))?;
    for name in differing {
        let path = dir.join(name);
        match generated.get(name) {
            Some(bytes) => fs::write(&path, bytes),
            None => fs::remove_file(&path),
        }
        .context(format_args!("replacing {}", path.display()))?;
    }
    Ok(())
}

/// A folder that is removed with its contents.
struct Scratch(PathBuf);

impl Scratch {
    fn new(workspace: &Workspace) -> Result<Self> {
        let path = workspace
            .root()
            .join("target")
            .join(format!("codegen-{}", std::process::id()));
        fs::create_dir_all(&path).context(format_args!("creating {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What stays behind is in `target`, where it does no harm.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_differs_when_changed_new_or_left_over() {
        let files = |pairs: &[(&str, &str)]| -> Files {
            pairs
                .iter()
                .map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec()))
                .collect()
        };
        let generated = files(&[("same", "1"), ("changed", "2"), ("new", "3")]);
        let committed = files(&[("same", "1"), ("changed", "0"), ("old", "4")]);
        assert_eq!(differing(&generated, &committed), ["changed", "new", "old"]);
        assert!(differing(&generated, &generated).is_empty());
    }
}
