//! The two ways to name a method.

use braid_core::{Error, ErrorKind, Result};
use http::uri::PathAndQuery;

/// A method, as callers may write it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Method<'a> {
    /// `/package.Service/Method`: called as it is.
    Path(PathAndQuery),
    /// `user.password` or `/user.password`: goes to the handler that is registered under that name.
    Short(&'a str),
}

impl<'a> Method<'a> {
    pub(crate) fn parse(text: &'a str) -> Result<Self> {
        let relative = text.strip_prefix('/').unwrap_or(text);
        match relative.split_once('/') {
            None => short_name(relative).map(Self::Short),
            Some((service, method)) => {
                let legal = |part: &str| !part.is_empty() && part.bytes().all(is_path_byte);
                if !text.starts_with('/') || !legal(service) || !legal(method) {
                    return Err(malformed(text));
                }
                let path = PathAndQuery::try_from(text).map_err(|_| malformed(text))?;
                Ok(Self::Path(path))
            }
        }
    }
}

/// Checks a short name: not empty, no slash, no space, nothing that doesn't print.
pub(crate) fn short_name(name: &str) -> Result<&str> {
    let legal = |c: char| c != '/' && !c.is_whitespace() && !c.is_control();
    if name.is_empty() || !name.chars().all(legal) {
        return Err(malformed(name));
    }
    Ok(name)
}

// What needs no escaping in a URI's path; protobuf names need no more.
fn is_path_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&byte)
}

fn malformed(text: &str) -> Error {
    // Nobody reads a name of megabytes.
    let shown: String = text.chars().take(100).collect();
    let dots = if shown.len() < text.len() { "…" } else { "" };
    let message = format!(
        "the method {shown:?}{dots} is malformed: it is neither a path (`/package.Service/Method`) nor a short name (`user.password`)"
    );
    Error::new(ErrorKind::Config, "rpc", "method", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_short_names_are_told_apart() {
        let path = Method::parse("/mail.Mail/Send").unwrap();
        assert_eq!(
            path,
            Method::Path(PathAndQuery::from_static("/mail.Mail/Send"))
        );
        for text in ["user.password", "/user.password", "用户.密码"] {
            let name = text.trim_start_matches('/');
            assert_eq!(Method::parse(text).unwrap(), Method::Short(name));
        }
    }

    #[test]
    fn malformed_methods_are_refused_and_named() {
        for text in [
            "",
            "/",
            "//",
            "//x",
            "/x/",
            "/a/b/c",
            "a/b",
            "a b",
            "/a b",
            "/a b/c",
            "/a/b?c",
            "/a/b#c",
            "/a/b%2f",
            "a\nb",
            "/a/\u{0}",
            " ",
            "/日本/x",
        ] {
            let error = Method::parse(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{text:?}");
            let name = text.strip_prefix('/').unwrap_or(text);
            let named = error.to_string().contains(&format!("{text:?}"))
                || error.to_string().contains(&format!("{name:?}"));
            assert!(named, "{error}");
        }
        let long = Method::parse(&format!("{} ", "x".repeat(1 << 20))).unwrap_err();
        assert!(long.to_string().len() < 400);
    }
}
