//! Policies: what one is, and those that there are.

mod contract;
mod smooth;

pub(crate) use self::contract::Loads;
pub use self::{
    contract::{Candidates, Picker, Policy, Weighted},
    smooth::SmoothWeighted,
};
