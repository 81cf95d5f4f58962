//! Interop with programs that are not written here: grpcurl, grpc-go's interop client, and `peer`, a client and a server on grpc-go
//! (`tests/interop-go`).
//!
//! `cargo xtask test` builds them. None of these tests passes without: `cargo xtask test --without go` leaves them out, and says so.

mod go_client;
mod go_server;
mod go_server_life;
mod go_server_typed;
mod grpcurl;
mod keep_alive;
mod programs;
mod service;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// gRPC's interop test service: types, client and server.
#[allow(clippy::all, unreachable_pub)]
mod testing {
    include!("../../generated/grpc.testing.rs");

    pub(super) const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!("../../generated/testing.fds.bin");
}

// What a caller may wish for by metadata, beyond what the test service does; `peer` knows the same names.

/// Answer with the request's payload.
const ECHO: &str = "interop-echo";
/// Fail with the status of [`details`].
const DETAILS: &str = "interop-details";
/// Never answer.
const HANG: &str = "interop-hang";

/// The message of the status that [`DETAILS`] wishes for.
const DETAILED_MESSAGE: &str = "the purse is empty: 5 € are missing";

/// Its details.
fn details() -> ErrorDetails {
    let mut details = ErrorDetails::new();
    details
        .set_error_info(
            "PURSE_EMPTY",
            "bank.example",
            [("missing".into(), "5".into())],
        )
        .add_bad_request_violation("amount", "more than there is");
    details
}

#[track_caller]
fn has_details(status: &Status) {
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert_eq!(status.message(), DETAILED_MESSAGE);
    // They can't be compared otherwise.
    let (got, wanted) = (status.get_error_details(), details());
    assert_eq!(format!("{got:?}"), format!("{wanted:?}"));
}
