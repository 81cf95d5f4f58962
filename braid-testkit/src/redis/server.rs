//! One Redis server.

use super::{
    builder::{Admin, Builder, Mode, SOCKET},
    connection::Connection,
    reply::Reply,
    tls,
};
use crate::process::{Folder, LOOK, Process, free_port};
use rustix::process::Signal;
use std::{
    fmt, fs, io,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::Command,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::time::{sleep, timeout};

/// Far more than a start, an end or an answer takes, on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often a start is tried when another process takes the port first.
const ATTEMPTS: usize = 10;

const LOG: &str = "redis.log";
const CONFIG: &str = "redis.conf";

/// A Redis server on a loopback port, with a folder of its own. Dropping it kills it and removes the folder.
///
/// What it does is meant for tests, so it panics where it fails.
pub struct RedisServer {
    // Before the folder: dropped first.
    process: Mutex<Option<Process>>,
    folder: Folder,
    port: u16,
    admin: Option<Admin>,
    password: Option<String>,
    replica: bool,
    tls: bool,
    mode: Mode,
    program: Option<PathBuf>,
}

impl RedisServer {
    /// A server that keeps nothing, asks for no password, and has no TLS, unless said otherwise.
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(super) async fn start(builder: Builder) -> io::Result<Self> {
        for _ in 0..ATTEMPTS {
            let server = Self {
                process: Mutex::default(),
                folder: Folder::create()?,
                port: free_port(),
                admin: builder.admin(),
                password: builder.password.clone(),
                replica: builder.replica,
                tls: builder.tls,
                mode: builder.mode,
                program: builder.program.clone(),
            };
            if server.tls {
                tls::write_files(server.folder.path()).expect("the folder is new");
            }
            let text = builder.text(server.port, server.admin());
            fs::write(server.folder.path().join(CONFIG), text).expect("the folder is new");
            match server.launch().await {
                Ok(()) => return Ok(server),
                Err(log) if log.contains("Address already in use") => {}
                Err(log) => {
                    return Err(io::Error::other(format!(
                        "{} doesn't start: {log}",
                        server.program().display()
                    )));
                }
            }
        }
        Err(io::Error::other(format!(
            "{ATTEMPTS} ports in turn were taken by others just when a server was started"
        )))
    }

    /// The port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address of the port.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// `redis://127.0.0.1:port`, or `rediss://` for TLS, with the default user's password if it has one.
    #[must_use]
    pub fn url(&self) -> String {
        match &self.password {
            Some(password) => self.url_as("default", password),
            None => format!("{}://{}", self.scheme(), self.addr()),
        }
    }

    /// The URL for another user.
    #[must_use]
    pub fn url_as(&self, user: &str, password: &str) -> String {
        format!("{}://{user}:{password}@{}", self.scheme(), self.addr())
    }

    /// The certificate of the authority that the server's is from, in PEM.
    ///
    /// # Panics
    /// When the server has no TLS.
    #[must_use]
    pub fn tls_ca_pem_file(&self) -> PathBuf {
        assert!(self.tls, "{self:?} has no TLS");
        self.folder.path().join(tls::AUTHORITY)
    }

    /// The server's socket in the file system. It takes no TLS, but asks for a password too.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join(SOCKET)
    }

    /// The last lines that it wrote, for whoever wonders about a failed test.
    #[must_use]
    pub fn log(&self) -> String {
        self.folder.tail(LOG)
    }

    /// The id of the process; none while there is no process.
    #[must_use]
    pub fn process_id(&self) -> Option<u32> {
        self.process().as_ref().map(Process::id)
    }

    /// What Redis's version the server's commands are those of.
    ///
    /// # Panics
    /// When it doesn't answer.
    pub async fn version(&self) -> (u32, u32, u32) {
        let reply = self.command(&["INFO", "server"]).await;
        let version = reply.field("redis_version").unwrap_or_default();
        let mut parts = version.split('.').map(|part| part.parse().unwrap_or(0));
        let mut next = || parts.next().unwrap_or(0);
        (next(), next(), next())
    }

    /// Gives a command, as a user who may do everything.
    ///
    /// # Panics
    /// When the server doesn't answer, or answers with an error.
    pub async fn command<A: AsRef<[u8]>>(&self, command: &[A]) -> Reply {
        let shown = || String::from_utf8_lossy(command[0].as_ref()).into_owned();
        match self.try_command(command).await {
            Ok(Reply::Error(error)) => panic!("{self:?} to {}: {error}", shown()),
            Ok(reply) => reply,
            Err(error) => panic!("{self:?} to {}: {error}", shown()),
        }
    }

    /// Gives a command, as a user who may do everything. The answer may be a [`Reply::Error`].
    ///
    /// # Errors
    /// When the server doesn't answer.
    pub async fn try_command<A: AsRef<[u8]>>(&self, command: &[A]) -> io::Result<Reply> {
        let asked = async { self.connect().await?.command(command).await };
        timeout(PATIENCE, asked).await?
    }

    /// A connection for several commands, as a user who may do everything.
    ///
    /// # Errors
    /// When the server doesn't accept it.
    pub async fn connect(&self) -> io::Result<Connection> {
        let mut connection = Connection::connect_unix(&self.socket()).await?;
        if let Some(admin) = self.admin() {
            let reply = connection
                .command(&["AUTH", admin.user, &admin.password])
                .await?;
            // While it loads its data it says so to AUTH already.
            if reply.is_error() {
                return Err(io::Error::other(reply.text()));
            }
        }
        Ok(connection)
    }

    /// Ends the server gracefully; nothing happens if it isn't running.
    ///
    /// # Panics
    /// When it doesn't end.
    pub async fn stop(&self) {
        let process = self.process().take();
        if let Some(process) = process {
            assert!(process.terminate(PATIENCE).await, "{self:?} doesn't end");
        }
    }

    /// Kills the server (SIGKILL) and waits for its end; nothing happens if it isn't running.
    pub fn kill(&self) {
        drop(self.process().take());
    }

    /// Starts the server again, on its port, in its folder; it is stopped before if it still runs. Returns when it answers.
    ///
    /// # Panics
    /// When it doesn't start.
    pub async fn restart(&self) {
        self.stop().await;
        if let Err(log) = self.launch().await {
            panic!("{self:?} doesn't start again: {log}");
        }
    }

    /// Freezes the process (SIGSTOP): connections stay, and are accepted by the system, and nothing is answered.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Thaws the process (SIGCONT).
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Makes a replica a primary, for good: it stays one over a restart.
    ///
    /// # Panics
    /// When it doesn't answer.
    pub async fn promote(&self) {
        self.command(&["REPLICAOF", "NO", "ONE"]).await;
        self.command(&["CONFIG", "REWRITE"]).await;
    }

    /// Whom the testkit gives its commands as; none for the default user without a password.
    pub(super) fn admin(&self) -> Option<&Admin> {
        self.admin.as_ref()
    }

    /// Starts the process and waits until it answers; else tells what it wrote last.
    async fn launch(&self) -> Result<(), String> {
        let mut command = Command::new(self.program());
        command.arg(CONFIG);
        if self.mode == Mode::Sentinel {
            command.arg("--sentinel");
        }
        let process = Process::start(&mut command, &self.folder, LOG)
            .map_err(|error| format!("{error}\n{}", advice()))?;
        *self.process() = Some(process);
        let deadline = Instant::now() + PATIENCE;
        while !self.is_ready().await {
            let ended = self.process().as_mut().and_then(Process::ended);
            let wrong = match ended {
                Some(status) => status.to_string(),
                None if Instant::now() > deadline => format!("no answer within {PATIENCE:?}"),
                None => {
                    sleep(LOOK).await;
                    continue;
                }
            };
            self.kill();
            return Err(format!("{wrong}\n{}", self.folder.tail(LOG)));
        }
        Ok(())
    }

    /// Whether it answers, has loaded its data and, as a replica, is in step.
    async fn is_ready(&self) -> bool {
        let look = async {
            let mut connection = self.connect().await?;
            if connection.command(&["PING"]).await? != Reply::Status("PONG".to_owned()) {
                return Ok(false);
            }
            if !self.replica {
                return Ok(true);
            }
            let reply = connection.command(&["INFO", "replication"]).await?;
            let is = |field, value| reply.field(field).as_deref() == Some(value);
            Ok::<_, io::Error>(is("role", "master") || is("master_link_status", "up"))
        };
        matches!(timeout(PATIENCE, look).await, Ok(Ok(true)))
    }

    fn program(&self) -> PathBuf {
        self.program.clone().unwrap_or_else(binary)
    }

    fn scheme(&self) -> &'static str {
        if self.tls { "rediss" } else { "redis" }
    }

    fn signal(&self, signal: Signal) {
        if let Some(process) = &*self.process() {
            process.signal(signal);
        }
    }

    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for RedisServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisServer({})", self.addr())
    }
}

/// The program of servers that aren't told one.
fn binary() -> PathBuf {
    std::env::var_os("REDIS_SERVER_BIN")
        .filter(|name| !name.is_empty())
        .map_or_else(|| "redis-server".into(), PathBuf::from)
}

fn advice() -> &'static str {
    "install redis-server (`cargo xtask setup` does), or let REDIS_SERVER_BIN name the program of a Redis from 7.0 on or a Valkey"
}
