//! The runtime service of the fake runtime.

use cri::v1::{self, runtime_service_server::RuntimeService};
use futures::stream::{self, BoxStream, StreamExt};
use tokio::sync::broadcast::error::RecvError;
use tonic::{Request, Response, Status};

use super::logs;
use super::serve::{EventsMode, Served};
use super::store::{Container, KILLED, Store, Subject, no_container, no_sandbox};
use super::view::selects;

#[tonic::async_trait]
impl RuntimeService for Served {
    async fn version(
        &self,
        _request: Request<v1::VersionRequest>,
    ) -> Result<Response<v1::VersionResponse>, Status> {
        self.serve("Version", Subject::default(), |_| {
            Ok(v1::VersionResponse {
                version: "0.1.0".into(),
                runtime_name: "containerd".into(),
                runtime_version: "v2.1.4".into(),
                runtime_api_version: "v1".into(),
            })
        })
        .await
    }

    async fn status(
        &self,
        request: Request<v1::StatusRequest>,
    ) -> Result<Response<v1::StatusResponse>, Status> {
        let verbose = request.into_inner().verbose;
        self.serve("Status", Subject::default(), |store| Ok(store.runtime_status(verbose))).await
    }

    async fn runtime_config(
        &self,
        _request: Request<v1::RuntimeConfigRequest>,
    ) -> Result<Response<v1::RuntimeConfigResponse>, Status> {
        self.serve("RuntimeConfig", Subject::default(), |store| {
            let driver =
                store.cgroup_driver.ok_or_else(|| Status::unimplemented("unknown method RuntimeConfig"))?;
            let linux = v1::LinuxRuntimeConfiguration { cgroup_driver: driver as i32 };
            Ok(v1::RuntimeConfigResponse { linux: Some(linux) })
        })
        .await
    }

    async fn update_runtime_config(
        &self,
        _request: Request<v1::UpdateRuntimeConfigRequest>,
    ) -> Result<Response<v1::UpdateRuntimeConfigResponse>, Status> {
        self.serve("UpdateRuntimeConfig", Subject::default(), |_| Ok(v1::UpdateRuntimeConfigResponse {}))
            .await
    }

    async fn run_pod_sandbox(
        &self,
        request: Request<v1::RunPodSandboxRequest>,
    ) -> Result<Response<v1::RunPodSandboxResponse>, Status> {
        let v1::RunPodSandboxRequest { config, runtime_handler } = request.into_inner();
        let config = config.unwrap_or_default();
        let pod = config.metadata.as_ref().map(|metadata| metadata.name.clone());
        self.serve("RunPodSandbox", Subject { pod, container: None }, |store| {
            let pod_sandbox_id = store.run_pod_sandbox(config, runtime_handler)?;
            Ok(v1::RunPodSandboxResponse { pod_sandbox_id })
        })
        .await
    }

    async fn stop_pod_sandbox(
        &self,
        request: Request<v1::StopPodSandboxRequest>,
    ) -> Result<Response<v1::StopPodSandboxResponse>, Status> {
        let id = request.into_inner().pod_sandbox_id;
        self.serve("StopPodSandbox", self.read(|store| store.about_sandbox(&id)), |store| {
            // Like the older containerds: what is gone cannot be stopped.
            store.sandboxes.get(&id).ok_or_else(|| no_sandbox(&id))?;
            store.stop_pod_sandbox(&id);
            Ok(v1::StopPodSandboxResponse {})
        })
        .await
    }

    async fn remove_pod_sandbox(
        &self,
        request: Request<v1::RemovePodSandboxRequest>,
    ) -> Result<Response<v1::RemovePodSandboxResponse>, Status> {
        let id = request.into_inner().pod_sandbox_id;
        self.serve("RemovePodSandbox", self.read(|store| store.about_sandbox(&id)), |store| {
            store.remove_pod_sandbox(&id);
            Ok(v1::RemovePodSandboxResponse {})
        })
        .await
    }

    async fn pod_sandbox_status(
        &self,
        request: Request<v1::PodSandboxStatusRequest>,
    ) -> Result<Response<v1::PodSandboxStatusResponse>, Status> {
        let id = request.into_inner().pod_sandbox_id;
        self.serve("PodSandboxStatus", self.read(|store| store.about_sandbox(&id)), |store| {
            let sandbox = store.sandboxes.get(&id).ok_or_else(|| no_sandbox(&id))?;
            Ok(v1::PodSandboxStatusResponse { status: Some(sandbox.status()), ..Default::default() })
        })
        .await
    }

    async fn list_pod_sandbox(
        &self,
        request: Request<v1::ListPodSandboxRequest>,
    ) -> Result<Response<v1::ListPodSandboxResponse>, Status> {
        let filter = request.into_inner().filter;
        let subject =
            filter.as_ref().map(|filter| self.read(|store| store.about_selector(&filter.label_selector)));
        self.serve("ListPodSandbox", subject.unwrap_or_default(), |store| {
            Ok(v1::ListPodSandboxResponse { items: store.list_pod_sandboxes(filter) })
        })
        .await
    }

    async fn update_pod_sandbox_resources(
        &self,
        request: Request<v1::UpdatePodSandboxResourcesRequest>,
    ) -> Result<Response<v1::UpdatePodSandboxResourcesResponse>, Status> {
        let id = request.into_inner().pod_sandbox_id;
        self.serve("UpdatePodSandboxResources", self.read(|store| store.about_sandbox(&id)), |store| {
            store.sandboxes.get(&id).ok_or_else(|| no_sandbox(&id))?;
            Ok(v1::UpdatePodSandboxResourcesResponse {})
        })
        .await
    }

    async fn create_container(
        &self,
        request: Request<v1::CreateContainerRequest>,
    ) -> Result<Response<v1::CreateContainerResponse>, Status> {
        let request = request.into_inner();
        let metadata = request.config.as_ref().and_then(|config| config.metadata.as_ref());
        let subject = Subject {
            container: metadata.map(|metadata| metadata.name.clone()),
            ..self.read(|store| store.about_sandbox(&request.pod_sandbox_id))
        };
        self.serve("CreateContainer", subject, |store| {
            Ok(v1::CreateContainerResponse { container_id: store.create_container(request)? })
        })
        .await
    }

    async fn start_container(
        &self,
        request: Request<v1::StartContainerRequest>,
    ) -> Result<Response<v1::StartContainerResponse>, Status> {
        let id = request.into_inner().container_id;
        self.serve("StartContainer", self.read(|store| store.about_container(&id)), |store| {
            store.start_container(&id)?;
            Ok(v1::StartContainerResponse {})
        })
        .await
    }

    async fn stop_container(
        &self,
        request: Request<v1::StopContainerRequest>,
    ) -> Result<Response<v1::StopContainerResponse>, Status> {
        let v1::StopContainerRequest { container_id: id, timeout } = request.into_inner();
        let grace = std::time::Duration::from_secs(timeout.try_into().unwrap_or_default());
        self.serve_with("StopContainer", self.read(|store| store.about_container(&id)), || async {
            let script = self.read(|store| {
                let container = store.containers.get(&id).ok_or_else(|| no_container(&id))?;
                let script = container.is_running().then(|| store.script(&container.pod, container.name()));
                Ok::<_, Status>(script)
            })?;
            if let Some(script) = script {
                let mut changes = self.changes();
                let runs = |store: &Store| store.containers.get(&id).is_some_and(Container::is_running);
                let ended_by_itself = async { while self.read(runs) && changes.changed().await.is_ok() {} };
                if tokio::time::timeout(script.stops_after.min(grace), ended_by_itself).await.is_err() {
                    let code = if script.stops_after > grace { KILLED } else { script.stop_code };
                    self.change(|store| store.exit(&id, code));
                }
            }
            Ok(v1::StopContainerResponse {})
        })
        .await
    }

    async fn remove_container(
        &self,
        request: Request<v1::RemoveContainerRequest>,
    ) -> Result<Response<v1::RemoveContainerResponse>, Status> {
        let id = request.into_inner().container_id;
        self.serve("RemoveContainer", self.read(|store| store.about_container(&id)), |store| {
            store.remove_container(&id);
            Ok(v1::RemoveContainerResponse {})
        })
        .await
    }

    async fn container_status(
        &self,
        request: Request<v1::ContainerStatusRequest>,
    ) -> Result<Response<v1::ContainerStatusResponse>, Status> {
        let id = request.into_inner().container_id;
        self.serve("ContainerStatus", self.read(|store| store.about_container(&id)), |store| {
            let container = store.containers.get(&id).ok_or_else(|| no_container(&id))?;
            let status = Some(store.container_status(container));
            Ok(v1::ContainerStatusResponse { status, ..Default::default() })
        })
        .await
    }

    async fn list_containers(
        &self,
        request: Request<v1::ListContainersRequest>,
    ) -> Result<Response<v1::ListContainersResponse>, Status> {
        let filter = request.into_inner().filter;
        let subject =
            filter.as_ref().map(|filter| self.read(|store| store.about_selector(&filter.label_selector)));
        self.serve("ListContainers", subject.unwrap_or_default(), |store| {
            Ok(v1::ListContainersResponse { containers: store.list_containers(filter) })
        })
        .await
    }

    async fn update_container_resources(
        &self,
        request: Request<v1::UpdateContainerResourcesRequest>,
    ) -> Result<Response<v1::UpdateContainerResourcesResponse>, Status> {
        let v1::UpdateContainerResourcesRequest { container_id: id, linux, .. } = request.into_inner();
        self.serve("UpdateContainerResources", self.read(|store| store.about_container(&id)), |store| {
            store.containers.get_mut(&id).ok_or_else(|| no_container(&id))?.resources = linux;
            Ok(v1::UpdateContainerResourcesResponse {})
        })
        .await
    }

    async fn reopen_container_log(
        &self,
        request: Request<v1::ReopenContainerLogRequest>,
    ) -> Result<Response<v1::ReopenContainerLogResponse>, Status> {
        let id = request.into_inner().container_id;
        self.serve("ReopenContainerLog", self.read(|store| store.about_container(&id)), |store| {
            let path = &store.running(&id)?.log_path;
            logs::create(path)
                .map_err(|error| Status::unknown(format!("failed to reopen {path:?}: {error}")))?;
            Ok(v1::ReopenContainerLogResponse {})
        })
        .await
    }

    async fn exec_sync(
        &self,
        request: Request<v1::ExecSyncRequest>,
    ) -> Result<Response<v1::ExecSyncResponse>, Status> {
        let v1::ExecSyncRequest { container_id: id, cmd, timeout } = request.into_inner();
        self.serve_with("ExecSync", self.read(|store| store.about_container(&id)), || async {
            let answer = self.read(|store| {
                store.running(&id)?;
                Ok::<_, Status>(store.exec_answers.get(&cmd).cloned().unwrap_or_default())
            })?;
            let limit = std::time::Duration::from_secs(timeout.try_into().unwrap_or_default());
            if !limit.is_zero() && answer.takes > limit {
                tokio::time::sleep(limit).await;
                let message = format!("failed to exec in container: timeout {limit:?} exceeded");
                return Err(Status::deadline_exceeded(message));
            }
            tokio::time::sleep(answer.takes).await;
            Ok(v1::ExecSyncResponse {
                stdout: answer.stdout,
                stderr: answer.stderr,
                exit_code: answer.exit_code,
            })
        })
        .await
    }

    async fn exec(&self, request: Request<v1::ExecRequest>) -> Result<Response<v1::ExecResponse>, Status> {
        let id = request.into_inner().container_id;
        self.serve("Exec", self.read(|store| store.about_container(&id)), |store| {
            store.running(&id)?;
            Ok(v1::ExecResponse { url: format!("{}/exec/{id}", store.streaming_url) })
        })
        .await
    }

    async fn attach(
        &self,
        request: Request<v1::AttachRequest>,
    ) -> Result<Response<v1::AttachResponse>, Status> {
        let id = request.into_inner().container_id;
        self.serve("Attach", self.read(|store| store.about_container(&id)), |store| {
            store.running(&id)?;
            Ok(v1::AttachResponse { url: format!("{}/attach/{id}", store.streaming_url) })
        })
        .await
    }

    async fn port_forward(
        &self,
        request: Request<v1::PortForwardRequest>,
    ) -> Result<Response<v1::PortForwardResponse>, Status> {
        let id = request.into_inner().pod_sandbox_id;
        self.serve("PortForward", self.read(|store| store.about_sandbox(&id)), |store| {
            if !store.sandboxes.get(&id).ok_or_else(|| no_sandbox(&id))?.ready {
                return Err(Status::unknown(format!("sandbox container {id:?} is not running")));
            }
            Ok(v1::PortForwardResponse { url: format!("{}/portforward/{id}", store.streaming_url) })
        })
        .await
    }

    async fn container_stats(
        &self,
        request: Request<v1::ContainerStatsRequest>,
    ) -> Result<Response<v1::ContainerStatsResponse>, Status> {
        let id = request.into_inner().container_id;
        self.serve("ContainerStats", self.read(|store| store.about_container(&id)), |store| {
            let stats = Store::container_stats(store.containers.get(&id).ok_or_else(|| no_container(&id))?);
            Ok(v1::ContainerStatsResponse { stats: Some(stats) })
        })
        .await
    }

    async fn list_container_stats(
        &self,
        request: Request<v1::ListContainerStatsRequest>,
    ) -> Result<Response<v1::ListContainerStatsResponse>, Status> {
        let filter = request.into_inner().filter.unwrap_or_default();
        self.serve("ListContainerStats", Subject::default(), |store| {
            let running = store.all_containers().filter(|container| {
                container.is_running()
                    && (filter.id.is_empty() || filter.id == container.id)
                    && (filter.pod_sandbox_id.is_empty() || filter.pod_sandbox_id == container.sandbox_id)
                    && selects(&filter.label_selector, &container.config.labels)
            });
            Ok(v1::ListContainerStatsResponse { stats: running.map(Store::container_stats).collect() })
        })
        .await
    }

    async fn pod_sandbox_stats(
        &self,
        request: Request<v1::PodSandboxStatsRequest>,
    ) -> Result<Response<v1::PodSandboxStatsResponse>, Status> {
        let id = request.into_inner().pod_sandbox_id;
        self.serve("PodSandboxStats", self.read(|store| store.about_sandbox(&id)), |store| {
            let sandbox = store.sandboxes.get(&id).ok_or_else(|| no_sandbox(&id))?;
            Ok(v1::PodSandboxStatsResponse { stats: Some(store.pod_sandbox_stats(sandbox)) })
        })
        .await
    }

    async fn list_pod_sandbox_stats(
        &self,
        request: Request<v1::ListPodSandboxStatsRequest>,
    ) -> Result<Response<v1::ListPodSandboxStatsResponse>, Status> {
        let filter = request.into_inner().filter.unwrap_or_default();
        self.serve("ListPodSandboxStats", Subject::default(), |store| {
            let ready = store.all_sandboxes().filter(|sandbox| {
                sandbox.ready
                    && (filter.id.is_empty() || filter.id == sandbox.id)
                    && selects(&filter.label_selector, &sandbox.config.labels)
            });
            let stats = ready.map(|sandbox| store.pod_sandbox_stats(sandbox)).collect();
            Ok(v1::ListPodSandboxStatsResponse { stats })
        })
        .await
    }

    async fn list_metric_descriptors(
        &self,
        _request: Request<v1::ListMetricDescriptorsRequest>,
    ) -> Result<Response<v1::ListMetricDescriptorsResponse>, Status> {
        self.serve("ListMetricDescriptors", Subject::default(), |_| {
            Ok(v1::ListMetricDescriptorsResponse::default())
        })
        .await
    }

    async fn list_pod_sandbox_metrics(
        &self,
        _request: Request<v1::ListPodSandboxMetricsRequest>,
    ) -> Result<Response<v1::ListPodSandboxMetricsResponse>, Status> {
        self.serve("ListPodSandboxMetrics", Subject::default(), |_| {
            Ok(v1::ListPodSandboxMetricsResponse::default())
        })
        .await
    }

    /// Like a server in Go, it does not answer at all before the first event.
    async fn get_container_events(
        &self,
        _request: Request<v1::GetEventsRequest>,
    ) -> Result<Response<BoxStream<'static, Result<v1::ContainerEventResponse, Status>>>, Status> {
        let events = self.events();
        let mut deaths = self.deaths().subscribe();
        deaths.mark_unchanged();
        self.serve("GetContainerEvents", Subject::default(), |_| Ok(())).await?;
        if *self.events_mode().borrow() == EventsMode::Unimplemented {
            return Err(Status::unimplemented("unknown method GetContainerEvents"));
        }
        let dead = async move {
            // The sender is gone only together with the whole server.
            let _ = deaths.changed().await;
            Err(Status::unavailable("the event stream died"))
        };
        let alive = stream::unfold(events, |mut events| async move {
            loop {
                match events.recv().await {
                    Ok(event) => return Some((Ok((*event).clone()), events)),
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return None,
                }
            }
        });
        // The first error is the last thing that the stream says.
        let until_dead = stream::select(alive, stream::once(dead)).scan(false, |ended, event| {
            let over = std::mem::replace(ended, event.is_err());
            futures::future::ready((!over).then_some(event))
        });
        let mut stream = Box::pin(until_dead);
        let first = stream.next().await.unwrap_or_else(|| Err(Status::unavailable("the server is gone")))?;
        Ok(Response::new(stream::once(futures::future::ready(Ok(first))).chain(stream).boxed()))
    }
}
