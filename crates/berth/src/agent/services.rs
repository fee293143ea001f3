//! The services that pods are told of. A cluster can have thousands: each is kept only as far as pods are told of it.

use std::time::Duration;

use containerconfig::services::{ServiceLink, Services, linked};
use kubeapi::{Change, Watch};
use tokio::sync::watch;
use tokio::time::timeout;
use types::Pod;
use types::corev1::Service;
use types::objects::{Found, ObjectError};

/// Services as a watch shows them; nothing as long as the API server has not told.
#[derive(Clone)]
pub(super) struct KnownServices {
    known: watch::Receiver<Option<Services>>,
}

impl KnownServices {
    /// What `watch` shows, and the task that reads it.
    pub(super) fn follow(watch: Watch<Service>) -> (Self, impl Future<Output = ()> + Send) {
        let (sender, known) = watch::channel(None);
        (Self { known }, read(watch, sender))
    }

    /// The services that `pod` is told of. They are waited for, as long as `deadline` at the most.
    pub(super) async fn linked(&self, pod: &Pod, deadline: Duration) -> Found<Vec<ServiceLink>> {
        let mut known = self.known.clone();
        match timeout(deadline, known.wait_for(Option::is_some)).await {
            Ok(Ok(known)) => Ok(known.as_ref().map(|all| linked(pod, all)).unwrap_or_default()),
            _ => Err(ObjectError::Unavailable {
                message: "services have not yet been read at least once, cannot construct envvars".to_owned(),
            }),
        }
    }
}

async fn read(mut watch: Watch<Service>, known: watch::Sender<Option<Services>>) {
    while let Some(change) = watch.next().await {
        known.send_modify(|known| apply(known.get_or_insert_default(), change));
    }
}

fn apply(known: &mut Services, change: Change<Service>) {
    match change {
        Change::Listed(all) => {
            known.clear();
            all.iter().for_each(|service| put(known, service, ServiceLink::of(service)));
        }
        Change::Applied(service) => put(known, &service, ServiceLink::of(&service)),
        Change::Deleted(service) => put(known, &service, None),
    }
}

/// Keeps `link`, or nothing, of `service`.
fn put(known: &mut Services, service: &Service, link: Option<ServiceLink>) {
    let namespace = service.metadata.namespace.clone().unwrap_or_default();
    let name = service.metadata.name.clone().unwrap_or_default();
    if let Some(link) = link {
        known.entry(namespace).or_default().insert(name, link);
    } else if let Some(others) = known.get_mut(&namespace) {
        others.remove(&name);
        if others.is_empty() {
            known.remove(&namespace);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;

    fn service(name: &str, ip: &str) -> Arc<Service> {
        let service = json!({"metadata": {"namespace": "n", "name": name},
            "spec": {"clusterIP": ip, "ports": [{"port": 80}]}});
        Arc::new(serde_json::from_value(service).unwrap())
    }

    #[test]
    fn services_that_have_an_address_are_kept() {
        let mut known = Services::new();
        let names = |known: &Services| -> Vec<String> {
            known.values().flatten().map(|(name, _)| name.clone()).collect()
        };
        apply(&mut known, Change::Listed(vec![service("a", "10.0.0.1"), service("b", "None")]));
        assert_eq!(names(&known), ["a"]);
        apply(&mut known, Change::Applied(service("b", "10.0.0.2")));
        apply(&mut known, Change::Applied(service("a", "None")));
        assert_eq!(names(&known), ["b"]);
        apply(&mut known, Change::Deleted(service("b", "10.0.0.2")));
        assert!(known.is_empty());
    }
}
