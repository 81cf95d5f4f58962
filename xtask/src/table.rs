//! The conformance table: which case is shown by which backend.
//!
//! The cases stand in one document of the testkit, for people to read; the same rows are the law
//! here. A case that no test shows for a backend is a gap, and a gap fails the run.

use std::collections::BTreeMap;

use crate::error::{Context as _, Result, bail};
use crate::results::{Results, Verdict};
use crate::text;

/// Where the cases are listed.
pub(crate) const CASES: &str = "braid-testkit/CASES.md";

/// An implementation of contracts, as the conformance tests name it.
#[derive(Debug)]
pub(crate) struct Backend {
    pub(crate) name: &'static str,
    /// The contracts that it implements, as the list of cases names them.
    pub(crate) traits: &'static [&'static str],
    /// The packages whose tests need what this backend needs.
    pub(crate) packages: &'static [&'static str],
    /// Whether its tests start Redis servers.
    pub(crate) on_redis: bool,
}

pub(crate) const BACKENDS: &[Backend] = &[
    Backend {
        name: "local",
        traits: &["pubsub", "discover", "elector", "linkcache"],
        packages: &["braid-local"],
        on_redis: false,
    },
    on_redis("redis"),
    on_redis("redis_cluster"),
    on_redis("redis_sentinel"),
    on_redis("redis_tls"),
];

/// What there is on Redis is there on every kind of its servers.
const fn on_redis(name: &'static str) -> Backend {
    Backend {
        name,
        traits: &["pubsub", "linkcache"],
        packages: &["braid-pubsub-redis", "braid-linkcache-redis"],
        on_redis: true,
    }
}

/// A promise that every backend of a contract has to show.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Case {
    id: String,
    test: String,
    contract: String,
    /// The backends that it is meant for; none for all of the contract.
    backends: Option<Vec<&'static str>>,
}

/// Reads the list of cases.
pub(crate) fn parse(document: &str) -> Result<Vec<Case>> {
    let mut cases: Vec<Case> = Vec::new();
    let mut in_table = false;
    for (number, line) in (1..).zip(document.lines()) {
        let Some(cells) = cells(line) else {
            in_table = false;
            continue;
        };
        if cells.starts_with(&["id", "test", "trait", "backends"]) {
            in_table = true;
        } else if in_table && !is_separator(&cells) {
            let case = case(&cells).context(format_args!("{CASES}:{number}"))?;
            if cases.iter().any(|other| other.test == case.test) {
                bail!(
                    "{CASES}:{number}: `{}` stands here a second time",
                    case.test
                );
            }
            cases.push(case);
        }
    }
    if cases.is_empty() {
        bail!("{CASES}: no table with the columns id, test, trait, backends");
    }
    Ok(cases)
}

/// The cases against the results of a run.
#[derive(Debug)]
pub(crate) struct Table<'a> {
    columns: Vec<&'a str>,
    rows: Vec<(&'a Case, Vec<Cell>)>,
    /// Tests that claim to be conformance tests but show no case.
    strays: Vec<&'a str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cell {
    Shown(Verdict),
    Missing,
    NotApplicable,
}

impl<'a> Table<'a> {
    /// Fills the table for the backends that take part, and for those that turned up all the same.
    pub(crate) fn new(cases: &'a [Case], results: &'a Results, backends: &[&'a Backend]) -> Self {
        let mut shown = BTreeMap::<(&str, &str), Verdict>::new();
        let mut columns: Vec<_> = backends.iter().map(|backend| backend.name).collect();
        let mut strays = Vec::new();
        for (path, verdict) in results.tests() {
            let Some((backend, test)) = conformance(path) else {
                continue;
            };
            if !columns.contains(&backend) {
                columns.push(backend);
            }
            if !cases.iter().any(|case| case.test == test) {
                strays.push(path);
            }
            // Several packages may run the same suite on the same backend; the worst of them
            // counts.
            let worst = shown.entry((test, backend)).or_insert(verdict);
            *worst = verdict.max(*worst);
        }
        let cell = |case: &Case, backend: &str| match shown.get(&(case.test.as_str(), backend)) {
            Some(verdict) => Cell::Shown(*verdict),
            None if case.is_for(backend) => Cell::Missing,
            None => Cell::NotApplicable,
        };
        let row = |case| {
            (
                case,
                columns.iter().map(|backend| cell(case, backend)).collect(),
            )
        };
        Self {
            rows: cases.iter().map(row).collect(),
            columns,
            strays,
        }
    }

    /// What keeps the table from being full and good.
    pub(crate) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for (case, cells) in &self.rows {
            for (backend, cell) in self.columns.iter().zip(cells) {
                let Case { id, test, .. } = case;
                match cell {
                    Cell::Shown(Verdict::Passed) | Cell::NotApplicable => {}
                    Cell::Missing => problems.push(format!(
                        "case {id} is missing on {backend}: \
                         no test `conformance::{backend}::{test}` ran"
                    )),
                    Cell::Shown(verdict) => {
                        problems.push(format!("case {id} on {backend}: `{test}` {verdict}"));
                    }
                }
            }
        }
        problems.extend(
            self.strays
                .iter()
                .map(|path| format!("{path}: shows no case of {CASES}; add its row")),
        );
        problems
    }

    /// The table, to be read.
    pub(crate) fn text(&self) -> String {
        let head = ["case", "test"]
            .into_iter()
            .chain(self.columns.iter().copied());
        let mut rows = vec![head.map(str::to_owned).collect::<Vec<_>>()];
        for (case, cells) in &self.rows {
            let mut row = vec![case.id.clone(), case.test.clone()];
            row.extend(cells.iter().map(|cell| match cell {
                Cell::Shown(verdict) => verdict.to_string(),
                Cell::Missing => "missing".to_owned(),
                Cell::NotApplicable => "-".to_owned(),
            }));
            rows.push(row);
        }
        text::columns(&rows)
    }
}

impl Case {
    fn is_for(&self, backend: &str) -> bool {
        let Some(known) = BACKENDS.iter().find(|known| known.name == backend) else {
            return false;
        };
        known.traits.contains(&self.contract.as_str())
            && self
                .backends
                .as_ref()
                .is_none_or(|names| names.contains(&backend))
    }
}

/// Backend and test of a path that ends in `conformance::<backend>::<test>`.
fn conformance(path: &str) -> Option<(&str, &str)> {
    let mut parts = path.rsplit("::");
    let (test, backend) = (parts.next()?, parts.next()?);
    (parts.next()? == "conformance").then_some((backend, test))
}

/// The cells of a Markdown table's line.
fn cells(line: &str) -> Option<Vec<&str>> {
    let inner = line.trim().strip_prefix('|')?.strip_suffix('|')?;
    Some(inner.split('|').map(str::trim).collect())
}

fn is_separator(cells: &[&str]) -> bool {
    cells
        .iter()
        .all(|cell| !cell.is_empty() && cell.trim_matches(':').chars().all(|c| c == '-'))
}

fn case(cells: &[&str]) -> Result<Case> {
    let [id, test, contract, backends, ..] = cells else {
        bail!("a case has the cells id, test, trait, backends and what it shows");
    };
    let [id, test, contract] = [id, test, contract].map(|cell| cell.trim_matches('`'));
    let implemented = |backend: &Backend| backend.traits.contains(&contract);
    if !BACKENDS.iter().any(implemented) {
        bail!("no backend implements the trait `{contract}`");
    }
    let backends = match *backends {
        "all" => None,
        names => Some(names.split(',').map(known_backend).collect::<Result<_>>()?),
    };
    Ok(Case {
        id: id.to_owned(),
        test: test.to_owned(),
        contract: contract.to_owned(),
        backends,
    })
}

fn known_backend(name: &str) -> Result<&'static str> {
    let name = name.trim();
    match BACKENDS.iter().find(|backend| backend.name == name) {
        Some(backend) => Ok(backend.name),
        None => bail!("there is no backend `{name}`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = "\
# Cases

| id | test | trait | backends | shows |
|----|------|:------|----------|-------|
| P1 | p1_publish_subscribe | pubsub | all | what is published arrives |
| D6 | `d6_slow_watcher` | discover | local | the latest state wins |

| other | table |
|---|---|
| not | a case |
";

    fn check(output: &str, table: &str, problems: &[&str]) {
        let cases = parse(DOCUMENT).unwrap();
        let mut results = Results::default();
        output.lines().for_each(|line| results.read(line));
        let backends: Vec<_> = BACKENDS
            .iter()
            .filter(|backend| backend.name == "local")
            .collect();
        let built = Table::new(&cases, &results, &backends);
        assert_eq!(built.text(), table);
        assert_eq!(built.problems(), problems);
    }

    #[test]
    fn a_full_table_has_no_problem() {
        check(
            "test conformance::local::p1_publish_subscribe ... ok\n\
             test deep::down::conformance::local::d6_slow_watcher ... ok\n\
             test conformance_of_something_else ... ok\n",
            "case  test                  local\n\
             P1    p1_publish_subscribe  ok\n\
             D6    d6_slow_watcher       ok\n",
            &[],
        );
    }

    #[test]
    fn a_gap_names_case_and_backend() {
        check(
            "test conformance::local::p1_publish_subscribe ... ignored\n",
            "case  test                  local\n\
             P1    p1_publish_subscribe  ignored\n\
             D6    d6_slow_watcher       missing\n",
            &[
                "case P1 on local: `p1_publish_subscribe` ignored",
                "case D6 is missing on local: no test `conformance::local::d6_slow_watcher` ran",
            ],
        );
    }

    #[test]
    fn the_worst_of_two_runs_counts_and_a_stray_test_is_told() {
        check(
            "test conformance::local::p1_publish_subscribe ... FAILED\n\
             test conformance::local::p1_publish_subscribe ... ok\n\
             test conformance::other::d6_slow_watcher ... ok\n\
             test conformance::local::d6_slow_watcher ... ok\n\
             test conformance::local::p99_unheard_of ... ok\n",
            "case  test                  local   other\n\
             P1    p1_publish_subscribe  FAILED  -\n\
             D6    d6_slow_watcher       ok      ok\n",
            &[
                "case P1 on local: `p1_publish_subscribe` FAILED",
                "conformance::local::p99_unheard_of: shows no case of braid-testkit/CASES.md; \
                 add its row",
            ],
        );
    }

    #[test]
    fn a_bad_list_of_cases_is_refused_with_its_line() {
        let head = "| id | test | trait | backends | shows |\n|---|---|---|---|---|\n";
        for (rows, error) in [
            (
                "| P1 | t |\n",
                "braid-testkit/CASES.md:3: a case has the cells id, test, trait, backends \
                 and what it shows",
            ),
            (
                "| P1 | t | pubsup | all | x |\n",
                "braid-testkit/CASES.md:3: no backend implements the trait `pubsup`",
            ),
            (
                "| P1 | t | pubsub | local, dish | x |\n",
                "braid-testkit/CASES.md:3: there is no backend `dish`",
            ),
            (
                "| P1 | t | pubsub | all | x |\n| P2 | t | pubsub | all | x |\n",
                "braid-testkit/CASES.md:4: `t` stands here a second time",
            ),
            (
                "",
                "braid-testkit/CASES.md: no table with the columns id, test, trait, backends",
            ),
        ] {
            assert_eq!(
                parse(&format!("{head}{rows}")).unwrap_err().to_string(),
                error
            );
        }
    }
}
