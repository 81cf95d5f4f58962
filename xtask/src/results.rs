//! What the test programs report, read from the lines that they print.

use std::fmt;

/// How one test ended, from good to bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    Passed,
    Ignored,
    Failed,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Passed => "ok",
            Self::Ignored => "ignored",
            Self::Failed => "FAILED",
        })
    }
}

/// The tests of a whole run, over all test programs.
#[derive(Debug, Default)]
pub(crate) struct Results {
    tests: Vec<(String, Verdict)>,
    totals: Totals,
}

/// What the programs counted themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    pub(crate) ignored: usize,
    /// Left out by the command line.
    pub(crate) filtered: usize,
}

impl Results {
    /// Takes in one line of output.
    pub(crate) fn read(&mut self, line: &str) {
        if let Some((name, verdict)) = test_line(line) {
            self.tests.push((name.to_owned(), verdict));
        } else if let Some(totals) = totals_line(line) {
            self.totals.passed += totals.passed;
            self.totals.failed += totals.failed;
            self.totals.ignored += totals.ignored;
            self.totals.filtered += totals.filtered;
        }
    }

    pub(crate) fn tests(&self) -> impl Iterator<Item = (&str, Verdict)> {
        self.tests
            .iter()
            .map(|(name, verdict)| (name.as_str(), *verdict))
    }

    pub(crate) fn totals(&self) -> Totals {
        self.totals
    }

    /// What is wrong with the run as such: a failure, and a test that did not run, wherever it
    /// stands.
    pub(crate) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for (name, verdict) in self.tests() {
            match verdict {
                Verdict::Passed => {}
                Verdict::Ignored => {
                    problems.push(format!("{name}: ignored; what does not run proves nothing"));
                }
                Verdict::Failed => problems.push(format!("{name}: failed")),
            }
        }
        let Totals {
            passed,
            failed,
            ignored,
            filtered: _,
        } = self.totals;
        let counted = passed + failed + ignored;
        if counted != self.tests.len() {
            // Something wrote into a result line, or a program died halfway.
            problems.push(format!(
                "the test programs count {counted} tests but report {}",
                self.tests.len()
            ));
        }
        problems
    }
}

/// Reads `test some::path ... ok`.
fn test_line(line: &str) -> Option<(&str, Verdict)> {
    let (name, verdict) = line.strip_prefix("test ")?.split_once(" ... ")?;
    // An ignored test adds its reason, others may add their time.
    let verdict = match verdict.split([' ', ',']).next()? {
        "ok" => Verdict::Passed,
        "ignored" => Verdict::Ignored,
        "FAILED" => Verdict::Failed,
        _ => return None,
    };
    Some((
        name.strip_suffix(" - should panic").unwrap_or(name),
        verdict,
    ))
}

/// Reads `test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in
/// 0.01s`.
fn totals_line(line: &str) -> Option<Totals> {
    let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let count = |what: &str| {
        let text = counts
            .split("; ")
            .find_map(|count| count.strip_suffix(what))?;
        text.trim_end().parse().ok()
    };
    Some(Totals {
        passed: count("passed")?,
        failed: count("failed")?,
        ignored: count("ignored")?,
        filtered: count("filtered out")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(output: &str) -> Results {
        let mut results = Results::default();
        output.lines().for_each(|line| results.read(line));
        results
    }

    #[test]
    fn lines_of_all_kinds_are_understood() {
        for (line, expected) in [
            ("test a::b ... ok", Some(("a::b", Verdict::Passed))),
            ("test a ... ok <0.012s>", Some(("a", Verdict::Passed))),
            ("test a ... FAILED", Some(("a", Verdict::Failed))),
            ("test a ... ignored", Some(("a", Verdict::Ignored))),
            (
                "test a ... ignored, not ... now",
                Some(("a", Verdict::Ignored)),
            ),
            ("test a - should panic ... ok", Some(("a", Verdict::Passed))),
            (
                "test src/lib.rs - x (line 3) - compile ... ok",
                Some(("src/lib.rs - x (line 3) - compile", Verdict::Passed)),
            ),
            ("test a has been running for over 60 seconds", None),
            ("test a ... hello", None),
            ("running 3 tests", None),
        ] {
            assert_eq!(test_line(line), expected, "{line}");
        }
    }

    #[test]
    fn totals_are_summed_over_the_programs() {
        let results = read(
            "running 2 tests\n\
             test a ... ok\n\
             test b ... ok\n\
             test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\
             running 1 test\n\
             test src/lib.rs - (line 5) ... ok\n\
             test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 4 filtered out; finished in 0.31s\n",
        );
        assert_eq!(
            results.totals(),
            Totals {
                passed: 3,
                failed: 0,
                ignored: 0,
                filtered: 4
            }
        );
        assert_eq!(results.problems(), [""; 0]);
    }

    #[test]
    fn failed_ignored_and_lost_tests_are_problems() {
        let results = read(
            "test a ... FAILED\n\
             test b ... ignored, slow\n\
             noise test c ... ok\n\
             test result: FAILED. 1 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s\n",
        );
        assert_eq!(
            results.problems(),
            [
                "a: failed",
                "b: ignored; what does not run proves nothing",
                "the test programs count 3 tests but report 2",
            ]
        );
    }
}
