package scaffold

import (
	"context"
	"fmt"
	"go/build"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/mod/module"
)

// Rules of names. They are in errors, too.
const (
	serviceRule = "want 3 to 40 lower-case letters, digits and single dashes, with a letter first and no dash last"
	eventRule   = "want 2 to 40 lower-case letters, digits and single dashes, with a letter first and no dash last, such as order-paid"
)

var dashed = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)

// CheckName returns an error if a service cannot have this name, because a Go module, a folder, a
// package of .proto files or a client id cannot, or because `kratos run` cannot start it.
func CheckName(name string) error {
	switch {
	case len(name) < 3 || len(name) > 40 || !dashed.MatchString(name):
		return fmt.Errorf("name %q: %s", name, serviceRule)
	case strings.HasSuffix(name, "cmd"):
		return fmt.Errorf("name %q: want another end than cmd, which `kratos run` takes for a folder of commands", name)
	case slices.Contains([]string{"vendor", "internal", "testdata"}, name):
		return fmt.Errorf("name %q: want a name that does not mean something else to Go", name)
	}
	return nil
}

// CheckModule returns an error if a module cannot have this path. It asks the go command where the
// standard library is: a program that was built with -trimpath does not know.
func CheckModule(ctx context.Context, path string) error {
	if err := module.CheckImportPath(path); err != nil {
		return fmt.Errorf("module path: %w", err)
	}
	first, _, _ := strings.Cut(path, "/")
	library, err := Go(ctx, ".", "env", "GOROOT")
	if err != nil {
		return err
	}
	info, err := os.Stat(filepath.Join(strings.TrimSpace(string(library)), "src", first))
	if err == nil && info.IsDir() || slices.Contains([]string{"all", "std", "cmd", "tool", "work"}, first) {
		return fmt.Errorf("module path %q: the standard library has %s: set another one with --module, such as example.com/%s", path, first, path)
	}
	return nil
}

// Event has the names of an event.
type Event struct {
	// Name is that of the command line and the topic: order-paid.
	Name string
	// Go is that of types: OrderPaid. Var is that of variables: orderPaid.
	Go, Var string
	// Snake is that of tables: order_paid. File is that of files, which is the same unless Go
	// would take such a file for a test or for one of another system.
	Snake, File string
	// HTTP is set if the event is served by HTTP.
	HTTP bool
}

// NewEvent returns the names of an event.
func NewEvent(name string) (Event, error) {
	if len(name) < 2 || len(name) > 40 || !dashed.MatchString(name) {
		return Event{}, fmt.Errorf("event %q: %s", name, eventRule)
	}
	short := strings.TrimSuffix(strings.TrimSuffix(name, "-event"), "-events")
	e := Event{Name: short, Snake: snake(short)}
	for part := range strings.SplitSeq(short, "-") {
		e.Go += strings.ToUpper(part[:1]) + part[1:]
	}
	e.Var = strings.ToLower(e.Go[:1]) + e.Go[1:]
	e.File = e.Snake
	last := e.Snake[strings.LastIndexByte(e.Snake, '_')+1:]
	if last == "test" || foreign(last) || slices.Contains([]string{"biz", "data", "service"}, e.Snake) { // or that of a file that is there
		e.File += "_event"
	}
	if slices.Contains([]string{"service", "publisher", "repo", "usecase", "layers"}, last) {
		return Event{}, fmt.Errorf("event %q: want another end than %s, which the name of a type has", name, last)
	}
	return e, nil
}

// foreign reports whether Go builds a file that ends in _last for certain systems only.
func foreign(last string) bool {
	c := build.Default
	c.GOOS, c.GOARCH = "none", "none"
	c.OpenFile = func(string) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("package x\n")), nil }
	ok, err := c.MatchFile("", "x_"+last+".go")
	return err == nil && !ok
}

func snake(name string) string { return strings.ReplaceAll(name, "-", "_") }
