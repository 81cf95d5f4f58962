//! Rules on Rust files: each says what it is for, none is left half done, none grows too long.

use super::{Facts, Finding};

/// A file that is longer should be taken apart.
const LONG: usize = 400;
/// A file that is longer must be.
const TOO_LONG: usize = 800;

/// What must not be left behind. Written in two parts, so that this file does not find itself.
const LEFTOVERS: &[(&str, &str)] = &[
    (concat!("todo", "!("), "write the missing part"),
    (concat!("unimplemented", "!("), "write the missing part"),
    (concat!("dbg", "!("), "take it out"),
    (
        concat!("#[", "ignore"),
        "a test that does not run proves nothing; make it run, or take it out",
    ),
];

pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    facts
        .rust_files()
        .flat_map(|(path, text)| check_file(path, text))
        .collect()
}

fn check_file(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    // A build script is one file beside the crate, and says little.
    if !path.ends_with("build.rs") && !text.starts_with("//!") {
        findings.push(Finding::error(
            path,
            1,
            "no `//!` at the top; say what the module is for",
        ));
    }
    for (number, line) in (1..).zip(text.lines()) {
        for (leftover, advice) in LEFTOVERS {
            if line.contains(leftover) {
                findings.push(Finding::error(
                    path,
                    number,
                    format!("`{leftover}` is left here; {advice}"),
                ));
            }
        }
    }
    match text.lines().count() {
        count if count > TOO_LONG => findings.push(Finding::error(
            path,
            TOO_LONG + 1,
            format!("{count} lines, more than {TOO_LONG}; take the file apart by concern"),
        )),
        count if count > LONG => findings.push(Finding::warning(
            path,
            LONG + 1,
            format!("{count} lines, more than {LONG}; consider taking the file apart by concern"),
        )),
        _ => {}
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    fn check(path: &str, text: &str, expected: &[&str]) {
        fixture::check(
            super::check,
            &fixture::facts(Vec::new(), &[(path, text)]),
            expected,
        );
    }

    #[test]
    fn every_module_says_what_it_is_for() {
        check("a/src/x.rs", "//! Good.\n", &[]);
        check("a/src/generated/x.rs", "struct Generated;\n", &[]);
        check("a/src/x.toml", "no Rust", &[]);
        let finding = "a/src/x.rs:1: no `//!` at the top; say what the module is for";
        check("a/src/x.rs", "// Bad.\n", &[finding]);
        check("a/src/x.rs", "", &[finding]);
    }

    #[test]
    fn leftovers_are_found_with_their_line() {
        for (leftover, advice) in LEFTOVERS {
            let finding = format!("a/tests/x.rs:3: `{leftover}` is left here; {advice}");
            check(
                "a/tests/x.rs",
                &format!("//! Good.\n\n  {leftover}\n"),
                &[&finding],
            );
        }
    }

    #[test]
    fn long_files_are_warned_about_and_longer_ones_refused() {
        let lines = |count| "//! Good.\n".repeat(count);
        check("a/x.rs", &lines(400), &[]);
        check(
            "a/x.rs",
            &lines(401),
            &["a/x.rs:401: warning: 401 lines, more than 400; \
                 consider taking the file apart by concern"],
        );
        check(
            "a/x.rs",
            &lines(801),
            &["a/x.rs:801: 801 lines, more than 800; take the file apart by concern"],
        );
    }
}
