//! systemd: readiness and the watchdog (`sd_notify`, `WatchdogSec=`).

use std::time::Duration;

use sd_notify::NotifyState;

/// Says that the agent is up.
pub(super) fn ready() {
    if let Err(error) = sd_notify::notify(&[NotifyState::Ready]) {
        tracing::warn!(%error, "systemd could not be told that berth is up");
    }
}

/// Tells the watchdog, twice as often as it asks for, that the agent is healthy; stops telling while it is not.
pub(super) async fn watchdog(health: impl Fn() -> Result<(), String> + Send + Sync) {
    let Some(period) = sd_notify::watchdog_enabled().filter(|period| *period > Duration::from_secs(1)) else {
        return std::future::pending().await;
    };
    let mut ticks = tokio::time::interval(period / 2);
    loop {
        ticks.tick().await;
        match health() {
            Ok(()) => {
                if let Err(error) = sd_notify::notify(&[NotifyState::Watchdog]) {
                    tracing::warn!(%error, "systemd's watchdog could not be told that berth is healthy");
                }
            }
            Err(problem) => tracing::warn!(problem, "berth is not healthy; systemd's watchdog is not told"),
        }
    }
}
