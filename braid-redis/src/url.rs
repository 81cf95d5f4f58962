//! The one URL that says where Redis is.

use braid_core::{Error, ErrorKind, Result};
use fred::types::config::Config;

const SCHEMES: &[&str] = &[
    "redis",
    "rediss",
    "redis-cluster",
    "rediss-cluster",
    "redis-sentinel",
    "rediss-sentinel",
    "redis+unix",
];

const SENTINEL_PASSWORD: &str = "sentinelPassword=";

/// What the URL says, with fred's defaults for the rest, and whether it asks for TLS.
pub(crate) fn parse(url: &str, operation: &'static str) -> Result<(Config, bool)> {
    let bad = |what: &str| {
        let message = format!("URL `{}`: {what}", masked(url));
        Error::new(ErrorKind::Config, "redis", operation, message)
    };
    let (scheme, rest) = url
        .split_once("://")
        .ok_or_else(|| bad("no scheme; it should begin with redis:// or the like"))?;
    if !SCHEMES.contains(&scheme) {
        let known = SCHEMES.join(", ");
        return Err(bad(&format!(
            "unknown scheme `{scheme}`; known are {known}"
        )));
    }
    // fred would make a TLS connector of the process's default provider.
    let (plain, tls) = match scheme.strip_prefix("rediss") {
        Some(form) => (format!("redis{form}://{rest}"), true),
        None => (url.to_owned(), false),
    };
    let config = Config::from_url(&plain).map_err(|error| bad(error.details()))?;
    Ok((config, tls))
}

/// The URL without its passwords.
pub(crate) fn masked(url: &str) -> String {
    let mut text = url.to_owned();
    let start = text.find("://").map_or(0, |at| at + 3);
    if let Some(end) = text.rfind('@').filter(|end| *end >= start)
        && let Some(colon) = text[start..end].find(':').map(|at| start + at)
    {
        text.replace_range(colon + 1..end, "***");
    }
    if let Some(start) = text.find(SENTINEL_PASSWORD) {
        let start = start + SENTINEL_PASSWORD.len();
        let end = text[start..].find('&').map_or(text.len(), |at| start + at);
        text.replace_range(start..end, "***");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use fred::types::config::ServerConfig;

    #[test]
    fn each_form_is_understood() {
        let (config, tls) = parse("rediss://u:p%40ss@h:7000/3", "o").expect("a good one");
        assert_eq!(
            (config.server, config.database, tls),
            (ServerConfig::new_centralized("h", 7000), Some(3), true)
        );
        assert_eq!(config.password.as_deref(), Some("p@ss"));
        let (config, tls) = parse("redis-cluster://a:1?node=b:2", "o").expect("a good one");
        assert!(config.server.is_clustered() && config.server.hosts().len() == 2 && !tls);
        let (config, tls) = parse(
            "rediss-sentinel://a:1?sentinelServiceName=main&node=b:2&sentinelPassword=x",
            "o",
        )
        .expect("a good one");
        assert!(config.server.is_sentinel() && tls);
        let (config, _) = parse("redis+unix:///run/redis.sock", "o").expect("a good one");
        assert_eq!(
            config.server,
            ServerConfig::new_unix_socket("/run/redis.sock")
        );
    }

    #[test]
    fn passwords_are_masked_in_every_form() {
        for (url, expected) in [
            ("redis://h:1", "redis://h:1"),
            ("redis://user:s3cr3t@h:1", "redis://user:***@h:1"),
            ("redis://:s3cr3t@h", "redis://:***@h"),
            ("redis://u:s3cr3t@s3cr3t@h", "redis://u:***@h"),
            ("redis://u:s3/cr3t@h", "redis://u:***@h"),
            (
                "redis-sentinel://u:s3cr3t@h?sentinelPassword=s3cr3t&node=a:1",
                "redis-sentinel://u:***@h?sentinelPassword=***&node=a:1",
            ),
            (
                "redis-sentinel://h?sentinelServiceName=m&sentinelPassword=s3cr3t",
                "redis-sentinel://h?sentinelServiceName=m&sentinelPassword=***",
            ),
        ] {
            assert_eq!(masked(url), expected);
        }
    }

    #[test]
    fn a_bad_one_is_told_without_its_password() {
        for url in [
            "u:s3cr3t@h",
            "http://u:s3cr3t@h",
            "redis://u:s3cr3t@h:port",
            "redis://u:s3/cr3t@h",
            "redis://u:s3cr3t@h/x/y",
            "redis-sentinel://u:s3cr3t@h",
        ] {
            let error = parse(url, "o").map(|_| ()).expect_err(url);
            assert_eq!(error.kind(), ErrorKind::Config);
            let text = format!("{error} {error:?}");
            assert!(!text.contains("s3cr3t") && !text.contains("cr3t"), "{text}");
        }
    }
}
