//! The calls that change something, as a reference run makes them.

use fault_proxy::{
    log::Entry,
    rules::{Act, Rule},
};

/// One of them: the `number`th of its kind, from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Point {
    /// Whether it goes to AWS.
    pub aws: bool,
    /// What a person reads, such as `PUT awscertificates/app/status`.
    pub label: String,
    number: u32,
    template: Option<String>,
    method: String,
    object: Option<String>,
    operation: Option<String>,
}

/// The moments of a call at which the operator is killed.
pub const MOMENTS: [(&str, Act); 3] = [
    ("before", Act::KillBefore),
    ("after-effect", Act::KillAfterEffect),
    ("after-answer", Act::KillAfterAnswer { millis: 5 }),
];

/// Whether a call belongs to the way of a certificate: it changes something, and is no renewal of a Lease.
pub fn counts(entry: &Entry) -> bool {
    entry.call.mutating && !entry.call.template.contains("/leases")
}

/// The points of a log.
pub fn points(kubernetes: &[Entry], aws: &[Entry]) -> Vec<Point> {
    let mut entries: Vec<(bool, &Entry)> = kubernetes.iter().map(|e| (false, e)).collect();
    entries.extend(aws.iter().map(|e| (true, e)));
    entries.sort_by_key(|(_, entry)| entry.at);
    let mut points: Vec<Point> = Vec::new();
    for (aws, entry) in entries.into_iter().filter(|(_, entry)| counts(entry)) {
        let mut point = point(aws, entry);
        point.number = u32::try_from(points.iter().filter(|p| p.label == point.label).count()).unwrap_or(u32::MAX);
        points.push(point);
    }
    points
}

fn point(aws: bool, entry: &Entry) -> Point {
    let call = &entry.call;
    // The names of events are made up.
    let object = call.object.clone().filter(|_| !call.template.contains("/events"));
    let resource = call.template.rsplit_once("{namespace}/").map_or(call.template.as_str(), |(_, resource)| resource);
    let name = object.as_deref().map_or("", |object| object.rsplit('/').next().unwrap_or(object));
    let resource = match resource.split_once("{name}") {
        Some((before, after)) => format!("{before}{name}{after}"),
        None if name.is_empty() => resource.to_owned(),
        None => format!("{resource}/{name}"),
    };
    Point {
        aws,
        label: call.operation.clone().unwrap_or_else(|| format!("{} {resource}", call.method)),
        number: 0,
        template: (!aws).then(|| call.template.clone()),
        method: call.method.clone(),
        object,
        operation: call.operation.clone(),
    }
}

impl Point {
    /// Its name in a table and in `--only`.
    pub fn name(&self) -> String {
        format!("{}#{}", self.label, self.number + 1)
    }

    /// What can't be taken back, and the records around it.
    pub fn matters(&self) -> bool {
        let name = &self.label;
        name.starts_with("IssueCertificate") || name.starts_with("ImportCertificate") || name.ends_with("/status")
    }

    /// The write that stores what IssueCertificate answered.
    pub fn is_record_of_issue(&self) -> bool {
        self.number == 0 && self.label.starts_with("PUT awscertificaterequests/") && self.label.ends_with("/status")
    }

    /// The write of an AwsAccount's status.
    pub fn is_status_of_account(&self) -> bool {
        self.template.as_ref().is_some_and(|template| template.ends_with("/awsaccounts/{name}/status"))
    }

    /// Its operation, if it is AWS's.
    pub fn operation(&self) -> Option<&str> {
        self.operation.as_deref()
    }

    /// The rule that does this to it, in another namespace than that of the reference run.
    pub fn rule(&self, namespace: &str, act: Act) -> Rule {
        let name = |object: &String| object.rsplit('/').next().map(|name| format!("{namespace}/{name}"));
        Rule {
            method: Some(self.method.clone()),
            template: self.template.clone(),
            operation: self.operation.clone(),
            object: self.object.as_ref().and_then(name),
            skip: self.number,
            ..Rule::new(act)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn entries(calls: &[(&str, &str, &str)]) -> Vec<Entry> {
        let mut log = fault_proxy::log::Log::default();
        for (method, path, name) in calls {
            let request = http::Request::builder().method(*method).uri(*path).body(()).unwrap();
            let body = json!({ "metadata": { "name": name } }).to_string();
            log.add(fault_proxy::call::Call::read(&request.into_parts().0, body.as_bytes()), None);
        }
        log.after(0).to_vec()
    }

    #[test]
    fn calls_are_counted_by_what_they_are_about() {
        let certificates = "/apis/arnkeeper.dev/v1beta1/namespaces/a/awscertificates";
        let all = entries(&[
            ("POST", "/api/v1/namespaces/a/secrets", "app-1-key"),
            ("PUT", &format!("{certificates}/app/status"), ""),
            ("PUT", "/apis/coordination.k8s.io/v1/namespaces/a/leases/arnkeeper", ""),
            ("GET", &format!("{certificates}/app"), ""),
            ("PUT", &format!("{certificates}/app/status"), ""),
            ("POST", "/apis/events.k8s.io/v1/namespaces/a/events", "app.1234"),
        ]);
        let names: Vec<String> = points(&all, &[]).iter().map(Point::name).collect();
        assert_eq!(
            names,
            [
                "POST secrets/app-1-key#1",
                "PUT awscertificates/app/status#1",
                "PUT awscertificates/app/status#2",
                "POST events#1",
            ]
        );
        let rule = points(&all, &[])[2].rule("b", Act::KillBefore);
        assert_eq!((rule.object.as_deref(), rule.skip), (Some("b/app"), 1));
        assert_eq!(points(&all, &[])[3].rule("b", Act::KillBefore).object, None);
    }
}
