//! Sorts the SDK's errors by what is to be done about them.
//!
//! Codes: "Common Error Types" of the ACM, Private CA and STS API references, and the errors of each operation.

use super::error::{AwsError, Kind};
use crate::text::plain;
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_sts::operation::{
    assume_role::AssumeRoleError, assume_role_with_web_identity::AssumeRoleWithWebIdentityError,
};
use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result::SdkError};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use http_body_util::LengthLimitError;
use std::error::Error;

/// Bytes of a message that are kept; status messages and events have to hold it.
const LONGEST_MESSAGE: usize = 1000;
/// Bytes of an error's code that are kept.
const LONGEST_CODE: usize = 100;

/// Sorts an error of the SDK. `action` is the IAM action that was called, such as `acm:ImportCertificate`.
///
/// Where the call failed because a role could not be assumed, the error is about that call to STS.
#[must_use]
pub fn from_sdk<E>(action: &'static str, error: &SdkError<E, HttpResponse>) -> AwsError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let status = error.raw_response().map(|response| response.status().as_u16());
    if let SdkError::ServiceError(answer) = error {
        let (code, words) = (answer.err().code(), answer.err().message());
        let kind = code.and_then(by_code).unwrap_or_else(|| by_status(status));
        let message = words.map_or_else(|| format!("HTTP status {}", status.unwrap_or_default()), |w| tell(code, w));
        return AwsError { kind, action, code: code.map(|code| plain(code, LONGEST_CODE)), message };
    }
    if let Some(about_credentials) = of_provider(action, error) {
        return about_credentials;
    }
    if is_too_long(error) {
        let message = "the answer is longer than any that AWS documents, and was not read to its end".to_owned();
        return AwsError { kind: Kind::Transient, action, code: None, message };
    }
    let kind = match error {
        SdkError::ConstructionFailure(_) => Kind::Refused,
        SdkError::ResponseError(_) if status.is_some_and(|status| status >= 400) => by_status(status),
        _ => Kind::Transient,
    };
    let causes = chain(error);
    AwsError { kind, action, code: None, message: one_line(&format!("{}{causes}", advice(&causes))) }
}

/// What can be done where nothing came through, before the causes: those end where a message is cut.
fn advice(causes: &str) -> &'static str {
    if causes.contains("invalid peer certificate") {
        "the other side's certificate is not trusted; if a proxy opens TLS, or the endpoint is a private one, give its CA by \
         the Helm value caBundle, or AWS_CA_BUNDLE: "
    } else if causes.contains("tunnel error: proxy authorization required") {
        "the proxy of HTTPS_PROXY wants another user or password: correct them in its URL: "
    } else if causes.contains("tunnel error: failed to create underlying connection") {
        "the proxy of HTTPS_PROXY can't be reached: "
    } else if causes.contains("tunnel error") {
        "the proxy of HTTPS_PROXY does not connect us: let it allow CONNECT to AWS's endpoints, or name them in NO_PROXY: "
    } else if causes.contains("dns error") {
        "the name of the endpoint can't be looked up; not every service has a FIPS or dual-stack endpoint in every region: "
    } else {
        ""
    }
}

/// An answer of AWS that misses something it has to hold.
#[must_use]
pub fn unexpected(action: &'static str, what: &str) -> AwsError {
    AwsError { kind: Kind::Transient, action, code: None, message: format!("AWS's answer has no usable {what}") }
}

/// A call that can't be made as it stands.
#[must_use]
pub fn unusable(action: &'static str, why: &(dyn Error + 'static)) -> AwsError {
    AwsError { kind: Kind::Refused, action, code: None, message: one_line(&chain(why)) }
}

fn by_code(code: &str) -> Option<Kind> {
    Some(match code {
        "Throttling"
        | "ThrottlingException"
        | "ThrottledException"
        | "TooManyRequestsException"
        | "TooManyRequests"
        | "RequestLimitExceeded"
        | "RequestThrottled"
        | "RequestThrottledException"
        | "SlowDown" => Kind::Throttled,
        "LimitExceededException" | "LimitExceeded" => Kind::LimitExceeded,
        "InternalError"
        | "InternalFailure"
        | "InternalServerError"
        | "InternalServiceError"
        | "InternalServiceException"
        | "ServiceUnavailable"
        | "ServiceUnavailableException"
        | "RequestTimeout"
        | "RequestTimeoutException"
        | "RequestInProgressException"
        | "IDPCommunicationError" => Kind::Transient,
        "ExpiredToken"
        | "ExpiredTokenException"
        | "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "InvalidSignatureException"
        | "SignatureDoesNotMatch"
        | "AuthFailure"
        | "IncompleteSignature"
        | "IncompleteSignatureException"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException"
        | "InvalidAccessKeyId"
        | "InvalidIdentityToken"
        | "IDPRejectedClaim"
        | "RequestExpired"
        | "RequestTimeTooSkewed" => Kind::Credentials,
        "AccessDenied" | "AccessDeniedException" | "NotAuthorized" | "UnauthorizedOperation" => Kind::AccessDenied,
        "ResourceNotFoundException" => Kind::NotFound,
        "ResourceInUseException" => Kind::InUse,
        "ConcurrentModificationException" | "ConflictException" => Kind::Conflict,
        _ => return None,
    })
}

fn by_status(status: Option<u16>) -> Kind {
    match status {
        Some(401) => Kind::Credentials,
        Some(403) => Kind::AccessDenied,
        Some(429) => Kind::Throttled,
        Some(status) if status < 500 => Kind::Refused,
        _ => Kind::Transient,
    }
}

/// Whether reading the answer was broken off (see `bounded`).
fn is_too_long(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.is::<LengthLimitError>() {
            return true;
        }
        next = error.source();
    }
    false
}

/// What the chain of causes says about credentials; none: it is not about them.
fn of_provider(action: &'static str, error: &(dyn Error + 'static)) -> Option<AwsError> {
    let mut found = None;
    let mut next = error.source();
    while let Some(cause) = next {
        if let Some(inner) = cause.downcast_ref::<SdkError<AssumeRoleError, HttpResponse>>() {
            return Some(from_sdk("sts:AssumeRole", inner));
        }
        if let Some(inner) = cause.downcast_ref::<SdkError<AssumeRoleWithWebIdentityError, HttpResponse>>() {
            return Some(from_sdk("sts:AssumeRoleWithWebIdentity", inner));
        }
        if let Some(provider) = cause.downcast_ref::<CredentialsError>() {
            let slow = matches!(provider, CredentialsError::ProviderTimedOut(_));
            let kind = if slow { Kind::Transient } else { Kind::Credentials };
            found = Some(AwsError { kind, action, code: None, message: one_line(&chain(provider)) });
        }
        next = cause.source();
    }
    found
}

/// AWS's words without what they may repeat of the call: the canonical request shows the session token.
fn tell(code: Option<&str>, words: &str) -> String {
    if matches!(code, Some("SignatureDoesNotMatch" | "InvalidSignatureException" | "IncompleteSignatureException")) {
        let first = words.lines().next().unwrap_or_default();
        return one_line(first.split("The Canonical String").next().unwrap_or_default());
    }
    one_line(words)
}

/// An error and its causes, each once.
pub(super) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut parts: Vec<String> = vec![];
    let mut next = Some(error);
    while let Some(error) = next {
        let part = error.to_string();
        if !parts.iter().any(|earlier| earlier.contains(&part)) {
            parts.push(part);
        }
        next = error.source();
    }
    parts.join(": ")
}

/// One line of at most 1,000 bytes, up to the first PEM block.
fn one_line(words: &str) -> String {
    plain(words.split("-----BEGIN").next().unwrap_or_default(), LONGEST_MESSAGE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_sts::operation::get_caller_identity::GetCallerIdentityError;
    use aws_smithy_runtime_api::{client::result::ConnectorError, http::StatusCode};
    use aws_smithy_types::{body::SdkBody, error::ErrorMetadata};

    type Failed<E> = SdkError<E, HttpResponse>;

    fn answered(status: u16, code: Option<&str>, message: &str) -> Failed<GetCallerIdentityError> {
        let mut metadata = ErrorMetadata::builder().message(message);
        if let Some(code) = code {
            metadata = metadata.code(code);
        }
        let response = HttpResponse::new(StatusCode::try_from(status).unwrap(), SdkBody::empty());
        SdkError::service_error(GetCallerIdentityError::generic(metadata.build()), response)
    }

    #[test]
    fn codes_say_what_to_do() {
        for (code, kind) in [
            ("ThrottlingException", Kind::Throttled),
            ("TooManyRequestsException", Kind::Throttled),
            ("RequestLimitExceeded", Kind::Throttled),
            ("LimitExceededException", Kind::LimitExceeded),
            ("TooManyTagsException", Kind::Refused),
            ("ServiceUnavailable", Kind::Transient),
            ("InternalFailure", Kind::Transient),
            ("ExpiredToken", Kind::Credentials),
            ("ExpiredTokenException", Kind::Credentials),
            ("UnrecognizedClientException", Kind::Credentials),
            ("InvalidClientTokenId", Kind::Credentials),
            ("SignatureDoesNotMatch", Kind::Credentials),
            ("AccessDenied", Kind::AccessDenied),
            ("AccessDeniedException", Kind::AccessDenied),
            ("ResourceNotFoundException", Kind::NotFound),
            ("ResourceInUseException", Kind::InUse),
            ("ConcurrentModificationException", Kind::Conflict),
            ("ConflictException", Kind::Conflict),
            ("ValidationException", Kind::Refused),
            ("InvalidStateException", Kind::Refused),
        ] {
            let error = from_sdk("acm:X", &answered(400, Some(code), "words"));
            assert_eq!((error.kind, error.code.as_deref(), &*error.message), (kind, Some(code), "words"), "{code}");
        }
    }

    #[test]
    fn without_a_known_code_the_status_says_what_to_do() {
        for (status, kind) in [
            (400, Kind::Refused),
            (401, Kind::Credentials),
            (403, Kind::AccessDenied),
            (429, Kind::Throttled),
            (500, Kind::Transient),
            (503, Kind::Transient),
        ] {
            assert_eq!(from_sdk("acm:X", &answered(status, None, "")).kind, kind, "{status}");
            assert_eq!(from_sdk("acm:X", &answered(status, Some("New"), "")).kind, kind, "{status}");
        }
    }

    #[test]
    fn what_happens_on_the_way_passes() {
        let timeout: Failed<GetCallerIdentityError> = SdkError::timeout_error("slow");
        let unreachable: Failed<GetCallerIdentityError> =
            SdkError::dispatch_failure(ConnectorError::io("connection refused".into()));
        for error in [timeout, unreachable] {
            assert_eq!(from_sdk("acm:X", &error).kind, Kind::Transient);
        }
        let unsent: Failed<GetCallerIdentityError> = SdkError::construction_failure("no such input");
        assert_eq!(from_sdk("acm:X", &unsent).kind, Kind::Refused);
    }

    #[test]
    fn what_can_be_done_about_a_connection_stands_before_its_causes() {
        for (cause, words) in [
            ("invalid peer certificate: UnknownIssuer", "caBundle"),
            ("tunnel error: proxy authorization required", "user or password"),
            ("tunnel error: failed to create underlying connection: tcp connect error", "can't be reached"),
            ("tunnel error: unsuccessful", "allow CONNECT"),
            ("dns error: failed to lookup address information", "FIPS"),
        ] {
            let failed: Failed<GetCallerIdentityError> = SdkError::dispatch_failure(ConnectorError::io(cause.into()));
            let error = from_sdk("acm:X", &failed);
            assert_eq!(error.kind, Kind::Transient);
            assert!(error.message.contains(words) && error.message.ends_with(cause), "{error}");
        }
    }

    fn dispatch(cause: CredentialsError) -> Failed<GetCallerIdentityError> {
        SdkError::dispatch_failure(ConnectorError::other(cause.into(), None))
    }

    #[test]
    fn providers_of_credentials_are_told_apart_from_the_network() {
        let none = from_sdk("acm:X", &dispatch(CredentialsError::not_loaded("no provider has any")));
        assert_eq!((none.kind, none.action), (Kind::Credentials, "acm:X"));
        assert!(none.message.contains("no provider has any"), "{}", none.message);
        let slow = dispatch(CredentialsError::provider_timed_out(std::time::Duration::from_secs(5)));
        assert_eq!(from_sdk("acm:X", &slow).kind, Kind::Transient);
    }

    #[test]
    fn a_role_that_can_not_be_assumed_is_told_as_that() {
        let metadata =
            ErrorMetadata::builder().code("AccessDenied").message("not authorized to perform sts:AssumeRole");
        let response = HttpResponse::new(StatusCode::try_from(403).unwrap(), SdkBody::empty());
        let refused: Failed<AssumeRoleError> =
            SdkError::service_error(AssumeRoleError::generic(metadata.build()), response);
        // The second stage fails because the first one does.
        let second: Failed<AssumeRoleError> =
            SdkError::dispatch_failure(ConnectorError::other(CredentialsError::provider_error(refused).into(), None));
        let error = from_sdk("acm:X", &dispatch(CredentialsError::provider_error(second)));
        assert_eq!((error.kind, error.action), (Kind::AccessDenied, "sts:AssumeRole"));
        assert_eq!(error.code.as_deref(), Some("AccessDenied"));
    }

    #[test]
    fn a_message_is_one_bounded_line_without_secrets() {
        let words = "The request signature we calculated does not match. The Canonical String for this request should \
                     have been\n'POST\nx-amz-security-token:SECRET'";
        let error = from_sdk("acm:X", &answered(403, Some("SignatureDoesNotMatch"), words));
        assert_eq!(error.message, "The request signature we calculated does not match.");
        let pem = from_sdk(
            "acm:X",
            &answered(400, Some("ValidationException"), "bad\n key: -----BEGIN PRIVATE KEY-----\nMC4"),
        );
        assert_eq!(pem.message, "bad key:");
        let long = from_sdk("acm:X", &answered(400, Some("ValidationException"), &"é ".repeat(4000)));
        assert!((990..=1000).contains(&long.message.len()), "{}", long.message.len());
        let code = from_sdk("acm:X", &answered(400, Some("Odd\n\u{1b}[31mCode"), "a\u{202e}b\u{7}c"));
        assert_eq!((code.code.as_deref(), &*code.message), (Some("Odd [31mCode"), "a b c"));
    }
}
