//! Turns the contracts in `proto/` into messages, clients and servers. Needs no `protoc`.

use std::error::Error;

const CONTRACTS: [&str; 2] = ["proto/podresources/v1/api.proto", "proto/podresources/v1alpha1/api.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    let descriptors = protox::compile(CONTRACTS, ["proto"])?;
    tonic_prost_build::configure().compile_fds(descriptors)?;
    Ok(())
}
