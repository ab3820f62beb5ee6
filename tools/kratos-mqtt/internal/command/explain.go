package command

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/eventproto"
	"github.com/kratos-mqtt/kratos-mqtt/tools/kratos-mqtt/internal/explain"
)

// explaining has the flags of explain.
type explaining struct {
	config, section, prefix, operation, payload, contentType string
}

func (s *session) explainCommand() *cobra.Command {
	e := new(explaining)
	c := &cobra.Command{
		Use: "explain TOPIC", GroupID: groupSee, Args: cobra.ExactArgs(1),
		Short: "Explain what a service does with a topic, and why not",
		Long: `Explains, without a connection, what a service does with messages of a topic: which operations
match, and each setting with the place that it is from: the .proto file, the configuration, or a
default. If none matches, it names the nearest templates and the level that differs.

The operations are those of --descriptors. --config is the configuration file of the service; the
section for subscriptions is found by its keys, or named by --section. Settings that the service
sets in code are not known here, except a filter prefix, which --filter-prefix sets.

With --payload the payload is decoded as the handler would receive it, with the fields that the
topic sets. Messages whose Go type decodes JSON itself may accept more than is shown here.

The exit code is 1 if no operation handles the topic.`,
		Example: `kratos-mqtt explain -d api devices/7/data
kratos-mqtt explain -d api devices/7/data --config configs/saver.yaml --payload '{"temperature":71}'
kratos-mqtt explain -d api devices/7/telemetry --json`,
		RunE: func(c *cobra.Command, args []string) error { return s.explain(c, e, args[0]) },
	}
	f := c.Flags()
	f.StringVarP(&e.config, "config", "c", "", "configuration file of the service")
	f.StringVar(&e.section, "section", "", "section for subscriptions in it, such as server.mqtt (default: the one with their keys)")
	f.StringVar(&e.prefix, "filter-prefix", "", "filter prefix that the service is registered with, such as tenants/+")
	f.StringVar(&e.operation, "operation", "", "explain only this operation: /pkg.Service/Method, or the end of it")
	f.StringVarP(&e.payload, "payload", "p", "", "payload, or @FILE")
	f.StringVar(&e.contentType, "content-type", "", "content type of the payload (default: that of the operation's codec)")
	return c
}

func (s *session) explain(c *cobra.Command, e *explaining, topic string) error {
	methods, decoder, err := s.methods(c.Context())
	if err != nil {
		return err
	}
	if len(methods) == 0 {
		return usageError(c, "no operations are declared: want --descriptors with those of the service")
	}
	service := explain.Service{Methods: methods, Decoder: decoder, Prefix: e.prefix}
	if e.operation != "" {
		m, err := methods.Named(e.operation)
		if err != nil {
			return err
		}
		service.Operation = m.Operation
	}
	if e.config != "" {
		if service.Subscriber, service.Place, err = explain.Configuration(e.config, e.section); err != nil {
			return err
		}
	}
	message := explain.Message{Topic: topic, ContentType: e.contentType}
	if c.Flags().Changed("payload") {
		if message.Payload, err = argument(e.payload); err != nil {
			return err
		}
	}
	found, err := service.Explain(message)
	if err != nil {
		return usageError(c, "%w", err)
	}
	if err := s.writeExplanation(found, service.Place, e.config); err != nil {
		return err
	}
	if !found.Handled() {
		return fmt.Errorf("no operation handles %s", printable(topic))
	}
	return nil
}

// argument returns a text, or the content of the file that it names after an @.
func argument(text string) ([]byte, error) {
	if path, ok := strings.CutPrefix(text, "@"); ok {
		return os.ReadFile(path)
	}
	return []byte(text), nil
}

func (s *session) writeExplanation(e *explain.Explanation, place, config string) error {
	write, notes := s.explainText, s.Out
	if s.json {
		write, notes = s.explainJSON, s.Err // each line of the output is an operation
	}
	if err := write(e); err != nil {
		return err
	}
	for _, note := range e.Notes {
		fmt.Fprintln(notes, "Note:", note)
	}
	if config != "" && place == "" {
		fmt.Fprintf(notes, "Note: %s has no section for subscriptions; --section names it if its keys are others\n", config)
	}
	return nil
}

func (s *session) explainJSON(e *explain.Explanation) error {
	for _, m := range e.Matches {
		if err := s.writeJSON(m); err != nil {
			return err
		}
	}
	for _, n := range e.Nearest {
		if err := s.writeJSON(n); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) explainText(e *explain.Explanation) error {
	for i, m := range e.Matches {
		if i > 0 {
			fmt.Fprintln(s.Out)
		}
		if err := s.writeMatch(m); err != nil {
			return err
		}
	}
	if e.Handled() {
		return nil
	}
	return s.writeNearest(e.Nearest)
}

func (s *session) writeMatch(m explain.Match) error {
	fmt.Fprintln(s.Out, m.Operation)
	if m.Description != "" {
		fmt.Fprintln(s.Out, "  "+printable(eventproto.Paragraph(m.Description)))
	}
	fmt.Fprintf(s.Out, "  template %s\n  filter   %s\n  request  %s%s\n", m.Template, m.Filter, m.Request, described(m.RequestDescription))
	if m.Note != "" {
		fmt.Fprintln(s.Out, "  "+printable(m.Note))
	}
	if !m.Handled {
		return nil
	}
	if b := m.Binding; b != nil {
		for _, f := range b.Fields {
			fmt.Fprintf(s.Out, "  field    %s is %s%s\n", f.Path, printable(f.Value), described(f.Description))
		}
		for _, text := range b.Contradictions {
			fmt.Fprintln(s.Out, "  differs ", printable(text)+": the topic counts; with StrictTopic it is a dead letter")
		}
		if b.Message != "" {
			fmt.Fprintf(s.Out, "  message  %s (codec %s)\n", printable(b.Message), b.Codec)
		}
	}
	fmt.Fprintln(s.Out)
	t := s.table("setting", "value", "from")
	for _, row := range m.Settings {
		t.add(nil, row.Name, row.Value, row.From)
	}
	return t.write()
}

// described returns a comment as the end of a line.
func described(comment string) string {
	if comment == "" {
		return ""
	}
	return ": " + printable(eventproto.Paragraph(comment))
}

func (s *session) writeNearest(nearest []explain.Near) error {
	if len(nearest) == 0 {
		return nil
	}
	fmt.Fprintln(s.Out, "Nearest templates")
	t := s.table("template", "operation", "why not")
	for _, n := range nearest {
		t.add(nil, n.Template, n.Operation, n.Why)
	}
	return t.write()
}
