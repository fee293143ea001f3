//! Asking nodes what they count.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use http::{Request, StatusCode};
use tokio::time::{Instant, sleep, timeout};

use super::Reading;
use super::history::{History, SHORTEST};
use crate::node::{NodeClient, Place};

/// How long a node may take to say what it counts.
const PATIENCE: Duration = Duration::from_secs(10);
/// The largest answer of a node, in bytes; of 500 containers it is a fiftieth.
const LARGEST: usize = 16 << 20;

/// What a node counted at two times.
#[derive(Clone, Debug)]
pub(crate) struct Compared {
    pub(crate) before: Arc<Reading>,
    pub(crate) now: Arc<Reading>,
}

/// What nodes counted lately. Nothing is read but when somebody asks.
#[derive(Debug, Default)]
pub(crate) struct Usages {
    /// By the node's name.
    lately: Mutex<HashMap<String, History>>,
}

impl Usages {
    /// What the node `name` counts. If nobody has asked lately, it is read twice, a second apart.
    ///
    /// # Errors
    /// What happened, for people.
    pub(crate) async fn of(
        &self,
        client: &NodeClient,
        name: &str,
        place: &Place,
    ) -> Result<Compared, String> {
        let first = read(client, place).await?;
        if let Some(before) = self.take(name, &first) {
            return Ok(Compared { before, now: first });
        }
        sleep(SHORTEST).await;
        Ok(Compared { before: first, now: read(client, place).await? })
    }

    /// Takes note of a reading, and gives the one to compare it with.
    fn take(&self, name: &str, reading: &Arc<Reading>) -> Option<Arc<Reading>> {
        let now = Instant::now();
        let mut lately = self.lately.lock().unwrap_or_else(PoisonError::into_inner);
        lately.retain(|_, history| history.is_of_use(now));
        let history = lately.entry(name.to_owned()).or_default();
        let base = history.base(now);
        history.add(now, reading);
        base
    }
}

async fn read(client: &NodeClient, place: &Place) -> Result<Arc<Reading>, String> {
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = http::Uri::from_static("/metrics/resource");
    let reading = async {
        let answer = client.ask(place, request).await?;
        let status = answer.status();
        if status != StatusCode::OK {
            return Err(format!("it answers {status} for /metrics/resource"));
        }
        let bytes = to_bytes(Body::new(answer.into_body()), LARGEST).await;
        let bytes = bytes.map_err(|error| format!("its /metrics/resource breaks off: {error}"))?;
        Ok(Arc::new(Reading::parse(&String::from_utf8_lossy(&bytes))))
    };
    let late = |_| Err(format!("it does not answer within {} s", PATIENCE.as_secs()));
    timeout(PATIENCE, reading).await.unwrap_or_else(late)
}
