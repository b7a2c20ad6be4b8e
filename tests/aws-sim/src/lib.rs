//! Emulated AWS.
