//! How the preloaded library is linked.

fn main() {
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libustcp_preload.so");
    // Its functions stand behind other libraries' calls: dlclose must not unmap it.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    println!("cargo:rerun-if-changed=build.rs");
}
