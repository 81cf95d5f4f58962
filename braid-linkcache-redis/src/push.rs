//! What the fleet is told when links end: texts on one channel, published by the scripts that end them.

use crate::keys::{owner, owner_text, part};
use braid_core::{NodeRef, ServiceName, Token};

/// What is pushed to every process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Push {
    /// The token's link to a service has ended, or isn't what it was.
    Ended(ServiceName, Token),
    /// A node's links have ended, or are ending.
    Gone(NodeRef),
    /// The server was empty: what was there is gone.
    Emptied,
    /// A node gets no new link. Told to those who keep links by themselves: others ask the server.
    Closed(NodeRef),
}

pub(crate) fn ended(service: &ServiceName, token: &Token) -> String {
    format!("t{}:{service}{}", service.as_str().len(), token.as_str())
}

pub(crate) fn gone(node: &NodeRef) -> String {
    format!("n{}", owner_text(node))
}

pub(crate) fn closed(node: &NodeRef) -> String {
    format!("c{}", owner_text(node))
}

pub(crate) const EMPTIED: &str = "e";

/// `None`: what it is isn't known here; a later version may tell of more.
pub(crate) fn read(body: &[u8]) -> Option<Push> {
    let text = std::str::from_utf8(body).ok()?;
    if let Some(rest) = text.strip_prefix('t') {
        let (service, token) = part(rest)?;
        let service = ServiceName::new(service).ok()?;
        return Some(Push::Ended(service, Token::new(token).ok()?));
    }
    if text == EMPTIED {
        return Some(Push::Emptied);
    }
    if let Some(rest) = text.strip_prefix('c') {
        return owner(rest).map(Push::Closed);
    }
    owner(text.strip_prefix('n')?).map(Push::Gone)
}

#[cfg(test)]
mod tests {
    use super::*;
    use braid_core::{NodeId, Uid};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_told_is_heard(service in ".{1,30}", token in "(?s).{1,60}", id in ".{1,30}") {
            let names = (ServiceName::new(service), Token::new(token), NodeId::new(id));
            if let (Ok(service), Ok(token), Ok(id)) = names {
                let node = NodeRef::new(id, Uid::new("1").expect("it is legal"));
                let told = ended(&service, &token);
                prop_assert_eq!(read(told.as_bytes()), Some(Push::Ended(service, token)));
                prop_assert_eq!(read(gone(&node).as_bytes()), Some(Push::Gone(node.clone())));
                prop_assert_eq!(read(EMPTIED.as_bytes()), Some(Push::Emptied));
                prop_assert_eq!(read(closed(&node).as_bytes()), Some(Push::Closed(node)));
            }
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = read(&bytes);
            let _ = read(&[b"t5:", bytes.as_slice()].concat());
        }
    }
}
