//! Names of keys, and the cluster slots that they are in.
//!
//! A main key (a topic's stream, say) may have any name. What braid keeps beside it must be in the same slot of a cluster, so that
//! one script may touch both: see [`KeySpace`].

use bytes::Bytes;
use std::io::Write;

/// The slot of a cluster that holds `key`: CRC16 of its hash tag, or of all of it, modulo 16,384.
#[must_use]
pub fn slot(key: &[u8]) -> u16 {
    fred::util::redis_keyslot(key)
}

/// A text `tag` such that any key with `{tag}` as its first braces is in the slot of `key`.
///
/// It is the hash tag of `key` if that has one, `key` itself if it has no closing brace, and else a number that falls into the same slot;
/// finding that one takes a few thousand hashes, so keep it.
#[must_use]
pub fn tag(key: &[u8]) -> Bytes {
    if let Some(own) = own_tag(key) {
        return Bytes::copy_from_slice(own);
    }
    if !key.is_empty() && !key.contains(&b'}') {
        return Bytes::copy_from_slice(key);
    }
    let wanted = slot(key);
    let number = (0_u32..)
        .map(|number| number.to_string())
        .find(|number| slot(number.as_bytes()) == wanted)
        .expect("numbers of up to six digits reach every slot, which a test shows");
    Bytes::from(number)
}

/// The part of a key that the server hashes, where it isn't all of it: what is between the first `{` and the first `}` after it,
/// unless that is nothing.
fn own_tag(key: &[u8]) -> Option<&[u8]> {
    let open = key.iter().position(|byte| *byte == b'{')?;
    let rest = &key[open + 1..];
    let close = rest.iter().position(|byte| *byte == b'}')?;
    (close > 0).then(|| &rest[..close])
}

/// The keys that braid keeps beside one main key, all in its slot: `braid:{tag}:<kind>:<length>:<part>...`.
///
/// Keys of different main keys, kinds or parts differ, whatever bytes these are made of: lengths are written down, so that nothing has to
/// be split or escaped. Where the tag isn't all of the main key, the main key stands behind it, with its length.
///
/// ```
/// use braid_redis::keys::{KeySpace, slot};
///
/// let keys = KeySpace::new(b"chat.world");
/// assert_eq!(keys.key("attempts", &[b"gate-1"]), "braid:{chat.world}:attempts:6:gate-1");
/// assert_eq!(slot(&keys.key("meta", &[])), slot(b"chat.world"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySpace {
    prefix: Bytes,
    slot: u16,
}

impl KeySpace {
    /// The keys beside `main`.
    #[must_use]
    pub fn new(main: &[u8]) -> Self {
        let tag = tag(main);
        let mut prefix = Vec::with_capacity(16 + tag.len() + main.len());
        prefix.extend_from_slice(b"braid:{");
        prefix.extend_from_slice(&tag);
        prefix.push(b'}');
        if tag != main {
            push_part(&mut prefix, b'=', main);
        }
        prefix.push(b':');
        Self {
            prefix: prefix.into(),
            slot: slot(main),
        }
    }

    /// The slot of the main key and of all of these.
    #[must_use]
    pub fn slot(&self) -> u16 {
        self.slot
    }

    /// What all of these keys begin with.
    #[must_use]
    pub fn prefix(&self) -> &Bytes {
        &self.prefix
    }

    /// One of the keys. `kind` says what it is for, in lower-case letters and hyphens; `parts` may be any bytes.
    #[must_use]
    pub fn key(&self, kind: &str, parts: &[&[u8]]) -> Bytes {
        debug_assert!(!kind.contains(':'), "`{kind}` is no kind of key");
        let length = parts.iter().map(|part| part.len() + 8).sum::<usize>();
        let mut key = Vec::with_capacity(self.prefix.len() + kind.len() + length);
        key.extend_from_slice(&self.prefix);
        key.extend_from_slice(kind.as_bytes());
        for part in parts {
            push_part(&mut key, b':', part);
        }
        key.into()
    }
}

fn push_part(key: &mut Vec<u8>, before: u8, part: &[u8]) {
    key.push(before);
    write!(key, "{}:", part.len()).expect("writing to a Vec can't fail");
    key.extend_from_slice(part);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    #[test]
    fn slots_are_those_of_the_cluster_specification() {
        assert_eq!(slot(b"123456789"), 0x31C3);
        // redis-cli CLUSTER KEYSLOT
        for (key, expected) in [
            ("", 0),
            ("foo", 12182),
            ("{foo}bar", 12182),
            ("foo{}{bar}", 8363),
            ("foo{{bar}}zap", 4015),
            ("foo{bar}{zap}", 5061),
        ] {
            assert_eq!(slot(key.as_bytes()), expected, "{key}");
        }
    }

    #[test]
    fn keys_are_written_as_ever() {
        for (main, kind, parts, expected) in [
            ("chat", "meta", vec![], "braid:{chat}:meta"),
            (
                "chat",
                "group",
                vec!["a:b", ""],
                "braid:{chat}:group:3:a:b:0:",
            ),
            ("x{chat}", "meta", vec![], "braid:{chat}=7:x{chat}:meta"),
            ("a{b", "meta", vec!["ü"], "braid:{a{b}:meta:2:ü"),
            ("a}b", "meta", vec![], "braid:{20658}=3:a}b:meta"),
            ("", "meta", vec![], "braid:{3560}=0::meta"),
        ] {
            let parts: Vec<_> = parts.iter().map(|part| part.as_bytes()).collect();
            let key = KeySpace::new(main.as_bytes()).key(kind, &parts);
            assert_eq!(String::from_utf8_lossy(&key), expected);
        }
    }

    #[test]
    fn every_slot_has_a_short_number() {
        let slots: HashSet<_> = (0..1_000_000)
            .map(|number: u32| slot(number.to_string().as_bytes()))
            .collect();
        assert_eq!(slots.len(), 16_384);
    }

    /// Bytes of which many are braces and what stands beside them in keys.
    fn name() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![
            3 => prop::sample::select(b"{}:=0123456789a".to_vec()),
            1 => any::<u8>(),
        ];
        prop::collection::vec(byte, 0..12)
    }

    proptest! {
        #[test]
        fn what_stands_beside_a_key_is_in_its_slot(
            main in name(), parts in prop::collection::vec(name(), 0..3)
        ) {
            prop_assert_eq!(tag(&main).iter().position(|byte| *byte == b'}'), None);
            let tagged = [b"{".as_slice(), &tag(&main), b"}"].concat();
            prop_assert_eq!(slot(&tagged), slot(&main));
            let parts: Vec<_> = parts.iter().map(Vec::as_slice).collect();
            let keys = KeySpace::new(&main);
            prop_assert_eq!(slot(&keys.key("kind", &parts)), slot(&main));
            prop_assert_eq!(keys.slot(), slot(&main));
        }

        #[test]
        fn different_names_make_different_keys(
            a in (name(), prop::collection::vec(name(), 0..3)),
            b in (name(), prop::collection::vec(name(), 0..3))
        ) {
            let key = |(main, parts): &(Vec<u8>, Vec<Vec<u8>>)| {
                let parts: Vec<_> = parts.iter().map(Vec::as_slice).collect();
                KeySpace::new(main).key("kind", &parts)
            };
            prop_assert_eq!(key(&a) == key(&b), a == b);
        }
    }
}
