//! Rows of the balancer.

pub mod p2c;
#[cfg(feature = "pingora")]
mod pingora;
pub mod smooth;

use crate::row::Row;

/// The rows, those of one line of the table together.
#[must_use]
pub fn rows() -> Vec<Row> {
    let mut rows = smooth::rows();
    #[cfg(feature = "pingora")]
    rows.push(pingora::row());
    rows.extend(p2c::rows());
    rows.push(smooth::aa());
    rows
}
