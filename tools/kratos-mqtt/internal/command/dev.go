package command

import (
	"fmt"

	"github.com/spf13/cobra"

	cliv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/cli/v1"
	kratosmqttv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
)

func (s *session) devCommand() *cobra.Command {
	o, t, page := new(serving), new(tailing), ""
	c := &cobra.Command{
		Use: "dev [FILTER...]", GroupID: groupDevelop,
		Short: "Start a broker for development, and show its messages here and in a browser",
		Long: `Starts a broker, as the command broker does, and shows its messages, as the command tail does,
until it is interrupted. Without FILTER all messages are shown.

The web console shows the same messages, decoded by --descriptors, their topics and rates, and has
a form for each event that publishes it. It is served on this machine only.

The addresses are written to standard error. With --users the first user of the file reads the
messages.`,
		Example: `kratos-mqtt dev -d api
kratos-mqtt dev 'devices/#' -d api --ws 127.0.0.1:8083 --diff`,
		RunE: func(c *cobra.Command, args []string) error { return s.dev(c, o, t, page, args) },
	}
	o.flags(c)
	s.tailFlags(c, t)
	f := c.Flags()
	f.BoolVar(&t.diff, "diff", false, "show only what changed since the message before on the topic")
	f.StringVar(&page, "console", "127.0.0.1:8080", "address of the web console; empty for none")
	f.StringVar(&t.format, "format", "", "template for each message")
	return c
}

func (s *session) dev(c *cobra.Command, o *serving, t *tailing, page string, filters []string) error {
	b, places, err := s.serve(o)
	if err != nil {
		return err
	}
	defer b.Close()
	if s.own, err = s.beside(places.MQTT, o.users); err != nil {
		return err
	}
	if page != "" {
		url, end, err := s.page(c.Context(), page)
		if err != nil {
			return err
		}
		defer end()
		places.Console = url
	}
	if err := s.writePlaces(s.Err, places); err != nil {
		return err
	}
	if len(filters) == 0 && t.operation == "" {
		filters = []string{"#"}
	}
	if err := s.tail(c, t, filters); err != nil {
		return fmt.Errorf("messages of %s: %w", places.MQTT, err)
	}
	return nil
}

// beside returns the context of a broker that runs in this program. The context in use has only
// the descriptors.
func (s *session) beside(url, users string) (*cliv1.Context, error) {
	used, err := s.context()
	if err != nil {
		return nil, err
	}
	c := &cliv1.Context{
		Mqtt:     &kratosmqttv1.Connection{Addresses: []string{url}, Protocol: "5"},
		Operator: used.Operator, Descriptors: used.Descriptors,
	}
	if users != "" {
		known, err := readUsers(users)
		if err != nil {
			return nil, err
		}
		c.Mqtt.Username, c.Mqtt.Password = known[0][0], known[0][1]
	}
	return c, nil
}
