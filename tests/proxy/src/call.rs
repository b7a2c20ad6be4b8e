//! What a request is: which object of the API server it is about, or which operation of AWS.

use hyper::{Method, http::request::Parts};
use serde::Serialize;

/// A request, as the rules and the log see it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Call {
    /// The HTTP method.
    pub method: String,
    /// The path, without the query.
    pub path: String,
    /// The query; empty without one.
    pub query: String,
    /// The path with `{namespace}` and `{name}` in the place of names.
    pub template: String,
    /// `namespace/name`, or `name` of what is in no namespace; that of a new object is read from its body.
    pub object: Option<String>,
    /// AWS's operation, such as `IssueCertificate`.
    pub operation: Option<String>,
    /// The client's own name.
    pub user_agent: String,
    /// Whether it may change something.
    pub mutating: bool,
    /// Whether it is a watch.
    pub watch: bool,
}

/// The start of AWS's operations that change nothing.
const READS: [&str; 7] = ["Describe", "Get", "List", "Search", "Export", "Assume", "Simulate"];

impl Call {
    /// Reads a request.
    #[must_use]
    pub fn read(parts: &Parts, body: &[u8]) -> Self {
        let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let path = parts.uri.path().to_owned();
        let query = parts.uri.query().unwrap_or_default().to_owned();
        let operation = operation(header("x-amz-target"), header("content-type"), body);
        let (template, mut object) = template(&path);
        if parts.method == Method::POST && operation.is_none() {
            object = name_of(body).map(|name| object.map_or_else(|| name.clone(), |within| format!("{within}/{name}")));
        }
        let changes = !matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS);
        let is_read = operation.as_ref().is_some_and(|name| READS.iter().any(|read| name.starts_with(read)));
        let watch = form_urlencoded::parse(query.as_bytes()).any(|(key, value)| key == "watch" && value == "true");
        Self {
            method: parts.method.to_string(),
            template,
            object,
            user_agent: header("user-agent").to_owned(),
            mutating: changes && !is_read,
            watch,
            operation,
            path,
            query,
        }
    }

    /// Method and template, or AWS's operation: what two runs of one scenario have in common.
    #[must_use]
    pub fn key(&self) -> String {
        self.operation.clone().unwrap_or_else(|| format!("{} {}", self.method, self.template))
    }
}

/// The operation of AWS's JSON protocol, or of its query protocol.
fn operation(target: &str, content_type: &str, body: &[u8]) -> Option<String> {
    if let Some((_, operation)) = target.split_once('.') {
        return Some(operation.to_owned());
    }
    let is_form = content_type.starts_with("application/x-www-form-urlencoded");
    let mut fields = form_urlencoded::parse(if is_form { body } else { &[] });
    fields.find(|(key, _)| key == "Action").map(|(_, action)| action.into_owned())
}

/// The path without names, and the object (of a new one in a namespace: that namespace).
///
/// Kubernetes API concepts, Resource URIs: `/api/v1` or `/apis/GROUP/VERSION`, then `namespaces/NAMESPACE`, the
/// resource, its name, a subresource.
fn template(path: &str) -> (String, Option<String>) {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let root = match parts.first() {
        Some(&"api") => 2,
        Some(&"apis") => 3,
        _ => return (path.to_owned(), None),
    };
    let Some((root, rest)) = parts.split_at_checked(root) else { return (path.to_owned(), None) };
    let (namespace, rest) = match rest {
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() && rest != ["status"] && rest != ["finalize"] => {
            (Some(*namespace), rest)
        }
        _ => (None, rest),
    };
    let mut out = format!("/{}", root.join("/"));
    if namespace.is_some() {
        out.push_str("/namespaces/{namespace}");
    }
    for (at, part) in rest.iter().enumerate() {
        out.push('/');
        out.push_str(if at == 1 { "{name}" } else { part });
    }
    let object = match (namespace, rest.get(1).copied()) {
        (Some(namespace), Some(name)) => Some(format!("{namespace}/{name}")),
        (Some(only), None) | (None, Some(only)) => Some(only.to_owned()),
        (None, None) => None,
    };
    (out, object)
}

fn name_of(body: &[u8]) -> Option<String> {
    let value: serde_json::Value = serde_json::from_slice(body).ok()?;
    let metadata = &value["metadata"];
    metadata["name"].as_str().or_else(|| metadata["generateName"].as_str()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::Request;

    fn read(method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Call {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Call::read(&request.body(()).unwrap().into_parts().0, body.as_bytes())
    }

    #[test]
    fn names_leave_the_path() {
        let status = "/apis/arnkeeper.dev/v1beta1/namespaces/pay/awscertificates/app/status";
        let call = read("PUT", &format!("{status}?fieldManager=x"), &[("user-agent", "arnkeeper/1")], "{}");
        assert_eq!(call.template, "/apis/arnkeeper.dev/v1beta1/namespaces/{namespace}/awscertificates/{name}/status");
        assert_eq!(call.object.as_deref(), Some("pay/app"));
        assert_eq!(call.user_agent, "arnkeeper/1");
        assert!(call.mutating && !call.watch);
        let account = read("GET", "/apis/arnkeeper.dev/v1beta1/awsaccounts/prod", &[], "");
        assert_eq!(account.template, "/apis/arnkeeper.dev/v1beta1/awsaccounts/{name}");
        assert_eq!(account.object.as_deref(), Some("prod"));
        let namespace = read("GET", "/api/v1/namespaces/pay", &[], "");
        assert_eq!(
            (namespace.template.as_str(), namespace.object.as_deref()),
            ("/api/v1/namespaces/{name}", Some("pay"))
        );
        assert_eq!(read("GET", "/healthz", &[], "").template, "/healthz");
    }

    #[test]
    fn a_new_object_is_named_by_its_body() {
        let call = read("POST", "/api/v1/namespaces/pay/secrets", &[], r#"{"metadata":{"name":"app-tls"}}"#);
        assert_eq!(call.key(), "POST /api/v1/namespaces/{namespace}/secrets");
        assert_eq!(call.object.as_deref(), Some("pay/app-tls"));
    }

    #[test]
    fn a_watch_is_known_by_its_query() {
        let call = read("GET", "/apis/arnkeeper.dev/v1beta1/awscertificates?watch=true&resourceVersion=1", &[], "");
        assert!(call.watch && !call.mutating);
    }

    /// AWS JSON 1.1 names the operation in X-Amz-Target, the query protocol in the form's Action.
    #[test]
    fn operations_of_aws() {
        let issue = read("POST", "/", &[("x-amz-target", "ACMPrivateCA.IssueCertificate")], "{}");
        assert_eq!((issue.key().as_str(), issue.mutating), ("IssueCertificate", true));
        let list = read("POST", "/", &[("x-amz-target", "CertificateManager.ListCertificates")], "{}");
        assert!(!list.mutating);
        let form = [("content-type", "application/x-www-form-urlencoded")];
        let assume = read("POST", "/", &form, "Action=AssumeRole&Version=2011-06-15");
        assert_eq!((assume.key().as_str(), assume.mutating), ("AssumeRole", false));
        let ask = read("POST", "/", &form, "Action=SimulatePrincipalPolicy&Version=2010-05-08");
        assert_eq!((ask.key().as_str(), ask.mutating), ("SimulatePrincipalPolicy", false));
    }
}
