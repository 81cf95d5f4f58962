//! Rules on manifests: settings that no crate may change, and what each library brings for its
//! reader.

use super::{Facts, Finding, crates};
use crate::workspace::{Package, Target};

/// A README below this many bytes says next to nothing.
const SHORT: usize = 300;

/// Libraries that need no example of their own: the facade's are the package of examples, and the
/// testkit is shown at work by the tests of every backend.
const WITHOUT_EXAMPLE: &[&str] = &["braid", "braid-testkit"];

/// Packages with lints of their own: a counting allocator can't be made without unsafe code.
const WITH_UNSAFE: &[&str] = &["braid-benches"];

pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !has_line(
        "Cargo.toml",
        facts,
        "[workspace.lints.rust]",
        "unsafe_code = \"forbid\"",
    ) {
        let message = "unsafe code is not forbidden; \
                       write `unsafe_code = \"forbid\"` in `[workspace.lints.rust]`";
        findings.push(Finding::error("Cargo.toml", 1, message));
    }
    for package in facts.metadata.members() {
        let manifest = facts.manifest(package);
        let wrong = settings(facts, package, &manifest)
            .into_iter()
            .chain(documents(facts, package, &manifest));
        findings.extend(wrong.map(|message| Finding::error(&manifest, 1, message)));
    }
    findings
}

/// What is wrong with the settings of a crate.
fn settings(facts: &Facts, package: &Package, manifest: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    // The registry's `braid` is another project: a slip must not publish ours beside it.
    if package.publish != Some(Vec::new()) {
        wrong.push("may be published; write `publish.workspace = true`".to_owned());
    }
    if package.edition != "2024" {
        wrong.push(format!(
            "is of edition {}; write `edition.workspace = true`",
            package.edition
        ));
    }
    if package.license.as_deref() != Some("MIT") {
        wrong.push("is not under MIT; write `license.workspace = true`".to_owned());
    }
    if WITH_UNSAFE.contains(&package.name.as_str()) {
        if !has_line(manifest, facts, "[lints.rust]", "unsafe_code = \"deny\"") {
            wrong.push(
                "allows unsafe code anywhere; write `unsafe_code = \"deny\"` in `[lints.rust]`, and \
                 allow it where it stands"
                    .to_owned(),
            );
        }
    } else if !has_line(manifest, facts, "[lints]", "workspace = true") {
        wrong.push("has lints of its own; write `workspace = true` in `[lints]`".to_owned());
    }
    wrong
}

/// What a library lacks for its reader.
fn documents(facts: &Facts, package: &Package, manifest: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if !crates::is_library(&package.name) {
        return wrong;
    }
    let readme = beside(manifest, package.readme.as_deref().unwrap_or("README.md"));
    if facts.text(&readme).len() < SHORT {
        wrong.push(format!(
            "{readme} is missing or says next to nothing; \
             tell what the crate is for and how it is used"
        ));
    }
    if !WITHOUT_EXAMPLE.contains(&package.name.as_str())
        && !package.targets.iter().any(Target::is_example)
    {
        wrong.push("has no example; write one that runs, in `examples/`".to_owned());
    }
    wrong
}

/// Whether a manifest's section has this line.
fn has_line(manifest: &str, facts: &Facts, section: &str, wanted: &str) -> bool {
    let mut lines = facts
        .text(manifest)
        .lines()
        .skip_while(|line| *line != section)
        .skip(1);
    lines
        .by_ref()
        .take_while(|line| !line.starts_with('['))
        .any(|line| line == wanted)
}

/// A path that is relative to the folder of a file, from the root.
fn beside(file: &str, path: &str) -> String {
    let mut parts: Vec<_> = file.split('/').collect();
    parts.pop();
    for part in path.split('/') {
        match part {
            "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{self, facts, member};
    use super::*;

    const ROOT: (&str, &str) = (
        "Cargo.toml",
        "[workspace.lints.rust]\nunsafe_code = \"forbid\"\n",
    );
    const LINTS: &str = "[package]\n\n[lints]\nworkspace = true\n";

    fn example() -> Vec<Target> {
        vec![Target {
            name: "x".to_owned(),
            kind: vec!["example".to_owned()],
        }]
    }

    #[test]
    fn a_crate_that_keeps_the_rules_is_good() {
        let readme = "x".repeat(SHORT);
        let members = vec![
            Package {
                targets: example(),
                ..member("braid-core", &[])
            },
            Package {
                readme: Some("../README.md".to_owned()),
                ..member("braid", &[])
            },
            member("xtask", &[]),
        ];
        let files = [
            ROOT,
            ("README.md", &readme),
            ("braid-core/Cargo.toml", LINTS),
            ("braid-core/README.md", &readme),
            ("braid/Cargo.toml", LINTS),
            ("xtask/Cargo.toml", LINTS),
        ];
        fixture::check(check, &facts(members, &files), &[]);
    }

    #[test]
    fn a_crate_that_breaks_them_is_told_each() {
        let core = Package {
            publish: None,
            edition: "2021".to_owned(),
            license: None,
            ..member("braid-core", &[])
        };
        let manifest = "[lints]\n\n[package]\nworkspace = true\n";
        let files = [
            ("braid-core/Cargo.toml", manifest),
            ("braid-core/README.md", "# braid-core"),
        ];
        fixture::check(
            check,
            &facts(vec![core], &files),
            &[
                "Cargo.toml:1: unsafe code is not forbidden; \
                 write `unsafe_code = \"forbid\"` in `[workspace.lints.rust]`",
                "braid-core/Cargo.toml:1: may be published; write `publish.workspace = true`",
                "braid-core/Cargo.toml:1: is of edition 2021; write `edition.workspace = true`",
                "braid-core/Cargo.toml:1: is not under MIT; write `license.workspace = true`",
                "braid-core/Cargo.toml:1: has lints of its own; \
                 write `workspace = true` in `[lints]`",
                "braid-core/Cargo.toml:1: braid-core/README.md is missing or says next to nothing; \
                 tell what the crate is for and how it is used",
                "braid-core/Cargo.toml:1: has no example; write one that runs, in `examples/`",
            ],
        );
    }

    #[test]
    fn unsafe_code_stands_where_it_is_allowed_only() {
        let check = |manifest: &str, expected: &[&str]| {
            let files = [ROOT, ("braid-benches/Cargo.toml", manifest)];
            let facts = facts(vec![member("braid-benches", &[])], &files);
            fixture::check(super::check, &facts, expected);
        };
        check("[lints.rust]\nunsafe_code = \"deny\"\n", &[]);
        let finding = "braid-benches/Cargo.toml:1: allows unsafe code anywhere; \
                       write `unsafe_code = \"deny\"` in `[lints.rust]`, and allow it where it stands";
        check("[lints.rust]\nunsafe_code = \"allow\"\n", &[finding]);
        check(LINTS, &[finding]);
    }

    #[test]
    fn paths_beside_a_file_are_from_the_root() {
        assert_eq!(beside("braid/Cargo.toml", "README.md"), "braid/README.md");
        assert_eq!(beside("braid/Cargo.toml", "../README.md"), "README.md");
        assert_eq!(beside("Cargo.toml", "./README.md"), "README.md");
    }
}
