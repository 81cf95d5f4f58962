//! Ports for servers that have to be told one.

use std::{
    hash::{BuildHasher, RandomState},
    net::{Ipv4Addr, TcpListener},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

/// Below the ports that systems give to outgoing connections: a server that is down for a while finds its own free again.
const FIRST: u32 = 10_000;
const COUNT: u32 = 22_000;

/// A loopback port that nobody listens on now, and that this process was not given before. Another process may be faster: whoever
/// can't bind it asks again.
pub(crate) fn free_port() -> u16 {
    static NEXT: OnceLock<AtomicU32> = OnceLock::new();
    let next = NEXT.get_or_init(|| AtomicU32::new(RandomState::new().hash_one(0) as u32));
    loop {
        let port = FIRST + next.fetch_add(1, Ordering::Relaxed) % COUNT;
        let port = u16::try_from(port).expect("the last one is below 2^16");
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}
