//! One question at a time for each token: whoever asks while another one's question is under way waits, and takes an answer that was asked
//! for after its own call began. So a thousand calls that miss at once cost two questions, and nobody is told of what was before it asked.

use braid_core::{ErrorKind, NodeRef, Result, ServiceName, Token};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// Who waits for which token.
#[derive(Debug, Default)]
pub(crate) struct Flights {
    by_token: Mutex<HashMap<(ServiceName, Token), Arc<Line>>>,
    /// Orders calls and questions.
    moment: AtomicU64,
}

/// Those who ask for one token, one after the other.
type Line = tokio::sync::Mutex<Last>;

/// The last answer, and when it was asked for.
#[derive(Debug, Default)]
struct Last {
    asked: u64,
    answer: Option<Answer>,
}

type Answer = std::result::Result<Option<NodeRef>, (ErrorKind, String)>;

impl Flights {
    /// Asks by `ask`, or takes the answer to somebody else's question. `share` makes an error anew for the others.
    pub(crate) async fn ask(
        &self,
        token: &Token,
        service: &ServiceName,
        ask: impl Future<Output = Result<Option<NodeRef>>>,
        share: impl FnOnce(ErrorKind, String) -> braid_core::Error,
    ) -> Result<Option<NodeRef>> {
        let began = self.moment.fetch_add(1, Relaxed);
        let place = Place::take(self, token, service);
        let mut last = place.line.lock().await;
        if let Some(answer) = &last.answer
            && last.asked > began
        {
            return answer.clone().map_err(|(kind, text)| share(kind, text));
        }
        last.asked = self.moment.fetch_add(1, Relaxed);
        // In case this is dropped: what it asks for then isn't the answer to `asked`.
        last.answer = None;
        let answer = ask.await;
        last.answer = Some(match &answer {
            Ok(node) => Ok(node.clone()),
            Err(error) => Err((error.kind(), error.message().to_owned())),
        });
        answer
    }
}

/// A place in the line. The last one to go takes the line away.
struct Place<'a> {
    flights: &'a Flights,
    key: (ServiceName, Token),
    line: Arc<Line>,
}

impl<'a> Place<'a> {
    fn take(flights: &'a Flights, token: &Token, service: &ServiceName) -> Self {
        let key = (service.clone(), token.clone());
        let mut lines = flights
            .by_token
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let line = Arc::clone(lines.entry(key.clone()).or_default());
        drop(lines);
        Self { flights, key, line }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let lines = self.flights.by_token.lock();
        let mut lines = lines.unwrap_or_else(PoisonError::into_inner);
        // The map's and this one.
        if Arc::strong_count(&self.line) == 2 {
            lines.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use braid_core::{Error, NodeId, Uid};
    use futures_util::future::join_all;
    use std::cell::Cell;
    use tokio::task::yield_now;

    fn names() -> (Token, ServiceName) {
        let service = ServiceName::new("login").expect("it is legal");
        (Token::new("user").expect("it is legal"), service)
    }

    fn node(number: u32) -> NodeRef {
        let uid = Uid::new(number.to_string()).expect("it is legal");
        NodeRef::new(NodeId::new("a").expect("it is legal"), uid)
    }

    fn shared(kind: ErrorKind, text: String) -> Error {
        Error::new(kind, "c", "target", text)
    }

    #[tokio::test]
    async fn a_thousand_questions_at_once_are_two() {
        let (flights, (token, service)) = (Flights::default(), names());
        let asked = Cell::new(0);
        let ask = || async {
            asked.set(asked.get() + 1);
            let number = asked.get();
            yield_now().await;
            Ok(Some(node(number)))
        };
        let answers = (0..1000).map(|_| flights.ask(&token, &service, ask(), shared));
        let answers = join_all(answers).await;
        assert_eq!(asked.get(), 2);
        assert_eq!(answers[0].as_ref().ok(), Some(&Some(node(1))));
        for answer in &answers[1..] {
            // The first question may have been answered before they asked.
            assert_eq!(answer.as_ref().ok(), Some(&Some(node(2))));
        }
        assert!(flights.by_token.lock().expect("nobody panicked").is_empty());
    }

    #[tokio::test]
    async fn an_error_is_everybodys_and_is_not_kept() {
        let (flights, (token, service)) = (Flights::default(), names());
        let ask = || async {
            yield_now().await;
            Err(Error::new(ErrorKind::Unavailable, "c", "get", "away"))
        };
        let answers = (0..10).map(|_| flights.ask(&token, &service, ask(), shared));
        for answer in join_all(answers).await {
            assert_eq!(answer.unwrap_err().kind(), ErrorKind::Unavailable);
        }
        let again = flights
            .ask(&token, &service, async { Ok(None) }, shared)
            .await;
        assert_eq!(again.ok(), Some(None));
    }

    #[tokio::test]
    async fn who_gives_up_leaves_the_line_to_the_next() {
        let (flights, (token, service)) = (Flights::default(), names());
        {
            let hangs = flights.ask(&token, &service, std::future::pending(), shared);
            let mut hangs = std::pin::pin!(hangs);
            assert!(futures_util::poll!(hangs.as_mut()).is_pending());
            let mut waits =
                std::pin::pin!(flights.ask(&token, &service, async { Ok(None) }, shared));
            assert!(futures_util::poll!(waits.as_mut()).is_pending());
        }
        let next = flights.ask(&token, &service, async { Ok(Some(node(1))) }, shared);
        assert_eq!(next.await.ok(), Some(Some(node(1))));
        assert!(flights.by_token.lock().expect("nobody panicked").is_empty());
    }
}
