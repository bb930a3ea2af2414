//! The scenes, by what they look at. Each plays in a child of its own.

pub(super) mod functions;
pub(super) mod init;
pub(super) mod load;
pub(super) mod requests;
pub(super) mod rules;
pub(super) mod shutdown;
