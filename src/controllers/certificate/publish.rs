//! Reads and writes the objects that ARNs are published to.

use super::Certificates;
use crate::{
    api::publish::{ObjectRef, PublishState, PublishedField},
    core::certificate::{
        Observed,
        published::{self, PublishedSeen, Trouble, Version},
    },
    kube::kinds::KindProblem,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{
    Api,
    api::{DynamicObject, Patch, PatchParams},
    core::Status,
};
use std::collections::{BTreeMap, BTreeSet};

/// Managers of fields that are named in a message.
const MOST_MANAGERS: usize = 5;

impl Certificates {
    /// Looks at an object, and leaves out what may be large and is of no interest.
    pub(super) async fn see_published(&self, o: &mut Observed, object: &ObjectRef, data: bool) {
        let now = self.context.clock.now();
        match self.found(&o.namespace(), object, data).await {
            Ok(found) => published::saw(o, object, found),
            Err(trouble) => published::failed(o, object, trouble, now),
        }
        published::note_look(o, now);
    }

    async fn found(&self, namespace: &str, object: &ObjectRef, data: bool) -> Result<PublishedSeen, Trouble> {
        let api = self.published(namespace, object).await?;
        let told = |error: kube::Error| self.trouble(object, &error);
        let (metadata, data) = if data {
            let found = api.get(&object.name).await.map_err(told)?;
            (found.metadata, texts(&found.data["data"]))
        } else {
            (api.get_metadata(&object.name).await.map_err(told)?.metadata, BTreeMap::new())
        };
        let version = read_as(&metadata);
        Ok(PublishedSeen::Found { version, annotations: metadata.annotations.unwrap_or_default(), data })
    }

    /// Applies all fields that a Certificate has in an object. If that was changed since it was read, so may be the Certificate:
    /// both are read again.
    pub(super) async fn publish(
        &self,
        o: &mut Observed,
        object: &ObjectRef,
        version: &Version,
        fields: Vec<PublishedField>,
        mark: bool,
    ) -> Result<(), kube::Error> {
        let mut changed = None;
        let done = async {
            let api = self.published(&o.namespace(), object).await?;
            let how = PatchParams::apply(&published::field_manager(&o.name()));
            let patch = Patch::Apply(published::applied(object, version, &fields, mark));
            let applied = api.patch_metadata(&object.name, &how, &patch).await;
            applied.map(|applied| read_as(&applied.metadata)).map_err(|error| {
                let trouble = self.trouble(object, &error);
                changed = is_changed(&error).then_some(error);
                trouble
            })
        };
        match done.await {
            Ok(after) => published::succeeded(o, object, (version, after), fields, mark),
            Err(trouble) => published::failed(o, object, trouble, self.context.clock.now()),
        }
        changed.map_or(Ok(()), Err)
    }

    async fn published(&self, namespace: &str, object: &ObjectRef) -> Result<Api<DynamicObject>, Trouble> {
        let client = &self.context.client;
        match self.context.kinds.get(client, &object.api_version, &object.kind).await {
            Ok(resource) => Ok(Api::namespaced_with(client.clone(), namespace, &resource)),
            Err(KindProblem::Kubernetes(error)) => Err(trouble(object, &error)),
            Err(problem) => {
                let state = match problem {
                    KindProblem::Missing { .. } => PublishState::KindNotFound,
                    _ => PublishState::Refused,
                };
                Err(Trouble { state, message: problem.to_string() })
            }
        }
    }

    fn trouble(&self, object: &ObjectRef, error: &kube::Error) -> Trouble {
        let trouble = trouble(object, error);
        if trouble.state == PublishState::NotFound {
            self.context.kinds.forget(&object.api_version, &object.kind);
        }
        trouble
    }
}

/// The version of an object.
fn read_as(metadata: &ObjectMeta) -> Version {
    let text = |part: &Option<String>| part.clone().unwrap_or_default();
    Version { uid: text(&metadata.uid), resource_version: text(&metadata.resource_version) }
}

/// The texts of a map.
fn texts(map: &serde_json::Value) -> BTreeMap<String, String> {
    let entries = map.as_object().into_iter().flatten();
    entries.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

/// What is told of an error of the API server.
fn trouble(object: &ObjectRef, error: &kube::Error) -> Trouble {
    let kube::Error::Api(status) = error else {
        return Trouble {
            state: PublishState::Unavailable,
            message: format!("the API server did not answer: {error}"),
        };
    };
    let said = &status.message;
    let (state, message) = match status.code {
        404 => {
            (PublishState::NotFound, "there is none in this namespace; the ARN is written once it is there".to_owned())
        }
        409 => match managers(status) {
            Some(managers) => (
                PublishState::Conflict,
                format!(
                    "{managers} set the same field to something else, and it is left alone: take the field away there, or the \
                     entry out of spec.publish"
                ),
            ),
            None => (PublishState::Unavailable, format!("the object changed meanwhile: {said}")),
        },
        403 if said.contains("is forbidden: User ") => (
            PublishState::Forbidden,
            format!(
                "the operator may not get and patch objects of the kind {}: let it by the value publish.kinds of the chart, or by \
                 a Role in this namespace ({said})",
                object.kind
            ),
        ),
        422 if is_another(status) => (PublishState::Unavailable, "the object was just made anew".to_owned()),
        400 | 403 | 405 | 413 | 415 | 422 => {
            (PublishState::Refused, format!("the API server refuses the change: {said}"))
        }
        code => (PublishState::Unavailable, format!("the API server answered {code}: {said}")),
    };
    Trouble { state, message }
}

/// Whether the object is not the one any more that was read.
fn is_changed(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 409 && managers(status).is_none())
}

/// Whether the object has another uid than the one that was seen.
fn is_another(status: &Status) -> bool {
    status.details.iter().flat_map(|d| &d.causes).any(|c| c.field == "metadata.uid")
}

/// Who has the fields that are in conflict, by the causes of the answer: `conflict with "kubectl" using v1`.
fn managers(status: &Status) -> Option<String> {
    let causes = status.details.iter().flat_map(|d| &d.causes).filter(|c| c.reason == "FieldManagerConflict");
    let names: BTreeSet<&str> =
        causes.map(|c| c.message.split('"').nth(1).unwrap_or(c.message.as_str())).take(MOST_MANAGERS).collect();
    let names: Vec<String> = names.into_iter().map(|name| format!("{name:?}")).collect();
    (!names.is_empty()).then(|| names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn told(code: u16, message: &str, causes: &serde_json::Value) -> Trouble {
        let status: Status = serde_json::from_value(json!({
            "status": "Failure", "code": code, "message": message, "details": { "causes": causes },
        }))
        .unwrap();
        let object = ObjectRef { api_version: "v1".into(), kind: "ConfigMap".into(), name: "arns".into() };
        trouble(&object, &kube::Error::Api(status.boxed()))
    }

    #[test]
    fn a_conflict_names_the_other_manager() {
        let cause = json!([{ "reason": "FieldManagerConflict", "message": "conflict with \"kubectl-edit\" using v1", "field": ".data.app" }]);
        let trouble = told(409, "Apply failed with 1 conflict", &cause);
        assert_eq!(trouble.state, PublishState::Conflict);
        assert!(trouble.message.starts_with("\"kubectl-edit\" set the same field"), "{}", trouble.message);
        // It is gone, or was made again, since it was looked at.
        assert_eq!(told(409, "uid mismatch", &json!([])).state, PublishState::Unavailable);
        // Or was changed: it is read again.
        let changed = "Operation cannot be fulfilled on configmaps \"arns\": the object has been modified";
        assert_eq!(told(409, changed, &json!([])).state, PublishState::Unavailable);
        let cause =
            json!([{ "reason": "FieldValueInvalid", "message": "field is immutable", "field": "metadata.uid" }]);
        assert_eq!(told(422, "invalid", &cause).state, PublishState::Unavailable);
    }

    #[test]
    fn a_missing_right_names_the_value_that_gives_it() {
        let said =
            "configmaps \"arns\" is forbidden: User \"system:serviceaccount:a:b\" cannot get resource \"configmaps\"";
        let trouble = told(403, said, &json!([]));
        assert_eq!(trouble.state, PublishState::Forbidden);
        assert!(trouble.message.contains("publish.kinds") && trouble.message.contains("ConfigMap"));
        let webhook = "admission webhook \"a.example\" denied the request: no";
        assert_eq!(told(403, webhook, &json!([])).state, PublishState::Refused);
    }

    #[test]
    fn what_may_pass_is_tried_again() {
        for code in [401, 429, 500, 503] {
            assert_eq!(told(code, "no", &json!([])).state, PublishState::Unavailable, "{code}");
        }
        assert_eq!(told(404, "no", &json!([])).state, PublishState::NotFound);
        assert_eq!(told(422, "immutable", &json!([])).state, PublishState::Refused);
    }
}
