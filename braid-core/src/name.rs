//! Names: services, nodes, topics, channels, tokens. Any text is legal within its limit; empty is not.
//!
//! A name is an `Arc<str>`, so that a clone is one counter. Backends encode names into keys and never split them.

use crate::{Error, ErrorKind, Result};
use std::{borrow::Borrow, fmt, str::FromStr, sync::Arc};

fn check(what: &'static str, limit: usize, text: &str) -> Result<()> {
    let fault = if text.is_empty() {
        "empty".to_owned()
    } else if text.len() > limit {
        format!("{} bytes, the limit is {limit}", text.len())
    } else {
        return Ok(());
    };
    Err(Error::new(ErrorKind::Config, "core", what, fault))
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $limit:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The longest legal name, in bytes of UTF-8.
            pub const MAX_LEN: usize = $limit;

            /// Checks and takes a text.
            ///
            /// # Errors
            /// `Config` when the text is empty or longer than [`MAX_LEN`](Self::MAX_LEN) bytes.
            pub fn new(text: impl AsRef<str> + Into<Arc<str>>) -> Result<Self> {
                check($what, $limit, text.as_ref())?;
                Ok(Self(text.into()))
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<&str> for $name {
            type Error = Error;
            fn try_from(text: &str) -> Result<Self> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = Error;
            fn try_from(text: String) -> Result<Self> {
                Self::new(text)
            }
        }

        impl TryFrom<&String> for $name {
            type Error = Error;
            fn try_from(text: &String) -> Result<Self> {
                Self::new(text.as_str())
            }
        }

        impl From<&$name> for $name {
            fn from(name: &$name) -> Self {
                name.clone()
            }
        }

        impl FromStr for $name {
            type Err = Error;
            fn from_str(text: &str) -> Result<Self> {
                Self::new(text)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

macro_rules! shown {
    ($($name:ident),*) => { $(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }
    )* };
}

name! {
    /// A service: what others call, and all nodes of one kind together. `login`, `mail`.
    ServiceName, "service name", 255
}
name! {
    /// The name of one node within the fleet. `login-7c9f-x2x`.
    NodeId, "node id", 255
}
name! {
    /// One life of a node: a restart under the same [`NodeId`] has another uid.
    Uid, "node uid", 255
}
name! {
    /// A stream of messages. `chat.world`.
    Topic, "topic", 1024
}
name! {
    /// A group of consumers that share the messages of a topic. Different channels each get every message.
    Channel, "channel", 255
}
name! {
    /// The id of a published message, unique within its topic. Its form is the backend's.
    MessageId, "message id", 255
}
name! {
    /// Names a user across calls, so that they stay on one node.
    ///
    /// A token is a secret: it has no `Display`, and `Debug` hides it.
    Token, "token", 4096
}
shown!(ServiceName, NodeId, Uid, Topic, Channel, MessageId);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(hidden)")
    }
}

impl Topic {
    /// Where messages of this topic go after their last attempt: this name with `.dead-letters` behind it, so that an
    /// access rule for a topic's prefix covers it.
    ///
    /// # Errors
    /// `Config` when the name gets too long.
    pub fn dead_letters(&self) -> Result<Topic> {
        Topic::new(format!("{self}{DEAD_LETTERS}"))
    }

    /// Whether this is the dead-letter topic of another one.
    #[must_use]
    pub fn is_dead_letters(&self) -> bool {
        self.as_str().ends_with(DEAD_LETTERS)
    }
}

const DEAD_LETTERS: &str = ".dead-letters";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_within_the_limit_is_a_name() {
        for text in [
            "a",
            "login-7",
            "{braces}",
            "a b\tc",
            "日本語",
            "\u{0}",
            "*",
            "..",
            &"x".repeat(255),
        ] {
            assert_eq!(
                ServiceName::new(text)
                    .map(|n| n.as_str().to_owned())
                    .unwrap(),
                text
            );
        }
    }

    #[test]
    fn empty_and_oversized_names_are_refused_with_their_fault() {
        let text = |error: Error| error.to_string();
        assert_eq!(text(Topic::new("").unwrap_err()), "core: topic: empty");
        let long = Token::new("x".repeat(64 * 1024)).unwrap_err();
        assert_eq!(text(long), "core: token: 65536 bytes, the limit is 4096");
    }

    #[test]
    fn dead_letter_topic_knows_itself() {
        let topic = Topic::new("chat.world").unwrap();
        let dead = topic.dead_letters().unwrap();
        assert_eq!(dead.as_str(), "chat.world.dead-letters");
        assert!(dead.is_dead_letters() && !topic.is_dead_letters());
    }

    #[test]
    fn debug_hides_a_token_and_shows_a_name() {
        let token = Token::new("sentinel").unwrap();
        assert_eq!(format!("{token:?}"), "Token(hidden)");
        assert_eq!(
            format!("{:?}", NodeId::new("gate-1").unwrap()),
            "\"gate-1\""
        );
    }
}
