//! IAM's SimulatePrincipalPolicy, the one call to IAM.
//!
//! Made by hand on the SDK's own parts (client, signature, XML): all of aws-sdk-iam for one call adds 220 kB to the program
//! and more than a minute to a release build.

use crate::aws::{
    classify::{from_sdk, unusable},
    error::AwsError,
    port::{Simulation, Verdict},
};
use aws_config::SdkConfig;
use aws_credential_types::provider::{ProvideCredentials, error::CredentialsError};
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4,
};
use aws_smithy_runtime::client::orchestrator::operation::Operation;
use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        orchestrator::{HttpRequest, HttpResponse, OrchestratorError},
        result::{ConnectorError, SdkError},
    },
};
use aws_smithy_types::{body::SdkBody, error::ErrorMetadata};
use aws_smithy_xml::decode::{Document, ScopedDecoder, XmlDecodeError, try_data};
use aws_types::service_config::ServiceConfigKey;
use form_urlencoded::Serializer;
use std::{fmt, time::SystemTime};

pub(super) const SIMULATE: &str = "iam:SimulatePrincipalPolicy";
/// The version of IAM's API.
const VERSION: &str = "2010-05-08";
const FORM: &str = "application/x-www-form-urlencoded";

/// IAM is one service a partition: where it is, and the region that its signatures name ("IAM endpoints and quotas").
struct Place {
    url: String,
    region: &'static str,
}

fn place(config: &SdkConfig, partition: &str) -> Place {
    let fips = config.use_fips().unwrap_or_default();
    let dual = config.use_dual_stack().unwrap_or_default();
    let (url, region) = match (partition, dual) {
        ("aws-us-gov", false) => ("https://iam.us-gov.amazonaws.com", "us-gov-west-1"),
        ("aws-us-gov", true) => ("https://iam.us-gov.api.aws", "us-gov-west-1"),
        ("aws-cn", false) => ("https://iam.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        ("aws-cn", true) => ("https://iam.global.api.amazonwebservices.com.cn", "cn-north-1"),
        (_, true) if fips => ("https://iam-fips.global.api.aws", "us-east-1"),
        (_, true) => ("https://iam.global.api.aws", "us-east-1"),
        _ if fips => ("https://iam-fips.amazonaws.com", "us-east-1"),
        _ => ("https://iam.amazonaws.com", "us-east-1"),
    };
    let key = ServiceConfigKey::builder().service_id("IAM").env("AWS_ENDPOINT_URL").profile("endpoint_url").build();
    let own = key.ok().and_then(|key| config.service_config()?.load_config(key));
    let url = own.or_else(|| config.endpoint_url().map(str::to_owned)).unwrap_or_else(|| url.to_owned());
    Place { url: url.trim_end_matches('/').to_owned() + "/", region }
}

/// A signed request. No `Debug` of its own: the headers hold the session token.
struct Signed {
    headers: Vec<(String, String)>,
    body: String,
}

impl fmt::Debug for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signed").finish_non_exhaustive()
    }
}

type Failed = SdkError<ErrorMetadata, HttpResponse>;

/// Asks once.
pub(super) async fn simulate(config: &SdkConfig, question: &Simulation) -> Result<Vec<Verdict>, AwsError> {
    let partition = question.principal.split(':').nth(1).unwrap_or("aws");
    let place = place(config, partition);
    let provider = config.credentials_provider().ok_or_else(|| {
        let none = CredentialsError::not_loaded("no provider has any");
        from_sdk(SIMULATE, &Failed::dispatch_failure(ConnectorError::other(none.into(), None)))
    })?;
    let credentials = provider
        .provide_credentials()
        .await
        .map_err(|error| from_sdk(SIMULATE, &Failed::dispatch_failure(ConnectorError::other(error.into(), None))))?;
    let body = form(question);
    let host = place.url.split('/').nth(2).unwrap_or_default().to_owned();
    let identity = credentials.into();
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region(place.region)
        .name("iam")
        .time(SystemTime::now())
        .settings(SigningSettings::default())
        .build()
        .map_err(|error| unusable(SIMULATE, &error))?
        .into();
    let own = [("host", host.as_str()), ("content-type", FORM)];
    let signable = SignableRequest::new("POST", &*place.url, own.into_iter(), SignableBody::Bytes(body.as_bytes()))
        .map_err(|error| unusable(SIMULATE, &error))?;
    let (signature, _) = sign(signable, &parameters).map_err(|error| unusable(SIMULATE, &error))?.into_parts();
    let headers = signature.headers().chain([("content-type", FORM)]);
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let mut operation = Operation::builder()
        .service_name("IAM")
        .operation_name("SimulatePrincipalPolicy")
        .endpoint_url(&place.url)
        .no_auth()
        .no_retry()
        .serializer(request)
        .deserializer(answer);
    if let Some(client) = config.http_client() {
        operation = operation.http_client(client);
    }
    if let Some(sleep) = config.sleep_impl() {
        operation = operation.sleep_impl(sleep);
    }
    if let Some(timeouts) = config.timeout_config() {
        operation = operation.timeout_config(timeouts.clone());
    }
    operation.build().invoke(Signed { headers, body }).await.map_err(|error| from_sdk(SIMULATE, &error))
}

/// The parameters of the query protocol.
fn form(question: &Simulation) -> String {
    let mut form = Serializer::new(String::new());
    form.append_pair("Action", "SimulatePrincipalPolicy").append_pair("Version", VERSION);
    form.append_pair("PolicySourceArn", &question.principal);
    for (number, action) in (1..).zip(&question.actions) {
        form.append_pair(&format!("ActionNames.member.{number}"), action);
    }
    form.append_pair("ResourceArns.member.1", &question.resource);
    for (number, (key, value)) in (1..).zip(&question.context) {
        let part = |name: &str| format!("ContextEntries.member.{number}.{name}");
        form.append_pair(&part("ContextKeyName"), key).append_pair(&part("ContextKeyType"), "string");
        form.append_pair(&part("ContextKeyValues.member.1"), value);
    }
    form.finish()
}

fn request(signed: Signed) -> Result<HttpRequest, BoxError> {
    let mut request = HttpRequest::new(SdkBody::from(signed.body));
    request.set_method("POST")?;
    request.set_uri("/")?;
    for (name, value) in signed.headers {
        request.headers_mut().try_insert(name, value)?;
    }
    Ok(request)
}

fn answer(response: &HttpResponse) -> Result<Vec<Verdict>, OrchestratorError<ErrorMetadata>> {
    let body = response.body().bytes().unwrap_or_default();
    if response.status().is_success() {
        verdicts(body).map_err(OrchestratorError::other)
    } else {
        // What is no XML, such as a proxy's page, is sorted by its status.
        Err(OrchestratorError::operation(refusal(body).unwrap_or_default()))
    }
}

fn verdicts(body: &[u8]) -> Result<Vec<Verdict>, XmlDecodeError> {
    let mut document = Document::try_from(body)?;
    let mut root = document.root_element()?;
    if !root.start_el().matches("SimulatePrincipalPolicyResponse") {
        return Err(XmlDecodeError::custom("this is no answer of IAM"));
    }
    let mut all = vec![];
    while let Some(mut result) = root.next_tag() {
        while let Some(mut field) = result.next_tag() {
            if field.start_el().matches("EvaluationResults") {
                while let Some(mut member) = field.next_tag() {
                    all.extend(verdict(&mut member)?);
                }
            }
        }
    }
    Ok(all)
}

/// One `EvaluationResult`. There is one resource a question, so what is told of the action is told of it.
fn verdict(member: &mut ScopedDecoder<'_, '_>) -> Result<Option<Verdict>, XmlDecodeError> {
    let (mut action, mut decision, mut missing) = (None, None, vec![]);
    while let Some(mut field) = member.next_tag() {
        match field.start_el().local() {
            "EvalActionName" => action = Some(try_data(&mut field)?.into_owned()),
            "EvalDecision" => decision = Some(try_data(&mut field)?.into_owned()),
            "MissingContextValues" => missing.extend(members(&mut field)?),
            "ResourceSpecificResults" => {
                while let Some(mut one) = field.next_tag() {
                    while let Some(mut field) = one.next_tag() {
                        if field.start_el().matches("MissingContextValues") {
                            missing.extend(members(&mut field)?);
                        }
                    }
                }
            }
            _ => {}
        }
    }
    Ok(action.zip(decision).map(|(action, decision)| Verdict { action, allowed: decision == "allowed", missing }))
}

fn members(list: &mut ScopedDecoder<'_, '_>) -> Result<Vec<String>, XmlDecodeError> {
    let mut all = vec![];
    while let Some(mut member) = list.next_tag() {
        all.push(try_data(&mut member)?.into_owned());
    }
    Ok(all)
}

/// Code and message of an error.
fn refusal(body: &[u8]) -> Result<ErrorMetadata, XmlDecodeError> {
    let mut document = Document::try_from(body)?;
    let mut root = document.root_element()?;
    let mut error = ErrorMetadata::builder();
    while let Some(mut part) = root.next_tag() {
        if !part.start_el().matches("Error") {
            continue;
        }
        while let Some(mut field) = part.next_tag() {
            match field.start_el().local() {
                "Code" => error = error.code(try_data(&mut field)?),
                "Message" => error = error.message(try_data(&mut field)?),
                _ => {}
            }
        }
    }
    Ok(error.build())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As in IAM's API reference, SimulatePrincipalPolicy, "Examples".
    const ANSWER: &str = r#"<SimulatePrincipalPolicyResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/">
      <SimulatePrincipalPolicyResult><IsTruncated>false</IsTruncated><EvaluationResults>
        <member><MatchedStatements><member><SourcePolicyId>p</SourcePolicyId></member></MatchedStatements>
          <MissingContextValues/><EvalResourceName>arn:aws:acm:eu-west-1:111122223333:certificate/*</EvalResourceName>
          <EvalDecision>allowed</EvalDecision><EvalActionName>acm:ImportCertificate</EvalActionName>
          <ResourceSpecificResults><member><EvalResourceDecision>allowed</EvalResourceDecision></member></ResourceSpecificResults></member>
        <member><EvalDecision>implicitDeny</EvalDecision><EvalActionName>acm:DeleteCertificate</EvalActionName>
          <ResourceSpecificResults><member><MissingContextValues><member>aws:MultiFactorAuthPresent</member></MissingContextValues>
          </member></ResourceSpecificResults></member>
      </EvaluationResults></SimulatePrincipalPolicyResult><ResponseMetadata><RequestId>x</RequestId></ResponseMetadata>
      </SimulatePrincipalPolicyResponse>"#;

    #[test]
    fn an_answer_is_read() {
        let all = verdicts(ANSWER.as_bytes()).unwrap();
        let verdict = |action: &str, allowed, missing: &[&str]| Verdict {
            action: action.to_owned(),
            allowed,
            missing: missing.iter().map(|m| (*m).to_owned()).collect(),
        };
        let denied = verdict("acm:DeleteCertificate", false, &["aws:MultiFactorAuthPresent"]);
        assert_eq!(all, [verdict("acm:ImportCertificate", true, &[]), denied]);
        assert!(verdicts(b"<html><body>moved").is_err());
        assert!(verdicts(b"").is_err());
    }

    #[test]
    fn a_refusal_is_read() {
        let body = "<ErrorResponse><Error><Type>Sender</Type><Code>NoSuchEntity</Code><Message>no role</Message></Error></ErrorResponse>";
        let error = refusal(body.as_bytes()).unwrap();
        assert_eq!((error.code(), error.message()), (Some("NoSuchEntity"), Some("no role")));
    }

    #[test]
    fn the_question_is_written_in_the_query_protocol() {
        let question = Simulation {
            principal: "arn:aws:iam::111122223333:role/a".into(),
            actions: vec!["acm:ImportCertificate", "acm:DeleteCertificate"],
            resource: "arn:aws:acm:eu-west-1:111122223333:certificate/*".into(),
            context: vec![("aws:RequestedRegion".into(), "eu-west-1".into())],
        };
        let form = form(&question);
        let pairs: Vec<(String, String)> =
            form_urlencoded::parse(form.as_bytes()).map(|(k, v)| (k.into_owned(), v.into_owned())).collect();
        let value = |key: &str| pairs.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str());
        assert_eq!(value("Version"), Some(VERSION));
        assert_eq!(value("PolicySourceArn"), Some("arn:aws:iam::111122223333:role/a"));
        assert_eq!(value("ActionNames.member.2"), Some("acm:DeleteCertificate"));
        assert_eq!(value("ResourceArns.member.1"), Some("arn:aws:acm:eu-west-1:111122223333:certificate/*"));
        assert_eq!(value("ContextEntries.member.1.ContextKeyName"), Some("aws:RequestedRegion"));
        assert_eq!(value("ContextEntries.member.1.ContextKeyValues.member.1"), Some("eu-west-1"));
    }

    #[test]
    fn every_partition_has_its_endpoint() {
        let config = SdkConfig::builder().build();
        for (partition, url, region) in [
            ("aws", "https://iam.amazonaws.com/", "us-east-1"),
            ("aws-us-gov", "https://iam.us-gov.amazonaws.com/", "us-gov-west-1"),
            ("aws-cn", "https://iam.cn-north-1.amazonaws.com.cn/", "cn-north-1"),
        ] {
            let place = place(&config, partition);
            assert_eq!((&*place.url, place.region), (url, region));
        }
        let fips = SdkConfig::builder().use_fips(true).build();
        assert_eq!(place(&fips, "aws").url, "https://iam-fips.amazonaws.com/");
        let dual = SdkConfig::builder().use_dual_stack(true).build();
        let urls = ["aws", "aws-us-gov", "aws-cn"].map(|partition| place(&dual, partition).url);
        let hosts = ["iam.global.api.aws", "iam.us-gov.api.aws", "iam.global.api.amazonwebservices.com.cn"];
        assert_eq!(urls, hosts.map(|host| format!("https://{host}/")));
        let given = SdkConfig::builder().endpoint_url("http://127.0.0.1:1").build();
        assert_eq!(place(&given, "aws").url, "http://127.0.0.1:1/");
    }
}
