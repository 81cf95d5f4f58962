//! Users who call all the time, each with a token, while nodes come and go.

use braid::{Handle, NodeId, Token};
use braid_examples::fleet::{LoginReply, LoginRequest};
use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::task::JoinSet;

/// A crowd of users behind a gate.
#[derive(Debug)]
pub(crate) struct Users {
    told: Arc<Mutex<Told>>,
    stop: Arc<AtomicBool>,
    tasks: JoinSet<()>,
}

/// What the users saw.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told {
    pub(crate) calls: u64,
    /// How many of each user's calls have ended.
    ended: HashMap<String, u64>,
    pub(crate) errors: Vec<String>,
    /// Calls that another node answered although the user's node hadn't been told to leave.
    pub(crate) violations: u64,
    /// Users who went on elsewhere since their node left.
    pub(crate) moved: u64,
    /// Where each user is.
    pub(crate) homes: HashMap<String, String>,
    /// Nodes that were told to leave.
    leaving: HashSet<String>,
}

impl Users {
    /// Lets `count` users call `login` through `gate` until they are stopped.
    pub(crate) fn start(gate: &Handle, count: usize) -> Self {
        let told = Arc::new(Mutex::new(Told::default()));
        let stop = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        for user in 1..=count {
            let name = format!("user-{user}");
            tasks.spawn(call(
                gate.clone(),
                name,
                Arc::clone(&told),
                Arc::clone(&stop),
            ));
        }
        Self { told, stop, tasks }
    }

    /// From now on users may leave this node.
    pub(crate) fn leaving(&self, node: &NodeId) {
        lock(&self.told).leaving.insert(node.to_string());
    }

    /// What they have seen so far.
    pub(crate) fn told(&self) -> Told {
        lock(&self.told).clone()
    }

    /// Waits until each user has made a call since now, and had its end.
    pub(crate) async fn round(&self) {
        let before = self.told().ended;
        let has_called = |(user, ended): (&String, &u64)| {
            // The first one may be under way already.
            *ended >= before.get(user).copied().unwrap_or_default() + 2
        };
        loop {
            {
                let ended = &lock(&self.told).ended;
                if ended.len() == self.tasks.len() && ended.iter().all(has_called) {
                    return;
                }
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Ends the calling and tells what was seen.
    pub(crate) async fn stop(mut self) -> Told {
        self.stop.store(true, Relaxed);
        while self.tasks.join_next().await.is_some() {}
        self.told()
    }
}

/// What a user shows with each call.
pub(crate) fn token_of(user: &str) -> braid::Result<Token> {
    Token::new(format!("token of {user}"))
}

async fn call(gate: Handle, user: String, told: Arc<Mutex<Told>>, stop: Arc<AtomicBool>) {
    let Ok(token) = token_of(&user) else {
        return;
    };
    let request = LoginRequest { user: user.clone() };
    while !stop.load(Relaxed) {
        let reply: braid::Result<LoginReply> = gate
            .send("login", "/fleet.Login/Login", &token, &request)
            .await;
        {
            let mut told = lock(&told);
            told.calls += 1;
            *told.ended.entry(user.clone()).or_default() += 1;
            match reply {
                Ok(reply) => told.answered(&user, reply.node),
                Err(error) => told.errors.push(error.to_string()),
            }
        }
        tokio::time::sleep(Duration::from_millis(4)).await;
    }
}

impl Told {
    fn answered(&mut self, user: &str, node: String) {
        match self.homes.get_mut(user) {
            None => {
                self.homes.insert(user.to_owned(), node);
            }
            Some(home) if *home == node => {}
            Some(home) => {
                let former = std::mem::replace(home, node);
                if self.leaving.contains(&former) {
                    self.moved += 1;
                } else {
                    self.violations += 1;
                }
            }
        }
    }
}

fn lock(told: &Mutex<Told>) -> MutexGuard<'_, Told> {
    // A poisoned lock still holds what was counted before.
    told.lock().unwrap_or_else(PoisonError::into_inner)
}
