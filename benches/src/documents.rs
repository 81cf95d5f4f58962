//! The tables of the documents, which runs write.
//!
//! A table stands between two markers. A run changes the lines of its own rows; the others stay, and each says of which run it is.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use crate::Result;
use crate::row::Measured;

/// The tables: where each is, and the start of the names of its rows.
const TABLES: [(&str, &str); 3] = [
    ("benches/README.md", ""),
    ("README.md", "rpc/"),
    ("README.md", "pubsub/"),
];

const HEAD: &str = "| row | braid | anchor | ratio or figure | goal | verdict | run |\n\
                    |---|--:|--:|---|---|---|--:|\n";

/// The documents, read and found to be in order.
#[derive(Debug)]
pub struct Documents {
    root: PathBuf,
    table: Table,
}

/// What stands between the markers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Table {
    /// By the names of the rows: the line's cells after the name, and the run that it is of.
    lines: BTreeMap<String, (String, u32)>,
    /// What each run was.
    runs: BTreeMap<u32, String>,
}

impl Documents {
    /// Reads the documents of the workspace.
    ///
    /// # Errors
    /// One is missing, or lacks its markers.
    pub fn open() -> Result<Self> {
        let package = env::var_os("CARGO_MANIFEST_DIR");
        let package = package.ok_or("start me as `cargo xtask bench`: no CARGO_MANIFEST_DIR")?;
        let root = Path::new(&package).parent().unwrap_or(Path::new(""));
        let mut table = Table::default();
        for (index, (path, rows)) in TABLES.into_iter().enumerate() {
            let text = read(root, path)?;
            let (_, block, _) = parts(path, rows, &text)?;
            if index == 0 {
                table = Table::parse(block)?;
            }
        }
        let root = root.to_owned();
        Ok(Self { root, table })
    }

    /// Writes what a run has measured. Rows that aren't among `known` any more are dropped.
    ///
    /// # Errors
    /// A document can't be written.
    pub fn write(mut self, measured: &[Measured], known: &[&str], run: String) -> Result<()> {
        self.table.take(measured, run);
        for (path, rows) in TABLES {
            let text = read(&self.root, path)?;
            let (before, _, after) = parts(path, rows, &text)?;
            let names = known.iter().filter(|name| name.starts_with(rows));
            let block = self.table.show(names.copied());
            let text = format!("{before}{block}{after}");
            fs::write(self.root.join(path), text).map_err(|error| format!("{path}: {error}"))?;
        }
        Ok(())
    }
}

fn read(root: &Path, path: &str) -> Result<String> {
    let text = fs::read_to_string(root.join(path));
    Ok(text.map_err(|error| format!("{path}: {error}"))?)
}

/// The markers of the table of these rows.
fn markers(rows: &str) -> [String; 2] {
    ["begin", "end"]
        .map(|which| format!("<!-- {which}: `{rows}*`, written by `cargo xtask bench` -->\n"))
}

/// What stands before the table, the table, and what stands behind it; the markers are before and behind.
fn parts<'a>(path: &str, rows: &str, text: &'a str) -> Result<(&'a str, &'a str, &'a str)> {
    let [begin, end] = markers(rows);
    let from = text.find(&begin).map(|from| from + begin.len());
    let found = from.and_then(|from| Some((from, from + text[from..].find(&end)?)));
    let (begin, end) = found.ok_or_else(|| {
        format!("{path} has no place for the table; it stands between\n{begin}{end}")
    })?;
    Ok((&text[..begin], &text[begin..end], &text[end..]))
}

impl Table {
    fn parse(block: &str) -> Result<Self> {
        let mut table = Self::default();
        let row = |line: &str| {
            let (name, rest) = line.strip_prefix("| `")?.split_once("` | ")?;
            let (cells, run) = rest.strip_suffix(" |")?.rsplit_once(" | ")?;
            Some((name.to_owned(), (cells.to_owned(), run.parse().ok()?)))
        };
        let run = |line: &str| {
            let (number, what) = line.strip_prefix("- run ")?.split_once(": ")?;
            Some((number.parse::<u32>().ok()?, what.to_owned()))
        };
        for line in block.lines() {
            if let Some((name, cells)) = row(line) {
                table.lines.insert(name, cells);
            } else if let Some((number, what)) = run(line) {
                table.runs.insert(number, what);
            }
        }
        match table
            .lines
            .iter()
            .find(|(_, (_, run))| !table.runs.contains_key(run))
        {
            Some((name, _)) => Err(format!("the table's line of {name} is of no known run").into()),
            None => Ok(table),
        }
    }

    /// Puts a run's rows in the place of former ones.
    fn take(&mut self, measured: &[Measured], what: String) {
        let number = self.runs.keys().max().map_or(1, |last| last + 1);
        self.runs.insert(number, what);
        for row in measured {
            let cells = row.cells().join(" | ");
            self.lines.insert(row.row.name.to_owned(), (cells, number));
        }
    }

    /// The lines of these rows in this order, then the runs that they are of.
    fn show<'a>(&self, names: impl Iterator<Item = &'a str>) -> String {
        let mut text = HEAD.to_owned();
        let mut runs = BTreeMap::new();
        for name in names {
            if let Some((cells, run)) = self.lines.get(name) {
                runs.insert(run, &self.runs[run]);
                // Writing to a string doesn't fail.
                let _ = writeln!(text, "| `{name}` | {cells} | {run} |");
            }
        }
        if runs.is_empty() {
            return "No run has been written down yet.\n".to_owned();
        }
        text.push('\n');
        for (number, what) in runs {
            let _ = writeln!(text, "- run {number}: {what}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::goal::{Direction::AtMost, Goal::Ratio};
    use crate::row::{Figures, tests};

    const NAMES: [&str; 3] = ["rpc/b", "rpc/a:x", "balancer/a"];

    fn rows(ours: f64, names: &[&'static str]) -> Vec<Measured> {
        let figures = Figures::counts(ours, 100.0);
        let row = |name: &&'static str| tests::measured(name, Some(Ratio(AtMost, 0.5)), figures);
        names.iter().map(row).collect()
    }

    #[test]
    fn a_run_changes_its_own_rows_and_leaves_the_others() {
        let mut table = Table::default();
        table.take(&rows(40.0, &NAMES), "first".to_owned());
        table.take(&rows(60.0, &["rpc/b"]), "second".to_owned());
        let shown = table.show(NAMES.into_iter());
        assert_eq!(
            shown,
            format!(
                "{HEAD}\
                 | `rpc/b` | 60 ns | 100 ns | 0.600 | <= 0.5 | missed | 2 |\n\
                 | `rpc/a:x` | 40 ns | 100 ns | 0.400 | <= 0.5 | met | 1 |\n\
                 | `balancer/a` | 40 ns | 100 ns | 0.400 | <= 0.5 | met | 1 |\n\
                 \n\
                 - run 1: first\n\
                 - run 2: second\n"
            )
        );
        // What was written is read again as it was.
        assert_eq!(Table::parse(&shown).unwrap(), table);
    }

    #[test]
    fn runs_without_rows_are_forgotten() {
        let mut table = Table::default();
        table.take(&rows(40.0, &NAMES), "first".to_owned());
        table.take(&rows(60.0, &NAMES), "second".to_owned());
        let shown = table.show(["rpc/b"].into_iter());
        assert!(
            shown.contains("- run 2: second") && !shown.contains("first"),
            "{shown}"
        );
        assert!(!shown.contains("rpc/a"), "{shown}");
    }

    #[test]
    fn only_what_stands_between_the_markers_is_replaced() {
        let [[begin, end], [other_begin, other_end]] = ["a/", "b/"].map(markers);
        let other = format!("{other_begin}other\n{other_end}");
        let text = format!("before\n{other}{begin}old\n{end}after\n");
        let (before, block, after) = parts("x.md", "a/", &text).unwrap();
        assert_eq!(before, format!("before\n{other}{begin}"));
        assert_eq!(block, "old\n");
        assert_eq!(after, format!("{end}after\n"));
        let error = parts("x.md", "a/", "no table").unwrap_err().to_string();
        assert!(
            error.starts_with("x.md has no place for the table"),
            "{error}"
        );
    }

    #[test]
    fn the_readme_quotes_the_table() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let [table, quotes @ ..] = TABLES.map(|(path, rows)| {
            let text = read(root, path).unwrap();
            let (_, block, _) = parts(path, rows, &text).unwrap();
            (rows, block.to_owned())
        });
        for (rows, quote) in quotes {
            let start = format!("| `{rows}");
            let lines = |block: &str| -> Vec<_> {
                let lines = block.lines().filter(|line| line.starts_with(&start));
                lines.map(str::to_owned).collect()
            };
            let runs = |block: &str| Table::parse(block).unwrap().runs;
            let wrong = "run `cargo xtask bench`; nobody edits the tables by hand";
            assert_eq!(lines(&table.1), lines(&quote), "{wrong}");
            let all = runs(&table.1);
            for (number, what) in runs(&quote) {
                assert_eq!(all.get(&number), Some(&what), "{wrong}");
            }
        }
    }
}
