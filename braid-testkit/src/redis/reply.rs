//! What a server answers, in its protocol's version 2.

use std::io;

/// An answer of a Redis server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// A short text, such as `OK`.
    Status(String),
    /// What was wrong with the command; it begins with a code in capitals.
    Error(String),
    /// A number.
    Integer(i64),
    /// Bytes.
    Bulk(Vec<u8>),
    /// Nothing there.
    Nil,
    /// Several answers.
    Array(Vec<Reply>),
}

impl Reply {
    /// A text or bytes as text; empty for anything else.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Status(text) | Self::Error(text) => text.clone(),
            Self::Bulk(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            _ => String::new(),
        }
    }

    /// A number, also where the server writes one as text.
    #[must_use]
    pub fn integer(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            _ => self.text().parse().ok(),
        }
    }

    /// The parts of an array; none for anything else.
    #[must_use]
    pub fn items(&self) -> &[Self] {
        match self {
            Self::Array(items) => items,
            _ => &[],
        }
    }

    /// The value of a line `field:value`, as INFO and CLUSTER INFO have them.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<String> {
        let text = self.text();
        let mut lines = text.lines().filter_map(|line| line.split_once(':'));
        lines
            .find(|(field, _)| *field == name)
            .map(|(_, value)| value.trim_end().to_owned())
    }

    /// Whether the server refused the command.
    #[must_use]
    pub fn is_error(&self) -> bool {
        matches!(self, Self::Error(_))
    }
}

/// Reads one answer from the front of what has arrived, and says how long it was; none if it hasn't arrived as a whole.
pub(super) fn parse(bytes: &[u8]) -> io::Result<Option<(Reply, usize)>> {
    let Some(end) = bytes.windows(2).position(|pair| pair == b"\r\n") else {
        return Ok(None);
    };
    let line = String::from_utf8_lossy(&bytes[1..end.max(1)]).into_owned();
    let after = end + 2;
    let number = || line.parse::<i64>().map_err(|_| malformed(&line));
    match bytes[0] {
        b'+' => Ok(Some((Reply::Status(line), after))),
        b'-' => Ok(Some((Reply::Error(line), after))),
        b':' => Ok(Some((Reply::Integer(number()?), after))),
        b'$' => {
            let Ok(length) = usize::try_from(number()?) else {
                return Ok(Some((Reply::Nil, after)));
            };
            let whole = after + length;
            Ok((bytes.len() >= whole + 2)
                .then(|| (Reply::Bulk(bytes[after..whole].to_vec()), whole + 2)))
        }
        b'*' => {
            let Ok(length) = usize::try_from(number()?) else {
                return Ok(Some((Reply::Nil, after)));
            };
            let (mut items, mut used) = (Vec::new(), after);
            for _ in 0..length {
                let Some((item, more)) = parse(&bytes[used..])? else {
                    return Ok(None);
                };
                items.push(item);
                used += more;
            }
            Ok(Some((Reply::Array(items), used)))
        }
        _ => Err(malformed(&String::from_utf8_lossy(&bytes[..end]))),
    }
}

fn malformed(line: &str) -> io::Error {
    let message = format!("no answer of a Redis server: {line:?}");
    io::Error::new(io::ErrorKind::InvalidData, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_once_they_are_whole() {
        let whole = b"*5\r\n+OK\r\n:-3\r\n$4\r\na\r\nb\r\n*2\r\n$-1\r\n-ERR no\r\n*-1\r\n";
        let expected = Reply::Array(vec![
            Reply::Status("OK".to_owned()),
            Reply::Integer(-3),
            Reply::Bulk(b"a\r\nb".to_vec()),
            Reply::Array(vec![Reply::Nil, Reply::Error("ERR no".to_owned())]),
            Reply::Nil,
        ]);
        for length in 0..whole.len() {
            assert_eq!(parse(&whole[..length]).unwrap(), None, "{length}");
        }
        let more = [&whole[..], b"+NEXT"].concat();
        assert_eq!(parse(&more).unwrap(), Some((expected, whole.len())));
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        for bytes in [&b"HTTP/1.1 400 Bad Request\r\n"[..], b":x\r\n", b"\r\n"] {
            assert!(parse(bytes).is_err());
        }
    }

    #[test]
    fn fields_are_found_in_sections() {
        let reply = Reply::Bulk(b"# Server\r\nredis_version:7.0.15\r\nos:x:y\r\n".to_vec());
        assert_eq!(reply.field("redis_version").as_deref(), Some("7.0.15"));
        assert_eq!(reply.field("os").as_deref(), Some("x:y"));
        assert_eq!(reply.field("# Server"), None);
    }
}
