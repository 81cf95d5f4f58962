//! What people and dashboards are shown.

use crate::{
    error::{NAME, is_foreign},
    id::EntryId,
    names::TopicNames,
    reply, scripts,
};
use braid_core::{
    Channel, ChannelKind, Error, ErrorKind, Result, Topic,
    pubsub::{ChannelView, ConsumerView, TopicView},
};
use braid_redis::{Frame, Redis, Value, during};
use futures_util::{StreamExt, stream};
use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    time::Duration,
};

/// Those of the topics that still are there, with the dead-letter topics that hold something. Topics that the user's rules don't cover
/// are left out: others share the server.
pub(crate) async fn topics(redis: &Redis, listed: Vec<(Topic, u16)>) -> Result<Vec<Topic>> {
    let looked = listed.into_iter().map(|(topic, partitions)| async move {
        let (mut letters, mut messages) = (false, false);
        for partition in 0..partitions {
            let names = TopicNames::new(&topic, partition);
            letters =
                letters || (names.has_dead_letters() && exists(redis, &names, &names.dead).await?);
            messages = messages || exists(redis, &names, &names.stream).await?;
        }
        let letters = letters.then(|| topic.dead_letters().ok()).flatten();
        Ok::<_, Error>(letters.into_iter().chain(messages.then_some(topic)))
    });
    let mut looked = stream::iter(looked).buffer_unordered(64);
    let mut topics = BTreeSet::new();
    while let Some(there) = looked.next().await {
        topics.extend(there?);
    }
    Ok(topics.into_iter().collect())
}

async fn exists(redis: &Redis, names: &TopicNames, key: &bytes::Bytes) -> Result<bool> {
    let args = vec![Value::Bytes(key.clone())];
    match redis.command("EXISTS", names.slot, args).await {
        Ok(frame) => Ok(reply::as_int(&frame) == Some(1)),
        Err(error) if is_foreign(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The state of a topic, each of its partitions at one moment.
pub(crate) async fn inspect(redis: &Redis, topic: &Topic, partitions: u16) -> Result<TopicView> {
    let subject = format!("topic `{topic}`");
    let mut view = TopicView::default();
    let mut channels = BTreeMap::<Channel, ChannelView>::new();
    let mut found = false;
    for partition in 0..partitions.max(1) {
        let names = TopicNames::new(topic, partition);
        let frame = redis
            .run(&scripts::VIEW, names.slot, names.keys(), Vec::new())
            .await;
        let frame = frame.map_err(|error| during(NAME, "inspect", &subject, error))?;
        let Some([exists, messages, dead, groups]) = reply::as_array(&frame) else {
            return Err(reply::unreadable("inspect", topic));
        };
        found = found || reply::as_int(exists) == Some(1);
        view.messages += reply::count(messages);
        if names.has_dead_letters() {
            view.dead_letters += reply::count(dead);
        }
        let mut own = BTreeMap::new();
        for group in reply::as_array(groups).unwrap_or_default() {
            add(&mut own, reply::as_array(group).unwrap_or_default());
        }
        for (name, channel) in own {
            match channels.entry(name) {
                Entry::Vacant(vacant) => drop(vacant.insert(channel)),
                Entry::Occupied(mut all) => merge(all.get_mut(), channel),
            }
        }
    }
    if !found {
        return Err(Error::new(
            ErrorKind::NotFound,
            NAME,
            "inspect",
            format!("{subject}: there is none"),
        ));
    }
    view.channels = channels.into_values().collect();
    Ok(view)
}

/// Adds what another partition has of a channel.
fn merge(all: &mut ChannelView, more: ChannelView) {
    all.lag += more.lag;
    all.pending += more.pending;
    all.oldest = all.oldest.into_iter().chain(more.oldest).min();
    for member in more.members {
        match all
            .members
            .iter_mut()
            .find(|known| known.name == member.name)
        {
            Some(known) => {
                known.pending += member.pending;
                known.idle = known.idle.into_iter().chain(member.idle).min();
            }
            None => all.members.push(member),
        }
    }
    all.consumers = all.members.len();
}

/// Adds one group to its channel; one with keys has two.
fn add(channels: &mut BTreeMap<Channel, ChannelView>, group: &[Frame]) -> Option<()> {
    let [name, of_keys, kind, lag, pending, oldest, consumers] = group else {
        return None;
    };
    let name = Channel::new(reply::as_text(name)?).ok()?;
    let of_keys = reply::as_int(of_keys) == Some(1);
    let kind = match reply::as_text(kind) {
        Some("ephemeral") => ChannelKind::Ephemeral,
        _ => ChannelKind::Shared,
    };
    let view = channels
        .entry(name.clone())
        .or_insert_with(|| ChannelView::new(name, kind));
    // Both groups read everything, and each hands out its part.
    view.lag = view.lag.max(reply::count(lag));
    view.pending += reply::count(pending);
    let oldest = reply::as_text(oldest)
        .and_then(EntryId::parse)
        .map(EntryId::published);
    view.oldest = view.oldest.into_iter().chain(oldest).min();
    for consumer in reply::as_array(consumers).unwrap_or_default() {
        let Some([name, pending, idle]) = reply::as_array(consumer) else {
            continue;
        };
        let name = reply::as_text(name)?;
        if name == "braid:retry" {
            continue;
        }
        let pending = reply::count(pending);
        match view.members.iter_mut().find(|member| member.name == name) {
            Some(member) => member.pending += pending,
            None => {
                let mut member = ConsumerView::new(name);
                member.pending = pending;
                member.idle = reply::as_int(idle)
                    .and_then(|idle| u64::try_from(idle).ok())
                    .map(Duration::from_millis);
                view.members.push(member);
            }
        }
    }
    view.consumers = view.members.len();
    debug_assert!(!of_keys || kind == view.kind);
    Some(())
}
