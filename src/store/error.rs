//! One error for all stores, sorted by what an operator can do about it.

use crate::model::Failure;

/// What went wrong, by what can be done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// No such table, bucket or database: the profile names something that is not there.
    Missing,
    /// The credentials are wrong or lack a permission.
    Denied,
    /// This machine's clock and the service's are too far apart.
    Skewed,
    /// The endpoint does not answer, or what it answers is damaged on the way.
    Unreachable,
    /// The service asks to slow down and kept asking.
    Throttled,
    /// An item or reply that cannot be understood, such as an unknown type or a body that is not what it says.
    Unreadable,
    /// The resource is not in a state to be used, or is not what the profile says.
    Unfit,
    /// The local machine: disk, memory or files.
    Local,
    /// Anything else.
    Other,
}

impl ErrorKind {
    /// Whether trying again may help.
    pub fn is_transient(self) -> bool {
        matches!(self, ErrorKind::Unreachable | ErrorKind::Throttled)
    }

    /// What an operator can do about it, as the beginning of a sentence.
    pub fn remedy(self) -> &'static str {
        match self {
            ErrorKind::Missing => "check the names in the profile and the Region of that side",
            ErrorKind::Denied => "check that side's credentials and permissions",
            ErrorKind::Skewed => "set this machine's clock right",
            ErrorKind::Unreachable => "wait until the endpoint answers",
            ErrorKind::Throttled => "lower limits in the profile",
            ErrorKind::Local => "make room on this machine's disk",
            ErrorKind::Unreadable | ErrorKind::Unfit | ErrorKind::Other => {
                "nothing unknown counts as fine: mend what is named"
            }
        }
    }
}

/// A failed store operation.
pub type StoreError = Failure<ErrorKind>;
