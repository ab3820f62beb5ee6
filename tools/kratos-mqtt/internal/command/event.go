package command

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/kratos-mqtt/kratos-mqtt/tools/kratos-mqtt/internal/layout"
	"github.com/kratos-mqtt/kratos-mqtt/tools/kratos-mqtt/internal/scaffold"
)

// eventing has the flags of event.
type eventing struct {
	folder, pkg string
	http        bool
	change      changing
}

func (s *session) eventCommand() *cobra.Command {
	o := new(eventing)
	c := &cobra.Command{
		Use: "event NAME", GroupID: groupDevelop, Args: cobra.ExactArgs(1),
		Short: "Add an event to a service that the command new made, or that add changed",
		Long: `Adds an event through all layers of a service that kratos-mqtt new made: its .proto file, a typed
publisher, a handler that stores it, a test that publishes it and looks for the row, and the wiring.
In a project that kratos-mqtt add changed, the handler writes a line to the log, in place of which
your database belongs. It shows the changes of files that exist, and asks.

NAME, such as order-paid, is also the last level of the topic. Files that exist already are left
alone, so that the command may run again.`,
		Example: `kratos-mqtt event order-paid
kratos-mqtt event order-paid --http --yes`,
		RunE: func(c *cobra.Command, args []string) error { return s.event(c, o, args[0]) },
	}
	f := c.Flags()
	f.StringVar(&o.folder, "folder", ".", "folder of the service")
	f.StringVar(&o.pkg, "service", "", "folder below api that the event belongs to (default: that of the service)")
	f.BoolVar(&o.http, "http", false, "also publish and list it by HTTP, at /v1/events/NAME")
	o.change.flags(f)
	return c
}

func (s *session) event(c *cobra.Command, o *eventing, name string) (err error) {
	e, err := scaffold.NewEvent(name)
	if err != nil {
		return err
	}
	e.HTTP = o.http
	if added, err := s.eventOfLayout(c, o, e); added || err != nil {
		return err
	}
	p, err := scaffold.OpenProject(o.folder)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	if err := p.AddEvent(c.Context(), e, o.pkg); err != nil {
		return err
	}
	written, err := s.apply(p.Set, o.change)
	if err != nil || !written {
		return err
	}
	if err := p.Wire(c.Context()); err != nil {
		return err
	}
	if !s.json {
		_, err = fmt.Fprintln(s.Out, "Next: make test")
	}
	return err
}

// eventOfLayout adds an event to a project that add changed. It reports whether the folder is one.
func (s *session) eventOfLayout(c *cobra.Command, o *eventing, e scaffold.Event) (added bool, err error) {
	p, err := layout.Open(o.folder, layout.Options{})
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	if !p.Added() {
		return false, nil
	}
	err = p.AddEvent(c.Context(), e, o.pkg, s.steps(o.change))
	s.noteAll(p.Notes())
	if err != nil {
		return true, err
	}
	written, err := s.apply(p.Set, o.change)
	if err == nil && written && !s.json {
		_, err = fmt.Fprintln(s.Out, "Next: go test ./...")
	}
	return true, err
}
