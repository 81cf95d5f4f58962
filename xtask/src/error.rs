//! The error of every task: a sentence for whoever ran it.

use std::fmt;

/// What a task returns.
pub(crate) type Result<T = ()> = std::result::Result<T, Error>;

/// Why a task stopped, in words that name the thing at fault.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Error(Option<String>);

impl Error {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(Some(message.into()))
    }

    /// The task has said already what is wrong; all that is left is the exit code.
    pub(crate) fn told() -> Self {
        Self(None)
    }

    /// What is still to be said.
    pub(crate) fn message(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message().unwrap_or("failed"))
    }
}

/// Puts what was being done in front of what went wrong.
pub(crate) trait Context<T> {
    fn context(self, doing: impl fmt::Display) -> Result<T>;
}

impl<T, E: fmt::Display> Context<T> for std::result::Result<T, E> {
    fn context(self, doing: impl fmt::Display) -> Result<T> {
        self.map_err(|cause| Error::new(format!("{doing}: {cause}")))
    }
}

/// Returns early with an [`Error`] made of a format string.
macro_rules! bail {
    ($($message:tt)*) => {
        return Err($crate::error::Error::new(format!($($message)*)))
    };
}
pub(crate) use bail;
