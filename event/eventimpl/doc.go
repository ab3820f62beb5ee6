// Package eventimpl is what generated code calls. Nothing in it is for people, and it
// promises only that code of the generator of the same version compiles with it: what
// people write is in package event.
package eventimpl

// SupportPackageIsVersion1 is what generated code refers to, so that code of a
// newer generator does not compile with an older runtime. If it is undefined,
// update this module.
const SupportPackageIsVersion1 = true
