//! Where the programs lie that are built from Go modules: in the user's cache, under the hash of what
//! they are built from. The interop tests include this file too.

use std::env;
use std::fs;
use std::hash::{DefaultHasher, Hasher as _};
use std::io;
use std::path::{Path, PathBuf};

/// A Go module of the workspace.
#[derive(Debug)]
pub(crate) struct Module {
    /// What its programs are for.
    pub(crate) name: &'static str,
    /// Its path from the workspace's root.
    pub(crate) path: &'static str,
}

/// The programs of the interop tests.
pub(crate) const INTEROP: Module = Module {
    name: "interop",
    path: "braid-rpc/tests/interop-go",
};

/// The original, for the interop tests of topics and links.
pub(crate) const ORIGINAL: Module = Module {
    name: "interop-topics",
    path: "braid-pubsub-redis/tests/interop-go",
};

/// The folder of the programs that belong to the module as it is now, built or not.
pub(crate) fn place(root: &Path, module: &Module) -> io::Result<PathBuf> {
    let folder = format!("{:016x}", hash(&root.join(module.path))?);
    Ok(cache()?.join("braid").join(module.name).join(folder))
}

/// The user's cache directory, as the XDG specification has it.
pub(crate) fn cache() -> io::Result<PathBuf> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty());
    let home = || Some(PathBuf::from(set("HOME")?).join(".cache"));
    set("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(home)
        .ok_or_else(|| io::Error::other("neither XDG_CACHE_HOME nor HOME says where the cache is"))
}

/// Of the names and contents of all files of a folder. That another Rust may hash otherwise costs
/// no more than a build.
fn hash(dir: &Path) -> io::Result<u64> {
    let mut files = Vec::new();
    find(dir, &mut files)?;
    files.sort();
    let mut hasher = DefaultHasher::new();
    for file in files {
        let name = file.strip_prefix(dir).unwrap_or(&file);
        for part in [name.as_os_str().as_encoded_bytes(), &fs::read(&file)?] {
            hasher.write_usize(part.len());
            hasher.write(part);
        }
    }
    Ok(hasher.finish())
}

fn find(dir: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            find(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}
