//! Links in the original's layout, which are read and never written: in a fleet that is half Go, the Go services make them.
//!
//! A hash for each pair of services (`parent` calls `child`) has a JSON text for each token. It tells of no life of a node and of no time;
//! so the node is looked for by its address among those that discovery tells of, and the link is asked for each time.

use crate::{nodes::Nodes, store::Store};
use braid_core::{NodeRef, Result, ServiceName, Token};
use braid_redis::{keys::slot, reply};
use serde::Deserialize;

#[derive(Debug)]
pub(crate) struct Original {
    parents: Vec<ServiceName>,
}

#[derive(Deserialize)]
struct Link {
    #[serde(rename = "TargetAddr")]
    address: String,
}

impl Original {
    pub(crate) fn new(parents: &[ServiceName]) -> Self {
        Self {
            parents: parents.to_vec(),
        }
    }

    pub(crate) fn is_read(&self) -> bool {
        !self.parents.is_empty()
    }

    pub(crate) async fn target(
        &self,
        store: &Store,
        nodes: &Nodes,
        token: &Token,
        service: &ServiceName,
    ) -> Result<Option<NodeRef>> {
        for parent in &self.parents {
            let key = route_key(parent, service);
            let slot = slot(key.as_bytes());
            let args = vec![key.into(), token.as_str().to_owned().into()];
            let reply = store.command("HGET", slot, args).await?;
            let address = reply::as_bytes(&reply).and_then(|text| address(text));
            if let Some(node) = address.and_then(|address| nodes.at(service, &address)) {
                return Ok(Some(node));
            }
        }
        Ok(None)
    }
}

fn route_key(parent: &ServiceName, child: &ServiceName) -> String {
    format!("braid_linker-route-{parent}-{child}")
}

/// What can't be read is no link: the original may write what it likes.
fn address(json: &[u8]) -> Option<String> {
    let link: Link = serde_json::from_slice(json).ok()?;
    (!link.address.is_empty()).then_some(link.address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_originals_json_is_read() {
        let json = br#"{"TargetAddr":"10.0.0.7:14222","TargetID":"mail-0","TargetName":"mail"}"#;
        assert_eq!(address(json).as_deref(), Some("10.0.0.7:14222"));
        for json in [&b""[..], b"{}", b"[]", br#"{"TargetAddr":""}"#, b"\xff"] {
            assert_eq!(address(json), None);
        }
        let service = |name: &str| ServiceName::new(name).expect("it is legal");
        let key = route_key(&service("base"), &service("mail"));
        assert_eq!(key, "braid_linker-route-base-mail");
    }
}
