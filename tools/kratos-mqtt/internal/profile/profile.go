// Package profile keeps contexts: named places that the command line works with.
package profile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"gopkg.in/yaml.v3"

	cliv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/cli/v1"
	"github.com/kratos-mqtt/kratos-mqtt/configfile"
)

// ErrUnknown is the error for a context that does not exist.
var ErrUnknown = errors.New("no such context")

const (
	extension = ".yaml"
	current   = "current" // the file with the name of the context in use
)

// Folder is where contexts are kept: a file NAME.yaml for each, readable by this user only,
// because it may have a password.
type Folder struct{ path string }

// Open returns the folder at a path, which need not exist.
func Open(path string) Folder { return Folder{path: path} }

// Names returns the names of all contexts, sorted.
func (f Folder) Names() ([]string, error) {
	entries, err := os.ReadDir(f.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), extension); ok && e.Type().IsRegular() {
			names = append(names, name)
		}
	}
	return names, nil
}

// Current returns the name of the context in use, or "".
func (f Folder) Current() (string, error) {
	name, err := os.ReadFile(filepath.Join(f.path, current))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return strings.TrimSpace(string(name)), err
}

// Use sets the context in use.
func (f Folder) Use(name string) error {
	if _, err := f.Load(name); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(f.path, current), []byte(name+"\n"), 0o600)
}

// Load returns a context. Relative paths in it are relative to the folder.
func (f Folder) Load(name string) (*cliv1.Context, error) {
	path, err := f.file(name)
	if err != nil {
		return nil, err
	}
	c := new(cliv1.Context)
	err = configfile.Load(path, c)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w %q: kratos-mqtt context list shows those that exist", ErrUnknown, name)
	}
	if err != nil {
		return nil, err
	}
	f.resolve(c)
	return c, nil
}

func (f Folder) resolve(c *cliv1.Context) {
	for _, p := range Paths(c) {
		if !filepath.IsAbs(*p) {
			*p = filepath.Join(f.path, *p)
		}
	}
}

// Paths returns the paths that are set in a context.
func Paths(c *cliv1.Context) (paths []*string) {
	if t := c.GetMqtt().GetTls(); t != nil {
		paths = append(paths, &t.CaFile, &t.CertFile, &t.KeyFile)
	}
	if c.Mqtt != nil {
		paths = append(paths, &c.Mqtt.PasswordFile)
	}
	if c.Operator != nil {
		paths = append(paths, &c.Operator.TokenFile)
	}
	for i := range c.Descriptors {
		paths = append(paths, &c.Descriptors[i])
	}
	return slices.DeleteFunc(paths, func(p *string) bool { return *p == "" })
}

// Save writes a context, replacing one with the same name.
func (f Folder) Save(name string, c *cliv1.Context) error {
	path, err := f.file(name)
	if err != nil {
		return err
	}
	text, err := (protojson.MarshalOptions{UseProtoNames: true}).Marshal(c)
	if err != nil {
		return err
	}
	var tree map[string]any
	if err := yaml.Unmarshal(text, &tree); err != nil { // JSON is YAML
		return err
	}
	if text, err = yaml.Marshal(tree); err != nil {
		return err
	}
	if err := os.MkdirAll(f.path, 0o700); err != nil {
		return err
	}
	return replace(path, text)
}

// replace writes a file that only this user can read, also in place of one that others can.
func replace(path string, text []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".context-*") // with the mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// Remove deletes a context. If it is in use, none is afterwards.
func (f Folder) Remove(name string) error {
	path, err := f.file(name)
	if err != nil {
		return err
	}
	if err := os.Remove(path); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w %q", ErrUnknown, name)
	} else if err != nil {
		return err
	}
	if now, _ := f.Current(); now == name {
		return os.Remove(filepath.Join(f.path, current))
	}
	return nil
}

// file returns the path of a context, whose name must not lead out of the folder.
func (f Folder) file(name string) (string, error) {
	if !regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`).MatchString(name) {
		return "", fmt.Errorf("context name %q: want 1 to 64 letters, digits, dots, - and _, a letter or digit first", name)
	}
	return filepath.Join(f.path, name+extension), nil
}
