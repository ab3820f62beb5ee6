package command

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/encoding/protojson"

	cliv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/cli/v1"
	"github.com/kratos-mqtt/kratos-mqtt/tools/kratos-mqtt/internal/profile"
)

func (s *session) contextCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "context", GroupID: groupSettings,
		Short: "Save where to connect under a name",
		Example: `kratos-mqtt context add plant --broker mqtts://broker.example:8883 --username ops --password-file ./password
kratos-mqtt context use plant`,
	}
	c.AddCommand(s.contextAdd(), s.contextUse(), s.contextList(), s.contextShow(), s.contextRemove())
	return c
}

func (s *session) contextAdd() *cobra.Command {
	return &cobra.Command{
		Use: "add NAME", Args: cobra.ExactArgs(1),
		Short: "Save the given flags under a name; the first context is also used",
		Long: `Saves the given flags under a name. The file is readable by you only. It has the path of the
password file, and the password itself only if it is that of KRATOS_MQTT_PASSWORD.`,
		RunE: func(_ *cobra.Command, args []string) error {
			folder, err := s.contexts()
			if err != nil {
				return err
			}
			c := new(cliv1.Context)
			s.override(c)
			if len(c.Mqtt.Addresses) == 0 && c.GetOperator().GetAddress() == "" {
				return errors.New("nothing to save: want --broker URL, --operator URL, or both")
			}
			if err := absolute(c); err != nil {
				return err
			}
			if err := folder.Save(args[0], c); err != nil {
				return err
			}
			now, err := folder.Current()
			if err != nil || now != "" {
				return err
			}
			return folder.Use(args[0])
		},
	}
}

// absolute makes paths relative to the working folder absolute, because the context is used
// from other folders.
func absolute(c *cliv1.Context) error {
	for _, path := range profile.Paths(c) {
		whole, err := filepath.Abs(*path)
		if err != nil {
			return err
		}
		*path = whole
	}
	return nil
}

func (s *session) contextUse() *cobra.Command {
	return &cobra.Command{
		Use: "use NAME", Args: cobra.ExactArgs(1), Short: "Use a context from now on", ValidArgsFunction: s.completeContexts,
		RunE: func(_ *cobra.Command, args []string) error {
			folder, err := s.contexts()
			if err != nil {
				return err
			}
			return folder.Use(args[0])
		},
	}
}

func (s *session) contextList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Args: cobra.NoArgs, Short: "List the contexts", Aliases: []string{"ls"},
		RunE: func(*cobra.Command, []string) error {
			folder, err := s.contexts()
			if err != nil {
				return err
			}
			names, err := folder.Names()
			if err != nil {
				return err
			}
			now, err := folder.Current()
			if err != nil {
				return err
			}
			t := s.table("", "name", "broker", "operator")
			for _, name := range names {
				row, err := contextRow(folder, name)
				if err != nil {
					return err
				}
				row.Used = name == now
				t.add(row, mark(row.Used), row.Name, strings.Join(row.Broker, " "), row.Operator)
			}
			return t.write()
		},
	}
}

// contextOf is a context in a list.
type contextOf struct {
	Name     string   `json:"name"`
	Used     bool     `json:"used"`
	Broker   []string `json:"broker"`
	Operator string   `json:"operator,omitempty"`
}

func contextRow(folder profile.Folder, name string) (contextOf, error) {
	c, err := folder.Load(name)
	if err != nil {
		return contextOf{}, err
	}
	row := contextOf{Name: name, Operator: c.GetOperator().GetAddress()}
	for _, a := range c.GetMqtt().GetAddresses() {
		row.Broker = append(row.Broker, withoutUser(a))
	}
	return row, nil
}

func (s *session) contextShow() *cobra.Command {
	return &cobra.Command{
		Use: "show [NAME]", Args: cobra.MaximumNArgs(1), Short: "Show a context without its password", ValidArgsFunction: s.completeContexts,
		RunE: func(_ *cobra.Command, args []string) error {
			s.name = cmp.Or(append(args, s.name)...)
			c, err := s.context()
			if err != nil {
				return err
			}
			if c.Mqtt.Password != "" {
				c.Mqtt.Password = "***"
			}
			for i, a := range c.Mqtt.Addresses {
				c.Mqtt.Addresses[i] = withoutUser(a)
			}
			for name := range c.Mqtt.WebsocketHeaders {
				c.Mqtt.WebsocketHeaders[name] = "***"
			}
			c.Mqtt.Proxy = withoutUser(c.Mqtt.Proxy)
			text, err := protojson.MarshalOptions{UseProtoNames: true, Multiline: !s.json}.Marshal(c)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(s.Out, string(text))
			return err
		},
	}
}

func (s *session) contextRemove() *cobra.Command {
	return &cobra.Command{
		Use: "remove NAME", Args: cobra.ExactArgs(1), Short: "Delete a context", Aliases: []string{"rm"}, ValidArgsFunction: s.completeContexts,
		RunE: func(_ *cobra.Command, args []string) error {
			folder, err := s.contexts()
			if err != nil {
				return err
			}
			return folder.Remove(args[0])
		},
	}
}

func (s *session) completeContexts(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	folder, err := s.contexts()
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	names, _ := folder.Names()
	return names, cobra.ShellCompDirectiveNoFileComp
}
