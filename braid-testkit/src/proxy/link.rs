//! One client's connection, and the one to the server behind it.

use super::state::{Counter, Door, Shared};
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::mpsc,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;

/// How many pieces may be on their way while they are delayed.
const UNDER_WAY: usize = 1024;
const PIECE: usize = 16 * 1024;

#[derive(Debug, Default)]
pub(super) struct Link {
    pub(super) cut: CancellationToken,
    /// Nothing passes ever again, and nobody is told.
    silent: AtomicBool,
    /// What comes from the server next is swallowed, and the link cut.
    swallows: AtomicBool,
}

impl Link {
    pub(super) fn silence(&self) {
        self.silent.store(true, Ordering::Release);
    }

    fn is_silent(&self) -> bool {
        self.silent.load(Ordering::Acquire)
    }
}

/// Serves a client until one side has gone.
pub(super) async fn run(mut client: TcpStream, shared: Arc<Shared>) {
    let (link, door) = shared.admit();
    match door {
        Door::Refuse => reset(&client),
        Door::Silent => {
            link.silence();
            tokio::select! {
                () = link.cut.cancelled() => reset(&client),
                () = swallow(&mut client, &shared.from_clients) => {}
            }
        }
        Door::Open => {
            let Ok(mut server) = TcpStream::connect(shared.server).await else {
                return reset(&client);
            };
            // Fails only for a connection that has ended; then the first read says so.
            let _ = (client.set_nodelay(true), server.set_nodelay(true));
            tokio::select! {
                biased;
                () = link.cut.cancelled() => {
                    reset(&client);
                    reset(&server);
                }
                _ = pass(&mut client, &mut server, &link, &shared) => {}
            }
        }
    }
}

/// Makes the end of a connection a reset.
fn reset(stream: &TcpStream) {
    // Fails only for a connection that has ended.
    let _ = stream.set_zero_linger();
}

/// Reads until the client has gone.
async fn swallow(client: &mut TcpStream, counter: &Counter) {
    let mut buffer = vec![0; PIECE];
    while let Ok(count @ 1..) = client.read(&mut buffer).await {
        counter.add(count);
    }
}

/// Passes on what both sides send, until both have ended or one fails.
async fn pass(
    client: &mut TcpStream,
    server: &mut TcpStream,
    link: &Link,
    shared: &Shared,
) -> io::Result<()> {
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let requests = one_way(from_client, to_server, link, shared, true);
    let replies = one_way(from_server, to_client, link, shared, false);
    tokio::try_join!(requests, replies)?;
    Ok(())
}

/// A piece on its way.
struct Piece {
    due: Instant,
    bytes: Vec<u8>,
    /// Its answer is to be swallowed.
    marked: bool,
}

async fn one_way(
    from: ReadHalf<'_>,
    to: WriteHalf<'_>,
    link: &Link,
    shared: &Shared,
    requests: bool,
) -> io::Result<()> {
    let (sender, pieces) = mpsc::channel(UNDER_WAY);
    let read = read(from, sender, link, shared, requests);
    tokio::try_join!(read, write(to, pieces, link, shared))?;
    Ok(())
}

async fn read(
    mut from: ReadHalf<'_>,
    pieces: mpsc::Sender<Piece>,
    link: &Link,
    shared: &Shared,
    requests: bool,
) -> io::Result<()> {
    let counter = if requests {
        &shared.from_clients
    } else {
        &shared.from_server
    };
    let mut buffer = vec![0; PIECE];
    loop {
        let count = from.read(&mut buffer).await?;
        if count == 0 {
            // A client that gives up a silent connection takes the server's along: nobody else would ever close it.
            return match requests && link.is_silent() {
                true => Err(io::ErrorKind::ConnectionAborted.into()),
                false => Ok(()),
            };
        }
        counter.add(count);
        if link.is_silent() {
            continue;
        }
        if !requests && link.swallows.load(Ordering::Acquire) {
            link.cut.cancel();
            continue;
        }
        let bytes = buffer[..count].to_vec();
        // On its own, since the next look takes the lock again.
        let delay = shared.state().delay;
        let piece = Piece {
            due: Instant::now() + delay,
            marked: requests && shared.is_marked(&bytes),
            bytes,
        };
        // The writer ends before only with an error, which ends this too.
        let _ = pieces.send(piece).await;
    }
}

async fn write(
    mut to: WriteHalf<'_>,
    mut pieces: mpsc::Receiver<Piece>,
    link: &Link,
    shared: &Shared,
) -> io::Result<()> {
    while let Some(piece) = pieces.recv().await {
        if piece.due > Instant::now() {
            sleep_until(piece.due).await;
        }
        if piece.marked {
            // Before the server can answer.
            link.swallows.store(true, Ordering::Release);
        }
        let mut rest = &piece.bytes[..];
        while !rest.is_empty() && !link.is_silent() {
            let throttle = shared.state().throttle.map(|throttle| throttle.max(1));
            // Twenty times a second, unless that is less than a byte.
            let part = throttle.map_or(PIECE, |throttle| (throttle as usize / 20).max(1));
            let (now, later) = rest.split_at(part.min(rest.len()));
            to.write_all(now).await?;
            rest = later;
            if let Some(throttle) = throttle {
                sleep(Duration::from_secs_f64(
                    now.len() as f64 / f64::from(throttle),
                ))
                .await;
            }
        }
    }
    match link.is_silent() {
        true => Ok(()),
        false => to.shutdown().await,
    }
}
