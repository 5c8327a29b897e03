//! How the preloaded library is linked.

fn main() {
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libustcp_preload.so");
    // Its functions stand behind other libraries' calls: dlclose must not unmap it.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    // And a program's own `execv` or `read` is not meant where it calls its own.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-Bsymbolic-functions");
    println!("cargo:rerun-if-changed=build.rs");
}
