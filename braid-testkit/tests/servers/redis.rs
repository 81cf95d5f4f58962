//! Redis servers do what a test asks of them, and leave nothing behind.

use braid_testkit::{
    SETTLED, eventually,
    redis::{Connection, Persistence, RedisServer, Reply, shared},
};
use std::{
    collections::BTreeSet,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
};
use tokio::net::TcpStream;

#[tokio::test]
async fn server_answers_on_its_port() {
    let server = RedisServer::builder().start().await;
    let mut connection = Connection::connect(server.addr()).await.unwrap();
    let pong = Reply::Status("PONG".to_owned());
    assert_eq!(connection.command(&["PING"]).await.unwrap(), pong);
    assert!(server.version().await >= (7, 0, 0));
    assert_eq!(server.url(), format!("redis://127.0.0.1:{}", server.port()));
}

#[tokio::test]
async fn answered_writes_outlive_a_kill_with_persistence_only() {
    for (persistence, kept) in [
        (Persistence::None, ""),
        (Persistence::AofAlways, "value"),
        (Persistence::AofEverysec, "value"),
    ] {
        let server = RedisServer::builder()
            .persistence(persistence)
            .start()
            .await;
        server.command(&["SET", "key", "value"]).await;
        server.kill();
        assert!(server.try_command(&["PING"]).await.is_err());
        assert!(TcpStream::connect(server.addr()).await.is_err());
        server.restart().await;
        let value = server.command(&["GET", "key"]).await.text();
        assert_eq!(value, kept, "{persistence:?}");
    }
}

#[tokio::test]
async fn running_server_is_restarted_where_it_was() {
    let server = RedisServer::builder()
        .persistence(Persistence::AofEverysec)
        .start()
        .await;
    server.command(&["SET", "key", "value"]).await;
    let (addr, process) = (server.addr(), server.process_id());
    server.restart().await;
    assert_eq!(server.addr(), addr);
    assert_ne!(server.process_id(), process);
    assert_eq!(server.command(&["GET", "key"]).await.text(), "value");
    server.stop().await;
    assert_eq!(server.process_id(), None);
    assert!(server.try_command(&["PING"]).await.is_err());
}

#[tokio::test]
async fn paused_server_answers_once_it_is_resumed() {
    let server = RedisServer::builder().start().await;
    let mut connection = server.connect().await.unwrap();
    server.pause();
    let mut answer = Box::pin(connection.command(&["PING"]));
    let pause = std::time::Duration::from_millis(200);
    assert!(tokio::time::timeout(pause, &mut answer).await.is_err());
    server.resume();
    assert_eq!(answer.await.unwrap().text(), "PONG");
    server.pause();
    // Neither a stop nor a drop waits for a frozen process.
    server.stop().await;
}

#[tokio::test]
async fn replica_has_what_its_primary_has_and_can_be_promoted() {
    let primary = RedisServer::builder().password("secret").start().await;
    primary.command(&["SET", "key", "value"]).await;
    let replica = RedisServer::builder().replica_of(&primary).start().await;
    assert_eq!(replica.command(&["GET", "key"]).await.text(), "value");
    assert!(
        replica
            .try_command(&["SET", "key", "other"])
            .await
            .unwrap()
            .is_error()
    );
    replica.promote().await;
    replica.command(&["SET", "key", "other"]).await;
    replica.restart().await;
    assert_eq!(replica.command(&["ROLE"]).await.items()[0].text(), "master");
}

#[tokio::test]
async fn users_are_allowed_what_the_rules_say() {
    let server = RedisServer::builder()
        .acl(&["braid on >secret ~braid:* +get +set"])
        .start()
        .await;
    let mut connection = Connection::connect(server.addr()).await.unwrap();
    let refused = connection.command(&["GET", "braid:key"]).await.unwrap();
    assert!(refused.text().starts_with("NOAUTH"), "{refused:?}");
    let mut as_braid = async |command: &[&str]| connection.command(command).await.unwrap().text();
    assert_eq!(as_braid(&["AUTH", "braid", "secret"]).await, "OK");
    assert_eq!(as_braid(&["SET", "braid:key", "value"]).await, "OK");
    assert!(
        as_braid(&["SET", "key", "value"])
            .await
            .starts_with("NOPERM")
    );
    assert!(as_braid(&["DEL", "braid:key"]).await.starts_with("NOPERM"));
    // The testkit itself may.
    assert_eq!(
        server.command(&["DEL", "braid:key"]).await,
        Reply::Integer(1)
    );
    let url = format!("redis://braid:secret@{}", server.addr());
    assert_eq!(server.url_as("braid", "secret"), url);
}

#[tokio::test]
async fn password_is_asked_for_and_is_in_the_url() {
    let server = RedisServer::builder().password("secret").start().await;
    let mut connection = Connection::connect(server.addr()).await.unwrap();
    assert!(connection.command(&["PING"]).await.unwrap().is_error());
    assert_eq!(
        connection
            .command(&["AUTH", "secret"])
            .await
            .unwrap()
            .text(),
        "OK"
    );
    assert_eq!(
        server.url(),
        format!("redis://default:secret@{}", server.addr())
    );
    assert!(!format!("{server:?}").contains("secret"));
}

#[tokio::test]
#[should_panic(expected = "Bad directive or wrong number of arguments")]
async fn server_that_does_not_start_says_why() {
    RedisServer::builder()
        .config("no-such-setting", "1")
        .start()
        .await;
}

#[tokio::test]
async fn many_servers_start_at_once() {
    let starts = (0..12).map(|_| tokio::spawn(RedisServer::builder().start()));
    let starts: Vec<_> = starts.collect();
    let mut ports = BTreeSet::new();
    for start in starts {
        let server = start.await.unwrap();
        server.command(&["PING"]).await;
        ports.insert(server.port());
    }
    assert_eq!(ports.len(), 12);
}

#[tokio::test]
async fn dropped_server_is_gone_with_its_folder() {
    let server = RedisServer::builder().start().await;
    let (addr, socket) = (server.addr(), server.socket());
    let process = server.process_id().unwrap();
    assert!(is_alive(process) && socket.exists());
    drop(server);
    assert!(!is_alive(process) && !socket.parent().unwrap().exists());
    assert!(TcpStream::connect(addr).await.is_err());
}

#[test]
fn shared_server_is_one_for_all_runtimes() {
    let of_a_new_runtime = || {
        braid_testkit::real_time().block_on(async {
            let server = shared().await;
            server.command(&["PING"]).await;
            server.port()
        })
    };
    assert_eq!(of_a_new_runtime(), of_a_new_runtime());
}

/// Runs as a test program of its own; nothing happens otherwise.
#[tokio::test]
async fn helper_that_is_killed() {
    if std::env::var_os("BRAID_HELPER_THAT_IS_KILLED").is_none() {
        return;
    }
    let persistent = RedisServer::builder().persistence(Persistence::AofAlways);
    let (own, frozen) = (
        persistent.start().await,
        RedisServer::builder().start().await,
    );
    frozen.pause();
    for server in [&own, &frozen, shared().await] {
        println!(
            "server {} {}",
            server.process_id().unwrap(),
            server.socket().display()
        );
    }
    println!("ready");
    // Writing, until it is killed.
    loop {
        own.command(&["APPEND", "key", "more"]).await;
    }
}

#[tokio::test]
async fn killed_test_process_leaves_nothing() {
    let mut helper = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "redis::helper_that_is_killed", "--nocapture"])
        .env("BRAID_HELPER_THAT_IS_KILLED", "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let stdout = BufReader::new(helper.stdout.take().unwrap());
    let lines = stdout.lines().map(Result::unwrap);
    let servers: Vec<_> = lines
        .take_while(|line| line != "ready")
        .filter_map(|line| {
            let (process, socket) = line.strip_prefix("server ")?.split_once(' ')?;
            Some((process.parse::<u32>().ok()?, socket.to_owned()))
        })
        .collect();
    assert_eq!(servers.len(), 3);
    let exists =
        |(process, socket): &(u32, String)| is_alive(*process) || Path::new(socket).exists();
    assert!(servers.iter().all(exists));
    helper.kill().unwrap();
    helper.wait().unwrap();
    eventually("the end of all servers", SETTLED, async || {
        !servers.iter().any(exists)
    })
    .await;
    let root = Path::new(&servers[0].1).ancestors().nth(2).unwrap();
    eventually("the end of all folders", SETTLED, async || !root.exists()).await;
}

/// Whether there is such a process, and it hasn't ended; one that has may wait for init to take note.
fn is_alive(process: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{process}/stat")).is_ok_and(|stat| {
        stat.rsplit_once(')')
            .is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
    })
}
