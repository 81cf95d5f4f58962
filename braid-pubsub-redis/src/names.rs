//! What topics and channels are called on the server.
//!
//! A topic is a stream of its own name, as in the original. Everything else that belongs to it lies in keys that begin with
//! `braid:` and share its slot, so that one script can work on all of it. Names go into keys with their lengths, never split.

use braid_core::{Channel, Topic};
use braid_redis::{
    Value,
    keys::{KeySpace, slot},
};
use bytes::Bytes;

const DEAD_LETTERS: &str = ".dead-letters";
const RESERVED: &str = "braid:";

/// The keys of one partition of a topic.
#[derive(Clone, Debug)]
pub(crate) struct TopicNames {
    pub(crate) topic: Topic,
    pub(crate) partition: u16,
    pub(crate) slot: u16,
    pub(crate) stream: Bytes,
    /// A hash: of each channel its kind, owner, when it was seen, and what it needs.
    pub(crate) channels: Bytes,
    /// There once a message with a key was published.
    pub(crate) keyed: Bytes,
    /// There while nobody needs to look at retention.
    pub(crate) retained: Bytes,
    /// Where messages go after their last attempt; empty for a topic that has no dead letters.
    pub(crate) dead: Bytes,
    pub(crate) dead_keyed: Bytes,
    space: KeySpace,
}

/// The keys of a channel, and its groups.
#[derive(Clone, Debug)]
pub(crate) struct ChannelNames {
    pub(crate) channel: Channel,
    pub(crate) group: Bytes,
    /// The group of its messages with keys.
    pub(crate) group_of_keys: Bytes,
    pub(crate) consumers: Bytes,
    pub(crate) retry: Bytes,
    pub(crate) retry_of_keys: Bytes,
    pub(crate) tended: Bytes,
    pub(crate) lease: Bytes,
}

/// The key of a topic's stream. The first partition is the topic itself; each further one has a slot of its own. Dead-letter topics
/// lie beside their topics, in the same slot, partition by partition.
fn stream_key(topic: &str, partition: u16) -> Bytes {
    match topic.strip_suffix(DEAD_LETTERS) {
        Some(base) if !base.is_empty() => {
            KeySpace::new(&stream_key(base, partition)).key("dead-letters", &[base.as_bytes()])
        }
        _ if partition > 0 => {
            // Without a tag that the name may have: it would put all partitions into one slot.
            let number = partition.to_string();
            KeySpace::new(format!("{}/{number}", topic.replace(['{', '}'], "")).as_bytes())
                .key("partition", &[topic.as_bytes(), number.as_bytes()])
        }
        _ if topic.starts_with(RESERVED) => {
            KeySpace::new(topic.as_bytes()).key("topic", &[topic.as_bytes()])
        }
        _ => Bytes::copy_from_slice(topic.as_bytes()),
    }
}

/// The topic whose dead letters these are; any other is its own. Dead letters have as many partitions as their topic.
pub(crate) fn base_of(topic: &Topic) -> &str {
    let name = topic.as_str();
    name.strip_suffix(DEAD_LETTERS).unwrap_or(name)
}

impl TopicNames {
    pub(crate) fn new(topic: &Topic, partition: u16) -> Self {
        let name = topic.as_str();
        let stream = stream_key(name, partition);
        let space = KeySpace::new(&stream);
        let own = |kind| space.key(kind, &[name.as_bytes()]);
        let letters = topic
            .dead_letters()
            .ok()
            .filter(|_| !topic.is_dead_letters());
        let (dead, dead_keyed) = match &letters {
            Some(letters) => {
                let stream = stream_key(letters.as_str(), partition);
                let space = KeySpace::new(&stream);
                let keyed = space.key("keyed", &[letters.as_str().as_bytes()]);
                (stream, keyed)
            }
            None => Default::default(),
        };
        Self {
            topic: topic.clone(),
            partition,
            slot: slot(&stream),
            channels: own("channels"),
            keyed: own("keyed"),
            retained: own("retained"),
            dead,
            dead_keyed,
            stream,
            space,
        }
    }

    pub(crate) fn has_dead_letters(&self) -> bool {
        !self.dead.is_empty()
    }

    pub(crate) fn dedup(&self, key: &str) -> Bytes {
        self.space
            .key("dedup", &[self.topic.as_str().as_bytes(), key.as_bytes()])
    }

    pub(crate) fn channel(&self, channel: &Channel) -> ChannelNames {
        let name = channel.as_str();
        let own = |kind| {
            let parts = [self.topic.as_str().as_bytes(), name.as_bytes()];
            self.space.key(kind, &parts)
        };
        let group = match name.starts_with(RESERVED) {
            true => format!("braid:channel:{name}"),
            false => name.to_owned(),
        };
        ChannelNames {
            channel: channel.clone(),
            group: group.into(),
            group_of_keys: format!("braid:keys:{name}").into(),
            consumers: own("consumers"),
            retry: own("retry"),
            retry_of_keys: own("retry-of-keys"),
            tended: own("tended"),
            lease: own("lease"),
        }
    }

    /// What the keys of every channel begin with.
    pub(crate) fn channel_prefixes(&self) -> impl Iterator<Item = Bytes> {
        let kinds = ["consumers", "retry", "retry-of-keys", "tended", "lease"];
        kinds
            .map(|kind| self.space.key(kind, &[self.topic.as_str().as_bytes()]))
            .into_iter()
    }

    /// The keys that scripts for the whole topic get, in the order that all scripts share.
    pub(crate) fn keys(&self) -> Vec<Value> {
        [
            &self.stream,
            &self.channels,
            &self.channels,
            &self.channels,
            &self.retained,
            &self.channels,
            &self.keyed,
            self.dead_or_stream(),
            self.dead_keyed_or_keyed(),
        ]
        .map(|key| Value::Bytes(key.clone()))
        .to_vec()
    }

    /// The keys that scripts for a channel get.
    pub(crate) fn keys_of(&self, channel: &ChannelNames, of_keys: bool) -> Vec<Value> {
        let retry = match of_keys {
            true => &channel.retry_of_keys,
            false => &channel.retry,
        };
        [
            &self.stream,
            &self.channels,
            &channel.consumers,
            retry,
            &channel.tended,
            &channel.lease,
            &self.keyed,
            self.dead_or_stream(),
            self.dead_keyed_or_keyed(),
            &channel.retry_of_keys,
        ]
        .map(|key| Value::Bytes(key.clone()))
        .to_vec()
    }

    // A key has to stand there; where a topic has no dead letters no script looks at it.
    fn dead_or_stream(&self) -> &Bytes {
        if self.has_dead_letters() {
            &self.dead
        } else {
            &self.stream
        }
    }

    fn dead_keyed_or_keyed(&self) -> &Bytes {
        if self.has_dead_letters() {
            &self.dead_keyed
        } else {
            &self.keyed
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn names(topic: &str) -> TopicNames {
        TopicNames::new(&Topic::new(topic).unwrap(), 0)
    }

    fn text(key: &Bytes) -> String {
        String::from_utf8_lossy(key).into_owned()
    }

    #[test]
    fn topic_is_its_stream_and_the_rest_lies_beside_it() {
        let names = names("chat.world");
        assert_eq!(text(&names.stream), "chat.world");
        assert_eq!(
            text(&names.channels),
            "braid:{chat.world}:channels:10:chat.world"
        );
        assert_eq!(
            text(&names.dead),
            "braid:{chat.world}:dead-letters:10:chat.world"
        );
        let channel = names.channel(&Channel::new("gate").unwrap());
        assert_eq!(text(&channel.group), "gate");
        assert_eq!(text(&channel.group_of_keys), "braid:keys:gate");
        assert_eq!(
            text(&channel.retry),
            "braid:{chat.world}:retry:10:chat.world:4:gate"
        );
    }

    #[test]
    fn dead_letters_have_the_slot_of_their_topic_and_none_of_their_own() {
        for topic in ["plain", "{tagged}.x", "a}b{", "{}", "braid:own", "日本語"] {
            let (names, letters) = (names(topic), names(&format!("{topic}.dead-letters")));
            assert_eq!(names.dead, letters.stream, "{topic}");
            assert_eq!(names.slot, letters.slot, "{topic}");
            assert_eq!(names.dead_keyed, letters.keyed, "{topic}");
            assert!(names.has_dead_letters() && !letters.has_dead_letters());
        }
    }

    #[test]
    fn every_key_of_a_topic_has_the_slot_of_its_stream() {
        for topic in [
            "plain",
            "{tagged}.x",
            "x{tagged}",
            "a}b{",
            "{}x",
            "{",
            "}",
            "{}",
            "{a}{b}",
            "braid:own",
        ] {
            let names = names(topic);
            let channel = names.channel(&Channel::new("{c}").unwrap());
            let keys = [
                &names.channels,
                &names.keyed,
                &names.retained,
                &names.dead,
                &names.dead_keyed,
                &channel.consumers,
                &channel.retry,
                &channel.retry_of_keys,
                &channel.tended,
                &channel.lease,
                &names.dedup("}"),
            ];
            for key in keys {
                assert_eq!(slot(key), names.slot, "{topic}: {}", text(key));
                assert!(key.starts_with(b"braid:"), "{topic}: {}", text(key));
            }
        }
    }

    #[test]
    fn partitions_have_slots_of_their_own_and_their_dead_letters_beside_them() {
        let mut slots = BTreeSet::new();
        for topic in ["plain", "{tagged}.x", "a}b{"] {
            let letters = Topic::new(format!("{topic}.dead-letters")).unwrap();
            let topic = Topic::new(topic).unwrap();
            for partition in 0..8 {
                let (names, letters) = (
                    TopicNames::new(&topic, partition),
                    TopicNames::new(&letters, partition),
                );
                slots.insert(names.slot);
                assert_eq!((&names.dead, names.slot), (&letters.stream, letters.slot));
                let channel = names.channel(&Channel::new("gate").unwrap());
                assert_eq!(slot(&channel.retry), names.slot, "{topic} {partition}");
            }
        }
        assert!(slots.len() > 20, "{slots:?}");
    }

    #[test]
    fn names_that_could_meet_when_joined_do_not() {
        let mut seen = BTreeSet::new();
        for (topic, channel) in [
            ("a", "b:c"),
            ("a:b", "c"),
            ("a", "1:b"),
            ("a}", "c"),
            ("a", "}c"),
            ("x{a}", "c"),
            ("y{a}", "c"),
        ] {
            let channel = names(topic).channel(&Channel::new(channel).unwrap());
            assert!(seen.insert(channel.retry.clone()), "{topic}");
        }
    }

    #[test]
    fn prefixes_are_what_the_keys_of_channels_begin_with() {
        let names = names("x{a}");
        let channel = names.channel(&Channel::new("gate").unwrap());
        let own = [
            &channel.consumers,
            &channel.retry,
            &channel.retry_of_keys,
            &channel.tended,
            &channel.lease,
        ];
        for (prefix, key) in names.channel_prefixes().zip(own) {
            // As the retention script puts them together.
            assert_eq!(format!("{}:4:gate", text(&prefix)), text(key));
        }
    }

    #[test]
    fn channel_names_that_look_like_ours_are_told_apart() {
        let names = names("t");
        let group = |channel: &str| names.channel(&Channel::new(channel).unwrap()).group;
        assert_eq!(text(&group("braid:keys:x")), "braid:channel:braid:keys:x");
        assert_ne!(group("braid:retry"), group("retry"));
    }
}
