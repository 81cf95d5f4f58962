//! One connection, a command, a script, and a connection of its own that blocks.
//!
//! Needs a server: `BRAID_REDIS_URL=redis://127.0.0.1:6379 cargo run -p braid-redis --example redis`.

use braid_core::Result;
use braid_redis::{Redis, RedisConfig, Script, keys::KeySpace, reply};
use std::time::Duration;

static COUNT: Script = Script::new("count", "return redis.call('INCRBY', KEYS[1], ARGV[1])");

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let redis = Redis::connect(&RedisConfig::from_env()?, "example").await?;
    println!("connected to {:?}", redis.server());

    // Whatever stands beside a key is in its slot, so that one script may touch both.
    let topic = KeySpace::new(b"chat.world");
    let (slot, counter) = (topic.slot(), topic.key("count", &[]));
    let frame = redis
        .run(&COUNT, slot, vec![counter.into()], vec![2.into()])
        .await?;
    println!("counted {:?}", reply::as_int(&frame));

    let queue = topic.key("queue", &[b"gate-1"]);
    let reader = redis.dedicated(slot).await?;
    let args = vec![queue.clone().into(), 5.into()];
    let (popped, pushed) = tokio::join!(
        reader.command("BLPOP", args, Duration::from_secs(10)),
        redis.command("RPUSH", slot, vec![queue.into(), "hello".into()]),
    );
    pushed?;
    let popped = popped?;
    let text = reply::as_array(&popped).and_then(|pair| reply::as_text(pair.get(1)?));
    println!("popped {text:?}");

    redis.close().await;
    Ok(())
}
