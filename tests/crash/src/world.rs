//! A case's own namespace, AWS account, private CA and operator.

use crate::{
    process::Operator,
    stand::{Answer, Entry, Sim, Stand, make, until, words},
};
use arnkeeper::api::{AwsAccount, Certificate, CertificateRequest};
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        core::v1::{Namespace, Secret},
        rbac::v1::{Role, RoleBinding},
    },
};
use kube::{
    Api, Resource, ResourceExt,
    api::{DeleteParams, Patch, PatchParams},
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// The namespace of the release.
const SYSTEM: &str = "arnkeeper-system";
/// AWS's documented example of an access key, which aws-sim knows.
const KEY: (&str, &str) = ("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
/// What is far too long for anything on the stand that waits for nothing.
pub const SOON: Duration = Duration::from_mins(1);

/// The last AWS account that was given away. It begins by the time: a second run on the same stand has others.
static LAST: LazyLock<AtomicU64> = LazyLock::new(|| {
    let seconds = jiff::Timestamp::now().as_second().unsigned_abs();
    AtomicU64::new(100_000_000_000 + seconds % 80_000_000 * 10_000)
});

/// A case's own world.
pub struct World {
    /// The stand around it.
    pub stand: Stand,
    /// Its AWS: the stand's, or one of its own whose clock it may move.
    pub sim: Sim,
    /// The namespace: that of the objects, of the credentials and of the operator.
    pub namespace: String,
    /// The AWS account's id.
    pub account: String,
    /// The private CA.
    pub authority: String,
    /// The operator.
    pub operator: Operator,
}

impl World {
    /// A world whose AwsAccount is ready.
    pub async fn new(stand: &Stand, sim: &Sim, name: &str) -> Answer<Self> {
        let account = LAST.fetch_add(1, Ordering::Relaxed).to_string();
        let namespace = format!("{}-{account}", name.to_ascii_lowercase());
        let made = async {
            let namespaces: Api<Namespace> = Api::all(stand.client.clone());
            make(&namespaces, json!({ "metadata": { "name": namespace } })).await?;
            lend_rights(stand, &namespace).await?;
            let role = format!("arn:aws:iam::{account}:role/arnkeeper");
            sim.post("roles", json!({ "arn": role })).await?;
            let ca = json!({ "account": account, "region": "eu-west-1", "commonName": "Example Private CA" });
            let authority = sim.post("authorities", ca).await?["arn"].as_str().unwrap_or_default().to_owned();
            let secrets: Api<Secret> = Api::namespaced(stand.client.clone(), &namespace);
            let keys = json!({ "accessKeyId": KEY.0, "secretAccessKey": KEY.1 });
            make(&secrets, json!({ "metadata": { "name": "credentials" }, "stringData": keys })).await?;
            let accounts: Api<AwsAccount> = Api::all(stand.client.clone());
            let spec = json!({ "accountId": account, "regions": ["eu-west-1", "us-east-1"],
                "credentials": { "accessKeys": { "secretRef": { "name": "credentials" } } },
                "assumeRoles": [{ "roleArn": role }],
                "allowedNamespaces": { "from": "Names", "names": [namespace] } });
            make(&accounts, json!({ "metadata": { "name": namespace }, "spec": spec })).await?;
            Ok::<_, String>(authority)
        };
        let authority = made.await.map_err(|error| format!("the world could not be made: {error}"))?;
        let operator = Operator::new(stand, &sim.url, &namespace, &namespace, "arnkeeper-0").await?;
        let (stand, sim) = (stand.clone(), sim.clone());
        let mut world = Self { stand, sim, namespace, account, authority, operator };
        world.operator.start()?;
        let accounts = world.accounts();
        until("the AwsAccount is ready", SOON, async || {
            world.operator.keep_alive()?;
            let account = accounts.get(&world.namespace).await.map_err(words)?;
            let conditions = account.status.map(|status| status.conditions).unwrap_or_default();
            let ready = conditions.iter().any(|c| c.type_ == "Ready" && c.status == "True");
            // What it may do is looked at afterwards; the scenario begins when nothing is left to do for the account.
            let asked = conditions.iter().any(|c| c.type_ == "PermissionsVerified" && c.reason != "NotVerifiedYet");
            Ok((ready && asked).then_some(()))
        })
        .await?;
        Ok(world)
    }

    fn accounts(&self) -> Api<AwsAccount> {
        Api::all(self.stand.client.clone())
    }

    /// The API of a kind in the namespace.
    pub fn api<K: Resource<DynamicType = (), Scope = NamespaceResourceScope>>(&self) -> Api<K> {
        Api::namespaced(self.stand.client.clone(), &self.namespace)
    }

    /// Creates the Certificate `app`; `more` goes over its spec, field by field.
    pub async fn certificate(&self, more: Value) -> Answer<()> {
        let mut spec = json!({
            "accountRef": { "name": self.namespace }, "region": "eu-west-1", "duration": "168h",
            "source": { "privateCa": { "certificateAuthority": { "arn": self.authority } } },
            "subject": { "domainName": format!("app.{}.example", self.namespace) },
            "secret": { "name": "app-tls" }, "acm": [{ "name": "edge" }],
        });
        for (field, value) in more.as_object().into_iter().flatten() {
            spec[field] = value.clone();
        }
        if let Some(fields) = spec.as_object_mut() {
            fields.retain(|_, value| !value.is_null());
        }
        make(&self.api::<Certificate>(), json!({ "metadata": { "name": "app" }, "spec": spec })).await.map(drop)
    }

    /// Changes it.
    pub async fn change(&self, patch: Value) -> Answer<()> {
        let api = self.api::<Certificate>();
        api.patch("app", &PatchParams::default(), &Patch::Merge(patch)).await.map(drop).map_err(words)
    }

    /// Deletes it.
    pub async fn delete(&self) -> Answer<()> {
        self.api::<Certificate>().delete("app", &DeleteParams::default()).await.map(drop).map_err(words)
    }

    /// Changes the AwsAccount.
    pub async fn change_account(&self, patch: Value) -> Answer<()> {
        let changed = self.accounts().patch(&self.namespace, &PatchParams::default(), &Patch::Merge(patch)).await;
        changed.map(drop).map_err(words)
    }

    /// Deletes the Certificate and its Secret, and waits until its requests are gone.
    pub async fn forget(&mut self) -> Answer<()> {
        self.delete().await?;
        self.api::<Secret>().delete("app-tls", &DeleteParams::default()).await.map(drop).map_err(words)?;
        let requests = self.api::<CertificateRequest>();
        until("the requests are gone", SOON, async || {
            self.operator.keep_alive()?;
            let left = requests.list(&kube::api::ListParams::default()).await.map_err(words)?;
            Ok(left.items.is_empty().then_some(()))
        })
        .await
    }

    /// It, as it is now.
    pub async fn look(&self) -> Answer<Option<Certificate>> {
        self.api::<Certificate>().get_opt("app").await.map_err(words)
    }

    /// All that there is in the namespace besides the credentials.
    pub async fn objects(&self) -> Answer<Objects> {
        let all = kube::api::ListParams::default();
        let certificate = self.look().await?;
        let mut requests = self.api::<CertificateRequest>().list(&all).await.map_err(words)?.items;
        let mut secrets = self.api::<Secret>().list(&all).await.map_err(words)?.items;
        secrets.retain(|secret| secret.name_any() != "credentials");
        requests.sort_by_key(ResourceExt::name_any);
        secrets.sort_by_key(ResourceExt::name_any);
        Ok(Objects { certificate, requests, secrets })
    }

    /// What was called in its AWS account.
    pub async fn ledger(&self) -> Answer<Vec<Entry>> {
        self.sim.ledger(&self.account).await
    }

    /// Waits until this revision is in the Secret and at every target, while the operator is kept alive.
    pub async fn delivered(&mut self, revision: i64, within: Duration) -> Answer<()> {
        let what = format!("revision {revision} is delivered");
        let (api, operator) = (self.api::<Certificate>(), &mut self.operator);
        until(&what, within, async || {
            operator.keep_alive()?;
            let certificate = api.get_opt("app").await.map_err(words)?;
            Ok(certificate.is_some_and(|certificate| is_delivered(&certificate, revision)).then_some(()))
        })
        .await
    }

    /// Removes the AwsAccount and the namespace: what is over costs nobody anything.
    pub async fn end(mut self) -> Answer<()> {
        self.operator.kill().await?;
        let now = DeleteParams::background();
        self.accounts().delete(&self.namespace, &now).await.map_err(words)?;
        let finalizers = json!({ "metadata": { "finalizers": null } });
        if self.look().await?.is_some() {
            self.change(finalizers).await?;
        }
        let namespaces: Api<Namespace> = Api::all(self.stand.client.clone());
        namespaces.delete(&self.namespace, &now).await.map(drop).map_err(words)
    }
}

/// What is in a namespace.
pub struct Objects {
    /// The Certificate `app`.
    pub certificate: Option<Certificate>,
    /// Its requests.
    pub requests: Vec<CertificateRequest>,
    /// The Secrets but the credentials.
    pub secrets: Vec<Secret>,
}

/// Whether this revision is Ready by the spec as it is now, and every target has it.
pub fn is_delivered(certificate: &Certificate, revision: i64) -> bool {
    let Some(status) = &certificate.status else { return false };
    let ready = status.conditions.iter().any(|c| c.type_ == "Ready" && c.status == "True");
    let targets = serde_json::to_value(&status.targets).unwrap_or_default();
    let serial = json!(status.serial_number);
    let delivered = |target: &Value| target["state"] == "Delivered" && target["serialNumber"] == serial;
    ready
        && status.observed_generation == certificate.metadata.generation
        && status.revision == Some(revision)
        && targets.as_array().is_some_and(|all| all.len() == certificate.spec.acm.len() && all.iter().all(delivered))
}

/// The operator's own namespace is the case's: it gets there the rights that the chart gives in the release's.
async fn lend_rights(stand: &Stand, namespace: &str) -> Answer<()> {
    let roles: Api<Role> = Api::namespaced(stand.client.clone(), SYSTEM);
    let granted = roles.get("arnkeeper").await.map_err(words)?;
    let role = json!({ "metadata": { "name": "arnkeeper" }, "rules": granted.rules });
    make(&Api::<Role>::namespaced(stand.client.clone(), namespace), role).await?;
    let binding = json!({ "metadata": { "name": "arnkeeper" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "arnkeeper" },
        "subjects": [{ "kind": "ServiceAccount", "name": "arnkeeper", "namespace": SYSTEM }] });
    make(&Api::<RoleBinding>::namespaced(stand.client.clone(), namespace), binding).await.map(drop)
}

/// The certificates that are in ACM, by ARN: the leaf that was imported last, as it was sent; nothing, where ACM issues it.
pub fn in_acm(ledger: &[Entry]) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for entry in ledger.iter().filter(|entry| entry.effective) {
        let Some(arn) = &entry.arn else { continue };
        match entry.operation.as_str() {
            "ImportCertificate" | "RequestCertificate" => {
                all.insert(arn.clone(), entry.body["Certificate"].as_str().unwrap_or_default().to_owned());
            }
            "DeleteCertificate" => drop(all.remove(arn)),
            _ => {}
        }
    }
    all
}
