//! The balancer from outside: its policy's sequence, and its table.
#![allow(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod churn;
mod config;
mod health;
mod kind;
mod latency;
mod load;
mod peak_ewma;
mod random;
mod rendezvous;
mod simulation;
mod slow_start;
mod smooth;
mod support;
mod table;
mod tower;
