//! How it stands with one certificate, and what is to be done next. Pure.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::certificates::v1beta1::PodCertificateRequest;
use secrecy::SecretString;

use crate::bundles::only_certificates;

/// After so long (and a little chance) a request that the server does not show was deleted.
const DELETED_AFTER: Duration = Duration::from_secs(600);
/// A certificate that was not replaced so long after it should have been is overdue.
const OVERDUE_AFTER: Duration = Duration::from_secs(600);

/// A request that was made.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) name: String,
    pub(super) key: SecretString,
    /// From when on it counts as deleted if it is not shown.
    pub(super) lost_at: Timestamp,
}

impl Asked {
    /// The request `name`, made at `now`. `jitter` spreads what many do.
    pub(super) fn new(name: String, key: SecretString, now: Timestamp, jitter: Duration) -> Self {
        Self { name, key, lost_at: now + DELETED_AFTER + jitter }
    }
}

/// A certificate that was issued.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) key: SecretString,
    pub(super) chain: String,
    pub(super) refresh: Timestamp,
    pub(super) expires: Timestamp,
    told_overdue: bool,
    told_expired: bool,
}

impl Held {
    /// What is to be told of it at `now`, once.
    pub(super) fn news(&mut self, now: Timestamp) -> Vec<Notice> {
        let mut all = Vec::new();
        if now > self.refresh + OVERDUE_AFTER && !std::mem::replace(&mut self.told_overdue, true) {
            all.push(Notice::Overdue);
        }
        if now > self.expires && !std::mem::replace(&mut self.told_expired, true) {
            all.push(Notice::Expired);
        }
        all
    }
}

/// Something that whoever looks after the pod should know.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Notice {
    /// The signer does not want to, or could not: the condition's type, and what it says.
    Refused(&'static str, String),
    /// The certificate should have been replaced some time ago.
    Overdue,
    /// The certificate is not good any more.
    Expired,
}

/// How it stands.
#[derive(Clone, Debug, Default)]
pub(super) enum State {
    /// Nothing was done.
    #[default]
    New,
    /// A first certificate was asked for.
    Waits(Asked),
    /// There is one.
    Has(Held),
    /// There is one, and another was asked for.
    Renews(Held, Asked),
    /// There will be none.
    Refused {
        /// `Denied` or `Failed`.
        how: &'static str,
        reason: String,
        message: String,
    },
}

/// What is next.
#[derive(Debug)]
pub(super) enum Next {
    /// To ask for one.
    Ask,
    /// Nothing.
    Nothing,
    /// It stands otherwise by now, with this to tell.
    Is(State, Option<Notice>),
}

impl State {
    /// The request that is waited for.
    pub(super) fn asked(&self) -> Option<&Asked> {
        match self {
            Self::Waits(asked) | Self::Renews(_, asked) => Some(asked),
            _ => None,
        }
    }

    /// The certificate that is there.
    pub(super) fn held_mut(&mut self) -> Option<&mut Held> {
        match self {
            Self::Has(held) | Self::Renews(held, _) => Some(held),
            _ => None,
        }
    }

    /// The name that metrics have for it.
    pub(super) fn name(&self, now: Timestamp) -> &'static str {
        match self {
            Self::New | Self::Waits(_) => "not_yet_issued",
            Self::Refused { how: "Denied", .. } => "denied",
            Self::Refused { .. } => "failed",
            Self::Has(held) | Self::Renews(held, _) if now > held.expires => "expired",
            Self::Has(held) | Self::Renews(held, _) if now > held.refresh + OVERDUE_AFTER => {
                "overdue_for_refresh"
            }
            Self::Has(_) | Self::Renews(..) => "fresh",
        }
    }

    /// The same with a request that was made.
    pub(super) fn with(self, asked: Asked) -> Self {
        match self {
            Self::Has(held) | Self::Renews(held, _) => Self::Renews(held, asked),
            _ => Self::Waits(asked),
        }
    }

    /// What is next, if the server shows the request that is waited for as `shown`. `jitter` spreads what many do.
    pub(super) fn next(
        &self,
        shown: Option<&PodCertificateRequest>,
        now: Timestamp,
        jitter: Duration,
    ) -> Next {
        let asked = match self {
            Self::New => return Next::Ask,
            Self::Has(held) if now >= held.refresh => return Next::Ask,
            Self::Refused { .. } | Self::Has(_) => return Next::Nothing,
            Self::Waits(asked) | Self::Renews(_, asked) => asked,
        };
        let Some(shown) = shown else {
            return match self {
                _ if now <= asked.lost_at => Next::Nothing,
                Self::Renews(held, _) => Next::Is(Self::Has(held.clone()), None),
                _ => Next::Is(Self::New, None),
            };
        };
        let status = shown.status.as_ref();
        for condition in status.and_then(|status| status.conditions.as_ref()).into_iter().flatten() {
            let how = match condition.type_.as_str() {
                "Denied" => "Denied",
                "Failed" => "Failed",
                "Issued" => {
                    let time = |time: Option<&k8s_openapi::apimachinery::pkg::apis::meta::v1::Time>| {
                        time.map_or(now, |time| time.0)
                    };
                    let chain =
                        status.and_then(|status| status.certificate_chain.as_deref()).unwrap_or_default();
                    let held = Held {
                        key: asked.key.clone(),
                        chain: only_certificates(chain),
                        refresh: time(status.and_then(|status| status.begin_refresh_at.as_ref())) + jitter,
                        expires: time(status.and_then(|status| status.not_after.as_ref())),
                        told_overdue: false,
                        told_expired: false,
                    };
                    return Next::Is(Self::Has(held), None);
                }
                _ => continue,
            };
            let (reason, message) = (condition.reason.clone(), condition.message.clone());
            let (verb, meta) = (if how == "Denied" { "was denied" } else { "failed" }, &shown.metadata);
            let told = format!(
                "PodCertificateRequest {}/{} {verb}, reason={reason:?}, message={message:?}",
                meta.namespace.as_deref().unwrap_or_default(),
                meta.name.as_deref().unwrap_or_default(),
            );
            return Next::Is(Self::Refused { how, reason, message }, Some(Notice::Refused(how, told)));
        }
        Next::Nothing
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::pem;

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + 60 * minute).unwrap()
    }

    fn shown(condition: &str) -> PodCertificateRequest {
        let condition = json!({"type": condition, "reason": "R", "message": "m", "status": "True",
            "lastTransitionTime": at(0).to_string()});
        serde_json::from_value(json!({
            "metadata": {"namespace": "n", "name": "req-1"},
            "spec": {"nodeName": "", "nodeUID": "", "podName": "", "podUID": "", "serviceAccountName": "", "serviceAccountUID": "",
                "signerName": ""},
            "status": {"conditions": [condition], "certificateChain": pem::encode("CERTIFICATE", b"c"),
                "beginRefreshAt": at(60).to_string(), "notAfter": at(90).to_string()},
        }))
        .unwrap()
    }

    fn step(
        state: &mut State,
        shown: Option<&PodCertificateRequest>,
        minute: i64,
    ) -> (String, Option<Notice>) {
        match state.next(shown, at(minute), Duration::from_secs(60)) {
            Next::Ask => {
                *state = std::mem::take(state).with(Asked::new(
                    "req-1".into(),
                    "k".into(),
                    at(minute),
                    Duration::ZERO,
                ));
                ("asks".to_owned(), None)
            }
            Next::Nothing => ("nothing".to_owned(), None),
            Next::Is(next, notice) => {
                *state = next;
                (state.name(at(minute)).to_owned(), notice)
            }
        }
    }

    #[test]
    fn from_the_first_request_to_the_next_certificate() {
        let mut state = State::default();
        let told =
            |minute, shown: Option<&PodCertificateRequest>, state: &mut State| step(state, shown, minute).0;
        assert_eq!(told(0, None, &mut state), "asks");
        assert_eq!(told(1, None, &mut state), "nothing");
        assert_eq!(told(11, None, &mut state), "not_yet_issued", "the request is gone");
        assert_eq!(told(11, None, &mut state), "asks");
        assert_eq!(told(12, Some(&shown("Other")), &mut state), "nothing");
        assert_eq!(told(12, Some(&shown("Issued")), &mut state), "fresh");
        assert_eq!(told(60, None, &mut state), "nothing", "a little after the signer says");
        assert_eq!(told(61, None, &mut state), "asks");
        assert!(matches!(&state, State::Renews(..)));
        assert_eq!(told(72, None, &mut state), "overdue_for_refresh", "the request is gone");
        let held = state.held_mut().unwrap();
        assert_eq!(
            (held.news(at(71)), held.news(at(72)), held.news(at(72))),
            (vec![], vec![Notice::Overdue], vec![])
        );
        assert_eq!(held.news(at(91)), [Notice::Expired]);
        assert_eq!(told(91, None, &mut state), "asks");
        assert_eq!(state.name(at(91)), "expired");
        assert_eq!(told(91, Some(&shown("Issued")), &mut state), "expired");
    }

    #[test]
    fn a_refusal_is_final() {
        for (how, verb) in [("Denied", "was denied"), ("Failed", "failed")] {
            let mut state = State::default();
            step(&mut state, None, 0);
            let (name, notice) = step(&mut state, Some(&shown(how)), 1);
            let text = format!("PodCertificateRequest n/req-1 {verb}, reason=\"R\", message=\"m\"");
            assert_eq!(
                (name.as_str(), notice),
                (how.to_lowercase().as_str(), Some(Notice::Refused(how, text)))
            );
            assert_eq!(step(&mut state, None, 100).0, "nothing");
        }
    }
}
