//! Appended tower layers, on both sides.

use crate::support::{Fleet, names, who};
use braid_core::{ErrorKind, Token};
use braid_rpc::{BoxService, Deadline, Target};
use http::Request;
use std::{
    sync::{Arc, Mutex},
    task::{Context, Poll},
};
use tonic::{Status, body::Body, service::InterceptorLayer};
use tower::{BoxError, Layer, Service, layer::layer_fn};

type Log = Arc<Mutex<Vec<String>>>;

/// Writes down what passes.
#[derive(Clone)]
struct Logged {
    inner: BoxService,
    name: &'static str,
    log: Log,
}

fn logged(name: &'static str, log: &Log) -> impl Layer<BoxService, Service = Logged> + use<> {
    let log = Arc::clone(log);
    layer_fn(move |inner| Logged {
        inner,
        name,
        log: Arc::clone(&log),
    })
}

impl Service<Request<Body>> for Logged {
    type Response = <BoxService as Service<Request<Body>>>::Response;
    type Error = Status;
    type Future = <BoxService as Service<Request<Body>>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let extensions = request.extensions();
        let target = extensions.get::<Arc<Target>>();
        let what = match target {
            Some(target) => format!("to {}", target.service()),
            None => format!(
                "token {} deadline {}",
                extensions.get::<Token>().is_some(),
                extensions.get::<Deadline>().is_some()
            ),
        };
        let line = format!("{} {what} {}", self.name, request.uri().path());
        self.log.lock().unwrap().push(line);
        self.inner.call(request)
    }
}

#[tokio::test]
async fn layers_wrap_every_call_in_the_order_they_were_appended() {
    let (fleet, log) = (Fleet::default(), Log::default());
    let _node = fleet
        .start_with("login", "login-1", |builder| {
            builder
                .layer(logged("outer", &log))
                .layer(logged("inner", &log))
        })
        .await;
    let client = fleet.client_with(|builder| {
        builder
            .layer(logged("first", &log))
            .layer(logged("second", &log))
    });
    let reply = client.send_bytes("login", "echo", "user-1", "hello").await;
    assert_eq!(reply.unwrap(), "hello");
    let log = log.lock().unwrap();
    let path = "/proto.listen/routing";
    let expected = [
        format!("first to login {path}"),
        format!("second to login {path}"),
        format!("outer token true deadline true {path}"),
        format!("inner token true deadline true {path}"),
    ];
    assert_eq!(*log, expected);
}

#[tokio::test]
async fn an_interceptor_on_the_server_rejects_a_call() {
    let fleet = Fleet::default();
    let interceptor =
        InterceptorLayer::new(
            |request: tonic::Request<()>| match request.metadata().get("key") {
                Some(_) => Ok(request),
                None => Err(Status::permission_denied("no key")),
            },
        );
    let _node = fleet
        .start_with("login", "login-1", |builder| builder.layer(interceptor))
        .await;
    let without = fleet.client();
    let error = who(&without, "login").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rejected);
    names(&error, &["`login`", "no key"]);

    let adds_key = InterceptorLayer::new(|mut request: tonic::Request<()>| {
        request.metadata_mut().insert("key", "1".parse().unwrap());
        Ok(request)
    });
    let with = fleet.client_with(|builder| builder.layer(adds_key));
    assert_eq!(who(&with, "login").await.unwrap(), "login-1");
}

/// Fails every call with an error that is no status.
#[derive(Clone)]
struct Failing;

impl Service<Request<Body>> for Failing {
    type Response = http::Response<Body>;
    type Error = BoxError;
    type Future = std::future::Ready<Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        std::future::ready(Err("broken on purpose".into()))
    }
}

#[tokio::test]
async fn a_layer_that_fails_fails_its_call() {
    let fleet = Fleet::default();
    let fails = layer_fn(|_: BoxService| Failing);
    let _node = fleet
        .start_with("login", "login-1", |builder| builder.layer(fails))
        .await;
    let error = who(&fleet.client(), "login").await.unwrap_err();
    names(&error, &["`login`", "broken on purpose"]);
    let client = fleet.client_with(|builder| builder.layer(fails));
    let error = who(&client, "login").await.unwrap_err();
    names(&error, &["`login`", "broken on purpose"]);
}
