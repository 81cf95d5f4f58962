//! Terms that a sink has seen, kept by Redis.

use crate::{Redis, Script, error::during, keys::KeySpace, reply};
use braid_core::{BoxFuture, Error, ErrorKind, Fence, Result, Term};

/// The rules that [`RedisFence`] needs of an ACL user beside [`ACL_CONNECTION`](crate::ACL_CONNECTION), and `~braid:*` for its keys.
pub const ACL_FENCE: &[&str] = &["+get", "+set"];

static ADMIT: Script = Script::new("fence", include_str!("fence.lua"));

/// A [`Fence`] on Redis: one script compares a term with the highest one seen for its resource and remembers it, in the order of the server.
///
/// The highest term is the decimal text at `KeySpace::new(resource).key("fence", &[])`; a resource may have any name, of which those with a `}` outside
/// of a hash tag cost a few thousand hashes each time. It has no time to live: a fence that forgets is none. One whose resource is gone for good may
/// be deleted.
///
/// ```no_run
/// use braid_core::{ErrorKind, Fence, Term};
/// use braid_redis::{Redis, RedisConfig, RedisFence};
///
/// # async fn example() -> braid_core::Result<()> {
/// let redis = Redis::connect(&RedisConfig::from_env()?, "ledger").await?;
/// let fence = RedisFence::new(redis);
/// fence.admit("ledger", Term::new(2)).await?;
/// let late = fence.admit("ledger", Term::new(1)).await.unwrap_err();
/// assert_eq!(late.kind(), ErrorKind::Conflict); // a former master's
/// # Ok(())
/// # }
/// ```
///
/// # Errors of `admit`
/// | kind | what happened |
/// |---|---|
/// | `Conflict` | a higher term has been seen; the text names the resource and both terms |
/// | `Unavailable` | surely nothing: there is no connection, or the server isn't a primary, or misses replicas |
/// | `Indeterminate`, `Timeout` | the term may have been remembered; admit it again before writing |
/// | `Rejected` | the key is somebody else's, or memory has run out |
/// | `Config` | an ACL rule is missing: [`ACL_FENCE`](crate::ACL_FENCE) |
///
/// # What it doesn't promise
/// - That a write comes before the next term. A writer that is frozen between admission and write writes late all the same; only a sink that compares
///   the terms in the step in which it writes is safe from that.
/// - That Redis remembers. Replicas learn of a term after it was admitted, so that a failover may forget the last one, and a primary that is cut off
///   admits former terms until it notices. `min-replicas-to-write` with a short `min-replicas-max-lag` makes such a primary refuse; WAIT tells
///   whether a term has reached replicas. After a crash, what wasn't on the disk is forgotten: about a second's terms with an append-only file,
///   none with `appendfsync always`, and far more without one.
/// - Anything under a `maxmemory-policy` of `allkeys-*`, which may evict the term. `noeviction` and `volatile-*` don't.
#[derive(Clone, Debug)]
pub struct RedisFence {
    redis: Redis,
}

impl RedisFence {
    /// A fence whose terms are on this Redis. Every fence on the same Redis is the same one.
    #[must_use]
    pub fn new(redis: Redis) -> Self {
        Self { redis }
    }

    async fn ask(&self, resource: &str, term: Term) -> Result<()> {
        let keys = KeySpace::new(resource.as_bytes());
        let key = keys.key("fence", &[]);
        let args = vec![term.to_string().into()];
        let fail = |kind, text| Error::new(kind, self.redis.0.component, "admit", text);
        let asked = self.redis.run(&ADMIT, keys.slot(), vec![key.into()], args);
        let frame = asked.await.map_err(|failed| {
            let subject = format_args!("fence of `{resource}`");
            // Of another type; but a conflict is one with a higher term.
            if failed.kind() == ErrorKind::Conflict {
                let text = format!("{subject}: {}", failed.message());
                return fail(ErrorKind::Rejected, text).with_source(failed);
            }
            during(self.redis.0.component, "admit", subject, failed)
        })?;
        match reply::as_text(&frame) {
            None if reply::is_null(&frame) => Ok(()),
            Some(seen) => Err(fail(
                ErrorKind::Conflict,
                format!("term {term} of `{resource}` is over: term {seen} was seen"),
            )),
            None => Err(fail(
                ErrorKind::Internal,
                format!("fence of `{resource}`: the script's reply is neither a term nor nothing"),
            )),
        }
    }
}

impl Fence for RedisFence {
    fn admit<'a>(&'a self, resource: &'a str, term: Term) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.ask(resource, term))
    }
}
