//! Volumes that berth mounts itself, as far as the API server has a say in them.

use intree::{Plugin, Source};
use types::corev1::Volume;
use types::{Pod, PodRef, PodUid, pod};
use volume::claim::VolumeMode;
use volume::{Onlooker, Problem};

use super::ClusterDrivers;
use super::attach::{Stage, stage, waits_for};
use super::error::DriversError;
use super::found::ToMount;
use super::grow::OfClaim;
use super::label::Conflicts;

impl ClusterDrivers {
    /// What `pod` is to have of its volume `volume`: with its Secret, and after it was attached if it is one that
    /// the control plane attaches. A static pod does not wait for that.
    pub(super) async fn mounted_here(
        &self,
        pod: &Pod,
        volume: &Volume,
        source: Source<'_>,
        onlooker: &dyn Onlooker,
    ) -> Result<ToMount, Problem> {
        let name = volume.name.as_str();
        let secret = match source.secret(pod) {
            Some(secret) => {
                onlooker.waits_for(name, Some(format!("the API server: Secret {:?}", secret.name)));
                self.secret(Some(csi::SecretName { namespace: secret.namespace, name: secret.name })).await?
            }
            None => None,
        };
        let mut wanted = intree::wanted(pod, source, secret.as_ref()).map_err(DriversError::from)?;
        let mut conflicts = None;
        if let Source::Persistent { volume: found, .. } = source
            && wanted.target.mode == VolumeMode::Filesystem
        {
            wanted.label = self.labels.of(pod, name, found, None).map_err(DriversError::from)?;
            conflicts = Some(Conflicts::of(&self.labels, found));
        }
        if !self.attaching.by_controller {
            wanted.unique_name = None;
        }
        if let Some(unique) = wanted.unique_name.take() {
            let is_attached = self.mounted.is_attached(&wanted).await;
            if is_attached.map_err(|error| Problem::Driver(error.into()))? && !pod::is_static(pod) {
                let uid = PodRef::of(pod).uid;
                let spec_name = &wanted.target.spec_name;
                let device = self.attached_here(&uid, name, spec_name, &unique, onlooker).await;
                (wanted.device_path, wanted.unique_name) = (Some(device), Some(unique));
            }
        }
        let grows = matches!(wanted.target.plugin, Plugin::Local | Plugin::Flex(_))
            && wanted.target.mode == VolumeMode::Filesystem;
        let of_claim = OfClaim::of(pod, volume).filter(|_| grows);
        let grower = of_claim.map(|of_claim| (self.grower.clone(), of_claim));
        Ok(ToMount { volumes: self.mounted.clone(), wanted, conflicts, grower })
    }

    /// Waits until the control plane says that the volume with this unique name is attached, and returns the device that it
    /// names, if it does.
    async fn attached_here(
        &self,
        pod: &PodUid,
        name: &str,
        volume: &str,
        unique: &str,
        onlooker: &dyn Onlooker,
    ) -> String {
        let attaching = &self.attaching;
        attaching.used.want(pod, unique);
        let (mut in_use, mut standing) = (attaching.used.subscribe(), attaching.standing.clone());
        loop {
            let in_use_now = in_use.borrow_and_update().clone();
            let now = stage(unique, in_use_now.as_deref(), &standing.borrow_and_update());
            onlooker.waits_for(name, waits_for(now, volume, None));
            if now == Stage::Attached {
                let node = standing.borrow().node.clone();
                let attached = node.iter().filter_map(|node| node.status.as_ref()?.volumes_attached.as_ref());
                let found = attached.flatten().find(|volume| volume.name == unique);
                return found.map(|volume| volume.device_path.clone()).unwrap_or_default();
            }
            tokio::select! {
                // The senders live as long as the agent.
                Ok(()) = in_use.changed() => {}
                Ok(()) = standing.changed() => {}
            }
        }
    }

    /// A volume that was in use may be gone.
    pub(super) fn doubt_used(&self) {
        self.attaching.used.doubt();
    }
}
