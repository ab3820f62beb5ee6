package layout

import (
	"errors"
	"fmt"
	"io/fs"
	"path"

	"github.com/kratos-mqtt/kratos-mqtt/tools/kratos-mqtt/internal/gosource"
	"github.com/kratos-mqtt/kratos-mqtt/tools/kratos-mqtt/internal/makesource"
	"github.com/kratos-mqtt/kratos-mqtt/tools/kratos-mqtt/internal/protosource"
	"github.com/kratos-mqtt/kratos-mqtt/tools/kratos-mqtt/internal/yamlsource"
)

// Kinds of edits.
const (
	goImport    = "import"
	goArgument  = "argument"
	goParameter = "parameter"
	goStatement = "statement"
	protoImport = "proto import"
	protoField  = "proto field"
	yamlSection = "section"
	makeLine    = "make line"
)

// edit is a change of a file that people write. The record keeps it, so that it can be taken back.
type edit struct {
	Kind string `json:"kind"`
	File string `json:"file"`
	// In is the function or variable, the message, or the target of make.
	In string `json:"in,omitempty"`
	// Call is the function that is called, the type of a parameter or a field, or how the line in
	// front of a new one begins.
	Call string `json:"call,omitempty"`
	// Name is that of an import, a parameter, a field or a section.
	Name string `json:"name,omitempty"`
	// Text is what is added.
	Text string `json:"text,omitempty"`
	// Single is set if a new import made parentheses around the one that was there.
	Single bool `json:"single,omitempty"`
	// At is the index of the argument or parameter behind a new one.
	At int `json:"at,omitempty"`
}

// do returns a file with the edit.
func (e edit) do(text []byte) ([]byte, error) {
	switch e.Kind {
	case protoImport, protoField:
		f, err := protosource.Parse(e.File, text)
		if err != nil {
			return nil, err
		}
		if e.Kind == protoImport {
			err = f.Import(e.Text)
		} else {
			err = f.Field(e.In, e.Call, e.Name)
		}
		return f.Bytes(), err
	case yamlSection:
		return yamlsource.Add(e.File, text, e.Name, e.Text)
	case makeLine:
		return makesource.After(e.File, text, e.In, e.Call, e.Text)
	}
	f, err := gosource.Parse(e.File, text)
	if err != nil {
		return nil, err
	}
	switch e.Kind {
	case goImport:
		_, err = f.Import(e.Name, e.Text)
	case goArgument:
		err = f.ArgumentAt(e.In, e.Call, e.Text, e.At)
	case goParameter:
		err = f.TypeAt(e.In, e.Name, e.Call, e.At)
	case goStatement:
		err = errors.Join(f.Parameter(e.In, e.Name, e.Call, "logger"), f.Statement(e.In, e.Text, "return"))
	default:
		err = fmt.Errorf("%s: unknown edit %q", e.File, e.Kind)
	}
	return f.Bytes(), err
}

// undo returns a file without the edit. An error that is a change of somebody else is not returned if
// force is set, and the change goes with the edit.
func (e edit) undo(text []byte, force bool) ([]byte, error) {
	switch e.Kind {
	case protoImport, protoField:
		f, err := protosource.Parse(e.File, text)
		if err != nil {
			return nil, err
		}
		if e.Kind == protoImport {
			err = f.RemoveImport(e.Text)
		} else {
			err = f.RemoveField(e.In, e.Call, e.Name, force)
		}
		return f.Bytes(), err
	case yamlSection:
		return yamlsource.Remove(e.File, text, e.Name, e.Text, force)
	case makeLine:
		return makesource.Remove(text, e.In, e.Text), nil
	}
	f, err := gosource.Parse(e.File, text)
	if err != nil {
		return nil, err
	}
	switch e.Kind {
	case goImport:
		if name, ok := f.Name(e.Text); ok && !f.Uses(name) {
			err = f.Unimport(e.Text)
		}
		if err == nil && e.Single {
			err = f.MakeSingle()
		}
	case goArgument:
		err = f.RemoveArgument(e.In, e.Call, e.Text)
	case goParameter:
		err = f.RemoveType(e.In, e.Call)
	}
	return f.Bytes(), err
}

// inGo reports whether the edit is one of a declaration of a Go file, which may be in another file
// of the folder by now.
func (e edit) inGo() bool {
	return e.Kind == goArgument || e.Kind == goParameter || e.Kind == goStatement
}

// apply makes an edit, and reports whether it changed anything.
func (p *Project) apply(e *edit) (bool, error) {
	before, err := p.read(e.File)
	if err != nil {
		return false, err
	}
	if e.Kind == goImport {
		f, err := gosource.Parse(e.File, before)
		if err != nil {
			return false, err
		}
		e.Single = f.Single()
	}
	after, err := e.do(before)
	if err != nil || string(after) == string(before) {
		return false, err
	}
	return true, p.write(e.File, after)
}

// takeBack undoes an edit. A file that is not there any more needs no change.
func (p *Project) takeBack(e edit, force bool) error {
	if e.inGo() {
		if file, _, err := p.declaring(path.Dir(e.File), e.In); err == nil {
			e.File = file
		}
	}
	text, err := p.read(e.File)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	text, undone := e.undo(text, force)
	if undone != nil {
		return undone
	}
	return p.write(e.File, text)
}
