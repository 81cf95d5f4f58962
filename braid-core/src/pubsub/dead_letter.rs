//! Dead letters: what they say beside the message that they were, and the way back.

use super::{Message, NewMessage, NewMessageParts};
use crate::{Channel, Error, ErrorKind, Result, Topic};

/// The topic it was published to.
pub const TOPIC: &str = "braid-dead-topic";
/// The channel that gave up on it.
pub const CHANNEL: &str = "braid-dead-channel";
/// The id it had in its topic.
pub const ID: &str = "braid-dead-id";
/// How often it was handed out, as a decimal number.
pub const ATTEMPTS: &str = "braid-dead-attempts";
/// Why the last attempt failed.
pub const REASON: &str = "braid-dead-reason";

/// On any message: the one channel that it is for. All other channels of its topic treat it as acked, and reads leave it out.
///
/// Set by [`redrive`](super::PubSubExt::redrive). A dead letter doesn't carry it: it would be for no channel of the dead-letter topic.
pub const ONLY_CHANNEL: &str = "braid-only-channel";

/// The name of the shared channel, on the dead-letter topic, through which [`redrive`](super::PubSubExt::redrive) takes letters.
pub const REDRIVE_CHANNEL: &str = "braid-redrive";

/// For backends: the dead letter of a message that `channel` of `topic` gave up on. Body, key and headers are those of the message.
#[must_use]
pub fn compose(
    topic: &Topic,
    channel: &Channel,
    message: &Message,
    attempts: u32,
    reason: &str,
) -> NewMessage {
    let mut parts = NewMessageParts::again(message);
    parts.headers.remove(ONLY_CHANNEL);
    parts
        .into_message()
        .with_header(TOPIC, topic.as_str())
        .with_header(CHANNEL, channel.as_str())
        .with_header(ID, message.id.as_str())
        .with_header(ATTEMPTS, attempts.to_string())
        .with_header(REASON, reason)
}

/// The message that a dead letter of `topic` was, for the channel that gave up on it.
///
/// # Errors
/// `Internal`, naming the header: it is missing, or says what can't be.
pub(super) fn revive(topic: &Topic, letter: &Message) -> Result<NewMessage> {
    let origin = header(letter, TOPIC)?;
    if origin != topic.as_str() {
        return Err(fault(letter, TOPIC, "names another topic"));
    }
    let channel = Channel::new(header(letter, CHANNEL)?)
        .map_err(|error| fault(letter, CHANNEL, error.message()))?;
    let mut parts = NewMessageParts::again(letter);
    for name in [TOPIC, CHANNEL, ID, ATTEMPTS, REASON] {
        parts.headers.remove(name);
    }
    // Two redrives of one letter make one message, as far as the backend's dedup window reaches.
    Ok(parts
        .into_message()
        .with_header(ONLY_CHANNEL, channel.as_str())
        .with_dedup_key(format!("{REDRIVE_CHANNEL}:{}", letter.id)))
}

fn header<'a>(letter: &'a Message, name: &str) -> Result<&'a str> {
    let value = letter.headers.get(name).map(String::as_str);
    value.ok_or_else(|| fault(letter, name, "is missing"))
}

fn fault(letter: &Message, header: &str, text: &str) -> Error {
    let text = format!("dead letter `{}`: header `{header}` {text}", letter.id);
    Error::new(ErrorKind::Internal, "core", "redrive", text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MessageId;
    use std::time::SystemTime;

    fn message(new: NewMessage) -> Message {
        Message::new(MessageId::new("7").unwrap(), SystemTime::UNIX_EPOCH, new)
    }

    fn letter(topic: &Topic, was: &Message) -> Message {
        let channel = Channel::new("mailer").unwrap();
        message(compose(topic, &channel, was, 5, "out of paper"))
    }

    #[test]
    fn revived_letter_is_the_message_for_the_channel_that_gave_up() {
        let topic = Topic::new("mail").unwrap();
        let new = || NewMessage::new("x").with_header("lang", "en").with_key("k");
        let letter = letter(&topic, &message(new()));
        assert_eq!(letter.headers[CHANNEL], "mailer");
        assert_eq!(letter.headers[REASON], "out of paper");
        let expected = new()
            .with_header(ONLY_CHANNEL, "mailer")
            .with_dedup_key("braid-redrive:7");
        assert_eq!(revive(&topic, &letter).unwrap(), expected);
    }

    #[test]
    fn letter_of_a_redriven_message_is_for_every_channel() {
        let topic = Topic::new("mail").unwrap();
        let again = message(NewMessage::new("x").with_header(ONLY_CHANNEL, "mailer"));
        assert!(!again.is_for(&Channel::new("other").unwrap()));
        let letter = letter(&topic, &again);
        assert!(letter.is_for(&Channel::new("other").unwrap()));
        assert!(!letter.headers.contains_key(ONLY_CHANNEL));
    }

    #[test]
    fn what_is_no_letter_of_the_topic_is_not_revived() {
        let topic = Topic::new("mail").unwrap();
        let other = Topic::new("other").unwrap();
        let good = letter(&topic, &message(NewMessage::new("x")));
        let text = |letter: &Message, topic| revive(topic, letter).unwrap_err().to_string();
        assert!(text(&good, &other).contains(TOPIC));
        assert!(text(&message(NewMessage::new("x")), &topic).contains(TOPIC));
        let mut without = good.clone();
        without.headers.remove(CHANNEL);
        assert!(text(&without, &topic).contains(CHANNEL));
        without.headers.insert(CHANNEL.to_owned(), String::new());
        assert!(text(&without, &topic).contains("empty"));
    }
}
