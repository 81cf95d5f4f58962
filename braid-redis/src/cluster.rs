//! Which node of a cluster holds what, as fred's table says.

use crate::Redis;
use braid_core::{ErrorKind, Result};
use fred::{interfaces::ClusterInterface, types::config::Server};
use futures_util::FutureExt;

/// Between two looks at a cluster's table that errors ask for, in connect timeouts: a look may take one, and commands wait meanwhile.
const REFRESH_PAUSE: u32 = 2;

impl Redis {
    /// One slot of each primary that the cluster has now, ascending: commands sent by them reach every primary once. `[0]` where there is no
    /// cluster.
    ///
    /// It asks nobody: the table is the one that commands are sent by, read anew when one of them was redirected or lost. It costs a copy of that
    /// table, a few microseconds for a few hundred ranges.
    #[must_use]
    pub fn shards(&self) -> Vec<u16> {
        if !self.0.settings.is_clustered() {
            return vec![0];
        }
        let state = self.0.client.cached_cluster_state();
        let mut slots = state.map_or_else(Vec::new, |state| state.unique_hash_slots());
        slots.sort_unstable();
        slots
    }

    /// The node that holds a slot now; none where there is no cluster.
    pub(crate) async fn node(&self, slot: u16) -> Result<Option<Server>> {
        if !self.0.settings.is_clustered() {
            return Ok(None);
        }
        self.ready("connect").await?;
        let state = self.0.client.cached_cluster_state();
        let server = state.and_then(|state| state.get_server(slot).cloned());
        if server.is_none() {
            self.refresh();
            let text = format!("no node of the cluster holds slot {slot}");
            return Err(self.fail(ErrorKind::Unavailable, "connect", &text));
        }
        Ok(server)
    }

    /// Asks the cluster anew which node holds which slot.
    pub(crate) fn refresh(&self) {
        if self.0.settings.is_clustered()
            && self.may_reconnect(REFRESH_PAUSE * self.0.settings.connect_timeout)
        {
            // The request is on its way after the first look; the rest is only waiting.
            let _ = self.0.client.sync_cluster().now_or_never();
        }
    }
}
