//! Runs one case on one fresh backend.

use crate::{Harness, within};
use std::time::Duration;

/// Longer than any case takes in its own time.
const LIMIT: Duration = Duration::from_secs(600);

/// Makes the harness and runs the case over it, on the harness's runtime. This is what the tests that
/// [`conformance!`](crate::conformance) makes consist of.
///
/// # Panics
/// When the case fails, or doesn't end within ten minutes of its runtime's time.
pub fn run<H: Harness>(make: impl AsyncFnOnce() -> H, case: impl AsyncFnOnce(&H)) {
    H::runtime().block_on(async {
        let whole = async {
            let harness = make().await;
            case(&harness).await;
        };
        Box::pin(within("the end of the case", LIMIT, whole)).await;
    });
}
