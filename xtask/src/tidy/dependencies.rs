//! Rules on the packages of others: their licence, where they come from, and one TLS provider.

use super::{Facts, Finding, spdx};
use crate::workspace::Package;

/// The licences that a user of braid has to live with.
const LICENCES: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "Unicode-3.0",
    "Zlib",
];

/// TLS providers that braid does not use. It uses ring; two providers in one binary panic at run
/// time.
const FOREIGN_TLS: &[&str] = &["aws-lc-rs", "aws-lc-sys", "openssl", "openssl-sys"];

/// Every package is under a licence of the list.
pub(super) fn licences(facts: &Facts) -> Vec<Finding> {
    let wrong = |package: &&Package| {
        let Some(expression) = &package.license else {
            return Some("names no licence".to_owned());
        };
        match spdx::satisfied(expression, &|licence| LICENCES.contains(&licence)) {
            Ok(true) => None,
            Ok(false) => Some(format!(
                "is under `{expression}`, which tidy's list does not allow"
            )),
            Err(error) => Some(format!("has the malformed licence `{expression}`: {error}")),
        }
    };
    findings(facts, &|package| {
        wrong(&package).map(|wrong| format!("{wrong}; use another package"))
    })
}

/// Every package comes from the public registry, or is part of the workspace.
pub(super) fn sources(facts: &Facts) -> Vec<Finding> {
    findings(facts, &|package| match &package.source {
        Some(source) if source.starts_with("registry+") && source.ends_with("/crates.io-index") => {
            None
        }
        Some(source) => Some(format!(
            "comes from {source}; use a release from the public registry"
        )),
        None if facts.metadata.workspace_members.contains(&package.id) => None,
        None => Some(
            "is a folder outside of the workspace; use a release from the public registry"
                .to_owned(),
        ),
    })
}

/// No package brings a second TLS provider.
pub(super) fn tls(facts: &Facts) -> Vec<Finding> {
    findings(facts, &|package| {
        let foreign = FOREIGN_TLS.contains(&package.name.as_str());
        foreign.then(|| {
            "is a second TLS provider beside ring; turn off the feature that brings it".to_owned()
        })
    })
}

/// What is wrong with each package, told at its place in the lock file.
fn findings(facts: &Facts, wrong: &dyn Fn(&Package) -> Option<String>) -> Vec<Finding> {
    let finding = |package: &Package| {
        let wrong = wrong(package)?;
        let entry = format!("name = \"{}\"", package.name);
        let line = facts.line("Cargo.lock", |line| line == entry);
        Some(Finding::error(
            "Cargo.lock",
            line,
            format!("{} {} {wrong}", package.name, package.version),
        ))
    };
    facts.metadata.packages.iter().filter_map(finding).collect()
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{check, facts, member};
    use super::*;

    /// A package from the public registry, as the lock file and cargo show it.
    fn foreign(name: &str, licence: Option<&str>) -> Package {
        Package {
            id: name.to_owned(),
            name: name.to_owned(),
            version: "1.2.3".to_owned(),
            license: licence.map(str::to_owned),
            source: Some("registry+https://example.org/crates.io-index".to_owned()),
            ..Package::default()
        }
    }

    fn with(packages: Vec<Package>) -> Facts {
        let lock =
            "version = 4\n\n[[package]]\nname = \"first\"\n\n[[package]]\nname = \"second\"\n";
        let mut facts = facts(vec![member("braid-core", &[])], &[("Cargo.lock", lock)]);
        facts.metadata.packages.extend(packages);
        facts
    }

    #[test]
    fn licences_off_the_list_are_found() {
        check(
            licences,
            &with(vec![foreign("first", Some("MIT OR GPL-3.0"))]),
            &[],
        );
        check(
            licences,
            &with(vec![
                foreign("first", None),
                foreign("second", Some("GPL-3.0-only")),
            ]),
            &[
                "Cargo.lock:4: first 1.2.3 names no licence; use another package",
                "Cargo.lock:7: second 1.2.3 is under `GPL-3.0-only`, which tidy's list \
                 does not allow; use another package",
            ],
        );
    }

    #[test]
    fn sources_other_than_the_public_registry_are_found() {
        let git = Package {
            source: Some("git+https://example.org/x".to_owned()),
            ..foreign("first", None)
        };
        let folder = Package {
            source: None,
            ..foreign("second", None)
        };
        check(
            sources,
            &with(vec![foreign("third", None), git, folder]),
            &[
                "Cargo.lock:4: first 1.2.3 comes from git+https://example.org/x; \
                 use a release from the public registry",
                "Cargo.lock:7: second 1.2.3 is a folder outside of the workspace; \
                 use a release from the public registry",
            ],
        );
    }

    #[test]
    fn a_second_tls_provider_is_found() {
        check(tls, &with(vec![foreign("ring", None)]), &[]);
        check(
            tls,
            &with(vec![foreign("aws-lc-rs", None)]),
            &[
                "Cargo.lock:1: aws-lc-rs 1.2.3 is a second TLS provider beside ring; \
               turn off the feature that brings it",
            ],
        );
    }
}
