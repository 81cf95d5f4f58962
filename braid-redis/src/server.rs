//! What the server says of itself.

use braid_core::{Error, ErrorKind, Result};

/// The oldest server that braid works with.
const OLDEST: (u32, u32, u32) = (7, 0, 0);

/// Which server it is, as one of its nodes told at the start.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerVersion {
    /// Major, minor, patch; Valkey's own, where it is one.
    pub version: (u32, u32, u32),
    /// Whether it is Valkey.
    pub valkey: bool,
    /// Whether it knows the command WAITAOF: Redis from 7.2 on, and every Valkey.
    pub waitaof: bool,
    /// Whether it writes an append-only file. `None` where it doesn't tell.
    pub appendonly: Option<bool>,
    /// Whether it is a node of a cluster.
    pub clustered: bool,
}

impl ServerVersion {
    /// Reads INFO's sections `server` and `persistence`.
    pub(crate) fn parse(
        server: &str,
        persistence: &str,
        component: &'static str,
        address: &str,
    ) -> Result<Self> {
        let fail = |kind, message: String| Error::new(kind, component, "connect", message);
        let text = field(server, "redis_version").ok_or_else(|| {
            let message = format!("{address}: the server's INFO has no redis_version");
            fail(ErrorKind::Unsupported, message)
        })?;
        let compatible = version(text).ok_or_else(|| {
            let message = format!("{address}: the server's version `{text}` is none");
            fail(ErrorKind::Unsupported, message)
        })?;
        if compatible < OLDEST {
            let message =
                format!("{address}: the server is Redis {text}; the oldest supported is 7.0");
            return Err(fail(ErrorKind::Unsupported, message));
        }
        let valkey = field(server, "valkey_version").and_then(version);
        Ok(Self {
            version: valkey.unwrap_or(compatible),
            valkey: valkey.is_some(),
            waitaof: compatible >= (7, 2, 0),
            appendonly: field(persistence, "aof_enabled").map(|value| value == "1"),
            clustered: field(server, "redis_mode") == Some("cluster"),
        })
    }
}

fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .map(str::trim)
}

fn version(text: &str) -> Option<(u32, u32, u32)> {
    let mut parts = text.split(['.', '-']).map(|part| part.parse().ok());
    let major = parts.next()??;
    let minor = parts.next()??;
    let patch = parts.next().flatten().unwrap_or(0);
    Some((major, minor, patch))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(server: &str, persistence: &str) -> Result<ServerVersion> {
        ServerVersion::parse(server, persistence, "c", "redis://h")
    }

    #[test]
    fn redis_and_valkey_are_told_apart() {
        let redis = parse(
            "# Server\r\nredis_version:7.0.15\r\nredis_mode:standalone\r\n",
            "aof_enabled:1\r\n",
        )
        .expect("new enough");
        assert_eq!(
            redis,
            ServerVersion {
                version: (7, 0, 15),
                valkey: false,
                waitaof: false,
                appendonly: Some(true),
                clustered: false,
            }
        );
        let valkey = parse(
            "redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:8.1.0\r\nredis_mode:cluster\r\n",
            "",
        )
        .expect("new enough");
        assert_eq!(
            valkey,
            ServerVersion {
                version: (8, 1, 0),
                valkey: true,
                waitaof: true,
                appendonly: None,
                clustered: true,
            }
        );
        let candidate = parse("redis_version:8.0-rc1\n", "aof_enabled:0").expect("new enough");
        assert_eq!((candidate.version, candidate.waitaof), ((8, 0, 0), true));
    }

    #[test]
    fn old_and_strange_servers_are_unsupported() {
        for info in ["redis_version:6.2.14", "redis_version:x", "proxy:1", ""] {
            let error = parse(info, "").expect_err(info);
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        }
    }
}
