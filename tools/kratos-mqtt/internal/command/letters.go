package command

import (
	"cmp"
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	operatorv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/operator/v1"
	"github.com/kratos-mqtt/kratos-mqtt/tools/kratos-mqtt/internal/service"
)

// letterDesk has the commands for letters in one state: dead, or parked.
type letterDesk struct {
	s     *session
	state operatorv1.State
	what  string
}

func (s *session) lettersCommand() *cobra.Command {
	d := &letterDesk{s: s, state: operatorv1.State_STATE_DEAD, what: "dead letters"}
	c := &cobra.Command{
		Use: "letters", GroupID: groupRepair, Aliases: []string{"letter"},
		Short: "See and repair dead letters: messages that no handler could handle",
		Long: `Shows the dead letters of a running service, and replays, edits, archives or deletes them.

An act takes ids, a selection by flags, or --all. It takes the oldest first, goes on after one that
fails, and never replays a letter before an earlier one of its ordering key. What it cannot finish
goes on at the cursor that it prints.`,
		Example: `kratos-mqtt letters groups
kratos-mqtt letters replay --group FINGERPRINT --rate 10
kratos-mqtt letters edit ID`,
	}
	c.AddCommand(
		d.list(), d.groups(), d.show(), d.editCommand(),
		d.act(act{use: "replay", short: "Publish letters again, oldest first", verb: "replay", did: "replayed", confirms: true}, operatorv1.OperatorServiceClient.ReplayLetters),
		d.act(act{use: "drop", short: "Delete letters", verb: "delete", did: "deleted", deletes: true, alias: "delete"}, operatorv1.OperatorServiceClient.DeleteLetters),
		d.act(act{use: "archive", short: "Move letters to the archive of the service", verb: "archive", did: "archived"}, operatorv1.OperatorServiceClient.ArchiveLetters),
	)
	return c
}

func (s *session) parkedCommand() *cobra.Command {
	d := &letterDesk{s: s, state: operatorv1.State_STATE_PARKED, what: "parked messages"}
	c := &cobra.Command{
		Use: "parked", GroupID: groupRepair,
		Short: "See and repair parked messages, which keep the later ones of their key waiting",
		Long: `Shows the parked messages of a running service: their handlers failed for long, and they are
tried again after a pause. Later messages of their ordering key wait behind them.`,
		Example: `kratos-mqtt parked list
kratos-mqtt parked retry --operation RecordTelemetry`,
	}
	c.AddCommand(
		d.list(), d.groups(), d.show(),
		d.act(act{use: "retry", short: "Handle messages at once instead of after their pause", verb: "retry", did: "retried"}, operatorv1.OperatorServiceClient.RetryParked),
		d.act(act{use: "drop", short: "Delete messages; those behind them have their turn", verb: "delete", did: "deleted", deletes: true, alias: "delete"}, operatorv1.OperatorServiceClient.DeleteParked),
		d.act(act{use: "dead-letter", short: "Turn messages into dead letters; those behind them have their turn", verb: "dead-letter", did: "dead-lettered"}, operatorv1.OperatorServiceClient.DeadLetterParked),
	)
	return c
}

func (d *letterDesk) list() *cobra.Command {
	f, p := new(selection), new(paging)
	c := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Args: cobra.NoArgs, Short: "List " + d.what + ", oldest first",
		RunE: func(c *cobra.Command, _ []string) error {
			if err := p.check(c); err != nil {
				return err
			}
			at, err := d.s.service()
			if err != nil {
				return err
			}
			criteria, err := f.selected(c, at.Operator)
			if err != nil {
				return err
			}
			return d.pages(c.Context(), at.Operator, criteria, p)
		},
	}
	f.flags(c, d.s, d.state)
	p.flags(c)
	return c
}

// pages lists letters.
func (d *letterDesk) pages(ctx context.Context, ask operatorv1.OperatorServiceClient, criteria *operatorv1.Criteria, p *paging) error {
	t, incomplete := d.s.table("id", "received", "operation", "topic", "attempts", "reason"), false
	for more := true; more; {
		page, err := ask.ListLetters(ctx, &operatorv1.ListLettersRequest{Criteria: criteria, State: d.state, Cursor: p.cursor, Limit: p.size()})
		if err != nil {
			return explained(err)
		}
		for _, l := range page.GetLetters() {
			t.add(asJSON(l), l.GetId(), at(l.GetReceived()), l.GetOperation(), l.GetTopic(), strconv.Itoa(int(l.GetAttempts())), short(reasonOf(l), reasonRunes))
		}
		incomplete = incomplete || page.GetIncomplete()
		if more, err = p.next(len(page.GetLetters()), page.GetNext()); err != nil {
			return err
		}
	}
	if err := t.write(); err != nil {
		return err
	}
	if incomplete {
		fmt.Fprintln(d.s.Err, "the store could not read all letters")
	}
	p.rest(d.s)
	return nil
}

// reasonOf returns why a letter exists, and what is special about it.
func reasonOf(l *operatorv1.Letter) string {
	text := l.GetReason()
	if l.GetSuspect() != "" {
		text = "SUSPECT " + text
	}
	if l.GetReplays() > 0 {
		text = fmt.Sprintf("(replayed %d times) %s", l.GetReplays(), text)
	}
	return text
}

func (d *letterDesk) groups() *cobra.Command {
	f := new(selection)
	c := &cobra.Command{
		Use: "groups", Args: cobra.NoArgs, Short: "Group " + d.what + " by their cause",
		RunE: func(c *cobra.Command, _ []string) error {
			at, err := d.s.service()
			if err != nil {
				return err
			}
			criteria, err := f.selected(c, at.Operator)
			if err != nil {
				return err
			}
			return d.grouped(c.Context(), at, criteria)
		},
	}
	f.flags(c, d.s, d.state)
	return c
}

func (d *letterDesk) grouped(ctx context.Context, from *service.Service, criteria *operatorv1.Criteria) error {
	all, err := from.Groups(ctx, criteria, d.state, 0)
	if err != nil {
		return explained(err)
	}
	t := d.s.table("group", "letters", "operation", "error", "first", "last", "pattern")
	for _, g := range all.Groups {
		t.add(asJSON(g), g.GetFingerprint(), countOf(g), cmp.Or(g.GetOperation(), g.GetSubscription()), g.GetErrorType(), at(g.GetFirst()), at(g.GetLast()), short(g.GetPattern(), reasonRunes))
	}
	if err := t.write(); err != nil {
		return err
	}
	if all.Incomplete {
		fmt.Fprintln(d.s.Err, "the store could not read all letters")
	}
	return nil
}

func countOf(g *operatorv1.Group) string {
	if g.GetAtLeast() {
		return fmt.Sprintf("%d or more", g.GetCount())
	}
	return strconv.FormatInt(g.GetCount(), 10)
}

// act is a command for an act on letters.
type act struct {
	use, alias, short, verb, did string
	deletes                      bool
	confirms                     bool // takes suspect letters
}

// asks returns when the command asks, for its help.
func (a act) asks() string {
	if a.deletes {
		return "Asks before it deletes;"
	}
	return "Asks before it acts on a selection;"
}

// call is one of the acts of the service.
type call func(operatorv1.OperatorServiceClient, context.Context, *operatorv1.ActOnLettersRequest, ...grpc.CallOption) (*operatorv1.Outcome, error)

func (d *letterDesk) act(a act, do call) *cobra.Command {
	f, suspect := new(selection), false
	b := &bulk{s: d.s, verb: a.verb, did: a.did, what: d.what, deletes: a.deletes}
	c := &cobra.Command{
		Use: a.use + " [ID...]", Short: a.short,
		Long: a.short + `.

Takes ids (- reads them from standard input), a selection by flags, or --all. ` + a.asks() + `
without a terminal to ask on it refuses, unless --yes is set. An act is a line in the log of the
service, with your name.`,
		ValidArgsFunction: d.s.completeArgs(0, func(ctx context.Context) []string { return d.s.letterChoices(ctx, d.state) }),
		RunE: func(c *cobra.Command, args []string) error {
			at, err := d.s.service()
			if err != nil {
				return err
			}
			ids, err := d.s.ids(args)
			if err != nil {
				return err
			}
			criteria, err := f.selected(c, at.Operator)
			if err != nil {
				return err
			}
			if err := b.check(c, len(ids) > 0, criteria != nil); err != nil {
				return err
			}
			return b.run(c.Context(), func(ctx context.Context, p step) (*operatorv1.Outcome, error) {
				return do(at.Operator, ctx, &operatorv1.ActOnLettersRequest{
					Ids: ids, Criteria: criteria, All: b.all, Confirmed: suspect, DryRun: p.dry, Limit: p.limit, Rate: p.rate,
					Within: durationpb.New(within), Cursor: p.cursor, By: p.by,
				})
			})
		},
	}
	if a.alias != "" {
		c.Aliases = []string{a.alias}
	}
	f.flags(c, d.s, d.state)
	b.flags(c)
	if a.confirms {
		c.Flags().BoolVar(&suspect, "confirmed", false, "also letters that the service may not have written; with ids only")
	}
	return c
}
