//! libustcp: the C face of ustcp.
