//! How a server is to be started.

use super::{server::RedisServer, tls};
use crate::process::free_port;
use std::{
    fmt::{self, Write as _},
    hash::{BuildHasher, RandomState},
    io,
    path::PathBuf,
};

/// What of a server's data outlives its process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Persistence {
    /// Nothing.
    #[default]
    None,
    /// Everything that was answered: the append-only file is synced before each answer.
    AofAlways,
    /// The append-only file is synced every second. What was answered is written, so that it outlives the process; a crash of the
    /// machine would cost the last second.
    AofEverysec,
}

/// Describes a server; made by [`RedisServer::builder`].
#[derive(Clone, Default)]
#[must_use = "nothing is started before `start`"]
pub struct Builder {
    /// Of the configuration, without what differs from one attempt to the next.
    lines: String,
    pub(super) password: Option<String>,
    pub(super) users: Vec<String>,
    pub(super) replica: bool,
    pub(super) tls: bool,
    /// Instead of one that is made up.
    pub(super) known_admin: Option<Admin>,
    pub(super) mode: Mode,
    /// Instead of the one that all servers have.
    pub(super) program: Option<PathBuf>,
}

/// What the program is to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Mode {
    #[default]
    Single,
    ClusterNode,
    Sentinel,
}

/// The server's socket, in its folder.
pub(super) const SOCKET: &str = "redis.sock";

/// Of servers that hold data. A replica needn't wait for others that want to be in step too.
const SERVER: &str = r#"save ""
enable-debug-command local
repl-diskless-sync-delay 0"#;

/// Who gives commands to a server on the testkit's behalf.
#[derive(Clone)]
pub(super) struct Admin {
    pub(super) user: &'static str,
    pub(super) password: String,
}

impl Builder {
    /// What of the data outlives the process; nothing unless said.
    pub fn persistence(self, persistence: Persistence) -> Self {
        let fsync = match persistence {
            Persistence::None => return self.config("appendonly", "no"),
            Persistence::AofAlways => "always",
            Persistence::AofEverysec => "everysec",
        };
        self.config("appendonly", "yes")
            .config("appendfsync", fsync)
    }

    /// The default user has to give this password, of letters and digits.
    pub fn password(mut self, password: &str) -> Self {
        self.password = Some(password.to_owned());
        self.config("requirepass", password)
    }

    /// Users beside the default one, each as the rest of a configuration's line `user`: `"braid on >secret ~braid:* +@all"`. The
    /// default user is off then, unless it is given a [`password`](Self::password).
    pub fn acl(mut self, users: &[&str]) -> Self {
        self.users
            .extend(users.iter().map(|user| (*user).to_owned()));
        self
    }

    /// The port takes TLS only, with a certificate for 127.0.0.1 and localhost of an authority made for this server:
    /// [`RedisServer::tls_ca_pem_file`]. Clients need no certificate.
    pub fn tls(mut self, tls: bool) -> Self {
        self.tls = tls;
        self
    }

    /// Makes it a replica of this server, which has no TLS. It is in step once it is started.
    pub fn replica_of(mut self, primary: &RedisServer) -> Self {
        self.replica = true;
        let addr = primary.addr();
        let builder = self.config("replicaof", &format!("{} {}", addr.ip(), addr.port()));
        match primary.admin() {
            Some(admin) => builder
                .config("masteruser", admin.user)
                .config("masterauth", &admin.password),
            None => builder,
        }
    }

    /// A line of the configuration, by its first word and the rest of it. Of several for one setting, the last one counts.
    pub fn config(mut self, key: &str, value: &str) -> Self {
        writeln!(self.lines, "{key} {value}").expect("a string takes any text");
        self
    }

    /// Runs this program instead of the one that other servers run.
    pub fn program(mut self, program: impl Into<PathBuf>) -> Self {
        self.program = Some(program.into());
        self
    }

    /// Starts the server, and returns when it answers.
    ///
    /// # Panics
    /// When there is no `redis-server`, or it doesn't start; the text tells what it wrote last.
    pub async fn start(self) -> RedisServer {
        match self.try_start().await {
            Ok(server) => server,
            Err(error) => panic!("{error}"),
        }
    }

    /// As [`start`](Self::start), for programs that aren't tests and say themselves what is wrong.
    ///
    /// # Errors
    /// When there is no `redis-server`, or it doesn't start; the text tells what it wrote last, or how to get one.
    pub async fn try_start(self) -> io::Result<RedisServer> {
        RedisServer::start(self).await
    }

    /// Users with rules of their own may be allowed too little.
    pub(super) fn admin(&self) -> Option<Admin> {
        if self.known_admin.is_some() {
            return self.known_admin.clone();
        }
        if !self.users.is_empty() {
            return Some(Admin {
                user: "braid-testkit",
                password: format!("{:016x}", RandomState::new().hash_one(0)),
            });
        }
        let password = self.password.clone()?;
        Some(Admin {
            user: "default",
            password,
        })
    }

    /// The server's configuration; files are relative to its folder.
    pub(super) fn text(&self, port: u16, admin: Option<&Admin>) -> String {
        let mut lines = vec![format!("bind 127.0.0.1\nunixsocket {SOCKET}")];
        lines.push(match self.tls {
            false => format!("port {port}"),
            true => format!("port 0\ntls-port {port}\n{}", tls::config()),
        });
        match self.mode {
            Mode::Single => lines.push(SERVER.to_owned()),
            Mode::ClusterNode => {
                let bus = free_port();
                lines.push(format!("{SERVER}\ncluster-enabled yes\ncluster-port {bus}"));
            }
            Mode::Sentinel => {}
        }
        if !self.users.is_empty() {
            if self.password.is_none() {
                lines.push("user default off".to_owned());
            }
            lines.extend(self.users.iter().map(|user| format!("user {user}")));
            let line =
                |admin: &Admin| format!("user {} on >{} ~* &* +@all", admin.user, admin.password);
            lines.extend(admin.map(line));
        }
        lines.push(self.lines.clone());
        lines.join("\n")
    }
}

/// Without what may hold passwords.
impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").finish_non_exhaustive()
    }
}
