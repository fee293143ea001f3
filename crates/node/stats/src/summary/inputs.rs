//! What a summary is made of.

use std::collections::HashMap;

use cri::{ImageFsInfo, v1};
use types::PodUid;

use crate::disks::{Finds, Found};
use crate::logs::LogUse;
use crate::rates::Rates;
use crate::reading::Reading;
use crate::told::Answers;

/// What a summary is made of.
pub(crate) struct Inputs<'a> {
    pub(crate) node_name: &'a str,
    pub(crate) reading: &'a Reading,
    pub(crate) rates: &'a Rates,
    /// What the runtime has of containers, by their ids; none unless it was asked.
    pub(crate) told: &'a HashMap<String, v1::ContainerStats>,
    /// Nothing for a summary of CPU and memory alone.
    pub(crate) storage: Option<Storage<'a>>,
}

/// What is known of disks.
#[derive(Clone, Copy)]
pub(crate) struct Storage<'a> {
    /// The file system of the agent's root directory.
    pub(crate) node: Option<&'a Found>,
    /// Where the runtime keeps things, if it said so.
    pub(crate) image_fs: Option<&'a ImageFsInfo>,
    /// What was found at the runtime's mount points and in volumes.
    pub(crate) finds: &'a Finds,
    /// What drivers told of their volumes.
    pub(crate) drivers: &'a Answers,
    /// What pods have written to their logs.
    pub(crate) logs: &'a HashMap<PodUid, LogUse>,
}
