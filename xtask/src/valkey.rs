//! A server that can say what is on its disk (WAITAOF), for machines whose `redis-server` is too old for that: Valkey of a later Debian,
//! with the libraries that it was built with, in the user's cache. Nothing is installed, and nothing of the machine's is replaced.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{Context as _, Result, bail};
use crate::workspace::Workspace;
use crate::{process, programs};

/// What names another program: any Redis from 7.2 on, or a Valkey.
pub(crate) const BIN: &str = "VALKEY_SERVER_BIN";
/// A release, so that it changes by fixes only. The tests of braid-pubsub-redis look into the folder of this name.
const SUITE: &str = "trixie";
/// The server, and all that its program is linked with.
const PACKAGES: &[&str] = &[
    "valkey-tools",
    "libatomic1",
    "libc6",
    "libcap2",
    "libgcc-s1",
    "libjemalloc2",
    "liblzf1",
    "libssl3t64",
    "libstdc++6",
    "libsystemd0",
    "libzstd1",
    "zlib1g",
];
/// Has the keys of later releases too.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// The program that the tests will take: the one that is named, else the one in the cache.
pub(crate) fn program() -> String {
    let named = env::var(BIN).ok().filter(|name| !name.is_empty());
    let cached = || Some(place().ok()?.join("valkey-server").display().to_string());
    named.or_else(cached).unwrap_or_default()
}

/// Fetches and unpacks it. Whoever named a program gets no other one.
pub(crate) fn install(workspace: &Workspace) -> Result {
    if env::var_os(BIN).is_some_and(|name| !name.is_empty()) {
        bail!("{BIN} names a program that can't be run, or that has no WAITAOF");
    }
    let place = place()?;
    // Under another name until all is there: what was cut short does no harm.
    let scratch = place.with_extension(std::process::id().to_string());
    let unpacked = unpack(workspace, &scratch, &place).and_then(|()| {
        if place.exists() {
            fs::remove_dir_all(&place).context(place.display())?;
        }
        fs::rename(&scratch, &place).context(place.display())
    });
    if scratch.exists() {
        fs::remove_dir_all(&scratch).context(scratch.display())?;
    }
    unpacked.context(format_args!(
        "Valkey of Debian's {SUITE} could not be unpacked; without a network, or elsewhere than on Debian, \
         let {BIN} name the program of a Redis from 7.2 on, or of a Valkey"
    ))
}

fn place() -> Result<PathBuf> {
    let cache = programs::cache().context("where Valkey is")?;
    Ok(cache.join("braid/valkey").join(SUITE))
}

fn unpack(workspace: &Workspace, scratch: &Path, place: &Path) -> Result {
    let (fetched, root) = (scratch.join("fetched"), scratch.join("root"));
    for folder in ["lists/partial", "cache/archives/partial", "packages"] {
        let folder = fetched.join(folder);
        fs::create_dir_all(&folder).context(folder.display())?;
    }
    let sources = fetched.join("sources.list");
    let line = format!("deb [signed-by={KEYRING}] {} {SUITE} main\n", mirror()?);
    fs::write(&sources, line).context(sources.display())?;
    let apt = |args: &[&str]| {
        let mut apt = workspace.command("apt-get");
        // All of its state in this folder, so that it needs no rights and changes nothing.
        for (option, value) in [
            ("Dir::Etc::SourceList", "sources.list"),
            ("Dir::State::Lists", "lists"),
            ("Dir::Cache", "cache"),
        ] {
            apt.arg("-o")
                .arg(format!("{option}={}", fetched.join(value).display()));
        }
        for option in ["Dir::Etc::SourceParts=/dev/null", "Acquire::Languages=none"] {
            apt.args(["-o", option]);
        }
        apt.arg("-qq").args(args);
        apt.current_dir(fetched.join("packages"));
        apt
    };
    process::run(&mut apt(&["update"]))?;
    process::run(apt(&["download"]).args(PACKAGES))?;
    for package in files(&fetched.join("packages"))? {
        let mut unpack = Command::new("dpkg-deb");
        process::run(unpack.arg("-x").arg(&package).arg(&root))?;
    }
    fs::remove_dir_all(&fetched).context(fetched.display())?;
    let script = scratch.join("valkey-server");
    let text = start(&root, place)?;
    fs::write(&script, text).context(script.display())?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).context(script.display())
}

/// The script that starts the server by its own loader, once the folder is in its place.
fn start(root: &Path, place: &Path) -> Result<String> {
    for libraries in files(&root.join("usr/lib"))? {
        for file in files(&libraries).unwrap_or_default() {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with("ld-linux") {
                let inside = libraries.strip_prefix(root).unwrap_or(&libraries);
                let libraries = place.join("root").join(inside);
                return Ok(format!(
                    "#!/bin/sh\nexec '{0}/{name}' --library-path '{0}' --argv0 valkey-server '{1}' \"$@\"\n",
                    libraries.display(),
                    // One program with several names.
                    place.join("root/usr/bin/valkey-check-rdb").display(),
                ));
            }
        }
    }
    bail!("no dynamic loader is among what was unpacked")
}

/// Where this machine gets Debian's packages from.
fn mirror() -> Result<String> {
    let parts = files(Path::new("/etc/apt/sources.list.d")).unwrap_or_default();
    let all = [PathBuf::from("/etc/apt/sources.list")]
        .into_iter()
        .chain(parts);
    let texts: Vec<_> = all
        .filter_map(|file| fs::read_to_string(file).ok())
        .collect();
    match texts.iter().find_map(|text| debian(text)) {
        Some(uri) => Ok(uri.to_owned()),
        None => bail!("no source of Debian's packages is known to apt here"),
    }
}

/// The address of Debian's packages in one of apt's lists.
fn debian(sources: &str) -> Option<&str> {
    let lines = sources.lines().filter(|line| !line.starts_with('#'));
    let mut words = lines.flat_map(str::split_whitespace);
    words.find(|word| word.contains("://") && word.trim_end_matches('/').ends_with("/debian"))
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).context(folder.display())? {
        files.push(entry.context(folder.display())?.path());
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debian_is_found_in_both_forms_of_a_list() {
        let modern = "Types: deb\n# http://old.example/debian\nURIs: http://new.example/debian\n";
        assert_eq!(debian(modern), Some("http://new.example/debian"));
        let former = "deb [arch=amd64] https://a.example/debian/ bookworm main\n";
        assert_eq!(debian(former), Some("https://a.example/debian/"));
        let other =
            "deb http://a.example/ubuntu noble main\nURIs: http://a.example/debian-security\n";
        assert_eq!(debian(other), None);
    }

    #[test]
    fn the_server_is_started_by_the_loader_beside_it() {
        let root = env::temp_dir().join(format!("braid-valkey-{}", std::process::id()));
        let libraries = root.join("usr/lib/some-linux");
        fs::create_dir_all(&libraries).unwrap();
        assert!(start(&root, Path::new("/cache")).is_err());
        fs::write(libraries.join("ld-linux-some.so.2"), "").unwrap();
        let script = start(&root, Path::new("/cache")).unwrap();
        fs::remove_dir_all(&root).unwrap();
        let loader = "exec '/cache/root/usr/lib/some-linux/ld-linux-some.so.2'";
        assert!(script.contains(loader), "{script}");
    }
}
