//! What the node has, and what of it pods may use (Kubernetes: "Reserve Compute Resources for System Daemons"). Pure.

use cgroup::resources::PID;
use types::Quantity;
use types::resources::{Amounts, CPU, EPHEMERAL_STORAGE, HUGEPAGES_PREFIX, MEMORY, PODS, add};

use crate::Machine;

/// What of the configuration goes into the capacity.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PodRoom {
    /// The most pods (`maxPods`).
    pub max_pods: u32,
    /// The most pods per CPU (`podsPerCore`); 0 for no such limit.
    pub per_core: u32,
    /// Whether `ephemeral-storage` is accounted for (`localStorageCapacityIsolation`).
    pub ephemeral_storage: bool,
}

/// The node's capacity (`status.capacity`).
#[must_use]
pub fn capacity(machine: &Machine, room: PodRoom) -> Amounts {
    let mut capacity = Amounts::from([
        (CPU.to_owned(), Quantity::whole(machine.cpus.into())),
        (MEMORY.to_owned(), bytes(machine.memory_bytes)),
        (PODS.to_owned(), Quantity::whole(max_pods(machine.cpus, room).into())),
    ]);
    if room.ephemeral_storage {
        capacity.insert(EPHEMERAL_STORAGE.to_owned(), bytes(machine.root_fs_bytes));
    }
    for pages in &machine.hugepages {
        let name = format!("{HUGEPAGES_PREFIX}{}", bytes(pages.page_bytes));
        capacity.insert(name, bytes(pages.page_bytes.saturating_mul(pages.count)));
    }
    capacity
}

fn max_pods(cpus: u32, room: PodRoom) -> u32 {
    match room.per_core {
        0 => room.max_pods,
        per_core => room.max_pods.min(per_core.saturating_mul(cpus)),
    }
}

fn bytes(count: u64) -> Quantity {
    Quantity::bytes(i64::try_from(count).unwrap_or(i64::MAX))
}

/// A hard eviction threshold: so much is kept free.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Threshold {
    /// This much.
    Amount(Quantity),
    /// This part of the capacity, from 0 to 1.
    Part(f64),
}

impl Threshold {
    /// The amount, of something of which there is `capacity`.
    #[must_use]
    pub fn of(self, capacity: Quantity) -> Quantity {
        match self {
            Self::Amount(amount) => amount,
            // A float converts to the nearest integer there is, and no float to 0.
            #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
            Self::Part(part) => Quantity::bytes((capacity.value() as f64 * part) as i64),
        }
    }
}

/// What is kept from pods.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Reservations {
    /// For Kubernetes' own daemons (`kubeReserved`).
    pub kube: Amounts,
    /// For everything else (`systemReserved`).
    pub system: Amounts,
    /// Hard eviction threshold of `memory.available`.
    pub eviction_memory: Option<Threshold>,
    /// Hard eviction threshold of `nodefs.available`.
    pub eviction_storage: Option<Threshold>,
}

impl Reservations {
    /// What is reserved for daemons, without eviction thresholds.
    #[must_use]
    pub fn daemons(&self) -> Amounts {
        let mut sum = self.kube.clone();
        add(&mut sum, &self.system);
        sum
    }

    /// All that is kept from pods on a node with `capacity`.
    #[must_use]
    pub fn total(&self, capacity: &Amounts) -> Amounts {
        let mut sum = self.daemons();
        for (name, threshold) in [(MEMORY, self.eviction_memory), (EPHEMERAL_STORAGE, self.eviction_storage)]
        {
            if let Some((threshold, capacity)) = threshold.zip(capacity.get(name)) {
                add(&mut sum, &Amounts::from([(name.to_owned(), threshold.of(*capacity))]));
            }
        }
        sum
    }
}

/// What pods may request (`status.allocatable`): the capacity without all that is reserved, and memory also without what
/// is set aside for huge pages; never less than nothing.
#[must_use]
pub fn allocatable(capacity: &Amounts, reservations: &Reservations) -> Amounts {
    let mut left = subtract(capacity, &reservations.total(capacity));
    let hugepages = left.iter().filter(|(name, _)| name.starts_with(HUGEPAGES_PREFIX));
    let hugepages = hugepages.fold(Quantity::ZERO, |sum, (_, amount)| sum + *amount);
    if let Some(memory) = left.get_mut(MEMORY) {
        *memory = (*memory - hugepages).max(Quantity::ZERO);
    }
    left
}

/// What the cgroup of all pods is limited to: if `enforced` (`enforceNodeAllocatable` has `pods`), the capacity without
/// what is reserved for daemons, but with the eviction thresholds, so that eviction comes before the OOM killer; otherwise
/// the whole capacity. Processes count here as well (`pid`).
#[must_use]
pub fn pods_together(
    machine: &Machine,
    capacity: &Amounts,
    reservations: &Reservations,
    enforced: bool,
) -> Amounts {
    let mut whole = capacity.clone();
    whole.insert(PID.to_owned(), Quantity::whole(i64::try_from(machine.pids).unwrap_or(i64::MAX)));
    if enforced { subtract(&whole, &reservations.daemons()) } else { whole }
}

fn subtract(capacity: &Amounts, reserved: &Amounts) -> Amounts {
    let mut rest = capacity.clone();
    for (name, amount) in &mut rest {
        if let Some(reserved) = reserved.get(name) {
            *amount = (*amount - *reserved).max(Quantity::ZERO);
        }
    }
    rest
}

/// More is reserved than there is.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "{reserved} of {name} is reserved (kubeReserved, systemReserved and hard eviction thresholds together), but the node has {capacity}: reserve less"
)]
pub struct ReservationError {
    name: String,
    reserved: Quantity,
    capacity: Quantity,
}

/// Checks that no more is reserved than there is.
///
/// # Errors
/// Names the first resource of which it is.
pub fn check_reservations(
    machine: &Machine,
    capacity: &Amounts,
    reservations: &Reservations,
) -> Result<(), ReservationError> {
    let whole = pods_together(machine, capacity, reservations, false);
    for (name, reserved) in reservations.total(capacity) {
        let capacity = whole.get(&name).copied().unwrap_or(Quantity::ZERO);
        if reserved > capacity {
            return Err(ReservationError { name, reserved, capacity });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use linux::hugepages::HugePages;
    use proptest::prelude::*;

    use super::*;

    const ROOM: PodRoom = PodRoom { max_pods: 110, per_core: 0, ephemeral_storage: true };

    fn machine() -> Machine {
        Machine {
            cpus: 4,
            memory_bytes: 8 << 30,
            hugepages: vec![
                HugePages { page_bytes: 2 << 20, count: 512 },
                HugePages { page_bytes: 1 << 30, count: 0 },
            ],
            root_fs_bytes: 100 << 30,
            pids: 32_768,
            ..Machine::default()
        }
    }

    fn amounts(list: &[(&str, &str)]) -> Amounts {
        list.iter().map(|(name, amount)| ((*name).to_owned(), amount.parse().unwrap())).collect()
    }

    fn reservations() -> Reservations {
        Reservations {
            kube: amounts(&[("cpu", "200m"), ("memory", "256Mi")]),
            system: amounts(&[
                ("cpu", "300m"),
                ("memory", "256Mi"),
                ("pid", "1000"),
                ("ephemeral-storage", "1Gi"),
            ]),
            eviction_memory: Some(Threshold::Amount("100Mi".parse().unwrap())),
            eviction_storage: Some(Threshold::Part(0.1)),
        }
    }

    #[test]
    fn capacities() {
        assert_eq!(
            capacity(&machine(), ROOM),
            amounts(&[
                ("cpu", "4"),
                ("memory", "8Gi"),
                ("pods", "110"),
                ("ephemeral-storage", "100Gi"),
                ("hugepages-2Mi", "1Gi"),
                ("hugepages-1Gi", "0"),
            ])
        );
        let room = PodRoom { per_core: 10, ephemeral_storage: false, ..ROOM };
        let small = capacity(&machine(), room);
        assert_eq!((small[PODS], small.contains_key(EPHEMERAL_STORAGE)), (Quantity::whole(40), false));
        assert_eq!(capacity(&machine(), PodRoom { per_core: 1000, ..ROOM })[PODS], Quantity::whole(110));
    }

    #[test]
    fn allocatable_is_what_is_left() {
        let capacity = capacity(&machine(), ROOM);
        let left = allocatable(&capacity, &reservations());
        assert_eq!(left[CPU], Quantity::milli(3500));
        // 8Gi - 512Mi - 100Mi - 1Gi of huge pages.
        assert_eq!(left[MEMORY], Quantity::bytes((8192 - 512 - 100 - 1024) << 20));
        assert_eq!(left[EPHEMERAL_STORAGE], Quantity::bytes(89 << 30));
        assert_eq!((left[PODS], left["hugepages-2Mi"]), (Quantity::whole(110), Quantity::bytes(1 << 30)));
    }

    #[test]
    fn the_cgroup_of_all_pods_keeps_room_for_eviction() {
        let (machine, capacity) = (machine(), capacity(&machine(), ROOM));
        let together = pods_together(&machine, &capacity, &reservations(), true);
        assert_eq!(together[MEMORY], Quantity::bytes((8192 - 512) << 20));
        assert_eq!(together[PID], Quantity::whole(31_768));
        assert_eq!(pods_together(&machine, &capacity, &reservations(), false)[CPU], Quantity::whole(4));
    }

    #[test]
    fn reserving_more_than_there_is_is_refused() {
        let (machine, capacity) = (machine(), capacity(&machine(), ROOM));
        assert_eq!(check_reservations(&machine, &capacity, &reservations()), Ok(()));
        for (name, amount) in
            [("cpu", "5"), ("memory", "7900Mi"), ("pid", "40000"), ("ephemeral-storage", "95Gi")]
        {
            let kube = amounts(&[(name, amount)]);
            let refused = check_reservations(&machine, &capacity, &Reservations { kube, ..reservations() });
            assert!(refused.unwrap_err().to_string().contains(name), "{name}");
        }
    }

    proptest! {
        #[test]
        fn never_less_than_nothing(cpu in 0..20_000i64, memory in 0..i64::MAX, part in 0.0..1.0) {
            let kube = Amounts::from([
                (CPU.to_owned(), Quantity::milli(cpu)),
                (MEMORY.to_owned(), Quantity::bytes(memory)),
            ]);
            let reservations = Reservations { kube, eviction_memory: Some(Threshold::Part(part)), ..Default::default() };
            let capacity = capacity(&machine(), ROOM);
            for (name, amount) in allocatable(&capacity, &reservations) {
                prop_assert!(!amount.is_negative() && amount <= capacity[&name], "{}", name);
            }
        }
    }
}
