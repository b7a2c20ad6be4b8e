//! Bad manifests are refused by the API server itself, with a message that names the field and what is allowed.

use crate::harness::{Stand, merge};
use arnkeeper::api::{AwsAccount, Certificate, CertificateRequest};
use kube::{
    Api, Resource,
    api::{ApiResource, DynamicObject, PostParams},
};
use serde_json::{Value, json};

mod fixed;
mod inventory;
mod publish;

const CA: &str = "arn:aws:acm-pca:eu-west-1:111122223333:certificate-authority/12345678-1234-1234-1234-123456789012";

const IN_ACM: &str = "arn:aws:acm:eu-west-1:111122223333:certificate/12345678-1234-1234-1234-123456789012";

/// Tries to create `base` with each change; all have to be refused, with all these words.
pub async fn refused<K: Resource<DynamicType = ()>>(base: Value, cases: &[(Value, &[&str])]) {
    let stand = Stand::get().await;
    let resource = ApiResource::erase::<K>(&());
    let namespaced = base["metadata"].get("namespace").and_then(Value::as_str).map(str::to_owned);
    let api: Api<DynamicObject> = match namespaced {
        Some(namespace) => Api::namespaced_with(stand.client, &namespace, &resource),
        None => Api::all_with(stand.client, &resource),
    };
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    let create = async |manifest: &Value| {
        let object: DynamicObject = crate::harness::from(manifest.clone());
        api.create(&dry, &object).await
    };
    if let Err(error) = create(&base).await {
        panic!("the manifest without a mistake is refused: {error}");
    }
    let mut wrong = Vec::new();
    for (change, words) in cases {
        let mut manifest = base.clone();
        merge(&mut manifest["spec"], change.clone());
        match create(&manifest).await {
            Ok(_) => wrong.push(format!("{change} is accepted")),
            Err(kube::Error::Api(status)) if status.code == 422 || status.code == 400 => {
                let missing = words.iter().filter(|word| !status.message.contains(**word));
                wrong.extend(missing.map(|word| format!("{change}: {word:?} is not in: {}", status.message)));
            }
            Err(error) => wrong.push(format!("{change}: {error}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn credentials_of_accounts() {
    let base = json!({ "apiVersion": "arnkeeper.dev/v1beta1", "kind": "AwsAccount", "metadata": { "name": "schema" },
        "spec": { "regions": ["eu-west-1"], "credentials": { "default": {} } } });
    let vault = |more: Value| {
        let mut place = json!({ "address": "https://vault.example:8200", "role": "arnkeeper", "path": "aws/prod" });
        merge(&mut place, more);
        json!({ "credentials": { "default": null, "secretsManager": { "vault": place } } })
    };
    refused::<AwsAccount>(
        base,
        &[
            (json!({ "credentials": { "default": null } }), &["spec.credentials", "exactly one"]),
            (
                json!({ "organization": { "roleName": "arn:aws:iam::111122223333:role/x" } }),
                &["organization.roleName", "not its ARN"],
            ),
            (
                json!({ "organization": { "include": { "organizationalUnitIds": ["Production"] } } }),
                &["organizationalUnitIds", "not their names"],
            ),
            (
                json!({ "credentials": { "accessKeys": { "secretRef": { "name": "x" } } } }),
                &["spec.credentials", "exactly one"],
            ),
            (
                json!({ "credentials": { "default": null, "accessKeys": { "secretRef": { "name": "Not A Name" } } } }),
                &["secretRef.name"],
            ),
            (
                json!({ "credentials": { "secretsManager": { "aws": { "secretId": "x", "region": "eu-west-1" } } } }),
                &["spec.credentials", "exactly one"],
            ),
            (
                json!({ "credentials": { "default": null, "secretsManager": {
                    "aws": { "secretId": "arn:aws:secretsmanager:us-east-1:111122223333:secret:x-a1b2c3", "region": "eu-west-1" },
                } } }),
                &["secretsManager.aws", "region given"],
            ),
            (
                json!({ "credentials": { "default": null, "secretsManager": {
                    "aws": { "secretId": "no such name", "region": "eu-west-1" },
                } } }),
                &["secretsManager.aws.secretId"],
            ),
            (
                json!({ "credentials": { "default": null, "secretsManager": {} } }),
                &["spec.credentials.secretsManager", "exactly one"],
            ),
            (vault(json!({ "address": "http://vault.example:8200" })), &["vault.address", "https://"]),
            (vault(json!({ "address": "https://user@vault.example" })), &["vault.address"]),
            (vault(json!({ "path": "../sys/raw" })), &["secretsManager.vault", "no parts"]),
            (vault(json!({ "path": "a?b" })), &["vault.path"]),
            (vault(json!({ "mount": "/secret" })), &["vault.mount"]),
            (vault(json!({ "role": null })), &["vault.role", "Required"]),
            (vault(json!({ "caBundle": "none" })), &["vault.caBundle", "PEM"]),
            (json!({ "credentials": { "profile": { "name": "x" } } }), &["spec.credentials", "exactly one"]),
            (json!({ "credentials": { "default": null, "profile": { "name": "a]b" } } }), &["profile.name"]),
            (json!({ "credentials": { "default": null, "profile": {} } }), &["profile.name", "Required"]),
        ],
    )
    .await;
}

#[tokio::test]
async fn accounts() {
    let base = json!({ "apiVersion": "arnkeeper.dev/v1beta1", "kind": "AwsAccount", "metadata": { "name": "schema" },
        "spec": { "regions": ["eu-west-1"], "credentials": { "default": {} } } });
    let role = |duration: &str| json!({ "assumeRoles": [{ "roleArn": "arn:aws:iam::111122223333:role/x", "duration": duration }] });
    refused::<AwsAccount>(
        base,
        &[
            (json!({ "accountId": "11112222333" }), &["spec.accountId", "twelve digits"]),
            (json!({ "accountId": 111_122_223_333_u64 }), &["spec.accountId", "string"]),
            (json!({ "regions": [] }), &["spec.regions"]),
            (json!({ "policy": { "adoption": "Maybe" } }), &["spec.policy.adoption", "Consent"]),
            (json!({ "budget": {} }), &["spec.budget.issuesPerDay", "Required"]),
            (json!({ "budget": { "issuesPerDay": 0 } }), &["spec.budget.issuesPerDay", "greater than or equal to 1"]),
            (
                json!({ "budget": { "issuesPerDay": 1_000_001 } }),
                &["spec.budget.issuesPerDay", "less than or equal to 1000000"],
            ),
            (
                json!({ "quotas": { "ImportCertificate": 0 } }),
                &["spec.quotas.ImportCertificate", "greater than or equal to 1"],
            ),
            (json!({ "quotas": { "ImportCertificate": "1" } }), &["spec.quotas.ImportCertificate", "integer"]),
            (json!({ "quotas": { "Import": 1 } }), &["spec.quotas", "ImportCertificate, ListCertificates"]),
            (
                json!({ "quotas": { "GetCertificate": 1 } }),
                &["spec.quotas", "acm:GetCertificate or acm-pca:GetCertificate"],
            ),
            (json!({ "regions": null }), &["spec.regions", "Required"]),
            (json!({ "regions": ["eu-west-1", "us-gov-west-1"] }), &["spec", "one AWS partition"]),
            (json!({ "regions": ["cn-north-1", "eu-west-1"] }), &["spec", "one AWS partition"]),
            (
                json!({ "organization": { "rules": [{ "set": { "regions": ["eu-west-2", "us-gov-west-1"] } }] } }),
                &["spec", "its own AWS partition"],
            ),
            (json!({ "regions": ["EU (Ireland)"] }), &["spec.regions[0]", "such as eu-west-1"]),
            (json!({ "regions": ["eu-west-1", "eu-west-1"] }), &["spec.regions[1]", "Duplicate"]),
            (
                json!({ "assumeRoles": [{ "roleArn": "arn:aws:iam::111122223333:user/x" }] }),
                &["spec.assumeRoles[0].roleArn"],
            ),
            (
                json!({ "assumeRoles": [{ "roleArn": "arn:aws:iam::111122223333:role/x", "externalId": "1" }] }),
                &["externalId"],
            ),
            (
                json!({ "assumeRoles": vec![json!({ "roleArn": "arn:aws:iam::111122223333:role/x" }); 1000] }),
                &["spec.assumeRoles", "5"],
            ),
            (
                json!({ "regions": (0..1000).map(|n| format!("eu-w{n}-1")).collect::<Vec<_>>() }),
                &["spec.regions", "40"],
            ),
            (
                json!({ "assumeRoles": [{ "roleArn": "arn:azure:iam::111122223333:role/x" }] }),
                &["spec.assumeRoles[0].roleArn"],
            ),
            (role("5m"), &["spec.assumeRoles[0].duration", "15m"]),
            (role("13h"), &["spec.assumeRoles[0].duration", "12h"]),
            (
                json!({ "allowedNamespaces": { "from": "Selector", "selector": {
                    "matchExpressions": [{ "key": "tier", "operator": "NotIn" }] } } }),
                &["spec.allowedNamespaces", "In or NotIn with values"],
            ),
            (json!({ "allowedNamespaces": { "from": "Some" } }), &["spec.allowedNamespaces.from", "Selector"]),
            (json!({ "allowedNamespaces": { "from": "Names" } }), &["spec.allowedNamespaces", "names goes with"]),
            (
                json!({ "allowedNamespaces": { "from": "All", "names": ["pay"] } }),
                &["spec.allowedNamespaces", "names goes with"],
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn requests() {
    let csr = "-----BEGIN CERTIFICATE REQUEST-----\n";
    let base = json!({ "apiVersion": "arnkeeper.dev/v1beta1", "kind": "CertificateRequest",
        "metadata": { "name": "schema", "namespace": "default" }, "spec": {
            "accountRef": { "name": "prod" }, "region": "eu-west-1", "certificateAuthority": { "arn": CA }, "csr": csr,
        } });
    let subject = |subject: Value| json!({ "csr": null, "secretName": "app", "subject": subject });
    refused::<CertificateRequest>(
        base,
        &[
            (json!({ "csr": null }), &["spec", "exactly one of csr and subject"]),
            (
                json!({ "subject": { "domainName": "a.example" }, "secretName": "app" }),
                &["exactly one of csr and subject"],
            ),
            (json!({ "csr": "bm90IFBFTQ==" }), &["spec.csr", "BEGIN CERTIFICATE REQUEST"]),
            (json!({ "csr": format!("{csr}{}", "A".repeat(32_768)) }), &["spec.csr", "32768"]),
            (json!({ "secretName": "app" }), &["secretName goes with subject"]),
            (json!({ "csr": null, "subject": { "domainName": "a.example" } }), &["secretName goes with subject"]),
            (json!({ "privateKey": { "algorithm": "RSA" } }), &["privateKey goes with subject"]),
            (json!({ "accountRef": null }), &["spec.accountRef", "Required"]),
            (json!({ "region": "europe" }), &["spec.region"]),
            (
                json!({ "certificateAuthority": { "arn": null } }),
                &["spec.certificateAuthority", "exactly one of arn and name"],
            ),
            (
                json!({ "certificateAuthority": { "name": "CA" } }),
                &["spec.certificateAuthority", "exactly one of arn and name"],
            ),
            (json!({ "region": "us-east-1" }), &["certificateAuthority.arn must lie in region"]),
            (json!({ "duration": "0s" }), &["spec.duration", "1h or more"]),
            (json!({ "duration": "59m59s" }), &["spec.duration", "1h or more"]),
            (json!({ "duration": "-1h" }), &["spec.duration", "1h or more"]),
            (json!({ "duration": "90 days" }), &["spec.duration", "1h or more"]),
            (json!({ "usages": ["server authentication"] }), &["spec.usages[0]", "server auth"]),
            (json!({ "tags": { "aws:team": "pay" } }), &["spec.tags", "reserved"]),
            (json!({ "tags": { "arnkeeper.dev/name": "pay" } }), &["spec.tags", "reserved"]),
            (json!({ "tags": { "ArnKeeper.DEV/name": "pay" } }), &["spec.tags", "reserved"]),
            (json!({ "tags": { "AWS:team": "pay" } }), &["spec.tags", "reserved"]),
            (json!({ "tags": { "team\u{202e}": "pay" } }), &["spec.tags", "letters, numbers"]),
            (json!({ "tags": { "team": "pay\n\u{1b}[31m" } }), &["spec.tags"]),
            (json!({ "tags": { "team": "x".repeat(256) } }), &["spec.tags", "255"]),
            (subject(json!({ "domainName": "" })), &["spec.subject.domainName"]),
            (subject(json!({ "domainName": "under score.example" })), &["spec.subject.domainName"]),
            (subject(json!({ "domainName": "bücher.example" })), &["spec.subject.domainName"]),
            (subject(json!({ "domainName": "рaypal.example" })), &["spec.subject.domainName"]),
            (subject(json!({ "domainName": "a.example." })), &["spec.subject.domainName"]),
            (subject(json!({ "domainName": "a.*.example" })), &["spec.subject.domainName"]),
            (subject(json!({ "domainName": "*.*.example" })), &["spec.subject.domainName"]),
            (subject(json!({ "domainName": "a\u{202e}b.example" })), &["spec.subject.domainName"]),
            (subject(json!({ "domainName": "a.example", "additionalNames": ["b.example\0"] })), &["additionalNames"]),
            (
                subject(json!({ "domainName": "a.example", "additionalNames": vec!["b.example"; 100_000] })),
                &["spec.subject.additionalNames"],
            ),
            (
                subject(json!({ "domainName": "a.example", "country": "Germany" })),
                &["spec.subject.country", "two upper-case"],
            ),
            (
                subject(json!({ "domainName": "a.example", "organization": "a\nb, CN=other" })),
                &["spec.subject.organization"],
            ),
            (
                json!({ "csr": null, "subject": { "domainName": "a.example" }, "secretName": "schema-key" }),
                &["spec.secretName must not be <name>-key"],
            ),
            (
                subject(json!({ "domainName": "a.example", "emailAddresses": ["nobody"] })),
                &["spec.subject.emailAddresses", "e-mail"],
            ),
            (subject(json!({ "domainName": "a.example", "uris": ["shop"] })), &["spec.subject.uris", "URIs"]),
            (
                subject(json!({ "domainName": "a.example", "ipAddresses": ["10.0.0.256"] })),
                &["spec.subject.ipAddresses", "IP addresses"],
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn names_of_aws() {
    let base = json!({ "apiVersion": "arnkeeper.dev/v1beta1", "kind": "CertificateRequest",
        "metadata": { "name": "schema", "namespace": "default" }, "spec": {
            "accountRef": { "name": "prod" }, "region": "eu-west-1", "certificateAuthority": { "arn": CA },
            "csr": "-----BEGIN CERTIFICATE REQUEST-----\n",
        } });
    let ca = |arn: &str| json!({ "certificateAuthority": { "arn": arn } });
    let template = |name: &str| json!({ "templateArn": format!("arn:aws:acm-pca:::template/{name}") });
    refused::<CertificateRequest>(
        base,
        &[
            (
                ca("arn:aws:acm:eu-west-1:111122223333:certificate/12345678-1234-1234-1234-123456789012"),
                &["certificateAuthority.arn", "acm-pca"],
            ),
            (ca("arn:aws:iam::111122223333:role/x"), &["certificateAuthority.arn", "acm-pca"]),
            (ca(&CA.replace("111122223333", "1111")), &["certificateAuthority.arn"]),
            (ca(&CA.replace("arn:aws:", "arn:gcp:")), &["certificateAuthority.arn"]),
            (template("RootCACertificate/V1"), &["spec.templateArn", "EndEntity"]),
            (template("SubordinateCACertificate_PathLen0/V1"), &["spec.templateArn", "EndEntity"]),
            (template("BlankSubordinateCACertificate_PathLen0_CSRPassthrough/V1"), &["spec.templateArn", "EndEntity"]),
            (template("CodeSigningCertificate/V1"), &["spec.templateArn", "EndEntity"]),
            (template("EndEntityCertificate/V2"), &["spec.templateArn", "V1"]),
            (json!({ "templateArn": "EndEntityCertificate/V1" }), &["spec.templateArn"]),
        ],
    )
    .await;
}

#[tokio::test]
async fn certificates() {
    let base = json!({ "apiVersion": "arnkeeper.dev/v1beta1", "kind": "Certificate",
        "metadata": { "name": "schema", "namespace": "default" }, "spec": {
            "accountRef": { "name": "prod" }, "region": "eu-west-1",
            "source": { "privateCa": { "certificateAuthority": { "arn": CA } } },
            "subject": { "domainName": "app.example" }, "secret": { "name": "app" },
        } });
    let target = |target: Value| json!({ "acm": [target] });
    let window = |change: Value| {
        let mut window = json!({ "cron": "0 2 * * 6", "duration": "4h" });
        merge(&mut window, change);
        json!({ "renewal": { "windows": [window] } })
    };
    let many: serde_json::Map<String, Value> = (0..41).map(|n| (format!("tag{n}"), "x".into())).collect();
    refused::<Certificate>(
        base,
        &[
            (json!({ "source": null }), &["spec", "source, subject and secret are needed"]),
            (json!({ "subject": null }), &["spec", "source, subject and secret are needed"]),
            (target(json!({ "name": "a", "certificateArn": "x" })), &["spec.acm[0].certificateArn", "in ACM"]),
            (
                target(json!({ "name": "a", "certificateArn": IN_ACM, "region": "us-east-1" })),
                &["spec", "target's region"],
            ),
            (
                target(json!({ "name": "a", "certificateArn": IN_ACM.replace("eu-west-1", "us-east-1") })),
                &["spec", "target's region"],
            ),
            (
                target(json!({ "name": "a", "certificateArn": IN_ACM, "reimport": false })),
                &["spec.acm[0]", "reimport: false"],
            ),
            (json!({ "subject": { "domainName": null } }), &["spec.subject.domainName", "Required"]),
            (json!({ "secret": null }), &["spec", "source, subject and secret are needed"]),
            (json!({ "management": "Watch" }), &["spec.management", "Observe"]),
            (json!({ "owner": { "email": "nobody" } }), &["spec.owner.email"]),
            (json!({ "secret": { "name": "App_TLS" } }), &["spec.secret.name"]),
            (json!({ "secret": { "name": "a..b" } }), &["spec.secret.name"]),
            (json!({ "secret": { "name": "schema-1-key" } }), &["spec.secret.name must not be <name>-"]),
            (
                json!({ "secret": { "template": { "labels": { "a b": "c" } } } }),
                &["spec.secret.template.labels", "qualified name"],
            ),
            (
                json!({ "secret": { "template": { "labels": { "team": "c d" } } } }),
                &["spec.secret.template.labels", "letters, digits"],
            ),
            (
                json!({ "secret": { "template": { "annotations": { "a b": "c" } } } }),
                &["spec.secret.template.annotations", "qualified name"],
            ),
            (json!({ "secret": { "deletionPolicy": "Orphan" } }), &["spec.secret.deletionPolicy", "Retain"]),
            (
                json!({ "secret": { "template": { "labels": { "arnkeeper.dev/certificate": "x" } } } }),
                &["spec.secret.template.labels", "reserved"],
            ),
            (
                json!({ "secret": { "template": { "annotations": { "arnkeeper.dev/certificate": "other" } } } }),
                &["spec.secret.template.annotations", "reserved"],
            ),
            (
                json!({ "secret": { "template": { "annotations": { "Arnkeeper.dev/adopt-by": "other" } } } }),
                &["spec.secret.template.annotations", "reserved"],
            ),
            (json!({ "secret": { "template": { "annotations": { "a": "x".repeat(4097) } } } }), &["4096"]),
            (json!({ "region": "us-east-1" }), &["must lie in region"]),
            (json!({ "duration": "0h" }), &["spec.duration", "1h or more"]),
            (json!({ "duration": "-2160h" }), &["spec.duration", "1h or more"]),
            (json!({ "duration": "999999999h" }), &["spec.duration", "1h or more"]),
            (json!({ "renewal": { "before": "2160h" } }), &["renewal.before must be shorter than duration"]),
            (json!({ "renewal": { "before": "24h", "beforePercent": 10 } }), &["spec.renewal", "only one of"]),
            (json!({ "renewal": { "beforePercent": 100 } }), &["spec.renewal.beforePercent", "99"]),
            (window(json!({ "cron": "0 2 * *" })), &["spec.renewal.windows[0].cron", "five fields"]),
            (window(json!({ "cron": "0 2 * * 6; x" })), &["spec.renewal.windows[0].cron"]),
            (window(json!({ "duration": "4m" })), &["spec.renewal.windows[0].duration", "5m to 168h"]),
            (window(json!({ "duration": "169h" })), &["spec.renewal.windows[0].duration", "5m to 168h"]),
            (window(json!({ "duration": "4" })), &["spec.renewal.windows[0].duration", "5m to 168h"]),
            (window(json!({ "timeZone": "../etc" })), &["spec.renewal.windows[0].timeZone", "IANA"]),
            (json!({ "issuance": { "first": "Disabled" } }), &["spec.issuance.first", "RequestOnly"]),
            (json!({ "issuance": { "renewals": "Never" } }), &["spec.issuance.renewals", "Disabled"]),
            (json!({ "privateKey": { "algorithm": "Ed25519" } }), &["spec.privateKey.algorithm", "ECDSA"]),
            (json!({ "privateKey": { "algorithm": "RSA", "size": 1024 } }), &["spec.privateKey", "2048"]),
            (json!({ "privateKey": { "size": 2048 } }), &["spec.privateKey", "size goes with algorithm"]),
            (json!({ "historyLimit": 0 }), &["spec.historyLimit", "1"]),
            (target(json!({ "name": "Edge" })), &["spec.acm[0].name", "lower-case"]),
            (target(json!({ "name": "edge", "region": "everywhere" })), &["spec.acm[0].region"]),
            (target(json!({ "name": "edge", "tags": many })), &["spec.acm[0].tags", "40"]),
            (target(json!({ "name": "edge", "tags": { "a!b": "x" } })), &["spec.acm[0].tags", "letters, numbers"]),
            (target(json!({ "name": "edge", "deletionPolicy": "Keep" })), &["spec.acm[0].deletionPolicy", "Retain"]),
            (json!({ "acm": [{ "name": "edge" }, { "name": "edge" }] }), &["spec.acm[1]", "Duplicate"]),
        ],
    )
    .await;
}
