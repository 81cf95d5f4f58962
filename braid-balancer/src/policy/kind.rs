//! The policies by name.

use super::{LeastRequest, PeakEwma, Policy, Rendezvous, SmoothWeighted, WeightedRandom};
use braid_core::{Error, ErrorKind};
use std::{fmt, str::FromStr};

/// A policy to be chosen by a configuration, with its defaults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PolicyKind {
    /// [`SmoothWeighted`], `smooth-weighted`.
    #[default]
    SmoothWeighted,
    /// [`WeightedRandom`], `weighted-random`.
    WeightedRandom,
    /// [`PeakEwma`], `peak-ewma`.
    PeakEwma,
    /// [`LeastRequest`], `least-request`.
    LeastRequest,
    /// [`Rendezvous`], `rendezvous`.
    Rendezvous,
}

impl PolicyKind {
    /// All there are.
    pub const ALL: [Self; 5] = [
        Self::SmoothWeighted,
        Self::WeightedRandom,
        Self::PeakEwma,
        Self::LeastRequest,
        Self::Rendezvous,
    ];

    /// Its name in configurations.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::SmoothWeighted => "smooth-weighted",
            Self::WeightedRandom => "weighted-random",
            Self::PeakEwma => "peak-ewma",
            Self::LeastRequest => "least-request",
            Self::Rendezvous => "rendezvous",
        }
    }

    /// A policy for one balancer.
    #[must_use]
    pub fn build(self) -> Box<dyn Policy> {
        match self {
            Self::SmoothWeighted => Box::new(SmoothWeighted::new()),
            Self::WeightedRandom => Box::new(WeightedRandom::new()),
            Self::PeakEwma => Box::new(PeakEwma::new()),
            Self::LeastRequest => Box::new(LeastRequest::new()),
            Self::Rendezvous => Box::new(Rendezvous::new()),
        }
    }
}

impl fmt::Display for PolicyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// By [`name`](PolicyKind::name). An unknown one is an error of kind `Config` that tells the known ones.
impl FromStr for PolicyKind {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        let kind = Self::ALL.into_iter().find(|kind| kind.name() == name);
        kind.ok_or_else(|| {
            let known = Self::ALL.map(Self::name).join(", ");
            let text = format!("no policy is called `{name}`: there are {known}");
            Error::new(ErrorKind::Config, "balancer", "policy", text)
        })
    }
}
