//! arnkeeper.
