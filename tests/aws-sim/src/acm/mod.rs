//! AWS Certificate Manager: imported certificates, and those that it issues from private CAs.
//!
//! Bodies are those of the AWS JSON 1.1 protocol: blobs are base64, times are seconds since the epoch. The rules are
//! those of the ACM API reference, the service model and the user guide; each test names the one it holds.
//! Texts of errors are AWS's where one is known, and our own otherwise.

mod describe;
mod import;
mod list;
mod managed;
mod pem;
mod reimport;
mod tags;
mod x509;

#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::api::{ApiError, Call};
use crate::pca;
use x509::Parsed;

/// The certificates of one account in one region, by ARN.
#[derive(Default)]
pub struct Store {
    certificates: BTreeMap<String, Certificate>,
    /// Requests that are not answered yet, or failed, by ARN.
    orders: BTreeMap<String, managed::Order>,
    /// When each token was first used, and the ARN that it gave.
    tokens: BTreeMap<String, (Timestamp, String)>,
    /// Why all issuing and renewing fails, if it does.
    failure: Option<String>,
}

/// How a certificate came to ACM, as `Type` in `CertificateDetail`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateType {
    /// Brought by `ImportCertificate`.
    Imported,
    /// Issued by Amazon's public authorities.
    AmazonIssued,
    /// Issued by ACM from an authority of AWS Private CA.
    Private,
}

impl CertificateType {
    /// The name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Imported => "IMPORTED",
            Self::AmazonIssued => "AMAZON_ISSUED",
            Self::Private => "PRIVATE",
        }
    }
}

/// What ACM holds under one ARN. The private key of an import is checked and not kept: no operation returns it.
#[derive(Clone)]
struct Certificate {
    kind: CertificateType,
    parsed: Parsed,
    pem: String,
    chain: Option<String>,
    tags: BTreeMap<String, String>,
    in_use_by: Vec<String>,
    created_at: Timestamp,
    /// When it was imported, or issued, last.
    imported_at: Timestamp,
    /// What there is of one that ACM issued.
    managed: Option<Box<managed::Managed>>,
}

impl Store {
    /// All issuing and renewing by ACM fails for this reason from now on; none: it works.
    pub fn set_failure(&mut self, reason: Option<String>) {
        self.failure = reason;
    }

    /// Says which resources (ARNs of load balancers, distributions) use the certificate; an empty list frees it.
    ///
    /// # Errors
    /// `ResourceNotFoundException` if the store has no such ARN.
    pub fn set_in_use(&mut self, arn: &str, by: Vec<String>) -> Result<(), ApiError> {
        self.existing(arn)?.in_use_by = by;
        Ok(())
    }

    /// Gives the certificate these tags and no others, as somebody else may have done.
    ///
    /// # Errors
    /// `ResourceNotFoundException` if the store has no such ARN.
    pub fn set_tags(&mut self, arn: &str, tags: BTreeMap<String, String>) -> Result<(), ApiError> {
        self.existing(arn)?.tags = tags;
        Ok(())
    }

    /// Makes the certificate one that ACM issued by itself, which `ImportCertificate` must not replace.
    ///
    /// # Errors
    /// `ResourceNotFoundException` if the store has no such ARN.
    pub fn set_type(&mut self, arn: &str, kind: CertificateType) -> Result<(), ApiError> {
        self.existing(arn)?.kind = kind;
        Ok(())
    }

    /// ACM begins to renew a certificate that it issued, whether or not it is time.
    ///
    /// # Errors
    /// `ResourceNotFoundException` if the store has no such ARN, `ValidationException` if it is not eligible.
    pub fn begin_renewal(&mut self, arn: &str, now: Timestamp, polls: u32) -> Result<(), ApiError> {
        managed::renew(self.existing(arn)?, now, polls).map(drop)
    }

    fn existing(&mut self, arn: &str) -> Result<&mut Certificate, ApiError> {
        self.certificates.get_mut(arn).ok_or_else(|| not_found(arn))
    }

    /// The ARN and the certificate that the call names in `CertificateArn`.
    fn named(&mut self, call: &Call, body: &Value) -> Result<(String, &mut Certificate), ApiError> {
        let arn = required_arn(call, body)?;
        let certificate = self.existing(&arn)?;
        Ok((arn, certificate))
    }
}

/// Runs one operation of ACM; the answer is the JSON body of the response.
///
/// # Errors
/// The exception that AWS documents for the broken rule; `UnknownOperationException` for operations not emulated.
pub fn handle(
    store: &mut Store,
    pca: &mut pca::Store,
    call: &Call,
    operation: &str,
    body: &Value,
) -> Result<Value, ApiError> {
    let arn = body.get("CertificateArn").and_then(Value::as_str).map(str::to_owned);
    if let Some(arn) = arn.as_deref().filter(|arn| store.orders.contains_key(*arn)) {
        return managed::on_order(store, pca, call, operation, (arn, body));
    }
    let looked_at = arn.as_deref().filter(|_| operation == "DescribeCertificate");
    managed::tick(store, pca, call, looked_at)?;
    match operation {
        "RequestCertificate" => managed::request(store, pca, call, body),
        "RenewCertificate" => managed::renew(store.named(call, body)?.1, call.now, pca.in_progress_polls),
        "ExportCertificate" => {
            let (arn, certificate) = store.named(call, body)?;
            managed::export(&arn, certificate, body)
        }
        "ImportCertificate" if is_set(body, "CertificateArn") => reimport::reimport(store, call, body),
        "ImportCertificate" => import::import(store, call, body),
        "DescribeCertificate" => {
            let (arn, certificate) = store.named(call, body)?;
            Ok(json!({ "Certificate": describe::detail(&arn, certificate, call.now) }))
        }
        "GetCertificate" => {
            let (_, certificate) = store.named(call, body)?;
            let mut answer = json!({ "Certificate": certificate.pem });
            if let Some(chain) = &certificate.chain {
                answer["CertificateChain"] = json!(chain);
            }
            Ok(answer)
        }
        "ListCertificates" => list::list(store, call, body),
        "ListTagsForCertificate" => Ok(tags::list(&store.named(call, body)?.1.tags)),
        "AddTagsToCertificate" => tags::add(&mut store.named(call, body)?.1.tags, body),
        "RemoveTagsFromCertificate" => tags::remove(&mut store.named(call, body)?.1.tags, body),
        "DeleteCertificate" => {
            let (arn, certificate) = store.named(call, body)?;
            if !certificate.in_use_by.is_empty() {
                let account = &call.account;
                let message = format!("Certificate {arn} in account {account} is in use.");
                return Err(ApiError::new("ResourceInUseException", message));
            }
            store.certificates.remove(&arn);
            Ok(json!({}))
        }
        other => {
            Err(ApiError::new("UnknownOperationException", format!("The operation {other} is not known to this ACM")))
        }
    }
}

/// The error for a value against the rules of the service.
fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::new("ValidationException", message.into())
}

fn not_found(arn: &str) -> ApiError {
    ApiError::new("ResourceNotFoundException", format!("Could not find certificate {arn}."))
}

/// The protocol treats null as absent.
fn is_set(body: &Value, field: &str) -> bool {
    body.get(field).is_some_and(|value| !value.is_null())
}

/// Reads `CertificateArn`: the shape of an ACM certificate's ARN, of this partition, region and account.
fn required_arn(call: &Call, body: &Value) -> Result<String, ApiError> {
    let Some(arn) = body.get("CertificateArn").and_then(Value::as_str) else {
        return Err(invalid(
            "1 validation error detected: Value null at 'certificateArn' failed to satisfy constraint: Member must \
             not be null",
        ));
    };
    let malformed = || ApiError::new("InvalidArnException", format!("The ARN {arn} is not that of an ACM certificate"));
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let ["arn", partition, "acm", region, account, resource] = parts[..] else { return Err(malformed()) };
    let id = resource.strip_prefix("certificate/").ok_or_else(malformed)?;
    let plain = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let digits = account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit());
    if !(plain(partition) && plain(region) && plain(id) && digits) {
        return Err(malformed());
    }
    if (partition, region, account) != (call.partition.as_str(), call.region.as_str(), call.account.as_str()) {
        return Err(not_found(arn));
    }
    Ok(arn.to_owned())
}
