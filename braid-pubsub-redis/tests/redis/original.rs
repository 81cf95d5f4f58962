//! A program of the original, braid-go, that runs. `cargo xtask test` builds it. Tests of other crates use this too.

use crate::place;
use braid_testkit::{SETTLED, within};
use std::{path::Path, process::Stdio};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};

/// A program of braid-go's that runs. Killed when dropped.
pub(crate) struct Original {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    stdin: ChildStdin,
}

impl Original {
    pub(crate) fn start(args: &[&str]) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .expect("it is a member");
        let place = place::place(root, &place::ORIGINAL);
        let program = place.expect("there is a home").join("original");
        assert!(
            program.exists(),
            "{} isn't there: `cargo xtask setup` builds it; without Go, `cargo xtask test --without go` leaves the interop tests out",
            program.display()
        );
        let mut child = Command::new(program)
            .args(args)
            .kill_on_drop(true)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it can be run");
        Self {
            lines: BufReader::new(child.stdout.take().expect("it is piped")).lines(),
            stdin: child.stdin.take().expect("it is piped"),
            child,
        }
    }

    /// The next line that it says, which has to begin so; gives the rest of it.
    pub(crate) async fn says(&mut self, start: &str) -> String {
        let line = within(start, SETTLED, self.lines.next_line()).await;
        let line = line.expect("it writes text").expect("it runs");
        let rest = line.strip_prefix(start);
        rest.expect("it says nothing else").trim_start().to_owned()
    }

    /// Tells it something, in a line.
    pub(crate) async fn tell(&mut self, line: &str) {
        let line = format!("{line}\n");
        self.stdin
            .write_all(line.as_bytes())
            .await
            .expect("it runs");
    }

    /// Closes its input, and waits for its end.
    pub(crate) async fn ended(mut self) {
        drop(self.stdin);
        let status = within("its end", SETTLED, self.child.wait()).await;
        assert!(status.expect("it is a child").success());
    }
}
