//! `cargo xtask setup`: what the other tasks need, checked and, if wanted, installed.
//!
//! Each requirement is one entry of a table, and a task asks for its own ones before it starts.
//! Nothing that is installed here may leave a daemon running: tests start their own servers.

use std::env;

use crate::error::{Context as _, Error, Result, bail};
use crate::workspace::Workspace;
use crate::{instructions, packages, process, programs, text, valkey};

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
    /// Builds what a task needs of it.
    then: &'static [Build],
}

/// A task, and what builds what it needs.
type Build = (&'static str, fn(&Workspace) -> Result);

/// How to get a program.
#[derive(Debug)]
enum Install {
    Command(&'static [&'static str]),
    /// A package of Debian's, and what else would do.
    Package(&'static str, &'static str),
    /// Into the user's cache, which takes no leave; and what else would do.
    Cached(fn(&Workspace) -> Result, &'static str),
    /// In words, since no command does it everywhere.
    ByHand(&'static str),
}

/// What only the interop tests need, and what can be left out of them.
pub(crate) const GO: &str = "go";

/// What the tests of the Redis backends start, unless the variable names another program.
pub(crate) const REDIS: &str = "redis-server";
pub(crate) const REDIS_BIN: &str = "REDIS_SERVER_BIN";

/// The server whose disk tests wait for.
const VALKEY: &str = "valkey";
const WAITAOF_SINCE: &str = "7.2";

/// Cargo is not in it: it has started this program.
const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        name: "rust",
        why: "builds everything",
        needed_by: &["test"],
        probe: &["rustc", "--version"],
        at_least: Some(env!("CARGO_PKG_RUST_VERSION")),
        install: Install::Command(&["rustup", "update", "stable"]),
        then: &[],
    },
    Requirement {
        name: "clippy",
        why: "lints the code",
        needed_by: &["ci"],
        probe: &["cargo-clippy", "--version"],
        at_least: None,
        install: Install::Command(&["rustup", "component", "add", "clippy"]),
        then: &[],
    },
    Requirement {
        name: "rustfmt",
        why: "formats the code, generated code too",
        needed_by: &["ci", "codegen"],
        probe: &["rustfmt", "--version"],
        at_least: None,
        install: Install::Command(&["rustup", "component", "add", "rustfmt"]),
        then: &[],
    },
    Requirement {
        name: GO,
        why: "builds the programs that the interop tests talk to, and the original's benchmark",
        needed_by: &["test", "bench"],
        probe: &["go", "version"],
        // As go.mod of these programs has it.
        at_least: Some("1.26"),
        install: Install::ByHand(
            "Go 1.26 or later, from go.dev/dl (the packages of Debian 12 and 13 are older); \
             or do without it: `--without go`, for `setup`, `test` and `ci`",
        ),
        then: &[
            ("test", programs::build_interop),
            ("bench", programs::build_bench),
        ],
    },
    Requirement {
        name: "cmake",
        why: "builds what the benchmark's anchors compress with",
        needed_by: &["bench"],
        probe: &["cmake", "--version"],
        at_least: None,
        install: Install::Package("cmake", ""),
        then: &[],
    },
    Requirement {
        name: "redis-benchmark",
        why: "shows what a Redis server can take",
        needed_by: &["bench"],
        probe: &["redis-benchmark", "--version"],
        at_least: None,
        install: Install::Package("redis-tools", ""),
        then: &[],
    },
    Requirement {
        name: "valgrind",
        why: "counts instructions",
        needed_by: &["instructions"],
        probe: &["valgrind", "--version"],
        at_least: None,
        install: Install::Package("valgrind", ""),
        then: &[("instructions", instructions::install)],
    },
    Requirement {
        name: REDIS,
        why: "is started anew by tests, on ports of their own",
        needed_by: &["test", "bench", "chaos"],
        probe: &[REDIS, "--version"],
        at_least: Some("7.0"),
        install: Install::Package(
            REDIS,
            "or any Redis from 7.0 on, or a Valkey: let REDIS_SERVER_BIN name its program",
        ),
        then: &[],
    },
    Requirement {
        name: VALKEY,
        why: "has WAITAOF, which a redis-server before 7.2 lacks",
        needed_by: &["test", "chaos"],
        probe: &[VALKEY, "--version"],
        at_least: Some(WAITAOF_SINCE),
        install: Install::Cached(
            valkey::install,
            "Valkey is unpacked into the cache on Debian; elsewhere let VALKEY_SERVER_BIN name the program of a Redis from 7.2 on, or of a Valkey",
        ),
        then: &[],
    },
];

/// Runs the command line `setup [--install] [--without NAME]...`.
pub(crate) fn command(workspace: &Workspace, args: &[String]) -> Result {
    let options = Options::parse(args)?;
    let install = options.install || is_root(workspace);
    satisfy(workspace, &options.wanted, &|_| true, install)
}

/// Sees to what one task needs, but for what is to be left out.
pub(crate) fn ensure(workspace: &Workspace, task: &str, without: Option<&str>) -> Result {
    let part = |by: &str| task == "ci" || task == by;
    let needed = |requirement: &&Requirement| {
        requirement.needed_by.iter().any(|by| part(by)) && without != Some(requirement.name)
    };
    let wanted: Vec<_> = REQUIREMENTS.iter().filter(needed).collect();
    satisfy(workspace, &wanted, &part, is_root(workspace))
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

/// Checks each requirement, installs the missing ones or says how to, and builds what these tasks need of them.
fn satisfy(
    workspace: &Workspace,
    wanted: &[&Requirement],
    tasks: &dyn Fn(&str) -> bool,
    install: bool,
) -> Result {
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
    let cached = |requirement: &&Requirement| matches!(requirement.install, Install::Cached(..));
    if !missing.iter().all(cached) && !install {
        bail!(
            "something is missing; `cargo xtask setup --install` installs what it can, or by hand:\n\n{}",
            missing
                .iter()
                .map(|requirement| requirement.install.line())
                .collect::<String>()
        );
    }
    for requirement in &missing {
        match requirement.install {
            Install::Command([program, args @ ..]) => {
                process::run(workspace.command(program).args(args))?;
            }
            Install::Cached(install, _) => install(workspace)?,
            Install::Package(package, _)
                if program(workspace, requirement) == requirement.probe[0] =>
            {
                packages::install(workspace, package)?;
            }
            Install::Package(..) | Install::ByHand(_) | Install::Command([]) => bail!(
                "{}: there is no command that installs it\n\n{}",
                program(workspace, requirement),
                requirement.install.line()
            ),
        }
        check(workspace, requirement)
            .context(format_args!("{} after its installation", requirement.name))?;
    }
    for (task, build) in wanted.iter().flat_map(|requirement| requirement.then) {
        if tasks(task) {
            build(workspace)?;
        }
    }
    println!("setup: all is here");
    Ok(())
}

impl Install {
    /// One line that says it.
    fn line(&self) -> String {
        match self {
            Self::Command(words) => format!("    {}\n", words.join(" ")),
            Self::Package(package, "") => format!("    apt-get install {package}\n"),
            Self::Package(package, else_) => format!("    apt-get install {package} ({else_})\n"),
            Self::ByHand(text) | Self::Cached(_, text) => format!("    {text}\n"),
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
    let program = program(workspace, requirement);
    // Whatever makes a probe fail, the program can't be used.
    let output = process::output(workspace.command(program).args(&requirement.probe[1..]))
        .map_err(|_| Error::new("missing"))?;
    let version = version(&output);
    match requirement.at_least {
        Some(oldest) if parts(version) < parts(oldest) => bail!("{version} is older than {oldest}"),
        _ => Ok(version.to_owned()),
    }
}

/// The program to probe.
fn program(workspace: &Workspace, requirement: &Requirement) -> String {
    match requirement.name {
        REDIS => redis(),
        VALKEY => server_with_waitaof(workspace),
        _ => requirement.probe[0].to_owned(),
    }
}

fn redis() -> String {
    named(REDIS_BIN).unwrap_or_else(|| REDIS.to_owned())
}

/// A Redis that has WAITAOF is enough, unless another program is named.
pub(crate) fn server_with_waitaof(workspace: &Workspace) -> String {
    match named(valkey::BIN).is_none() && has_waitaof(workspace, &redis()) {
        true => redis(),
        false => valkey::program(),
    }
}

fn named(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

fn has_waitaof(workspace: &Workspace, server: &str) -> bool {
    let output = process::output(workspace.command(server).arg("--version"));
    output.is_ok_and(|output| parts(version(&output)) >= parts(WAITAOF_SINCE))
}

/// The first word of a program's answer that is a version: `rustc 1.95.0`, `go version go1.26.8`, `valgrind-3.19.0`, `v=7.0.15`.
fn version(output: &str) -> &str {
    let mut words = output.split_whitespace();
    let versions = words.find_map(|word| {
        let leads = ["go", "valgrind-", "v="];
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
            "--without takes one of rust, clippy, rustfmt, go, cmake, redis-benchmark, valgrind, redis-server, valkey, not `java`"
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
            ("Redis server v=7.0.15 sha=00000000:0 bits=64", "7.0.15"),
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
