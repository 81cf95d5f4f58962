//! The gRPC server.

mod config;
mod health;
mod listen;
mod reflection;
mod request;
mod serve;
mod services;

pub use self::{config::ServerConfig, health::Readiness, services::Services};

use self::{health::HealthService, request::Run, serve::Serving};
use crate::{
    layer::{Apply, BoxService, Count, apply, apply_all, erase},
    proto::listen_server::ListenServer,
    routing::{Handler, Handlers, RawRequest, handler},
    tasks::Tasks,
};
use braid_core::{BoxFuture, Component, Error, ErrorKind, Result, Shutdown};
use bytes::Bytes;
use http::{Request, Response};
use std::{
    fmt,
    future::Future,
    net::SocketAddr,
    sync::{Mutex, PoisonError},
};
use tokio::net::TcpListener;
use tonic::{body::Body, codec::CompressionEncoding, codegen::StdError};
use tonic_health::pb::health_server::HealthServer;
use tower::{Layer, Service};

type Register = Box<dyn FnOnce(&mut Services) + Send + Sync>;

/// Puts a [`Server`] together.
#[must_use]
pub struct ServerBuilder {
    config: ServerConfig,
    registrations: Vec<Register>,
    layers: Vec<Apply>,
    handlers: Vec<(String, Handler)>,
    descriptors: Vec<Bytes>,
}

impl ServerBuilder {
    /// Registers gRPC services, by the closure that adds them. Called as often as one likes.
    pub fn register(
        mut self,
        register: impl FnOnce(&mut Services) + Send + Sync + 'static,
    ) -> Self {
        self.registrations.push(Box::new(register));
        self
    }

    /// Appends a tower layer around all services. The first is the outermost. Layers see the request's extensions as handlers do.
    pub fn layer<L, B>(mut self, layer: L) -> Self
    where
        L: Layer<BoxService> + Send + Sync + 'static,
        L::Service: Service<Request<Body>, Response = Response<B>> + Clone + Send + Sync + 'static,
        <L::Service as Service<Request<Body>>>::Error: Into<StdError>,
        <L::Service as Service<Request<Body>>>::Future: Send + 'static,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<StdError>,
    {
        self.layers.push(apply(layer));
        self
    }

    /// Handles the calls to a short method name, raw bytes in and out. An error that the handler returns becomes the status of
    /// [`status_of`](crate::status_of).
    pub fn handle<F, Fut>(mut self, method: impl Into<String>, handle: F) -> Self
    where
        F: Fn(RawRequest) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Bytes>> + Send + 'static,
    {
        self.handlers.push((method.into(), handler(handle)));
        self
    }

    /// Describes services to those who ask by reflection: an encoded `FileDescriptorSet`. Those of braid's own services are known.
    pub fn describe(mut self, file_descriptor_set: impl Into<Bytes>) -> Self {
        self.descriptors.push(file_descriptor_set.into());
        self
    }

    /// Takes the address. Connections wait in the system's queue until the server runs.
    ///
    /// # Errors
    /// `Config`: the address is malformed or can't be had, a limit is zero, a method or a service is registered twice, a file descriptor
    /// set can't be read. `Conflict`: the address is in use.
    pub async fn bind(self) -> Result<Server> {
        self.config.validate()?;
        let readiness = Readiness::new();
        let tasks = Tasks::new();

        let mut services = Services::default();
        for register in self.registrations {
            register(&mut services);
        }
        let mut handlers = Handlers::default();
        for (method, handler) in self.handlers {
            handlers.add(&method, handler)?;
        }
        services.add_service(
            ListenServer::new(handlers)
                .accept_compressed(CompressionEncoding::Gzip)
                .max_decoding_message_size(self.config.max_request)
                .max_encoding_message_size(self.config.max_response),
        );
        if self.config.health {
            let health = HealthService::new(readiness.clone(), services.names());
            services.add_service(HealthServer::new(health));
        }
        if self.config.reflection {
            reflection::add(&mut services, &self.descriptors, &tasks)?;
        }
        if let Some(name) = services.twice() {
            let text = format!("the service `{name}` is registered twice");
            return Err(Error::new(ErrorKind::Config, "rpc", "bind", text));
        }
        let service = apply_all(self.layers, erase(services.router()));

        let listener = listen::bind(&self.config.listen).await?;
        let local_addr = listener.local_addr().map_err(|error| {
            let text = "the address of the listener is unknown";
            Error::new(ErrorKind::Internal, "rpc", "bind", text).with_source(error)
        })?;
        Ok(Server {
            config: self.config,
            service,
            readiness,
            tasks,
            local_addr,
            listener: Mutex::new(Some(listener)),
        })
    }
}

/// A gRPC server that has its address and serves while it [runs](Component::run).
///
/// # Behavior
/// On drain the health service turns to NOT_SERVING, all connections get GOAWAY, new ones are accepted for
/// [`linger`](ServerConfig::linger) more and get theirs then, the listener closes, and what is in flight is finished. Streams see the
/// [`Shutdown`] in their request's extensions and should end on it. When forced, connections and handlers are dropped where they are.
pub struct Server {
    config: ServerConfig,
    service: BoxService,
    readiness: Readiness,
    tasks: Tasks,
    local_addr: SocketAddr,
    listener: Mutex<Option<TcpListener>>,
}

impl Server {
    /// Begins to put a server together that listens there, with the defaults of [`ServerConfig`] otherwise: `":14222"`.
    pub fn listen(address: impl Into<String>) -> ServerBuilder {
        Self::builder(ServerConfig::listen(address))
    }

    /// Begins to put a server together.
    pub fn builder(config: ServerConfig) -> ServerBuilder {
        ServerBuilder {
            config,
            registrations: Vec::new(),
            layers: Vec::new(),
            handlers: Vec::new(),
            descriptors: Vec::new(),
        }
    }

    /// Where the server listens, with the port that the system chose.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Says whether the server wants calls. At first it does, from when it runs.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        self.readiness.clone()
    }
}

impl Component for Server {
    fn name(&self) -> &'static str {
        "rpc-server"
    }

    fn run(&self, shutdown: Shutdown) -> BoxFuture<'_, Result<()>> {
        let listener = self
            .listener
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        Box::pin(async move {
            let Some(listener) = listener else {
                let text = format!("the server on {} has run already", self.local_addr);
                return Err(Error::new(ErrorKind::Closed, "rpc", "serve", text));
            };
            let run = Run {
                service: self.service.clone(),
                max_request: self.config.max_request,
                max_response: self.config.max_response,
                shutdown: shutdown.clone(),
            };
            let (tasks, readiness) = (self.tasks.clone(), self.readiness.clone());
            Serving::new(&self.config, run, tasks, readiness)
                .run(listener, shutdown)
                .await
        })
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("local_addr", &self.local_addr)
            .field("config", &self.config)
            .field("tasks", &self.tasks)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ServerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerBuilder")
            .field("config", &self.config)
            .field("registrations", &self.registrations.len())
            .field("layers", &Count(&self.layers))
            .field("handlers", &self.handlers.len())
            .finish_non_exhaustive()
    }
}
