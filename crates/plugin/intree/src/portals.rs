//! Portals of iSCSI targets that were of no use lately. To ask one that is away takes minutes, in which nobody else begins or
//! ends a session with the target: with another path there it is left alone for a while.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::run::CommandError;

/// A log-in that takes longer, and fails, was with a portal that is away. One that only refuses is quick.
const SLOW: Duration = Duration::from_secs(5);

/// How long it is left alone.
const AWAY: Duration = Duration::from_secs(300);

/// The portals that are away, by the target's name and their own, with when that was seen. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Portals(Arc<Mutex<HashMap<(String, String), Instant>>>);

impl Portals {
    /// A log-in took so long, and ended so.
    pub(crate) fn tried(&self, iqn: &str, portal: &str, took: Duration, result: &Result<(), CommandError>) {
        let mut away = self.lock();
        away.retain(|_, seen| seen.elapsed() < AWAY);
        let key = (iqn.to_owned(), portal.to_owned());
        match result {
            Ok(()) => drop(away.remove(&key)),
            Err(CommandError::Failed { .. }) if took < SLOW => {}
            Err(_) => drop(away.insert(key, Instant::now())),
        }
    }

    /// Whether the portal was away lately.
    pub(crate) fn is_away(&self, iqn: &str, portal: &str) -> bool {
        let seen = self.lock().get(&(iqn.to_owned(), portal.to_owned())).copied();
        seen.is_some_and(|seen| seen.elapsed() < AWAY)
    }

    /// `portals`, those that are away last.
    pub(crate) fn in_order<'p>(&self, iqn: &str, portals: &'p [String]) -> Vec<&'p String> {
        let mut all: Vec<_> = portals.iter().collect();
        all.sort_by_key(|portal| self.is_away(iqn, portal));
        all
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(String, String), Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;
    use crate::command::Command;
    use crate::run::Said;

    #[tokio::test(start_paused = true)]
    async fn one_that_took_long_is_left_alone_for_a_while() {
        let portals = Portals::default();
        let both = ["a".to_owned(), "b".to_owned()];
        let command = Command::new("iscsiadm").arg("--login");
        let hung = Err(CommandError::Late { command: command.clone(), deadline: SLOW });
        let refused = Err(CommandError::Failed { output: Said::default(), command, status: Some(8) });
        portals.tried("iqn", "a", Duration::ZERO, &refused);
        assert!(!portals.is_away("iqn", "a"), "it only refused");
        portals.tried("iqn", "a", SLOW, &refused);
        assert!(portals.is_away("iqn", "a") && !portals.is_away("other", "a"));
        assert_eq!(portals.in_order("iqn", &both), ["b", "a"]);
        advance(AWAY).await;
        assert!(!portals.is_away("iqn", "a"));
        portals.tried("iqn", "b", Duration::ZERO, &hung);
        assert!(portals.is_away("iqn", "b"));
        assert_eq!(portals.lock().len(), 1, "what is over is forgotten");
        portals.tried("iqn", "b", Duration::ZERO, &Ok(()));
        assert_eq!(portals.in_order("iqn", &both), ["a", "b"]);
    }
}
