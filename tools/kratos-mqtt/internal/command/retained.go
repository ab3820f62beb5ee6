package command

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	operatorv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/operator/v1"
)

func (s *session) retainedCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "retained", GroupID: groupRepair, Short: "See and clear the messages that the broker retains",
		Long: `Shows and clears the messages that the broker of a running service retains, whichever client
published them. The service reads and clears them with its own permissions.`,
		Example: `kratos-mqtt retained list --topic 'devices/#'
kratos-mqtt retained clear devices/7/state
kratos-mqtt retained clear --topic 'devices/7/#' --dry-run`,
	}
	c.AddCommand(s.retainedList(), s.retainedClear())
	return c
}

// retainedTopic is the flag that selects retained messages.
const retainedTopic = "only with a topic that this filter matches (default: #, which leaves out topics that begin with $)"

func (s *session) retainedList() *cobra.Command {
	filter, p := "", new(paging)
	c := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Args: cobra.NoArgs, Short: "List retained messages with their payloads decoded, in the order of their topics",
		RunE: func(c *cobra.Command, _ []string) error {
			if err := p.check(c); err != nil {
				return err
			}
			at, err := s.service()
			if err != nil {
				return err
			}
			t := s.table("topic", "bytes", "decoder", "payload")
			err = s.eachRetained(c.Context(), at.Operator, filter, p, func(m *operatorv1.RetainedMessage) {
				size, text := cmp.Or(m.GetOmitted(), int64(len(m.GetPayload()))), m.GetText()
				if text == "" {
					text = "(" + m.GetNote() + ")"
				}
				t.add(asJSON(m), m.GetTopic(), strconv.FormatInt(size, 10), m.GetDecoder(), short(text, 80))
			})
			if err != nil {
				return err
			}
			if err := t.write(); err != nil {
				return err
			}
			p.rest(s)
			return nil
		},
	}
	c.Flags().StringVarP(&filter, "topic", "t", "", retainedTopic)
	p.flags(c)
	return c
}

// eachRetained calls f for the messages of the pages. It warns if there may be others.
func (s *session) eachRetained(ctx context.Context, ask operatorv1.OperatorServiceClient, filter string, p *paging, f func(*operatorv1.RetainedMessage)) error {
	incomplete := false
	for more := true; more; {
		page, err := ask.ListRetained(ctx, &operatorv1.ListRetainedRequest{Filter: filter, Cursor: p.cursor, Limit: p.size()})
		if err != nil {
			return explained(err)
		}
		for _, m := range page.GetMessages() {
			f(m)
		}
		incomplete = incomplete || page.GetIncomplete()
		if more, err = p.next(len(page.GetMessages()), page.GetNext()); err != nil {
			return err
		}
	}
	if incomplete {
		fmt.Fprintln(s.Err, "warning: the broker may retain more messages than it sent in time; narrower filters find them")
	}
	return nil
}

func (s *session) retainedClear() *cobra.Command {
	filter := ""
	b := &bulk{s: s, verb: "clear", did: "cleared", what: "retained messages", deletes: true}
	c := &cobra.Command{
		Use: "clear [TOPIC...]", Aliases: []string{"drop", "delete"}, Short: "Delete retained messages",
		Long: `Deletes the retained messages of topics, of those that a filter matches, or all. Subscribers of a
topic receive an empty message. Each topic is read again afterwards: one that still has a message is
a failure, because the broker acknowledges deletions that it does not permit.`,
		ValidArgsFunction: s.completeArgs(0, s.retainedChoices),
		RunE: func(c *cobra.Command, args []string) error {
			topics, err := s.ids(args)
			if err != nil {
				return err
			}
			if err := b.check(c, len(topics) > 0, filter != ""); err != nil {
				return err
			}
			at, err := s.service()
			if err != nil {
				return err
			}
			if len(topics) == 0 {
				err := s.eachRetained(c.Context(), at.Operator, filter, &paging{limit: math.MaxInt}, func(m *operatorv1.RetainedMessage) { topics = append(topics, m.GetTopic()) })
				if err != nil {
					return err
				}
			}
			return b.run(c.Context(), clearing(at.Operator, topics))
		},
	}
	c.Flags().StringVarP(&filter, "topic", "t", "", retainedTopic)
	b.flags(c)
	return c
}

// maxClear is how many topics are cleared by one call.
const maxClear = 200

// clearing returns the call of a bulk act on topics. Its cursor is the last topic of a call.
func clearing(ask operatorv1.OperatorServiceClient, topics []string) func(context.Context, step) (*operatorv1.Outcome, error) {
	topics = slices.Compact(slices.Sorted(slices.Values(topics)))
	return func(ctx context.Context, p step) (*operatorv1.Outcome, error) {
		from, found := slices.BinarySearch(topics, p.cursor)
		if found {
			from++
		}
		n := min(int(p.limit), maxClear, len(topics)-from)
		if p.rate > 0 {
			n = min(n, max(1, int(p.rate)))
		}
		if n == 0 {
			return new(operatorv1.Outcome), nil
		}
		out, err := ask.ClearRetained(ctx, &operatorv1.ClearRetainedRequest{Topics: topics[from : from+n], DryRun: p.dry, By: p.by})
		if err == nil && from+n < len(topics) {
			out.Next = topics[from+n-1]
		}
		return out, err
	}
}
