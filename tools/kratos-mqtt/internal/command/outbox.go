package command

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	operatorv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/operator/v1"
)

// entryList is a method that lists entries of an outbox, and entryCall one that acts on them.
type (
	entryList func(operatorv1.OperatorServiceClient, context.Context, *operatorv1.ListEntriesRequest, ...grpc.CallOption) (*operatorv1.ListEntriesReply, error)
	entryCall func(operatorv1.OperatorServiceClient, context.Context, *operatorv1.ActOnEntriesRequest, ...grpc.CallOption) (*operatorv1.Outcome, error)
)

// entryDesk has the commands for entries of an outbox: those that wait, or that are in quarantine.
type entryDesk struct {
	s    *session
	list entryList
	what string
	when string // heading of the time
}

func (s *session) outboxCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "outbox", GroupID: groupRepair, Short: "See and repair the messages that wait in the outbox of a service",
		Example: `kratos-mqtt outbox inspect
kratos-mqtt outbox drain --timeout 30s
kratos-mqtt outbox quarantine list`,
	}
	d := entryDesk{s: s, list: operatorv1.OperatorServiceClient.ListWaiting, what: "waiting messages", when: "accepted"}
	c.AddCommand(
		d.listCommand("inspect", "List the messages that wait, first the one that is next"), s.drainCommand(),
		d.act(act{use: "retry", short: "Send messages at once that wait for the end of a pause", verb: "retry", did: "retried"}, operatorv1.OperatorServiceClient.RetryWaiting),
		d.act(act{use: "drop", short: "Delete waiting messages without sending them", verb: "delete", did: "deleted", deletes: true, alias: "delete"}, operatorv1.OperatorServiceClient.DeleteWaiting),
		s.quarantineCommand(),
	)
	return c
}

func (s *session) quarantineCommand() *cobra.Command {
	c := &cobra.Command{Use: "quarantine", Short: "Messages that the broker refuses permanently, and that are not sent"}
	d := entryDesk{s: s, list: operatorv1.OperatorServiceClient.ListQuarantined, what: "quarantined messages", when: "quarantined"}
	c.AddCommand(
		d.listCommand("list", "List the messages in quarantine"),
		d.act(act{use: "retry", short: "Return messages to the outbox", verb: "return", did: "returned"}, operatorv1.OperatorServiceClient.RetryQuarantined),
		d.act(act{use: "drop", short: "Delete messages in quarantine", verb: "delete", did: "deleted", deletes: true, alias: "delete"}, operatorv1.OperatorServiceClient.DeleteQuarantined),
	)
	return c
}

// entrySelection has the flags that select entries.
type entrySelection struct {
	criteria operatorv1.EntryCriteria
	from, to string
}

func (f *entrySelection) flags(c *cobra.Command, when string) {
	set := c.Flags()
	set.StringVarP(&f.criteria.Topic, "topic", "t", "", "only with a topic that this filter matches")
	set.StringVar(&f.criteria.Reason, "reason", "", "only with this text in the reason")
	set.StringVar(&f.from, "from", "", "only "+when+" at this time or later: 2026-01-02T15:04:05Z, 2026-01-02, or 2h for two hours ago")
	set.StringVar(&f.to, "to", "", "only "+when+" before this time")
}

// selected returns what the flags select; nil if none is set.
func (f *entrySelection) selected(c *cobra.Command) (*operatorv1.EntryCriteria, error) {
	var errs [2]error
	f.criteria.From, errs[0] = moment("--from", f.from, time.Now())
	f.criteria.To, errs[1] = moment("--to", f.to, time.Now())
	if err := errors.Join(errs[:]...); err != nil {
		return nil, err
	}
	for _, name := range []string{"topic", "reason", "from", "to"} {
		if c.Flags().Changed(name) {
			return &f.criteria, nil
		}
	}
	return nil, nil
}

func (d entryDesk) listCommand(use, about string) *cobra.Command {
	f, p := new(entrySelection), new(paging)
	c := &cobra.Command{
		Use: use, Aliases: []string{"ls"}, Args: cobra.NoArgs, Short: about,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := p.check(c); err != nil {
				return err
			}
			at, err := d.s.service()
			if err != nil {
				return err
			}
			criteria, err := f.selected(c)
			if err != nil {
				return err
			}
			return d.pages(c.Context(), at.Operator, criteria, p)
		},
	}
	f.flags(c, d.when)
	p.flags(c)
	return c
}

// pages lists entries.
func (d entryDesk) pages(ctx context.Context, ask operatorv1.OperatorServiceClient, criteria *operatorv1.EntryCriteria, p *paging) error {
	t := d.s.table("number", d.when, "topic", "key", "bytes", "reason")
	for more := true; more; {
		page, err := d.list(ask, ctx, &operatorv1.ListEntriesRequest{Criteria: criteria, Cursor: p.cursor, Limit: p.size()})
		if err != nil {
			return explained(err)
		}
		for _, e := range page.GetEntries() {
			t.add(asJSON(e), strconv.FormatUint(e.GetSeq(), 10), at(e.GetTime()), e.GetTopic(), e.GetKey(), strconv.FormatInt(e.GetPayloadSize(), 10), short(e.GetReason(), reasonRunes))
		}
		if more, err = p.next(len(page.GetEntries()), page.GetNext()); err != nil {
			return err
		}
	}
	if err := t.write(); err != nil {
		return err
	}
	p.rest(d.s)
	return nil
}

func (d entryDesk) act(a act, do entryCall) *cobra.Command {
	f := new(entrySelection)
	b := &bulk{s: d.s, verb: a.verb, did: a.did, what: d.what, deletes: a.deletes}
	c := &cobra.Command{
		Use: a.use + " [NUMBER...]", Short: a.short,
		ValidArgsFunction: d.s.completeArgs(0, d.s.entryChoices(d.list)),
		RunE: func(c *cobra.Command, args []string) error {
			at, err := d.s.service()
			if err != nil {
				return err
			}
			seqs, err := d.numbers(args)
			if err != nil {
				return err
			}
			criteria, err := f.selected(c)
			if err != nil {
				return err
			}
			if err := b.check(c, len(seqs) > 0, criteria != nil); err != nil {
				return err
			}
			return b.run(c.Context(), func(ctx context.Context, p step) (*operatorv1.Outcome, error) {
				return do(at.Operator, ctx, &operatorv1.ActOnEntriesRequest{
					Seqs: seqs, Criteria: criteria, All: b.all, DryRun: p.dry, Limit: p.limit, Rate: p.rate,
					Within: durationpb.New(within), Cursor: p.cursor, By: p.by,
				})
			})
		},
	}
	if a.alias != "" {
		c.Aliases = []string{a.alias}
	}
	f.flags(c, d.when)
	b.flags(c)
	return c
}

// numbers returns the arguments as numbers of entries.
func (d entryDesk) numbers(args []string) (seqs []uint64, err error) {
	words, err := d.s.ids(args)
	if err != nil {
		return nil, err
	}
	for _, word := range words {
		n, err := strconv.ParseUint(word, 10, 64)
		if err != nil || n == 0 || n == math.MaxUint64 {
			return nil, fmt.Errorf("%q is not the number of a message", word)
		}
		seqs = append(seqs, n)
	}
	return seqs, nil
}
