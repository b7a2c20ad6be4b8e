//! Everything that ACM has in a place, for who wants to show it: nothing of it is kept but what the others need, too.

use super::{Inventory, Need, SWEEP_GAPS, is_kept, later};
use crate::{
    api::{
        names::{CertificateArn, Region},
        shared::Tags,
    },
    aws::{
        error::{AwsError, Kind},
        port::{Aws, Summary},
    },
    clock::Clock,
};
use jiff::Timestamp;

/// The answer to who wants to see everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listing {
    /// All certificates, with what else the list says of them.
    All(Vec<Summary>),
    /// It is too soon for another list.
    NotYet {
        /// Ask again then, not before.
        until: Timestamp,
    },
}

impl Inventory {
    /// All certificates of an account (that of `aws`) and region, imported or not, by a list that begins now, if it may. Whoever
    /// asks for candidates shares it.
    ///
    /// # Errors
    /// Those of the list.
    pub async fn all(&self, aws: &dyn Aws, region: &Region, clock: &dyn Clock) -> Result<Listing, AwsError> {
        let place = self.place(&aws.identity().account, region);
        let _calls = place.calls.lock().await;
        let now = clock.now();
        let need = {
            let mut known = place.known();
            // None of what is kept will do: it lacks what was not imported.
            let last = known.list.as_ref().map_or(Timestamp::MIN, |list| list.began);
            known.need(now, now, last)
        };
        let began = match need {
            Need::List(began) => began,
            Need::Patience(until) => return Ok(Listing::NotYet { until }),
            Need::Nothing => return Ok(Listing::NotYet { until: later(now, SWEEP_GAPS[0]) }),
        };
        let list = aws.list_certificates(region).await?;
        let kept = list.iter().filter(|s| is_kept(s));
        place.known().take(began, kept.map(|s| Summary { more: None, ..s.clone() }).collect());
        Ok(Listing::All(list))
    }

    /// The tags of a certificate; none: it is gone. What is remembered will do, unless they are wanted `fresh`.
    ///
    /// # Errors
    /// Those of the call.
    pub async fn tags(&self, aws: &dyn Aws, arn: &CertificateArn, fresh: bool) -> Result<Option<Tags>, AwsError> {
        let place = self.place_of(arn);
        let remembered = place.as_ref().filter(|_| !fresh).and_then(|place| place.known().tags.get(arn).cloned());
        if let Some(tags) = remembered {
            return Ok(Some(tags));
        }
        match aws.tags(arn).await {
            Ok(tags) => {
                // What is remembered stays true; nothing is remembered for this alone.
                if let Some(place) = place
                    && let Some(remembered) = place.known().tags.get_mut(arn)
                {
                    remembered.clone_from(&tags);
                }
                Ok(Some(tags))
            }
            Err(error) if error.kind == Kind::NotFound => {
                if let Some(place) = place {
                    place.known().forget(arn);
                }
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}
