//! `cargo xtask tidy`: the rules of the project that a machine can check.
//!
//! Each rule is a function from [`Facts`] to findings, so that a test can hand it a small workspace
//! made of strings. A finding says where, what is wrong, and what to do.

mod crates;
mod dependencies;
mod documents;
mod manifests;
mod modules;
mod spdx;

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::ErrorKind;

use crate::error::{Context as _, Error, Result, bail};
use crate::process;
use crate::workspace::{Metadata, Package, Workspace};

/// Runs the command line `tidy`.
pub(crate) fn command(workspace: &Workspace, args: &[String]) -> Result {
    if !args.is_empty() {
        bail!("tidy takes no arguments, not `{}`", args.join(" "));
    }
    run(workspace)
}

/// Checks every rule and prints every finding.
pub(crate) fn run(workspace: &Workspace) -> Result {
    let facts = Facts::gather(workspace)?;
    let mut findings: Vec<_> = RULES.iter().flat_map(|rule| rule(&facts)).collect();
    findings.sort();
    for finding in &findings {
        println!("{finding}");
    }
    let errors = findings
        .iter()
        .filter(|finding| finding.severity == Severity::Error)
        .count();
    println!(
        "tidy: {} files, {errors} errors, {} warnings",
        facts.files.len(),
        findings.len() - errors
    );
    if errors > 0 {
        Err(Error::told())
    } else {
        Ok(())
    }
}

const RULES: &[fn(&Facts) -> Vec<Finding>] = &[
    crates::edges,
    crates::fixed_packages,
    dependencies::licences,
    dependencies::sources,
    dependencies::tls,
    documents::commands,
    manifests::check,
    modules::check,
];

/// What the rules look at.
#[derive(Debug, Default)]
struct Facts {
    metadata: Metadata,
    /// The text files of the project, by their path from the root, with `/` between the parts.
    files: BTreeMap<String, String>,
}

/// Something that breaks a rule.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    path: String,
    line: usize,
    severity: Severity,
    message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Severity {
    Error,
    Warning,
}

impl Finding {
    fn error(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line,
            severity: Severity::Error,
            message: message.into(),
        }
    }

    fn warning(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(path, line, message)
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let warning = if self.severity == Severity::Warning {
            "warning: "
        } else {
            ""
        };
        write!(f, "{}:{}: {warning}{}", self.path, self.line, self.message)
    }
}

impl Facts {
    fn gather(workspace: &Workspace) -> Result<Self> {
        let root = workspace.root();
        let mut git = workspace.command("git");
        // A checkout that belongs to another user, as on a build machine, is fine to read.
        git.arg("-c")
            .arg(format!("safe.directory={}", root.display()));
        git.args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ]);
        let mut files = BTreeMap::new();
        for path in process::output(&mut git)?.split_terminator('\0') {
            if ![".rs", ".toml", ".md", ".lock"]
                .iter()
                .any(|end| path.ends_with(end))
            {
                continue;
            }
            match fs::read_to_string(root.join(path)) {
                Ok(text) => drop(files.insert(path.to_owned(), text)),
                // Deleted, but git has not been told yet.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error).context(path),
            }
        }
        Ok(Self {
            metadata: workspace.metadata()?,
            files,
        })
    }

    /// The path of a package's manifest, as findings show it.
    fn manifest(&self, package: &Package) -> String {
        let path = &package.manifest_path;
        let relative = path
            .strip_prefix(&self.metadata.workspace_root)
            .unwrap_or(path);
        relative
            .replace('\\', "/")
            .trim_start_matches('/')
            .to_owned()
    }

    /// The text of a file; empty if there is none.
    fn text(&self, path: &str) -> &str {
        self.files.get(path).map_or("", String::as_str)
    }

    /// The first line of a file for which `wanted` holds; the first of all if there is none.
    fn line(&self, path: &str, wanted: impl Fn(&str) -> bool) -> usize {
        self.text(path)
            .lines()
            .position(wanted)
            .map_or(1, |index| index + 1)
    }

    /// The Rust files that people write, generated ones left out.
    fn rust_files(&self) -> impl Iterator<Item = (&str, &str)> {
        let written =
            |path: &str| path.ends_with(".rs") && !path.split('/').any(|part| part == "generated");
        let files = self
            .files
            .iter()
            .map(|(path, text)| (path.as_str(), text.as_str()));
        files.filter(move |(path, _)| written(path))
    }
}

/// What the tests of the rules share.
#[cfg(test)]
mod fixture {
    use super::*;
    use crate::workspace::{Dependency, DependencyKind};

    /// A member of the workspace at `/w` that keeps every rule, in the folder of its name.
    pub(super) fn member(name: &str, dependencies: &[(&str, DependencyKind)]) -> Package {
        let dependency = |(name, kind): &(&str, _)| Dependency {
            name: (*name).to_owned(),
            kind: *kind,
        };
        Package {
            id: name.to_owned(),
            name: name.to_owned(),
            edition: "2024".to_owned(),
            license: Some("MIT".to_owned()),
            publish: Some(Vec::new()),
            readme: Some("README.md".to_owned()),
            manifest_path: format!("/w/{name}/Cargo.toml"),
            dependencies: dependencies.iter().map(dependency).collect(),
            ..Package::default()
        }
    }

    /// A workspace of these members and text files.
    pub(super) fn facts(members: Vec<Package>, files: &[(&str, &str)]) -> Facts {
        let metadata = Metadata {
            workspace_members: members.iter().map(|member| member.id.clone()).collect(),
            workspace_root: "/w".to_owned(),
            packages: members,
        };
        let files = files
            .iter()
            .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()));
        Facts {
            metadata,
            files: files.collect(),
        }
    }

    /// Runs one rule and compares what it finds, line by line.
    pub(super) fn check(rule: fn(&Facts) -> Vec<Finding>, facts: &Facts, expected: &[&str]) {
        let found: Vec<_> = rule(facts).iter().map(ToString::to_string).collect();
        assert_eq!(found, expected);
    }
}
