//! What a Certificate asks of ACM where that issues it, holds its key and renews it.

use super::{
    Certificates,
    acm::{self, seen},
};
use crate::{
    api::names::CertificateArn,
    aws::{
        error::{AwsError, Kind},
        inventory::New,
        paced::quotas::Operation,
        port::CertificateOrder,
    },
    controllers::context::account_id,
    core::certificate::{Imported, Observed, acm_managed, search},
};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

impl Certificates {
    pub(super) async fn request_new(&self, o: &mut Observed, name: &str) {
        let Some(order) = acm_managed::order(o) else { return };
        let Some((aws, region)) = self.place(o, name).await else { return };
        let Some(record) = acm::entry(o, name).and_then(|t| t.pending_since.clone()) else { return };
        if !self.begin(o, name) {
            // The next record is another one.
            o.counted = None;
            return;
        }
        self.calls(o, record.0);
        let answer = aws.request_certificate(&order).await;
        self.answered(o, record.0, answer.as_ref().err());
        match answer {
            Ok(arn) => {
                tracing::info!(certificate = %o.name(), namespace = %o.namespace(), target = name, %arn, "requested from ACM");
                let CertificateOrder { tags, .. } = &order;
                let new = New { arn: &arn, names: &search::known_names(o), tags, imported: false };
                let now = self.context.clock.now();
                self.context.inventory.note_new(&account_id(&*aws), &region, new, now);
                self.begun().remove(&(o.namespace(), o.name(), name.to_owned()));
                o.memory.imported.insert(name.to_owned(), Imported { arn, serial: None, content: None, at: now });
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
        self.calls(o, record);
        let answer = aws.renew_certificate(arn).await;
        self.answered(o, record, answer.as_ref().err());
        match answer {
            Ok(()) => {
                tracing::info!(certificate = %o.name(), namespace = %o.namespace(), target = name, %arn, "ACM was asked to renew");
                o.memory.renewal = Some((record, true));
                // What was seen is from before.
                seen(o, name).installed = None;
                Self::well(o, name, &[Operation::RenewCertificate]);
            }
            Err(error) => {
                if error.kind != Kind::Transient {
                    o.memory.refused.insert(name.to_owned(), Some(Time(record)));
                }
                self.fail_target(o, name, error);
            }
        }
    }

    /// Room for what ACM is to be asked for, under this time.
    pub(super) fn budget(&self, o: &mut Observed, at: Timestamp) {
        let (account, uid) = (o.certificate.spec.account_ref.name.clone(), o.uid());
        let mut spending = self.context.spending();
        let taken = spending.take_managed(&account, &uid, at, self.context.clock.now());
        o.asked = spending.known(&uid, self.context.clock.now());
        o.counted = Some((at, taken));
    }

    fn calls(&self, o: &mut Observed, record: Timestamp) {
        o.counted = None;
        let account = &o.certificate.spec.account_ref.name;
        self.context.spending().calls_managed(account, &o.uid(), record, self.context.clock.now());
    }

    /// Only an answer that says no proves that nothing was paid for.
    fn answered(&self, o: &mut Observed, record: Timestamp, error: Option<&AwsError>) {
        let (account, uid) = (&o.certificate.spec.account_ref.name, o.uid());
        let mut spending = self.context.spending();
        match error {
            Some(error) if error.kind != Kind::Transient => spending.take_back(account, &uid, record),
            _ => spending.made_managed(account, &uid, record),
        }
        let known = spending.known(&uid, self.context.clock.now());
        drop(spending);
        o.asked = known;
    }

    /// Certificate, chain and key, decrypted. They stay in this pass.
    pub(super) async fn export(&self, o: &mut Observed, name: &str, arn: &CertificateArn) {
        let Some((aws, _)) = self.place(o, name).await else { return };
        match aws.export_certificate(arn).await {
            Ok(exported) => {
                o.exported = Some(acm_managed::read(exported));
                Self::well(o, name, &[Operation::ExportCertificate]);
            }
            // It was issued a moment ago.
            Err(error) if error.kind == Kind::NotFound => {
                self.fail_target(o, name, AwsError { kind: Kind::Transient, ..error });
            }
            Err(error) => self.fail_target(o, name, error),
        }
    }
}
