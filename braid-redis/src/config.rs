//! Where Redis is, who connects, and how long is waited.

use crate::{Secret, settings::Settings, url::masked};
use braid_core::{Error, ErrorKind, Result};
use std::{env, fmt, path::PathBuf, time::Duration};

/// How to reach Redis. `Default` is a server on this host, without TLS and password.
///
/// No password is in its `Debug`.
#[derive(Clone)]
pub struct RedisConfig {
    /// Where the server is; by default `redis://127.0.0.1:6379`.
    ///
    /// | form | what it is |
    /// |---|---|
    /// | `redis://host:port/database` | one server; port 6379 and database 0 may be left out |
    /// | `redis-cluster://host:port?node=host:port&node=...` | a cluster; any of its nodes |
    /// | `redis-sentinel://host:port?sentinelServiceName=name&node=...` | the primary that the sentinels name; hosts are the sentinels |
    /// | `redis+unix:///path/to/socket` | a server on this host |
    ///
    /// With `rediss` instead of `redis` the connections are over TLS. `user:password@` may stand before the host, each
    /// percent-encoded; `sentinelUsername` and `sentinelPassword` among the parameters.
    pub url: String,
    /// The ACL user; without one, Redis' `default` user.
    pub username: Option<String>,
    /// The user's password. Only one of this, `password_file` and the URL may give it.
    pub password: Option<Secret>,
    /// A file that holds the password, read at each connect; a line feed at its end doesn't count.
    pub password_file: Option<PathBuf>,
    /// The user at the sentinels, if they want one.
    pub sentinel_username: Option<String>,
    /// The password at the sentinels, if they want one.
    pub sentinel_password: Option<Secret>,
    /// Certificates, for a `rediss` URL.
    pub tls: TlsConfig,
    /// How long a start waits for a server that is away: 10 s. Zero makes one attempt.
    pub start_timeout: Duration,
    /// How long one connection may take to come up, TLS included: 5 s. The greetings on it may take as long again.
    pub connect_timeout: Duration,
    /// How long a command waits for its reply: 5 s. A connection on which nothing is heard for so long while replies are due is given up.
    pub command_timeout: Duration,
    /// The shortest wait before a lost connection is made again: 50 ms. It doubles with every failure, with some jitter.
    pub reconnect_min: Duration,
    /// The longest such wait: 2 s.
    pub reconnect_max: Duration,
}

/// Certificates of a connection over TLS. The default trusts what the system trusts and shows none of its own.
#[derive(Clone, Debug, Default)]
pub struct TlsConfig {
    /// A PEM file with the authorities to trust, instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// A PEM file with the certificate to show to the server, and its chain. Needs `key_file`.
    pub cert_file: Option<PathBuf>,
    /// A PEM file with that certificate's private key.
    pub key_file: Option<PathBuf>,
    /// The name that the server's certificate must have, instead of the host that is connected to.
    pub server_name: Option<String>,
}

impl Default for RedisConfig {
    fn default() -> Self {
        Self {
            url: "redis://127.0.0.1:6379".to_owned(),
            username: None,
            password: None,
            password_file: None,
            sentinel_username: None,
            sentinel_password: None,
            tls: TlsConfig::default(),
            start_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(5),
            command_timeout: Duration::from_secs(5),
            reconnect_min: Duration::from_millis(50),
            reconnect_max: Duration::from_secs(2),
        }
    }
}

impl RedisConfig {
    /// The defaults, at `url`.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            ..Self::default()
        }
    }

    /// The defaults, changed by the environment: `BRAID_REDIS_URL`, `BRAID_REDIS_USERNAME`, `BRAID_REDIS_PASSWORD`,
    /// `BRAID_REDIS_PASSWORD_FILE`, `BRAID_REDIS_SENTINEL_USERNAME`, `BRAID_REDIS_SENTINEL_PASSWORD`, `BRAID_REDIS_TLS_CA_FILE`,
    /// `BRAID_REDIS_TLS_CERT_FILE`, `BRAID_REDIS_TLS_KEY_FILE`, `BRAID_REDIS_TLS_SERVER_NAME`. Empty ones count as absent.
    ///
    /// # Errors
    /// `Config`, if a variable is no UTF-8 or the result isn't [valid](Self::validate).
    pub fn from_env() -> Result<Self> {
        Self::from_lookup(|name| match env::var(name) {
            Ok(value) => Ok(Some(value)),
            Err(env::VarError::NotPresent) => Ok(None),
            Err(env::VarError::NotUnicode(_)) => Err(bad(format!("{name} is no UTF-8"))),
        })
    }

    fn from_lookup(lookup: impl Fn(&str) -> Result<Option<String>>) -> Result<Self> {
        let get = |name: &str| -> Result<Option<String>> {
            let value = lookup(&format!("BRAID_REDIS_{name}"))?;
            Ok(value.filter(|value| !value.is_empty()))
        };
        let path = |name: &str| Ok::<_, Error>(get(name)?.map(PathBuf::from));
        let mut config = Self::default();
        if let Some(url) = get("URL")? {
            config.url = url;
        }
        config.username = get("USERNAME")?;
        config.password = get("PASSWORD")?.map(Secret::new);
        config.password_file = path("PASSWORD_FILE")?;
        config.sentinel_username = get("SENTINEL_USERNAME")?;
        config.sentinel_password = get("SENTINEL_PASSWORD")?.map(Secret::new);
        config.tls = TlsConfig {
            ca_file: path("TLS_CA_FILE")?,
            cert_file: path("TLS_CERT_FILE")?,
            key_file: path("TLS_KEY_FILE")?,
            server_name: get("TLS_SERVER_NAME")?,
        };
        config.validate()?;
        Ok(config)
    }

    /// Whether it makes sense by itself; files aren't looked into.
    ///
    /// # Errors
    /// `Config`, naming the field.
    pub fn validate(&self) -> Result<()> {
        Settings::check(self)
    }
}

pub(crate) fn bad(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Config, "redis", "config", message)
}

impl fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisConfig")
            .field("url", &masked(&self.url))
            .field("username", &self.username)
            .field("password", &self.password)
            .field("password_file", &self.password_file)
            .field("sentinel_username", &self.sentinel_username)
            .field("sentinel_password", &self.sentinel_password)
            .field("tls", &self.tls)
            .field("start_timeout", &self.start_timeout)
            .field("connect_timeout", &self.connect_timeout)
            .field("command_timeout", &self.command_timeout)
            .field("reconnect_min", &self.reconnect_min)
            .field("reconnect_max", &self.reconnect_max)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn no_secret_is_in_debug() {
        let config = RedisConfig {
            password: Some("s3cr3t".into()),
            sentinel_password: Some("s3cr3t".into()),
            ..RedisConfig::new("redis://u:s3cr3t@h?sentinelPassword=s3cr3t")
        };
        let text = format!("{config:?} {config:#?}");
        assert!(!text.contains("s3cr3t") && text.contains("***"), "{text}");
        let secret = Secret::new("s3cr3t");
        assert_eq!(format!("{secret} {secret:?}"), "*** ***");
    }

    #[test]
    fn the_environment_changes_the_defaults() {
        let variables = HashMap::from([
            ("BRAID_REDIS_URL", "rediss://h:1"),
            ("BRAID_REDIS_USERNAME", "braid"),
            ("BRAID_REDIS_PASSWORD", ""),
            ("BRAID_REDIS_PASSWORD_FILE", "/run/secret"),
            ("BRAID_REDIS_TLS_CA_FILE", "/run/ca.pem"),
        ]);
        let get = |name: &str| Ok(variables.get(name).map(ToString::to_string));
        let config = RedisConfig::from_lookup(get).expect("a good one");
        assert_eq!(config.url, "rediss://h:1");
        assert_eq!(config.username.as_deref(), Some("braid"));
        assert!(config.password.is_none());
        assert_eq!(config.password_file, Some("/run/secret".into()));
        assert_eq!(config.tls.ca_file, Some("/run/ca.pem".into()));

        let nothing = RedisConfig::from_lookup(|_| Ok(None)).expect("the defaults are good");
        assert_eq!(nothing.url, RedisConfig::default().url);
    }

    #[test]
    fn contradictions_are_found_and_name_the_field() {
        let plain = RedisConfig::default;
        for (config, field) in [
            (
                RedisConfig {
                    password: Some("s3cr3t".into()),
                    ..RedisConfig::new("redis://:s3cr3t@h")
                },
                "password",
            ),
            (
                RedisConfig {
                    username: Some("u".into()),
                    ..plain()
                },
                "user",
            ),
            (
                RedisConfig {
                    tls: TlsConfig {
                        ca_file: Some("ca.pem".into()),
                        ..TlsConfig::default()
                    },
                    ..plain()
                },
                "tls",
            ),
            (
                RedisConfig {
                    tls: TlsConfig {
                        cert_file: Some("c.pem".into()),
                        ..TlsConfig::default()
                    },
                    ..RedisConfig::new("rediss://h")
                },
                "key_file",
            ),
            (
                RedisConfig {
                    command_timeout: Duration::ZERO,
                    ..plain()
                },
                "command_timeout",
            ),
            (
                RedisConfig {
                    reconnect_min: Duration::from_secs(3),
                    ..plain()
                },
                "reconnect_min",
            ),
        ] {
            let error = config.validate().expect_err(field);
            assert_eq!(error.kind(), ErrorKind::Config);
            assert!(error.message().contains(field), "{error}");
            assert!(!error.message().contains("s3cr3t"), "{error}");
        }
    }
}
