//! The routes of port 10250, which the rest of the cluster knows (Kubernetes: "Kubelet API"), and of the port without
//! authentication.

mod checkpoint;
pub(crate) mod count;
mod debug;
mod health;
mod logquery;
mod logs;
pub(crate) mod needs;
mod pages;
mod process;
mod usage;

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, on, post};
use axum::{Json, Router};
use http::{StatusCode, header};
use telemetry::metrics::TEXT_FORMAT;

use crate::auth::Guard;
use crate::pods::PodList;
use crate::{MetricsPage, nodelogs, stream};

use needs::Shared;
pub use needs::{Needs, Settings};
pub use process::Process;

/// The routes of the port, behind `guard`.
pub fn port(needs: Needs, guard: Guard) -> Router {
    let settings = needs.settings.clone();
    let shared = Arc::new(Shared { needs });
    let mut router = open();
    if settings.debugging {
        router = router.merge(debugging(&settings));
    } else {
        for path in DEBUGGING {
            router = refused_below(router, path, "Debug endpoints are disabled.");
        }
    }
    let counted = count::Counting::of(&shared.needs, false);
    counted.around(guard.before(router.with_state(shared)))
}

/// The routes of the port without authentication (`readOnlyPort`).
pub fn read_only_port(needs: Needs) -> Router {
    let counted = count::Counting::of(&needs, true);
    let mut router = open();
    for path in DEBUGGING {
        router = refused_below(router, path, "Debug endpoints are disabled.");
    }
    counted.around(router.with_state(Arc::new(Shared { needs })))
}

/// Paths that are told to be disabled where debugging is.
const DEBUGGING: [&str; 8] =
    ["/run", "/exec", "/attach", "/portForward", "/containerLogs", "/runningpods", "/debug/pprof", "/logs"];

/// Routes that both ports have.
fn open() -> Router<Arc<Shared>> {
    Router::new()
        .route("/healthz", get(health::all))
        .route("/healthz/{check}", get(health::one))
        .route("/metrics", get(metrics))
        .route("/metrics/cadvisor", get(usage::cadvisor))
        .route("/metrics/probes", get(probe_metrics))
        .route("/metrics/resource", get(usage::resource))
        .route("/pods", get(pods))
        .route("/pods/", get(pods))
        .route("/stats/summary", get(usage::summary).post(usage::summary))
}

/// Routes that only the port with authentication has.
fn debugging(settings: &Settings) -> Router<Arc<Shared>> {
    use stream::{attach, attach_uid, exec, exec_uid, port_forward, port_forward_uid, run, run_uid};
    let either = stream::methods;
    let mut router = Router::new()
        .route("/run/{namespace}/{pod}/{container}", post(run))
        .route("/run/{namespace}/{pod}/{uid}/{container}", post(run_uid))
        .route("/exec/{namespace}/{pod}/{container}", on(either(), exec))
        .route("/exec/{namespace}/{pod}/{uid}/{container}", on(either(), exec_uid))
        .route("/attach/{namespace}/{pod}/{container}", on(either(), attach))
        .route("/attach/{namespace}/{pod}/{uid}/{container}", on(either(), attach_uid))
        .route("/portForward/{namespace}/{pod}", on(either(), port_forward))
        .route("/portForward/{namespace}/{pod}/{uid}", on(either(), port_forward_uid))
        .route("/containerLogs/{namespace}/{pod}/{container}", get(logs::container))
        .route("/runningpods", get(running_pods))
        .route("/runningpods/", get(running_pods))
        .route("/configz", get(pages::configz));
    if settings.checkpoint {
        router = router.route("/checkpoint/{namespace}/{pod}/{container}", post(checkpoint::checkpoint));
    }
    if settings.flagz {
        router = router.route("/flagz", get(pages::flagz));
    }
    if settings.statusz {
        router = router.route("/statusz", get(pages::statusz));
    }
    router = match settings.system_logs {
        true => router
            .route("/logs", get(nodelogs::root))
            .route("/logs/", get(nodelogs::root))
            .route("/logs/{*path}", get(nodelogs::below)),
        false => refused_below(router, "/logs", "logs endpoint is disabled."),
    };
    router = match settings.profiling {
        true => router
            .route("/debug/pprof/", get(debug::index))
            .route("/debug/pprof/cmdline", get(debug::cmdline))
            .route("/debug/pprof/profile", get(debug::cpu))
            .route("/debug/pprof/{*profile}", get(debug::other)),
        false => refused_below(router, "/debug/pprof", "profiling endpoint is disabled."),
    };
    match settings.debug_flags {
        true => router.route("/debug/flags/v", any(debug::verbosity)),
        false => router.route("/debug/flags/v", any(|| refused("flags endpoint is disabled."))),
    }
}

fn refused_below(router: Router<Arc<Shared>>, path: &str, why: &'static str) -> Router<Arc<Shared>> {
    let handler = move || refused(why);
    router
        .route(path, any(handler))
        .route(&format!("{path}/"), any(handler))
        .route(&format!("{path}/{{*rest}}"), any(handler))
}

async fn refused(why: &'static str) -> Response {
    (StatusCode::METHOD_NOT_ALLOWED, format!("{why}\n")).into_response()
}

async fn pods(State(shared): State<Arc<Shared>>) -> Response {
    Json(PodList::of(shared.needs.local.desired())).into_response()
}

async fn running_pods(State(shared): State<Arc<Shared>>) -> Response {
    Json(PodList::of(shared.needs.local.running())).into_response()
}

async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    exposed(shared.needs.local.metrics(MetricsPage::Agent).await)
}

async fn probe_metrics(State(shared): State<Arc<Shared>>) -> Response {
    exposed(shared.needs.local.metrics(MetricsPage::Probes).await)
}

fn exposed(text: String) -> Response {
    ([(header::CONTENT_TYPE, TEXT_FORMAT)], text).into_response()
}
