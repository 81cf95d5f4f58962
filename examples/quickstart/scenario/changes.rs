//! Nodes come and go while users call.

use super::{Fleet, PATIENCE, USERS};
use crate::{
    masters::Master,
    observed::Observed,
    users::{Users, token_of},
};
use braid::{Result, ServiceName};
use std::collections::{BTreeMap, HashMap};
use tokio::task::JoinSet;

impl Fleet<'_> {
    /// The master is stopped and a late joiner comes, while users call without a pause.
    pub(super) async fn change_masters_while_users_call(&mut self) -> Result<()> {
        let observed = Observed::subscribe(&self.gate).await?;
        println!("\n4. {USERS} users call all the time, each linked to a node");
        let users = Users::start(&self.gate, USERS);
        users.round().await;
        let homes = users.told().homes;
        println!("   {}", spread(&homes));
        self.ask_for_links(&homes).await?;

        println!("\n5. The master of `login` is stopped");
        let first = self.masters.other_than(None, PATIENCE).await;
        self.report.check(
            first.is_some(),
            format_args!("there is a master: {}", name(&first)),
        );
        if let Some(first) = first {
            self.stop_master(&first, &users).await?;
        }
        users.round().await;
        println!("   {}", spread(&users.told().homes));

        println!("\n6. A late joiner");
        self.add_login("login-4", 4).await?;
        users.round().await;
        for number in 0..60 {
            if self.guest(format!("late-{number}")).await.as_deref() == Some("login-4") {
                self.report.joiner_calls += 1;
            }
        }
        let calls = self.report.joiner_calls;
        self.report.check(
            calls > 0,
            format_args!("login-4 takes its share: {calls} of 60 calls"),
        );

        let told = users.stop().await;
        self.report.calls += told.calls;
        self.report.sticky_violations = told.violations;
        self.report.links_moved = told.moved;
        for error in &told.errors {
            self.failed(error);
        }
        let errors = self.report.errors;
        let overlap = self.masters.overlap();
        let report = &mut self.report;
        report.masters_overlap_ms = overlap.as_secs_f64() * 1e3;
        println!("\n7. In all: {} calls", report.calls);
        report.check(errors == 0, format_args!("{errors} of them failed"));
        let violations = told.violations;
        report.check(
            violations == 0,
            format_args!("{violations} users left a node that stayed"),
        );
        report.check(overlap.is_zero(), "never two masters at once");
        observed.check(report);
        Ok(())
    }

    /// Another node than the gate, which has made them, knows every user's link.
    async fn ask_for_links(&mut self, homes: &HashMap<String, String>) -> Result<()> {
        let asked = self.mails.first();
        let Some((asked, links)) = asked.and_then(|mail| Some((mail, mail.links()?))) else {
            return Ok(());
        };
        let login = ServiceName::new("login")?;
        let mut answers = JoinSet::new();
        for (user, home) in homes {
            let (token, home) = (token_of(user)?, home.clone());
            let (links, login) = (links.clone(), login.clone());
            answers.spawn(async move {
                let link = links.target(&token, &login).await;
                link.is_ok_and(|node| node.is_some_and(|node| node.id.as_str() == home))
            });
        }
        let answers = answers.join_all().await;
        let found = answers.into_iter().filter(|found| *found).count();
        let says = format!(
            "{} finds {found} of them where the gate does",
            asked.node().id
        );
        self.report.check(found == USERS, says);
        Ok(())
    }

    async fn stop_master(&mut self, first: &Master, users: &Users) -> Result<()> {
        let Some(place) = self
            .logins
            .iter()
            .position(|node| node.node().id == first.id)
        else {
            return Ok(());
        };
        let node = self.logins.remove(place);
        users.leaving(&first.id);
        let links = users
            .told()
            .homes
            .values()
            .filter(|home| **home == *first.id.as_str())
            .count();
        let former = node.node().clone();
        let stopped = std::time::Instant::now();
        let closed = node.close().await;
        let next = self.masters.other_than(Some(&first.id), PATIENCE).await;
        self.report.failover_ms = next
            .as_ref()
            .map(|next| (next.since - stopped).as_secs_f64() * 1e3);
        let report = &mut self.report;
        report.check(
            closed.is_ok(),
            format_args!("{} finished what it had and left", first.id),
        );
        report.check(
            next.as_ref().is_some_and(|next| next.term > first.term),
            format_args!("the next master: {}", name(&next)),
        );
        let left = match self.gate.links() {
            Some(links) => links.count(&former).await?,
            None => 0,
        };
        self.report
            .check(left == 0, format_args!("{left} links to it are left"));
        users.round().await;
        let stranded = users
            .told()
            .homes
            .values()
            .filter(|home| **home == *first.id.as_str())
            .count();
        self.report.check(
            stranded == 0,
            format_args!("its {links} users went on elsewhere"),
        );
        Ok(())
    }
}

fn name(master: &Option<Master>) -> String {
    master.as_ref().map_or("none".into(), |master| {
        format!("{} in term {}", master.id, master.term)
    })
}

fn spread(homes: &HashMap<String, String>) -> String {
    let mut users: BTreeMap<&str, usize> = BTreeMap::new();
    for home in homes.values() {
        *users.entry(home).or_default() += 1;
    }
    let parts: Vec<_> = users
        .iter()
        .map(|(node, count)| format!("{node}: {count} users"))
        .collect();
    parts.join(", ")
}
