//! Scripts, and what an error tells.

use crate::{command, connect, values};
use braid_core::ErrorKind;
use braid_redis::{Script, Value, code, keys::slot, reply};
use braid_testkit::redis::shared;

static APPEND: Script = Script::new("append", "return redis.call('APPEND', KEYS[1], ARGV[1])");

#[tokio::test]
async fn a_script_runs_after_the_server_forgot_it() {
    let server = shared().await;
    let redis = connect(server.url()).await;
    let run = async || {
        let frame = redis
            .run(
                &APPEND,
                slot(b"script"),
                values(&["script"]),
                values(&["x"]),
            )
            .await
            .expect("it runs");
        reply::as_int(&frame)
    };
    for expected in 1..=4 {
        if expected == 3 {
            server.command(&["SCRIPT", "FLUSH"]).await;
        }
        assert_eq!(run().await, Some(expected));
    }
}

#[tokio::test]
async fn a_scripts_error_names_the_script() {
    static FAULTY: Script = Script::new("faulty", "return redis.call('INCR', KEYS[1])");
    let redis = connect(shared().await.url()).await;
    command(&redis, "SET", &["faulty", "text"])
        .await
        .expect("it may be set");
    let error = redis
        .run(&FAULTY, slot(b"faulty"), values(&["faulty"]), Vec::new())
        .await
        .expect_err("no number");
    assert_eq!(error.operation(), "faulty");
    assert_eq!(error.kind(), ErrorKind::Rejected);
}

#[tokio::test]
async fn refusals_have_kinds_and_codes() {
    let redis = connect(shared().await.url()).await;
    command(&redis, "SET", &["kinds", "text"])
        .await
        .expect("it may be set");
    let at = slot(b"kinds");
    let error = redis
        .command("XADD", at, values(&["kinds", "*", "a", "b"]))
        .await
        .expect_err("no stream");
    assert_eq!(
        (error.kind(), code(&error)),
        (ErrorKind::Conflict, Some("WRONGTYPE"))
    );
    let args = values(&["GROUP", "g", "c", "STREAMS", "kinds-none", ">"]);
    let error = redis
        .command("XREADGROUP", at, args)
        .await
        .expect_err("no group");
    assert_eq!(
        (error.kind(), code(&error)),
        (ErrorKind::NotFound, Some("NOGROUP"))
    );
    let error = redis
        .command("NOSUCH", at, values(&["s3cr3t-token"]))
        .await
        .expect_err("no such command");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    let text = format!("{error} {error:?}");
    assert!(!text.contains("s3cr3t"), "{text}");
}

#[tokio::test]
async fn any_bytes_are_a_key() {
    let redis = connect(shared().await.url()).await;
    let key = Value::Bytes(bytes::Bytes::from_static(b"\0{}\xff\r\n*1 \xc3("));
    let args = vec![key.clone(), "v".into()];
    redis
        .command("SET", 0, args)
        .await
        .expect("any key will do");
    let frame = redis
        .command("GET", 0, vec![key])
        .await
        .expect("it is there");
    assert_eq!(reply::as_text(&frame), Some("v"));
}
