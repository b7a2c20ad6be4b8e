//! AWS Signature Version 4: reads a request's signature and verifies it.
//!
//! After the IAM User Guide, "Create a signed AWS API request".

use aws_lc_rs::{digest, hmac};
use axum::http::HeaderMap;
use jiff::Timestamp;

use crate::random::hex;

/// The farthest that a request's time may be from the server's, in seconds.
const MAX_SKEW_SECONDS: i64 = 15 * 60;

/// What of a request is signed.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// The method, in capitals.
    pub method: &'a str,
    /// The path as sent.
    pub path: &'a str,
    /// The query as sent, without the question mark.
    pub query: &'a str,
    /// All headers.
    pub headers: &'a HeaderMap,
    /// The body.
    pub body: &'a [u8],
}

/// The parts of an `Authorization` header.
#[derive(Debug)]
pub struct Signature {
    /// The access key's id.
    pub key_id: String,
    /// The scope's day, `YYYYMMDD`.
    day: String,
    /// The scope's region.
    pub region: String,
    /// The scope's service, such as `acm-pca`.
    pub service: String,
    headers: Vec<String>,
    value: String,
    time: String,
}

/// Why a request is not accepted as its key's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthError {
    /// There is no signature.
    Missing,
    /// The signature's header cannot be read.
    Incomplete(String),
    /// The key is not known, or the session token is not the key's.
    UnknownKey,
    /// The session has ended.
    Expired,
    /// The signature is of another key, another text or another time.
    Mismatch(String),
}

impl AuthError {
    /// Code, message and HTTP status as the JSON services give them.
    pub fn json(&self) -> (&'static str, String, u16) {
        match self {
            Self::Missing => ("MissingAuthenticationTokenException", "Missing Authentication Token".into(), 400),
            Self::Incomplete(why) => ("IncompleteSignatureException", why.clone(), 400),
            Self::UnknownKey => (
                "UnrecognizedClientException",
                "The security token included in the request is invalid.".into(),
                400,
            ),
            Self::Expired => {
                ("ExpiredTokenException", "The security token included in the request is expired".into(), 400)
            }
            Self::Mismatch(why) => ("InvalidSignatureException", why.clone(), 400),
        }
    }

    /// Code, message and HTTP status as STS gives them.
    pub fn xml(&self) -> (&'static str, String, u16) {
        let (_, message, _) = self.json();
        match self {
            Self::Missing => ("MissingAuthenticationToken", message, 403),
            Self::Incomplete(_) => ("IncompleteSignature", message, 400),
            Self::UnknownKey => ("InvalidClientTokenId", message, 403),
            Self::Expired => ("ExpiredToken", message, 403),
            Self::Mismatch(_) => ("SignatureDoesNotMatch", message, 403),
        }
    }
}

/// Reads the `Authorization` and `X-Amz-Date` headers.
pub fn read(headers: &HeaderMap) -> Result<Signature, AuthError> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let text = header("authorization").ok_or(AuthError::Missing)?;
    let incomplete = || AuthError::Incomplete(format!("Authorization header cannot be read: {text}"));
    let rest = text.strip_prefix("AWS4-HMAC-SHA256").ok_or_else(incomplete)?;
    let part = |name: &str| {
        rest.split(',').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('=')).ok_or_else(incomplete)
    };
    let scope: Vec<&str> = part("Credential")?.split('/').collect();
    let [key_id, day, region, service, "aws4_request"] = scope[..] else { return Err(incomplete()) };
    let signed: Vec<String> = part("SignedHeaders")?.split(';').map(str::to_owned).collect();
    if !signed.iter().any(|name| name == "host") {
        return Err(AuthError::Incomplete("'Host' must be a signed header".to_owned()));
    }
    let time = header("x-amz-date").ok_or_else(|| {
        AuthError::Incomplete("Authorization header requires existence of either a 'X-Amz-Date' header".to_owned())
    })?;
    Ok(Signature {
        key_id: key_id.to_owned(),
        day: day.to_owned(),
        region: region.to_owned(),
        service: service.to_owned(),
        headers: signed,
        value: part("Signature")?.to_owned(),
        time: time.to_owned(),
    })
}

impl Signature {
    /// Verifies the signature, its service and its time; `now` is the real time.
    pub fn verify(&self, message: &Message, secret: &str, service: &str, now: Timestamp) -> Result<(), AuthError> {
        let sent = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", &self.time)
            .and_then(|time| time.to_zoned(jiff::tz::TimeZone::UTC))
            .map_err(|_| AuthError::Incomplete(format!("Date must be in ISO-8601 'basic format': {}", self.time)))?
            .timestamp();
        if (now.as_second() - sent.as_second()).abs() > MAX_SKEW_SECONDS {
            let late = format!("Signature expired: {} is not within 15 min. of the current time", self.time);
            return Err(AuthError::Mismatch(late));
        }
        if self.service != service {
            return Err(AuthError::Mismatch(format!("Credential should be scoped to correct service: '{service}'.")));
        }
        if self.value != self.compute(message, secret) {
            return Err(AuthError::Mismatch(
                "The request signature we calculated does not match the signature you provided. \
                 Check your AWS Secret Access Key and signing method."
                    .to_owned(),
            ));
        }
        Ok(())
    }

    /// The signature that the secret gives, in hexadecimal.
    fn compute(&self, message: &Message, secret: &str) -> String {
        let scope = format!("{}/{}/{}/aws4_request", self.day, self.region, self.service);
        let hashed = hex(digest::digest(&digest::SHA256, self.canonical(message).as_bytes()).as_ref());
        let text = format!("AWS4-HMAC-SHA256\n{}\n{scope}\n{hashed}", self.time);
        let first = mac(format!("AWS4{secret}").as_bytes(), &self.day);
        let key = mac(mac(mac(first.as_ref(), &self.region).as_ref(), &self.service).as_ref(), "aws4_request");
        hex(mac(key.as_ref(), &text).as_ref())
    }

    fn canonical(&self, message: &Message) -> String {
        let headers: String = self
            .headers
            .iter()
            .map(|name| {
                let values: Vec<String> = message
                    .headers
                    .get_all(name)
                    .iter()
                    .map(|value| {
                        String::from_utf8_lossy(value.as_bytes()).split_whitespace().collect::<Vec<_>>().join(" ")
                    })
                    .collect();
                format!("{name}:{}\n", values.join(","))
            })
            .collect();
        let mut query: Vec<String> = message
            .query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| if pair.contains('=') { pair.to_owned() } else { format!("{pair}=") })
            .collect();
        query.sort();
        format!(
            "{}\n{}\n{}\n{headers}\n{}\n{}",
            message.method,
            message.path,
            query.join("&"),
            self.headers.join(";"),
            hex(digest::digest(&digest::SHA256, message.body).as_ref()),
        )
    }
}

fn mac(key: &[u8], text: &str) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes())
}

/// Signs a request, for tests: adds `X-Amz-Date`, the token and `Authorization` to the headers.
#[cfg(test)]
pub fn sign(
    headers: &mut HeaderMap,
    body: &[u8],
    key: (&str, &str, Option<&str>),
    region: &str,
    service: &str,
    now: Timestamp,
) {
    let time = now.strftime("%Y%m%dT%H%M%SZ").to_string();
    headers.insert("x-amz-date", time.parse().unwrap());
    let mut names = vec!["host".to_owned(), "x-amz-date".to_owned()];
    if let Some(token) = key.2 {
        headers.insert("x-amz-security-token", token.parse().unwrap());
        names.push("x-amz-security-token".to_owned());
    }
    let mut signature = Signature {
        key_id: key.0.to_owned(),
        day: time[..8].to_owned(),
        region: region.to_owned(),
        service: service.to_owned(),
        headers: names,
        value: String::new(),
        time,
    };
    let message = Message { method: "POST", path: "/", query: "", headers, body };
    signature.value = signature.compute(&message, key.1);
    let text = format!(
        "AWS4-HMAC-SHA256 Credential={}/{}/{region}/{service}/aws4_request, SignedHeaders={}, Signature={}",
        key.0,
        signature.day,
        signature.headers.join(";"),
        signature.value
    );
    headers.insert("authorization", text.parse().unwrap());
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

    fn message<'a>(headers: &'a HeaderMap, body: &'a [u8]) -> Message<'a> {
        Message { method: "POST", path: "/", query: "", headers, body }
    }

    /// IAM User Guide, "Create a signed AWS API request": the documented example of ListUsers.
    #[test]
    fn the_documented_example_verifies() {
        let mut headers = HeaderMap::new();
        headers.insert("host", "iam.amazonaws.com".parse().unwrap());
        headers.insert("content-type", "application/x-www-form-urlencoded; charset=utf-8".parse().unwrap());
        headers.insert("x-amz-date", "20150830T123600Z".parse().unwrap());
        let value = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, \
                     SignedHeaders=content-type;host;x-amz-date, \
                     Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7";
        headers.insert("authorization", value.parse().unwrap());
        let signature = read(&headers).unwrap();
        let example = Message {
            method: "GET",
            path: "/",
            query: "Action=ListUsers&Version=2010-05-08",
            headers: &headers,
            body: b"",
        };
        let now: Timestamp = "2015-08-30T12:40:00Z".parse().unwrap();
        let secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
        assert_eq!(signature.verify(&example, secret, "iam", now), Ok(()));
        assert!(matches!(signature.verify(&example, SECRET, "iam", now), Err(AuthError::Mismatch(_))));
    }

    /// "Troubleshoot Signature Version 4": another body, service or a time 15 minutes off is refused.
    #[test]
    fn body_service_and_time_are_signed() {
        let mut headers = HeaderMap::new();
        headers.insert("host", "127.0.0.1".parse().unwrap());
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        sign(&mut headers, b"{}", ("AKIAIOSFODNN7EXAMPLE", SECRET, None), "eu-west-1", "acm", now);
        let signature = read(&headers).unwrap();
        assert_eq!((signature.region.as_str(), signature.key_id.as_str()), ("eu-west-1", "AKIAIOSFODNN7EXAMPLE"));
        assert_eq!(signature.verify(&message(&headers, b"{}"), SECRET, "acm", now), Ok(()));
        let refused = |body: &[u8], service: &str, later: i64| {
            let at = Timestamp::from_second(now.as_second() + later).unwrap();
            matches!(signature.verify(&message(&headers, body), SECRET, service, at), Err(AuthError::Mismatch(_)))
        };
        assert!(refused(b"{ }", "acm", 0));
        assert!(refused(b"{}", "acm-pca", 0));
        assert!(!refused(b"{}", "acm", 900));
        assert!(refused(b"{}", "acm", 901));
    }

    /// "Common errors": an absent and an unreadable header have codes of their own.
    #[test]
    fn headers_are_needed() {
        let mut headers = HeaderMap::new();
        assert_eq!(read(&headers).unwrap_err(), AuthError::Missing);
        headers.insert("authorization", "Bearer x".parse().unwrap());
        let unreadable = read(&headers).unwrap_err();
        assert_eq!(unreadable.json().0, "IncompleteSignatureException");
        assert_eq!(unreadable.xml().0, "IncompleteSignature");
    }
}
