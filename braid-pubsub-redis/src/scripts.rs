//! The scripts, each with what they share in front.

use braid_redis::{Script, script};

pub(crate) static PUBLISH: Script = script!("publish");
pub(crate) static JOIN: Script = script!("join");
pub(crate) static TAKE: Script = script!("take");
pub(crate) static SETTLE: Script = script!("settle");
pub(crate) static BEAT: Script = script!("beat");
pub(crate) static DELAY: Script = script!("delay");
pub(crate) static TEND: Script = script!("tend");
pub(crate) static LEAVE: Script = script!("leave");
pub(crate) static RETAIN: Script = script!("retain");
pub(crate) static LEASE: Script = script!("lease");
pub(crate) static ADOPT: Script = script!("adopt");
pub(crate) static MARK: Script = script!("mark");
pub(crate) static RECOVER: Script = script!("recover");
pub(crate) static VIEW: Script = script!("view");
