//! Where messages go after their last attempt, as the state machine sees it.

use braid_core::{Channel, Message};

/// Takes dead letters. Called with the topic's state locked, so that the move is one step for everybody else.
pub(super) trait Graveyard {
    fn bury(&mut self, letter: DeadLetter<'_>) -> Buried;
}

/// A message that a channel gives up on.
#[derive(Debug)]
pub(super) struct DeadLetter<'a> {
    pub(super) channel: &'a Channel,
    pub(super) message: &'a Message,
    pub(super) attempts: u32,
    pub(super) reason: &'a str,
    /// It could not be buried before.
    pub(super) again: bool,
}

/// Whether a dead letter was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Buried {
    /// It was.
    Done,
    /// Not now: the dead-letter topic is at its cap.
    Later,
    /// Never: this topic has no dead-letter topic.
    Nowhere,
}
