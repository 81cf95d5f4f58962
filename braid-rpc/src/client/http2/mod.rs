//! HTTP/2 to one node: a connection that is made, probed, and given requests.
//!
//! On [`h2`] itself, which hyper's client is a layer over: a request goes from the caller's task to the connection's without a dispatcher
//! and without a task of its own, and what never left is told from what was lost.

mod body;
mod connection;
mod exchange;
mod greeting;
mod upload;

pub(super) use self::{
    body::Incoming,
    connection::{Connection, connect},
    exchange::{Exchange, SendError},
    upload::Outgoing,
};
