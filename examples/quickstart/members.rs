//! The nodes of the fleet: what each serves, and how it is composed.

use crate::backends::Backends;
use braid::{
    Braid, Bytes, Error, ErrorKind, Handle, Result,
    local::ElectorConfig,
    rpc::{RawRequest, Server},
};
use braid_examples::{
    FILE_DESCRIPTOR_SET,
    fleet::{
        Event, EventsRequest, LoginReply, LoginRequest, SendReply, SendRequest,
        login_server::{Login, LoginServer},
        mail_server::{Mail, MailServer},
    },
};
use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};
use tonic::{Request, Response, Status};

/// The quickstart's leases are short, so that one needn't wait for the masters to change.
pub(crate) const ELECTION: ElectorConfig = ElectorConfig {
    lease_duration: Duration::from_secs(3),
    renew_deadline: Duration::from_secs(2),
    refresh: Duration::from_millis(400),
};

/// A gate: where users come in. It calls the others and serves nobody.
pub(crate) async fn gate(backends: &Backends, id: &str) -> Result<Braid> {
    Braid::start("gate", id, backends.director().elector(ELECTION)).await
}

/// A login node: knows the users that are linked to it. Several of them elect a master.
pub(crate) async fn login(backends: &Backends, id: &str, weight: u32) -> Result<Braid> {
    let director = backends
        .director()
        .server_with(|node| {
            Server::listen("127.0.0.1:0")
                .describe(FILE_DESCRIPTOR_SET)
                .register({
                    let service = LoginNode(node.clone());
                    move |routes| {
                        routes.add_service(LoginServer::new(service));
                    }
                })
                .handle("user.password", move |request| {
                    password(node.clone(), request)
                })
        })
        .elector(ELECTION)
        .weight(weight);
    Braid::start("login", id, director).await
}

/// A mail node: keeps letters, and shares the work of a topic with its siblings.
pub(crate) async fn mail(backends: &Backends, id: &str) -> Result<Braid> {
    let director = backends
        .director()
        .server_with(|node| {
            let service = MailNode {
                node,
                letters: AtomicU64::new(0),
            };
            Server::listen("127.0.0.1:0")
                .describe(FILE_DESCRIPTOR_SET)
                .register(move |routes| {
                    routes.add_service(MailServer::new(service));
                })
        })
        .elector(ELECTION);
    Braid::start("mail", id, director).await
}

/// A raw handler: reached by its short name, with bytes in and out.
async fn password(node: Handle, request: RawRequest) -> Result<Bytes> {
    if request.body.is_empty() {
        let text = "the password is empty";
        return Err(Error::new(ErrorKind::Rejected, "login", "password", text));
    }
    Ok(node.node().id.as_str().to_owned().into())
}

struct LoginNode(Handle);

impl LoginNode {
    fn id(&self) -> String {
        self.0.node().id.to_string()
    }
}

#[tonic::async_trait]
impl Login for LoginNode {
    async fn login(&self, request: Request<LoginRequest>) -> Result<Response<LoginReply>, Status> {
        let user = request.into_inner().user;
        Ok(Response::new(LoginReply {
            user,
            node: self.id(),
        }))
    }

    type EventsStream = tokio_stream::Iter<std::vec::IntoIter<Result<Event, Status>>>;

    async fn events(
        &self,
        request: Request<EventsRequest>,
    ) -> Result<Response<Self::EventsStream>, Status> {
        let events: Vec<_> = (1..=request.into_inner().count.min(1000))
            .map(|number| {
                Ok(Event {
                    number,
                    node: self.id(),
                })
            })
            .collect();
        Ok(Response::new(tokio_stream::iter(events)))
    }
}

struct MailNode {
    node: Handle,
    letters: AtomicU64,
}

#[tonic::async_trait]
impl Mail for MailNode {
    async fn send(&self, request: Request<SendRequest>) -> Result<Response<SendReply>, Status> {
        let letter = request.into_inner();
        if letter.to.is_empty() {
            return Err(Status::invalid_argument(
                "`to` is empty: who shall get the letter?",
            ));
        }
        let id = self.letters.fetch_add(1, Relaxed) + 1;
        Ok(Response::new(SendReply {
            id,
            node: self.node.node().id.to_string(),
        }))
    }
}
