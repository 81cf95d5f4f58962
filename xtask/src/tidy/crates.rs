//! Rules on the crates of the workspace: which there are, which may know which, and what they must
//! be made of.

use super::{Facts, Finding};
use crate::workspace::{Dependency, DependencyKind, Package};

/// Each crate, and the crates of the workspace that it may depend on. Backends know the contracts
/// and not each other; only the facade knows them all.
const CRATES: &[(&str, &[&str])] = &[
    ("braid", PARTS),
    ("braid-balancer", &["braid-core"]),
    ("braid-core", &[]),
    ("braid-discover-k8s", &["braid-core"]),
    ("braid-elector-k8s", &["braid-core"]),
    ("braid-linkcache-redis", &["braid-core", "braid-redis"]),
    ("braid-local", &["braid-core"]),
    ("braid-monitor", &["braid-core"]),
    ("braid-pubsub-redis", &["braid-core", "braid-redis"]),
    ("braid-redis", &["braid-core"]),
    ("braid-rpc", &["braid-balancer", "braid-core"]),
    ("braid-testkit", &["braid-core"]),
    ("braid-tracer", &["braid-core"]),
];

/// What the facade puts together.
const PARTS: &[&str] = &[
    "braid-balancer",
    "braid-core",
    "braid-discover-k8s",
    "braid-elector-k8s",
    "braid-linkcache-redis",
    "braid-local",
    "braid-monitor",
    "braid-pubsub-redis",
    "braid-redis",
    "braid-rpc",
    "braid-tracer",
];

/// Unpublished packages that stand where a user stands: they may depend on any crate, the facade
/// too.
const USERS: &[&str] = &[
    "braid-benches",
    "braid-chaos",
    "braid-e2e",
    "braid-examples",
];

/// What the tests of every crate may use on top.
const FOR_TESTS: &[&str] = &[
    "braid-examples",
    "braid-local",
    "braid-rpc",
    "braid-testkit",
];

/// A package that the design fixes, and where its use must show as soon as that crate is there.
struct Fixed {
    package: &'static str,
    /// One of these crates is enough.
    used_by: &'static [&'static str],
}

const FIXED: &[Fixed] = &[
    Fixed {
        package: "tokio",
        used_by: &["braid-core"],
    },
    Fixed {
        package: "tonic",
        used_by: &["braid-rpc"],
    },
    Fixed {
        package: "prost",
        used_by: &["braid-rpc"],
    },
    Fixed {
        package: "tower",
        used_by: &["braid-balancer", "braid-rpc"],
    },
    Fixed {
        package: "fred",
        used_by: &["braid-redis"],
    },
    Fixed {
        package: "kube-runtime",
        used_by: &["braid-discover-k8s"],
    },
    Fixed {
        package: "kube-runtime",
        used_by: &["braid-elector-k8s"],
    },
    Fixed {
        package: "k8s-openapi",
        used_by: &["braid-discover-k8s"],
    },
    Fixed {
        package: "k8s-openapi",
        used_by: &["braid-elector-k8s"],
    },
    Fixed {
        package: "tracing-opentelemetry",
        used_by: &["braid-tracer"],
    },
    Fixed {
        package: "criterion",
        used_by: &["braid-benches"],
    },
];

/// Whether the crate is for others to use.
pub(super) fn is_library(name: &str) -> bool {
    CRATES.iter().any(|(library, _)| *library == name)
}

/// Every crate is one of the design's, and depends on no other one than the table says.
pub(super) fn edges(facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in facts.metadata.members() {
        let manifest = facts.manifest(package);
        if !is_library(&package.name)
            && !USERS.contains(&package.name.as_str())
            && package.name != "xtask"
        {
            let message = format!(
                "`{}` is no crate of the design; argue for it, then add it to tidy's table",
                package.name
            );
            findings.push(Finding::error(&manifest, 1, message));
            continue;
        }
        for dependency in &package.dependencies {
            if facts.metadata.member(&dependency.name).is_some()
                && !may_depend(&package.name, dependency)
            {
                let line = facts.line(&manifest, |line| declares(line, &dependency.name));
                findings.push(Finding::error(
                    &manifest,
                    line,
                    refusal(package, dependency),
                ));
            }
        }
    }
    findings
}

/// The packages that the design fixes are put to real use.
pub(super) fn fixed_packages(facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    for fixed in FIXED {
        let landed: Vec<_> = fixed
            .used_by
            .iter()
            .filter_map(|name| facts.metadata.member(name))
            .collect();
        if let Some(first) = landed.first()
            && !landed
                .iter()
                .any(|package| uses(facts, package, fixed.package))
        {
            let message = format!(
                "{} must make use of `{}`: the design fixes it",
                fixed.used_by.join(" or "),
                fixed.package
            );
            findings.push(Finding::error(&facts.manifest(first), 1, message));
        }
    }
    findings
}

fn may_depend(package: &str, dependency: &Dependency) -> bool {
    let name = dependency.name.as_str();
    if USERS.contains(&package) {
        return is_library(name);
    }
    let known = CRATES
        .iter()
        .find(|(library, _)| *library == package)
        .map_or(&[][..], |(_, known)| *known);
    known.contains(&name) || (dependency.kind == DependencyKind::Dev && FOR_TESTS.contains(&name))
}

fn refusal(package: &Package, dependency: &Dependency) -> String {
    let known = CRATES.iter().find(|(library, _)| *library == package.name);
    let known = match known.map_or(&[][..], |(_, known)| known) {
        [] => "no crate of the workspace".to_owned(),
        known => known.join(", "),
    };
    format!(
        "`{}` must not depend on `{}`; it may depend on {known} (its tests also on {})",
        package.name,
        dependency.name,
        FOR_TESTS.join(", ")
    )
}

/// Whether the crate declares the package and names it in its code. A benchmark has no other code
/// than its tests have.
fn uses(facts: &Facts, user: &Package, package: &str) -> bool {
    let in_tests = USERS.contains(&user.name.as_str());
    let declared = user.dependencies.iter().any(|dependency| {
        dependency.name == package && (dependency.kind == DependencyKind::Normal || in_tests)
    });
    let manifest = facts.manifest(user);
    let folder = manifest.strip_suffix("Cargo.toml").unwrap_or(&manifest);
    let code = if in_tests {
        folder.to_owned()
    } else {
        format!("{folder}src/")
    };
    let path = format!("{}::", package.replace('-', "_"));
    declared
        && facts
            .rust_files()
            .any(|(file, text)| file.starts_with(&code) && text.contains(&path))
}

/// Whether a manifest's line declares the dependency.
fn declares(line: &str, name: &str) -> bool {
    line.strip_prefix(name)
        .is_some_and(|rest| rest.starts_with([' ', '.', '=']))
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{check, facts, member};
    use super::*;
    use DependencyKind::{Dev, Normal};

    #[test]
    fn edges_of_the_table_are_good() {
        let members = vec![
            member(
                "braid",
                &[
                    ("braid-core", Normal),
                    ("braid-local", Normal),
                    ("braid-testkit", Dev),
                ],
            ),
            member("braid-core", &[("tokio", Normal), ("braid-local", Dev)]),
            member(
                "braid-local",
                &[("braid-core", Normal), ("braid-testkit", Dev)],
            ),
            member("braid-testkit", &[("braid-core", Normal)]),
            member("braid-examples", &[("braid", Normal)]),
            member("xtask", &[]),
        ];
        check(edges, &facts(members, &[]), &[]);
    }

    #[test]
    fn other_edges_are_found_where_they_are_declared() {
        let members = vec![
            member("braid", &[]),
            member("braid-core", &[("braid-local", Normal)]),
            member(
                "braid-local",
                &[
                    ("braid-core", Normal),
                    ("braid-rpc", Normal),
                    ("braid", Dev),
                ],
            ),
            member("braid-rpc", &[]),
        ];
        let manifest = "[dependencies]\nbraid-core.workspace = true\nbraid-rpc.workspace = true\n\n\
                        [dev-dependencies]\nbraid.workspace = true\n";
        check(
            edges,
            &facts(members, &[("braid-local/Cargo.toml", manifest)]),
            &[
                "braid-core/Cargo.toml:1: `braid-core` must not depend on `braid-local`; \
                 it may depend on no crate of the workspace \
                 (its tests also on braid-examples, braid-local, braid-rpc, braid-testkit)",
                "braid-local/Cargo.toml:3: `braid-local` must not depend on `braid-rpc`; \
                 it may depend on braid-core \
                 (its tests also on braid-examples, braid-local, braid-rpc, braid-testkit)",
                "braid-local/Cargo.toml:6: `braid-local` must not depend on `braid`; \
                 it may depend on braid-core \
                 (its tests also on braid-examples, braid-local, braid-rpc, braid-testkit)",
            ],
        );
    }

    #[test]
    fn a_crate_that_the_design_does_not_know_is_found() {
        check(
            edges,
            &facts(vec![member("braid-utils", &[])], &[]),
            &[
                "braid-utils/Cargo.toml:1: `braid-utils` is no crate of the design; \
                 argue for it, then add it to tidy's table",
            ],
        );
    }

    #[test]
    fn fixed_packages_must_be_declared_and_used() {
        let rpc = || {
            member(
                "braid-rpc",
                &[("tonic", Normal), ("prost", Normal), ("tower", Dev)],
            )
        };
        let code = (
            "braid-rpc/src/lib.rs",
            "use tonic::Status; use prost::Message; use tower::Service;",
        );
        check(
            fixed_packages,
            &facts(vec![rpc()], &[code]),
            &[
                "braid-rpc/Cargo.toml:1: braid-balancer or braid-rpc must make use of `tower`: \
                 the design fixes it",
            ],
        );
        // Another crate may be the one that uses it.
        let balancer = member("braid-balancer", &[("tower", Normal)]);
        let more = ("braid-balancer/src/lib.rs", "use tower::load::Load;");
        check(
            fixed_packages,
            &facts(vec![rpc(), balancer], &[code, more]),
            &[],
        );
        // Declared is not used.
        check(
            fixed_packages,
            &facts(
                vec![member("braid-redis", &[("fred", Normal)])],
                &[("braid-redis/tests/x.rs", "fred::init()")],
            ),
            &["braid-redis/Cargo.toml:1: braid-redis must make use of `fred`: the design fixes it"],
        );
        let bench = ("benches/benches/rpc.rs", "use criterion::Criterion;");
        let benches = Package {
            manifest_path: "/w/benches/Cargo.toml".to_owned(),
            ..member("braid-benches", &[("criterion", Dev)])
        };
        check(fixed_packages, &facts(vec![benches], &[bench]), &[]);
    }
}
