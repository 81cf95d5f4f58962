//! `cargo xtask codegen`: the committed protobuf code, regenerated or compared.
//!
//! Generated code is committed so that a user of the crates needs no protobuf compiler. The
//! compiler used here is pure Rust for the same reason, but it is heavy: it sits behind the feature
//! `codegen`, and the task starts itself again with that feature on, so that the other tasks build
//! in seconds.

use crate::error::{Result, bail};
#[cfg(not(feature = "codegen"))]
use crate::process;
use crate::setup;
use crate::workspace::Workspace;

/// One folder of protobuf files and where the Rust made of it goes.
#[cfg_attr(
    not(feature = "codegen"),
    expect(dead_code, reason = "read by the generator only")
)]
pub(crate) struct Unit {
    /// The folder that imports are resolved from.
    pub(crate) proto_dir: &'static str,
    /// The files to compile, relative to `proto_dir`.
    pub(crate) protos: &'static [&'static str],
    /// The folder of the generated files; it holds nothing else.
    pub(crate) out_dir: &'static str,
    /// The name of the descriptor set file in `out_dir`, for crates that serve reflection.
    pub(crate) descriptor_set: Option<&'static str>,
}

/// Everything that is generated.
#[cfg_attr(
    not(feature = "codegen"),
    expect(dead_code, reason = "read by the generator only")
)]
pub(crate) const UNITS: &[Unit] = &[
    Unit {
        proto_dir: "braid-rpc/proto",
        protos: &["route.proto"],
        out_dir: "braid-rpc/src/generated",
        descriptor_set: Some("proto.fds.bin"),
    },
    Unit {
        proto_dir: "braid-rpc/tests/proto",
        protos: &["testing.proto"],
        out_dir: "braid-rpc/tests/generated",
        descriptor_set: Some("testing.fds.bin"),
    },
    Unit {
        proto_dir: "examples/proto",
        protos: &["fleet.proto"],
        out_dir: "examples/src/generated",
        descriptor_set: Some("fleet.fds.bin"),
    },
    Unit {
        proto_dir: "benches/proto",
        protos: &["echo.proto"],
        out_dir: "benches/src/generated",
        descriptor_set: None,
    },
];

/// What to do with the generated code.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Replace the committed files.
    Write,
    /// Fail if the committed files differ.
    Check,
}

/// Runs the command line `codegen [--check]`.
pub(crate) fn command(workspace: &Workspace, args: &[String]) -> Result {
    let mode = match args {
        [] => Mode::Write,
        [check] if check == "--check" => Mode::Check,
        _ => bail!(
            "codegen takes nothing but --check, not `{}`",
            args.join(" ")
        ),
    };
    // With the generator built in, this is the second start, and the first one has seen to it.
    if cfg!(not(feature = "codegen")) {
        setup::ensure(workspace, "codegen", None)?;
    }
    run(workspace, mode)
}

/// Generates in this process.
#[cfg(feature = "codegen")]
pub(crate) fn run(workspace: &Workspace, mode: Mode) -> Result {
    crate::generate::run(workspace, UNITS, mode)
}

/// Starts this program again with the generator built in.
#[cfg(not(feature = "codegen"))]
pub(crate) fn run(workspace: &Workspace, mode: Mode) -> Result {
    let mut cargo = workspace.cargo("run --package xtask --features codegen -- codegen");
    if mode == Mode::Check {
        cargo.arg("--check");
    }
    process::run(&mut cargo)
}
