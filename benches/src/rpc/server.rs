//! The other side of every call: tonic's own server, in a process of its own.

use std::io::{BufRead as _, BufReader, Read as _, Write as _, stdin, stdout};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};

use tokio::net::TcpListener;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use crate::Result;
use crate::echo::Payload;
use crate::echo::echo_server::{Echo, EchoServer};

/// The argument that makes a program of this package a server.
pub const SERVE: &str = "serve";

struct Same;

#[tonic::async_trait]
impl Echo for Same {
    async fn echo(&self, request: Request<Payload>) -> Result<Response<Payload>, Status> {
        Ok(Response::new(request.into_inner()))
    }
}

/// Serves on a port of its own, which it prints, until its standard input ends.
///
/// # Errors
/// There is no port, or the server fails.
pub fn serve() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        println!("{}", listener.local_addr()?);
        stdout().flush()?;
        let (end, ended) = tokio::sync::oneshot::channel();
        // A thread, since nothing else can wait for the standard input. It ends with the process.
        std::thread::spawn(move || {
            let _ = stdin().read_to_end(&mut Vec::new());
            let _ = end.send(());
        });
        tokio::select! {
            served = serve_on(listener) => served,
            _ = ended => Ok(()),
        }
    })
}

/// Serves on a port of its own, on the caller's runtime and as long as that runs.
pub(super) async fn serve_beside() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(serve_on(listener));
    Ok(address)
}

async fn serve_on(listener: TcpListener) -> Result<()> {
    let serving = tonic::transport::Server::builder()
        .add_service(EchoServer::new(Same))
        .serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true)));
    Ok(serving.await?)
}

/// A running server. It ends when this is dropped, and when this process dies.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    pub(super) fn start() -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg(SERVE)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        let printed = child.stdout.take();
        let printed = printed.map(|stdout| BufReader::new(stdout).read_line(&mut line));
        printed.transpose()?;
        let address = line.trim().parse();
        let address = address.map_err(|_| format!("the echo server printed no address: {line}"))?;
        Ok(Self { child, address })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        // It ends by itself; whether it ended well is of no interest any more.
        let _ = self.child.wait();
    }
}
