//! One small process that outlives this one by a moment, and takes the servers and their folders with it.
//!
//! It leads a process group which every server joins before it runs its program, and reads a pipe whose other end only this process
//! has. When this process is gone, whatever ended it, the pipe ends, and the watchdog removes the folders and kills its group, itself
//! included. There is no gap: a child that hasn't joined the group yet still holds the pipe.
//!
//! The alternative, a signal at the parent's death, is of the thread that started the child, needs unsafe code, and removes no folder.

use std::{
    fs,
    hash::{BuildHasher, RandomState},
    io,
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

/// A frozen server in a group that nobody leads any more makes the system hang the group up: hence the trap. A server that is still
/// alive may write a file meanwhile: hence the repetition.
const SCRIPT: &str = r#"
trap '' HUP INT QUIT TERM
while read -r _; do :; done
n=0
until rm -rf -- "$1" || [ "$n" -ge 100 ]; do n=$((n + 1)); done
kill -KILL 0
"#;

static WATCHDOG: OnceLock<Watchdog> = OnceLock::new();

struct Watchdog {
    /// Its standard input is the pipe, which is open as long as this is.
    shell: Mutex<Child>,
    /// Where all folders are.
    root: PathBuf,
    folders: AtomicU32,
}

/// Starts a program that the watchdog looks after.
pub(super) fn spawn(command: &mut Command) -> io::Result<Child> {
    let mut shell = watchdog()
        .shell
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    if let Some(status) = shell.try_wait()? {
        let message = format!("the watchdog of the test's servers has ended: {status}");
        return Err(io::Error::other(message));
    }
    let group = i32::try_from(shell.id()).expect("process ids are positive i32");
    command.process_group(group).spawn()
}

/// A new folder that the watchdog looks after.
pub(super) fn folder() -> io::Result<PathBuf> {
    let watchdog = watchdog();
    let number = watchdog.folders.fetch_add(1, Ordering::Relaxed);
    let folder = watchdog.root.join(number.to_string());
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

fn watchdog() -> &'static Watchdog {
    WATCHDOG.get_or_init(|| {
        // Short: the path of a Unix socket has hardly more than a hundred bytes.
        let name = format!("braid-{:08x}", RandomState::new().hash_one(0) as u32);
        let root = std::env::temp_dir().join(name);
        let shell = Command::new("sh")
            .args(["-c", SCRIPT, "sh"])
            .arg(&root)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .current_dir("/")
            .process_group(0)
            .spawn()
            .expect("`sh` is on the PATH of every Unix");
        Watchdog {
            shell: Mutex::new(shell),
            root,
            folders: AtomicU32::new(0),
        }
    })
}
