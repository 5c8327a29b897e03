//! The kernel's TCP in place of the stack's, or beside it.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};

use libc::c_int;
use ustcp_runtime::Errno;

use crate::descriptors::Descriptors;
use crate::engine::Engine;
use crate::far::Far;
use crate::ground::Ground;
use crate::kernel::{kernel_socket, system};
use crate::rights::may_have_port;
use crate::route::{Way, Why};
use crate::socket::{Kernel, Phase, Socket};

impl Engine {
    /// Where a connection to `to` goes. One inside this host goes to a listener of the stack's that takes it, if there is
    /// one: a server on the wildcard address is reached by that of loopback, as anywhere.
    pub(crate) fn way_towards(&mut self, number: u64, to: SocketAddr) -> Way {
        let way = self.routes.towards(to.ip(), |ip| self.host.has(ip));
        let bound = self.sockets.get(number).and_then(|socket| socket.bound);
        let own = bound.is_some_and(|bound| self.routes.is_own(bound.ip()));
        let listens = self.ground.machine.stack().is_listened_at(to);
        match way {
            Way::Kernel(_) if own => Way::Stack,
            Way::Kernel(Why::Loopback) if listens => Way::Stack,
            way => way,
        }
    }

    /// Where a socket bound to `ip` listens and connects from.
    pub(crate) fn way_at(&self, ip: IpAddr) -> Way {
        self.routes.at(ip, |ip| self.host.has(ip))
    }

    /// Has a socket that has not begun go that way. `refusal`: what one hears that goes nowhere.
    pub(crate) fn go(&mut self, number: u64, way: Way, refusal: c_int) -> Result<(), Errno> {
        match way {
            Way::Stack => Ok(()),
            Way::Refused => Err(Errno(refusal)),
            Way::Kernel(why) => self.go_by_kernel(number, why),
        }
    }

    fn go_by_kernel(&mut self, number: u64, why: Why) -> Result<(), Errno> {
        let socket = self.sockets.known(number)?;
        if socket.kernel.is_some() {
            return Ok(());
        }
        if socket
            .bound
            .is_some_and(|bound| !may_have_port(socket.client, bound.port()))
        {
            return Err(Errno(libc::EACCES));
        }
        if !self.has_room_for(socket.client) {
            return Err(Errno(libc::EMFILE));
        }
        let descriptor = prepared(&mut self.ground, self.descriptors, socket)?;
        if let Some(bound) = socket.bound {
            Far::Kernel(descriptor.as_fd()).bind(&mut self.ground, bound)?;
            self.leave_port(number)?;
        }
        let socket = self.sockets.known_mut(number)?;
        let which = socket.which;
        system(self.watch_far(number, which, &descriptor))?;
        let socket = self.sockets.known_mut(number)?;
        socket.kernel = Some(Kernel { descriptor, why });
        Ok(())
    }

    /// A socket is connected nowhere any more, or could not be: where it goes next is yet to be said, unless its address is the
    /// kernel's.
    pub(crate) fn come_back(&mut self, number: u64) -> Result<(), Errno> {
        let socket = self.sockets.known(number)?;
        if socket.kernel.is_none() {
            return Ok(());
        }
        let comes_back = match socket.bound {
            None => true,
            Some(bound) if matches!(self.way_at(bound.ip()), Way::Kernel(_)) => false,
            Some(bound) => self.ground.machine.stack().bind(socket.id, bound).is_ok(), // or its port is another's by now
        };
        if comes_back {
            self.sockets.known_mut(number)?.kernel = None;
        }
        Ok(())
    }

    /// The stack's socket gives up the port that the kernel's has now, and keeps its options.
    fn leave_port(&mut self, number: u64) -> Result<(), Errno> {
        let Some(mut socket) = self.sockets.remove(number) else {
            return Err(Errno(libc::EBADF));
        };
        let stack = self.ground.machine.stack();
        let fresh = stack.socket(socket.family).and_then(|id| {
            let options = stack.options(socket.id)?;
            stack.set_options(self.ground.now, id, options).map(|()| id)
        });
        if let Ok(id) = fresh {
            let left = std::mem::replace(&mut socket.id, id);
            let _ = stack.close(self.ground.now, left); // it is there
        }
        self.sockets.insert(number, socket);
        Ok(fresh.map(drop)?)
    }

    /// With `publish`, whoever listens on the stack's wildcard address listens on the kernel's as well. Where that is
    /// refused, it does not listen at all.
    pub(crate) fn publish(&mut self, number: u64, backlog: usize) -> Result<(), Errno> {
        let socket = self.sockets.known(number)?;
        let local = socket.far().local(&mut self.ground)?;
        if !self.options.publish || socket.kernel.is_some() || !local.ip().is_unspecified() {
            return Ok(());
        }
        let (id, which) = (socket.id, socket.which);
        let made = match self.has_room_for(socket.client) {
            true => kernels_listener(&mut self.ground, self.descriptors, socket, (local, backlog)),
            false => Err(Errno(libc::EMFILE)),
        };
        let watched = made.and_then(|listener| system(self.watch_far(number, which, &listener)).map(|()| listener));
        let socket = self.sockets.known_mut(number)?;
        match watched {
            Ok(listener) => {
                socket.published = Some(listener);
                Ok(())
            }
            Err(errno) => {
                socket.phase = Phase::Idle;
                self.ground.machine.stack().disconnect(self.ground.now, id)?;
                Err(errno)
            }
        }
    }
}

fn kernels_listener(
    ground: &mut Ground,
    descriptors: Descriptors,
    like: &Socket,
    (at, backlog): (SocketAddr, usize),
) -> Result<OwnedFd, Errno> {
    let listener = prepared(ground, descriptors, like)?;
    let far = Far::Kernel(listener.as_fd());
    far.bind(ground, at)?;
    far.listen(ground, backlog)?;
    Ok(listener)
}

/// A socket of the kernel's with the options that the program has set. What the kernel does not take it does without.
/// `ENFILE` where only descriptors for requests are left.
fn prepared(ground: &mut Ground, descriptors: Descriptors, socket: &Socket) -> Result<OwnedFd, Errno> {
    let descriptor = kernel_socket(socket.family)?;
    if descriptors.is_for_requests(&descriptor) {
        return Err(Errno(libc::ENFILE));
    }
    for (option, value) in socket.asked.passed() {
        let _ = Far::Kernel(descriptor.as_fd()).set_option(ground, option, value);
    }
    Ok(descriptor)
}
