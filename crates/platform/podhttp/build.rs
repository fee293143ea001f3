//! Turns the health contract in `proto/` into messages, a client and a server. Needs no `protoc`.

use std::error::Error;

const CONTRACT: &str = "proto/health.proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={CONTRACT}");
    let descriptors = protox::compile([CONTRACT], ["proto"])?;
    tonic_prost_build::configure().compile_fds(descriptors)?;
    Ok(())
}
