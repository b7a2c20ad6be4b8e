//! What a Certificate changes in Kubernetes, one object at a time.

use super::Certificates;
use crate::{
    api::{Certificate, CertificateRequest},
    core::{
        access::Refusal,
        certificate::{FINALIZER, Observed, is_staged_by, left_behind, request_name, staged_name, write},
        keystores::Password,
    },
    pki::{algorithm::KeyAlgorithm, key::PrivateKey},
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions},
    core::Status,
};
use serde_json::json;
use std::{sync::Arc, time::Instant};

impl Certificates {
    pub(super) async fn stage(
        &self,
        o: &mut Observed,
        revision: i64,
        algorithm: KeyAlgorithm,
        keep_key: bool,
    ) -> Result<(), kube::Error> {
        let key = if keep_key { kept_key(o) } else { self.context.keys.take(&o.uid(), algorithm) };
        o.memory.unstaged = None;
        match key.and_then(|key| write::staged(o, revision, &key, self.context.clock.now())) {
            Err(message) => o.authority = Some(Err(Refusal { reason: "InvalidSubject", message })),
            Ok(secret) => match self.context.put_secret(&secret).await {
                Ok(staged) => {
                    o.staged.insert(revision, Some(staged));
                }
                // An earlier pass made it, or somebody else: what is there decides.
                Err(kube::Error::Api(status)) if status.is_already_exists() => self.see_staged(o, revision).await?,
                Err(error) => return Err(error),
            },
        }
        Ok(())
    }

    /// The password of the keystores.
    pub(super) async fn password(&self, o: &mut Observed) -> Result<(), kube::Error> {
        let Some(keystores) = &o.certificate.spec.secret.keystores else { return Ok(()) };
        let of = &keystores.pkcs12.password_secret_ref;
        let secret = self.context.secret(&o.namespace(), &of.name).await?;
        o.password = Some(Password::read(secret.as_ref(), &of.name, &of.key));
        Ok(())
    }

    /// The whole request: the store's lacks the certificate once it is signed.
    pub(super) async fn see_request(&self, o: &mut Observed, revision: i64) -> Result<(), kube::Error> {
        let (namespace, name) = (o.namespace(), request_name(&o.name(), revision));
        let known = o.requests.get(&revision).and_then(|r| r.uid());
        let just_signed = self.context.take_signed(&namespace, &name);
        let request = if let Some(request) = just_signed.filter(|r| r.uid() == known) {
            Some(Arc::new(request))
        } else {
            let api: Api<CertificateRequest> = Api::namespaced(self.context.client.clone(), &namespace);
            api.get_opt(&name).await?.map(Arc::new)
        };
        o.read_requests.insert(revision);
        match request {
            Some(request) => drop(o.requests.insert(revision, request)),
            None => drop(o.requests.remove(&revision)),
        }
        Ok(())
    }

    pub(super) async fn see_staged(&self, o: &mut Observed, revision: i64) -> Result<(), kube::Error> {
        let (namespace, name) = (o.namespace(), staged_name(&o.name(), revision));
        let just_staged = self.context.staged.take(&namespace, &name, Instant::now());
        let staged = match just_staged.filter(|staged| is_staged_by(o, staged)) {
            Some(staged) => Some(staged),
            None => self.context.secret(&namespace, &name).await?,
        };
        o.staged.insert(revision, staged);
        Ok(())
    }

    pub(super) async fn request(&self, o: &mut Observed, revision: i64, trigger: &str) -> Result<(), kube::Error> {
        let Some(request) = write::request(o, revision, trigger, self.context.clock.now()) else {
            // A staged Secret without a CSR is of no use to anybody.
            self.delete_staged(o, revision).await?;
            o.staged.remove(&revision);
            return Ok(());
        };
        // Its next reader is this process, in a moment.
        if let Some(Some(staged)) = o.staged.remove(&revision) {
            self.context.staged.put(&o.namespace(), &staged_name(&o.name(), revision), staged, Instant::now());
        }
        let api: Api<CertificateRequest> = Api::namespaced(self.context.client.clone(), &o.namespace());
        let stored = match api.create(&PostParams::default(), &request).await {
            Err(kube::Error::Api(status)) if status.is_already_exists() => api.get(&request.name_any()).await,
            other => other,
        };
        let stored = Arc::new(stored?);
        o.memory.happened.extend(write::lost(o, self.context.clock.now()));
        o.requests.insert(revision, stored);
        Ok(())
    }

    /// What is written to ACM, and to other people's objects, carries no resourceVersion of the Certificate, so the one that it was
    /// decided on is compared just before: who was frozen must not delete the ARN that another process stored meanwhile, nor
    /// publish by a spec that is not wanted any more.
    pub(super) async fn unchanged(&self, o: &Observed) -> Result<(), kube::Error> {
        let api: Api<Certificate> = Api::namespaced(self.context.client.clone(), &o.namespace());
        let now = api.get(&o.name()).await?;
        if (now.uid(), now.resource_version()) == (o.certificate.uid(), o.certificate.resource_version()) {
            return Ok(());
        }
        let message = "the Certificate was changed since it was decided what to do for it";
        Err(kube::Error::Api(Status::failure(message, "Conflict").with_code(409).boxed()))
    }

    pub(super) async fn delete_staged(&self, o: &mut Observed, revision: i64) -> Result<(), kube::Error> {
        let uid = o.staged.get(&revision).and_then(|s| s.as_ref()).and_then(|s| s.version().0);
        let (namespace, name) = (o.namespace(), staged_name(&o.name(), revision));
        drop(self.context.staged.take(&namespace, &name, Instant::now()));
        self.context.delete_secret(&namespace, &name, uid).await?;
        o.staged.insert(revision, None);
        o.memory.unstaged = Some(revision);
        Ok(())
    }

    pub(super) async fn delete_request(&self, o: &mut Observed, name: &str) -> Result<(), kube::Error> {
        let api: Api<CertificateRequest> = Api::namespaced(self.context.client.clone(), &o.namespace());
        let request = o.requests.values().find(|r| r.name_any() == name);
        // One that a person signs in this moment stays.
        let unsigned = request.filter(|r| r.spec.signature.is_none());
        let resource_version = unsigned.and_then(|r| r.resource_version());
        let preconditions = Some(Preconditions { uid: request.and_then(|r| r.uid()), resource_version });
        match api.delete(name, &DeleteParams { preconditions, ..DeleteParams::default() }).await {
            Err(kube::Error::Api(status)) if status.is_not_found() => {}
            other => drop(other?),
        }
        o.forget_request(name);
        if let Some(revision) = o.memory.unstaged {
            drop(self.context.staged.take(&o.namespace(), &staged_name(&o.name(), revision), Instant::now()));
        }
        Ok(())
    }

    /// Sets or takes away our finalizer; the others stay. The resourceVersion guards them.
    pub(super) async fn finalizer(&self, o: &mut Observed, wanted: bool) -> Result<(), kube::Error> {
        let mut finalizers: Vec<String> =
            o.certificate.finalizers().iter().filter(|f| *f != FINALIZER).cloned().collect();
        if wanted {
            finalizers.push(FINALIZER.to_owned());
        }
        let patch =
            json!({ "metadata": { "finalizers": finalizers, "resourceVersion": o.certificate.resource_version() } });
        let api: Api<Certificate> = Api::namespaced(self.context.client.clone(), &o.namespace());
        let left = if wanted { vec![] } else { left_behind(o, self.context.clock.now()) };
        o.certificate = Arc::new(api.patch(&o.name(), &PatchParams::default(), &Patch::Merge(&patch)).await?);
        for event in &left {
            // A namespace that ends takes no event.
            tracing::warn!(certificate = o.name(), namespace = o.namespace(), "{}", event.note);
        }
        o.memory.happened.extend(left);
        Ok(())
    }
}

fn kept_key(o: &Observed) -> Result<PrivateKey, String> {
    let pair = o.current().ok_or("the key in the Secret can't be used")?;
    PrivateKey::from_pem(&pair.key.to_pkcs8_pem()).map_err(|e| e.to_string())
}
