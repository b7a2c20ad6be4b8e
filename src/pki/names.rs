//! The names of a certificate (RFC 5280, section 4.2.1.6).

use std::{collections::BTreeSet, net::IpAddr};
use x509_parser::extensions::GeneralName;

/// The longest DNS name, in octets (RFC 1035, section 2.3.4).
const LONGEST_NAME: usize = 253;
/// The longest label of a DNS name (the same section).
const LONGEST_LABEL: usize = 63;

/// A name that can't stand in a certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is no {kind}: {why}")]
pub struct InvalidNames {
    name: String,
    kind: &'static str,
    why: &'static str,
}

/// The subject alternative names of a certificate or of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// DNS names, lower-case; `*` may stand for the whole left label.
    pub dns: BTreeSet<String>,
    /// IP addresses.
    pub ips: BTreeSet<IpAddr>,
    /// URIs, as they were written.
    pub uris: BTreeSet<String>,
    /// E-mail addresses, as they were written.
    pub emails: BTreeSet<String>,
}

impl Names {
    /// The names of a spec.
    ///
    /// # Errors
    /// The first that is none.
    pub fn new<'a>(
        dns: impl IntoIterator<Item = &'a String>,
        ips: &[String],
        uris: &[String],
        emails: &[String],
    ) -> Result<Self, InvalidNames> {
        Ok(Self {
            dns: dns.into_iter().map(|name| dns_name(name)).collect::<Result<_, _>>()?,
            ips: ips.iter().map(|ip| address(ip)).collect::<Result<_, _>>()?,
            uris: uris.iter().map(|uri| self::uri(uri)).collect::<Result<_, _>>()?,
            emails: emails.iter().map(|mail| email(mail)).collect::<Result<_, _>>()?,
        })
    }

    /// Whether every name here stands there, too.
    #[must_use]
    pub fn is_subset_of(&self, other: &Self) -> bool {
        self.dns.is_subset(&other.dns)
            && self.ips.is_subset(&other.ips)
            && self.uris.is_subset(&other.uris)
            && self.emails.is_subset(&other.emails)
    }

    /// Whether there is no name.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.dns.is_empty() && self.ips.is_empty() && self.uris.is_empty() && self.emails.is_empty()
    }

    /// The names here that do not stand there, for people.
    pub(super) fn beyond(&self, other: &Self) -> Vec<String> {
        let mut names: Vec<String> = self.dns.difference(&other.dns).cloned().collect();
        names.extend(self.ips.difference(&other.ips).map(ToString::to_string));
        names.extend(self.uris.difference(&other.uris).cloned());
        names.extend(self.emails.difference(&other.emails).cloned());
        names
    }

    /// Takes a name in as it stands in a certificate; false: one of a kind that is not kept here.
    pub(super) fn take_in(&mut self, name: &GeneralName<'_>) -> bool {
        match name {
            GeneralName::DNSName(name) => self.dns.insert(name.to_ascii_lowercase()),
            GeneralName::URI(uri) => self.uris.insert((*uri).to_owned()),
            GeneralName::RFC822Name(mail) => self.emails.insert((*mail).to_owned()),
            GeneralName::IPAddress(bytes) => match (<[u8; 4]>::try_from(*bytes), <[u8; 16]>::try_from(*bytes)) {
                (Ok(v4), _) => self.ips.insert(v4.into()),
                (_, Ok(v6)) => self.ips.insert(v6.into()),
                _ => return false,
            },
            _ => return false,
        };
        true
    }

    /// Checks names that were read out of a request as those of a spec are checked.
    pub(super) fn checked(&self) -> Result<Self, InvalidNames> {
        let texts = |set: &BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>();
        let names = Self::new(&self.dns, &[], &texts(&self.uris), &texts(&self.emails))?;
        Ok(Self { ips: self.ips.clone(), ..names })
    }
}

/// A DNS name, lower-case.
pub(super) fn dns_name(name: &str) -> Result<String, InvalidNames> {
    let refused = |why| Err(InvalidNames { name: name.chars().take(300).collect(), kind: "DNS name", why });
    if name.is_empty() {
        return refused("it is empty");
    }
    if name.len() > LONGEST_NAME {
        return refused("it is longer than 253 characters");
    }
    let rest = name.strip_prefix("*.").unwrap_or(name);
    if rest.contains('*') {
        return refused("* may only stand for the whole left label, as in *.example.com");
    }
    for label in rest.split('.') {
        if label.is_empty() {
            return refused("a label is empty");
        }
        if label.len() > LONGEST_LABEL {
            return refused("a label is longer than 63 characters");
        }
        if !label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') {
            return refused("labels are made of letters, digits, - and _ (other scripts as xn-- labels)");
        }
        if label.starts_with('-') || label.ends_with('-') {
            return refused("a label can't begin or end with -");
        }
    }
    Ok(name.to_ascii_lowercase())
}

fn address(text: &str) -> Result<IpAddr, InvalidNames> {
    text.parse().map_err(|_| InvalidNames { name: text.chars().take(60).collect(), kind: "IP address", why: "it can't be read as IPv4 or IPv6" })
}

fn uri(text: &str) -> Result<String, InvalidNames> {
    let refused = |why| Err(InvalidNames { name: text.chars().take(300).collect(), kind: "URI", why });
    let Some((scheme, rest)) = text.split_once(':') else { return refused("it has no scheme, as in spiffe://example.org/service") };
    let first = scheme.bytes().next().is_some_and(|b| b.is_ascii_alphabetic());
    if !first || !scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.')) {
        return refused("its scheme is not made of letters, digits, +, - and .");
    }
    if rest.is_empty() {
        return refused("there is nothing after its scheme");
    }
    if !text.bytes().all(|b| b.is_ascii_graphic()) {
        return refused("it contains a character that has to be percent-encoded");
    }
    Ok(text.to_owned())
}

fn email(text: &str) -> Result<String, InvalidNames> {
    let refused = |why| Err(InvalidNames { name: text.chars().take(300).collect(), kind: "e-mail address", why });
    let Some((local, domain)) = text.rsplit_once('@') else { return refused("it has no @") };
    if local.is_empty() || local.len() > 64 || local.contains('@') || !local.bytes().all(|b| b.is_ascii_graphic()) {
        return refused("what stands before the @ is empty, too long or not plain ASCII");
    }
    if domain.starts_with('*') || dns_name(domain).is_err() {
        return refused("what stands after the @ is no DNS name");
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dns(name: &str) -> Result<Names, InvalidNames> {
        Names::new(&[name.to_owned()], &[], &[], &[])
    }

    #[test]
    fn dns_names() {
        for good in ["example.com", "*.example.com", "A.Example.COM", "localhost", "_x.example.com", "xn--bcher-kva.example"] {
            let names = dns(good).unwrap();
            assert!(names.dns.contains(&good.to_ascii_lowercase()), "{good}");
        }
        let long = format!("{}.example", "a".repeat(64));
        let longer = vec!["a".repeat(60); 5].join(".");
        let bad = ["", ".", "a..b", "a.", ".a", "*", "*.", "a.*.com", "*a.example.com", "**.example.com", "-a.b", "a-.b", "a b", "a\0b", "bücher.example", &long, &longer];
        for bad in bad {
            assert!(dns(bad).is_err(), "{bad:?}");
        }
        assert!(dns(&vec!["a".repeat(50); 5].join(".")[..253]).is_ok());
    }

    #[test]
    fn other_names() {
        let list = |text: &str| vec![text.to_owned()];
        assert!(Names::new(&[], &list("10.0.0.1"), &list("spiffe://example.org/a"), &list("a@example.com")).is_ok());
        assert!(Names::new(&[], &list("::1"), &[], &[]).is_ok());
        for bad in ["10.0.0.256", "", "example.com", "10.0.0.1/8"] {
            assert!(Names::new(&[], &list(bad), &[], &[]).is_err(), "{bad:?}");
        }
        for bad in ["", "no-scheme", ":x", "1a:x", "a:", "http://a b", "http://a\0b", "http://ü"] {
            assert!(Names::new(&[], &[], &list(bad), &[]).is_err(), "{bad:?}");
        }
        for bad in ["", "a", "@b.c", "a@", "a@b@c.d", "a\0@b.c", "a@*.b.c", "a b@c.d"] {
            assert!(Names::new(&[], &[], &[], &list(bad)).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn subsets() {
        let few = dns("a.example.com").unwrap();
        let many = Names::new(&["a.example.com".into(), "b.example.com".into()], &["10.0.0.1".into()], &[], &[]).unwrap();
        assert!(few.is_subset_of(&many) && !many.is_subset_of(&few));
        assert_eq!(many.beyond(&few), ["b.example.com", "10.0.0.1"]);
        assert!(Names::default().is_empty() && !few.is_empty());
    }
}
