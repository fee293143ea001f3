//! systemd over D-Bus: slices made, changed and stopped as transient units. A job of systemd's is over when it says so in
//! a signal, which is awaited.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use tokio::sync::broadcast;
use tokio::time::timeout;
use zbus::{Connection, OwnedObjectPath, Variant};

use crate::properties::{Property, Value, of_limits, of_new};
use crate::{CgroupName, Limits, Version};

/// How long systemd may take for one request, its job included.
const DEADLINE: Duration = Duration::from_secs(30);
/// Ends of jobs kept for those who wait. Whoever falls behind further looks at the result instead.
const JOBS: usize = 1024;

#[zbus::proxy(
    interface = "org.freedesktop.systemd1.Manager",
    default_service = "org.freedesktop.systemd1",
    default_path = "/org/freedesktop/systemd1"
)]
trait Manager {
    fn subscribe(&self) -> zbus::Result<()>;
    fn start_transient_unit(
        &self,
        name: &str,
        mode: &str,
        properties: &[(&str, Variant<'_>)],
        auxiliary: &[(&str, Vec<(&str, Variant<'_>)>)],
    ) -> zbus::Result<OwnedObjectPath>;
    fn set_unit_properties(
        &self,
        name: &str,
        runtime: bool,
        properties: &[(&str, Variant<'_>)],
    ) -> zbus::Result<()>;
    fn stop_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;
    fn reset_failed_unit(&self, name: &str) -> zbus::Result<()>;
    #[zbus(signal)]
    fn job_removed(&self, id: u32, job: OwnedObjectPath, unit: String, result: String) -> zbus::Result<()>;
}

/// Why systemd did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum SystemdError {
    /// No system bus, or no systemd on it.
    #[error(
        "the cgroup driver is systemd, but systemd cannot be reached over D-Bus: run berth on a node whose init is systemd and where /run/dbus/system_bus_socket is there, or set the driver of both the runtime (containerd: SystemdCgroup = false) and berth (cgroupDriver) to cgroupfs"
    )]
    Unreachable(#[source] zbus::Error),
    /// A call was refused.
    #[error("systemd refused to {action} {unit}")]
    Refused {
        /// What was asked for, such as `start`.
        action: &'static str,
        /// The slice.
        unit: String,
        /// systemd's answer.
        source: zbus::Error,
    },
    /// A job ended in another way than well.
    #[error(
        "systemd could not {action} {unit}: its job ended with {result:?} (see `systemctl status {unit}`)"
    )]
    JobFailed {
        /// What was asked for.
        action: &'static str,
        /// The slice.
        unit: String,
        /// systemd's word for it, such as `timeout` or `dependency`.
        result: String,
    },
    /// No answer in time.
    #[error("systemd did not {action} {unit} within {} s", DEADLINE.as_secs())]
    TimedOut {
        /// What was asked for.
        action: &'static str,
        /// The slice.
        unit: String,
    },
}

/// A job that has ended.
#[derive(Clone, Debug)]
struct Ended {
    job: OwnedObjectPath,
    result: Arc<str>,
}

/// One connection, with the task that passes on the ends of jobs. The task reads all the time: a stream that is not read
/// would hold up the answers on the same connection.
#[derive(Debug)]
struct Session {
    connection: Connection,
    manager: ManagerProxy<'static>,
    ended: broadcast::Sender<Ended>,
    task: tokio::task::JoinHandle<()>,
}

impl Session {
    async fn open() -> zbus::Result<Self> {
        Self::over(Connection::system().await?).await
    }

    async fn over(connection: Connection) -> zbus::Result<Self> {
        let manager = ManagerProxy::builder(&connection)
            .cache_properties(zbus::proxy::CacheProperties::No)
            .build()
            .await?;
        let mut removed = manager.receive_job_removed().await?;
        manager.subscribe().await?;
        let (ended, _) = broadcast::channel(JOBS);
        let sender = ended.clone();
        let task = tokio::spawn(async move {
            while let Some(signal) = removed.next().await {
                if let Ok(args) = signal.args() {
                    // Nobody waiting is fine: others have jobs as well.
                    let _ = sender.send(Ended { job: args.job.clone(), result: args.result.as_str().into() });
                }
            }
        });
        Ok(Self { connection, manager, ended, task })
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The systemd driver's side of the work. Connects when first used, and again when the connection is lost.
#[derive(Debug, Default)]
pub(crate) struct Systemd {
    session: Mutex<Option<Arc<Session>>>,
}

impl Systemd {
    /// Connects, so that a missing systemd shows at the start.
    pub(crate) async fn connect() -> Result<Self, SystemdError> {
        let systemd = Self::default();
        systemd.session().await?;
        Ok(systemd)
    }

    async fn session(&self) -> Result<Arc<Session>, SystemdError> {
        let known = self.session.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(session) = known.filter(|session| !session.connection.is_closed()) {
            return Ok(session);
        }
        let opened = timeout(DEADLINE, Session::open()).await.unwrap_or_else(|_| {
            Err(zbus::Error::from(std::io::Error::new(
                std::io::ErrorKind::TimedOut,
                "no answer from the bus",
            )))
        });
        let session = Arc::new(opened.map_err(SystemdError::Unreachable)?);
        *self.session.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&session));
        Ok(session)
    }

    /// Starts the slice with `limits`, or sets them if it runs.
    pub(crate) async fn ensure(
        &self,
        name: &CgroupName,
        limits: &Limits,
        version: Version,
    ) -> Result<(), SystemdError> {
        let unit = name.slice();
        let mut all = of_new(name, version);
        all.extend(of_limits(limits, version));
        let started = self
            .job("start", &unit, async |session| {
                session.manager.start_transient_unit(&unit, "replace", &to_wire(&all), &[]).await
            })
            .await;
        match started {
            Err(SystemdError::Refused { source, .. }) if is_named(&source, "UnitExists") => {
                self.update(name, limits, version).await
            }
            result => result,
        }
    }

    /// Sets `limits` on a slice that runs.
    pub(crate) async fn update(
        &self,
        name: &CgroupName,
        limits: &Limits,
        version: Version,
    ) -> Result<(), SystemdError> {
        let unit = name.slice();
        let properties = of_limits(limits, version);
        if properties.is_empty() {
            return Ok(());
        }
        let session = self.session().await?;
        let wire = to_wire(&properties);
        let call = session.manager.set_unit_properties(&unit, true, &wire);
        match timeout(DEADLINE, call).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(source)) => Err(SystemdError::Refused { action: "change", unit, source }),
            Err(_) => Err(SystemdError::TimedOut { action: "change", unit }),
        }
    }

    /// Stops the slice and all that is in it. A slice that is not there is stopped.
    pub(crate) async fn stop(&self, name: &CgroupName) -> Result<(), SystemdError> {
        let unit = name.slice();
        let stopped =
            self.job("stop", &unit, async |session| session.manager.stop_unit(&unit, "replace").await).await;
        match stopped {
            Err(SystemdError::Refused { source, .. }) if is_named(&source, "NoSuchUnit") => Ok(()),
            Err(error @ SystemdError::JobFailed { .. }) => {
                // A failed unit would stand in the way of the next one of that name.
                let session = self.session().await?;
                let _ = timeout(DEADLINE, session.manager.reset_failed_unit(&unit)).await;
                Err(error)
            }
            result => result,
        }
    }

    /// Asks for a job and waits for its end.
    async fn job(
        &self,
        action: &'static str,
        unit: &str,
        ask: impl AsyncFnOnce(&Session) -> zbus::Result<OwnedObjectPath>,
    ) -> Result<(), SystemdError> {
        let session = self.session().await?;
        // Listening begins before the job does, so that its end cannot be missed.
        let mut ended = session.ended.subscribe();
        let work = async {
            let job = ask(&session).await.map_err(|source| SystemdError::Refused {
                action,
                unit: unit.to_owned(),
                source,
            })?;
            loop {
                match ended.recv().await {
                    Ok(Ended { job: other, .. }) if other != job => {}
                    Ok(Ended { result, .. }) if matches!(&*result, "done" | "skipped") => return Ok(()),
                    Ok(Ended { result, .. }) => {
                        let result = result.to_string();
                        return Err(SystemdError::JobFailed { action, unit: unit.to_owned(), result });
                    }
                    // The end may have been among what was lost; the files tell.
                    Err(broadcast::error::RecvError::Lagged(_) | broadcast::error::RecvError::Closed) => {
                        return Ok(());
                    }
                }
            }
        };
        timeout(DEADLINE, work)
            .await
            .unwrap_or_else(|_| Err(SystemdError::TimedOut { action, unit: unit.to_owned() }))
    }
}

/// Whether systemd answered with the error `org.freedesktop.systemd1.<name>`.
fn is_named(error: &zbus::Error, name: &str) -> bool {
    match error {
        zbus::Error::MethodError(full, _, _) => {
            full.as_str().strip_prefix("org.freedesktop.systemd1.") == Some(name)
        }
        _ => false,
    }
}

fn to_wire(properties: &[Property]) -> Vec<(&str, Variant<'_>)> {
    let variant = |value| match value {
        &Value::Flag(flag) => Variant::from(flag),
        &Value::Number(number) => Variant::from(number),
        Value::Text(text) => Variant::from(text.as_str()),
        Value::Names(names) => Variant::from(names.clone()),
    };
    properties.iter().map(|(name, value)| (*name, variant(value))).collect()
}

#[cfg(test)]
mod tests;
