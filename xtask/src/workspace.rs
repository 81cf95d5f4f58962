//! The workspace that the tasks work on, and what cargo says about it.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;

use crate::error::{Context as _, Result, bail};
use crate::process;

/// Where the tasks run, and how strictly.
#[derive(Debug)]
pub(crate) struct Workspace {
    root: PathBuf,
    locked: bool,
}

impl Workspace {
    /// Finds the workspace that this program belongs to.
    pub(crate) fn find() -> Result<Self> {
        // Set by cargo at run time; the compile-time value would go stale in a moved checkout.
        let manifest_dir = env::var("CARGO_MANIFEST_DIR")
            .context("start me as `cargo xtask`: CARGO_MANIFEST_DIR")?;
        let Some(root) = Path::new(&manifest_dir).parent() else {
            bail!("{manifest_dir} has no parent folder, so it can't be a crate of the workspace");
        };
        // A machine must never change the lock file; a person who has just added a dependency may.
        let in_ci = env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false");
        Ok(Self {
            root: root.to_owned(),
            locked: in_ci,
        })
    }

    /// The same workspace, with a lock file that cargo must not change.
    pub(crate) fn locked(&self) -> Self {
        Self {
            root: self.root.clone(),
            locked: true,
        }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// A program to be run in the root of the workspace, with nothing to read.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.root).stdin(Stdio::null());
        // What cargo tells this program about its package is not for the programs below it: build
        // scripts that watch these variables would run again each time they are started from here
        // and not by hand.
        for (name, _) in env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
                command.env_remove(&name);
            }
        }
        command
    }

    /// The cargo that started this program, with a subcommand and its options, parted by spaces.
    pub(crate) fn cargo(&self, line: &str) -> Command {
        let mut command = self.command(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        let mut words = line.split(' ');
        command.args(words.next());
        // Formatting resolves no dependencies, and knows no such option.
        if self.locked && !line.starts_with("fmt") {
            command.arg("--locked");
        }
        command.args(words);
        command
    }

    /// What cargo knows of the workspace and, with all features on, of every package below it.
    pub(crate) fn metadata(&self) -> Result<Metadata> {
        let mut cargo = self.cargo("metadata --format-version 1 --all-features");
        serde_json::from_str(&process::output(&mut cargo)?).context("the output of cargo metadata")
    }
}

/// The part of `cargo metadata` that the tasks look at.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Metadata {
    pub(crate) packages: Vec<Package>,
    pub(crate) workspace_members: Vec<String>,
    pub(crate) workspace_root: String,
}

impl Metadata {
    /// The packages of the workspace itself.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages
            .iter()
            .filter(|package| self.workspace_members.contains(&package.id))
    }

    pub(crate) fn member(&self, name: &str) -> Option<&Package> {
        self.members().find(|package| package.name == name)
    }
}

/// One package, ours or another's.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Package {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) edition: String,
    /// Where it comes from; none for a folder on this machine.
    pub(crate) source: Option<String>,
    /// An SPDX expression.
    pub(crate) license: Option<String>,
    /// The registries that it may be published to; an empty list for `publish = false`.
    pub(crate) publish: Option<Vec<String>>,
    /// Relative to the folder of the manifest.
    pub(crate) readme: Option<String>,
    pub(crate) manifest_path: String,
    pub(crate) dependencies: Vec<Dependency>,
    pub(crate) features: BTreeMap<String, Vec<String>>,
    pub(crate) targets: Vec<Target>,
}

/// A dependency as a manifest declares it.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    #[serde(default, deserialize_with = "null_is_normal")]
    pub(crate) kind: DependencyKind,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum DependencyKind {
    #[default]
    Normal,
    Build,
    Dev,
}

/// Something that cargo builds of a package.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) kind: Vec<String>,
}

impl Target {
    pub(crate) fn is_example(&self) -> bool {
        self.kind.iter().any(|kind| kind == "example")
    }
}

/// Cargo writes `null` for a normal dependency.
fn null_is_normal<'de, D: serde::Deserializer<'de>>(
    value: D,
) -> std::result::Result<DependencyKind, D::Error> {
    Option::deserialize(value).map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_read_as_cargo_writes_it() {
        let metadata: Metadata = serde_json::from_str(
            r#"{
                "packages": [{
                    "id": "path+file:///w/a#0.1.0", "name": "a", "version": "0.1.0",
                    "edition": "2024",
                    "source": null, "license": "MIT", "publish": [], "readme": "README.md",
                    "manifest_path": "/w/a/Cargo.toml", "features": {"default": ["x"], "x": []},
                    "dependencies": [
                        {"name": "tokio", "kind": null}, {"name": "proptest", "kind": "dev"}
                    ],
                    "targets": [{"name": "show", "kind": ["example"]}]
                }],
                "workspace_members": ["path+file:///w/a#0.1.0"],
                "workspace_root": "/w"
            }"#,
        )
        .unwrap();
        let package = metadata.member("a").unwrap();
        assert_eq!(package.dependencies[0].kind, DependencyKind::Normal);
        assert_eq!(package.dependencies[1].kind, DependencyKind::Dev);
        assert_eq!(package.publish.as_deref(), Some(&[][..]));
        assert!(package.targets[0].is_example());
    }
}
