//! The short forms of the scenarios. One that fails prints its seed.

use serde_json::Value;
use std::process::{Command, Output};

fn chaos(line: &str) -> Output {
    let mut chaos = Command::new(env!("CARGO_BIN_EXE_chaos"));
    let output = chaos.args(line.split_whitespace()).output();
    output.expect("the program was built for this test")
}

/// The verdict of a run whose promise held.
fn held(line: &str) -> Value {
    let output = chaos(line);
    let (stdout, stderr) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{stdout}\n{stderr}");
    serde_json::from_str(&stdout).expect("one JSON object and nothing else")
}

#[test]
fn killed_consumers_on_redis_lose_nothing() {
    let verdict = held("--scenario pubsub-kill --messages 20000 --kills 5");
    assert_eq!(verdict["lost"], 0);
    assert_eq!(verdict["kills"], 5);
    assert_eq!(verdict["published"], 20_000);
    assert_eq!(verdict["delivered"]["audit"], 20_000);
    assert_eq!(verdict["delivered"]["mail"], 20_000);
}

#[test]
fn failovers_of_redis_lose_nothing_replicated() {
    let verdict = held("--scenario pubsub-failover --messages 4000 --kills 1");
    assert_eq!(verdict["lost"]["replicated"], 0);
    assert_eq!(verdict["kills"], 1);
    for level in ["fast", "replicated"] {
        assert!(verdict["published"][level].as_u64() > Some(0), "{verdict}");
    }
    assert!(verdict["lost"]["fast"].is_u64(), "{verdict}");
    // As the server has it.
    assert_eq!(
        verdict["lost"]["durable"].is_null(),
        verdict["published"]["durable"].is_null()
    );
}

#[test]
fn what_is_not_known_is_an_error_that_names_it() {
    let output = chaos("--scenario moon");
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        stderr.starts_with("error: there is no scenario `moon`\n"),
        "{stderr}"
    );
}
