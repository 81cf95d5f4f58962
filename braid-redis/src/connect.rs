//! The start: waits for a server that is away, and for nothing else.

use crate::{
    Redis, RedisConfig, ServerVersion,
    error::{is_refusal, refusal},
    reply,
    settings::Settings,
    task::Task,
};
use braid_core::{Error, ErrorKind, Result};
use fred::{
    clients::Client,
    error::{Error as FredError, ErrorKind as FredKind},
    interfaces::ClientLike,
    types::{CustomCommand, Value},
};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout, timeout_at};

/// The rules that this crate itself needs of an ACL user, beside those for the commands that are sent through it. `+select` is needed only with
/// a database in the URL, `+cluster|...` only on a cluster, `+role` only behind Sentinel, `+evalsha` and `+eval` only for scripts.
pub const ACL_CONNECTION: &[&str] = &[
    "+info",
    "+client|id",
    "+select",
    "+cluster|slots",
    "+cluster|info",
    "+role",
    "+evalsha",
    "+eval",
];

/// What waiting may cure, and what it can't.
pub(crate) enum Failure {
    Away(Error),
    Final(Error),
}

impl Failure {
    pub(crate) fn into_error(self) -> Error {
        match self {
            Self::Away(error) | Self::Final(error) => error,
        }
    }
}

pub(crate) async fn connect(config: &RedisConfig, component: &'static str) -> Result<Redis> {
    let settings = Settings::load(config).map_err(|error| {
        Error::new(
            error.kind(),
            component,
            "connect",
            error.message().to_owned(),
        )
    })?;
    let deadline = Instant::now() + settings.start_timeout;
    let mut pause = config.reconnect_min;
    loop {
        let away = match attempt(&settings, component, deadline).await {
            Ok((client, task, server)) => {
                return Ok(Redis::new(component, settings, client, task, server));
            }
            Err(Failure::Final(error)) => return Err(error),
            Err(Failure::Away(error)) => error,
        };
        let jittered = pause.mul_f64(1.0 + fastrand::f64() / 2.0);
        if Instant::now() + jittered >= deadline {
            let text = format!("{} (waited {:?})", away.message(), settings.start_timeout);
            return Err(
                Error::new(ErrorKind::Unavailable, component, "connect", text).with_source(away),
            );
        }
        tracing::debug!(component, error = %away, "redis is away");
        sleep(jittered).await;
        pause = (pause * 2).min(config.reconnect_max);
    }
}

async fn attempt(
    settings: &Settings,
    component: &'static str,
    deadline: Instant,
) -> Result<(Client, Task, ServerVersion), Failure> {
    let client = settings.shared_client();
    let task = Task::new(client.connect());
    let address = &settings.address;
    // The one attempt that a start timeout of zero allows may take as long as any other.
    let deadline =
        deadline.max(Instant::now() + settings.connect_timeout.min(Duration::from_secs(1)));
    match timeout_at(deadline, task.connected(&client)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return Err(failure(component, address, error.as_ref())),
        Err(_) => {
            let text = format!("{address}: no connection yet");
            let error = Error::new(ErrorKind::Unavailable, component, "connect", text);
            return Err(Failure::Away(error));
        }
    }
    let server = info(&client, "server", component, settings).await?;
    let persistence = info(&client, "persistence", component, settings).await?;
    let server =
        ServerVersion::parse(&server, &persistence, component, address).map_err(Failure::Final)?;
    if server.clustered && !settings.is_clustered() {
        let text = format!(
            "{address}: the server is a node of a cluster; the URL's scheme must say so (`redis-cluster`, `rediss-cluster`)"
        );
        let error = Error::new(ErrorKind::Config, component, "connect", text);
        return Err(Failure::Final(error));
    }
    Ok((client, task, server))
}

async fn info(
    client: &Client,
    section: &'static str,
    component: &'static str,
    settings: &Settings,
) -> Result<String, Failure> {
    let command = CustomCommand::new_static("INFO", 0_u16, false);
    let asked = client.custom_raw(command, vec![Value::from_static_str(section)]);
    let frame = match timeout(settings.connect_timeout, asked).await {
        Ok(Ok(frame)) => frame,
        Ok(Err(error)) => return Err(failure(component, &settings.address, Some(&error))),
        Err(_) => {
            let text = format!("{}: no reply to INFO", settings.address);
            let error = Error::new(ErrorKind::Unavailable, component, "connect", text);
            return Err(Failure::Away(error));
        }
    };
    if let Some(text) = reply::as_error(&frame) {
        let error = FredError::new(FredKind::Unknown, text);
        return Err(failure(component, &settings.address, Some(&error)));
    }
    reply::as_text(&frame).map(str::to_owned).ok_or_else(|| {
        let text = format!("{}: the reply to INFO is no text", settings.address);
        Failure::Final(Error::new(ErrorKind::Internal, component, "connect", text))
    })
}

/// Why a connection couldn't be made.
pub(crate) fn failure(
    component: &'static str,
    address: &str,
    error: Option<&FredError>,
) -> Failure {
    let Some(error) = error else {
        let text = format!("{address}: the connection ended at once");
        return Failure::Away(Error::new(
            ErrorKind::Unavailable,
            component,
            "connect",
            text,
        ));
    };
    let details = error.details();
    if is_refusal(details) {
        let error = refusal(component, "connect", address, details);
        return match error.kind() {
            ErrorKind::Unavailable => Failure::Away(error),
            // Greetings are refused for what the URL asks for: a database, a cluster.
            ErrorKind::Rejected => {
                let text = error.message().to_owned();
                let error = Error::new(ErrorKind::Config, component, "connect", text);
                Failure::Final(error)
            }
            _ => Failure::Final(error),
        };
    }
    let fatal = matches!(
        error.kind(),
        FredKind::Auth | FredKind::Config | FredKind::Url | FredKind::Tls
    ) || is_untrusted(details);
    let kind = if fatal {
        ErrorKind::Config
    } else {
        ErrorKind::Unavailable
    };
    let text = format!("{address}: {}", plain(details));
    let error = Error::new(kind, component, "connect", text);
    if fatal {
        Failure::Final(error)
    } else {
        Failure::Away(error)
    }
}

/// What the system said, out of the debug form that fred gives it.
fn plain(details: &str) -> &str {
    details
        .split_once("message: \"")
        .and_then(|(_, rest)| rest.split('"').next())
        .unwrap_or(details)
}

/// Whether a handshake failed for good: rustls' errors come as those of I/O.
fn is_untrusted(details: &str) -> bool {
    [
        "InvalidCertificate",
        "AlertReceived",
        "InvalidMessage",
        "NoCertificates",
    ]
    .iter()
    .any(|reason| details.contains(reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(kind: FredKind, details: &'static str) -> Result<Error, Error> {
        match failure("c", "redis://h", Some(&FredError::new(kind, details))) {
            Failure::Away(error) => Ok(error),
            Failure::Final(error) => Err(error),
        }
    }

    #[test]
    fn only_what_time_may_cure_is_awaited() {
        let refused = r#"Os { code: 111, kind: ConnectionRefused, message: "Connection refused" }"#;
        let error = told(FredKind::IO, refused).expect("it may come");
        assert_eq!(error.message(), "redis://h: Connection refused");
        for (kind, details) in [
            (FredKind::Timeout, "Request timed out."),
            (
                FredKind::Unknown,
                "LOADING Redis is loading the dataset in memory",
            ),
            (
                FredKind::Sentinel,
                "Failed to connect to all sentinel nodes.",
            ),
            (FredKind::Protocol, "Invalid or missing cluster state."),
        ] {
            let error = told(kind, details).expect(details);
            assert_eq!(error.kind(), ErrorKind::Unavailable);
        }
        for (kind, details) in [
            (FredKind::Auth, "WRONGPASS invalid username-password pair"),
            (FredKind::Sentinel, "NOAUTH Authentication required."),
            (FredKind::Unknown, "ERR DB index is out of range"),
            (
                FredKind::IO,
                "Custom { kind: InvalidData, error: InvalidCertificate(UnknownIssuer) }",
            ),
        ] {
            let error = told(kind, details).expect_err(details);
            assert_eq!(error.kind(), ErrorKind::Config);
        }
    }
}
