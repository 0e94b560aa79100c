//! Where attempts are executed: processes of this machine ([`local`]).

pub mod alive;
pub mod local;
