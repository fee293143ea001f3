//! Which PersistentVolume a pod gets by a claim, and whether it may have it. Pure (Kubernetes: "Persistent Volumes";
//! KEP-1698 for claims that are made for a pod). The texts are those that other kubelets put into events.

use types::corev1::{PersistentVolume, PersistentVolumeClaim, Volume};
use types::{Pod, pod};

/// The finalizer of claims that are in use.
const PROTECTION: &str = "kubernetes.io/pvc-protection";

/// The annotation of volumes that belong to a group.
const GID: &str = "pv.beta.kubernetes.io/gid";

/// The claim by which a pod has a volume.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClaimName {
    /// Its name, in the pod's namespace.
    pub name: String,
    /// Whether the pod wants to read only.
    pub read_only: bool,
    /// Whether it is made for this pod, and lives with it.
    pub is_of_pod: bool,
}

/// The volume behind a claim.
#[derive(Clone, Copy, Debug)]
pub struct Bound<'a> {
    /// The volume.
    pub volume: &'a PersistentVolume,
    /// Whether the pod wants to read only.
    pub read_only: bool,
    /// As what the pod gets it.
    pub mode: VolumeMode,
}

/// As what a pod gets a volume (`volumeMode`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum VolumeMode {
    /// A directory.
    Filesystem,
    /// A device.
    Block,
}

impl VolumeMode {
    /// That of `volume`. One that does not say is a directory, as in Kubernetes before there were devices.
    #[must_use]
    pub fn of(volume: &PersistentVolume) -> Self {
        match volume.spec.as_ref().and_then(|spec| spec.volume_mode.as_deref()) {
            Some("Block") => Self::Block,
            _ => Self::Filesystem,
        }
    }
}

/// Why a pod does not get a volume by its claim.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ClaimProblem {
    /// Somebody else's claim has the name that the pod's would have.
    #[error("PVC {namespace}/{claim} was not created for pod {namespace}/{pod} (pod is not owner)")]
    NotOwned {
        /// The namespace of both.
        namespace: String,
        /// The claim.
        claim: String,
        /// The pod.
        pod: String,
    },
    /// Something is wrong with the claim or with its volume.
    #[error("error processing PVC {namespace}/{claim}: {why}")]
    Claim {
        /// The namespace.
        namespace: String,
        /// The claim.
        claim: String,
        /// What is wrong.
        why: ClaimFault,
    },
    /// A container wants to mount what is a device, or the other way round.
    #[error("volume {volume} has volumeMode {mode}, but is specified in {field}")]
    Mode {
        /// The volume's name in the pod.
        volume: String,
        /// What it is.
        mode: String,
        /// Where a container names it: `volumeMounts` or `volumeDevices`.
        field: &'static str,
    },
    /// The volume does not say what it is.
    #[error("cannot get volumeMode for volume: {0}")]
    NoMode(String),
}

/// What is wrong with a claim or with its volume.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ClaimFault {
    /// Nothing protects it any more, so its volume may go at any time.
    #[error("PVC is being deleted")]
    BeingDeleted,
    /// There is no volume for it (yet).
    #[error("PVC is not bound")]
    NotBound,
    /// It is bound and names no volume.
    #[error("PVC has empty pvc.Spec.VolumeName")]
    NoVolume,
    /// The volume is nobody's (yet).
    #[error(
        "found PV object {0} but it has a nil pv.Spec.ClaimRef indicating it is not yet bound to the claim"
    )]
    VolumeNotBound(String),
    /// The volume is another claim's, maybe one of the same name that was there before.
    #[error(
        "found PV object {volume} but its pv.Spec.ClaimRef.UID {bound} does not point to claim.UID {claim}"
    )]
    VolumeOfAnother {
        /// The volume.
        volume: String,
        /// The UID of the claim that it is bound to.
        bound: String,
        /// The UID of the pod's claim.
        claim: String,
    },
}

/// The claim by which `pod` has `volume`; `None` if it has it by no claim.
#[must_use]
pub fn name(pod: &Pod, volume: &Volume) -> Option<ClaimName> {
    if let Some(source) = &volume.persistent_volume_claim {
        let read_only = source.read_only == Some(true);
        return Some(ClaimName { name: source.claim_name.clone(), read_only, is_of_pod: false });
    }
    volume.ephemeral.as_ref()?;
    let name = format!("{}-{}", pod.metadata.name.as_deref().unwrap_or_default(), volume.name);
    Some(ClaimName { name, read_only: false, is_of_pod: true })
}

/// The name of the PersistentVolume that `claim` is bound to, if `pod` may have it by `name`.
///
/// # Errors
/// If the claim is somebody else's, is going, or is not bound.
pub fn volume_of<'a>(
    pod: &Pod,
    name: &ClaimName,
    claim: &'a PersistentVolumeClaim,
) -> Result<&'a str, ClaimProblem> {
    let meta = &claim.metadata;
    let is_going = meta.deletion_timestamp.is_some()
        && !meta.finalizers.iter().flatten().any(|finalizer| finalizer == PROTECTION);
    let phase = claim.status.as_ref().and_then(|status| status.phase.as_deref());
    let bound = claim.spec.as_ref().and_then(|spec| spec.volume_name.as_deref());
    let fault = |why| Err(problem(claim, why));
    if is_going {
        return fault(ClaimFault::BeingDeleted);
    }
    if phase != Some("Bound") {
        return fault(ClaimFault::NotBound);
    }
    let Some(volume) = bound.filter(|bound| !bound.is_empty()) else { return fault(ClaimFault::NoVolume) };
    if name.is_of_pod && !is_controlled_by(claim, pod) {
        return Err(ClaimProblem::NotOwned {
            namespace: meta.namespace.clone().unwrap_or_default(),
            claim: meta.name.clone().unwrap_or_default(),
            pod: pod.metadata.name.clone().unwrap_or_default(),
        });
    }
    Ok(volume)
}

/// The volume that `pod` gets as `volume` by `claim`, which `found` has to be the PersistentVolume of.
///
/// # Errors
/// As [`volume_of`], and if the volume is another claim's, or containers use it as what it is not.
pub fn bound<'a>(
    pod: &Pod,
    volume: &Volume,
    name: &ClaimName,
    claim: &PersistentVolumeClaim,
    found: &'a PersistentVolume,
) -> Result<Bound<'a>, ClaimProblem> {
    volume_of(pod, name, claim)?;
    let pv = found.metadata.name.clone().unwrap_or_default();
    let claim_uid = claim.metadata.uid.clone().unwrap_or_default();
    match found.spec.as_ref().and_then(|spec| spec.claim_ref.as_ref()) {
        None => return Err(problem(claim, ClaimFault::VolumeNotBound(pv))),
        Some(reference) if reference.uid.as_deref().unwrap_or_default() != claim_uid => {
            let bound = reference.uid.clone().unwrap_or_default();
            return Err(problem(claim, ClaimFault::VolumeOfAnother { volume: pv, bound, claim: claim_uid }));
        }
        Some(_) => {}
    }
    let mode = mode(pod, &volume.name, found)?;
    Ok(Bound { volume: found, read_only: name.read_only, mode })
}

/// The group that all processes of a pod are in because it has `volume`, as the volume's annotation has it. What is no group
/// counts as none.
#[must_use]
pub fn group(volume: &PersistentVolume) -> Option<i64> {
    let gid = volume.metadata.annotations.as_ref()?.get(GID)?;
    gid.parse().ok().filter(|gid| *gid >= 0)
}

fn mode(pod: &Pod, name: &str, found: &PersistentVolume) -> Result<VolumeMode, ClaimProblem> {
    let pv = || found.metadata.name.clone().unwrap_or_default();
    let said = found.spec.as_ref().and_then(|spec| spec.volume_mode.as_deref());
    let said = said.ok_or_else(|| ClaimProblem::NoMode(pv()))?;
    let wrong = |field| ClaimProblem::Mode { volume: name.to_owned(), mode: said.to_owned(), field };
    let mut containers = pod::containers(pod).map(|(_, container)| {
        let mounts = container.volume_mounts.iter().flatten().any(|mount| mount.name == name);
        let devices = container.volume_devices.iter().flatten().any(|device| device.name == name);
        (mounts, devices)
    });
    let used = containers.by_ref().fold((false, false), |all, one| (all.0 || one.0, all.1 || one.1));
    match (said, used) {
        ("Filesystem", (_, true)) => Err(wrong("volumeDevices")),
        ("Filesystem", _) => Ok(VolumeMode::Filesystem),
        (_, (true, _)) => Err(wrong("volumeMounts")),
        ("Block", _) => Ok(VolumeMode::Block),
        _ => Err(wrong("volumeDevices")),
    }
}

fn problem(claim: &PersistentVolumeClaim, why: ClaimFault) -> ClaimProblem {
    ClaimProblem::Claim {
        namespace: claim.metadata.namespace.clone().unwrap_or_default(),
        claim: claim.metadata.name.clone().unwrap_or_default(),
        why,
    }
}

fn is_controlled_by(claim: &PersistentVolumeClaim, pod: &Pod) -> bool {
    let owners = claim.metadata.owner_references.iter().flatten();
    let controller = owners.into_iter().find(|owner| owner.controller == Some(true));
    claim.metadata.namespace == pod.metadata.namespace
        && controller.is_some_and(|owner| Some(&owner.uid) == pod.metadata.uid.as_ref())
}

#[cfg(test)]
mod tests;
