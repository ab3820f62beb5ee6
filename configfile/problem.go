package configfile

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
)

// FileError is one problem of a file.
type FileError struct {
	// File is the path that was read.
	File string
	// Line counts from 1. It is 0 if the key does not occur in the file.
	Line int
	// Key is the path of the key, as in mqtt.connection.keep_alive. It is empty if the
	// problem concerns the whole file.
	Key string
	// Text describes what is wrong and what is wanted. It quotes no values.
	Text string
	// Cause is the error that a check returned for the key, or its cause; nil without one.
	Cause error
}

// Unwrap returns the cause.
func (p *FileError) Unwrap() error { return p.Cause }

// Error returns the problem in the form file:line: key: text.
func (p *FileError) Error() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d", p.Line)
	}
	b.WriteString(": ")
	if p.Key != "" {
		b.WriteString(logsafe.Short(p.Key, 256) + ": ")
	}
	b.WriteString(p.Text)
	return b.String()
}

// FileErrors are all problems of a file, in the order of its lines; those without a line
// are last.
type FileErrors []*FileError

// Error returns one line for each problem.
func (p FileErrors) Error() string {
	lines := make([]string, len(p))
	for i, problem := range p {
		lines[i] = problem.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns the problems.
func (p FileErrors) Unwrap() []error {
	errs := make([]error, len(p))
	for i, problem := range p {
		errs[i] = problem
	}
	return errs
}

func (p FileErrors) sort() {
	slices.SortStableFunc(p, func(a, b *FileError) int {
		switch {
		case a.Line == b.Line:
			return 0
		case a.Line == 0:
			return 1
		case b.Line == 0:
			return -1
		}
		return a.Line - b.Line
	})
}

// settings returns all [event.SettingError]s in the tree of an error, and the other
// errors.
func settings(err error) (keys []*event.SettingError, rest []error) {
	if err == nil {
		return nil, nil
	}
	if k, ok := err.(*event.SettingError); ok { //nolint:errorlint // this code walks the tree
		return []*event.SettingError{k}, nil
	}
	var inside []error
	switch e := err.(type) { //nolint:errorlint // this code walks the tree
	case interface{ Unwrap() []error }:
		inside = e.Unwrap()
	case interface{ Unwrap() error }:
		if k := (*event.SettingError)(nil); errors.As(err, &k) {
			inside = []error{e.Unwrap()}
		}
	}
	if len(inside) == 0 {
		return nil, []error{err}
	}
	for _, e := range inside {
		k, r := settings(e)
		keys, rest = append(keys, k...), append(rest, r...)
	}
	return keys, rest
}
