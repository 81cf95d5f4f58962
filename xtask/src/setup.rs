//! `cargo xtask setup`: what the other tasks need, checked and, if wanted, installed.
//!
//! Each requirement is one entry of a table, and a task asks for its own ones before it starts.
//! Nothing that is installed here may leave a daemon running: tests start their own servers.

use crate::error::{Context as _, Error, Result, bail};
use crate::workspace::Workspace;
use crate::{instructions, process, programs, text};

/// A program that a task needs.
#[derive(Debug)]
struct Requirement {
    name: &'static str,
    why: &'static str,
    /// The tasks that need it; `ci` needs everything.
    needed_by: &'static [&'static str],
    /// Succeeds if it is there, and writes its version, the first word that begins with a digit.
    probe: &'static [&'static str],
    /// The oldest version that will do; none if any will.
    at_least: Option<&'static str>,
    install: Install,
    /// Builds what the tasks need of it.
    then: Option<fn(&Workspace) -> Result>,
}

/// How to get a program.
#[derive(Debug)]
enum Install {
    Command(&'static [&'static str]),
    /// In words, since no command does it everywhere.
    ByHand(&'static str),
}

/// What only the interop tests need, and what can be left out of them.
pub(crate) const GO: &str = "go";

/// Cargo is not in it: it has started this program.
const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        name: "rust",
        why: "builds everything",
        needed_by: &["test"],
        probe: &["rustc", "--version"],
        at_least: Some(env!("CARGO_PKG_RUST_VERSION")),
        install: Install::Command(&["rustup", "update", "stable"]),
        then: None,
    },
    Requirement {
        name: "clippy",
        why: "lints the code",
        needed_by: &["ci"],
        probe: &["cargo-clippy", "--version"],
        at_least: None,
        install: Install::Command(&["rustup", "component", "add", "clippy"]),
        then: None,
    },
    Requirement {
        name: "rustfmt",
        why: "formats the code, generated code too",
        needed_by: &["ci", "codegen"],
        probe: &["rustfmt", "--version"],
        at_least: None,
        install: Install::Command(&["rustup", "component", "add", "rustfmt"]),
        then: None,
    },
    Requirement {
        name: GO,
        why: "builds the programs that the interop tests talk to",
        needed_by: &["test"],
        probe: &["go", "version"],
        // As go.mod of these programs has it.
        at_least: Some("1.26"),
        install: Install::ByHand(
            "Go 1.26 or later, from go.dev/dl (the packages of Debian 12 and 13 are older); \
             or do without it: `--without go`, for `setup`, `test` and `ci`",
        ),
        then: Some(programs::build),
    },
    Requirement {
        name: "cmake",
        why: "builds what the benchmark's anchors compress with",
        needed_by: &["bench"],
        probe: &["cmake", "--version"],
        at_least: None,
        install: Install::Command(&["apt-get", "install", "--yes", "cmake"]),
        then: None,
    },
    Requirement {
        name: "valgrind",
        why: "counts instructions",
        needed_by: &["instructions"],
        probe: &["valgrind", "--version"],
        at_least: None,
        install: Install::Command(&["apt-get", "install", "--yes", "valgrind"]),
        then: Some(instructions::install),
    },
];

/// Runs the command line `setup [--install] [--without NAME]...`.
pub(crate) fn command(workspace: &Workspace, args: &[String]) -> Result {
    let options = Options::parse(args)?;
    satisfy(
        workspace,
        &options.wanted,
        options.install || is_root(workspace),
    )
}

/// Sees to what one task needs, but for what is to be left out.
pub(crate) fn ensure(workspace: &Workspace, task: &str, without: Option<&str>) -> Result {
    let needed = |requirement: &&Requirement| {
        (task == "ci" || requirement.needed_by.contains(&task)) && without != Some(requirement.name)
    };
    let wanted: Vec<_> = REQUIREMENTS.iter().filter(needed).collect();
    satisfy(workspace, &wanted, is_root(workspace))
}

#[derive(Debug)]
struct Options {
    install: bool,
    wanted: Vec<&'static Requirement>,
}

impl Options {
    fn parse(args: &[String]) -> Result<Self> {
        let mut options = Self {
            install: false,
            wanted: REQUIREMENTS.iter().collect(),
        };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--install" => options.install = true,
                "--without" => {
                    let name = args.next().map_or("", String::as_str);
                    let known = REQUIREMENTS.iter().map(|requirement| requirement.name);
                    if !known.clone().any(|known| known == name) {
                        let known = known.collect::<Vec<_>>().join(", ");
                        bail!("--without takes one of {known}, not `{name}`");
                    }
                    options
                        .wanted
                        .retain(|requirement| requirement.name != name);
                }
                _ => bail!("setup takes --install and --without NAME, not `{arg}`"),
            }
        }
        Ok(options)
    }
}

/// Checks each requirement, and installs the missing ones or says how to.
fn satisfy(workspace: &Workspace, wanted: &[&Requirement], install: bool) -> Result {
    let checked: Vec<_> = wanted
        .iter()
        .map(|requirement| (*requirement, check(workspace, requirement)))
        .collect();
    let rows: Vec<_> = checked
        .iter()
        .map(|(requirement, state)| row(requirement, state))
        .collect();
    print!(
        "setup: what is needed, and what is here\n{}",
        text::columns(&rows)
    );

    let missing = checked
        .iter()
        .filter(|(_, state)| state.is_err())
        .map(|(requirement, _)| *requirement);
    let missing: Vec<_> = missing.collect();
    if !missing.is_empty() && !install {
        bail!(
            "something is missing; `cargo xtask setup --install` installs what it can, or by hand:\n\n{}",
            missing
                .iter()
                .map(|requirement| requirement.install.line())
                .collect::<String>()
        );
    }
    for requirement in &missing {
        let Install::Command([program, args @ ..]) = requirement.install else {
            bail!(
                "{}: there is no command that installs it\n\n{}",
                requirement.name,
                requirement.install.line()
            );
        };
        process::run(workspace.command(program).args(args))?;
        check(workspace, requirement)
            .context(format_args!("{} after its installation", requirement.name))?;
    }
    for build in wanted.iter().filter_map(|requirement| requirement.then) {
        build(workspace)?;
    }
    println!("setup: all is here");
    Ok(())
}

impl Install {
    /// One line that says it.
    fn line(&self) -> String {
        match self {
            Self::Command(words) => format!("    {}\n", words.join(" ")),
            Self::ByHand(text) => format!("    {text}\n"),
        }
    }
}

fn row(requirement: &Requirement, state: &Result<String>) -> Vec<String> {
    let state = match state {
        Ok(version) => version.clone(),
        Err(error) => error.to_string(),
    };
    vec![
        format!("  {}", requirement.name),
        state,
        requirement.why.to_owned(),
    ]
}

/// The version that is there, or what is wrong.
fn check(workspace: &Workspace, requirement: &Requirement) -> Result<String> {
    let [program, args @ ..] = requirement.probe else {
        bail!("no command shows whether it is there");
    };
    // Whatever makes a probe fail, the program can't be used.
    let output = process::output(workspace.command(program).args(args))
        .map_err(|_| Error::new("missing"))?;
    let version = version(&output);
    match requirement.at_least {
        Some(oldest) if parts(version) < parts(oldest) => bail!("{version} is older than {oldest}"),
        _ => Ok(version.to_owned()),
    }
}

/// The first word of a program's answer that is a version: `rustc 1.95.0`, `go version go1.26.8`, `valgrind-3.19.0`.
fn version(output: &str) -> &str {
    let mut words = output.split_whitespace();
    let versions = words.find_map(|word| {
        let leads = ["go", "valgrind-"];
        let version = leads.iter().find_map(|lead| word.strip_prefix(lead));
        let version = version.unwrap_or(word);
        version
            .starts_with(|first: char| first.is_ascii_digit())
            .then_some(version)
    });
    versions.unwrap_or_default()
}

/// The numbers of a version, to be compared; what follows a hyphen does not count.
fn parts(version: &str) -> Vec<u64> {
    let numbers = version.split('-').next().unwrap_or_default().split('.');
    numbers.map_while(|number| number.parse().ok()).collect()
}

/// Whether packages may be installed without asking for a password.
fn is_root(workspace: &Workspace) -> bool {
    // Where there is no `id`, there is no root either.
    process::output(workspace.command("id").arg("-u")).is_ok_and(|id| id.trim() == "0")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<Options> {
        Options::parse(&args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn requirements_can_be_left_out() {
        let options = parse(&["--without", "clippy", "--install"]).unwrap();
        assert!(options.install);
        assert_eq!(options.wanted.len(), REQUIREMENTS.len() - 1);
        assert!(
            options
                .wanted
                .iter()
                .all(|requirement| requirement.name != "clippy")
        );
    }

    #[test]
    fn what_setup_does_not_know_is_named() {
        let error = parse(&["--without", "java"]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "--without takes one of rust, clippy, rustfmt, go, cmake, valgrind, not `java`"
        );
        let error = parse(&["--instal"]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "setup takes --install and --without NAME, not `--instal`"
        );
        assert!(parse(&["--without"]).is_err());
    }

    #[test]
    fn versions_are_found_in_what_programs_say() {
        for (output, expected) in [
            ("rustc 1.95.0 (59807616e 2026-04-14)", "1.95.0"),
            ("go version go1.26.8 linux/amd64", "1.26.8"),
            ("valgrind-3.19.0", "3.19.0"),
            ("clippy", ""),
        ] {
            assert_eq!(version(output), expected);
        }
    }

    #[test]
    fn versions_compare_by_their_numbers() {
        for (version, oldest, good) in [
            ("1.95.0", "1.95", true),
            ("1.94.9", "1.95", false),
            ("1.100.0", "1.95", true),
            ("1.97.0-nightly", "1.95", true),
            ("2.0.0", "1.95", true),
            ("garbage", "1.95", false),
        ] {
            assert_eq!(
                parts(version) >= parts(oldest),
                good,
                "{version} against {oldest}"
            );
        }
    }
}
