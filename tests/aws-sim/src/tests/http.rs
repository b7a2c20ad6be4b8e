//! over HTTP
