//go:build !unix

package ownfile

// noFollow is nothing where the system has no such flag.
const noFollow = 0
