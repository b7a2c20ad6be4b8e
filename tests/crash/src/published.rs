//! Other people's objects, and the ARNs that are written into them.

use crate::{
    stand::{Answer, make, until, words},
    world::{World, is_delivered},
};
use arnkeeper::api::{Certificate, conditions::PUBLISHED};
use k8s_openapi::api::{core::v1::ConfigMap, networking::v1::Ingress};
use kube::ResourceExt;
use serde_json::{Value, json};
use std::{collections::BTreeSet, time::Duration};

/// The annotation of the Ingress.
const ANNOTATION: &str = "alb.ingress.kubernetes.io/certificate-arn";

/// An entry for a key of the ConfigMap.
pub fn key(key: &str) -> Value {
    json!({ "target": "edge", "kind": "ConfigMap", "name": "arns", "configMapKey": key })
}

/// An entry for the Ingress, and one for this key of the ConfigMap.
pub fn entries(of: &str) -> Value {
    json!([{ "target": "edge", "kind": "Ingress", "name": "web", "annotation": ANNOTATION }, key(of)])
}

/// Whether all that is wanted is published and nothing else, by the spec as it is now.
fn is_published(certificate: &Certificate) -> bool {
    let conditions = certificate.status.iter().flat_map(|status| &status.conditions);
    let told = conditions.into_iter().find(|c| c.type_ == PUBLISHED).map(|c| c.status == "True");
    is_delivered(certificate, 1) && told == (!certificate.spec.publish.is_empty()).then_some(true)
}

impl World {
    /// Makes the objects; somebody else has something in each.
    pub async fn shelve(&self) -> Answer<()> {
        let backend = json!({ "service": { "name": "web", "port": { "number": 80 } } });
        let ingress = json!({ "metadata": { "name": "web", "annotations": { "example.com/theirs": "kept" } },
            "spec": { "defaultBackend": backend } });
        make(&self.api::<Ingress>(), ingress).await?;
        let map = json!({ "metadata": { "name": "arns" }, "data": { "theirs": "kept" } });
        make(&self.api::<ConfigMap>(), map).await.map(drop)
    }

    /// Waits until what is wanted is published, while the operator is kept alive.
    pub async fn published(&mut self, within: Duration) -> Answer<()> {
        let (api, operator) = (self.api::<Certificate>(), &mut self.operator);
        until("the ARN is published", within, async || {
            operator.keep_alive()?;
            let certificate = api.get_opt("app").await.map_err(words)?;
            Ok(certificate.is_some_and(|certificate| is_published(&certificate)).then_some(()))
        })
        .await
    }

    /// What stands in the objects; nothing, if there are none.
    pub async fn shelf(&self) -> Answer<Value> {
        let ingress = self.api::<Ingress>().get_opt("web").await.map_err(words)?;
        let map = self.api::<ConfigMap>().get_opt("arns").await.map_err(words)?;
        let annotations = ingress.map(|ingress| ingress.annotations().clone());
        Ok(json!({ "annotations": annotations, "keys": map.and_then(|map| map.data) }))
    }
}

/// ARNs that are wanted and do not stand there, or stand there and are not wanted, each with its annotation or key.
pub fn misplaced(shelf: &Value, certificate: &Certificate) -> BTreeSet<(String, String)> {
    let values = [&shelf["annotations"], &shelf["keys"]].into_iter().filter_map(Value::as_object).flatten();
    let values = values.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())));
    let there: BTreeSet<_> = values.filter(|(_, value)| value.starts_with("arn:")).collect();
    let targets = || certificate.status.iter().flat_map(|status| &status.targets);
    let wanted = certificate.spec.publish.iter().filter_map(|entry| {
        let arn = targets().find(|target| target.name == entry.target)?.arn.as_ref()?;
        Some((entry.annotation.clone().or_else(|| entry.config_map_key.clone())?, arn.to_string()))
    });
    there.symmetric_difference(&wanted.collect()).cloned().collect()
}
