//! From the text of an address to a listener.

use braid_core::{Error, ErrorKind, Result};
use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
};
use tokio::net::{TcpListener, lookup_host};

pub(super) async fn bind(listen: &str) -> Result<TcpListener> {
    let mut first = None;
    for address in addresses(listen).await? {
        match TcpListener::bind(address).await {
            Ok(listener) => return Ok(listener),
            Err(error) => {
                let in_use = error.kind() == io::ErrorKind::AddrInUse;
                let (address, error) = first.get_or_insert((address, error));
                // A port that is taken isn't to be had half, on the other protocol.
                if in_use {
                    return Err(refused(*address, error));
                }
            }
        }
    }
    Err(match first {
        Some((address, error)) => refused(address, &error),
        None => malformed(listen, "no address is known for it"),
    })
}

async fn addresses(listen: &str) -> Result<Vec<SocketAddr>> {
    let (host, port) = listen
        .rsplit_once(':')
        .ok_or_else(|| malformed(listen, "a port is missing"))?;
    let port: u16 = port
        .parse()
        .map_err(|_| malformed(listen, "the port isn't a number up to 65535"))?;
    if host.is_empty() {
        // Where IPv6 is there, its unspecified address takes IPv4 too.
        return Ok(vec![
            (Ipv6Addr::UNSPECIFIED, port).into(),
            (Ipv4Addr::UNSPECIFIED, port).into(),
        ]);
    }
    if let Ok(address) = listen.parse() {
        return Ok(vec![address]);
    }
    let found = lookup_host((host, port)).await;
    let found =
        found.map_err(|e| malformed(listen, "its name can't be resolved").with_source(e))?;
    Ok(found.collect())
}

fn malformed(listen: &str, fault: &str) -> Error {
    let text = format!("can't listen on {listen:?}: {fault}");
    Error::new(ErrorKind::Config, "rpc", "bind", text)
}

fn refused(address: SocketAddr, error: &io::Error) -> Error {
    let (kind, text) = match error.kind() {
        io::ErrorKind::AddrInUse => (
            ErrorKind::Conflict,
            format!("the address {address} is in use"),
        ),
        _ => (
            ErrorKind::Config,
            format!("can't listen on {address}: {error}"),
        ),
    };
    Error::new(kind, "rpc", "bind", text).with_source(io::Error::from(error.kind()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_malformed_address_is_refused_and_named() {
        for text in [
            "",
            "14222",
            "localhost",
            "a:b",
            ":70000",
            ":-1",
            "no such host:1",
            "[::1",
        ] {
            let error = bind(text).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{error}");
            assert!(error.to_string().contains(&format!("{text:?}")), "{error}");
        }
    }

    #[tokio::test]
    async fn no_host_means_every_interface() {
        let port = bind(":0").await.unwrap().local_addr().unwrap().port();
        assert_ne!(port, 0);
        let listener = bind(":0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port))
            .await
            .unwrap();
        assert!(listener.local_addr().unwrap().ip().is_unspecified());
    }
}
