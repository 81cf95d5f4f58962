//! After the scenario: the fleet goes on, a line a second.

use crate::{scenario::Fleet, users::Users};
use std::{collections::BTreeMap, time::Duration};

/// Lets users call and shows who answers, until it is told to stop.
pub(crate) async fn go_on(fleet: &Fleet<'_>, stop: impl Future<Output = ()>) {
    println!("\nThe fleet goes on; Ctrl-C drains it.");
    let users = Users::start(&fleet.gate, 20);
    let mut before = users.told().calls;
    let mut seconds = tokio::time::interval(Duration::from_secs(1));
    seconds.tick().await;
    tokio::pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => break,
            _ = seconds.tick() => {}
        }
        let told = users.told();
        let mut linked: BTreeMap<&str, usize> = BTreeMap::new();
        for home in told.homes.values() {
            *linked.entry(home).or_default() += 1;
        }
        let master = fleet.masters.other_than(None, Duration::ZERO).await;
        let master = master.map_or("none".to_owned(), |master| master.id.to_string());
        let (calls, errors) = (told.calls - before, told.errors.len());
        before = told.calls;
        println!("   {calls:5} calls/s, {errors} errors, master {master}, users {linked:?}");
    }
    users.stop().await;
}
