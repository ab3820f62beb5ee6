package command

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/kratos-mqtt/kratos-mqtt/tools/kratos-mqtt/internal/layout"
)

// removing has the flags of remove.
type removing struct {
	folder string
	force  bool
	change changing
}

func (s *session) removeCommand() *cobra.Command {
	o := new(removing)
	c := &cobra.Command{
		Use: "remove", GroupID: groupDevelop, Args: cobra.NoArgs,
		Short: "Take out again what the command add added to a project",
		Long: `Takes out what kratos-mqtt add, and kratos-mqtt event behind it, added to a project in the form of
kratos-layout. What was changed around it stays. Something that was changed in it is an error that
names the place; --force removes it, too. As with add, the rest is wired and built in a copy first.`,
		Example: `kratos-mqtt remove
kratos-mqtt remove --dry-run`,
		RunE: func(c *cobra.Command, _ []string) error { return s.remove(c, o) },
	}
	f := c.Flags()
	f.StringVar(&o.folder, "folder", ".", "folder of the project")
	f.BoolVar(&o.force, "force", false, "also remove what was changed in the parts that add added")
	o.change.flags(f)
	return c
}

func (s *session) remove(c *cobra.Command, o *removing) (err error) {
	p, err := layout.Open(o.folder, layout.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	err = p.Remove(c.Context(), o.force, s.steps(o.change))
	s.noteAll(p.Notes())
	if err != nil {
		return err
	}
	_, err = s.apply(p.Set, o.change)
	return err
}
