//! What an ACL user has to be allowed.

/// The rules that an ACL user needs for links, beside those of the connections ([`braid_redis::ACL_CONNECTION`] and
/// [`braid_redis::ACL_SUBSCRIBER`]), the keys (`~braid:*`) and
/// the channels (`&braid:*`). The README has the whole line.
///
/// With [`original_parents`](crate::LinkCacheConfig::original_parents) it also needs `+hget` and the keys `~braid_linker-*`.
///
/// Without one of them, whatever needs it fails with `Config`, naming the command and the rule.
pub const ACL: &[&str] = &[
    "+del",
    "+get",
    "+hdel",
    "+hgetall",
    "+hset",
    "+mget",
    "+pexpire",
    "+pttl",
    "+publish",
    "+sadd",
    "+scard",
    "+set",
    "+smembers",
    "+srem",
    "+time",
    "+unlink",
    "+zadd",
    "+zcard",
    "+zcount",
    "+zrange",
    "+zrangebyscore",
    "+zrem",
    "+zremrangebyrank",
    "+zremrangebyscore",
    "+zscore",
];
