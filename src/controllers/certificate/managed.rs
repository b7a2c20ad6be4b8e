//! What a Certificate asks of ACM where that issues it, holds its key and renews it.

use super::{
    Certificates,
    acm::{known_names, seen},
};
use crate::{
    api::names::CertificateArn,
    aws::{error::Kind, inventory::New, port::CertificateOrder},
    controllers::context::account_id,
    core::certificate::{Imported, Observed, acm_managed},
};
use jiff::Timestamp;

impl Certificates {
    pub(super) async fn request_new(&self, o: &mut Observed, name: &str) {
        let Some(order) = acm_managed::order(o) else { return };
        let Some((aws, region)) = self.place(o, name).await else { return };
        if !self.begin(o, name) {
            return;
        }
        match aws.request_certificate(&order).await {
            Ok(arn) => {
                tracing::info!(certificate = %o.name(), namespace = %o.namespace(), target = name, %arn, "requested from ACM");
                let CertificateOrder { tags, .. } = &order;
                let new = New { arn: &arn, names: &known_names(o), tags, imported: false };
                let now = self.context.clock.now();
                self.context.inventory.note_new(&account_id(&*aws), &region, new, now);
                self.begun().remove(&(o.namespace(), o.name(), name.to_owned()));
                o.memory.imported.insert(name.to_owned(), Imported { arn, serial: None, at: now });
                o.memory.refused.remove(name);
                o.memory.target_failures.remove(name);
            }
            Err(error) => self.not_made(o, name, error),
        }
    }

    /// The record carries one call, whatever comes of it.
    pub(super) async fn renew(&self, o: &mut Observed, name: &str, arn: &CertificateArn, record: Timestamp) {
        o.memory.renewal = None;
        let Some((aws, _)) = self.place(o, name).await else { return };
        match aws.renew_certificate(arn).await {
            Ok(()) => {
                tracing::info!(certificate = %o.name(), namespace = %o.namespace(), target = name, %arn, "ACM was asked to renew");
                o.memory.renewal = Some((record, true));
                // What was seen is from before.
                seen(o, name).installed = None;
            }
            Err(error) => self.fail_target(o, name, error),
        }
    }

    /// Certificate, chain and key, decrypted. They stay in this pass.
    pub(super) async fn export(&self, o: &mut Observed, name: &str, arn: &CertificateArn) {
        let Some((aws, _)) = self.place(o, name).await else { return };
        match aws.export_certificate(arn).await {
            Ok(exported) => {
                o.exported = Some(acm_managed::read(exported));
                o.memory.target_failures.remove(name);
            }
            // It was issued a moment ago.
            Err(error) if error.kind == Kind::NotFound => {
                self.fail_target(o, name, crate::aws::error::AwsError { kind: Kind::Transient, ..error });
            }
            Err(error) => self.fail_target(o, name, error),
        }
    }
}
