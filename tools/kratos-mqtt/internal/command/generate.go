package command

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kratos-mqtt/kratos-mqtt/tools/kratos-mqtt/internal/changeset"
	"github.com/kratos-mqtt/kratos-mqtt/tools/kratos-mqtt/internal/generate"
	"github.com/kratos-mqtt/kratos-mqtt/tools/kratos-mqtt/internal/scaffold"
)

func (s *session) generateCommand() *cobra.Command {
	check := false
	c := &cobra.Command{
		Use: "generate [FOLDER]", GroupID: groupDevelop, Args: cobra.MaximumNArgs(1),
		Short: "Generate code from the .proto files of a project, without protoc",
		Long: `Generates Go code of messages, typed publishers and subscribers of events, and AsyncAPI documents
from the .proto files below api and internal of a Go module. Compiler and generators are part of
this program. Imports are searched in these folders, below third_party, and among the files that
this program has: protobuf's own, google/api and ours.

Servers of gRPC and HTTP are not generated: use protoc or the Kratos command line for them.`,
		Example: `kratos-mqtt generate
kratos-mqtt generate --check`,
		RunE: func(c *cobra.Command, args []string) error { return s.generate(c, append(args, ".")[0], check) },
	}
	c.Flags().BoolVar(&check, "check", false, "write nothing, and fail if a file is not up to date")
	return c
}

func (s *session) generate(c *cobra.Command, folder string, check bool) (err error) {
	module, err := scaffold.Module(folder)
	if err != nil {
		return err
	}
	protos, err := generate.Sources(os.DirFS(folder))
	if err != nil {
		return err
	}
	made, err := generate.Files(c.Context(), generate.Project{Module: module, Protos: protos})
	if err != nil {
		return err
	}
	set, err := changeset.Open(folder)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, set.Close()) }()
	for name, text := range made {
		if err := set.Write(name, text); err != nil {
			return err
		}
	}
	stale := set.Files()
	if check && len(stale) > 0 {
		return fmt.Errorf("not up to date: %s: run kratos-mqtt generate", strings.Join(stale, ", "))
	}
	diff := set.Diff()
	if err := set.Apply(); err != nil {
		return err
	}
	if s.json {
		return s.writeJSON(changeResult{stale, diff, len(stale) > 0})
	}
	for _, name := range stale {
		if _, err := fmt.Fprintln(s.Out, printable(name)); err != nil {
			return err
		}
	}
	return nil
}
