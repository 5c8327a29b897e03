//! What a hook stands before and cannot do without.

use core::ffi::CStr;
use core::sync::atomic::{AtomicUsize, Ordering};

use libc::c_void;

/// What the C library has under a name that is hooked here.
pub(crate) struct Next {
    name: &'static CStr,
    found: AtomicUsize,
}

impl Next {
    pub(crate) const fn new(name: &'static CStr) -> Next {
        let found = AtomicUsize::new(0);
        Next { name, found }
    }

    /// Its address; null where there is none.
    pub(crate) fn get(&self) -> *mut c_void {
        match self.found.load(Ordering::Relaxed) {
            0 => {
                // SAFETY: the name ends with a zero.
                let found = unsafe { libc::dlsym(libc::RTLD_NEXT, self.name.as_ptr()) };
                self.found.store(found.expose_provenance(), Ordering::Relaxed);
                found
            }
            found => core::ptr::with_exposed_provenance_mut(found),
        }
    }
}
