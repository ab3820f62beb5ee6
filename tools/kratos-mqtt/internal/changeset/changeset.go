// Package changeset collects changes of the files of a folder, shows them as a diff and writes
// them together: all of them, or none.
package changeset

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/pmezard/go-difflib/difflib"
)

// Set is a set of changes below a folder. Paths are relative to it and have slashes; one that
// leads out of the folder, also by a symbolic link, is an error. It must not be used concurrently.
type Set struct {
	root    *os.Root
	changes map[string]*change
	applied map[string]*change // by the last Apply
}

// change is what becomes of a file.
type change struct {
	before, after []byte // nil: there is no such file
	mode          fs.FileMode
}

// Open returns an empty set for a folder that exists.
func Open(folder string) (*Set, error) {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, err
	}
	return &Set{root: root, changes: make(map[string]*change)}, nil
}

// Close releases the folder.
func (s *Set) Close() error { return s.root.Close() }

// Read returns a file with the changes so far. The error is [fs.ErrNotExist] if there is none.
func (s *Set) Read(name string) ([]byte, error) {
	c, err := s.at(name)
	if err != nil {
		return nil, err
	}
	if c.after == nil {
		return nil, &fs.PathError{Op: "read", Path: name, Err: fs.ErrNotExist}
	}
	return c.after, nil
}

// Original returns a file without the changes. The error is [fs.ErrNotExist] if there is none.
func (s *Set) Original(name string) ([]byte, error) {
	c, err := s.at(name)
	if err != nil {
		return nil, err
	}
	if c.before == nil {
		return nil, &fs.PathError{Op: "read", Path: name, Err: fs.ErrNotExist}
	}
	return c.before, nil
}

// Writable returns an error if one of the files that change is read-only.
func (s *Set) Writable() error {
	var errs []error
	for _, name := range s.Files() {
		if c := s.changes[name]; c.before != nil && c.mode&0o200 == 0 {
			errs = append(errs, fmt.Errorf("%s is read-only: want permission to write it", name))
		}
	}
	return errors.Join(errs...)
}

// Write sets the content of a file, which is created if there is none.
func (s *Set) Write(name string, text []byte) error {
	c, err := s.at(name)
	if err == nil {
		c.after = append([]byte{}, text...)
	}
	return err
}

// Remove deletes a file. One that does not exist is no error.
func (s *Set) Remove(name string) error {
	c, err := s.at(name)
	if err == nil {
		c.after = nil
	}
	return err
}

// at returns what becomes of a file, which stays as it is at first.
func (s *Set) at(name string) (*change, error) {
	if c, ok := s.changes[name]; ok {
		return c, nil
	}
	text, mode, err := s.disk(name)
	if err != nil {
		return nil, err
	}
	c := &change{text, text, mode}
	s.changes[name] = c
	return c, nil
}

// disk returns the file as it is, nil if there is none.
func (s *Set) disk(name string) ([]byte, fs.FileMode, error) {
	info, err := s.root.Stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, 0o644, nil
	case err != nil:
		return nil, 0, err
	case !info.Mode().IsRegular():
		return nil, 0, fmt.Errorf("%s: not a regular file", name)
	}
	text, err := s.root.ReadFile(name)
	if text == nil {
		text = []byte{}
	}
	return text, info.Mode().Perm(), err
}

// Files returns the files that change, sorted.
func (s *Set) Files() (names []string) {
	for name, c := range s.changes {
		if c.differs() {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func (c *change) differs() bool {
	return (c.before == nil) != (c.after == nil) || !bytes.Equal(c.before, c.after)
}

// Diff returns the changes as a unified diff. Of new, deleted and generated files it has one line
// each, with the number of lines.
func (s *Set) Diff() string {
	var all, short strings.Builder
	for _, name := range s.Files() {
		c := s.changes[name]
		switch {
		case c.before == nil:
			fmt.Fprintf(&short, "new        %s, %d lines\n", name, bytes.Count(c.after, []byte("\n")))
		case c.after == nil:
			fmt.Fprintf(&short, "deleted    %s, %d lines\n", name, bytes.Count(c.before, []byte("\n")))
		case generated(c.after) || path.Base(name) == "go.sum":
			fmt.Fprintf(&short, "generated  %s, %d lines\n", name, bytes.Count(c.after, []byte("\n")))
		default:
			all.WriteString(c.unified(name))
		}
	}
	return all.String() + short.String()
}

// generated reports whether a file says that a program made it, as go help generate describes.
func generated(text []byte) bool {
	head := text[:min(len(text), 400)]
	return bytes.Contains(head, []byte("Code generated ")) && bytes.Contains(head, []byte("DO NOT EDIT")) ||
		bytes.HasPrefix(head, []byte("# Generated "))
}

func (c *change) unified(name string) string {
	text, err := difflib.GetUnifiedDiffString(difflib.UnifiedDiff{
		A: lines(c.before), B: lines(c.after), FromFile: "a/" + name, ToFile: "b/" + name, Context: 3,
	})
	if err != nil { // a builder of strings has no error
		return name + "\n"
	}
	return text
}

func lines(text []byte) []string {
	all := strings.SplitAfter(string(text), "\n")
	if n := len(all) - 1; all[n] == "" {
		return all[:n]
	}
	all[len(all)-1] += "\n\\ No newline at end of file\n"
	return all
}

// Apply writes the changes. If one of them fails, those before it are taken back. A file that
// somebody else has changed since it was read, or that is read-only, is an error, and nothing is written.
func (s *Set) Apply() error {
	if err := s.Writable(); err != nil {
		return err
	}
	names := s.Files()
	for _, name := range names {
		now, _, err := s.disk(name)
		if err != nil {
			return err
		}
		if c := s.changes[name]; (now == nil) != (c.before == nil) || !bytes.Equal(now, c.before) {
			return fmt.Errorf("%s: the file was changed meanwhile: nothing was written", name)
		}
	}
	for i, name := range names {
		c := s.changes[name]
		if err := s.put(name, c.after, c.mode); err != nil {
			errs := []error{err}
			for _, done := range names[:i] {
				before := s.changes[done]
				errs = append(errs, s.put(done, before.before, before.mode))
			}
			return errors.Join(errs...)
		}
	}
	s.applied = s.changes
	s.changes = make(map[string]*change)
	return nil
}

// Revert takes back what Apply wrote.
func (s *Set) Revert() error {
	var errs []error
	for name, c := range s.applied {
		if c.differs() {
			errs = append(errs, s.put(name, c.before, c.mode))
		}
	}
	s.applied = nil
	return errors.Join(errs...)
}

// put writes a whole file or nothing, by way of a temporary one beside it, or deletes it if text is nil.
func (s *Set) put(name string, text []byte, mode fs.FileMode) error {
	if text == nil {
		err := s.root.Remove(name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			if s.root.Remove(dir) != nil { // it has other files
				break
			}
		}
		return nil //nolint:nilerr // a file that does not exist is deleted
	}
	if dir := path.Dir(name); dir != "." {
		if err := s.root.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	beside := name + "." + rand.Text()[:8] + ".new" // a name that no other file has
	file, err := s.root.OpenFile(beside, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	if err = errors.Join(err, file.Close()); err == nil {
		err = s.root.Rename(beside, name)
	}
	if err != nil {
		return errors.Join(err, s.root.Remove(beside))
	}
	return nil
}
