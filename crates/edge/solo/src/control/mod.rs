//! What a cluster's controllers do that a single machine needs too, level-triggered: from the objects that there are
//! to the ones that there should be.

mod attachments;
mod claims;
mod dependants;
mod ephemeral;
mod events;
mod namespaces;
mod protection;
mod requests;
mod scheduling;
mod told;

use std::sync::Arc;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::api::Api;
use crate::authority::Authority;
use crate::error::ApiError;
use crate::store::{Snapshot, Txn};

pub(crate) use events::expire as expire_events;
pub(crate) use namespaces::establish;

/// A controller: whether it finds anything to do, and doing it.
struct Controller {
    name: &'static str,
    wanted: fn(&Snapshot, &Scope) -> bool,
    work: fn(&mut Txn, &Scope),
}

/// What controllers know beside the objects.
pub(crate) struct Scope {
    /// The authority's certificate, in PEM.
    ca: Arc<str>,
    authority: Authority,
}

const CONTROLLERS: [Controller; 8] = [
    Controller { name: "namespaces", wanted: namespaces::wanted, work: namespaces::work },
    Controller { name: "scheduling", wanted: scheduling::wanted, work: scheduling::work },
    Controller { name: "dependants", wanted: dependants::wanted, work: dependants::work },
    Controller { name: "ephemeral volumes", wanted: ephemeral::wanted, work: ephemeral::work },
    Controller { name: "claims", wanted: claims::wanted, work: claims::work },
    Controller { name: "attachments", wanted: attachments::wanted, work: attachments::work },
    Controller { name: "protection", wanted: protection::wanted, work: protection::work },
    Controller { name: "requests", wanted: requests::wanted, work: requests::work },
];

/// Runs the controllers after every commit until `shutdown`. Commits that come while they work are looked at together.
pub(crate) async fn run(api: Arc<Api>, authority: Authority, shutdown: CancellationToken) {
    let mut commits = api.store.commits();
    let scope = Arc::new(Scope { ca: api.ca.clone(), authority });
    loop {
        let snapshot = commits.borrow_and_update().clone();
        for controller in &CONTROLLERS {
            if (controller.wanted)(&snapshot, &scope)
                && let Err(error) = carry_out(&api, controller, &scope).await
            {
                warn!(
                    controller = controller.name,
                    error = &error as &dyn std::error::Error,
                    "a controller could not write"
                );
            }
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            changed = commits.changed() => if changed.is_err() { return },
        }
    }
}

async fn carry_out(api: &Api, controller: &Controller, scope: &Arc<Scope>) -> Result<(), ApiError> {
    let (work, scope) = (controller.work, scope.clone());
    api.store
        .write(move |txn| {
            work(txn, &scope);
            Ok(())
        })
        .await
}

/// The metadata of an object that a controller makes; `namespace` is empty for one of the cluster.
fn new_meta(namespace: &str, name: &str) -> Value {
    let mut meta =
        json!({"name": name, "uid": crate::random::uid(), "creationTimestamp": crate::time::now()});
    if !namespace.is_empty() {
        meta["namespace"] = namespace.into();
    }
    meta
}
