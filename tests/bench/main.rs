//! The benchmarks: `just bench [NAME]`.

mod house;
#[path = "../loopback/mod.rs"]
mod loopback;

fn main() -> std::process::ExitCode {
    house::main()
}
