//! What a table's user keeps for a node, as far as the balancer has to know it.

/// What a table's user keeps for a node; says whether the node can be reached.
///
/// The balancer asks when it builds a table ([`apply`](crate::Balancer::apply), [`refresh`](crate::Balancer::refresh)), under its lock: an
/// answer comes at once, and calls nothing of the balancer.
pub trait Endpoint: Send + Sync + 'static {
    /// Whether calls may go there now.
    fn health(&self) -> Health {
        Health::Ready
    }
}

impl Endpoint for () {}

/// Whether a node can be reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Health {
    /// It takes calls.
    #[default]
    Ready,
    /// Not known yet: gets no balanced calls, but nobody is looked for in its place.
    Pending,
    /// It can't be reached: gets no balanced calls, and others stand in for it.
    Failed,
}
