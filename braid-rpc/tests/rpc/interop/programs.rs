//! The programs: found, run to their end, or talked with while they run.

use crate::support::soon;
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    sync::LazyLock,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};

#[allow(dead_code, reason = "it names the programs of other crates too")]
#[path = "../../../../xtask/src/programs/place.rs"]
mod place;

/// One of them, to be given its arguments.
fn command(program: &str) -> Command {
    static PLACE: LazyLock<PathBuf> = LazyLock::new(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        place::place(root, &place::INTEROP).unwrap()
    });
    let path = PLACE.join(program);
    assert!(
        path.exists(),
        "{} isn't there: `cargo xtask setup` builds it; without Go, `cargo xtask test --without go` leaves the interop tests out",
        path.display()
    );
    let mut command = Command::new(path);
    // Whatever happens to the test, nothing stays behind.
    command.kill_on_drop(true).stdin(Stdio::null());
    command
}

/// What a program that ran to its end has left.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) code: Option<i32>,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

/// Runs a program to its end.
pub(super) async fn run(program: &str, args: &[&str]) -> Ran {
    let output = soon(command(program).args(args).output()).await.unwrap();
    Ran {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Runs one case of the client on grpc-go.
pub(super) async fn call(address: SocketAddr, case: &str) {
    let ran = run("peer", &["call", &address.to_string(), case]).await;
    assert_eq!(ran.code, Some(0), "{case}: {ran:#?}");
}

/// A `peer` that runs, to be talked with. Killed when dropped.
pub(super) struct Peer {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    stdin: ChildStdin,
}

impl Peer {
    pub(super) fn start(args: &[&str]) -> Self {
        let mut child = command("peer")
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            lines: BufReader::new(child.stdout.take().unwrap()).lines(),
            stdin: child.stdin.take().unwrap(),
            child,
        }
    }

    /// A server, and where it listens.
    pub(super) async fn serve(flags: &[&str]) -> (Self, SocketAddr) {
        let mut peer = Self::start(&[&["serve"], flags].concat());
        let line = peer.line().await;
        let address = line.strip_prefix("listening ").unwrap();
        let address = address.parse().unwrap();
        (peer, address)
    }

    /// The next line that it says.
    pub(super) async fn line(&mut self) -> String {
        let line = soon(self.lines.next_line()).await.unwrap();
        line.expect("it ended without a word")
    }

    /// Waits until it says something that begins so; returns the rest of the line.
    pub(super) async fn says(&mut self, start: &str) -> String {
        loop {
            if let Some(rest) = self.line().await.strip_prefix(start) {
                return rest.to_owned();
            }
        }
    }

    pub(super) async fn tell(&mut self, command: &str) {
        let line = format!("{command}\n");
        self.stdin.write_all(line.as_bytes()).await.unwrap();
    }

    /// Waits until it has ended well.
    pub(super) async fn ended(mut self) {
        let status = soon(self.child.wait()).await.unwrap();
        assert!(status.success(), "{status}");
    }

    /// Kills it, and waits until it is gone.
    pub(super) async fn kill(mut self) {
        soon(self.child.kill()).await.unwrap();
    }
}
