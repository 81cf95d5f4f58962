//! The scripts, each with what they share in front.

use braid_redis::{Script, script};

pub(crate) static CLAIM: Script = script!("claim");
pub(crate) static TARGET: Script = script!("target");
pub(crate) static UNLINK: Script = script!("unlink");
pub(crate) static RELINK: Script = script!("relink");
pub(crate) static DOWN: Script = script!("down");
pub(crate) static COUNT: Script = script!("count");
pub(crate) static LINKS: Script = script!("links");
pub(crate) static TEND: Script = script!("tend");
pub(crate) static CLOSE: Script = script!("close");
pub(crate) static ENTER: Script = script!("enter");
pub(crate) static REPORT: Script = script!("report");
pub(crate) static SUM: Script = script!("sum");
pub(crate) static RESIGN: Script = script!("resign");
pub(crate) static WATCH: Script = script!("watch");
