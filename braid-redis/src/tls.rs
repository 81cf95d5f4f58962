//! TLS with ring, whatever else is in the process.

use crate::{TlsConfig, config::bad};
use braid_core::Result;
use fred::types::config::{HostMapping, ServerConfig, TlsConnector, TlsHostMapping};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use std::{net::IpAddr, path::Path, sync::Arc};

/// A connector for the servers of a configuration.
pub(crate) fn connector(
    config: &TlsConfig,
    server: &ServerConfig,
) -> Result<fred::types::config::TlsConfig> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| bad(format!("tls: {error}")))?
        .with_root_certificates(roots(config.ca_file.as_deref())?);
    let client = match (&config.cert_file, &config.key_file) {
        (Some(chain), Some(key)) => {
            let private = PrivateKeyDer::from_pem_file(key)
                .map_err(|error| unreadable("key_file", key, &error))?;
            builder
                .with_client_auth_cert(certificates("cert_file", chain)?, private)
                .map_err(|error| bad(format!("tls.cert_file `{}`: {error}", chain.display())))?
        }
        _ => builder.with_no_client_auth(),
    };
    Ok(fred::types::config::TlsConfig {
        connector: TlsConnector::from(client),
        hostnames: hostnames(config, server),
    })
}

/// Sets the name that the certificates of the configured hosts must have.
pub(crate) fn name(server: &mut ServerConfig, name: &str) {
    let hosts = match server {
        ServerConfig::Centralized { server } => std::slice::from_mut(server),
        ServerConfig::Clustered { hosts, .. } | ServerConfig::Sentinel { hosts, .. } => hosts,
        ServerConfig::Unix { .. } => return,
    };
    for host in hosts {
        host.tls_server_name = Some(name.into());
    }
}

/// By what name a cluster's other nodes, which it tells of by address, are to be known: the configured one, else the host name of the
/// node that told, else the address.
fn hostnames(config: &TlsConfig, server: &ServerConfig) -> TlsHostMapping {
    match &config.server_name {
        Some(name) => TlsHostMapping::Custom(Arc::new(Always(name.clone()))),
        None if server
            .hosts()
            .iter()
            .any(|host| host.host.parse::<IpAddr>().is_ok()) =>
        {
            TlsHostMapping::None
        }
        None => TlsHostMapping::DefaultHost,
    }
}

#[derive(Debug)]
struct Always(String);

impl HostMapping for Always {
    fn map(&self, _: &IpAddr, _: &str) -> Option<String> {
        Some(self.0.clone())
    }
}

fn roots(file: Option<&Path>) -> Result<RootCertStore> {
    let mut store = RootCertStore::empty();
    match file {
        Some(path) => {
            for certificate in certificates("ca_file", path)? {
                store
                    .add(certificate)
                    .map_err(|error| bad(format!("tls.ca_file `{}`: {error}", path.display())))?;
            }
        }
        None => {
            let found = rustls_native_certs::load_native_certs();
            let (added, _) = store.add_parsable_certificates(found.certs);
            if added == 0 {
                return Err(bad(
                    "tls: the system has no authorities to trust; name some in `tls.ca_file`",
                ));
            }
        }
    }
    Ok(store)
}

fn certificates(field: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let found: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| unreadable(field, path, &error))?;
    if found.is_empty() {
        return Err(bad(format!(
            "tls.{field} `{}` holds no certificate",
            path.display()
        )));
    }
    Ok(found)
}

fn unreadable(
    field: &str,
    path: &Path,
    error: &rustls::pki_types::pem::Error,
) -> braid_core::Error {
    bad(format!("tls.{field} `{}`: {error}", path.display()))
}
