//! What a program can write against the contracts alone: it works with whatever backend it is handed.
//!
//! `cargo run -p braid-core --example contracts` shows the meta types; the functions below compile against every backend.

#![expect(
    dead_code,
    reason = "backends live in other crates; these functions show what needs none"
)]

use braid_core::{
    Call, CallOptions, Channel, Error, ErrorKind, Leadership, PubSub, Result, ServiceName, Token,
    Topic,
    reserved::{Body, Role, StateChange},
};

/// Publishes a greeting and handles one: any pub-sub backend will do.
async fn greet(pubsub: &dyn PubSub) -> Result<()> {
    let topic = Topic::new("greetings")?;
    let mut inbox = pubsub
        .subscribe(&topic, &Channel::new("greeter")?, Default::default())
        .await?;
    pubsub.publish(&topic, "hello".into()).await?;
    if let Some(delivery) = inbox.next().await {
        delivery?.ack().await?;
    }
    inbox.close().await
}

/// Calls a service for a user: any transport will do.
async fn password(rpc: &dyn Call, token: Token) -> Result<()> {
    let options = CallOptions::new().with_token(token);
    rpc.call(
        &ServiceName::new("login")?,
        "/user.password",
        options,
        "secret".into(),
    )
    .await?;
    Ok(())
}

/// Works only while this node is the master: any elector's handle will do.
async fn tidy_up(leadership: Leadership) -> Result<()> {
    leadership
        .while_leader(|term, cancel| async move {
            println!("master in term {term}");
            cancel.cancelled().await;
        })
        .await
}

fn main() -> Result<()> {
    let change = StateChange {
        id: "login-1".try_into()?,
        role: Role::Master,
    };
    println!("{} carries {:?}", StateChange::TOPIC, change.encode());

    let token = Token::new("user-7")?;
    println!("a token hides itself: {token:?}");

    let error: Error = Topic::new("").expect_err("an empty name is refused");
    assert_eq!(error.kind(), ErrorKind::Config);
    println!("an error names what is at fault: {error}");
    Ok(())
}
