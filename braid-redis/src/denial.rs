//! Which rule an ACL user misses, by what the server says. Versions have words of their own.

use crate::error::cause;
use braid_core::Error;

/// Which rule of the ACL is missing.
pub(crate) fn denial(text: &str) -> String {
    if text.starts_with("NOAUTH") {
        return "the server wants a password (NOAUTH)".to_owned();
    }
    if text.starts_with("WRONGPASS") {
        return "the server refuses user or password (WRONGPASS)".to_owned();
    }
    let place = if denied_in_script(text) {
        " in a script"
    } else {
        ""
    };
    let quoted = text.split('\'').nth(1);
    match quoted {
        Some(command) if text.contains("run the") => {
            let command = command.to_ascii_lowercase();
            format!(
                "the user may not run `{command}`{place} (NOPERM); the ACL rule `+{command}` would allow it"
            )
        }
        _ if text.contains("channel") => format!(
            "the user may not use this channel{place} (NOPERM); an ACL rule `&pattern` that matches it would allow it"
        ),
        _ if text.contains("key") => format!(
            "the user may not touch this key{place} (NOPERM); an ACL rule `~pattern` that matches it would allow it"
        ),
        _ => {
            // Redis 7.0 doesn't name what a script wanted to run.
            let command = number_behind("user_script:", text)
                .map_or_else(|| format!("a command{place}"), in_line);
            format!(
                "the user may not run {command} (NOPERM); an ACL rule `+command` would allow it"
            )
        }
    }
}

/// The same error, naming the command that the script's user may not run, where the server named only the line of the script.
pub(crate) fn explained(source: &str, failed: Error) -> Error {
    let Some((line, command)) = denied_at(source, &failed) else {
        return failed;
    };
    let text = failed
        .message()
        .replace(&in_line(line), &format!("`{command}` in a script"))
        .replace("`+command`", &format!("`+{command}`"));
    Error::new(failed.kind(), failed.component(), failed.operation(), text).with_source(failed)
}

/// In which line a script's user may not run which command, as ACL rules write it.
fn denied_at(source: &str, failed: &Error) -> Option<(usize, String)> {
    let line = number_behind("the command in line ", &cause(failed)?.text)?;
    let text = source.lines().nth(line.checked_sub(1)?)?;
    let (_, call) = text.split_once("redis.call('")?;
    let mut words = call.split('\'');
    let mut command = words.next()?.to_ascii_lowercase();
    // The only text that stands right behind a command's name is that of a subcommand.
    if words.next() == Some(", ")
        && let Some(subcommand) = words.next()
    {
        command = format!("{command}|{}", subcommand.to_ascii_lowercase());
    }
    Some((line, command))
}

fn in_line(line: usize) -> String {
    format!("the command in line {line} of the script")
}

fn number_behind(mark: &str, text: &str) -> Option<usize> {
    let (_, behind) = text.split_once(mark)?;
    let end = behind.find(|c: char| !c.is_ascii_digit());
    behind[..end.unwrap_or(behind.len())].parse().ok()
}

/// Whether a script's user may not do what the script wanted.
pub(crate) fn denied_in_script(text: &str) -> bool {
    text.contains("ACL failure in script")
        || text.contains("executing the script can't run this command")
        || text.contains("executing the script can't access")
        || text.contains("executing the script can't publish")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::refusal;
    use braid_core::ErrorKind;

    fn refused(text: &str) -> Error {
        refusal("c", "o", "topic `t`", text)
    }

    #[test]
    fn a_missing_rule_is_named_in_every_versions_words() {
        for (text, expected) in [
            (
                "NOPERM this user has no permissions to run the 'xadd' command",
                "+xadd",
            ),
            (
                "NOPERM User alice has no permissions to run the 'xgroup|create' command",
                "+xgroup|create",
            ),
            (
                "NOPERM this user has no permissions to access one of the keys used as arguments",
                "~pattern",
            ),
            ("NOPERM No permissions to access a key", "~pattern"),
            ("NOPERM No permissions to access a channel", "&pattern"),
            (
                "ERR The user executing the script can't run this command or subcommand script: f00, on @user_script:1.",
                "in line 1 of the script",
            ),
            (
                "ERR The user executing the script can't publish to the channel mentioned in the command script: f00, on @user_script:60.",
                "&pattern",
            ),
            (
                "NOPERM ACL failure in script: User alice has no permissions to run the 'get' command script: f00",
                "+get",
            ),
        ] {
            let error = refused(text);
            assert_eq!(error.kind(), ErrorKind::Config, "{text}");
            assert!(error.message().contains(expected), "{error}");
            assert!(error.message().contains("topic `t`"), "{error}");
        }
    }

    #[test]
    fn a_scripts_line_tells_the_command() {
        let source = "local key = KEYS[1]\nredis.call('SET', key, 1)\nif redis.call('XINFO', 'GROUPS', key) then\nreturn call()";
        for (line, expected) in [
            (
                2,
                "may not run `set` in a script (NOPERM); an ACL rule `+set`",
            ),
            (
                3,
                "may not run `xinfo|groups` in a script (NOPERM); an ACL rule `+xinfo|groups`",
            ),
            (
                4,
                "may not run the command in line 4 of the script (NOPERM); an ACL rule `+command`",
            ),
            (
                9,
                "may not run the command in line 9 of the script (NOPERM); an ACL rule `+command`",
            ),
        ] {
            let text = format!(
                "ERR The user executing the script can't run this command or subcommand script: f00, on @user_script:{line}."
            );
            let error = explained(source, refused(&text));
            assert_eq!(error.kind(), ErrorKind::Config);
            assert!(error.message().contains(expected), "{error}");
        }
        let other = explained(source, refused("WRONGTYPE on @user_script:2."));
        assert!(other.message().contains("WRONGTYPE"), "{other}");
    }
}
