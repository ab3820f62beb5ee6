// Package eventimpl is called by generated code, its generators and the other packages of this
// module only. It promises compatibility only with code of the generator of the same version. The
// API for people is in package event.
package eventimpl

// SupportPackageIsVersion1 is what generated code refers to, so that code of a
// newer generator does not compile with an older runtime. If it is undefined,
// update this module.
const SupportPackageIsVersion1 = true
