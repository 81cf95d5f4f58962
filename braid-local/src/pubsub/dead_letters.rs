//! The way from a topic to its dead-letter topic.

use super::{
    broker::Broker,
    effects::{Effects, Note},
    grave::{Buried, DeadLetter, Graveyard},
};
use braid_core::{NewMessage, Topic, pubsub::dead_letter};

/// Buries the dead letters of a topic whose lock is held, and gathers what is to be done when it is released.
#[derive(Debug)]
pub(super) struct DeadLetters<'a> {
    pub(super) broker: &'a Broker,
    pub(super) effects: Effects,
    pub(super) topic: &'a Topic,
}

impl<'a> DeadLetters<'a> {
    pub(super) fn new(broker: &'a Broker, topic: &'a Topic) -> Self {
        Self {
            broker,
            effects: Effects::default(),
            topic,
        }
    }

    /// Where this topic's dead letters go.
    fn grave(&self) -> Result<Topic, &'static str> {
        if self.topic.is_dead_letters() {
            return Err("it is a dead letter already");
        }
        self.topic
            .dead_letters()
            .map_err(|_| "the name of the dead-letter topic would be too long")
    }

    fn compose(&self, letter: &DeadLetter<'_>) -> NewMessage {
        dead_letter::compose(
            self.topic,
            letter.channel,
            letter.message,
            letter.attempts,
            letter.reason,
        )
    }
}

impl Graveyard for DeadLetters<'_> {
    fn bury(&mut self, letter: DeadLetter<'_>) -> Buried {
        let (buried, cause) = match self.grave() {
            Err(cause) => (Buried::Nowhere, Some(cause)),
            Ok(grave) => match self
                .broker
                .store(&grave, self.compose(&letter), &mut self.effects)
            {
                Some(_) => (Buried::Done, None),
                None => (Buried::Later, Some("the dead-letter topic is at its cap")),
            },
        };
        if !letter.again || buried == Buried::Done {
            self.effects.note(Note::DeadLetter {
                topic: self.topic.clone(),
                channel: letter.channel.clone(),
                message: letter.message.id.clone(),
                attempts: letter.attempts,
                stays: cause,
            });
        }
        buried
    }
}
