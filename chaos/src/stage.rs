//! The processes of a scenario and their histories, as the conductor has them.

use crate::{
    Result,
    consumer::{self, Consumer},
    history::Tail,
    ledger::Ledger,
    options::Options,
    progress::Progress,
    publisher::{self, Publisher},
};
use braid_core::{Channel, Component as _, PubSub as _, ShutdownTrigger, Topic};
use braid_pubsub_redis::{Durability, RedisPubSub};
use braid_testkit::process::{Folder, Process};
use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

/// Between two looks at what goes on.
pub(crate) const LOOK: Duration = Duration::from_millis(10);

/// Everything is given up when nothing has happened for so long.
pub(crate) const STALLED: Duration = Duration::from_secs(30);

/// All processes, dead ones too.
#[derive(Debug)]
pub(crate) struct Stage {
    // Before the folder: dropped first.
    publishers: Vec<Actor>,
    consumers: Vec<Actor>,
    folder: Folder,
    tails: Vec<Source>,
    ledgers: BTreeMap<&'static str, Ledger>,
    /// When a history last had something new.
    heard: Instant,
}

/// One process after the other, with the same part.
#[derive(Debug)]
struct Actor {
    part: Part,
    life: usize,
    process: Process,
    /// Its history in this life, in `tails`.
    tail: usize,
    frozen: bool,
    /// It ended with its work.
    done: bool,
}

#[derive(Clone, Debug)]
enum Part {
    Publisher(&'static str, Publisher),
    Consumer(&'static str, &'static str, Consumer),
}

#[derive(Debug)]
struct Source {
    topic: &'static str,
    channel: Option<&'static str>,
    path: PathBuf,
    tail: Option<Tail>,
    lines: usize,
}

impl Stage {
    /// An empty one, for messages of these topics with numbers below `messages`.
    pub(crate) fn new(
        messages: usize,
        topics: &[&'static str],
        channels: &[&'static str],
    ) -> Result<Self> {
        let ledger = |topic: &&'static str| (*topic, Ledger::new(messages, channels));
        Ok(Self {
            publishers: Vec::new(),
            consumers: Vec::new(),
            folder: Folder::create()?,
            tails: Vec::new(),
            ledgers: topics.iter().map(ledger).collect(),
            heard: Instant::now(),
        })
    }

    pub(crate) fn start_publisher(&mut self, topic: &'static str, config: Publisher) -> Result<()> {
        let actor = self.start(Part::Publisher(topic, config), 1)?;
        self.publishers.push(actor);
        Ok(())
    }

    pub(crate) fn start_consumer(
        &mut self,
        topic: &'static str,
        channel: &'static str,
        config: Consumer,
    ) -> Result<()> {
        let actor = self.start(Part::Consumer(topic, channel, config), 1)?;
        self.consumers.push(actor);
        Ok(())
    }

    fn start(&mut self, mut part: Part, life: usize) -> Result<Actor> {
        let (role, topic, channel) = match &part {
            Part::Publisher(topic, _) => (publisher::ROLE, *topic, None),
            Part::Consumer(topic, channel, _) => (consumer::ROLE, *topic, Some(*channel)),
        };
        let tail = self.tails.len();
        let path = self.folder.path().join(format!("{tail}-{role}-{topic}"));
        let config = match &mut part {
            Part::Publisher(_, config) => {
                config.history.clone_from(&path);
                serde_json::to_string(config)
            }
            Part::Consumer(_, _, config) => {
                config.history.clone_from(&path);
                serde_json::to_string(config)
            }
        }?;
        self.tails.push(Source {
            topic,
            channel,
            path,
            tail: None,
            lines: 0,
        });
        let mut command = Command::new(env::current_exe()?);
        let log = log_of(tail);
        let process = Process::start(command.args([role, &config]), &self.folder, &log)?;
        Ok(Actor {
            part,
            life,
            process,
            tail,
            frozen: false,
            done: false,
        })
    }

    /// Reads what is new in the histories.
    ///
    /// # Errors
    /// A process has ended though it should not have.
    pub(crate) fn look(&mut self) -> Result<()> {
        for source in &mut self.tails {
            if source.tail.is_none() {
                source.tail = Tail::open(&source.path);
            }
            let Some(tail) = &mut source.tail else {
                continue;
            };
            let ledger = self.ledgers.get_mut(source.topic);
            let ledger = ledger.ok_or("a history of no topic")?;
            let lines = tail.read(|record| ledger.take(source.channel, record))?;
            if lines > 0 {
                source.lines += lines;
                self.heard = Instant::now();
            }
        }
        for actor in self.publishers.iter_mut().chain(&mut self.consumers) {
            if actor.done {
                continue;
            }
            if let Some(status) = actor.process.ended() {
                let with_its_work = matches!(actor.part, Part::Publisher(..)) && status.success();
                if !with_its_work {
                    let log = self.folder.tail(&log_of(actor.tail));
                    return Err(format!("{} ended by itself: {status}\n{log}", name(actor)).into());
                }
                actor.done = true;
            }
        }
        Ok(())
    }

    /// How long nothing was written.
    pub(crate) fn quiet(&self) -> Duration {
        self.heard.elapsed()
    }

    /// Whether all publishers have ended with their work.
    pub(crate) fn published(&self) -> bool {
        self.publishers.iter().all(|publisher| publisher.done)
    }

    /// How far every topic is.
    pub(crate) fn summary(&self) -> String {
        let topics = self.ledgers.iter().map(|(topic, ledger)| {
            let (published, unsure) = (ledger.published(), ledger.unsure());
            let (delivered, duplicates) = (ledger.delivered(), ledger.duplicates());
            let unsure = match unsure {
                0 => String::new(),
                unsure => format!(" and perhaps {unsure}"),
            };
            format!(
                "{topic}: published {published}{unsure}, delivered {delivered:?}, {duplicates} duplicates"
            )
        });
        topics.collect::<Vec<_>>().join("; ")
    }

    pub(crate) fn ledger(&self, topic: &str) -> &Ledger {
        &self.ledgers[topic]
    }

    /// Consumers that have handed out something in their present life.
    pub(crate) fn at_work(&self) -> Vec<usize> {
        let works = |index: &usize| self.tails[self.consumers[*index].tail].lines > 0;
        (0..self.consumers.len()).filter(works).collect()
    }

    /// Kills a consumer (SIGKILL) and starts it again.
    pub(crate) fn kill(&mut self, consumer: usize) -> Result<()> {
        let killed = self.consumers.remove(consumer);
        let (part, life) = (killed.part.clone(), killed.life);
        drop(killed);
        let next = self.start(part, life + 1)?;
        self.consumers.insert(consumer, next);
        Ok(())
    }

    /// Freezes a consumer (SIGSTOP); false when it was frozen.
    pub(crate) fn freeze(&mut self, consumer: usize) -> bool {
        let actor = &mut self.consumers[consumer];
        if !actor.frozen {
            actor.process.pause();
        }
        !std::mem::replace(&mut actor.frozen, true)
    }

    /// Thaws a consumer (SIGCONT), if it's frozen and in the same life as when it was frozen.
    pub(crate) fn thaw(&mut self, consumer: usize) {
        let actor = &mut self.consumers[consumer];
        if std::mem::take(&mut actor.frozen) {
            actor.process.resume();
        }
    }

    /// How many consumers there are.
    pub(crate) fn consumers(&self) -> usize {
        self.consumers.len()
    }

    /// Freezes all consumers, or thaws them.
    pub(crate) fn freeze_all(&mut self, frozen: bool) {
        for consumer in 0..self.consumers.len() {
            match frozen {
                true => drop(self.freeze(consumer)),
                false => self.thaw(consumer),
            }
        }
    }

    /// Leaves the histories behind, where they are of use: when a promise didn't hold.
    pub(crate) fn keep_unless(&self, held: bool, options: &Options, progress: &Progress) {
        if held {
            return;
        }
        let name = format!("braid-chaos-{}-{}", options.scenario.name, options.seed);
        let to = env::temp_dir().join(name);
        match self.keep(&to) {
            Ok(()) => progress.say(&format!("histories: {}", to.display())),
            Err(error) => progress.say(&format!("no histories in {}: {error}", to.display())),
        }
    }

    fn keep(&self, to: &Path) -> Result<()> {
        fs::create_dir_all(to)?;
        for entry in fs::read_dir(self.folder.path())? {
            let entry = entry?;
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
        Ok(())
    }
}

fn name(actor: &Actor) -> String {
    match &actor.part {
        Part::Publisher(topic, _) => format!("a publisher of topic `{topic}`"),
        Part::Consumer(topic, channel, _) => {
            let life = actor.life;
            format!("life {life} of a consumer of channel `{channel}` of topic `{topic}`")
        }
    }
}

fn log_of(tail: usize) -> String {
    format!("{tail}-log")
}

/// The conductor's own connection. It goes with the runtime.
pub(crate) async fn connect(url: &str) -> Result<RedisPubSub> {
    let pubsub = RedisPubSub::connect(publisher::patient(url, Durability::Fast)).await?;
    let running = pubsub.clone();
    tokio::spawn(async move {
        // Nobody pulls it.
        let trigger = ShutdownTrigger::new();
        running.run(trigger.shutdown()).await
    });
    Ok(pubsub)
}

/// Creates channels, so that they get everything from the first message on.
pub(crate) async fn create_channels(
    pubsub: &RedisPubSub,
    topic: &str,
    channels: &[&str],
) -> Result<()> {
    for channel in channels {
        let options = braid_core::SubscribeOptions::shared();
        let (topic, channel) = (Topic::new(topic)?, Channel::new(*channel)?);
        pubsub
            .subscribe(&topic, &channel, options)
            .await?
            .close()
            .await?;
    }
    Ok(())
}

/// Whether the server has nothing more for the channels of a topic.
pub(crate) async fn is_drained(pubsub: &RedisPubSub, topic: &str) -> Result<bool> {
    let view = pubsub.inspect(&Topic::new(topic)?).await?;
    let mut channels = view.channels.iter();
    Ok(channels.all(|channel| channel.lag == 0 && channel.pending == 0))
}

/// How many dead letters a topic has. Says what is left of it, if it wasn't drained.
pub(crate) async fn dead_letters(
    pubsub: &RedisPubSub,
    topic: &str,
    drained: bool,
    progress: &Progress,
) -> Result<usize> {
    let view = pubsub.inspect(&Topic::new(topic)?).await?;
    if !drained {
        progress.say(&format!("topic `{topic}` at the end: {view:?}"));
    }
    Ok(view.dead_letters)
}
