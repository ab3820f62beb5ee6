package command

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// payloads are what publish sends, one after the other.
type payloads struct {
	open  []func() (io.ReadCloser, error) // the sources that are left
	split func(io.Reader) func() ([]byte, error)
	now   io.Closer // the source that is read, nil before the first
	next  func() ([]byte, error)
}

// payloads returns the sources of a publish: the argument, which may be @FILE, else the files,
// else standard input. A file that cannot be read is an error at once.
func (s *session) payloads(p *publishing, args []string) (*payloads, error) {
	var split func(io.Reader) func() ([]byte, error)
	switch {
	case p.operation != "":
		split = values
	case p.lines:
		split = lines
	default:
		split = whole
	}
	all := &payloads{split: split}
	files := p.files
	switch {
	case len(args) == 1 && len(files) > 0:
		return nil, errors.New("a payload and --file: want one of them")
	case len(args) == 1:
		name, isFile := strings.CutPrefix(args[0], "@")
		if !isFile {
			all.open = append(all.open, func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(args[0])), nil })
			return all, nil
		}
		files = []string{name}
	case len(files) == 0:
		files = []string{"-"}
	}
	for _, name := range files {
		if name == "-" {
			all.open = append(all.open, func() (io.ReadCloser, error) { return io.NopCloser(s.In), nil })
			continue
		}
		if info, err := os.Stat(name); err != nil {
			return nil, err
		} else if info.IsDir() {
			return nil, fmt.Errorf("%s is a folder, want a file", name)
		}
		all.open = append(all.open, func() (io.ReadCloser, error) { return os.Open(name) })
	}
	return all, nil
}

// Next returns the next payload, or io.EOF.
func (p *payloads) Next() ([]byte, error) {
	for {
		if p.next != nil {
			payload, err := p.next()
			if !errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				return payload, err
			}
		}
		if err := p.Close(); err != nil {
			return nil, err
		}
		if len(p.open) == 0 {
			return nil, io.EOF
		}
		source, err := p.open[0]()
		if err != nil {
			return nil, err
		}
		p.open, p.now, p.next = p.open[1:], source, p.split(source)
	}
}

// Close closes the source that is read.
func (p *payloads) Close() error {
	if p.now == nil {
		return nil
	}
	err := p.now.Close()
	p.now, p.next = nil, nil
	return err
}

// values returns a function that returns the JSON values of a reader, and io.EOF behind them.
func values(in io.Reader) func() ([]byte, error) {
	d := json.NewDecoder(in)
	return func() ([]byte, error) {
		var value json.RawMessage
		err := d.Decode(&value)
		return value, err
	}
}

// lines is values for the lines of a reader, without their ends and without empty ones.
func lines(in io.Reader) func() ([]byte, error) {
	r := bufio.NewReader(in)
	return func() ([]byte, error) {
		for {
			line, err := r.ReadBytes('\n')
			if line = bytes.TrimRight(line, "\r\n"); len(line) > 0 {
				return line, nil
			}
			if err != nil {
				return nil, err
			}
		}
	}
}

// whole is values for all of a reader as one payload, which may be empty.
func whole(in io.Reader) func() ([]byte, error) {
	done := false
	return func() ([]byte, error) {
		if done {
			return nil, io.EOF
		}
		done = true
		return io.ReadAll(in)
	}
}
