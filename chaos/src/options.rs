//! The command line.

use crate::{
    Error, Result,
    scenario::{SCENARIOS, Scenario},
};
use std::path::PathBuf;

/// What is asked for.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) scenario: &'static Scenario,
    /// How many messages are published, per durability where there are several.
    pub(crate) messages: usize,
    /// How many faults are made.
    pub(crate) kills: usize,
    /// What all random choices are made from.
    pub(crate) seed: u64,
    /// Where the verdict goes beside the standard output.
    pub(crate) json: Option<PathBuf>,
}

const USAGE: &str =
    "usage: cargo xtask chaos --scenario NAME [--messages N] [--kills N] [--seed N] [--json FILE]";
/// Far above what a machine can do in a day; a larger number is a slip.
const MOST_MESSAGES: u64 = 100_000_000;
const MOST_KILLS: u64 = 100_000;

impl Options {
    /// Reads the arguments.
    pub(crate) fn parse(args: impl IntoIterator<Item = String>) -> Result<Self> {
        let (mut scenario, mut messages, mut kills, mut seed, mut json) =
            (None, None, None, None, None);
        let mut args = args.into_iter();
        while let Some(arg) = args.next() {
            let mut value = |what: &str| {
                let value = args.next().filter(|value| !value.starts_with("--"));
                value.ok_or_else(|| wrong(&format!("{arg} needs {what}")))
            };
            match arg.as_str() {
                "--scenario" => scenario = Some(find(&value("a NAME")?)?),
                "--messages" => {
                    messages = Some(number(&arg, &value("a number")?, 1, MOST_MESSAGES)?);
                }
                "--kills" => kills = Some(number(&arg, &value("a number")?, 0, MOST_KILLS)?),
                "--seed" => seed = Some(number(&arg, &value("a number")?, 0, u64::MAX)?),
                "--json" => json = Some(value("a FILE")?.into()),
                _ => return Err(wrong(&format!("chaos doesn't know `{arg}`"))),
            }
        }
        let scenario = scenario.ok_or_else(|| wrong("--scenario is missing"))?;
        let count = |asked: Option<u64>, default: usize| match asked {
            Some(count) => usize::try_from(count).expect("the bounds above fit"),
            None => default,
        };
        Ok(Self {
            messages: count(messages, scenario.messages),
            kills: count(kills, scenario.kills),
            // Six digits are easier to type again, and choices enough.
            seed: seed.unwrap_or_else(|| fastrand::u64(..1_000_000)),
            json,
            scenario,
        })
    }

    /// The command line that makes the same choices again.
    pub(crate) fn line(&self) -> String {
        format!(
            "cargo xtask chaos --scenario {} --messages {} --kills {} --seed {}",
            self.scenario.name, self.messages, self.kills, self.seed
        )
    }
}

fn find(name: &str) -> Result<&'static Scenario> {
    let found = SCENARIOS.iter().find(|scenario| scenario.name == name);
    found.ok_or_else(|| wrong(&format!("there is no scenario `{name}`")))
}

fn number(option: &str, text: &str, least: u64, most: u64) -> Result<u64> {
    let number = text.parse().ok();
    let number = number.filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| {
        wrong(&format!(
            "{option} takes a number from {least} to {most}, not `{text}`"
        ))
    })
}

fn wrong(what: &str) -> Error {
    let mut text = format!("{what}\n\n{USAGE}\n\nscenarios:");
    for Scenario {
        name,
        does,
        messages,
        kills,
        ..
    } in SCENARIOS
    {
        text += &format!("\n  {name}: {does} (--messages {messages} --kills {kills})");
    }
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options> {
        Options::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn options_are_read_in_any_order() {
        let options = parse("--kills 3 --json x.json --scenario pubsub-kill --seed 9").unwrap();
        assert_eq!(options.json, Some("x.json".into()));
        assert_eq!(
            options.line(),
            "cargo xtask chaos --scenario pubsub-kill --messages 1000000 --kills 3 --seed 9"
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (line, named) in [
            ("", "--scenario is missing\n"),
            ("--scenario", "--scenario needs a NAME\n"),
            ("--scenario moon", "there is no scenario `moon`\n"),
            ("--scenario pubsub-kill 7", "chaos doesn't know `7`\n"),
            ("--kills --seed 1", "--kills needs a number\n"),
            (
                "--kills many",
                "--kills takes a number from 0 to 100000, not `many`\n",
            ),
            (
                "--messages 0",
                "--messages takes a number from 1 to 100000000, not `0`\n",
            ),
            ("--messages -5", "--messages takes a number from 1 to "),
            ("--seed 1.5", "--seed takes a number from 0 to "),
        ] {
            let error = parse(line).unwrap_err().to_string();
            assert!(error.starts_with(named), "{error}");
            assert!(error.contains("\n  pubsub-kill: "), "{error}");
        }
    }
}
