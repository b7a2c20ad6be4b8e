//! What every emulated operation is given, and how it refuses.

/// An AWS error answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    /// The error's code, such as `ValidationException`: `__type` in JSON, `Code` in XML.
    pub code: &'static str,
    /// The text for people.
    pub message: String,
    /// The HTTP status.
    pub status: u16,
}

impl ApiError {
    /// An error of HTTP status 400, which AWS's JSON services use for every refusal.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            status: 400,
        }
    }
}

impl std::fmt::Display for ApiError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for ApiError {}

/// Who calls, where, and when.
#[derive(Debug, Clone)]
pub struct Call {
    /// The twelve digits of the account that the access key belongs to.
    pub account: String,
    /// The region of the credential scope.
    pub region: String,
    /// The partition of the region: `aws`, `aws-cn` or `aws-us-gov`.
    pub partition: String,
    /// The emulator's clock.
    pub now: jiff::Timestamp,
}
