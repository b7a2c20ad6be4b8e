//! The stand, and a world of its own for every test: a namespace, an AWS account, a private CA.

use crate::{
    aws::{Authority, View},
    sim::Sim,
    tls::Tls,
    wait::{Conditions, eventually, until},
};
use arnkeeper::api::{
    AwsAccount, Certificate, CertificateRequest, RENEW_ANNOTATION,
    certificate::{TargetState, TargetStatus},
    conditions::{PERMISSIONS_VERIFIED, READY, STALLED},
};
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        authorization::v1::SubjectAccessReview,
        core::v1::{Event, Namespace, Secret},
        rbac::v1::{Role, RoleBinding},
    },
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{ListParams, Patch, PatchParams, PostParams},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use std::{env, fmt::Debug};

/// The namespace of the operator and of the credentials.
pub const SYSTEM: &str = "arnkeeper-system";
/// The regions that the tests' accounts allow; the first has the CA.
pub const REGIONS: [&str; 2] = ["eu-west-1", "us-east-1"];
/// AWS's documented example of an access key: both emulators know it as one of account 123456789012.
pub const BASE_KEY: (&str, &str) = ("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");

/// What the tests run against.
#[derive(Clone)]
pub struct Stand {
    pub client: Client,
    pub endpoint: String,
    sim: Option<Sim>,
}

impl Stand {
    /// The stand that the environment names.
    pub async fn get() -> Self {
        let need = |name: &str| {
            env::var(name)
                .unwrap_or_else(|_| panic!("{name} is not set: these tests need a stand, `make test` starts one"))
        };
        need("KUBECONFIG");
        let endpoint = need("AWS_ENDPOINT_URL");
        let sim = match need("ARNKEEPER_AWS").as_str() {
            "sim" => Some(Sim::new(&endpoint)),
            "moto" => None,
            other => panic!("ARNKEEPER_AWS is {other:?}: it must be sim or moto"),
        };
        let client = Client::try_default().await.expect("KUBECONFIG names a cluster");
        Self { client, endpoint, sim }
    }

    /// The control endpoint of the emulator that knows AWS's rules, if it is that one.
    pub fn sim(&self) -> Option<Sim> {
        self.sim.clone()
    }

    /// The same, for a case that moto can't serve: `why` is printed there.
    pub fn sim_because(&self, why: &str) -> Option<Sim> {
        if self.sim.is_none() {
            println!("runs on aws-sim alone: {why}");
        }
        self.sim()
    }
}

/// A test's own namespace and AWS account.
#[derive(Clone)]
pub struct World {
    pub stand: Stand,
    pub namespace: String,
    /// The AWS account id.
    pub id: String,
    /// AWS's partition that the account is in.
    pub partition: &'static str,
    /// The AwsAccount's name, and that of the Secret with its credentials.
    pub account: String,
}

impl World {
    /// A namespace and an account id; the AwsAccount is not made yet.
    pub async fn bare(test: &str) -> Self {
        let stand = Stand::get().await;
        let id = random_account();
        let world = Self {
            namespace: format!("{test}-{}", &id[6..]),
            account: format!("{test}-{id}"),
            partition: "aws",
            stand,
            id,
        };
        world.make_namespace().await;
        world
    }

    /// A namespace, an AwsAccount for it, and a private CA.
    pub async fn new(test: &str) -> (Self, Authority) {
        let world = Self::bare(test).await;
        let authority = Authority::new(&world, json!({})).await;
        world.open_account(json!({})).await;
        (world, authority)
    }

    /// The same, if the emulator is the one that knows AWS's rules.
    pub async fn on_sim(test: &str, why: &str) -> Option<(Self, Authority, Sim)> {
        let sim = Stand::get().await.sim_because(why)?;
        let (world, authority) = Self::new(test).await;
        Some((world, authority, sim))
    }

    pub async fn make_namespace(&self) {
        let namespace: Namespace = from(json!({ "metadata": { "name": self.namespace } }));
        self.namespaces().create(&PostParams::default(), &namespace).await.expect("a namespace");
    }

    /// Another AWS account, with an AwsAccount for the same namespace.
    pub async fn another_account(&self, test: &str) -> Self {
        let id = random_account();
        let other = Self { account: format!("{test}-{id}"), id, ..self.clone() };
        other.open_account(json!({})).await;
        other
    }

    /// The role through which both emulators are entered, as this account.
    pub fn role(&self) -> String {
        format!("arn:{}:iam::{}:role/arnkeeper", self.partition, self.id)
    }

    /// Makes role, credentials and AwsAccount; `spec` goes over the defaults.
    pub async fn open_account(&self, spec: Value) -> AwsAccount {
        if let Some(sim) = self.stand.sim() {
            sim.role(&self.role(), None).await;
        }
        self.put_credentials(BASE_KEY.0, BASE_KEY.1).await;
        self.make_account(spec).await
    }

    /// Waits until the account was looked at, and what is missing of its permissions told: both wake who waits for it.
    pub async fn account_looked_at(&self) {
        let seen = |a: &AwsAccount| a.condition(PERMISSIONS_VERIFIED).is_some_and(|c| c.reason != "NotVerifiedYet");
        let looked = |a: &AwsAccount| a.is(READY) && seen(a);
        let what = "Ready, and its permissions looked at";
        until(&self.accounts(), &self.account, what, looked).await;
    }

    /// Makes the AwsAccount alone.
    pub async fn make_account(&self, spec: Value) -> AwsAccount {
        let mut account = json!({ "metadata": { "name": self.account }, "spec": {
            "accountId": self.id,
            "credentials": { "accessKeys": { "secretRef": { "name": self.account } } },
            "assumeRoles": [{ "roleArn": self.role() }],
            "regions": REGIONS,
            "allowedNamespaces": { "from": "Names", "names": [self.namespace] },
        } });
        merge(&mut account["spec"], spec);
        self.make(&self.accounts(), account).await
    }

    /// The Secret with the credentials, as it shall be now.
    pub async fn put_credentials(&self, id: &str, secret: &str) {
        self.put_keys(json!({ "accessKeyId": id, "secretAccessKey": secret })).await;
    }

    /// The same, with temporary ones.
    pub async fn put_temporary_credentials(&self, id: &str, secret: &str, token: &str) {
        self.put_keys(json!({ "accessKeyId": id, "secretAccessKey": secret, "sessionToken": token })).await;
    }

    async fn put_keys(&self, keys: Value) {
        let object = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": self.account },
            "stringData": keys });
        let how = PatchParams::apply("e2e").force();
        self.credentials().patch(&self.account, &how, &Patch::Apply(object)).await.expect("credentials");
    }

    /// The Secrets with credentials.
    pub fn credentials(&self) -> Api<Secret> {
        Api::namespaced(self.stand.client.clone(), SYSTEM)
    }

    pub fn accounts(&self) -> Api<AwsAccount> {
        Api::all(self.stand.client.clone())
    }

    pub fn namespaces(&self) -> Api<Namespace> {
        Api::all(self.stand.client.clone())
    }

    pub fn api<K: Resource<DynamicType = (), Scope = NamespaceResourceScope>>(&self) -> Api<K> {
        Api::namespaced(self.stand.client.clone(), &self.namespace)
    }

    pub fn certificates(&self) -> Api<Certificate> {
        self.api()
    }

    pub fn requests(&self) -> Api<CertificateRequest> {
        self.api()
    }

    pub fn secrets(&self) -> Api<Secret> {
        self.api()
    }

    /// Creates an object.
    pub async fn make<K>(&self, api: &Api<K>, object: Value) -> K
    where
        K: Resource + Clone + Debug + Serialize + DeserializeOwned,
    {
        let object: K = from(object);
        api.create(&PostParams::default(), &object)
            .await
            .unwrap_or_else(|error| panic!("{object:?} is refused: {error}"))
    }

    /// A DNS name under this namespace's own domain.
    pub fn domain(&self, name: &str) -> String {
        format!("{name}.{}.example", self.namespace)
    }

    /// The manifest of a Certificate `name` from this CA, kept in the Secret `<name>-tls`. `spec` goes over the defaults.
    ///
    /// It lasts a week, the longest that the CAs of both emulators sign for.
    pub fn certificate_manifest(&self, name: &str, authority: &Authority, spec: Value) -> Value {
        let mut certificate = json!({ "apiVersion": "arnkeeper.dev/v1beta1", "kind": "Certificate",
            "metadata": { "name": name, "namespace": self.namespace }, "spec": {
                "accountRef": { "name": self.account }, "region": REGIONS[0], "duration": "168h",
                "source": { "privateCa": { "certificateAuthority": { "arn": authority.arn } } },
                "subject": { "domainName": self.domain(name) },
                "secret": { "name": secret_name(name) },
        } });
        merge(&mut certificate["spec"], spec);
        certificate
    }

    /// Creates a Certificate.
    pub async fn certificate(&self, name: &str, authority: &Authority, spec: Value) -> Certificate {
        self.make(&self.certificates(), self.certificate_manifest(name, authority, spec)).await
    }

    /// Creates a Certificate and waits until it is Ready.
    pub async fn issued(&self, name: &str, authority: &Authority, spec: Value) -> Certificate {
        self.certificate(name, authority, spec).await;
        self.ready(name).await
    }

    /// Waits until a Certificate is Ready, by its spec as it is now.
    pub async fn ready(&self, name: &str) -> Certificate {
        until(&self.certificates(), name, "Ready", |c| c.is(READY)).await
    }

    /// Waits until a Certificate is Ready and delivered, with this many revisions behind it.
    pub async fn revision(&self, name: &str, revision: i64) -> Certificate {
        until(&self.certificates(), name, &format!("revision {revision} delivered"), |c| {
            let status = c.status.as_ref();
            let delivered = |t: &TargetStatus| {
                t.state == TargetState::Delivered && t.serial_number == status.and_then(|s| s.serial_number.clone())
            };
            c.is(READY) && status.is_some_and(|s| s.revision == Some(revision) && s.targets.iter().all(delivered))
        })
        .await
    }

    /// Waits until a Certificate is Stalled for this reason.
    pub async fn stalled(&self, name: &str, reason: &str) -> Certificate {
        until(&self.certificates(), name, &format!("Stalled: {reason}"), |c| {
            c.is(STALLED) && c.because(STALLED, reason)
        })
        .await
    }

    /// The manifest of a CertificateRequest for this CSR, to be signed at once. `spec` goes over the defaults.
    pub fn request_manifest(&self, name: &str, authority: &Authority, spec: Value) -> Value {
        let mut request = json!({ "apiVersion": "arnkeeper.dev/v1beta1", "kind": "CertificateRequest",
            "metadata": { "name": name, "namespace": self.namespace }, "spec": {
                "accountRef": { "name": self.account }, "region": REGIONS[0], "duration": "168h",
                "certificateAuthority": { "arn": authority.arn },
                "signature": { "justification": "a test asks for it" },
        } });
        merge(&mut request["spec"], spec);
        request
    }

    /// Creates a CertificateRequest.
    pub async fn request(&self, name: &str, authority: &Authority, spec: Value) -> CertificateRequest {
        self.make(&self.requests(), self.request_manifest(name, authority, spec)).await
    }

    /// Waits until a CertificateRequest is signed.
    pub async fn signed(&self, name: &str) -> CertificateRequest {
        until(&self.requests(), name, "Ready: Signed", |r| r.is(READY) && r.because(READY, "Signed")).await
    }

    /// Waits until a CertificateRequest is Stalled for this reason.
    pub async fn request_stalled(&self, name: &str, reason: &str) -> CertificateRequest {
        until(&self.requests(), name, &format!("Stalled: {reason}"), |r| r.is(STALLED) && r.because(STALLED, reason))
            .await
    }

    /// The notes of the events about an object that have this reason, as soon as there is one.
    pub async fn events(&self, uid: &str, reason: &str) -> Vec<String> {
        let about = ListParams::default().fields(&format!("involvedObject.uid={uid},reason={reason}"));
        eventually(&format!("an event {reason}"), || async {
            let list = self.api::<Event>().list(&about).await.map_err(|e| e.to_string())?.items;
            let notes: Vec<String> = list.into_iter().filter_map(|event| event.message).collect();
            if notes.is_empty() { Err("none yet".into()) } else { Ok(notes) }
        })
        .await
    }

    /// Changes an object by a JSON merge patch.
    pub async fn change<K>(&self, api: &Api<K>, name: &str, patch: Value) -> K
    where
        K: Resource + Clone + Debug + DeserializeOwned,
    {
        api.patch(name, &PatchParams::default(), &Patch::Merge(patch))
            .await
            .unwrap_or_else(|error| panic!("{name} can't be changed: {error}"))
    }

    /// Forces a renewal.
    pub async fn renew(&self, certificate: &str) {
        // Two seconds ago: the operator goes by the API server's clock, which tells whole seconds. So does a status, and what
        // is asked for in the second of what came last counts as answered.
        let now = eventually("what came last is more than two seconds old", || async {
            let there = self.certificates().get(certificate).await.map_err(|e| e.to_string())?;
            let targets = there.status.into_iter().flat_map(|status| status.targets);
            let last = targets.filter_map(|target| target.imported_at).map(|at| at.0.as_second()).max();
            let now = jiff::Timestamp::now() - jiff::SignedDuration::from_secs(2);
            if last < Some(now.as_second()) { Ok(now) } else { Err(format!("{last:?}")) }
        })
        .await;
        self.change(
            &self.certificates(),
            certificate,
            json!({ "metadata": { "annotations": { RENEW_ANNOTATION: now.to_string() } } }),
        )
        .await;
    }

    /// Forgets what the status of a Certificate says, as a restore does.
    pub async fn wipe_status(&self, name: &str) {
        eventually("the status is wiped", || async {
            let mut certificate = self.certificates().get(name).await.map_err(|e| e.to_string())?;
            certificate.status = None;
            let stored = self.certificates().replace_status(name, &PostParams::default(), &certificate).await;
            stored.map_err(|e| e.to_string())
        })
        .await;
    }

    /// What the Secret of a Certificate holds.
    pub async fn tls(&self, certificate: &str) -> Tls {
        Tls::of(&self.secrets().get(&secret_name(certificate)).await.expect("the Secret"))
    }

    /// What ACM has in a region of this account.
    pub async fn acm(&self, region: &str) -> View {
        View::new(self, region).await
    }

    /// Asserts how many certificates were paid for in this account. Only aws-sim keeps a ledger.
    pub async fn assert_paid(&self, count: usize) {
        if let Some(sim) = self.stand.sim() {
            assert_eq!(sim.effective(&self.id, "IssueCertificate").await, count, "certificates that were paid for");
        }
    }

    /// Asserts that IssueCertificate was not even called in this account.
    pub async fn assert_nothing_asked(&self) {
        if let Some(sim) = self.stand.sim() {
            assert!(sim.calls(&self.id, "IssueCertificate").await.is_empty(), "IssueCertificate was called");
        }
    }
}

/// Lets the operator publish into a namespace, as a release with `publish.kinds` may, and waits until that holds.
pub async fn let_publish(client: &Client, namespace: &str) {
    let account = json!({ "kind": "ServiceAccount", "name": "arnkeeper", "namespace": SYSTEM });
    let verbs = ["get", "patch"];
    let role: Role = from(json!({ "metadata": { "name": "publish" }, "rules": [
        { "apiGroups": [""], "resources": ["configmaps", "services"], "verbs": verbs },
        { "apiGroups": ["networking.k8s.io"], "resources": ["ingresses", "networkpolicies"], "verbs": verbs },
    ] }));
    let binding: RoleBinding = from(json!({ "metadata": { "name": "publish" }, "subjects": [account],
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "publish" } }));
    let how = PatchParams::apply("e2e").force();
    let roles: Api<Role> = Api::namespaced(client.clone(), namespace);
    roles.patch("publish", &how, &Patch::Apply(&role)).await.expect("a Role");
    let bindings: Api<RoleBinding> = Api::namespaced(client.clone(), namespace);
    bindings.patch("publish", &how, &Patch::Apply(&binding)).await.expect("a RoleBinding");
    let review: SubjectAccessReview =
        from(json!({ "spec": { "user": format!("system:serviceaccount:{SYSTEM}:arnkeeper"),
        "resourceAttributes": { "namespace": namespace, "verb": "patch", "resource": "configmaps" } } }));
    let reviews: Api<SubjectAccessReview> = Api::all(client.clone());
    eventually("the operator may publish", || async {
        let answer = reviews.create(&PostParams::default(), &review).await.map_err(|e| e.to_string())?;
        if answer.status.is_some_and(|s| s.allowed) { Ok(()) } else { Err("not yet".into()) }
    })
    .await;
}

/// The Secret of the tests' Certificate of this name.
pub fn secret_name(certificate: &str) -> String {
    format!("{certificate}-tls")
}

/// The target of a Certificate's status.
pub fn target<'a>(certificate: &'a Certificate, name: &str) -> &'a TargetStatus {
    let targets = certificate.status.iter().flat_map(|s| &s.targets);
    targets
        .into_iter()
        .find(|t| t.name == name)
        .unwrap_or_else(|| panic!("{} has no target {name:?}", certificate.name_any()))
}

/// The ARN of a target.
pub fn arn(certificate: &Certificate, target_name: &str) -> String {
    target(certificate, target_name)
        .arn
        .as_ref()
        .unwrap_or_else(|| panic!("target {target_name:?} has no ARN"))
        .to_string()
}

/// The object that this JSON is.
pub fn from<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap_or_else(|error| panic!("a test's own object is malformed: {error}"))
}

/// Puts `over` over `value`, as a JSON merge patch does.
pub fn merge(value: &mut Value, over: Value) {
    match (value, over) {
        (Value::Object(fields), Value::Object(over)) => {
            for (key, field) in over {
                if field.is_null() {
                    fields.remove(&key);
                } else {
                    merge(fields.entry(key).or_insert(Value::Null), field);
                }
            }
        }
        (value, over) => *value = over,
    }
}

/// Twelve digits that no other test has.
pub fn random_account() -> String {
    let mut bytes = [0; 8];
    aws_lc_rs::rand::fill(&mut bytes).expect("random bytes");
    format!("{:012}", 100_000_000_000 + u64::from_le_bytes(bytes) % 800_000_000_000)
}
