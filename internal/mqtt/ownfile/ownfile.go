// Package ownfile opens files that a process keeps its data in, and that are nobody
// else's: where a path leads elsewhere, by a symbolic link that somebody has put
// there, they are not opened.
package ownfile

import (
	"errors"
	"fmt"
	"os"
)

// ErrNoFile is the error of a path where something else than a file is.
var ErrNoFile = errors.New("is not a file of its own, want the path of a file itself and not of a link, a folder or a device")

const (
	fileMode   = 0o600 // for this user only
	folderMode = 0o700
)

// Check is [ErrNoFile] for a path that something else than a file is at, and nil for one
// that nothing is at.
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

// Open opens a file with the flags of os.OpenFile; a new one is for this user only. It is
// [ErrNoFile] for anything else than a file, also where the system can tell only after
// that.
func Open(name string, flag int) (*os.File, error) {
	if err := Check(name); err != nil { // a pipe would wait for its other end
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

// Folder makes the folders of a path that are missing, for this user only.
func Folder(name string) error { return os.MkdirAll(name, folderMode) }

func regular(name string, info os.FileInfo) error {
	if info.Mode().IsRegular() {
		return nil
	}
	return fmt.Errorf("%s: %w", name, ErrNoFile)
}
