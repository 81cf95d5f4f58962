//! The health service: SERVING while the server runs, is ready and doesn't drain.
//!
//! tonic-health's own implementation keeps `Watch` streams open for ever, which a drain would have to wait for; here they end with the
//! last change. A `Watch` of an unknown service says SERVICE_UNKNOWN, as the protocol has it.

use futures_util::stream;
use std::{collections::HashSet, sync::Arc};
use tokio::sync::watch;
use tonic::{Request, Response, Status, codegen::BoxStream};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus,
    health_server::Health,
};

/// Says whether a server wants calls. Cheap to clone; all clones speak of the same server.
///
/// It drives the health service only: a server that isn't ready answers all the same.
#[derive(Clone, Debug)]
pub struct Readiness(Arc<watch::Sender<Serving>>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Serving {
    ready: bool,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Bound,
    Running,
    Draining,
}

impl Readiness {
    pub(super) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(Serving {
            ready: true,
            phase: Phase::Bound,
        })))
    }

    /// Says that the server wants calls, or that it doesn't. At first it does.
    pub fn set(&self, ready: bool) {
        self.change(|serving| serving.ready = ready);
    }

    /// True while the health service says SERVING.
    #[must_use]
    pub fn is_serving(&self) -> bool {
        self.0.borrow().status() == ServingStatus::Serving
    }

    pub(super) fn enter(&self, phase: Phase) {
        self.change(|serving| serving.phase = phase);
    }

    fn change(&self, change: impl FnOnce(&mut Serving)) {
        self.0.send_if_modified(|serving| {
            let before = *serving;
            change(serving);
            *serving != before
        });
    }
}

impl Serving {
    fn status(self) -> ServingStatus {
        if self.ready && self.phase == Phase::Running {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        }
    }
}

/// The service behind `grpc.health.v1.Health`.
#[derive(Debug)]
pub(super) struct HealthService {
    readiness: Readiness,
    // The services that are asked about by name; the empty name is the server.
    services: HashSet<&'static str>,
}

impl HealthService {
    pub(super) fn new(readiness: Readiness, services: impl Iterator<Item = &'static str>) -> Self {
        Self {
            readiness,
            services: services.chain([""]).collect(),
        }
    }
}

#[tonic::async_trait]
impl Health for HealthService {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let name = request.into_inner().service;
        if !self.services.contains(&*name) {
            return Err(Status::not_found(format!("no service here is {name:?}")));
        }
        let status = self.readiness.0.borrow().status();
        Ok(Response::new(response(status)))
    }

    type WatchStream = BoxStream<HealthCheckResponse>;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let known = self.services.contains(&*request.into_inner().service);
        let watched = Watched {
            serving: self.readiness.0.subscribe(),
            told: None,
            known,
        };
        let changes = stream::unfold(watched, |mut watched| async {
            let status = watched.next().await?;
            Some((Ok(response(status)), watched))
        });
        Ok(Response::new(Box::pin(changes)))
    }
}

struct Watched {
    serving: watch::Receiver<Serving>,
    told: Option<ServingStatus>,
    known: bool,
}

impl Watched {
    /// The next status that differs from the one told last; `None` once the server drains.
    async fn next(&mut self) -> Option<ServingStatus> {
        loop {
            let serving = *self.serving.borrow_and_update();
            let status = if self.known {
                serving.status()
            } else {
                ServingStatus::ServiceUnknown
            };
            if self.told != Some(status) {
                self.told = Some(status);
                return Some(status);
            }
            if serving.phase == Phase::Draining {
                return None;
            }
            self.serving.changed().await.ok()?;
        }
    }
}

fn response(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse {
        status: status.into(),
    }
}
