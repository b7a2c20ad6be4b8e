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

/// Names that another run has otherwise, and what stands in their place.
pub type Names = [(String, String)];

fn replaced<'a>(text: &str, pairs: impl Iterator<Item = (&'a String, &'a String)>) -> String {
    pairs.fold(text.to_owned(), |text, (from, to)| text.replace(from.as_str(), to))
}

/// The points of a log.
pub fn points(kubernetes: &[Entry], aws: &[Entry], names: &Names) -> Vec<Point> {
    let mut entries: Vec<(bool, &Entry)> = kubernetes.iter().map(|e| (false, e)).collect();
    entries.extend(aws.iter().map(|e| (true, e)));
    entries.sort_by_key(|(_, entry)| entry.at);
    let mut points: Vec<Point> = Vec::new();
    for (aws, entry) in entries.into_iter().filter(|(_, entry)| counts(entry)) {
        let mut point = point(aws, entry, names);
        point.number = u32::try_from(points.iter().filter(|p| p.label == point.label).count()).unwrap_or(u32::MAX);
        points.push(point);
    }
    points
}

fn point(aws: bool, entry: &Entry, names: &Names) -> Point {
    let call = &entry.call;
    // The names of events are made up.
    let object = call.object.as_ref().filter(|_| !call.template.contains("/events"));
    let object = object.map(|object| replaced(object, names.iter().map(|(name, place)| (name, place))));
    // Without group and version.
    let prefix = if call.template.starts_with("/apis/") { 4 } else { 3 };
    let whole = call.template.splitn(prefix + 1, '/').nth(prefix).unwrap_or(&call.template);
    let resource = whole.rsplit_once("{namespace}/").map_or(whole, |(_, resource)| resource);
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

    /// Whether an event is told by it.
    pub fn is_event(&self) -> bool {
        self.label.contains("events")
    }

    /// Whether an object is made by it, or changed as a whole, or taken away.
    pub fn makes_or_deletes(&self) -> bool {
        !self.aws && !self.is_event() && ["POST ", "PATCH ", "DELETE "].iter().any(|verb| self.label.starts_with(verb))
    }

    /// Whether an object is made, changed or taken away by it, and not only its status or an event.
    pub fn changes_object(&self) -> bool {
        !self.aws && !self.is_event() && !self.label.ends_with("/status")
    }

    /// Whether it is one of this kind, and not the first.
    pub fn tells_again(&self, label: &str) -> bool {
        self.number > 0 && self.label == label
    }

    /// The write of an AwsAccount's status.
    pub fn is_status_of_account(&self) -> bool {
        self.template.as_ref().is_some_and(|template| template.ends_with("/awsaccounts/{name}/status"))
    }

    /// Its operation, if it is AWS's.
    pub fn operation(&self) -> Option<&str> {
        self.operation.as_deref()
    }

    /// The rule that does this to it in another run than the reference run, with names of its own.
    pub fn rule(&self, names: &Names, act: Act) -> Rule {
        let object = |object: &String| replaced(object, names.iter().map(|(name, place)| (place, name)));
        Rule {
            method: Some(self.method.clone()),
            template: self.template.clone(),
            operation: self.operation.clone(),
            object: self.object.as_ref().map(object),
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
        let certificates = "/apis/arnkeeper.dev/v1beta1/namespaces/first-1/awscertificates";
        let accounts = "/apis/arnkeeper.dev/v1beta1/awsaccounts";
        let all = entries(&[
            ("POST", "/api/v1/namespaces/first-1/secrets", "app-1-key"),
            ("PUT", &format!("{certificates}/app/status"), ""),
            ("PUT", "/apis/coordination.k8s.io/v1/namespaces/first-1/leases/arnkeeper", ""),
            ("GET", &format!("{certificates}/app"), ""),
            ("PUT", &format!("{certificates}/app/status"), ""),
            ("POST", "/apis/events.k8s.io/v1/namespaces/first-1/events", "app.1234"),
            ("PUT", &format!("{accounts}/first-1/status"), ""),
        ]);
        let names = |namespace: &str| [(namespace.to_owned(), "NAMESPACE".to_owned())];
        let points = points(&all, &[], &names("first-1"));
        let labels: Vec<String> = points.iter().map(Point::name).collect();
        assert_eq!(
            labels,
            [
                "POST secrets/app-1-key#1",
                "PUT awscertificates/app/status#1",
                "PUT awscertificates/app/status#2",
                "POST events#1",
                "PUT awsaccounts/NAMESPACE/status#1",
            ]
        );
        let rule = |at: usize| points[at].rule(&names("first-2"), Act::KillBefore);
        assert_eq!((rule(2).object.as_deref(), rule(2).skip), (Some("first-2/app"), 1));
        assert_eq!(rule(3).object, None);
        assert_eq!(rule(4).object.as_deref(), Some("first-2"));
    }
}
