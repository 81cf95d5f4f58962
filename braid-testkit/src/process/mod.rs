//! Processes of tests, and their folders (feature `redis`, Unix only): nothing of them outlives the test process, however that ends.

mod port;
mod watchdog;

pub(crate) use self::port::free_port;

use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};
use tokio::time::sleep;

/// Between two looks at a process.
pub(crate) const LOOK: Duration = Duration::from_millis(5);

/// A running program. Dropping it kills it (SIGKILL) and waits for its end.
#[derive(Debug)]
pub struct Process(Child);

impl Process {
    /// Starts a program in a folder. It has nothing to read, and all that it writes is appended to the file `log`.
    ///
    /// # Errors
    /// When the program isn't there, or the file can't be written to.
    pub fn start(command: &mut Command, folder: &Folder, log: &str) -> io::Result<Self> {
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(folder.path().join(log))?;
        command
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        watchdog::spawn(command).map(Self)
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// How it ended, if it has.
    ///
    /// # Panics
    /// Never: it is a child of this process.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().expect("it is a child of this process")
    }

    /// Freezes it (SIGSTOP).
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Thaws it (SIGCONT).
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.0);
        // It may have ended just now; then there is nobody to tell, and its id is not another's before it was waited for.
        let _ = kill_process(pid, signal);
    }

    /// Asks it to end and waits until it has, at most this long. Whether it has.
    pub(crate) async fn terminate(mut self, at_most: Duration) -> bool {
        self.signal(Signal::TERM);
        // A frozen one hears nothing.
        self.signal(Signal::CONT);
        let deadline = Instant::now() + at_most;
        while self.ended().is_none() {
            if Instant::now() > deadline {
                return false;
            }
            sleep(LOOK).await;
        }
        true
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only if it has ended before.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A temporary folder. Dropping it removes it.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// A new one, which is empty.
    ///
    /// # Errors
    /// When the system's temporary folder can't be written to.
    pub fn create() -> io::Result<Self> {
        watchdog::folder().map(Self)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The last lines of a file in it; none when there is no such file.
    #[must_use]
    pub fn tail(&self, file: &str) -> String {
        const LINES: usize = 20;
        let text = fs::read(self.0.join(file)).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(LINES)..].join("\n")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A child of the killed server, such as one that rewrites a file, may live a moment longer; what stays is removed at the
        // end of this process.
        for _ in 0..10 {
            match fs::remove_dir_all(&self.0) {
                Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {}
                _ => return,
            }
        }
    }
}
