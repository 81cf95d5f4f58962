//! Handlers: a function that is called for each delivery.

use super::{Delivery, Message, Subscription};
use crate::{Error, ErrorKind, Result, error::panic_text};
use std::{fmt::Display, sync::Arc};
use tokio::task::{Id, JoinError, JoinHandle, JoinSet};
use tokio_util::sync::{CancellationToken, DropGuard};

impl Subscription {
    /// Calls `handler` for each message: `Ok` acks, `Err` retries with the error's text as reason, and a panic counts as an error.
    ///
    /// As many handlers run at a time as the subscription may hold in flight
    /// ([`max_in_flight`](crate::SubscribeOptions::max_in_flight)): with 1, messages are handled one after the other. They run until the
    /// [`Consumer`] is closed or dropped.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn arrived<H, F, E>(self, handler: H) -> Consumer
    where
        H: Fn(Message) -> F + Send + Sync + 'static,
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Display + Send + 'static,
    {
        let stop = CancellationToken::new();
        let abort = CancellationToken::new();
        let worker = work(self, Arc::new(handler), stop.clone());
        let aborted = abort.clone();
        let task = tokio::spawn(async move {
            tokio::select! {
                result = worker => result,
                () = aborted.cancelled() => Ok(()),
            }
        });
        Consumer {
            task: Some(task),
            stop,
            _abort: abort.drop_guard(),
        }
    }
}

/// A running handler. Dropping it stops the hand-out and aborts the handlers, whose messages are then delivered again.
#[derive(Debug)]
#[must_use = "a consumer that is dropped stops"]
pub struct Consumer {
    task: Option<JoinHandle<Result<()>>>,
    stop: CancellationToken,
    /// Ends the task, and with it the handlers, when the consumer is dropped.
    _abort: DropGuard,
}

impl Consumer {
    /// Stops the hand-out, waits until the handlers that run have ended and their messages are settled, and leaves the
    /// channel.
    ///
    /// # Errors
    /// What [`Subscription::close`] says; `Internal` when the worker panicked.
    ///
    /// # Cancel safety
    /// A dropped future aborts the handlers that still run.
    pub async fn close(mut self) -> Result<()> {
        self.stop.cancel();
        self.join().await
    }

    /// Waits until the consumer ends by itself, which it does when its backend closes.
    ///
    /// # Errors
    /// As [`close`](Self::close).
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn ended(&mut self) -> Result<()> {
        self.join().await
    }

    async fn join(&mut self) -> Result<()> {
        let Some(task) = &mut self.task else {
            return Ok(());
        };
        let result = task.await;
        self.task = None;
        result.unwrap_or_else(|error| {
            let text = format!("the consumer's worker ended: {error}");
            Err(Error::new(ErrorKind::Internal, "core", "consumer", text))
        })
    }
}

/// A delivery under way: kept beside its handler, so that a panic of the handler leaves somebody to settle it.
type InFlight = std::collections::HashMap<Id, Delivery>;

async fn work<H, F, E>(
    mut subscription: Subscription,
    handler: Arc<H>,
    stop: CancellationToken,
) -> Result<()>
where
    H: Fn(Message) -> F + Send + Sync + 'static,
    F: Future<Output = Result<(), E>> + Send + 'static,
    E: Display + Send + 'static,
{
    let mut handlers: JoinSet<Result<(), String>> = JoinSet::new();
    let mut in_flight = InFlight::new();
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(ended) = handlers.join_next_with_id() => settle(ended, &mut in_flight).await,
            next = subscription.next() => match next {
                Some(Ok(delivery)) => {
                    let handler = Arc::clone(&handler);
                    let message = delivery.message().clone();
                    // The handler is called inside the task, so that a panic before its first await is caught as well.
                    let task = handlers
                        .spawn(async move { handler(message).await.map_err(|e| e.to_string()) });
                    in_flight.insert(task.id(), delivery);
                }
                Some(Err(error)) => tracing::warn!(%error, "the subscription goes on after a fault"),
                None => break,
            },
        }
    }
    let closed = subscription.close().await;
    while let Some(ended) = handlers.join_next_with_id().await {
        settle(ended, &mut in_flight).await;
    }
    closed
}

async fn settle(
    ended: std::result::Result<(Id, Result<(), String>), JoinError>,
    in_flight: &mut InFlight,
) {
    let (id, outcome) = match ended {
        Ok((id, outcome)) => (id, outcome),
        Err(error) => (error.id(), Err(describe(error))),
    };
    let Some(delivery) = in_flight.remove(&id) else {
        return;
    };
    let message = delivery.message().id.clone();
    let settled = match outcome {
        Ok(()) => delivery.ack().await,
        Err(reason) => {
            tracing::debug!(%message, attempt = delivery.message().attempt, reason, "a handler failed");
            delivery.retry(reason).await.map(|_| ())
        }
    };
    if let Err(error) = settled {
        tracing::warn!(%message, %error, "not settled: the message will be delivered again");
    }
}

fn describe(error: JoinError) -> String {
    match error.try_into_panic() {
        Ok(panic) => format!("the handler panicked: {}", panic_text(&*panic)),
        Err(_) => "the handler was aborted".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BoxFuture, MessageId, NewMessage, Ownership};
    use futures_util::{StreamExt, stream};
    use std::{
        sync::atomic::{AtomicBool, Ordering},
        time::{Duration, SystemTime},
    };
    use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

    /// Tells how a delivery was settled.
    #[derive(Debug)]
    struct Recorder(UnboundedSender<String>);

    impl Recorder {
        fn tell(&self, what: String) -> BoxFuture<'static, Result<Ownership>> {
            self.0.send(what).unwrap();
            Box::pin(async { Ok(Ownership::Held) })
        }
    }

    impl super::super::Acknowledge for Recorder {
        fn ack(self: Box<Self>) -> BoxFuture<'static, Result<()>> {
            self.0.send("ack".into()).unwrap();
            Box::pin(async { Ok(()) })
        }

        fn retry(
            self: Box<Self>,
            reason: String,
            _after: Option<Duration>,
        ) -> BoxFuture<'static, Result<Ownership>> {
            self.tell(format!("retry: {reason}"))
        }

        fn dead_letter(self: Box<Self>, reason: String) -> BoxFuture<'static, Result<Ownership>> {
            self.tell(format!("dead: {reason}"))
        }

        fn heartbeat(&self) -> BoxFuture<'_, Result<Ownership>> {
            Box::pin(async { Ok(Ownership::Held) })
        }
    }

    /// A subscription that delivers these bodies and then waits.
    fn subscription(bodies: &[&'static str]) -> (Subscription, UnboundedReceiver<String>) {
        let (sender, receiver) = unbounded_channel();
        let deliveries: Vec<_> = bodies
            .iter()
            .map(|body| {
                let id = MessageId::new("1").unwrap();
                let message = Message::new(id, SystemTime::UNIX_EPOCH, NewMessage::new(*body));
                Ok(Delivery::new(message, Box::new(Recorder(sender.clone()))))
            })
            .collect();
        let stream = stream::iter(deliveries).chain(stream::pending());
        (Subscription::new(stream, async { Ok(()) }), receiver)
    }

    #[tokio::test]
    async fn ok_acks_an_error_retries_and_a_panic_is_an_error() {
        let (subscription, mut settled) = subscription(&["good", "bad", "ugly"]);
        let consumer = subscription.arrived(|message| async move {
            match &message.body[..] {
                b"good" => Ok(()),
                b"bad" => Err("not today"),
                _ => panic!("no {}", "way"),
            }
        });
        let mut outcomes = Vec::new();
        for _ in 0..3 {
            outcomes.push(settled.recv().await.unwrap());
        }
        outcomes.sort();
        assert_eq!(
            outcomes,
            [
                "ack",
                "retry: not today",
                "retry: the handler panicked: no way"
            ]
        );
        consumer.close().await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn close_waits_for_the_handlers_that_run() {
        let (subscription, mut settled) = subscription(&["slow"]);
        let started = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&started);
        let consumer = subscription.arrived(move |_| {
            let flag = Arc::clone(&flag);
            async move {
                flag.store(true, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_secs(5)).await;
                Ok::<(), Error>(())
            }
        });
        while !started.load(Ordering::SeqCst) {
            tokio::task::yield_now().await;
        }
        consumer.close().await.unwrap();
        assert_eq!(settled.try_recv().unwrap(), "ack");
    }
}
