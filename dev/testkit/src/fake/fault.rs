//! Faults on demand.

use std::time::Duration;

use tonic::Code;

use super::store::Subject;

/// Which calls a fault strikes.
#[derive(Clone, Debug)]
pub struct Match {
    call: &'static str,
    pod: Option<String>,
    container: Option<String>,
    pub(super) times: Option<u64>,
}

impl Match {
    /// All calls of CRI's name `call`, such as `RunPodSandbox`.
    #[must_use]
    pub fn call(call: &'static str) -> Self {
        Self { call, pod: None, container: None, times: None }
    }

    /// Only those about the pod `name` (its name alone, in whatever namespace).
    #[must_use]
    pub fn pod(self, name: &str) -> Self {
        Self { pod: Some(name.to_owned()), ..self }
    }

    /// Only those about the container `name` (its name in the spec). For calls about images: the image's name.
    #[must_use]
    pub fn container(self, name: &str) -> Self {
        Self { container: Some(name.to_owned()), ..self }
    }

    /// Only the next `times` of them.
    #[must_use]
    pub fn times(self, times: u64) -> Self {
        Self { times: Some(times), ..self }
    }

    pub(super) fn covers(&self, call: &str, subject: &Subject) -> bool {
        let same = |wanted: &Option<String>, is: &Option<String>| wanted.is_none() || wanted == is;
        self.call == call && same(&self.pod, &subject.pod) && same(&self.container, &subject.container)
    }
}

/// What happens to a call.
#[derive(Clone, Debug)]
pub enum Fault {
    /// It waits until the fault is lifted, and is then served.
    Hang,
    /// It fails, and nothing is done.
    Fail(Code, String),
    /// It is served after this time.
    Delay(Duration),
    /// It is served, but there is no answer until the fault is lifted, and then an error.
    LoseAnswer,
    /// It is served, and the answer is this error.
    DoThenFail(Code, String),
}
