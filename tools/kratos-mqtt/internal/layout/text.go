package layout

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/kratos-mqtt/kratos-mqtt/tools/kratos-mqtt/internal/gosource"
)

// read returns a file with lines that end in a line feed, with the changes so far.
func (p *Project) read(name string) ([]byte, error) {
	text, err := p.Read(name)
	if err == nil && crlf(text) {
		text = bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n"))
	}
	return text, err
}

// write sets a file whose lines end in a line feed; those of the file keep their ends.
func (p *Project) write(name string, text []byte) error {
	if before, err := p.Read(name); err == nil && crlf(before) {
		text = bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n"))
	}
	return p.Write(name, text)
}

// crlf reports whether all lines of a text end as those of Windows do.
func crlf(text []byte) bool {
	n := bytes.Count(text, []byte("\n"))
	return n > 0 && bytes.Count(text, []byte("\r\n")) == n
}

// goFiles returns the Go files of a folder, without tests, and those of the folders below it if deep
// is set.
func (p *Project) goFiles(folder string, deep bool) (files []string, err error) {
	err = fs.WalkDir(os.DirFS(p.folder), folder, func(name string, e fs.DirEntry, err error) error {
		switch {
		case err != nil && e == nil: // there is no such folder
			return nil
		case err != nil:
			return err
		case e.IsDir() && name != folder && (!deep || strings.HasPrefix(e.Name(), ".") || e.Name() == "testdata" || e.Name() == "vendor"):
			return fs.SkipDir
		case e.Type().IsRegular() && path.Ext(name) == ".go" && !strings.HasSuffix(name, "_test.go"):
			files = append(files, name)
		}
		return nil
	})
	return files, err
}

// parse returns a Go file with the changes so far.
func (p *Project) parse(name string) (*gosource.File, error) {
	text, err := p.read(name)
	if err != nil {
		return nil, err
	}
	return gosource.Parse(name, text)
}

// declaring returns the Go file of a folder that declares a name.
func (p *Project) declaring(folder, name string) (string, *gosource.File, error) {
	files, err := p.goFiles(folder, false)
	if err != nil {
		return "", nil, err
	}
	for _, file := range files {
		f, err := p.parse(file)
		if err != nil {
			return "", nil, err
		}
		if f.Has(name) {
			return file, f, nil
		}
	}
	return "", nil, fmt.Errorf("%s: no Go file declares %s", folder, name)
}

// place is a function in a file.
type place struct{ file, function string }

func (l place) String() string { return l.file + " " + l.function }

// calling returns the functions below a folder that call a function, which callee names for each file,
// or "" for a file that cannot call it.
func (p *Project) calling(folder string, deep bool, callee func(f *gosource.File) string) (found []place, err error) {
	files, err := p.goFiles(folder, deep)
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		f, err := p.parse(file)
		if err != nil {
			return nil, err
		}
		name := callee(f)
		if name == "" {
			continue
		}
		for _, fn := range f.Calling(name) {
			found = append(found, place{file, fn})
		}
	}
	return found, nil
}

// exists reports whether there is a file.
func (p *Project) exists(name string) bool {
	_, err := p.Read(name)
	return !errors.Is(err, fs.ErrNotExist)
}
