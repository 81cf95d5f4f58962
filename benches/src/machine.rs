//! Where and when a run took place, without names of hosts.

use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};
use std::{fs, thread};

/// `2 cores of Intel(R) Xeon(R) Processor, linux, rustc 1.95.0`.
#[must_use]
pub fn shape() -> String {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    // Only Linux tells in a file.
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = model(&info).unwrap_or(std::env::consts::ARCH);
    let system = std::env::consts::OS;
    let rustc = rustc().unwrap_or_else(|| "an unknown rustc".to_owned());
    format!("{cores} cores of {model}, {system}, {rustc}")
}

/// Today, in UTC: `2026-01-31`.
#[must_use]
pub fn date() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    date_of(now.map_or(0, |since| since.as_secs() / 86_400))
}

fn model(info: &str) -> Option<&str> {
    let line = info.lines().find(|line| line.starts_with("model name"))?;
    line.split_once(':').map(|(_, model)| model.trim())
}

fn rustc() -> Option<String> {
    let output = Command::new("rustc").arg("--version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let words: Vec<_> = text.split_whitespace().take(2).collect();
    Some(words.join(" ")).filter(|words| !words.is_empty())
}

/// The date of a day, counted from 1970-01-01.
fn date_of(days: u64) -> String {
    // Howard Hinnant's `civil_from_days`: years begin in March, so that the leap day is the last.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next_year) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    format!("{:04}-{month:02}-{day:02}", year + era * 400 + next_year)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_have_their_dates() {
        for (days, date) in [
            (0, "1970-01-01"),
            (11_016, "2000-02-29"),
            (11_017, "2000-03-01"),
            (20_453, "2025-12-31"),
            (20_454, "2026-01-01"),
        ] {
            assert_eq!(date_of(days), date);
        }
    }

    #[test]
    fn the_processor_is_named() {
        let info = "processor\t: 0\nmodel name\t: Some Processor\nmodel name\t: Other\n";
        assert_eq!(model(info), Some("Some Processor"));
        assert_eq!(model("processor: 0"), None);
    }
}
