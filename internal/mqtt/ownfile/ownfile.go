// Package ownfile opens the private data files of a process. It rejects a path
// that is a symbolic link, a folder or a device, so that nobody can redirect
// the data elsewhere.
package ownfile

import (
	"errors"
	"fmt"
	"os"
)

// ErrNoFile is the error for a path that exists and is not a regular file.
var ErrNoFile = errors.New("is not a regular file, want the path of a file itself and not of a link, a folder or a device")

const (
	fileMode   = 0o600 // for the owner only
	folderMode = 0o700
)

// Check returns [ErrNoFile] if the path exists and is not a regular file, and
// nil if it does not exist.
func Check(name string) error {
	info, err := os.Lstat(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return regular(name, info)
}

// Open opens a file with the flags of [os.OpenFile]. A new file is accessible
// to the owner only. It returns [ErrNoFile] if the path is not a regular file,
// even if this shows only after opening it.
func Open(name string, flag int) (*os.File, error) {
	if err := Check(name); err != nil { // Check first: opening a pipe would wait for its other end.
		return nil, err
	}
	f, err := os.OpenFile(name, flag|noFollow, fileMode)
	if err != nil {
		return nil, errors.Join(Check(name), err)
	}
	info, err := f.Stat()
	if err == nil {
		err = regular(name, info)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Folder creates the missing folders of a path, accessible to the owner only.
func Folder(name string) error { return os.MkdirAll(name, folderMode) }

func regular(name string, info os.FileInfo) error {
	if info.Mode().IsRegular() {
		return nil
	}
	return fmt.Errorf("%s: %w", name, ErrNoFile)
}
