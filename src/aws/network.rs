//! The network as the operator finds it: proxies, CAs to trust besides the public ones, endpoints. All of it is in the
//! environment, by the names that the AWS SDKs and curl have for it.
//!
//! The SDK passes over what it can't read of this (a proxy's URL, a flag), and goes another way than was asked for. So it
//! is checked before the first call.

use aws_smithy_http_client::{
    proxy::ProxyConfig,
    tls::{TlsContext, TrustStore},
};
use http::Uri;
use rustls::RootCertStore;
use rustls_pki_types::{CertificateDer, pem::PemObject};
use std::{collections::BTreeMap, env, fmt, fs};

/// Names a file with CAs, in PEM. The AWS CLI has the name, too, and trusts nothing else then; here they are added.
pub const CA_BUNDLE: &str = "AWS_CA_BUNDLE";
/// The longest CA bundle that is read, in bytes: all public CAs together have a quarter of it.
const LONGEST_BUNDLE: u64 = 1 << 20;
/// What names a proxy, as curl and most programs have it.
const PROXIES: [&str; 6] = ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];
/// What names the hosts that no proxy is for.
const NO_PROXY: [&str; 2] = ["NO_PROXY", "no_proxy"];
/// AWS SDKs and Tools Reference Guide, "Dual-stack and FIPS endpoints".
const VARIANTS: [&str; 2] = ["AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT"];
/// The same, "Service-specific endpoints".
const IGNORE_ENDPOINTS: &str = "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS";
/// The same: one of all services, and those of the services that arnkeeper calls.
const ENDPOINTS: [&str; 7] = [
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_ACM",
    "AWS_ENDPOINT_URL_ACM_PCA",
    "AWS_ENDPOINT_URL_STS",
    "AWS_ENDPOINT_URL_ORGANIZATIONS",
    "AWS_ENDPOINT_URL_SECRETS_MANAGER",
    "AWS_ENDPOINT_URL_IAM",
];

/// The environment asks for a network that can't be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NetworkProblem(String);

/// How AWS and Vault are reached.
#[derive(Clone)]
pub struct Network {
    proxy: ProxyConfig,
    tls: TlsContext,
}

impl Default for Network {
    /// No proxy, and the CAs of the system.
    fn default() -> Self {
        Self { proxy: ProxyConfig::disabled(), tls: TlsContext::default() }
    }
}

impl fmt::Debug for Network {
    /// A proxy's URL may have a password in it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network").finish_non_exhaustive()
    }
}

impl Network {
    /// The network that the environment describes.
    ///
    /// # Errors
    /// If it can't be had so: a proxy that is none, a CA bundle that can't be used, endpoints that exclude each other.
    pub fn from_env() -> Result<Self, NetworkProblem> {
        let lossy = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
        let all: Environment = env::vars_os().map(|(name, value)| (lossy(name), lossy(value))).collect();
        check(&all)?;
        for entry in unmatched(&all) {
            tracing::warn!("{entry:?} of NO_PROXY matches no host: an entry is a domain, an address, a network, or *");
        }
        let tls = match given(&all, CA_BUNDLE) {
            None => TlsContext::default(),
            Some(file) => bundle(file)?,
        };
        let proxy = if is_direct(&all) { ProxyConfig::disabled() } else { ProxyConfig::from_env() };
        Ok(Self { proxy, tls })
    }

    /// Through this proxy, for tests.
    #[cfg(test)]
    pub(in crate::aws) fn through(proxy: &str) -> Self {
        Self { proxy: ProxyConfig::all(proxy.to_owned()).unwrap(), ..Self::default() }
    }

    /// The proxies.
    #[must_use]
    pub fn proxy(&self) -> ProxyConfig {
        self.proxy.clone()
    }

    /// Whom TLS trusts.
    #[must_use]
    pub fn tls(&self) -> TlsContext {
        self.tls.clone()
    }
}

/// TLS that trusts these CAs, in PEM, besides those of `store`.
///
/// # Errors
/// What is wrong with them.
pub fn trusting(store: TrustStore, pem: impl Into<Vec<u8>>) -> Result<TlsContext, String> {
    let pem = pem.into();
    let mut roots = RootCertStore::empty();
    // The HTTP client would panic over what can't be added.
    for der in CertificateDer::pem_slice_iter(&pem) {
        let der = der.map_err(|error| format!("it is not PEM: {error}"))?;
        roots.add(der).map_err(|error| format!("a certificate in it can't be used: {error}"))?;
    }
    if roots.is_empty() {
        return Err("there is no certificate in it".to_owned());
    }
    let store = store.with_pem_certificate(pem);
    TlsContext::builder().with_trust_store(store).build().map_err(|error| error.to_string())
}

type Environment = BTreeMap<String, String>;

/// What is empty is not set.
fn given<'a>(all: &'a Environment, name: &str) -> Option<&'a str> {
    all.get(name).map(String::as_str).filter(|value| !value.is_empty())
}

fn is_true(all: &Environment, name: &str) -> bool {
    given(all, name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

fn check(all: &Environment) -> Result<(), NetworkProblem> {
    let problem = |what: String| Err(NetworkProblem(what));
    // The value is not told: it may have a password in it.
    if let Some(name) = PROXIES.iter().find(|name| given(all, name).is_some_and(|value| !is_proxy(value))) {
        return problem(format!(
            "{name} is no URL of an HTTP proxy, such as http://proxy.example:3128: correct it; there is no newline at its end, and what \
             is special in a user's name or password is written %40 for @, and so on"
        ));
    }
    let is_flag = |value: &str| ["true", "false"].iter().any(|word| value.eq_ignore_ascii_case(word));
    if let Some(name) = VARIANTS.iter().find(|name| given(all, name).is_some_and(|value| !is_flag(value))) {
        return problem(format!("{name} has to be true or false"));
    }
    if is_true(all, IGNORE_ENDPOINTS) {
        return Ok(());
    }
    for name in ENDPOINTS {
        let Some(url) = given(all, name) else { continue };
        if !is_endpoint(url) {
            return problem(format!("{name} is no URL of an endpoint, such as https://acm.example: correct it"));
        }
        if let Some(variant) = VARIANTS.iter().find(|variant| is_true(all, variant)) {
            return problem(format!(
                "{name} and {variant} exclude each other: an endpoint that is given is taken as it stands, so give none, or that of \
                 the kind you want and leave {variant} out"
            ));
        }
    }
    Ok(())
}

fn is_proxy(value: &str) -> bool {
    has_host(value, &[None, Some("http"), Some("https")])
}

fn is_endpoint(value: &str) -> bool {
    has_host(value, &[Some("http"), Some("https")])
}

/// A URL of one of these schemes with a host, and a port that is one. A password with `#` or `/` in it would end the host early.
fn has_host(value: &str, schemes: &[Option<&str>]) -> bool {
    let Ok(uri) = value.parse::<Uri>() else { return false };
    let whole = !value.contains('#') && !uri.path_and_query().is_some_and(|rest| rest.as_str().contains('@'));
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let place = authority.rsplit_once('@').map_or(authority, |(_, place)| place);
    let has_port = place.rsplit(']').next().is_some_and(|rest| rest.contains(':'));
    let host = uri.host().unwrap_or_default();
    whole && !host.is_empty() && (!has_port || uri.port_u16().is_some()) && schemes.contains(&uri.scheme_str())
}

/// NO_PROXY as the HTTP client takes it: the first of the two that is there, even if it is empty.
fn no_proxy(all: &Environment) -> impl Iterator<Item = &str> {
    let list = NO_PROXY.iter().find_map(|name| all.get(*name)).map_or("", String::as_str);
    list.split(',').map(str::trim).filter(|entry| !entry.is_empty())
}

/// Whether everything is reached directly. To the HTTP client `*` is every name, but no address.
fn is_direct(all: &Environment) -> bool {
    no_proxy(all).any(|entry| entry == "*")
}

/// Entries of NO_PROXY that others may understand, but the HTTP client does not: `*.example`, `host:443`.
fn unmatched(all: &Environment) -> Vec<&str> {
    let is_address = |entry: &str| entry.split('/').next().is_some_and(|ip| ip.parse::<std::net::IpAddr>().is_ok());
    let is_domain = |entry: &str| entry.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
    no_proxy(all).filter(|entry| !(*entry == "*" || is_address(entry) || is_domain(entry))).collect()
}

/// TLS that trusts the CAs in a file, too.
fn bundle(file: &str) -> Result<TlsContext, NetworkProblem> {
    let problem = |why: String| {
        NetworkProblem(format!(
            "{CA_BUNDLE} names {file:?}, a file with CAs to trust, in PEM: {why}; correct the file, or in Kubernetes the ConfigMap \
             that the Helm value caBundle.configMap names"
        ))
    };
    let length = fs::metadata(file).map_err(|error| problem(format!("it can't be read: {error}")))?.len();
    if length > LONGEST_BUNDLE {
        return Err(problem(format!("it has {length} bytes, and at most {LONGEST_BUNDLE} are read")));
    }
    let pem = fs::read(file).map_err(|error| problem(format!("it can't be read: {error}")))?;
    trusting(TrustStore::default(), pem).map_err(problem)
}

#[cfg(test)]
#[expect(dead_code, reason = "the tests of the program use the rest")]
pub(super) mod double;
#[cfg(test)]
mod tests;
