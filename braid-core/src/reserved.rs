//! The reserved topics: what braid itself publishes and listens to, in the original's names and bodies.
//!
//! | topic | body | scope |
//! |---|---|---|
//! | [`ServiceUpdate::TOPIC`] | [`ServiceUpdate`] | process: each process tells what it observes |
//! | [`StateChange::TOPIC`] | [`StateChange`] | process |
//! | [`LinkNumber::TOPIC`] | [`LinkNumber`] | cluster |
//! | [`Unlink::TOPIC`] | [`Unlink`], a raw token | cluster: whoever publishes one ends that user's links everywhere |
//!
//! ```
//! use braid_core::reserved::{Body, Role, StateChange};
//!
//! let change = StateChange { id: "login-1".try_into()?, role: Role::Master };
//! assert_eq!(change.encode(), r#"{"State":2,"ID":"login-1"}"#);
//! assert_eq!(StateChange::decode(&change.encode())?, change);
//! assert!(StateChange::decode(b"{}").is_err(), "never a zero value");
//! # Ok::<(), braid_core::Error>(())
//! ```

use crate::{
    Error, ErrorKind, NewMessage, Node, NodeId, NodeState, Result, ServiceName, Token, Topic,
};
use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::collections::BTreeMap;

/// The body of a reserved topic.
pub trait Body: Sized {
    /// The topic's name.
    const TOPIC: &'static str;

    /// The bytes that are published.
    fn encode(&self) -> Bytes;

    /// Reads what was published.
    ///
    /// # Errors
    /// `Internal`, naming the topic and what is wrong with the body.
    fn decode(body: &[u8]) -> Result<Self>;

    /// The topic.
    #[must_use]
    fn topic() -> Topic {
        Topic::new(Self::TOPIC).expect("the reserved names are short and not empty")
    }

    /// A message to publish.
    #[must_use]
    fn message(&self) -> NewMessage {
        NewMessage::new(self.encode())
    }
}

/// Discovery saw a node come, change or go.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceUpdate {
    /// What happened.
    pub event: ServiceEvent,
    /// The node's id.
    pub id: NodeId,
    /// Its service.
    pub service: ServiceName,
    /// Where it listens: an IP address or a host name.
    pub address: String,
    /// And the port.
    pub port: u16,
    /// Its metadata. braid adds `uid`, `weight`, `state` (`ready`, `not_ready`, `draining`) and, where known, `zone`.
    pub metadata: BTreeMap<String, serde_json::Value>,
}

/// What a [`ServiceUpdate`] tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ServiceEvent {
    /// The node is new.
    #[serde(rename = "braid.topic.discover.service_node_add")]
    Add,
    /// The node is gone.
    #[serde(rename = "braid.topic.discover.service_node_rmv")]
    Remove,
    /// The node says something else of itself.
    #[serde(rename = "braid.topic.discover.service_node_update")]
    Update,
}

impl ServiceUpdate {
    /// What to publish of a node.
    #[must_use]
    pub fn of(event: ServiceEvent, node: &Node) -> Self {
        let state = match node.state {
            NodeState::Ready => "ready",
            NodeState::NotReady => "not_ready",
            NodeState::Draining => "draining",
        };
        let mut metadata: BTreeMap<String, serde_json::Value> = node
            .metadata
            .iter()
            .map(|(k, v)| (k.clone(), v.as_str().into()))
            .collect();
        metadata.insert("uid".into(), node.node.uid.as_str().into());
        metadata.insert("weight".into(), node.weight.into());
        metadata.insert("state".into(), state.into());
        if let Some(zone) = &node.zone {
            metadata.insert("zone".into(), zone.as_str().into());
        }
        Self {
            event,
            id: node.node.id.clone(),
            service: node.service.clone(),
            address: node.address.ip().to_string(),
            port: node.address.port(),
            metadata,
        }
    }
}

#[derive(Serialize, Deserialize)]
struct WireUpdate {
    #[serde(rename = "Nod")]
    node: WireNode,
    #[serde(rename = "Event")]
    event: ServiceEvent,
}

#[derive(Serialize, Deserialize)]
struct WireNode {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "Name")]
    service: String,
    #[serde(rename = "Address")]
    address: String,
    #[serde(rename = "Port")]
    port: u16,
    // The original writes null where a node has none.
    #[serde(rename = "Metadata")]
    metadata: Option<BTreeMap<String, serde_json::Value>>,
}

impl Body for ServiceUpdate {
    const TOPIC: &'static str = "braid.topic.discover.service_update";

    fn encode(&self) -> Bytes {
        let node = WireNode {
            id: self.id.as_str().into(),
            service: self.service.as_str().into(),
            address: self.address.clone(),
            port: self.port,
            metadata: Some(self.metadata.clone()),
        };
        json(&WireUpdate {
            node,
            event: self.event,
        })
    }

    fn decode(body: &[u8]) -> Result<Self> {
        let WireUpdate { node, event } = read(Self::TOPIC, body)?;
        Ok(Self {
            event,
            id: NodeId::new(node.id).map_err(|e| fault(Self::TOPIC, e))?,
            service: ServiceName::new(node.service).map_err(|e| fault(Self::TOPIC, e))?,
            address: node.address,
            port: node.port,
            metadata: node.metadata.unwrap_or_default(),
        })
    }
}

/// A candidate's role changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateChange {
    /// The candidate.
    pub id: NodeId,
    /// What it is now.
    pub role: Role,
}

/// A candidate's role, in the original's terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Nothing is known (0).
    Wait,
    /// Another candidate is the master (1).
    Slave,
    /// This candidate is the master (2).
    Master,
}

impl From<&crate::State> for Role {
    fn from(state: &crate::State) -> Self {
        match state {
            crate::State::Unknown => Self::Wait,
            crate::State::Follower { .. } => Self::Slave,
            crate::State::Leader { .. } => Self::Master,
        }
    }
}

#[derive(Serialize, Deserialize)]
struct WireState {
    #[serde(rename = "State")]
    state: u8,
    #[serde(rename = "ID")]
    id: String,
}

impl Body for StateChange {
    const TOPIC: &'static str = "braid.topic.election.change_state";

    fn encode(&self) -> Bytes {
        json(&WireState {
            state: self.role as u8,
            id: self.id.as_str().into(),
        })
    }

    fn decode(body: &[u8]) -> Result<Self> {
        let WireState { state, id } = read(Self::TOPIC, body)?;
        let role = match state {
            0 => Role::Wait,
            1 => Role::Slave,
            2 => Role::Master,
            other => {
                return Err(fault(
                    Self::TOPIC,
                    format!("no state has the number {other}"),
                ));
            }
        };
        Ok(Self {
            id: NodeId::new(id).map_err(|e| fault(Self::TOPIC, e))?,
            role,
        })
    }
}

/// How many links a node holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkNumber {
    /// The node.
    pub id: NodeId,
    /// Its links.
    pub number: u64,
}

#[derive(Serialize, Deserialize)]
struct WireNumber {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "Num")]
    number: u64,
}

impl Body for LinkNumber {
    const TOPIC: &'static str = "braid.topic.linkcache.service_link_number";

    fn encode(&self) -> Bytes {
        json(&WireNumber {
            id: self.id.as_str().into(),
            number: self.number,
        })
    }

    fn decode(body: &[u8]) -> Result<Self> {
        let WireNumber { id, number } = read(Self::TOPIC, body)?;
        Ok(Self {
            id: NodeId::new(id).map_err(|e| fault(Self::TOPIC, e))?,
            number,
        })
    }
}

/// A user has left: the body is the raw token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unlink(pub Token);

impl Body for Unlink {
    const TOPIC: &'static str = "braid.topic.linkcache.unlink";

    fn encode(&self) -> Bytes {
        Bytes::copy_from_slice(self.0.as_str().as_bytes())
    }

    fn decode(body: &[u8]) -> Result<Self> {
        let text = std::str::from_utf8(body).map_err(|e| fault(Self::TOPIC, e))?;
        Token::new(text)
            .map(Self)
            .map_err(|e| fault(Self::TOPIC, e))
    }
}

fn json(body: &impl Serialize) -> Bytes {
    serde_json::to_vec(body)
        .expect("texts, numbers and maps by text always have a JSON form")
        .into()
}

fn read<T: DeserializeOwned>(topic: &'static str, body: &[u8]) -> Result<T> {
    serde_json::from_slice(body).map_err(|error| fault(topic, error))
}

fn fault(topic: &'static str, why: impl std::fmt::Display) -> Error {
    Error::new(
        ErrorKind::Internal,
        "core",
        "decode",
        format!("a body of `{topic}`: {why}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{NodeRef, Uid};

    #[test]
    fn bodies_have_the_original_form() {
        let node = Node::new(
            "login".try_into().unwrap(),
            NodeRef::new("login-1".try_into().unwrap(), Uid::new("u").unwrap()),
            "10.0.0.7:14222".parse().unwrap(),
        );
        let update = ServiceUpdate::of(ServiceEvent::Add, &node);
        let text = concat!(
            r#"{"Nod":{"ID":"login-1","Name":"login","Address":"10.0.0.7","Port":14222,"#,
            r#""Metadata":{"state":"ready","uid":"u","weight":1}},"#,
            r#""Event":"braid.topic.discover.service_node_add"}"#
        );
        assert_eq!(update.encode(), text);
        assert_eq!(ServiceUpdate::decode(text.as_bytes()).unwrap(), update);

        let number = LinkNumber {
            id: "login-1".try_into().unwrap(),
            number: 3,
        };
        assert_eq!(number.encode(), r#"{"ID":"login-1","Num":3}"#);
        assert_eq!(LinkNumber::decode(&number.encode()).unwrap(), number);

        let unlink = Unlink("日本-{x}".try_into().unwrap());
        assert_eq!(Unlink::decode(&unlink.encode()).unwrap(), unlink);
    }

    #[test]
    fn an_original_body_without_metadata_is_read() {
        let text = concat!(
            r#"{"Nod":{"ID":"a","Name":"s","Address":"h","Port":1,"Metadata":null},"#,
            r#""Event":"braid.topic.discover.service_node_rmv"}"#
        );
        let update = ServiceUpdate::decode(text.as_bytes()).unwrap();
        assert_eq!(
            (update.event, update.metadata.len()),
            (ServiceEvent::Remove, 0)
        );
    }

    #[test]
    fn what_cannot_be_read_is_an_error_that_names_the_topic() {
        fn refused<B: Body + std::fmt::Debug>(bodies: &[&[u8]]) {
            for body in bodies {
                let error = B::decode(body).unwrap_err();
                assert!(error.to_string().contains(B::TOPIC), "{error}");
            }
        }
        refused::<ServiceUpdate>(&[b"", b"{}", b"null", b"[]", b"\xff"]);
        refused::<StateChange>(&[
            b"",
            b"{}",
            br#"{"State":3,"ID":"a"}"#,
            br#"{"State":1,"ID":""}"#,
        ]);
        refused::<LinkNumber>(&[b"{}", br#"{"ID":"a","Num":-1}"#, br#"{"ID":"","Num":1}"#]);
        refused::<Unlink>(&[b"", b"\xff\xfe", &[b'x'; 64 * 1024]]);
    }
}
