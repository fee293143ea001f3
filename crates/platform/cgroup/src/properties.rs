//! Limits as properties of a systemd slice (systemd.resource-control(5)).

use crate::{Cap, CgroupName, Limits, Version, cpu};

/// systemd rounds CPU quotas to whole hundredths of a core; it is asked for the next larger one, so that a pod never gets
/// less than its limit. The file is then written with the exact value.
const QUOTA_STEP: u64 = 10_000;

/// The value of a property.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Value {
    Text(String),
    Flag(bool),
    Number(u64),
    Names(Vec<String>),
}

pub(crate) type Property = (&'static str, Value);

/// The properties of a new slice that no limit is about.
pub(crate) fn of_new(name: &CgroupName, version: Version) -> Vec<Property> {
    let io = match version {
        Version::V1 => "BlockIOAccounting",
        Version::V2 => "IOAccounting",
    };
    let mut properties = vec![
        ("Description", Value::Text(format!("Kubernetes pods in {name}"))),
        // Not stopped before others at shutdown, and not tied to sysinit.
        ("DefaultDependencies", Value::Flag(false)),
        // Accounting is what makes systemd give the slice the controllers.
        ("CPUAccounting", Value::Flag(true)),
        ("MemoryAccounting", Value::Flag(true)),
        ("TasksAccounting", Value::Flag(true)),
        (io, Value::Flag(true)),
    ];
    // A slice lies in its parent by its name; wanting it as well starts the parent with its own settings.
    if let Some(parent) = name.parent().filter(|parent| parent.leaf().is_some()) {
        properties.push(("Wants", Value::Names(vec![parent.slice()])));
    }
    properties
}

/// The properties that say `limits`. Huge pages and the `unified` files have none.
pub(crate) fn of_limits(limits: &Limits, version: Version) -> Vec<Property> {
    let number = |cap| match cap {
        Cap::Unlimited => Value::Number(u64::MAX),
        Cap::At(value) => Value::Number(value),
    };
    let mut properties = Vec::new();
    if let Some(shares) = limits.cpu_shares {
        properties.push(match version {
            Version::V1 => ("CPUShares", Value::Number(shares)),
            Version::V2 => ("CPUWeight", Value::Number(cpu::weight(shares))),
        });
    }
    if let Some(quota) = limits.cpu_quota {
        let per_second = match quota.quota {
            Cap::Unlimited => u64::MAX,
            Cap::At(quota_us) => per_second(quota_us, quota.period),
        };
        properties.push(("CPUQuotaPerSecUSec", Value::Number(per_second)));
    }
    if let Some(memory) = limits.memory {
        let name = match version {
            Version::V1 => "MemoryLimit",
            Version::V2 => "MemoryMax",
        };
        properties.push((name, number(memory)));
    }
    if let Some(pids) = limits.pids {
        properties.push(("TasksMax", number(pids)));
    }
    properties
}

fn per_second(quota: u64, period: u64) -> u64 {
    let micros = u128::from(quota) * 1_000_000 / u128::from(period.max(1));
    u64::try_from(micros)
        .ok()
        .and_then(|micros| micros.checked_next_multiple_of(QUOTA_STEP))
        .unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CpuQuota;

    #[test]
    fn limits_become_properties() {
        let limits = Limits {
            cpu_shares: Some(1024),
            cpu_quota: Some(CpuQuota { quota: Cap::At(12_345), period: 100_000 }),
            memory: Some(Cap::At(1 << 20)),
            pids: Some(Cap::Unlimited),
            ..Limits::default()
        };
        assert_eq!(
            of_limits(&limits, Version::V2),
            [
                ("CPUWeight", Value::Number(39)),
                ("CPUQuotaPerSecUSec", Value::Number(130_000)),
                ("MemoryMax", Value::Number(1 << 20)),
                ("TasksMax", Value::Number(u64::MAX)),
            ]
        );
        assert_eq!(of_limits(&limits, Version::V1)[0], ("CPUShares", Value::Number(1024)));
        assert_eq!(of_limits(&limits, Version::V1)[2], ("MemoryLimit", Value::Number(1 << 20)));
        assert_eq!(of_limits(&Limits::default(), Version::V2), []);
    }

    #[test]
    fn quotas_are_rounded_up() {
        for (quota, period, expected) in [
            (100_000, 100_000, 1_000_000),
            (1000, 100_000, 10_000),
            (1, 1_000_000, 10_000),
            (u64::MAX, 1, u64::MAX),
        ] {
            assert_eq!(per_second(quota, period), expected, "{quota} per {period}");
        }
    }

    #[test]
    fn a_slice_wants_the_one_above() {
        let name = CgroupName::new(["kubepods", "burstable"]).unwrap();
        let wants = ("Wants", Value::Names(vec!["kubepods.slice".to_owned()]));
        assert!(of_new(&name, Version::V2).contains(&wants));
        let top = of_new(&name.parent().unwrap(), Version::V2);
        assert!(top.iter().all(|(name, _)| *name != "Wants"));
    }
}
