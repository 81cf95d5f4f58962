//! The command line.

use std::path::PathBuf;

use crate::{Result, glob};

/// What is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Only rows that one of these means; all when there is none.
    pub filters: Vec<String>,
    /// A look, not a measurement.
    pub quick: bool,
    /// Where the rows go as JSON.
    pub json: Option<PathBuf>,
    /// Fail unless every row is met.
    pub check: bool,
}

const USAGE: &str = "usage: cargo xtask bench [--filter GLOB]... [--quick] [--json FILE] [--check]";

impl Options {
    /// Reads the arguments.
    ///
    /// # Errors
    /// An argument that isn't known, or lacks its value.
    pub fn parse(args: impl IntoIterator<Item = String>) -> Result<Self> {
        let mut options = Self::default();
        let mut args = args.into_iter();
        while let Some(arg) = args.next() {
            let mut value = |what: &str| {
                let value = args.next().filter(|value| !value.starts_with("--"));
                value.ok_or_else(|| format!("{arg} needs {what}\n\n{USAGE}"))
            };
            match arg.as_str() {
                "--filter" => options.filters.push(value("a GLOB")?),
                "--json" => options.json = Some(value("a FILE")?.into()),
                "--quick" => options.quick = true,
                "--check" => options.check = true,
                _ => return Err(format!("bench doesn't know `{arg}`\n\n{USAGE}").into()),
            }
        }
        Ok(options)
    }

    /// The names that the filters mean, in the order of `names`.
    ///
    /// # Errors
    /// A filter that means none of them.
    pub fn select<'a>(&self, names: &[&'a str]) -> Result<Vec<&'a str>> {
        let unused = |filter: &&String| !names.iter().any(|name| glob::means(filter, name));
        if let Some(filter) = self.filters.iter().find(unused) {
            let names = names.join("\n    ");
            return Err(format!("no row matches `{filter}`; the rows are\n    {names}").into());
        }
        let wanted = |name: &&str| {
            let mut filters = self.filters.iter();
            self.filters.is_empty() || filters.any(|filter| glob::means(filter, name))
        };
        Ok(names.iter().copied().filter(wanted).collect())
    }

    /// The command line, as one would type it.
    #[must_use]
    pub fn line(&self) -> String {
        let mut line = "cargo xtask bench".to_owned();
        for filter in &self.filters {
            line += &format!(" --filter '{filter}'");
        }
        if self.quick {
            line += " --quick";
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<Options> {
        Options::parse(args.iter().map(|arg| (*arg).to_owned()))
    }

    #[test]
    fn options_are_read_in_any_order() {
        let options = parse(&[
            "--check", "--filter", "a/*", "--json", "x.json", "--filter", "b",
        ]);
        let options = options.unwrap();
        assert_eq!(options.filters, ["a/*", "b"]);
        assert_eq!(options.json, Some("x.json".into()));
        assert!(options.check && !options.quick);
        assert_eq!(
            options.line(),
            "cargo xtask bench --filter 'a/*' --filter 'b'"
        );
    }

    #[test]
    fn what_is_not_known_is_named() {
        let error = |args| parse(args).unwrap_err().to_string();
        assert!(error(&["--fast"]).starts_with("bench doesn't know `--fast`\n\nusage: "));
        assert!(error(&["rpc/aa"]).starts_with("bench doesn't know `rpc/aa`\n"));
        assert!(error(&["--json"]).starts_with("--json needs a FILE\n"));
        assert!(error(&["--filter", "--quick"]).starts_with("--filter needs a GLOB\n"));
    }

    #[test]
    fn filters_select_rows_and_one_that_means_none_is_an_error() {
        let names = ["a/x", "a/y:1", "a/y:2", "b/z"];
        let select = |args: &[&str]| parse(args).unwrap().select(&names);
        assert_eq!(select(&[]).unwrap(), names);
        assert_eq!(select(&["--filter", "a/y"]).unwrap(), ["a/y:1", "a/y:2"]);
        assert_eq!(
            select(&["--filter", "b/*", "--filter", "a/x"]).unwrap(),
            ["a/x", "b/z"]
        );
        let error = select(&["--filter", "a/*", "--filter", "c/*"]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "no row matches `c/*`; the rows are\n    a/x\n    a/y:1\n    a/y:2\n    b/z"
        );
    }
}
