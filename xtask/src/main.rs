//! The developer tasks of the workspace, run as `cargo xtask <command>`.
//!
//! One module holds one task. What a task needs of other programs goes through [`process`]; what it
//! needs to know of the workspace comes from [`workspace`]. A rule of the project that a machine
//! can check belongs into [`tidy`].

mod bench;
mod chaos;
mod ci;
mod codegen;
mod error;
#[cfg(feature = "codegen")]
mod generate;
mod instructions;
mod packages;
mod process;
mod programs;
mod results;
mod setup;
mod table;
mod test;
mod text;
mod tidy;
mod valkey;
mod workspace;

use std::env;
use std::process::ExitCode;

use crate::error::{Error, Result};
use crate::workspace::Workspace;

/// A command of `cargo xtask`.
struct Task {
    name: &'static str,
    arguments: &'static str,
    does: &'static str,
    run: fn(&Workspace, &[String]) -> Result,
}

const TASKS: &[Task] = &[
    Task {
        name: "setup",
        arguments: "[--install] [--without NAME]...",
        does: "checks, or installs, what the tasks need",
        run: setup::command,
    },
    Task {
        name: "test",
        arguments: "[--only BACKEND] [--without go] [cargo test args]...",
        does: "runs every test and shows the conformance table",
        run: test::command,
    },
    Task {
        name: "bench",
        arguments: "[--filter GLOB]... [--quick] [--json FILE] [--check]",
        does: "measures what braid costs beside what it is built on",
        run: bench::command,
    },
    Task {
        name: "chaos",
        arguments: "--scenario NAME [--messages N] [--kills N] [--seed N] [--json FILE]",
        does: "makes real faults, and shows whether a promise held",
        run: chaos::command,
    },
    Task {
        name: "instructions",
        arguments: "",
        does: "counts the instructions of picks, routes and messages against their limits",
        run: instructions::command,
    },
    Task {
        name: "ci",
        arguments: "[--without go]",
        does: "runs everything that a change has to pass",
        run: ci::command,
    },
    Task {
        name: "tidy",
        arguments: "",
        does: "checks the rules of the workspace",
        run: tidy::command,
    },
    Task {
        name: "codegen",
        arguments: "[--check]",
        does: "regenerates, or checks, the committed protobuf code",
        run: codegen::command,
    },
];

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    match dispatch(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if let Some(message) = error.message() {
                eprintln!("error: {message}");
            }
            ExitCode::FAILURE
        }
    }
}

fn dispatch(args: &[String]) -> Result {
    let Some((name, rest)) = args.split_first() else {
        print!("{}", usage());
        return Ok(());
    };
    if matches!(name.as_str(), "help" | "--help" | "-h") {
        print!("{}", usage());
        return Ok(());
    }
    let Some(task) = TASKS.iter().find(|task| task.name == name) else {
        return Err(Error::new(format!(
            "there is no command `{name}`\n\n{}",
            usage()
        )));
    };
    (task.run)(&Workspace::find()?, rest)
}

fn usage() -> String {
    let rows: Vec<_> = TASKS
        .iter()
        .map(|task| {
            vec![
                format!("  {}", task.name),
                task.arguments.to_owned(),
                task.does.to_owned(),
            ]
        })
        .collect();
    format!("usage: cargo xtask <command>\n\n{}", text::columns(&rows))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_command_is_named_and_the_known_ones_listed() {
        let error = dispatch(&["tset".to_owned()]).unwrap_err();
        let message = error.message().unwrap();
        assert!(
            message.starts_with("there is no command `tset`"),
            "{message}"
        );
        for task in TASKS {
            assert!(message.contains(task.name), "{message}");
        }
    }
}
