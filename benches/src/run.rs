//! A run: from the command line to the rows.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use crate::bench::Bench;
use crate::documents::Documents;
use crate::goal::Verdict;
use crate::options::Options;
use crate::row::{Measured, Row};
use crate::{Result, balancer, functions, machine, pubsub, rpc};

/// All rows, in the order in which they are measured.
#[must_use]
pub fn rows() -> Vec<Row> {
    [
        rpc::rows(),
        balancer::rows(),
        pubsub::rows(),
        functions::rows(),
    ]
    .concat()
}

/// Their names.
#[must_use]
pub fn names() -> Vec<&'static str> {
    rows().iter().map(|row| row.name).collect()
}

/// Measures what is asked for, and tells of it. True when it may pass.
///
/// # Errors
/// What is asked for makes no sense, or something fails on the way; then the rows before it are told of all the same.
pub fn run(options: &Options) -> Result<bool> {
    let rows = selected(options)?;
    let json = options.json.as_deref().map(create).transpose()?;
    let documents = (!options.quick).then(Documents::open).transpose()?;
    if rows.iter().any(|row| row.name.starts_with("criterion/")) {
        functions::build()?;
    }

    let mut table = Table::begin(&rows);
    let mut bench = Bench::new(options.quick)?;
    let mut measured = Vec::new();
    let failed: Result<()> = rows.into_iter().try_for_each(|row| {
        let row = bench.measure(row)?;
        table.show(&row);
        measured.push(row);
        Ok(())
    });
    summary(&measured);
    if let Some(mut file) = json {
        let rows: Vec<_> = measured.iter().map(Measured::json).collect();
        serde_json::to_writer_pretty(&mut file, &rows)?;
        writeln!(file)?;
        file.flush()?;
    }
    if let Some(documents) = documents.filter(|_| !measured.is_empty()) {
        let (date, shape) = (machine::date(), machine::shape());
        let what = format!("{date}, {shape}, `{}`", options.line());
        documents.write(&measured, &names(), what)?;
    }
    failed?;
    let met = |row: &Measured| row.verdict() == Verdict::Met;
    Ok(!options.check || measured.iter().all(met))
}

/// The rows that are asked for. What is timed is never told without how far the same differs from itself.
fn selected(options: &Options) -> Result<Vec<Row>> {
    let rows = rows();
    let names: Vec<_> = rows.iter().map(|row| row.name).collect();
    let chosen = options.select(&names)?;
    let component = |name: &str| name.split('/').next().map(|name| format!("{name}/aa"));
    let mut timed = rows.iter().filter(|row| !row.is_exact());
    let timed: Vec<_> = timed
        .by_ref()
        .filter(|row| chosen.contains(&row.name))
        .filter_map(|row| component(row.name))
        .collect();
    let wanted = |row: &Row| chosen.contains(&row.name) || timed.iter().any(|aa| *aa == row.name);
    Ok(rows.into_iter().filter(wanted).collect())
}

fn create(path: &Path) -> Result<BufWriter<File>> {
    let file = File::create(path);
    let file = file.map_err(|error| format!("can't write {}: {error}", path.display()))?;
    Ok(BufWriter::new(file))
}

/// The rows on the terminal, each as soon as it is there.
struct Table {
    widths: [usize; 6],
}

impl Table {
    fn begin(rows: &[Row]) -> Self {
        let name = rows.iter().map(|row| row.name.len()).max().unwrap_or(0);
        let mut table = Self {
            widths: [name, 9, 9, 28, 12, 0],
        };
        table.line(
            [
                "row",
                "braid",
                "anchor",
                "ratio or figure",
                "goal",
                "verdict",
            ]
            .map(str::to_owned),
        );
        table
    }

    fn show(&mut self, row: &Measured) {
        let [ours, anchor, judged, goal, verdict] = row.cells();
        self.line([row.row.name.to_owned(), ours, anchor, judged, goal, verdict]);
    }

    fn line(&mut self, cells: [String; 6]) {
        let cells = cells.iter().zip(self.widths);
        let cells: Vec<_> = cells
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        println!("{}", cells.join("  ").trim_end());
    }
}

fn summary(measured: &[Measured]) {
    let count = |verdict| {
        let judged = measured.iter().filter(|row| row.row.goal.is_some());
        judged.filter(|row| row.verdict() == verdict).count()
    };
    println!(
        "\n{} rows: {} met, {} missed, {} unresolved, the others only report",
        measured.len(),
        count(Verdict::Met),
        count(Verdict::Missed),
        count(Verdict::Unresolved),
    );
    for row in measured.iter().filter(|row| row.row.name.ends_with("/aa")) {
        let judged = row.figures.judged;
        let off = (judged.high - 1.0).max(1.0 - judged.low) * 100.0;
        println!(
            "{}: the same against itself is off by up to {off:.1} %",
            row.row.name
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selected_names(filters: &[&str]) -> Vec<&'static str> {
        let filters = filters.iter().map(|filter| (*filter).to_owned()).collect();
        let options = Options {
            filters,
            ..Options::default()
        };
        let rows = selected(&options).unwrap();
        rows.iter().map(|row| row.name).collect()
    }

    #[test]
    fn names_are_unique_and_of_a_component() {
        let mut names = names();
        let all = names.len();
        assert!(names.iter().all(|name| name.contains('/')));
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }

    #[test]
    fn what_is_timed_comes_with_the_same_against_itself() {
        assert_eq!(
            selected_names(&["rpc/send_p50_vs_tonic"]),
            ["rpc/send_p50_vs_tonic", "rpc/aa"]
        );
        assert_eq!(selected_names(&["rpc/aa"]), ["rpc/aa"]);
        assert_eq!(
            selected_names(&["rpc/send_allocs_vs_tonic"]),
            [
                "rpc/send_allocs_vs_tonic:allocs",
                "rpc/send_allocs_vs_tonic:bytes"
            ]
        );
        assert_eq!(selected_names(&["criterion/route"]), ["criterion/route"]);
        assert_eq!(selected_names(&[]), names());
    }

    #[test]
    fn a_file_that_cannot_be_written_is_named_before_anything_is_measured() {
        let options = Options {
            filters: vec!["*:allocs".to_owned()],
            json: Some("no/such/folder/rows.json".into()),
            ..Options::default()
        };
        let error = run(&options).unwrap_err().to_string();
        assert!(
            error.starts_with("can't write no/such/folder/rows.json: "),
            "{error}"
        );
    }
}
