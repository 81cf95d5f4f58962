//! What is shown of a topic when the server's own figures are wrong.

use braid_core::{Channel, Component as _, PubSub as _, ShutdownTrigger, SubscribeOptions, Topic};
use braid_pubsub_redis::{PubSubConfig, RedisPubSub};
use braid_testkit::{SETTLED, real_time, redis::RedisServer, within};

#[test]
fn lag_is_what_follows_whatever_the_server_counts() {
    real_time().block_on(async {
        let server = RedisServer::builder().start().await;
        let pubsub = RedisPubSub::connect(PubSubConfig::new(server.url())).await;
        let pubsub = pubsub.unwrap();
        let trigger = ShutdownTrigger::new();
        let background = {
            let (pubsub, shutdown) = (pubsub.clone(), trigger.shutdown());
            tokio::spawn(async move { pubsub.run(shutdown).await })
        };
        let (topic, channel) = (Topic::new("t").unwrap(), Channel::new("c").unwrap());
        let options = SubscribeOptions::shared();
        let mut subscription = pubsub.subscribe(&topic, &channel, options).await.unwrap();
        for _ in 0..3 {
            pubsub.publish(&topic, "x".into()).await.unwrap();
            let delivery = within("a delivery", SETTLED, subscription.next()).await;
            delivery.unwrap().unwrap().ack().await.unwrap();
        }
        subscription.close().await.unwrap();

        // As on a replica that was promoted.
        let script = "local stream = redis.call('SCAN', 0, 'COUNT', 1000, 'TYPE', 'stream')[2][1] \
            redis.call('XGROUP', 'SETID', stream, 'c', '$', 'ENTRIESREAD', 1) \
            return redis.call('XINFO', 'GROUPS', stream)[1][12]";
        let lag = server.command(&["EVAL", script, "0"]).await.integer();
        assert_eq!(lag, Some(2), "the server is wrong");
        let lag = async || pubsub.inspect(&topic).await.unwrap().channels[0].lag;
        assert_eq!(lag().await, 0);
        pubsub.publish(&topic, "x".into()).await.unwrap();
        assert_eq!(lag().await, 1);
        trigger.drain();
        background.await.unwrap().unwrap();
    });
}
