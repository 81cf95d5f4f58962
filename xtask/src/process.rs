//! Running other programs.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use crate::error::{Context as _, Result, bail};

/// Runs a command, its output going where ours goes.
pub(crate) fn run(command: &mut Command) -> Result {
    println!("$ {}", line(command));
    let status = command.status().context(line(command))?;
    if !status.success() {
        bail!("`{}` failed: {status}", line(command));
    }
    Ok(())
}

/// Runs a command and shows each line of its standard output to `see` as well as to the reader. Its
/// standard error goes where ours goes, so that progress bars stay alive.
pub(crate) fn stream(command: &mut Command, mut see: impl FnMut(&str)) -> Result<ExitStatus> {
    println!("$ {}", line(command));
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .context(line(command))?;
    if let Some(stdout) = child.stdout.take() {
        let mut stdout = BufReader::new(stdout);
        let mut bytes = Vec::new();
        // Bytes, not `lines()`: a test may print what is no UTF-8, and that must not end the run.
        while stdout
            .read_until(b'\n', &mut bytes)
            .context(line(command))?
            > 0
        {
            let text = String::from_utf8_lossy(&bytes);
            print!("{text}");
            see(text.trim_end());
            bytes.clear();
        }
    }
    child.wait().context(line(command))
}

/// Runs a command and returns what it wrote to its standard output; the rest is shown only if it
/// fails.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command.output().context(line(command))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!(
            "`{}` failed: {}\n{}",
            line(command),
            output.status,
            stderr.trim_end()
        );
    }
    String::from_utf8(output.stdout).context(format_args!("the output of `{}`", line(command)))
}

/// The command as one would type it.
fn line(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let words = program.file_stem().into_iter().chain(command.get_args());
    words
        .map(OsStr::to_string_lossy)
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cargo() -> Command {
        Command::new(env!("CARGO"))
    }

    #[test]
    fn streamed_lines_are_seen_and_the_status_returned() {
        let mut seen = Vec::new();
        let status = stream(cargo().arg("--version"), |line| seen.push(line.to_owned())).unwrap();
        assert!(status.success());
        assert!(seen.len() == 1 && seen[0].starts_with("cargo "), "{seen:?}");
    }

    #[test]
    fn a_failure_names_the_command() {
        let error = output(cargo().arg("no-such-command")).unwrap_err();
        let message = error.message().unwrap();
        assert!(
            message.starts_with("`cargo no-such-command` failed: exit status: 101\n"),
            "{message}"
        );
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = output(&mut Command::new("no-such-program")).unwrap_err();
        assert!(
            error.message().unwrap().starts_with("no-such-program: "),
            "{error:?}"
        );
    }
}
