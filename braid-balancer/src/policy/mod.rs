//! Policies: what one is, and those that there are.

mod alias;
mod contract;
mod kind;
mod least_request;
mod peak_ewma;
mod random;
mod rendezvous;
mod smooth;

pub(crate) use self::contract::Loads;
pub use self::{
    contract::{Candidates, Picker, Policy, Weighted},
    kind::PolicyKind,
    least_request::LeastRequest,
    peak_ewma::PeakEwma,
    random::WeightedRandom,
    rendezvous::Rendezvous,
    smooth::SmoothWeighted,
};
