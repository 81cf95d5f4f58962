//! What a program does with a node: call, publish, lead.

use crate::TopicHandle;
#[cfg(feature = "rpc")]
use braid_core::{Bytes, IntoCallOptions};
use braid_core::{
    Discover, Elector, Error, ErrorKind, Leadership, LinkCache, NodeRef, PubSub, Result,
    ServiceName, Token, Topic,
    reserved::{Body, ServiceUpdate, StateChange, Unlink},
};
use std::sync::Arc;

/// A running node, to use and to pass on: cheap to clone, and without a say in when the node ends.
///
/// [`Braid`](crate::Braid) derefs to it. After the node has closed, every use gives a `Closed` error.
#[derive(Clone, Debug)]
pub struct Handle(pub(crate) Arc<Shared>);

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) service: ServiceName,
    pub(crate) node: NodeRef,
    pub(crate) pubsub: Arc<dyn PubSub>,
    /// Where discovery and election of this process tell what they observe.
    pub(crate) events: Arc<dyn PubSub>,
    pub(crate) discover: Arc<dyn Discover>,
    pub(crate) links: Option<Arc<dyn LinkCache>>,
    pub(crate) elector: Option<Arc<dyn Elector>>,
    #[cfg(feature = "rpc")]
    pub(crate) client: braid_rpc::Client,
}

impl Handle {
    /// The service that this node belongs to.
    #[must_use]
    pub fn service(&self) -> &ServiceName {
        &self.0.service
    }

    /// Who this node is.
    #[must_use]
    pub fn node(&self) -> &NodeRef {
        &self.0.node
    }

    /// A topic by its name. The reserved topics of discovery and election tell what this process observes; all others reach the fleet.
    #[must_use]
    pub fn topic<T>(&self, topic: T) -> TopicHandle
    where
        T: TryInto<Topic>,
        Error: From<T::Error>,
    {
        let topic = topic.try_into().map_err(Error::from);
        let of_process = [ServiceUpdate::TOPIC, StateChange::TOPIC];
        let pubsub = match &topic {
            Ok(topic) if of_process.contains(&topic.as_str()) => &self.0.events,
            _ => &self.0.pubsub,
        };
        TopicHandle::new(Arc::clone(pubsub), topic)
    }

    /// This node's view of the election of its service's master.
    ///
    /// # Errors
    /// `Unsupported`: the node was composed without an elector.
    pub fn leadership(&self) -> Result<Leadership> {
        self.elector().map(|elector| elector.leadership())
    }

    /// Steps down as the master, if this node is.
    ///
    /// # Errors
    /// As [`Elector::resign`]; `Unsupported`: the node was composed without an elector.
    ///
    /// # Cancel safety
    /// A resignation that was asked for goes on.
    pub async fn resign(&self) -> Result<()> {
        self.elector()?.resign().await
    }

    /// The user has left: their links end on every node.
    ///
    /// # Errors
    /// As [`PubSub::publish`].
    ///
    /// # Cancel safety
    /// Dropping the future leaves open whether the fleet was told.
    pub async fn leave(&self, token: Token) -> Result<()> {
        let unlink = Unlink(token);
        self.0
            .pubsub
            .publish(&Unlink::topic(), unlink.message())
            .await
            .map(|_| ())
    }

    /// The pub-sub that this node uses.
    #[must_use]
    pub fn pubsub(&self) -> &Arc<dyn PubSub> {
        &self.0.pubsub
    }

    /// The discovery that this node uses.
    #[must_use]
    pub fn discover(&self) -> &Arc<dyn Discover> {
        &self.0.discover
    }

    /// The link cache that this node uses, if it was composed with one.
    #[must_use]
    pub fn links(&self) -> Option<&Arc<dyn LinkCache>> {
        self.0.links.as_ref()
    }

    fn elector(&self) -> Result<&Arc<dyn Elector>> {
        self.0.elector.as_ref().ok_or_else(|| {
            let text = "this node was composed without an elector";
            Error::new(ErrorKind::Unsupported, "braid", "leadership", text)
        })
    }
}

#[cfg(feature = "rpc")]
impl Handle {
    /// Calls a method of a service by name, with prost messages.
    ///
    /// `method` is a full gRPC path (`/mail.Mail/Send`) or a short name (`/user.password`) of a raw handler. `options` is a token (a
    /// text or a [`Token`]), `()` for none, or whole [`CallOptions`](braid_core::CallOptions). With a token the call goes to the node
    /// that the user is linked to, and the first one links them.
    ///
    /// # Errors
    /// As [`Call::call`](braid_core::Call::call).
    ///
    /// # Cancel safety
    /// Dropping the future cancels the call; the other side may have done the work.
    pub async fn send<Req, Res>(
        &self,
        service: impl AsRef<str>,
        method: impl AsRef<str>,
        options: impl IntoCallOptions,
        request: &Req,
    ) -> Result<Res>
    where
        Req: prost::Message,
        Res: prost::Message + Default,
    {
        self.0.client.send(service, method, options, request).await
    }

    /// Calls a method of a service by name, with bytes.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    ///
    /// # Cancel safety
    /// As [`send`](Self::send).
    pub async fn send_bytes(
        &self,
        service: impl AsRef<str>,
        method: impl AsRef<str>,
        options: impl IntoCallOptions,
        body: impl Into<Bytes>,
    ) -> Result<Bytes> {
        self.0
            .client
            .send_bytes(service, method, options, body.into())
            .await
    }

    /// A balanced channel to a service, for any generated tonic client, streaming included.
    ///
    /// # Errors
    /// `Config`: `service` is no name.
    pub fn channel(&self, service: impl AsRef<str>) -> Result<braid_rpc::Channel> {
        self.0.client.channel(service)
    }

    /// The client behind [`send`](Self::send) and [`channel`](Self::channel).
    #[must_use]
    pub fn client(&self) -> &braid_rpc::Client {
        &self.0.client
    }
}
