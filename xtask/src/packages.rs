//! Installing Debian's packages, without starting what they would start.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use crate::error::{Context as _, Result};
use crate::process;
use crate::workspace::Workspace;

/// What Debian's packages ask before they start a service.
const POLICY: &str = "/usr/sbin/policy-rc.d";
/// The answer: "not allowed".
const REFUSAL: &str = "#!/bin/sh\nexit 101\n";

/// Installs a package. A service of its own is neither started now nor at the next boot.
pub(crate) fn install(workspace: &Workspace, package: &str) -> Result {
    let _refusal = Refusal::put(Path::new(POLICY))?;
    let apt = |args: &[&str]| {
        let mut apt = workspace.command("apt-get");
        apt.env("DEBIAN_FRONTEND", "noninteractive").args(args);
        apt
    };
    let wanted = ["install", "--yes", "--no-install-recommends", package];
    // A bare machine has no lists yet, and an old one has lists of what isn't there any more.
    if process::run(&mut apt(&wanted)).is_err() {
        process::run(&mut apt(&["update"]))?;
        process::run(&mut apt(&wanted))?;
    }
    let unit = format!("{package}.service");
    if Path::new("/lib/systemd/system").join(&unit).exists() {
        // Where there is no systemd, nothing starts it either.
        let _ = process::run(workspace.command("systemctl").args(["disable", &unit]));
    }
    Ok(())
}

/// The refusal of all starts, as long as this lives. Where there is a policy already, it is left alone.
struct Refusal<'a>(Option<&'a Path>);

impl<'a> Refusal<'a> {
    fn put(policy: &'a Path) -> Result<Self> {
        // Also a link that leads nowhere is somebody's.
        if policy.symlink_metadata().is_ok() {
            return Ok(Self(None));
        }
        let mut options = fs::OpenOptions::new();
        let file = options
            .write(true)
            .create_new(true)
            .mode(0o755)
            .open(policy);
        let mut file = file.context(policy.display())?;
        let refusal = Self(Some(policy));
        // The mode above is less whatever the user's mask takes away.
        file.set_permissions(fs::Permissions::from_mode(0o755))
            .and_then(|()| file.write_all(REFUSAL.as_bytes()))
            .context(policy.display())?;
        Ok(refusal)
    }
}

impl Drop for Refusal<'_> {
    fn drop(&mut self) {
        if let Some(policy) = self.0 {
            // It was made by us; should it stay all the same, the next service's package says so.
            let _ = fs::remove_file(policy);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn starts_are_refused_for_a_while() {
        let policy = std::env::temp_dir().join(format!("braid-policy-{}", std::process::id()));
        let refusal = Refusal::put(&policy).unwrap();
        // Somebody's policy stays.
        drop(Refusal::put(&policy).unwrap());
        assert_eq!(
            policy.metadata().unwrap().permissions().mode() & 0o777,
            0o755
        );
        let status = Command::new("sh").arg(&policy).status().unwrap();
        assert_eq!(status.code(), Some(101));
        drop(refusal);
        assert!(!policy.exists());
    }
}
