package command

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/kratos-mqtt/kratos-mqtt/tools/kratos-mqtt/internal/layout"
	"github.com/kratos-mqtt/kratos-mqtt/tools/kratos-mqtt/internal/scaffold"
)

// adding has the flags of add.
type adding struct {
	folder, event string
	own           scaffold.Service // Version and Replace
	project       layout.Options
	change        changing
}

func (s *session) addCommand() *cobra.Command {
	o := new(adding)
	c := &cobra.Command{
		Use: "add", GroupID: groupDevelop, Args: cobra.NoArgs,
		Short: "Add MQTT to a project that was made from kratos-layout",
		Long: `Adds MQTT to a Kratos project in the form of kratos-layout: settings in conf.proto and config.yaml,
broker and stores in the data layer, a server beside HTTP and gRPC, the wiring, and one event with
its publisher, its handler and a test. The version of Kratos is that of the project's imports.

Go files are changed at positions of their syntax trees, .proto, YAML and make files at those of
their parsers; nothing else of them changes. All is generated, wired and built in a copy first. A
project that is not understood, or does not build with the changes, stays as it is.

It shows the changes and asks. kratos-mqtt remove takes them out again; it needs the file
.kratos-mqtt.json.`,
		Example: `kratos-mqtt add
kratos-mqtt add --event order-paid --dry-run
kratos-mqtt add --replace ../kratos-mqtt --yes`,
		RunE: func(c *cobra.Command, _ []string) error { return s.add(c, o) },
	}
	f := c.Flags()
	f.StringVar(&o.folder, "folder", ".", "folder of the project")
	f.StringVar(&o.event, "event", "greeting", "name of the first event")
	f.StringVar(&o.project.Name, "name", "", "client id, and first level of topics (default: that of the command or the module)")
	f.StringVar(&o.project.Command, "command", "", "folder below cmd, if several ones use Wire")
	f.StringVar(&o.own.Replace, "replace", "", "folder of this module, to use in place of a published version")
	o.change.flags(f)
	return c
}

func (s *session) add(c *cobra.Command, o *adding) (err error) {
	e, err := scaffold.NewEvent(o.event)
	if err != nil {
		return err
	}
	if err := ownVersion(&o.own); err != nil {
		return err
	}
	o.project.Version, o.project.Replace = o.own.Version, o.own.Replace
	p, err := layout.Open(o.folder, o.project)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	err = p.Add(c.Context(), e, s.steps(o.change))
	s.noteAll(p.Notes())
	if err != nil {
		return err
	}
	written, err := s.apply(p.Set, o.change)
	if err != nil || !written || s.json {
		return err
	}
	_, err = fmt.Fprintf(s.Out, `Next:
  go test ./...      # publishes the event, and waits for its handler
  kratos-mqtt dev    # in another terminal: a broker on 127.0.0.1:1883
  go run ./%s -conf configs
  kratos-mqtt publish -b mqtt://127.0.0.1:1883 -d api --operation %s '{"id":"1","text":"hello"}'
`, p.Command(), e.Go)
	return err
}

// steps returns what tells about a trial. It begins with an error if there is nobody to ask at its end.
func (s *session) steps(o changing) layout.Step {
	return func(what string) error {
		if !o.yes && !o.dry && !s.Interactive {
			return s.confirm(false, "change the files of this project")
		}
		_, err := fmt.Fprintf(s.Err, "trying %s …\n", what)
		return err
	}
}

func (s *session) noteAll(notes []string) {
	for _, n := range notes {
		fmt.Fprintln(s.Err, "note:", printable(n))
	}
}
