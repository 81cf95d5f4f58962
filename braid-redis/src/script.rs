//! Lua scripts by their digest.

use crate::denial::explained;
use braid_core::Error;
use fred::types::Value;
use sha1::{Digest, Sha1};
use std::{fmt, fmt::Write as _, sync::OnceLock};

/// A Lua script that runs on the server, named for errors.
///
/// ```
/// use braid_redis::Script;
///
/// static TAKE: Script = Script::new("take", "return redis.call('GETDEL', KEYS[1])");
/// assert_eq!(TAKE.name(), "take");
/// ```
pub struct Script {
    name: &'static str,
    source: &'static str,
    digest: OnceLock<Value>,
}

impl Script {
    /// The script `source`, called `name` in errors.
    #[must_use]
    pub const fn new(name: &'static str, source: &'static str) -> Self {
        Self {
            name,
            source,
            digest: OnceLock::new(),
        }
    }

    /// What errors call it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The Lua text.
    #[must_use]
    pub fn source(&self) -> &'static str {
        self.source
    }

    /// Makes an error of this script name the command that its user may not run: Redis 7.0 tells only the line. Any other error stays
    /// as it is. [`Redis::run`](crate::Redis::run) does this by itself.
    #[must_use]
    pub fn explain(&self, error: Error) -> Error {
        explained(self.source, error)
    }

    /// The SHA-1 that the server knows it by, in hexadecimal; computed once.
    pub(crate) fn digest(&self) -> Value {
        self.digest
            .get_or_init(|| {
                let mut text = String::with_capacity(40);
                for byte in Sha1::digest(self.source) {
                    write!(text, "{byte:02x}").expect("writing to a String can't fail");
                }
                text.into()
            })
            .clone()
    }
}

/// The [`Script`] of a name, from `scripts/<name>.lua` beside the file that says so. In front of it stand what scripts of all crates share,
/// `now()` (milliseconds by the server's clock) and `text(number)` (a whole number in decimals, however large), and then what those of this
/// crate share, `scripts/lib.lua`.
#[macro_export]
macro_rules! script {
    ($name:literal) => {
        $crate::Script::new(
            $name,
            concat!(
                $crate::__shared_lua!(),
                include_str!("scripts/lib.lua"),
                include_str!(concat!("scripts/", $name, ".lua"))
            ),
        )
    };
}

/// A macro, since `concat` takes nothing else from another crate.
#[doc(hidden)]
#[macro_export]
macro_rules! __shared_lua {
    () => {
        "local function now()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function text(number)
  return string.format('%.0f', number)
end

"
    };
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Script").field(&self.name).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_is_the_servers() {
        // redis-cli SCRIPT LOAD "return 1"
        let script = Script::new("one", "return 1");
        assert_eq!(
            script.digest().as_str().as_deref(),
            Some("e0e1f9fabfc9d4800c877a703b823ac0578ff8db")
        );
    }
}
