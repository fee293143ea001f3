//! Finding the objects of the API server that a pod refers to, and telling of those that cannot be had.

use std::sync::Arc;

use futures::future::FutureExt;
use task::cell::PodCell;
use types::objects::{Objects, References};
use types::{Event, Pod, Step};
use volume::VolumeFailure;

use crate::executor::Executor;

impl Executor {
    /// What there is of `references`. The pod is shown at `step` if that takes its time.
    pub(crate) async fn find(
        &self,
        pod: &Arc<Pod>,
        references: &References,
        cell: &PodCell,
        step: Step,
        container: Option<&str>,
    ) -> Arc<Objects> {
        if references.is_empty() {
            return Arc::default();
        }
        let is_met = self.lock_followed().contains_key(&cell.pod.uid);
        if !references.tokens.is_empty() && !is_met {
            // A restart asks for no token that is there.
            self.needs.objects.adopt(pod, self.needs.volumes.shown_tokens(pod).await);
        }
        let mut finding = self.needs.objects.find(pod, references);
        if let Some(found) = (&mut finding).now_or_never() {
            return Arc::new(found);
        }
        cell.at(step, container, waits_for(references));
        Arc::new(finding.await)
    }

    /// Says which volumes are not what they should be: each once for each time that it was tried.
    pub(crate) fn tell_mount_failures(&self, failures: &[VolumeFailure], cell: &PodCell) {
        for failure in failures.iter().filter(|failure| failure.was_tried()) {
            let (reason, message) = (failure.event_reason(), failure.event_message());
            tracing::warn!(pod = %cell.pod, volume = failure.volume, error = message, "Volume is not up to date");
            self.needs.recorder.record(Event::warning(&cell.pod, reason, message));
        }
    }
}

/// What is waited for, as `berth why` prints it.
fn waits_for(references: &References) -> String {
    let maps = references.config_maps.iter().map(|name| format!("ConfigMap {name:?}"));
    let secrets = references.secrets.iter().map(|name| format!("Secret {name:?}"));
    let tokens = (!references.tokens.is_empty()).then(|| "a service account token".to_owned());
    let bundles = (!references.bundles.is_empty()).then(|| "trust anchors".to_owned());
    let certificates = (!references.certificates.is_empty()).then(|| "a certificate of the pod".to_owned());
    let all: Vec<_> = maps.chain(secrets).chain(tokens).chain(bundles).chain(certificates).collect();
    format!("the API server: {}", all.join(", "))
}

#[cfg(test)]
mod tests {
    use types::objects::TokenRequest;

    use super::*;

    #[test]
    fn says_what_is_waited_for() {
        let references = References {
            config_maps: ["m".to_owned()].into(),
            secrets: ["s".to_owned()].into(),
            tokens: [TokenRequest::default()].into(),
            ..References::default()
        };
        let text = "the API server: ConfigMap \"m\", Secret \"s\", a service account token";
        assert_eq!(waits_for(&references), text);
    }
}
