//! What an ACL user has to be allowed.

/// The rules that an ACL user needs for topics, beside those of the connection ([`braid_redis::ACL_CONNECTION`]) and the keys: `~braid:*`,
/// `~braid.topic.*`, and what matches the names of the application's topics. The README has the whole line.
///
/// [`Durability::Replicated`](crate::Durability::Replicated) needs `+wait` too, and [`Durability::Durable`](crate::Durability::Durable)
/// needs `+waitaof`, which servers before Redis 7.2 don't know.
///
/// Without one of them, whatever needs it fails with `Config`, naming the command and the rule: the call, or else the subscription whose
/// work it was.
pub const ACL: &[&str] = &[
    "+client|unblock",
    "+del",
    "+exists",
    "+get",
    "+hdel",
    "+hget",
    "+hgetall",
    "+hmget",
    "+hset",
    "+hsetnx",
    "+set",
    "+time",
    "+xack",
    "+xadd",
    "+xclaim",
    "+xgroup|create",
    "+xgroup|delconsumer",
    "+xgroup|destroy",
    "+xinfo|consumers",
    "+xinfo|groups",
    "+xlen",
    "+xpending",
    "+xrange",
    "+xread",
    "+xreadgroup",
    "+xrevrange",
    "+xtrim",
    "+zadd",
    "+zcard",
    "+zrange",
    "+zrem",
    "+zscore",
];
