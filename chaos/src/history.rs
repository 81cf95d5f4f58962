//! What a process tells of itself: lines in a file, each there before the process goes on.

use crate::Result;
use rustix::time::{ClockId, clock_gettime};
use std::{
    fmt,
    fs::{File, OpenOptions},
    io::{Read as _, Write as _},
    path::Path,
};

/// A moment on the clock that all processes of a machine share, in microseconds since the machine was started.
pub(crate) type Moment = u64;

/// The present moment.
pub(crate) fn now() -> Moment {
    let time = clock_gettime(ClockId::Monotonic);
    let (seconds, nanoseconds) = (time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs());
    seconds * 1_000_000 + nanoseconds / 1_000
}

/// One line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Record<'a> {
    /// The publish of this message was acked.
    Acked(usize, Moment),
    /// The publish of this message failed so that it may have happened.
    Unsure(usize, Moment),
    /// This message was handed out, for the how-manieth time.
    Handed(usize, u32, Moment),
    /// Something went wrong, for people.
    Fault(&'a str),
}

impl fmt::Display for Record<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Acked(number, at) => write!(f, "+ {number} {at}"),
            Self::Unsure(number, at) => write!(f, "? {number} {at}"),
            Self::Handed(number, attempt, at) => write!(f, "> {number} {attempt} {at}"),
            Self::Fault(text) => write!(f, "! {}", text.replace('\n', " ")),
        }
    }
}

impl<'a> Record<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (kind, rest) = line.split_once(' ')?;
        if kind == "!" {
            return Some(Self::Fault(rest));
        }
        let mut words = rest.split(' ');
        let number = words.next()?.parse().ok()?;
        let record = match kind {
            "+" => Self::Acked(number, words.next()?.parse().ok()?),
            "?" => Self::Unsure(number, words.next()?.parse().ok()?),
            ">" => {
                let attempt = words.next()?.parse().ok()?;
                Self::Handed(number, attempt, words.next()?.parse().ok()?)
            }
            _ => return None,
        };
        words.next().is_none().then_some(record)
    }
}

/// The writing end.
#[derive(Debug)]
pub(crate) struct History(File);

impl History {
    pub(crate) fn create(path: &Path) -> Result<Self> {
        let file = OpenOptions::new().create_new(true).append(true).open(path);
        Ok(Self(
            file.map_err(|error| format!("{}: {error}", path.display()))?,
        ))
    }

    /// Writes a line. When this returns, the line outlives the process.
    pub(crate) fn write(&self, record: Record<'_>) -> Result<()> {
        // One write a line, and no buffer that would die with the process.
        let line = format!("{record}\n");
        (&self.0)
            .write_all(line.as_bytes())
            .map_err(|error| format!("the history: {error}").into())
    }
}

/// The reading end, which goes on where it stopped.
#[derive(Debug)]
pub(crate) struct Tail {
    file: File,
    /// A line whose end isn't there yet, and may never be.
    rest: Vec<u8>,
}

impl Tail {
    /// The history at `path`, which may not have begun.
    pub(crate) fn open(path: &Path) -> Option<Self> {
        let file = File::open(path).ok()?;
        Some(Self {
            file,
            rest: Vec::new(),
        })
    }

    /// Gives all lines that were written since the last time; how many.
    pub(crate) fn read(&mut self, mut see: impl FnMut(Record<'_>)) -> Result<usize> {
        let mut count = 0;
        self.file.read_to_end(&mut self.rest)?;
        let Some(end) = self.rest.iter().rposition(|byte| *byte == b'\n') else {
            return Ok(0);
        };
        let whole = str::from_utf8(&self.rest[..end])?;
        for line in whole.split('\n') {
            let record = Record::parse(line);
            see(record.ok_or_else(|| format!("a history holds `{line}`"))?);
            count += 1;
        }
        self.rest.drain(..=end);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use braid_testkit::process::Folder;

    #[test]
    fn what_was_written_is_read_once() {
        let folder = Folder::create().unwrap();
        let path = folder.path().join("history");
        assert!(Tail::open(&path).is_none());
        let history = History::create(&path).unwrap();
        let mut tail = Tail::open(&path).unwrap();
        let mut seen = Vec::new();
        for record in [
            Record::Acked(1, 10),
            Record::Unsure(2, 20),
            Record::Handed(3, 1, 30),
            Record::Fault("the\nmoon"),
        ] {
            history.write(record).unwrap();
            let mut see = |record: Record<'_>| seen.push(record.to_string());
            assert_eq!(tail.read(&mut see).unwrap(), 1);
            assert_eq!(tail.read(&mut see).unwrap(), 0);
        }
        assert_eq!(seen, ["+ 1 10", "? 2 20", "> 3 1 30", "! the moon"]);
    }

    #[test]
    fn half_a_line_is_none_and_what_is_no_record_is_refused() {
        let folder = Folder::create().unwrap();
        let path = folder.path().join("history");
        let mut file = File::create(&path).unwrap();
        let mut tail = Tail::open(&path).unwrap();
        file.write_all(b"+ 1 10\n+ 12").unwrap();
        assert_eq!(tail.read(|_| {}).unwrap(), 1);
        assert_eq!(tail.read(|_| {}).unwrap(), 0);
        file.write_all(b"3 10\n").unwrap();
        let see = |record: Record<'_>| assert_eq!(record, Record::Acked(123, 10));
        assert_eq!(tail.read(see).unwrap(), 1);
        file.write_all(b"+ 1 10 5\n").unwrap();
        let error = tail.read(|_| {}).unwrap_err();
        assert_eq!(error.to_string(), "a history holds `+ 1 10 5`");
    }
}
