//! From the configuration to fred's.

use crate::{
    RedisConfig, Secret,
    config::bad,
    tls,
    url::{masked, parse},
};
use braid_core::Result;
use fred::{
    clients::Client,
    types::{
        RespVersion,
        config::{
            Config, ConnectionConfig, PerformanceConfig, ReconnectPolicy, Server, ServerConfig,
            TcpConfig,
        },
    },
};
use socket2_fred::TcpKeepalive;
use std::{fs, path::Path, time::Duration};

/// What connections are made with. It holds passwords and has no `Debug`.
pub(crate) struct Settings {
    /// For errors: the URL without passwords.
    pub(crate) address: String,
    pub(crate) start_timeout: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) command_timeout: Duration,
    reconnect_min: Duration,
    reconnect_max: Duration,
    config: Config,
}

impl Settings {
    /// Checks the configuration and reads its files.
    pub(crate) fn load(config: &RedisConfig) -> Result<Self> {
        Self::check(config)?;
        let (mut fred, tls) = parse(&config.url, "config")?;
        fred.fail_fast = true;
        // Cheaper by a few percent of a command than RESP3, of which nothing is needed here.
        fred.version = RespVersion::RESP2;
        if config.username.is_some() {
            fred.username.clone_from(&config.username);
        }
        if let Some(password) = &config.password {
            fred.password = Some(password.expose().to_owned());
        }
        if let Some(path) = &config.password_file {
            fred.password = Some(read_password(path)?);
        }
        if let ServerConfig::Sentinel {
            username, password, ..
        } = &mut fred.server
        {
            if config.sentinel_username.is_some() {
                username.clone_from(&config.sentinel_username);
            }
            if let Some(secret) = &config.sentinel_password {
                *password = Some(secret.expose().to_owned());
            }
        }
        if tls {
            fred.tls = Some(tls::connector(&config.tls, &fred.server)?);
            if let Some(name) = &config.tls.server_name {
                tls::name(&mut fred.server, name);
            }
        }
        Ok(Self {
            address: masked(&config.url),
            start_timeout: config.start_timeout,
            connect_timeout: config.connect_timeout,
            command_timeout: config.command_timeout,
            reconnect_min: config.reconnect_min,
            reconnect_max: config.reconnect_max,
            config: fred,
        })
    }

    /// What can be said of the configuration without its files.
    pub(crate) fn check(config: &RedisConfig) -> Result<()> {
        let (fred, tls) = parse(&config.url, "config")?;
        let passwords = [
            fred.password.is_some(),
            config.password.is_some(),
            config.password_file.is_some(),
        ];
        if passwords.iter().filter(|given| **given).count() > 1 {
            return Err(bad(
                "the password is given more than once, in `url`, `password` or `password_file`",
            ));
        }
        if fred.username.is_some() && config.username.is_some() {
            return Err(bad("the user is given twice, in `url` and `username`"));
        }
        if (fred.username.is_some() || config.username.is_some()) && !passwords.contains(&true) {
            return Err(bad("a user without a password"));
        }
        let certificates = &config.tls;
        if certificates.cert_file.is_some() != certificates.key_file.is_some() {
            return Err(bad("`tls.cert_file` and `tls.key_file` go together"));
        }
        let any = certificates.ca_file.is_some()
            || certificates.cert_file.is_some()
            || certificates.server_name.is_some();
        if any && !tls {
            return Err(bad(
                "`tls` is set, but the URL's scheme is one without TLS (`rediss` has it)",
            ));
        }
        for (name, value) in [
            ("connect_timeout", config.connect_timeout),
            ("command_timeout", config.command_timeout),
            ("reconnect_min", config.reconnect_min),
        ] {
            if value < Duration::from_millis(1) {
                return Err(bad(format!("`{name}` is under 1 ms")));
            }
        }
        if config.reconnect_min > config.reconnect_max {
            return Err(bad("`reconnect_min` is above `reconnect_max`"));
        }
        Ok(())
    }

    pub(crate) fn is_clustered(&self) -> bool {
        self.config.server.is_clustered()
    }

    /// A client that many share: it reconnects for ever, and makes one attempt at each command.
    pub(crate) fn shared_client(&self) -> Client {
        let mut policy = ReconnectPolicy::new_exponential(
            0,
            millis(self.reconnect_min),
            millis(self.reconnect_max),
            2,
        );
        policy.set_jitter(millis(self.reconnect_min) * 2);
        Client::new(
            self.config.clone(),
            // No timeouts of fred's: `Redis` has cheaper ones.
            None,
            Some(self.connection()),
            Some(policy),
        )
    }

    /// A client with one connection, which is never made again: to `server`, or else to where the configuration says.
    pub(crate) fn dedicated_client(&self, server: Option<Server>) -> Client {
        self.single_client(server, None)
    }

    /// The same for what is published; `held` messages wait to be taken.
    pub(crate) fn subscriber_client(&self, server: Option<Server>, held: usize) -> Client {
        let performance = PerformanceConfig {
            broadcast_channel_capacity: held,
            ..PerformanceConfig::default()
        };
        self.single_client(server, Some(performance))
    }

    fn single_client(
        &self,
        server: Option<Server>,
        performance: Option<PerformanceConfig>,
    ) -> Client {
        let mut config = self.config.clone();
        if let Some(server) = server {
            config.server = ServerConfig::Centralized { server };
        }
        Client::new(config, performance, Some(self.connection()), None)
    }

    fn connection(&self) -> ConnectionConfig {
        ConnectionConfig {
            connection_timeout: self.connect_timeout,
            internal_command_timeout: self.connect_timeout,
            // Whatever was written once is never written again, so that nothing is done twice.
            max_command_attempts: 1,
            // fred loses a reply when it follows ASK on a connection that others use too, and counts a redirection as an attempt. Without,
            // it refreshes its table after MOVED and says that the command was redirected; `Redis` follows.
            max_redirections: 0,
            // Not `unresponsive`: it costs a timer for each turn of fred's loop, and each write puts it off, so that it finds
            // nothing under steady traffic. `Redis` looks itself when a command times out, and the kernel finds dead peers.
            tcp: TcpConfig {
                nodelay: Some(true),
                keepalive: Some(keepalive()),
                #[cfg(target_os = "linux")]
                user_timeout: Some(self.command_timeout),
                ..TcpConfig::default()
            },
            ..ConnectionConfig::default()
        }
    }
}

/// Finds a host that is gone within about eight seconds, also when nothing is sent.
fn keepalive() -> TcpKeepalive {
    TcpKeepalive::new()
        .with_time(Duration::from_secs(5))
        .with_interval(Duration::from_secs(1))
        .with_retries(3)
}

fn read_password(path: &Path) -> Result<String> {
    let text = fs::read_to_string(path)
        .map_err(|error| bad(format!("password_file `{}`: {error}", path.display())))?;
    let secret = Secret::new(text.trim_end_matches(['\r', '\n']));
    if secret.expose().is_empty() {
        return Err(bad(format!("password_file `{}` is empty", path.display())));
    }
    Ok(secret.expose().to_owned())
}

fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX / 2)
}
