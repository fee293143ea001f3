//! Starting containers: image, configuration, creation, start, postStart hook.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use containerconfig::Variable;
use containerconfig::env::{EnvError, EnvFiles, EnvInput, environment, files_of};
use containerconfig::mounts::ResolvedDevice;
use containerconfig::security::{ImageUser, add_groups};
use containerconfig::{ConfigError, ContainerInput, ResolvedMount, container_config, hosts, logpath, mounts};
use cri::{CriError, CriErrorKind};
use image::policy::PullPolicy;
use image::{Ensured, Request};
use task::cell::PodCell;
use types::corev1::Secret;
use types::objects::{Objects, References};
use types::reason::{event, waiting};
use types::{Container, ContainerId, ContainerKind, Event, Failure, ObservedPod, Pod, Step, pod};
use volume::subpath::SubPath;

use crate::apiobjects::API_AWAY;
use crate::executor::{Executor, SyncError, again_in};
use crate::files;
use crate::hooks::{self, HookContext};
use crate::plan::{Kill, KillReason, Plan, Start};
use crate::sandbox::{ReadySandbox, seen_for};

/// What became of the containers that were to be started.
#[derive(Default)]
pub(crate) struct Started {
    pub(crate) failures: Vec<String>,
    pub(crate) again_in: Option<Duration>,
}

/// Why one container could not be started: its `waiting` state.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
struct StartError {
    reason: &'static str,
    message: String,
    again_in: Option<Duration>,
}

impl StartError {
    fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), again_in: None }
    }

    fn call(reason: &'static str, error: &CriError) -> Self {
        Self { reason, message: telemetry::chain(error), again_in: again_in(error) }
    }

    fn config(error: &ConfigError) -> Self {
        let transient = matches!(error, ConfigError::Env(EnvError::Object(error)) if !error.is_not_found());
        Self { again_in: transient.then_some(API_AWAY), ..Self::new(error.reason(), telemetry::chain(error)) }
    }
}

/// What all containers of one pod are started with.
struct Starting<'a> {
    executor: &'a Executor,
    pod: &'a Arc<Pod>,
    observed: &'a ObservedPod,
    sandbox: &'a ReadySandbox,
    pull_secrets: &'a [Arc<Secret>],
    cell: &'a PodCell,
}

impl Executor {
    /// Makes the sandbox if need be and starts what the plan says, in its order.
    pub(crate) async fn start_all(
        &self,
        pod: &Arc<Pod>,
        observed: &ObservedPod,
        plan: &Plan,
        not_killed: &[ContainerId],
        cell: &PodCell,
    ) -> Result<Started, SyncError> {
        // Before the slot: an API server that is away, volumes that are yet to be attached, and those that hang must not hold
        // up pods that need nothing of them.
        let volumes = self.find_volumes(pod, cell).await?;
        let objects = self.find(pod, &References::of_pod(pod), cell, Step::Volumes, None).await;
        let pull_secrets = self.pull_secrets(pod, &objects, cell);
        cell.at(Step::Volumes, None, "volumes of other pods");
        let place = self.preparing.acquire().await;
        let prepared = self.prepare(pod, &objects, &volumes, cell).await?;
        drop(place);
        cell.at(Step::StartSlot, None, "other pods to be started");
        let slot = self.starts.acquire().await;
        let sandbox = self.ready_sandbox(pod, observed, plan, prepared, cell).await?;
        let starting =
            Starting { executor: self, pod, observed, sandbox: &sandbox, pull_secrets: &pull_secrets, cell };
        let mut started = Started::default();
        for start in &plan.start {
            if start.replaces.as_ref().is_some_and(|id| not_killed.contains(id)) {
                continue;
            }
            match starting.start(start).await {
                Ok(()) => cell.container_failure(&start.name, None),
                Err(error) => {
                    self.tell_start_failure(start, &error, cell);
                    started.failures.push(format!("container {:?}: {}: {error}", &*start.name, error.reason));
                    started.again_in = started.again_in.into_iter().chain(error.again_in).min();
                    if start.kind == ContainerKind::Init {
                        break;
                    }
                }
            }
        }
        drop(slot);
        if started.failures.is_empty()
            && let Some(took) = seen_for(pod).filter(|_| observed.is_absent())
        {
            self.needs.metrics.pod_start_duration.observe(&[], took.as_secs_f64());
        }
        Ok(started)
    }

    /// The Secrets that the pod's images are pulled with. Without one of them a pull may still succeed.
    fn pull_secrets(&self, pod: &Pod, found: &Objects, cell: &PodCell) -> Vec<Arc<Secret>> {
        let mut secrets = Vec::new();
        let mut missing = Vec::new();
        // In the order of the spec, which is that of attempts. The API lets names be empty; those mean nothing.
        let listed =
            pod::spec(pod).image_pull_secrets.iter().flatten().map(|reference| reference.name.as_str());
        for name in listed.filter(|name| !name.is_empty()) {
            match found.secrets.get(name) {
                Some(Ok(secret)) => secrets.push(Arc::clone(secret)),
                _ => missing.push(name),
            }
        }
        if !missing.is_empty() {
            let text = format!(
                "Unable to retrieve some image pull secrets ({}); attempting to pull the image may not succeed.",
                missing.join(", ")
            );
            self.needs.recorder.record(Event::warning(&cell.pod, event::FAILED_PULL_SECRET, text));
        }
        secrets
    }

    fn tell_start_failure(&self, start: &Start, error: &StartError, cell: &PodCell) {
        self.needs.metrics.started_containers_errors.inc(&[start.kind.metric_label(), error.reason]);
        tracing::warn!(pod = %cell.pod, container = &*start.name, reason = error.reason, error = error.message, "Container could not be started");
        let failure = Failure { reason: error.reason.to_owned(), message: error.message.clone() };
        let news = cell.failures.borrow().get(&*start.name) != Some(&failure);
        // The image's own events have been told where it was pulled; a hook's where it ran.
        let told = matches!(
            error.reason,
            waiting::ERR_IMAGE_PULL
                | waiting::IMAGE_PULL_BACK_OFF
                | waiting::ERR_IMAGE_NEVER_PULL
                | waiting::IMAGE_INSPECT_ERROR
                | waiting::INVALID_IMAGE_NAME
                | waiting::REGISTRY_UNAVAILABLE
                | waiting::SIGNATURE_VALIDATION_FAILED
                | waiting::POST_START_HOOK_ERROR
        );
        if news && !told {
            let event = Event::warning(&cell.pod, event::FAILED, format!("Error: {}", error.message));
            self.needs.recorder.record(event.about(start.kind, &start.name));
        }
        cell.container_failure(&start.name, Some(failure));
    }
}

/// The container cannot be configured as it is.
fn unusable(text: String) -> StartError {
    StartError::new(waiting::CREATE_CONTAINER_CONFIG_ERROR, text)
}

impl Starting<'_> {
    async fn start(&self, start: &Start) -> Result<(), StartError> {
        let Self { executor, pod, observed, sandbox, cell, .. } = *self;
        let Some((kind, container)) = pod::container(pod, &start.name) else { return Ok(()) };
        let runtime = &executor.needs.runtime;
        executor.needs.metrics.started_containers.inc(&[kind.metric_label()]);
        let image_name = container.image.as_deref().unwrap_or_default();
        let policy = PullPolicy::of(container.image_pull_policy.as_deref());
        cell.at(Step::Image, Some(&start.name), waits_for_image(image_name, policy));
        let image = self.ensure_image(&start.name, kind, image_name, policy).await?;

        cell.at(Step::Create, Some(&start.name), "its configuration");
        let message = self.message_file(&container)?;
        let config = self.configure(start, kind, &container, &image, message.as_deref()).await?;
        if let Some(path) = &message {
            files::make_dir(path.parent().unwrap_or(path), volume::paths::DIR_MODE)
                .and_then(|()| files::make_writable_file(path))
                .map_err(|error| unusable(telemetry::chain(&error)))?;
        }
        let log_path = Path::new(&sandbox.config.log_directory).join(&config.log_path);
        cell.at(Step::Create, Some(&start.name), "CRI call CreateContainer");
        let id = runtime
            .create_container(&sandbox.id, config, sandbox.config.clone())
            .await
            .inspect_err(|error| {
                // Each try makes a file of its own. One that the runtime may yet use stays.
                if error.kind == CriErrorKind::Other
                    && let Some(path) = &message
                {
                    let _ = std::fs::remove_file(path);
                }
            })
            .map_err(|error| StartError::call(waiting::CREATE_CONTAINER_ERROR, &error))?;
        let tell = |reason, text: String| {
            executor.needs.recorder.record(Event::normal(&cell.pod, reason, text).about(kind, &start.name));
        };
        tell(event::CREATED, format!("Container created: {}", start.name));
        cell.at(Step::Start, Some(&start.name), "CRI call StartContainer");
        if let Some(ended) = observed.newest(&start.name) {
            executor.crash.restarted(&cell.pod.uid, ended, image_name, jiff::Timestamp::now());
        }
        executor
            .under_way
            .start(runtime, &cell.pod.uid, &id)
            .await
            .map_err(|error| StartError::call(waiting::RUN_CONTAINER_ERROR, &error))?;
        tell(event::STARTED, format!("Container started: {}", start.name));
        let link = logpath::legacy_link_name(&cell.pod, &start.name, id.as_str());
        files::link_log(&executor.settings.container_logs_dir.join(link), &log_path);
        self.post_start(kind, &container, &id).await
    }

    async fn ensure_image(
        &self,
        container: &str,
        kind: ContainerKind,
        image: &str,
        policy: PullPolicy,
    ) -> Result<Ensured, StartError> {
        let sandbox = Some(&self.sandbox.config);
        let (pod, pull_secrets) = (&self.cell.pod, self.pull_secrets);
        let request = Request { pod, kind, container, image, policy, pull_secrets, sandbox };
        self.executor.needs.images.ensure(&request).await.map_err(|error| StartError {
            reason: error.reason,
            message: error.message,
            again_in: error.retry_in,
        })
    }

    /// Where the container's termination message will be, if it may have one.
    fn message_file(&self, container: &Container) -> Result<Option<PathBuf>, StartError> {
        let paths = self.executor.needs.volumes.paths(&self.cell.pod.uid);
        let paths = paths.map_err(|error| unusable(error.to_string()))?;
        let is_wanted = container.termination_message_path.as_deref().is_some_and(|path| !path.is_empty());
        // A name of its own for each instance: the one before may still be read.
        let run = types::hash::fnv1a_32(jiff::Timestamp::now().as_nanosecond().to_string().as_bytes());
        Ok(is_wanted.then(|| paths.termination_log(&container.name, run)))
    }

    async fn configure(
        &self,
        start: &Start,
        kind: ContainerKind,
        container: &Container,
        image: &Ensured,
        termination_log: Option<&Path>,
    ) -> Result<cri::v1::ContainerConfig, StartError> {
        let Self { executor, pod, observed, sandbox, cell, .. } = *self;
        let paths =
            executor.needs.volumes.paths(&cell.pod.uid).map_err(|error| unusable(error.to_string()))?;
        let pod_ips: &[_] = if pod::host_network(pod) { &[] } else { &sandbox.ips };
        let mut references = References::default();
        references.add_environment(container);
        let objects = executor.find(pod, &references, cell, Step::Create, Some(&container.name)).await;
        cell.at(Step::Create, Some(&container.name), "the API server: Services");
        let services = executor.needs.objects.services(pod).await;
        let services = services.map_err(|error| StartError::config(&EnvError::Object(error).into()))?;
        let files = self.read_env_files(container).await;
        let env = environment(&EnvInput {
            pod,
            container,
            pod_ips: &sandbox.ips,
            services: &services,
            objects: &objects,
            facts: &sandbox.facts,
            files: &files,
        })
        .map_err(|error| StartError::config(&error.into()))?;
        let resolved = self.resolve_mounts(container, kind, &env).await?;
        let devices = self.resolve_devices(container)?;

        let hosts_file = hosts::is_mounted(pod, container, pod_ips).then(|| paths.etc_hosts());
        if let Some(path) = &hosts_file {
            let node_file = if pod::host_network(pod) { files::node_hosts() } else { String::new() };
            let hostname = containerconfig::hostname::Hostname::of(pod, &sandbox.facts.cluster_domain);
            let content = hosts::content(pod, pod_ips, &hostname, &node_file);
            files::write_hosts(path, &content).map_err(|error| unusable(telemetry::chain(&error)))?;
        }
        let log_dir = Path::new(&sandbox.config.log_directory).join(&container.name);
        files::make_dir(&log_dir, 0o755).map_err(|error| unusable(telemetry::chain(&error)))?;
        let target = pod::ephemeral_containers(pod)
            .iter()
            .find(|ephemeral| ephemeral.name == container.name)
            .and_then(|ephemeral| ephemeral.target_container_name.as_deref())
            .and_then(|name| observed.newest(name))
            .map(|target| target.id.as_str());
        let config = container_config(&ContainerInput {
            pod,
            kind,
            container,
            restart_count: start.restart_count.unwrap_or_else(|| files::restart_count_from_logs(&log_dir)),
            image_ref: &image.image_ref,
            image_user: &ImageUser { uid: image.uid, name: image.username.clone() },
            runtime_handler: &sandbox.runtime_handler,
            env: &env,
            mounts: &resolved,
            devices: &devices,
            cdi_devices: &[],
            annotations: &containerconfig::labels::Map::default(),
            hosts_file: hosts_file.as_deref(),
            termination_log,
            target_container_id: target,
            userns: sandbox.userns.as_ref(),
            exclusive_cpus: false,
            facts: &sandbox.facts,
        });
        let mut config = config.map_err(|error| StartError::config(&error))?;
        if let Some(context) = config.linux.as_mut().and_then(|linux| linux.security_context.as_mut()) {
            add_groups(&mut context.supplemental_groups, &sandbox.groups);
        }
        Ok(config)
    }

    /// The files that variables of `container` come from.
    async fn read_env_files(&self, container: &Container) -> EnvFiles {
        let Self { executor, sandbox, cell, .. } = *self;
        let mut files = EnvFiles::new();
        for (volume, path) in files_of(container) {
            cell.at(Step::Create, Some(&container.name), format!("file {path:?} of volume {volume:?}"));
            let read = match sandbox.volumes.get(&volume).and_then(|volume| volume.source.host_path()) {
                None => Err(format!("the pod has no volume {volume:?} with files")),
                Some(dir) => {
                    let read = executor.needs.volumes.read_file(&cell.pod.uid, &volume, dir, &path).await;
                    read.map_err(|error| telemetry::chain(&error))
                }
            };
            files.insert((volume, path), read);
        }
        files
    }

    /// The container's mounts with what they show: sub-paths mounted, images of volumes pulled.
    async fn resolve_mounts<'a>(
        &self,
        container: &'a Container,
        kind: ContainerKind,
        env: &[Variable],
    ) -> Result<Vec<ResolvedMount<'a>>, StartError> {
        let Self { executor, sandbox, cell, .. } = *self;
        let mut resolved = Vec::new();
        for (index, mount) in container.volume_mounts.iter().flatten().enumerate() {
            let volume = sandbox.volumes.get(&mount.name).ok_or_else(|| {
                unusable(format!("volumeMount refers to volume {:?}, which the pod lacks", mount.name))
            })?;
            let sub_path = mounts::sub_path(mount, env).map_err(|error| StartError::config(&error.into()))?;
            let source = match &volume.source {
                volume::MountSource::Device(_) => {
                    return Err(unusable(format!(
                        "volume {:?} is a device: name it in volumeDevices, not in volumeMounts",
                        mount.name
                    )));
                }
                volume::MountSource::HostPath(path) => mounts::MountSource::Path(match sub_path {
                    None => path.clone(),
                    Some(sub_path) => {
                        let part = SubPath {
                            volume: mount.name.clone(),
                            volume_path: path.clone(),
                            container: container.name.clone(),
                            index,
                            path: sub_path,
                        };
                        let mounted = executor.needs.volumes.mount_subpath(&cell.pod.uid, part).await;
                        mounted.map_err(|error| unusable(telemetry::chain(&error)))?
                    }
                }),
                volume::MountSource::Image { reference, pull_policy } => {
                    let policy = PullPolicy::of(pull_policy.as_deref());
                    cell.at(Step::Image, Some(&container.name), waits_for_image(reference, policy));
                    let metrics = &self.executor.needs.metrics;
                    metrics.image_volumes_requested.inc(&[]);
                    let image = self
                        .ensure_image(&container.name, kind, reference, policy)
                        .await
                        .inspect_err(|_| metrics.image_volumes_failed.inc(&[]))?;
                    metrics.image_volumes_mounted.inc(&[]);
                    let sub_path = sub_path.unwrap_or_default();
                    mounts::MountSource::Image {
                        image_ref: image.image_ref,
                        image: reference.clone(),
                        sub_path,
                    }
                }
            };
            resolved.push(ResolvedMount {
                mount,
                source,
                read_only: volume.read_only,
                relabel: volume.selinux_relabel,
            });
        }
        Ok(resolved)
    }

    /// The container's devices.
    fn resolve_devices(&self, container: &Container) -> Result<Vec<ResolvedDevice>, StartError> {
        let resolved = container.volume_devices.iter().flatten().map(|device| {
            let name = &device.name;
            let volume = self.sandbox.volumes.get(name);
            let volume = volume.ok_or_else(|| {
                unusable(format!("volumeDevice refers to volume {name:?}, which the pod lacks"))
            })?;
            let volume::MountSource::Device(path) = &volume.source else {
                return Err(unusable(format!(
                    "volume {name:?} is no device: name it in volumeMounts, not in volumeDevices"
                )));
            };
            Ok(ResolvedDevice {
                host_path: path.clone(),
                container_path: device.device_path.clone(),
                read_only: volume.read_only,
            })
        });
        resolved.collect()
    }

    async fn post_start(
        &self,
        kind: ContainerKind,
        container: &Container,
        id: &ContainerId,
    ) -> Result<(), StartError> {
        let Self { executor, pod, observed, sandbox, cell, .. } = *self;
        let hook = container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.post_start.as_ref());
        let Some(hook) = hook else { return Ok(()) };
        cell.at(Step::Hook, Some(&container.name), hooks::waits_for("postStart", hook));
        let context = HookContext {
            runtime: &executor.needs.runtime,
            pod: &cell.pod,
            container,
            id,
            ip: sandbox.ips.first().copied(),
            recorder: &executor.needs.recorder,
            metrics: &executor.needs.metrics,
        };
        let Err(error) = Box::pin(hooks::run(hook, &context, None)).await else { return Ok(()) };
        let text = telemetry::chain(&error);
        let failed = Event::warning(&cell.pod, event::FAILED_POST_START_HOOK, "PostStartHook failed");
        executor.needs.recorder.record(failed.about(kind, &container.name));
        let kill = Kill {
            id: id.clone(),
            name: container.name.as_str().into(),
            kind: Some(kind),
            reason: KillReason::PodStopped,
            message: "FailedPostStartHook".to_owned(),
            grace_seconds: pod::termination_grace_seconds(pod),
        };
        // What cannot be killed now is seen running by the next round.
        let _ = executor.kill(pod, observed, &kill, cell).await;
        Err(StartError::new(waiting::POST_START_HOOK_ERROR, text))
    }
}

/// What is waited for while an image is made sure of.
fn waits_for_image(image: &str, policy: PullPolicy) -> String {
    let calls = match policy {
        PullPolicy::Always => "CRI call PullImage",
        PullPolicy::IfNotPresent => "CRI call ImageStatus, and PullImage if it is missing",
        PullPolicy::Never => "CRI call ImageStatus",
    };
    format!("image {image:?}: {calls}")
}
