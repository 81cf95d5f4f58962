//! Rules on documents: a command that a reader is told to type exists.

use super::{Facts, Finding};

/// Every `cargo xtask <command>` is one of ours, and every `cargo run --example <name>` an example.
pub(super) fn commands(facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in &facts.files {
        // A changelog speaks of what once was.
        if !path.ends_with(".md") || path.ends_with("CHANGELOG.md") {
            continue;
        }
        for (number, line) in (1..).zip(text.lines()) {
            let wrong = wrong_tasks(line).chain(wrong_examples(facts, line));
            findings.extend(wrong.map(|message| Finding::error(path, number, message)));
        }
    }
    findings
}

fn wrong_tasks(line: &str) -> impl Iterator<Item = String> {
    let known = |name: &str| name == "help" || crate::TASKS.iter().any(|task| task.name == name);
    words_after(line, "cargo xtask ")
        .filter(move |name| !known(name))
        .map(|name| {
            format!("there is no `cargo xtask {name}`; name a command that `cargo xtask` lists")
        })
}

fn wrong_examples(facts: &Facts, line: &str) -> impl Iterator<Item = String> {
    let known = |name: &str| {
        let mut targets = facts.metadata.members().flat_map(|member| &member.targets);
        targets.any(|target| target.is_example() && target.name == name)
    };
    words_after(line, "--example ")
        .filter(move |name| line.contains("cargo run ") && !known(name))
        .map(|name| format!("there is no example `{name}`; name one, or write it"))
}

/// The words that stand right after each `lead`; an option is none, nor is a placeholder such as
/// `<command>`.
fn words_after<'a>(line: &'a str, lead: &'a str) -> impl Iterator<Item = &'a str> {
    line.match_indices(lead).filter_map(move |(index, _)| {
        let rest = &line[index + lead.len()..];
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_'));
        Some(&rest[..end.unwrap_or(rest.len())])
            .filter(|word| !word.is_empty() && !word.starts_with('-'))
    })
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{self, facts, member};
    use super::*;
    use crate::workspace::{Package, Target};

    fn check(text: &str, expected: &[&str]) {
        let quickstart = Target {
            name: "quickstart".to_owned(),
            kind: vec!["example".to_owned()],
        };
        let examples = Package {
            targets: vec![quickstart],
            ..member("braid-examples", &[])
        };
        let facts = facts(
            vec![examples],
            &[("README.md", text), ("CHANGELOG.md", "cargo xtask old")],
        );
        fixture::check(commands, &facts, expected);
    }

    #[test]
    fn commands_that_exist_are_good() {
        check(
            "Run `cargo xtask test` and\n    cargo run --release --example quickstart -- --once\n",
            &[],
        );
        check(
            "`cargo xtask <command>`, `cargo xtask --help` or `cargo xtask` alone",
            &[],
        );
        check("`grpcurl --example x`", &[]);
    }

    #[test]
    fn commands_that_do_not_exist_are_found() {
        check(
            "\n`cargo xtask tets` or `cargo xtask ci`\n",
            &["README.md:2: there is no `cargo xtask tets`; \
                 name a command that `cargo xtask` lists"],
        );
        check(
            "`cargo run --example quick-start`",
            &["README.md:1: there is no example `quick-start`; name one, or write it"],
        );
    }
}
