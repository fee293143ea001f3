//! Probes and hooks.

use types::corev1::{
    ExecAction, HTTPGetAction, Lifecycle, LifecycleHandler, Probe, SleepAction, TCPSocketAction,
};
use types::k8s::apimachinery::pkg::util::intstr::IntOrString;

use super::ports;
use crate::field::{Errors, Path, list};
use crate::names;

/// Linux' signals by the names that `stopSignal` takes (KEP-4960), without those numbered from SIGRTMIN and SIGRTMAX.
const SIGNALS: [&str; 36] = [
    "SIGABRT",
    "SIGALRM",
    "SIGBUS",
    "SIGCHLD",
    "SIGCLD",
    "SIGCONT",
    "SIGFPE",
    "SIGHUP",
    "SIGILL",
    "SIGINT",
    "SIGIO",
    "SIGIOT",
    "SIGKILL",
    "SIGPIPE",
    "SIGPOLL",
    "SIGPROF",
    "SIGPWR",
    "SIGQUIT",
    "SIGRTMAX",
    "SIGRTMIN",
    "SIGSEGV",
    "SIGSTKFLT",
    "SIGSTOP",
    "SIGSYS",
    "SIGTERM",
    "SIGTRAP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGUSR1",
    "SIGUSR2",
    "SIGVTALRM",
    "SIGWINCH",
    "SIGXCPU",
    "SIGXFSZ",
];

/// The three probes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum ProbeKind {
    Liveness,
    Readiness,
    Startup,
}

pub(super) fn probe(errors: &mut Errors, path: &Path, kind: ProbeKind, probe: &Probe) {
    for (field, value) in [
        ("initialDelaySeconds", probe.initial_delay_seconds),
        ("timeoutSeconds", probe.timeout_seconds),
        ("periodSeconds", probe.period_seconds),
        ("successThreshold", probe.success_threshold),
        ("failureThreshold", probe.failure_threshold),
    ] {
        errors.not_negative(&path.key(field), value.map(i64::from));
    }
    if let Some(seconds) = probe.termination_grace_period_seconds {
        let path = path.key("terminationGracePeriodSeconds");
        if kind == ProbeKind::Readiness {
            errors.invalid(&path, &seconds, "must not be set for readiness probes");
        } else if seconds <= 0 {
            errors.invalid(&path, &seconds, "must be greater than 0");
        }
    }
    if kind != ProbeKind::Readiness
        && let Some(threshold) = probe.success_threshold.filter(|&threshold| threshold > 1)
    {
        errors.invalid(&path.key("successThreshold"), &threshold, "must be 1");
    }
    let mut handlers = Handlers::new(errors, path);
    handlers.exec(probe.exec.as_ref());
    handlers.http_get(probe.http_get.as_ref());
    handlers.tcp_socket(probe.tcp_socket.as_ref());
    if let Some(grpc) = &probe.grpc {
        handlers.count += 1;
        handlers.errors.in_range(&path.key("grpc").key("port"), grpc.port.into(), ports::NUMBERS);
    }
    handlers.finish();
}

/// Hooks, and the signal; `os` is `spec.os.name`.
pub(super) fn lifecycle(
    errors: &mut Errors,
    path: &Path,
    lifecycle: &Lifecycle,
    grace_seconds: i64,
    os: Option<&str>,
) {
    for (field, hook) in [("postStart", &lifecycle.post_start), ("preStop", &lifecycle.pre_stop)] {
        if let Some(hook) = hook {
            handler(errors, &path.key(field), hook, grace_seconds);
        }
    }
    if let Some(signal) = &lifecycle.stop_signal {
        let path = path.key("stopSignal");
        match os {
            None => errors.forbidden(&path, "may not be set unless spec.os.name is set"),
            Some("windows") => errors.optional_one_of(&path, Some(signal), &["SIGKILL", "SIGTERM"]),
            Some(_) if is_realtime_offset(signal) => {}
            Some(_) => errors.optional_one_of(&path, Some(signal), &SIGNALS),
        }
    }
}

/// `SIGRTMIN+1` to `SIGRTMIN+15`, `SIGRTMAX-1` to `SIGRTMAX-14`.
fn is_realtime_offset(signal: &str) -> bool {
    let offset = |prefix| signal.strip_prefix(prefix).and_then(|rest| rest.parse::<u8>().ok());
    offset("SIGRTMIN+").is_some_and(|n| (1..=15).contains(&n))
        || offset("SIGRTMAX-").is_some_and(|n| (1..=14).contains(&n))
}

fn handler(errors: &mut Errors, path: &Path, hook: &LifecycleHandler, grace_seconds: i64) {
    let mut handlers = Handlers::new(errors, path);
    handlers.exec(hook.exec.as_ref());
    handlers.http_get(hook.http_get.as_ref());
    handlers.tcp_socket(hook.tcp_socket.as_ref());
    handlers.sleep(hook.sleep.as_ref(), grace_seconds);
    handlers.finish();
}

/// Checks the handlers of a probe or hook, and counts them: there has to be exactly one.
struct Handlers<'a> {
    errors: &'a mut Errors,
    path: &'a Path,
    count: usize,
}

impl<'a> Handlers<'a> {
    fn new(errors: &'a mut Errors, path: &'a Path) -> Self {
        Self { errors, path, count: 0 }
    }

    fn exec(&mut self, action: Option<&ExecAction>) {
        let Some(action) = action else { return };
        self.count += 1;
        if list(&action.command).is_empty() {
            self.errors.required(&self.path.key("exec").key("command"), "");
        }
    }

    fn http_get(&mut self, action: Option<&HTTPGetAction>) {
        let Some(action) = action else { return };
        self.count += 1;
        let path = self.path.key("httpGet");
        if action.path.as_deref().unwrap_or_default().is_empty() {
            self.errors.required(&path.key("path"), "");
        }
        port(self.errors, &path.key("port"), &action.port);
        self.errors.one_of(&path.key("scheme"), action.scheme.as_deref(), &["HTTP", "HTTPS"]);
        for (index, header) in list(&action.http_headers).iter().enumerate() {
            let path = path.key("httpHeaders").index(index).key("name");
            self.errors.name(&path, &header.name, names::header_name);
        }
    }

    fn tcp_socket(&mut self, action: Option<&TCPSocketAction>) {
        let Some(action) = action else { return };
        self.count += 1;
        port(self.errors, &self.path.key("tcpSocket").key("port"), &action.port);
    }

    fn sleep(&mut self, action: Option<&SleepAction>, grace_seconds: i64) {
        let Some(action) = action else { return };
        self.count += 1;
        if !(0..=grace_seconds).contains(&action.seconds) {
            self.errors.invalid(
                &self.path.key("sleep").key("seconds"),
                &action.seconds,
                format!("must be between 0 and terminationGracePeriodSeconds ({grace_seconds})"),
            );
        }
    }

    fn finish(self) {
        match self.count {
            0 => self.errors.required(self.path, "must specify a handler type"),
            1 => {}
            _ => self.errors.forbidden(self.path, "may not specify more than one handler type"),
        }
    }
}

fn port(errors: &mut Errors, path: &Path, port: &IntOrString) {
    match port {
        IntOrString::Int(number) => errors.in_range(path, i64::from(*number), ports::NUMBERS),
        IntOrString::String(name) => errors.rule(path, name, names::port_name),
    }
}
