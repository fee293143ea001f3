//! The loop that renews the node's lease.

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::api::{LeaseApi, within};
use crate::pace::{Pace, retry};
use crate::standing::{Calls, Standing};

/// Renews the lease for as long as the node is registered.
pub(crate) async fn renew(
    mut lease: impl LeaseApi,
    name: &str,
    pace: Pace,
    standing: &watch::Sender<Standing>,
) {
    let mut nodes = standing.subscribe();
    let mut failures = 0;
    loop {
        let Some(uid) = registered(&mut nodes, None).await else { return };
        let begun = Instant::now();
        let outcome = within(pace.deadline(), lease.renew(&uid)).await;
        Calls::Lease.note(standing, outcome.as_ref().err());
        let next = match outcome {
            Ok(()) => {
                failures = 0;
                begun + pace.renewal(name)
            }
            Err(failure) => {
                failures += 1;
                Instant::now() + retry(failures, failure.retry_after).min(pace.renewal(name))
            }
        };
        tokio::select! {
            () = sleep_until(next) => {}
            // The lease went with the Node object that it belonged to.
            _ = registered(&mut nodes, Some(&uid)) => {}
        }
    }
}

/// Waits until there is a Node object, another one than `than`, and gives its UID.
async fn registered(nodes: &mut watch::Receiver<Standing>, than: Option<&str>) -> Option<String> {
    let there = |standing: &Standing| standing.uid().is_some_and(|uid| Some(uid) != than);
    let standing = nodes.wait_for(there).await.ok()?;
    standing.uid().map(str::to_owned)
}
