package command

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kratos-mqtt/kratos-mqtt/tools/kratos-mqtt/internal/scaffold"
)

func (s *session) newCommand() *cobra.Command {
	o, folder := new(scaffold.Service), ""
	c := &cobra.Command{
		Use: "new NAME", GroupID: groupDevelop, Args: cobra.ExactArgs(1),
		Short: "Make a Kratos service whose events go over MQTT",
		Long: `Makes a Kratos service in the form of kratos-layout, in a folder of its name: an event goes in by
HTTP, through biz and data to a typed publisher, and comes back through an MQTT handler, which
stores it. Outbox, dead letters, metrics, probes, console and tests are part of it. It imports
this module; nothing of it is copied.

NAME is also the client id and the first level of the topics. It has 3 to 40 lower-case letters,
digits and single dashes, begins with a letter and does not end in a dash.

The go command is needed, and fetches what is not in its cache. Nothing is overwritten.`,
		Example: `kratos-mqtt new orders
kratos-mqtt new orders --module example.com/shop/orders --kratos v2
kratos-mqtt new orders --replace ../kratos-mqtt`,
		RunE: func(c *cobra.Command, args []string) error {
			o.Name = args[0]
			return s.newService(c, o, folder)
		},
	}
	f := c.Flags()
	f.StringVar(&o.Module, "module", "", "module path (default: NAME)")
	f.StringVar(&o.Kratos, "kratos", scaffold.DefaultKratos, "version of Kratos: v2 or v3")
	f.BoolVar(&o.Minimal, "minimal", false, "the smallest service: no layers, no database")
	f.StringVar(&o.Replace, "replace", "", "folder of this module, to use in place of a published version")
	f.StringVar(&folder, "folder", "", "folder to make (default: NAME)")
	return c
}

func (s *session) newService(c *cobra.Command, o *scaffold.Service, folder string) error {
	if o.Kratos != scaffold.KratosV2 && o.Kratos != scaffold.KratosV3 {
		return usageError(c, "--kratos %s: want v2 or v3", o.Kratos)
	}
	if err := errors.Join(scaffold.CheckName(o.Name), ownVersion(o)); err != nil {
		return err
	}
	if folder == "" {
		folder = o.Name
	}
	files, err := scaffold.New(c.Context(), *o, folder)
	if err != nil {
		return err
	}
	if s.json {
		return s.writeJSON(newResult{folder, files})
	}
	_, err = fmt.Fprintf(s.Out, "%s has %d files. Next:\n\n  cd %s && make run\n", folder, len(files), folder)
	return err
}

// newResult is what new writes as JSON.
type newResult struct {
	Folder string   `json:"folder"`
	Files  []string `json:"files"`
}

// ownVersion sets the version of this module that the service requires.
func ownVersion(o *scaffold.Service) error {
	if o.Replace != "" {
		folder, err := filepath.Abs(o.Replace)
		if err != nil {
			return err
		}
		if _, err := os.Stat(filepath.Join(folder, "go.mod")); err != nil {
			return fmt.Errorf("--replace: want the folder of this module: %w", err)
		}
		o.Replace, o.Version = folder, "v0.0.0"
		return nil
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		o.Version = info.Main.Version
	}
	if o.Version == "" || o.Version == "(devel)" || strings.Contains(o.Version, "+dirty") {
		return errors.New("this program was built from a working copy, which has no published version: want --replace FOLDER, the folder of that copy")
	}
	return nil
}
