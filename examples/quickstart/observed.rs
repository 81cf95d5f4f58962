//! What the reserved topics tell while the fleet changes.

use crate::report::Report;
use braid::{
    Braid, Consumer, NodeId, Result, SubscribeOptions,
    reserved::{Body, Role, ServiceEvent, ServiceUpdate, StateChange},
};
use std::sync::{Arc, Mutex, PoisonError};

/// What the reserved topics told.
pub(crate) struct Observed {
    told: Arc<Mutex<Events>>,
    _consumers: [Consumer; 2],
}

#[derive(Default)]
struct Events {
    joined: Vec<NodeId>,
    left: Vec<NodeId>,
    masters: Vec<NodeId>,
}

impl Observed {
    /// Listens to discovery and to the election.
    pub(crate) async fn subscribe(node: &Braid) -> Result<Self> {
        let told = Arc::new(Mutex::new(Events::default()));
        let own = SubscribeOptions::ephemeral;
        let updates = node
            .topic(ServiceUpdate::topic())
            .subscribe_with("quickstart", own())
            .await?;
        let states = node
            .topic(StateChange::topic())
            .subscribe_with("quickstart", own())
            .await?;
        let (to_updates, to_states) = (Arc::clone(&told), Arc::clone(&told));
        let updates = updates.arrived(move |message| {
            let read = ServiceUpdate::decode(&message.body).map(|update| {
                let mut told = to_updates.lock().unwrap_or_else(PoisonError::into_inner);
                match update.event {
                    ServiceEvent::Add => told.joined.push(update.id),
                    ServiceEvent::Remove => told.left.push(update.id),
                    ServiceEvent::Update => {}
                }
            });
            async { read }
        });
        let states = states.arrived(move |message| {
            let read = StateChange::decode(&message.body).map(|change| {
                let mut told = to_states.lock().unwrap_or_else(PoisonError::into_inner);
                if change.role == Role::Master {
                    told.masters.push(change.id);
                }
            });
            async { read }
        });
        Ok(Self {
            told,
            _consumers: [updates, states],
        })
    }

    /// One node has joined, one has left, one has become a master.
    pub(crate) fn check(&self, report: &mut Report) {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let Events {
            joined,
            left,
            masters,
        } = &*told;
        report.check(
            joined.len() == 1 && left.len() == 1 && masters.len() == 1,
            format_args!(
                "the reserved topics told: joined {joined:?}, left {left:?}, master {masters:?}"
            ),
        );
    }
}
