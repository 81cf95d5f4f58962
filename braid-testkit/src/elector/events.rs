//! The reserved topic of election.

use super::support::SECOND;
use crate::{ElectorHarness, Running, SETTLED, fresh, reserved::Listener, within};
use braid_core::{
    NodeId,
    reserved::{Role, StateChange},
};

/// One candidate's roles as they are told. Others of the same process may share its topic.
struct Roles {
    listener: Listener<StateChange>,
    id: NodeId,
    last: Option<Role>,
}

impl Roles {
    async fn next(&mut self) -> Role {
        within("the next role", SETTLED, self.whenever()).await
    }

    async fn whenever(&mut self) -> Role {
        loop {
            let StateChange { id, role } = self.listener.whenever().await;
            if id == self.id {
                assert_ne!(
                    self.last.replace(role),
                    Some(role),
                    "{id} was told to be {role:?} twice in a row"
                );
                return role;
            }
        }
    }

    /// Reads until this role, past the others; the master's is among what is read only if it is what is waited for.
    async fn until(&mut self, expected: Role) {
        loop {
            match self.next().await {
                role if role == expected => return,
                Role::Master => panic!("{} was told to be the master", self.id),
                Role::Wait | Role::Slave => {}
            }
        }
    }

    /// Shows that no role is told for this long.
    async fn quiet(&mut self, duration: std::time::Duration) {
        if let Ok(role) = tokio::time::timeout(duration, self.whenever()).await {
            panic!("{} has not changed, but was told to be {role:?}", self.id);
        }
    }
}

pub async fn r2_change_state_tells_each_change<H: ElectorHarness>(h: &H) {
    let service = fresh::service("login");
    let (one, two) = (fresh::life("one"), fresh::life("two"));
    let roles = async |node: &braid_core::NodeRef| Roles {
        listener: Listener::new(&*h.events(node)).await,
        id: node.id.clone(),
        last: None,
    };
    let first = h.start(&service, one.clone()).await;
    let mut first_roles = roles(&one).await;
    let first = Running::start(first).await;
    first_roles.until(Role::Master).await;

    let second = h.start(&service, two.clone()).await;
    let mut second_roles = roles(&two).await;
    let second = Running::start(second).await;
    second_roles.until(Role::Slave).await;
    // Renewals are no change.
    tokio::join!(
        first_roles.quiet(3 * h.lease()),
        second_roles.quiet(3 * h.lease())
    );

    first.stop().await;
    assert_ne!(first_roles.next().await, Role::Master);
    tokio::time::timeout(SECOND + h.slack(), second_roles.until(Role::Master))
        .await
        .expect("the successor was not told to be the master");
    second.stop().await;
    assert_ne!(second_roles.next().await, Role::Master);
}
