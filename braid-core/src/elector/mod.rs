//! Election: one master per service name, with a term that protects what it writes.

mod contract;
mod leadership;

pub use self::{
    contract::{Elector, Fence},
    leadership::{LeaderGuard, Leadership, LeadershipSender, State, Term},
};
