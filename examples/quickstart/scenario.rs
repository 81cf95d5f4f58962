//! What the fleet is put through, step by step, with its checks.

mod changes;

use crate::{
    backends::Backends,
    masters::Masters,
    members,
    report::{self, Report},
    topics::{self, Inbox},
};
use braid::{Braid, Result, SubscribeOptions};
use braid_examples::fleet::{
    EventsRequest, LoginReply, LoginRequest, SendReply, SendRequest, login_client::LoginClient,
};
use std::time::Duration;

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
