//! What the fleet is put through, step by step, with its checks.

use crate::{
    backends::Backends,
    masters::{Master, Masters},
    members,
    observed::Observed,
    report::{self, Report},
    topics::{self, Inbox},
    users::Users,
};
use braid::{Braid, Result, SubscribeOptions};
use braid_examples::fleet::{
    EventsRequest, LoginReply, LoginRequest, SendReply, SendRequest, login_client::LoginClient,
};
use std::{collections::BTreeMap, time::Duration};

const CALLS: u64 = 1_800;
const USERS: usize = 60;
const MESSAGES: u64 = 200;
const WORK: Duration = Duration::from_millis(1);
const PATIENCE: Duration = Duration::from_secs(10);

/// The nodes, and what watches them.
pub(crate) struct Fleet<'a> {
    backends: &'a Backends,
    pub(crate) gate: Braid,
    pub(crate) logins: Vec<Braid>,
    mails: Vec<Braid>,
    pub(crate) masters: Masters,
    pub(crate) report: Report,
}

impl<'a> Fleet<'a> {
    /// One gate, three login nodes with weights 5, 3 and 1, two mail nodes.
    pub(crate) async fn start(backends: &'a Backends) -> Result<Self> {
        println!("A fleet of six nodes in this process, each on a gRPC port of its own:\n");
        let gate = members::gate(backends, "gate-1").await?;
        let report = Report {
            backends: report::Backends::of(&gate),
            ..Report::default()
        };
        let mut fleet = Self {
            backends,
            gate,
            logins: Vec::new(),
            mails: Vec::new(),
            masters: Masters::watch(),
            report,
        };
        for (id, weight) in [("login-1", 5), ("login-2", 3), ("login-3", 1)] {
            fleet.add_login(id, weight).await?;
        }
        for id in ["mail-1", "mail-2"] {
            fleet.mails.push(members::mail(backends, id).await?);
        }
        for node in std::iter::once(&fleet.gate)
            .chain(&fleet.logins)
            .chain(&fleet.mails)
        {
            if let Some(address) = node.address() {
                println!("   {:8} {address}", node.node().id);
            }
        }
        Ok(fleet)
    }

    async fn add_login(&mut self, id: &str, weight: u32) -> Result<()> {
        let node = members::login(self.backends, id, weight).await?;
        self.masters.add(node.node().id.clone(), node.leadership()?);
        self.logins.push(node);
        Ok(())
    }

    /// The whole scenario.
    pub(crate) async fn run(&mut self) -> Result<()> {
        self.share_load().await?;
        self.other_ways_to_call().await?;
        self.talk().await?;
        self.change_masters_while_users_call().await
    }

    async fn share_load(&mut self) -> Result<()> {
        println!("\n1. {CALLS} calls to `login`: weights 5, 3 and 1 share them");
        for number in 0..CALLS {
            if let Some(node) = self.guest(format!("guest-{number}")).await {
                self.report.answered(node);
            }
        }
        let report = &mut self.report;
        for (node, calls) in &report.per_node {
            let share = *calls as f64 / CALLS as f64;
            println!(
                "   {node:8} {calls:5}  {share:.3}  {}",
                "#".repeat((share * 60.0) as usize)
            );
        }
        for (node, expected) in [("login-1", 5.0), ("login-2", 3.0), ("login-3", 1.0)] {
            let calls = report.per_node.get(node).copied().unwrap_or_default();
            let share = calls as f64 / CALLS as f64;
            let held = (share - expected / 9.0).abs() <= 0.02;
            report.check(held, format_args!("{node} answered {expected}/9 of them"));
        }
        Ok(())
    }

    /// A call without a token: the node that answered it.
    async fn guest(&mut self, user: String) -> Option<String> {
        let request = LoginRequest { user };
        let reply: Result<LoginReply> = self
            .gate
            .send("login", "/fleet.Login/Login", (), &request)
            .await;
        self.report.calls += 1;
        reply
            .map(|reply| reply.node)
            .map_err(|error| self.failed(&error))
            .ok()
    }

    async fn other_ways_to_call(&mut self) -> Result<()> {
        println!("\n2. Other ways to call");
        let mut login = LoginClient::new(self.gate.channel("login")?);
        let mut events = Vec::new();
        match login.events(EventsRequest { count: 5 }).await {
            Ok(reply) => {
                let mut stream = reply.into_inner();
                while let Ok(Some(event)) = stream.message().await {
                    events.push(event);
                }
            }
            Err(status) => self.failed(&status),
        }
        self.report.calls += 1;
        if let Some(event) = events.first() {
            self.report.answered(event.node.clone());
        }
        self.report.check(
            events.len() == 5,
            "a typed tonic client streams over the same channel",
        );

        let answer = self
            .gate
            .send_bytes("login", "/user.password", "token of user-1", "secret")
            .await;
        self.report.calls += 1;
        let held = answer
            .as_ref()
            .is_ok_and(|node| node.starts_with(b"login-"));
        self.report
            .check(held, "a raw handler is reached by its short name");

        let letter = SendRequest {
            to: "user-1".into(),
            text: "hello".into(),
        };
        let sent: Result<SendReply> = self
            .gate
            .send("mail", "/fleet.Mail/Send", (), &letter)
            .await;
        self.report.calls += 1;
        self.report
            .check(sent.is_ok(), "another service is called by its name");
        if let Ok(sent) = sent {
            self.report.answered(sent.node);
        }

        let unknown: Result<SendReply> = self
            .gate
            .send("male", "/fleet.Mail/Send", (), &letter)
            .await;
        let text = unknown
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default();
        self.report.check(
            text.contains("`male`"),
            format_args!("a wrong name is told: {text}"),
        );
        Ok(())
    }

    async fn talk(&mut self) -> Result<()> {
        println!("\n3. {MESSAGES} messages to every node, {MESSAGES} shared by the mail nodes");
        let everyone = || {
            std::iter::once(&self.gate)
                .chain(&self.logins)
                .chain(&self.mails)
        };
        let mut consumers = Vec::new();
        let mut inboxes = Vec::new();
        for node in everyone() {
            let inbox = Inbox::default();
            // Of this life of the node: on a server, those of a former one that was killed are there for a while.
            let channel = node.node().to_string();
            let own = SubscribeOptions::ephemeral();
            consumers.push(
                inbox
                    .join(node, "chat.world", &channel, own, Duration::ZERO)
                    .await?,
            );
            inboxes.push(inbox);
        }
        let shared = Inbox::default();
        for node in &self.mails {
            // One at a time and some work each: what one of them is busy with, the other doesn't wait for.
            let options = SubscribeOptions {
                max_in_flight: 1,
                ..SubscribeOptions::shared()
            };
            consumers.push(
                shared
                    .join(node, "mail.outbox", "mail", options, WORK)
                    .await?,
            );
        }

        let broadcast = topics::publish(&self.gate, "chat.world", MESSAGES).await?;
        let work = topics::publish(&self.gate, "mail.outbox", MESSAGES).await?;
        for inbox in &inboxes {
            inbox.wait_for(&broadcast, PATIENCE).await;
        }
        shared.wait_for(&work, PATIENCE).await;
        for consumer in consumers {
            consumer.close().await?;
        }

        let report = &mut self.report;
        let missing_broadcasts: u64 = inboxes.iter().map(|inbox| inbox.missing(&broadcast)).sum();
        report.messages_published += (broadcast.len() + work.len()) as u64;
        report.messages_delivered += inboxes.iter().map(Inbox::deliveries).sum::<u64>();
        report.messages_delivered += shared.deliveries();
        report.messages_lost += missing_broadcasts + shared.missing(&work);
        report.check(
            missing_broadcasts == 0,
            format_args!(
                "each of {} nodes got every message of `chat.world`",
                inboxes.len()
            ),
        );
        let by_consumer = shared.by_consumer();
        report.check(
            shared.missing(&work) == 0 && by_consumer.len() == 2,
            format_args!("`mail.outbox` was shared: {by_consumer:?}"),
        );
        Ok(())
    }

    /// The master is stopped and a late joiner comes, while users call without a pause.
    async fn change_masters_while_users_call(&mut self) -> Result<()> {
        let observed = Observed::subscribe(&self.gate).await?;
        println!("\n4. {USERS} users call all the time, each linked to a node");
        let users = Users::start(&self.gate, USERS);
        users.round().await;
        println!("   {}", spread(&users.told().homes));

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

    fn failed(&mut self, error: &dyn std::fmt::Display) {
        println!("   an error: {error}");
        self.report.errors += 1;
    }

    /// Ends every node; each finishes what it has in flight.
    pub(crate) async fn drain(self) -> Report {
        println!("\n8. The fleet drains");
        let Self {
            gate,
            logins,
            mails,
            mut report,
            ..
        } = self;
        report.drained = true;
        for node in mails.into_iter().chain(logins).chain([gate]) {
            let id = node.node().id.clone();
            if let Err(error) = node.close().await {
                println!("   {id}: {error}");
                report.drained = false;
            }
        }
        let drained = report.drained;
        report.check(drained, "every node finished what it had in flight");
        report
    }
}

fn name(master: &Option<Master>) -> String {
    master.as_ref().map_or("none".into(), |master| {
        format!("{} in term {}", master.id, master.term)
    })
}

fn spread(homes: &std::collections::HashMap<String, String>) -> String {
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
