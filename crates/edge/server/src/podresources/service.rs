//! The calls of both versions.

use std::sync::{Arc, Mutex, PoisonError};

use localgrpc::podresources::v1::pod_resources_lister_server::PodResourcesLister;
use localgrpc::podresources::v1::{
    AllocatableResourcesRequest, AllocatableResourcesResponse, GetPodResourcesRequest,
    GetPodResourcesResponse, ListPodResourcesRequest, ListPodResourcesResponse,
};
use localgrpc::podresources::v1alpha1;
use localgrpc::podresources::v1alpha1::pod_resources_lister_server::PodResourcesLister as OldLister;
use task::rate::TokenBucket;
use tokio::time::Instant;
use tonic::{Request, Response, Status};

use super::answer;
use super::holder::Holders;
use super::metrics::Metrics;

/// Calls in a second, of all clients together; upstream's number.
const QPS: f64 = 100.0;
/// Calls at once.
const BURST: u32 = 10;

const CURRENT: &str = "v1";
const OLD: &str = "v1alpha1";

pub(super) struct Service {
    holders: Arc<dyn Holders>,
    metrics: Metrics,
    allowed: Mutex<TokenBucket>,
}

impl Service {
    pub(super) fn new(holders: Arc<dyn Holders>, metrics: Metrics) -> Self {
        Self { holders, metrics, allowed: Mutex::new(TokenBucket::new(QPS, BURST)) }
    }

    #[allow(clippy::result_large_err, reason = "the library's error")]
    fn admit(&self) -> Result<(), Status> {
        let mut allowed = self.allowed.lock().unwrap_or_else(PoisonError::into_inner);
        match allowed.try_take(Instant::now()) {
            true => Ok(()),
            false => Err(Status::resource_exhausted("rejected by rate limit")),
        }
    }
}

#[tonic::async_trait]
impl PodResourcesLister for Service {
    async fn list(
        &self,
        _: Request<ListPodResourcesRequest>,
    ) -> Result<Response<ListPodResourcesResponse>, Status> {
        self.admit()?;
        self.metrics.requests.inc(&[CURRENT]);
        self.metrics.lists.inc(&[CURRENT]);
        let pod_resources = answer::list(&self.holders.holders());
        Ok(Response::new(ListPodResourcesResponse { pod_resources }))
    }

    async fn get_allocatable_resources(
        &self,
        _: Request<AllocatableResourcesRequest>,
    ) -> Result<Response<AllocatableResourcesResponse>, Status> {
        self.admit()?;
        self.metrics.requests.inc(&[CURRENT]);
        self.metrics.allocatables.inc(&[CURRENT]);
        // Nothing can be had for oneself alone.
        Ok(Response::new(AllocatableResourcesResponse::default()))
    }

    async fn get(
        &self,
        request: Request<GetPodResourcesRequest>,
    ) -> Result<Response<GetPodResourcesResponse>, Status> {
        self.admit()?;
        self.metrics.requests.inc(&[CURRENT]);
        self.metrics.gets.inc(&[CURRENT]);
        let GetPodResourcesRequest { pod_name, pod_namespace } = request.into_inner();
        let found = answer::get(&self.holders.holders(), &pod_namespace, &pod_name);
        let pod_resources = found.ok_or_else(|| {
            self.metrics.get_errors.inc(&[CURRENT]);
            // The code that Go gives to an error of no kind.
            Status::unknown(format!("pod {pod_name} in namespace {pod_namespace} not found"))
        })?;
        Ok(Response::new(GetPodResourcesResponse { pod_resources: Some(pod_resources) }))
    }
}

#[tonic::async_trait]
impl OldLister for Service {
    async fn list(
        &self,
        _: Request<v1alpha1::ListPodResourcesRequest>,
    ) -> Result<Response<v1alpha1::ListPodResourcesResponse>, Status> {
        self.admit()?;
        self.metrics.requests.inc(&[OLD]);
        let pod_resources = answer::old_list(&self.holders.holders());
        Ok(Response::new(v1alpha1::ListPodResourcesResponse { pod_resources }))
    }
}
