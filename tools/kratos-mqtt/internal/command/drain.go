package command

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	operatorv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/operator/v1"
)

func (s *session) drainCommand() *cobra.Command {
	var (
		timeout time.Duration
		by      string
	)
	c := &cobra.Command{
		Use: "drain", Args: cobra.NoArgs, Short: "Send what waits at once, and wait until the outbox is empty",
		Long: `Ends the pauses of messages that wait after a failure, and waits until the outbox is empty: before a
service is moved, for example. It deletes nothing. If messages are left after --timeout, it prints how
many and why the first one waits, and fails.`,
		RunE: func(c *cobra.Command, _ []string) error {
			at, err := s.service()
			if err != nil {
				return err
			}
			return s.drain(c.Context(), at.Operator, timeout, s.person(by))
		},
	}
	c.Flags().DurationVar(&timeout, "timeout", time.Minute, "how long to wait")
	byFlag(c, &by)
	return c
}

// drained is what outbox drain writes as JSON.
type drained struct {
	Drained bool `json:"drained"`
	Waiting int  `json:"waiting"`
	// More is set if more than Waiting wait.
	More bool `json:"more"`
}

// look is how often the outbox is looked at.
const look = 250 * time.Millisecond

func (s *session) drain(ctx context.Context, ask operatorv1.OperatorServiceClient, timeout time.Duration, by string) error {
	over, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	every := time.NewTicker(look)
	defer every.Stop()
	line := s.statusLine()
	defer line.clear()
	var entries []*operatorv1.Entry
	for more, retried := false, false; ; {
		page, err := ask.ListWaiting(over, &operatorv1.ListEntriesRequest{Limit: maxPage})
		switch {
		case err != nil && retried && over.Err() != nil:
			line.clear()
			return s.left(entries, more, ctx.Err() == nil)
		case err != nil:
			return explained(err)
		}
		entries, more = page.GetEntries(), page.GetNext() != ""
		if len(entries) == 0 && !more {
			line.clear()
			return s.writeDrained(drained{Drained: true})
		}
		if !retried {
			retried = true
			// Those that have no pause are problems of the outcome: they need none.
			r := &operatorv1.ActOnEntriesRequest{All: true, Limit: maxPage, Within: durationpb.New(within), By: by}
			if _, err := ask.RetryWaiting(over, r); err != nil && over.Err() == nil {
				return explained(err)
			}
		}
		line.showf("%s left in the outbox", messages(len(entries), more))
		select {
		case <-every.C:
		case <-over.Done():
			line.clear()
			return s.left(entries, more, ctx.Err() == nil)
		}
	}
}

// left reports that the outbox is not empty.
func (s *session) left(entries []*operatorv1.Entry, more, waited bool) error {
	if err := s.writeDrained(drained{Waiting: len(entries), More: more}); err != nil {
		return err
	}
	if !waited {
		return errors.New("interrupted")
	}
	why := "it waits for its turn or the connection"
	if len(entries) > 0 && entries[0].GetReason() != "" {
		why = entries[0].GetReason()
	}
	return fmt.Errorf("%s left in the outbox; the first one: %s", messages(len(entries), more), printable(why))
}

func (s *session) writeDrained(d drained) error {
	if s.json {
		return s.writeJSON(d)
	}
	if !d.Drained {
		return nil
	}
	_, err := fmt.Fprintln(s.Out, "the outbox is empty")
	return err
}

func messages(n int, more bool) string {
	if more {
		return fmt.Sprintf("%d or more messages", n)
	}
	return things(int64(n), "messages")
}
