//! The cgroups of the node, of the QoS classes and of pods, on cgroup v1 and v2, through plain files or systemd.

pub mod cpu;
