//! Real signals, sent to a real process: this test program once more, as a node that has a call under way.

use braid::{Braid, DefaultDirector, ShutdownSection, rpc::Server};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    process::Stdio,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};

/// Set for the process that is the node: how long its call takes, in milliseconds.
const NODE: &str = "BRAID_TEST_NODE";

/// The node: says what happens to it, a line each.
async fn node(work: Duration) {
    let server = Server::listen("127.0.0.1:0").handle("work", move |request| async move {
        println!("working");
        tokio::time::sleep(work).await;
        Ok(request.body)
    });
    let director = DefaultDirector::local()
        .server(server)
        .shutdown(ShutdownSection {
            drain: Duration::from_secs(60),
            ..Default::default()
        });
    let node = Braid::start("worker", "worker-1", director).await.unwrap();
    let caller = node.handle();
    let call = tokio::spawn(async move { caller.send_bytes("worker", "work", (), "done").await });

    node.run().await.unwrap();
    println!("closing");
    node.close().await.unwrap();
    let finished = call.await.unwrap().is_ok();
    println!(
        "the call was {}",
        if finished { "finished" } else { "cut off" }
    );
}

struct Process {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Process {
    fn start(test: &str, work: Duration) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env(NODE, work.as_millis().to_string())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let stdout = child.stdout.take().unwrap();
        Self {
            child,
            lines: BufReader::new(stdout).lines(),
        }
    }

    /// Reads on until the node says this.
    async fn says(&mut self, expected: &str) {
        let said = async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                if line == expected {
                    return;
                }
            }
            panic!("has ended without saying `{expected}`");
        };
        let in_time = tokio::time::timeout(Duration::from_secs(20), said).await;
        assert!(in_time.is_ok(), "doesn't say `{expected}`");
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id().unwrap()).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
    }

    async fn ends_well(mut self) {
        let status = tokio::time::timeout(Duration::from_secs(20), self.child.wait());
        assert!(status.await.expect("doesn't end").unwrap().success());
    }
}

/// Whether this process is the node; then it has been one.
async fn was_node() -> bool {
    let Ok(work) = std::env::var(NODE) else {
        return false;
    };
    node(Duration::from_millis(work.parse().unwrap())).await;
    true
}

#[tokio::test]
async fn the_first_signal_lets_a_call_finish() {
    if was_node().await {
        return;
    }
    for signal in [Signal::TERM, Signal::INT] {
        let name = "signals::the_first_signal_lets_a_call_finish";
        let mut process = Process::start(name, Duration::from_secs(2));
        process.says("working").await;
        process.signal(signal);
        process.says("closing").await;
        process.says("the call was finished").await;
        process.ends_well().await;
    }
}

#[tokio::test]
async fn a_second_signal_forces_the_end() {
    if was_node().await {
        return;
    }
    let name = "signals::a_second_signal_forces_the_end";
    let mut process = Process::start(name, Duration::from_secs(9));
    process.says("working").await;
    process.signal(Signal::TERM);
    process.says("closing").await;
    let forced = Instant::now();
    process.signal(Signal::TERM);
    process.says("the call was cut off").await;
    process.ends_well().await;
    assert!(
        forced.elapsed() < Duration::from_secs(5),
        "{:?}",
        forced.elapsed()
    );
}
