//! Validated names of AWS things. Each type holds only a well-formed value, so that no later code has to check again.
//!
//! The same pattern stands in the CRDs, so the API server refuses a malformed name at `kubectl apply`.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, fmt, str::FromStr};

/// A string that is not the AWS name that was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{value:?} is not {expected}")]
pub struct InvalidName {
    value: String,
    expected: &'static str,
}

macro_rules! validated_name {
    ($(#[$doc:meta])* $name:ident, $expected:literal, $longest:literal, $pattern:expr, $valid:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The name as AWS writes it.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;
            fn from_str(value: &str) -> Result<Self, InvalidName> {
                let valid: fn(&str) -> bool = $valid;
                if valid(value) {
                    Ok(Self(value.to_owned()))
                } else {
                    Err(InvalidName { value: value.chars().take(200).collect(), expected: $expected })
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;
            fn try_from(value: String) -> Result<Self, InvalidName> {
                value.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }
            fn inline_schema() -> bool {
                true
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                // A rule can say what is allowed in words, a pattern can't; its cost is reckoned by maxLength.
                let rule = format!("self.matches(r'{}')", $pattern);
                json_schema!({
                    "type": "string",
                    "maxLength": $longest,
                    "x-kubernetes-validations": [{ "rule": rule, "message": concat!("must be ", $expected) }],
                })
            }
        }
    };
}

validated_name!(
    /// An AWS account id: twelve digits.
    AccountId,
    "an AWS account id (twelve digits)",
    12,
    "^[0-9]{12}$",
    |s| s.len() == 12 && digits(s)
);

validated_name!(
    /// An AWS region, such as `eu-west-1` or `us-gov-east-1`.
    Region,
    "an AWS region such as eu-west-1",
    62,
    "^[a-z]{2,8}(-[a-z]{2,16}){1,3}-[0-9]{1,2}$",
    is_region
);

validated_name!(
    /// The ARN of a private CA: `arn:aws:acm-pca:<region>:<account>:certificate-authority/<uuid>`.
    AuthorityArn,
    "the ARN of a private CA (arn:aws:acm-pca:<region>:<account>:certificate-authority/<id>)",
    164,
    "^arn:aws[a-z-]{0,16}:acm-pca:[a-z0-9-]{5,32}:[0-9]{12}:certificate-authority/[0-9A-Za-z-]{1,64}$",
    |s| is_arn(s, "acm-pca", |r| r.strip_prefix("certificate-authority/").is_some_and(is_id))
);

validated_name!(
    /// The ARN of what IssueCertificate made: `<CA's ARN>/certificate/<serial>`.
    IssuedArn,
    "the ARN of a certificate of a private CA",
    241,
    "^arn:aws[a-z-]{0,16}:acm-pca:[a-z0-9-]{5,32}:[0-9]{12}:certificate-authority/[0-9A-Za-z-]{1,64}/certificate/[0-9A-Za-z-]{1,64}$",
    |s| {
        is_arn(s, "acm-pca", |r| {
            r.strip_prefix("certificate-authority/")
                .and_then(|r| r.split_once("/certificate/"))
                .is_some_and(|(ca, cert)| is_id(ca) && is_id(cert))
        })
    }
);

validated_name!(
    /// The ARN of a certificate in ACM: `arn:aws:acm:<region>:<account>:certificate/<uuid>`.
    CertificateArn,
    "the ARN of a certificate in ACM (arn:aws:acm:<region>:<account>:certificate/<id>)",
    150,
    "^arn:aws[a-z-]{0,16}:acm:[a-z0-9-]{5,32}:[0-9]{12}:certificate/[0-9A-Za-z-]{1,64}$",
    |s| is_arn(s, "acm", |r| r.strip_prefix("certificate/").is_some_and(is_id))
);

validated_name!(
    /// The ARN of an IAM role: `arn:aws:iam::<account>:role/<path and name>`.
    RoleArn,
    "the ARN of an IAM role (arn:aws:iam::<account>:role/<name>)",
    623,
    "^arn:aws[a-z-]{0,16}:iam::[0-9]{12}:role/[A-Za-z0-9+=,.@_/-]{1,576}$",
    |s| {
        is_arn(s, "iam", |r| {
            r.strip_prefix("role/").is_some_and(|n| {
                (1..=576).contains(&n.len())
                    && n.bytes().all(|b| b.is_ascii_alphanumeric() || b"+=,.@_/-".contains(&b))
            })
        })
    }
);

validated_name!(
    /// A template that signs end-entity certificates: version 1 of EndEntity* or BlankEndEntity*, never one that makes a CA.
    TemplateArn,
    "an end-entity template (arn:aws:acm-pca:::template/EndEntity…/V1 or BlankEndEntity…/V1)",
    156,
    "^arn:aws[a-z-]{0,16}:acm-pca:::template/(Blank)?EndEntity[A-Za-z_]{1,96}/V1$",
    |s| {
        s.strip_prefix("arn:")
            .and_then(|s| s.split_once(":acm-pca:::template/"))
            .and_then(|(partition, name)| Some((partition, name.strip_suffix("/V1")?)))
            .is_some_and(|(partition, name)| {
                let rest = name.strip_prefix("Blank").unwrap_or(name).strip_prefix("EndEntity");
                is_partition(partition)
                    && rest.is_some_and(|r| {
                        (1..=96).contains(&r.len()) && r.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_')
                    })
            })
    }
);

fn digits(s: &str) -> bool {
    !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit())
}

fn is_id(s: &str) -> bool {
    (1..=64).contains(&s.len()) && s.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// Whether this is how AWS names a partition: `aws`, or `aws-` and words.
pub(crate) fn is_partition(s: &str) -> bool {
    s.strip_prefix("aws")
        .is_some_and(|rest| rest.len() <= 16 && rest.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'))
}

/// The partitions that a region may lie in (see [`Region::partition`]).
pub const PARTITIONS: [&str; 8] =
    ["aws", "aws-us-gov", "aws-cn", "aws-eusc", "aws-iso", "aws-iso-b", "aws-iso-e", "aws-iso-f"];

fn is_region(s: &str) -> bool {
    let parts: Vec<&str> = s.split('-').collect();
    let Some((number, words)) = parts.split_last() else { return false };
    let lower = |w: &&str, lengths: std::ops::RangeInclusive<usize>| {
        lengths.contains(&w.len()) && w.bytes().all(|b| b.is_ascii_lowercase())
    };
    (2..=4).contains(&words.len())
        && lower(&words[0], 2..=8)
        && words[1..].iter().all(|w| lower(w, 2..=16))
        && (1..=2).contains(&number.len())
        && digits(number)
}

/// `arn:<partition>:<service>:<region>:<account>:<resource>`; IAM alone has no region.
fn is_arn(s: &str, service: &str, resource: impl Fn(&str) -> bool) -> bool {
    let parts: Vec<&str> = s.splitn(6, ':').collect();
    let [arn, partition, of, region, account, rest] = parts[..] else { return false };
    let region_fits = if service == "iam" {
        region.is_empty()
    } else {
        (5..=32).contains(&region.len())
            && region.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    arn == "arn"
        && is_partition(partition)
        && of == service
        && region_fits
        && account.len() == 12
        && digits(account)
        && resource(rest)
}

/// What an ARN says about where its resource is.
pub trait Located {
    /// The ARN.
    fn arn(&self) -> &str;

    /// The partition, such as `aws` or `aws-us-gov`.
    fn partition(&self) -> &str {
        self.arn().split(':').nth(1).unwrap_or_default()
    }

    /// The region; empty for IAM.
    fn region(&self) -> &str {
        self.arn().split(':').nth(3).unwrap_or_default()
    }

    /// The account id.
    fn account(&self) -> &str {
        self.arn().split(':').nth(4).unwrap_or_default()
    }
}

macro_rules! located {
    ($($name:ident),*) => {
        $(impl Located for $name {
            fn arn(&self) -> &str {
                &self.0
            }
        })*
    };
}
located!(AuthorityArn, IssuedArn, CertificateArn, RoleArn);

impl Region {
    /// The partition that the region lies in, by AWS's naming of regions.
    #[must_use]
    pub fn partition(&self) -> &'static str {
        match self.0.split('-').next() {
            Some("cn") => "aws-cn",
            Some("us") if self.0.starts_with("us-gov-") => "aws-us-gov",
            Some("us") if self.0.starts_with("us-isob-") => "aws-iso-b",
            Some("us") if self.0.starts_with("us-isof-") => "aws-iso-f",
            Some("eu") if self.0.starts_with("eu-isoe-") => "aws-iso-e",
            Some("us") if self.0.starts_with("us-iso-") => "aws-iso",
            Some("eusc") => "aws-eusc",
            _ => "aws",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn account_ids_are_twelve_digits() {
        assert!("111122223333".parse::<AccountId>().is_ok());
        for bad in ["", "11112222333", "1111222233334", "11112222333a", "１１１１２２２２３３３３"] {
            assert!(bad.parse::<AccountId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn regions_are_known_by_their_shape() {
        for good in ["eu-west-1", "us-gov-east-1", "ap-southeast-2", "cn-north-1", "eusc-de-east-1", "us-isob-east-1"] {
            assert!(good.parse::<Region>().is_ok(), "{good}");
        }
        for bad in ["", "eu", "eu-west", "eu-west-1a", "EU-west-1", "eu_west_1", "eu-west-1 ", "../x-y-1"] {
            assert!(bad.parse::<Region>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_arn_of_another_service_is_refused() {
        let ca = "arn:aws:acm-pca:eu-west-1:111122223333:certificate-authority/11223344-1234-1122-2233-112233445566";
        let parsed: AuthorityArn = ca.parse().unwrap();
        assert_eq!((parsed.partition(), parsed.region(), parsed.account()), ("aws", "eu-west-1", "111122223333"));
        assert!(ca.replace("acm-pca", "acm").parse::<AuthorityArn>().is_err());
        assert!(ca.replace("arn:aws:", "arn:azure:").parse::<AuthorityArn>().is_err());
        assert!(format!("{ca}/certificate/6707").parse::<AuthorityArn>().is_err());
        assert!(format!("{ca}/certificate/6707").parse::<IssuedArn>().is_ok());
        assert!(ca.parse::<CertificateArn>().is_err());
    }

    #[test]
    fn only_end_entity_templates_of_version_1_are_names_of_templates() {
        for good in [
            "EndEntityCertificate/V1",
            "BlankEndEntityCertificate_CSRPassthrough/V1",
            "EndEntityServerAuthCertificate/V1",
        ] {
            assert!(format!("arn:aws:acm-pca:::template/{good}").parse::<TemplateArn>().is_ok(), "{good}");
        }
        for bad in [
            "RootCACertificate/V1",
            "SubordinateCACertificate_PathLen0/V1",
            "EndEntityCertificate/V2",
            "BlankSubordinateCACertificate_PathLen0_CSRPassthrough/V1",
        ] {
            assert!(format!("arn:aws:acm-pca:::template/{bad}").parse::<TemplateArn>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_region_knows_its_partition() {
        for (region, partition) in
            [("eu-west-1", "aws"), ("us-gov-west-1", "aws-us-gov"), ("cn-north-1", "aws-cn"), ("us-east-1", "aws")]
        {
            assert_eq!(region.parse::<Region>().unwrap().partition(), partition);
        }
    }
}
