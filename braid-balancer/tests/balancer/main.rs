//! The balancer from outside: its policy's sequence, and its table.
#![allow(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod health;
mod kind;
mod peak_ewma;
mod random;
mod rendezvous;
mod simulation;
mod slow_start;
mod smooth;
mod support;
mod table;
mod tower;
