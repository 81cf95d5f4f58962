//! What travels beside a message: the user's token, the caller, the deadline.

use braid_core::{NodeId, ServiceName, Token};
use http::{HeaderMap, HeaderName, HeaderValue};
use std::time::Duration;
use tokio::time::Instant;
use tonic::{
    Status,
    metadata::{Binary, MetadataMap, MetadataValue},
};

pub(crate) const TOKEN: &str = "braid-token-bin";
pub(crate) const CALLER_SERVICE: &str = "braid-caller-service-bin";
pub(crate) const CALLER_ID: &str = "braid-caller-id-bin";
pub(crate) const TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// Who calls: in the extensions of a request that a braid client sent.
///
/// It is what the other side says of itself; nothing proves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The service of the calling node.
    pub service: ServiceName,
    /// The calling node.
    pub id: NodeId,
}

/// When the caller stops waiting: in the extensions of a request that has a deadline.
///
/// A handler that calls on passes on what [`remains`](Deadline::remaining) as the timeout of its own calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(pub(crate) Instant);

impl Deadline {
    /// The time that is left; zero when the deadline has passed.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// The moment itself.
    #[must_use]
    pub fn instant(&self) -> std::time::Instant {
        self.0.into_std()
    }
}

impl Caller {
    /// The headers that tell of a caller.
    pub(crate) fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        insert_bin(&mut headers, CALLER_SERVICE, self.service.as_str(), false);
        insert_bin(&mut headers, CALLER_ID, self.id.as_str(), false);
        headers
    }
}

/// Adds the token's header. It is marked as sensitive, so that no header table keeps it and no Debug shows it.
pub(crate) fn insert_token(headers: &mut HeaderMap, token: &Token) {
    insert_bin(headers, TOKEN, token.as_str(), true);
}

fn insert_bin(headers: &mut HeaderMap, key: &'static str, text: &str, sensitive: bool) {
    let mut value = MetadataValue::<Binary>::from_bytes(text.as_bytes());
    value.set_sensitive(sensitive);
    with_metadata(headers, |metadata| metadata.insert_bin(key, value));
}

/// Works on headers as gRPC metadata, which knows how binary values are encoded.
pub(crate) fn with_metadata<T>(
    headers: &mut HeaderMap,
    work: impl FnOnce(&mut MetadataMap) -> T,
) -> T {
    let mut metadata = MetadataMap::from_headers(std::mem::take(headers));
    let result = work(&mut metadata);
    *headers = metadata.into_headers();
    result
}

/// What the headers of a request say.
#[derive(Debug, Default)]
pub(crate) struct Context {
    pub(crate) token: Option<Token>,
    pub(crate) caller: Option<Caller>,
    pub(crate) timeout: Option<Duration>,
}

impl Context {
    /// Reads the headers.
    ///
    /// # Errors
    /// INVALID_ARGUMENT, naming the header that can't be read.
    pub(crate) fn read(headers: &mut HeaderMap) -> Result<Self, Status> {
        let timeout = match headers.get(TIMEOUT) {
            Some(value) => Some(decode_timeout(value).ok_or_else(|| malformed("grpc-timeout"))?),
            None => None,
        };
        let (token, service, id) = with_metadata(headers, |metadata| {
            let mut token = text(metadata, TOKEN)?;
            if token.is_some() {
                // So that a handler's log of its request doesn't show it.
                if let Some(value) = metadata.get_bin_mut(TOKEN) {
                    value.set_sensitive(true);
                }
            }
            let token = name(TOKEN, token.take())?;
            let service = name(CALLER_SERVICE, text(metadata, CALLER_SERVICE)?)?;
            let id = name(CALLER_ID, text(metadata, CALLER_ID)?)?;
            Ok::<_, Status>((token, service, id))
        })?;
        let caller = service.zip(id).map(|(service, id)| Caller { service, id });
        Ok(Self {
            token,
            caller,
            timeout,
        })
    }
}

fn malformed(header: &str) -> Status {
    Status::invalid_argument(format!("the header `{header}` is malformed"))
}

fn text(metadata: &MetadataMap, key: &'static str) -> Result<Option<String>, Status> {
    let Some(value) = metadata.get_bin(key) else {
        return Ok(None);
    };
    let bytes = value.to_bytes().map_err(|_| malformed(key))?;
    let text = std::str::from_utf8(&bytes).map_err(|_| malformed(key))?;
    Ok(Some(text.to_owned()))
}

fn name<T>(key: &'static str, text: Option<String>) -> Result<Option<T>, Status>
where
    T: TryFrom<String, Error = braid_core::Error>,
{
    text.map(T::try_from).transpose().map_err(|error| {
        Status::invalid_argument(format!("the header `{key}`: {}", error.message()))
    })
}

/// gRPC's form of a timeout: up to eight digits and a unit. Rounds up, so that nobody gets less than was said.
///
/// From a second on to whole milliseconds: a call that is made at once says the very timeout that was asked for, which is the same text each
/// time and costs a byte in HTTP/2's compression of headers.
pub(crate) fn encode_timeout(timeout: Duration) -> HeaderValue {
    const MOST: u128 = 99_999_999;
    const SECOND: u128 = 1_000_000_000;
    let nanos = timeout.as_nanos();
    let units = [
        (1_000, 'u'),
        (1_000_000, 'm'),
        (SECOND, 'S'),
        (60 * SECOND, 'M'),
        (3_600 * SECOND, 'H'),
    ];
    let finest = usize::from(nanos >= SECOND);
    let text = units[finest..]
        .iter()
        .map(|(unit, letter)| (nanos.div_ceil(*unit), letter))
        .find(|(count, _)| *count <= MOST)
        .map_or_else(
            || format!("{MOST}H"),
            |(count, letter)| format!("{count}{letter}"),
        );
    HeaderValue::try_from(text).expect("digits and a letter are a legal value")
}

pub(crate) fn decode_timeout(value: &HeaderValue) -> Option<Duration> {
    let text = value.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let legal = (1..=8).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    let count: u64 = digits.parse().ok().filter(|_| legal)?;
    Some(match unit {
        "n" => Duration::from_nanos(count),
        "u" => Duration::from_micros(count),
        "m" => Duration::from_millis(count),
        "S" => Duration::from_secs(count),
        "M" => Duration::from_secs(count * 60),
        "H" => Duration::from_secs(count * 3600),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_survives_its_header_and_is_never_shortened() {
        for (timeout, text) in [
            (Duration::ZERO, "0u"),
            (Duration::from_nanos(1), "1u"),
            (Duration::from_millis(100), "100000u"),
            (Duration::from_micros(999_999), "999999u"),
            (Duration::from_micros(9_999_001), "10000m"),
            (Duration::from_secs(100), "100000m"),
            (Duration::from_secs(1_000_000), "1000000S"),
            (Duration::MAX, "99999999H"),
        ] {
            let value = encode_timeout(timeout);
            assert_eq!(value, text);
            let read = decode_timeout(&value).unwrap();
            assert!(read >= timeout || text == "99999999H");
        }
    }

    #[test]
    fn a_malformed_timeout_is_refused() {
        for text in [
            "",
            "S",
            "1",
            "1s",
            "+1S",
            "-1S",
            "123456789S",
            " 1S",
            "1.5S",
        ] {
            let value = HeaderValue::from_static(text);
            assert_eq!(decode_timeout(&value), None, "{text:?}");
        }
    }

    #[test]
    fn any_token_and_caller_survive_their_headers() {
        let caller = Caller {
            service: ServiceName::new("日本 {x}").unwrap(),
            id: NodeId::new("a\u{0}b\n").unwrap(),
        };
        let token = Token::new("🦀".repeat(1024)).unwrap();
        let mut headers = caller.headers();
        insert_token(&mut headers, &token);
        assert!(headers[TOKEN].is_sensitive());
        let context = Context::read(&mut headers).unwrap();
        assert_eq!(context.token, Some(token));
        assert_eq!(context.caller, Some(caller));
        assert_eq!(headers.len(), 3, "interceptors still see them");
    }

    #[test]
    fn a_malformed_header_is_refused_and_named() {
        for (key, value) in [
            (TOKEN, "%%"),
            (TOKEN, ""),
            (TOKEN, "/w"),
            (CALLER_ID, "%"),
            ("grpc-timeout", "soon"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(key, HeaderValue::from_static(value));
            let status = Context::read(&mut headers).unwrap_err();
            assert_eq!(status.code(), tonic::Code::InvalidArgument);
            assert!(status.message().contains(key), "{status}");
        }
    }
}
