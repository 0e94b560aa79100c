//! The store as runner and server use it: through its public interface, over real files.

mod claims;
mod crashes;
mod home;
mod ingest;
mod opening;
mod readers;
