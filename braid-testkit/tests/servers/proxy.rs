//! The proxy makes each fault that it has a name for, and only that.

use braid_testkit::{SETTLED, eventually, eventually_eq, proxy::Proxy, within};
use std::{
    io::ErrorKind,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::timeout,
};

/// Long enough to see that nothing comes.
const SILENCE: Duration = Duration::from_millis(200);

/// Sends back whatever arrives.
struct Echo {
    addr: SocketAddr,
    arrived: Arc<Mutex<Vec<u8>>>,
    open: Arc<AtomicUsize>,
}

impl Echo {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let echo = Self {
            addr: listener.local_addr().unwrap(),
            arrived: Arc::default(),
            open: Arc::default(),
        };
        let (arrived, open) = (Arc::clone(&echo.arrived), Arc::clone(&echo.open));
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let (arrived, open) = (Arc::clone(&arrived), Arc::clone(&open));
                open.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(async move {
                    let mut buffer = [0; 4096];
                    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                        arrived.lock().unwrap().extend(&buffer[..count]);
                        if stream.write_all(&buffer[..count]).await.is_err() {
                            break;
                        }
                    }
                    open.fetch_sub(1, Ordering::Relaxed);
                });
            }
        });
        echo
    }

    fn arrived(&self) -> String {
        String::from_utf8(self.arrived.lock().unwrap().clone()).unwrap()
    }

    fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }
}

async fn started() -> (Echo, Proxy) {
    let echo = Echo::start().await;
    let proxy = Proxy::start(echo.addr).await;
    (echo, proxy)
}

async fn connect(proxy: &Proxy) -> TcpStream {
    TcpStream::connect(proxy.addr()).await.unwrap()
}

async fn ask(client: &mut TcpStream, text: &str) -> std::io::Result<String> {
    client.write_all(text.as_bytes()).await?;
    let mut answer = vec![0; text.len()];
    within(
        "an answer or an end",
        SETTLED,
        client.read_exact(&mut answer),
    )
    .await?;
    Ok(String::from_utf8(answer).unwrap())
}

/// How the next read ends, which brings no bytes.
async fn end(client: &mut TcpStream) -> ErrorKind {
    let read = within("the end", SETTLED, client.read_u8()).await;
    read.expect_err("no bytes").kind()
}

async fn is_silent(client: &mut TcpStream) -> bool {
    timeout(SILENCE, client.read_u8()).await.is_err()
}

#[tokio::test]
async fn bytes_pass_and_are_counted_and_ends_pass_too() {
    let (echo, proxy) = started().await;
    let mut client = connect(&proxy).await;
    assert_eq!(ask(&mut client, "hello").await.unwrap(), "hello");
    assert_eq!(
        (proxy.bytes_from_clients(), proxy.bytes_from_server()),
        (5, 5)
    );
    assert_eq!((proxy.connections(), echo.open()), (1, 1));
    client.shutdown().await.unwrap();
    assert_eq!(end(&mut client).await, ErrorKind::UnexpectedEof);
    eventually_eq("the end of all", SETTLED, (0, 0), async || {
        (proxy.connections(), echo.open())
    })
    .await;
}

#[tokio::test]
async fn delay_is_each_way_and_limits_no_throughput() {
    let (_echo, proxy) = started().await;
    let mut client = connect(&proxy).await;
    ask(&mut client, "hello").await.unwrap();
    let delay = Duration::from_millis(100);
    proxy.delay(delay);
    let started = Instant::now();
    for _ in 0..50 {
        client.write_all(b"x").await.unwrap();
        tokio::task::yield_now().await;
    }
    let mut answers = [0; 50];
    client.read_exact(&mut answers).await.unwrap();
    let took = started.elapsed();
    assert!(took >= 2 * delay && took < 20 * delay, "{took:?}");
    proxy.delay(Duration::ZERO);
    // Again and again, since the machine may be busy.
    eventually("an answer without delay", SETTLED, async || {
        let started = Instant::now();
        ask(&mut client, "hello").await.unwrap();
        started.elapsed() < 2 * delay
    })
    .await;
}

#[tokio::test]
async fn throttle_spreads_bytes_over_time() {
    let (_echo, proxy) = started().await;
    let mut client = connect(&proxy).await;
    proxy.throttle(1_000);
    let started = Instant::now();
    ask(&mut client, &"x".repeat(300)).await.unwrap();
    // Less what passes at once.
    assert!(started.elapsed() >= Duration::from_millis(200));
    proxy.throttle(None);
    eventually("an answer at full speed", SETTLED, async || {
        let started = Instant::now();
        ask(&mut client, &"x".repeat(300)).await.unwrap();
        started.elapsed() < Duration::from_millis(200)
    })
    .await;
}

#[tokio::test]
async fn cut_resets_both_sides_and_takes_new_connections() {
    let (echo, proxy) = started().await;
    let mut client = connect(&proxy).await;
    ask(&mut client, "hello").await.unwrap();
    proxy.cut();
    assert_eq!(end(&mut client).await, ErrorKind::ConnectionReset);
    eventually("the server's end", SETTLED, async || echo.open() == 0).await;
    let mut next = connect(&proxy).await;
    assert_eq!(ask(&mut next, "again").await.unwrap(), "again");
}

#[tokio::test]
async fn refusal_is_for_new_connections_until_it_is_healed() {
    let (_echo, proxy) = started().await;
    let mut before = connect(&proxy).await;
    ask(&mut before, "hello").await.unwrap();
    proxy.refuse();
    assert_eq!(
        end(&mut connect(&proxy).await).await,
        ErrorKind::ConnectionReset
    );
    assert_eq!(ask(&mut before, "still").await.unwrap(), "still");
    proxy.heal();
    assert_eq!(
        ask(&mut connect(&proxy).await, "again").await.unwrap(),
        "again"
    );
}

#[tokio::test]
async fn half_open_connections_are_silent_for_ever() {
    let (echo, proxy) = started().await;
    let mut before = connect(&proxy).await;
    ask(&mut before, "hello").await.unwrap();
    proxy.half_open();
    let mut during = connect(&proxy).await;
    for client in [&mut before, &mut during] {
        client.write_all(b"anybody there?").await.unwrap();
        assert!(is_silent(client).await);
    }
    // The server keeps what it had, and has heard nothing.
    assert_eq!((echo.arrived(), echo.open()), ("hello".to_owned(), 1));
    proxy.heal();
    assert_eq!(
        ask(&mut connect(&proxy).await, "again").await.unwrap(),
        "again"
    );
    assert!(is_silent(&mut before).await && is_silent(&mut during).await);
    drop(before);
    proxy.cut();
    assert_eq!(end(&mut during).await, ErrorKind::ConnectionReset);
    eventually("the end of all", SETTLED, async || echo.open() == 0).await;
}

#[tokio::test]
async fn client_that_gives_up_a_half_open_connection_frees_the_server() {
    let (echo, proxy) = started().await;
    let mut client = connect(&proxy).await;
    ask(&mut client, "hello").await.unwrap();
    proxy.half_open();
    drop(client);
    eventually("the end of all", SETTLED, async || echo.open() == 0).await;
}

#[tokio::test]
async fn marked_request_is_done_and_never_answered() {
    let (echo, proxy) = started().await;
    let (mut client, mut other) = (connect(&proxy).await, connect(&proxy).await);
    proxy.swallow_next_reply_and_cut("XADD");
    assert_eq!(ask(&mut client, "PING").await.unwrap(), "PING");
    client.write_all(b"...XADD...").await.unwrap();
    assert_eq!(end(&mut client).await, ErrorKind::ConnectionReset);
    assert_eq!(echo.arrived(), "PING...XADD...");
    // Once, and on that connection only.
    assert_eq!(ask(&mut other, "XADD").await.unwrap(), "XADD");
    proxy.swallow_next_reply_and_cut("");
    other.write_all(b"any").await.unwrap();
    assert_eq!(end(&mut other).await, ErrorKind::ConnectionReset);
    assert!(echo.arrived().ends_with("any"));
}

#[tokio::test]
async fn client_of_an_absent_server_is_reset() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    drop(listener);
    let proxy = Proxy::start(addr).await;
    assert_eq!(
        end(&mut connect(&proxy).await).await,
        ErrorKind::ConnectionReset
    );
}

#[tokio::test]
async fn dropped_proxy_leaves_no_port_no_connection_and_no_task() {
    let echo = Echo::start().await;
    let before = braid_testkit::alive_tasks();
    let proxy = Proxy::start(echo.addr).await;
    let mut client = connect(&proxy).await;
    ask(&mut client, "hello").await.unwrap();
    let addr = proxy.addr();
    drop(proxy);
    end(&mut client).await;
    assert!(TcpStream::connect(addr).await.is_err());
    eventually_eq("the end of all tasks", SETTLED, before, async || {
        braid_testkit::alive_tasks()
    })
    .await;
}
