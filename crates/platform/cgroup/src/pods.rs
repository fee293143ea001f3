//! The cgroups of pods: `<root>/kubepods{,/burstable,/besteffort}/pod<uid>` (Kubernetes: "Node Allocatable").

use std::sync::Arc;

use types::resources::Amounts;
use types::{Pod, PodRef, PodUid, QosClass};

use crate::resources::{PodCgroupConfig, kubepods_limits, pod_limits, qos_limits, reserved_limits};
use crate::{CgroupError, CgroupName, Cgroups, Limits, NameError, cpu};

const CLASSES: [QosClass; 3] = [QosClass::Guaranteed, QosClass::Burstable, QosClass::BestEffort];

/// A pod's cgroup that exists.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PodCgroup {
    /// Whose it is.
    pub uid: PodUid,
    /// The class under which it was found.
    pub class: QosClass,
    /// Its name.
    pub name: CgroupName,
}

/// The QoS tree. Cheap to clone.
#[derive(Clone, Debug)]
pub struct PodCgroups {
    cgroups: Cgroups,
    kubepods: CgroupName,
    page_sizes: Arc<[u64]>,
}

impl PodCgroups {
    /// The tree under the root of `cgroups`, on a node with huge pages of `page_sizes` bytes. Makes nothing yet.
    ///
    /// # Errors
    /// Never in practice: only if `kubepods` were no valid name.
    pub fn new(cgroups: Cgroups, page_sizes: &[u64]) -> Result<Self, NameError> {
        let kubepods = cgroups.root().child("kubepods")?;
        Ok(Self { cgroups, kubepods, page_sizes: page_sizes.into() })
    }

    /// Makes the cgroups of all pods and of the classes.
    ///
    /// # Errors
    /// If the kernel or systemd refuses.
    pub async fn setup(&self) -> Result<(), CgroupError> {
        self.cgroups.ensure(&self.kubepods, &Limits::default()).await?;
        let best_effort = qos_limits(QosClass::BestEffort, &[], &self.page_sizes);
        self.cgroups.ensure(&self.class(QosClass::BestEffort)?, &best_effort).await?;

        let name = self.class(QosClass::Burstable)?;
        let mut burstable = qos_limits(QosClass::Burstable, &[], &self.page_sizes);
        if self.cgroups.exists(&name).await? {
            // Its weight is the sum of its pods', which may be running already and are not known here.
            burstable.cpu_shares = None;
        }
        self.cgroups.ensure(&name, &burstable).await?;
        Ok(())
    }

    /// Sets what pods may use together: capacity minus reservations when `enforceNodeAllocatable` has `pods`, otherwise
    /// the whole capacity.
    ///
    /// # Errors
    /// If the kernel or systemd refuses, as the kernel does while pods use more memory than that.
    pub async fn limit_together(&self, together: &Amounts) -> Result<(), CgroupError> {
        self.cgroups.update(&self.kubepods, &kubepods_limits(together, &self.page_sizes)).await
    }

    /// Sets what the daemons of the cgroup `name` may use (`kubeReservedCgroup` or `systemReservedCgroup`, as `field`
    /// says). That cgroup belongs to somebody else and has to exist.
    ///
    /// # Errors
    /// If it does not exist, or the kernel or systemd refuses.
    pub async fn enforce_reserved(
        &self,
        name: &CgroupName,
        field: &'static str,
        reserved: &Amounts,
        compressible_only: bool,
    ) -> Result<(), CgroupError> {
        if !self.cgroups.exists(name).await? {
            return Err(CgroupError::NoSuchCgroup { name: name.clone(), field });
        }
        self.cgroups.update(name, &reserved_limits(reserved, compressible_only)).await
    }

    /// The name of the pod's cgroup.
    ///
    /// # Errors
    /// If the pod's UID cannot be part of a name.
    pub fn name(&self, uid: &PodUid, class: QosClass) -> Result<CgroupName, NameError> {
        self.class(class)?.child(&format!("pod{uid}"))
    }

    /// The path of the cgroup of all pods, below the mount points.
    #[must_use]
    pub fn path(&self) -> String {
        self.cgroups.path(&self.kubepods)
    }

    /// The paths of the cgroups of the QoS classes in it: those of burstable and of best-effort pods.
    #[must_use]
    pub fn class_paths(&self) -> Vec<String> {
        let classes = [QosClass::Burstable, QosClass::BestEffort].map(|class| self.class(class));
        classes.iter().flatten().map(|name| self.cgroups.path(name)).collect()
    }

    /// The cgroup parent to hand to the runtime for `pod`, without making it.
    ///
    /// # Errors
    /// If the pod's UID cannot be part of a name.
    pub fn parent(&self, pod: &Pod) -> Result<String, NameError> {
        Ok(self.cgroups.path(&self.name_of(pod)?))
    }

    /// Makes the pod's cgroup where it is missing, sets its limits, and gives the cgroup parent to hand to the runtime.
    ///
    /// # Errors
    /// If the pod's UID cannot be part of a name, or the kernel or systemd refuses.
    pub async fn ensure_pod(&self, pod: &Pod, config: &PodCgroupConfig) -> Result<String, CgroupError> {
        let name = self.name_of(pod)?;
        self.cgroups.ensure(&name, &pod_limits(pod, config)).await?;
        Ok(self.cgroups.path(&name))
    }

    /// Whether the pod's cgroup exists, in the class that its spec says. Containers that run while it does not were
    /// started with `cgroupsPerQOS` off, or in another class, and have to be started again.
    ///
    /// # Errors
    /// If the pod's UID cannot be part of a name.
    pub async fn pod_exists(&self, pod: &Pod) -> Result<bool, CgroupError> {
        self.cgroups.exists(&self.name_of(pod)?).await
    }

    /// Kills what still runs in the pod's cgroup, whichever its class, and removes it.
    ///
    /// # Errors
    /// If processes do not go away, or the kernel or systemd refuses. Calling again goes on with what is left.
    pub async fn remove_pod(&self, uid: &PodUid) -> Result<(), CgroupError> {
        for class in CLASSES {
            let name = self.name(uid, class)?;
            if self.cgroups.is_present(&name).await? {
                self.cgroups.destroy(&name).await?;
            }
        }
        Ok(())
    }

    /// Takes the CPU weight from a pod that has ended and whose cgroup has to stay for now, because its volumes do.
    ///
    /// # Errors
    /// If the kernel or systemd refuses.
    pub async fn idle_pod(&self, cgroup: &PodCgroup) -> Result<(), CgroupError> {
        let least = Limits { cpu_shares: Some(cpu::MIN_SHARES), ..Limits::default() };
        self.cgroups.update(&cgroup.name, &least).await
    }

    /// Every pod's cgroup that exists in any hierarchy. Those of pods that nobody knows are orphans.
    ///
    /// # Errors
    /// If a directory cannot be read.
    pub async fn list(&self) -> Result<Vec<PodCgroup>, CgroupError> {
        let mut found = Vec::new();
        for class in CLASSES {
            for name in self.cgroups.children(&self.class(class)?).await? {
                if let Some(uid) =
                    name.leaf().and_then(|leaf| leaf.strip_prefix("pod")).filter(|uid| !uid.is_empty())
                {
                    found.push(PodCgroup { uid: uid.into(), class, name });
                }
            }
        }
        Ok(found)
    }

    /// Sets the weights of the classes from `pods`, all those that run. Where nothing changed, nothing is written.
    ///
    /// # Errors
    /// If the kernel or systemd refuses.
    pub async fn update_qos(&self, pods: &[Arc<Pod>]) -> Result<(), CgroupError> {
        for class in [QosClass::Burstable, QosClass::BestEffort] {
            self.cgroups.update(&self.class(class)?, &qos_limits(class, pods, &self.page_sizes)).await?;
        }
        Ok(())
    }

    fn name_of(&self, pod: &Pod) -> Result<CgroupName, NameError> {
        self.name(&PodRef::of(pod).uid, QosClass::of(pod))
    }

    fn class(&self, class: QosClass) -> Result<CgroupName, NameError> {
        match class {
            QosClass::Guaranteed => Ok(self.kubepods.clone()),
            QosClass::Burstable => self.kubepods.child("burstable"),
            QosClass::BestEffort => self.kubepods.child("besteffort"),
        }
    }
}
