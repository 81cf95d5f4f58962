//! Which messages a topic has seen lately, by their dedup keys.

use braid_core::{BootTime, MessageId};
use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

/// Dedup keys and the ids behind them, each for one window from its first publish on.
#[derive(Debug)]
pub(super) struct Dedup {
    window: Duration,
    ids: HashMap<Arc<str>, MessageId>,
    /// The keys in the order of their ends, which is that of their publishing.
    ends: VecDeque<(BootTime, Arc<str>)>,
}

impl Dedup {
    pub(super) fn new(window: Duration) -> Self {
        Self {
            window,
            ids: HashMap::new(),
            ends: VecDeque::new(),
        }
    }

    /// The message that was published with this key within the window.
    pub(super) fn find(&mut self, key: &str, now: BootTime) -> Option<&MessageId> {
        while let Some((_, over)) = self.ends.pop_front_if(|(end, _)| *end <= now) {
            self.ids.remove(&over);
        }
        self.ids.get(key)
    }

    /// Remembers a message whose key [`find`](Self::find) has just not found.
    pub(super) fn insert(&mut self, key: String, id: MessageId, now: BootTime) {
        if self.window.is_zero() {
            return;
        }
        let key: Arc<str> = key.into();
        self.ends.push_back((now + self.window, Arc::clone(&key)));
        self.ids.insert(key, id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> BootTime {
        BootTime::from_origin(Duration::from_secs(seconds))
    }

    #[test]
    fn key_is_known_for_its_window_and_costs_nothing_afterwards() {
        let mut dedup = Dedup::new(Duration::from_secs(10));
        let id = |text| MessageId::new(text).unwrap();
        dedup.insert("a".to_owned(), id("1"), at(0));
        dedup.insert("b".to_owned(), id("2"), at(5));
        assert_eq!(dedup.find("a", at(9)), Some(&id("1")));
        assert_eq!(dedup.find("a", at(10)), None);
        assert_eq!(dedup.find("b", at(10)), Some(&id("2")));
        assert_eq!(dedup.find("b", at(15)), None);
        assert!(dedup.ids.is_empty() && dedup.ends.is_empty());
    }

    #[test]
    fn window_of_zero_remembers_nothing() {
        let mut dedup = Dedup::new(Duration::ZERO);
        dedup.insert("a".to_owned(), MessageId::new("1").unwrap(), at(0));
        assert!(dedup.ids.is_empty() && dedup.ends.is_empty());
    }
}
