//! What the director accepts, and what it says of what it doesn't.

use super::{alive_tasks, gate, login, no_more_tasks_than};
use braid::{
    Braid, DefaultDirector, DiscoverSection, ElectorSection, Error, ErrorKind, LinkCacheSection,
    PubSubSection,
    local::{ElectorConfig, Hub},
    rpc::Server,
};
use std::time::Duration;

async fn refused(service: &str, id: &str, director: DefaultDirector) -> Error {
    match Braid::start(service, id, director).await {
        Err(error) => error,
        Ok(_) => panic!("started although it should be refused"),
    }
}

#[tokio::test]
async fn a_missing_backend_is_a_config_error_that_names_it() {
    let with_pubsub = || DefaultDirector::empty().pubsub(PubSubSection::Local);
    let with_discover = || with_pubsub().discover(DiscoverSection::Local);
    let with_links = || with_discover().linkcache(LinkCacheSection::Off);
    for (director, missing) in [
        (DefaultDirector::empty(), "pubsub"),
        (with_pubsub(), "discover"),
        (with_discover(), "linkcache"),
        (with_links(), "elector"),
    ] {
        let error = refused("login", "login-1", director).await;
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
        assert!(
            error
                .to_string()
                .contains(&format!("no {missing} is configured")),
            "{error}"
        );
    }
    let whole = with_links().elector(ElectorSection::Off);
    Braid::start("login", "login-1", whole)
        .await
        .unwrap()
        .close()
        .await
        .unwrap();
}

#[tokio::test]
async fn a_bad_name_is_told_by_its_kind() {
    let error = refused("", "login-1", DefaultDirector::local()).await;
    assert_eq!(error.to_string(), "core: service name: empty");
    let error = refused("login", &"x".repeat(300), DefaultDirector::local()).await;
    assert!(
        error.to_string().starts_with("core: node id: 300 bytes"),
        "{error}"
    );
}

#[tokio::test]
async fn a_bad_section_is_told_by_its_field() {
    let elector = ElectorConfig {
        refresh: Duration::from_secs(60),
        ..Default::default()
    };
    let error = refused(
        "login",
        "login-1",
        DefaultDirector::local().elector(elector),
    )
    .await;
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("refresh"), "{error}");
}

#[tokio::test]
async fn a_port_in_use_is_told_by_its_address_and_nothing_keeps_running() {
    let hub = Hub::new();
    let first = login(&hub, "login-1").await.unwrap();
    let address = first.address().unwrap().to_string();
    let before = alive_tasks();
    let server = Server::listen(&address);
    let error = refused(
        "login",
        "login-2",
        DefaultDirector::local_in(&hub).server(server),
    )
    .await;
    assert!(error.to_string().contains(&address), "{error}");

    no_more_tasks_than(before).await;
    let second = login(&hub, "login-2").await.unwrap();
    second.close().await.unwrap();
    first.close().await.unwrap();
}

#[tokio::test]
async fn a_node_id_that_is_taken_is_a_conflict_that_names_it() {
    let hub = Hub::new();
    let first = login(&hub, "login-1").await.unwrap();
    let error = refused("mail", "login-1", DefaultDirector::local_in(&hub)).await;
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    assert!(error.to_string().contains("login-1"), "{error}");
    first.close().await.unwrap();
    login(&hub, "login-1").await.unwrap().close().await.unwrap();
}

#[tokio::test]
async fn a_node_without_a_part_says_so_when_it_is_asked_for_it() {
    let director = DefaultDirector::local()
        .elector(ElectorSection::Off)
        .without_server();
    let node = Braid::start("gate", "gate-1", director).await.unwrap();
    assert_eq!(
        node.leadership().unwrap_err().kind(),
        ErrorKind::Unsupported
    );
    assert!(node.address().is_none());
    node.close().await.unwrap();
}

#[tokio::test]
async fn what_is_said_of_a_node_reaches_discovery() {
    use braid::Update;
    let hub = Hub::new();
    let director = DefaultDirector::local_in(&hub)
        .server(Server::listen(":0"))
        .weight(7)
        .zone("east")
        .metadata("build", "1234");
    let node = Braid::start("login", "login-1", director).await.unwrap();
    let gate = gate(&hub).await.unwrap();
    let mut updates = gate.discover().watch(node.service());
    let first = std::future::poll_fn(|cx| updates.as_mut().poll_next(cx))
        .await
        .unwrap()
        .unwrap();
    let Update::Reset(nodes) = first else {
        panic!("a watch starts with Reset: {first:?}")
    };
    let [seen] = &nodes[..] else {
        panic!("one node was announced: {nodes:?}")
    };
    assert_eq!((seen.weight, seen.zone.as_deref()), (7, Some("east")));
    assert_eq!(seen.metadata["build"], "1234");
    assert!(
        seen.address.ip().is_loopback(),
        "all interfaces can't be dialled: {}",
        seen.address
    );
    gate.close().await.unwrap();
    node.close().await.unwrap();
}
